"""Which things exist: the package's own files, entry points, and the plug-ins of a study."""

import ast
import hashlib
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType

from pydantic import ValidationError

from smlmbench.errors import ConfigError, DuplicateNameError, unknown_name
from smlmbench.registry.cards import CARD_TYPES, Card, MetricCard, ModelCard

PACKAGE = Path(__file__).parent.parent

ROOMS = {
    "models": "model",
    "losses": "loss",
    "outputs": "output kind",
    "data": "data source",
    "psf": "PSF",
    "structures": "structure",
    "formats": "format",
    "metrics": "metric",
    "references": "reference",
    "recipes": "recipe",
    "tasks": "task",
    "runtimes": "runtime",
    "exports": "export format",
}
FOLDERS = {"runtimes": "inference/runtimes", "exports": "export", "structures": "simulate/structures"}


@dataclass(frozen=True, slots=True)
class Plugin:
    """A file outside the package that adds one thing; its hash joins the identity of the cells that use it."""

    path: Path

    @property
    def room(self) -> str:
        """Its folder's name if that is a room, else `room` on its card, else models."""
        if self.path.parent.name in ROOMS:
            return self.path.parent.name
        stated = _parsed(self.path, self.path.stat().st_mtime_ns).get("room") or "models"
        if stated not in ROOMS:
            raise unknown_name("room", str(stated), ROOMS)
        return str(stated)


class Catalog:
    """All registered things of one process; cheap to make, reads cards lazily."""

    def __init__(self, plugins: Sequence[Path] = ()) -> None:
        self.plugins = tuple(Plugin(Path(path).absolute()) for path in plugins)
        for plugin in self.plugins:
            if not plugin.path.is_file():
                raise ConfigError(f"plug-in '{plugin.path}' is not a file; give the path of a .py file with a CARD")
            if not plugin.path.stem.isidentifier() or plugin.path.suffix != ".py":
                raise ConfigError(f"plug-in '{plugin.path.name}': its name must be a Python name ending in .py")

    @cached_property
    def _files(self) -> dict[str, dict[str, Path]]:
        found = {room: dict(_own_files(room)) for room in ROOMS}
        for room in ROOMS:
            for path in _entry_point_files(room):
                _claim(found[room], path)
        for plugin in self.plugins:
            _claim(found[plugin.room], plugin.path)
        return found

    def names(self, room: str) -> list[str]:
        """Registered names of a room, sorted."""
        return sorted(self._files[room])

    def path(self, room: str, name: str) -> Path:
        """The file behind a name; an UnknownNameError with the nearest name where nothing is registered under it."""
        files = self._files[room]
        if name not in files:
            raise unknown_name(ROOMS[room], name, files)
        return files[name]

    def card(self, room: str, name: str) -> Card:
        """The checked card of a name; a ConfigError: no card, not a literal, or a fact that is missing or wrong."""
        path = self.path(room, name)
        return _checked(room, path, path.stat().st_mtime_ns)

    def served_by(self, model: str) -> list[str]:
        """Tasks that a model serves: the one on its card, else those on the card of its output kind."""
        card = self.card("models", model)
        if not isinstance(card, ModelCard):
            return []
        return [card.task] if card.task else list(self.card("outputs", card.output).facts.get("tasks", []))

    def metrics_of(self, task: str) -> dict[str, MetricCard]:
        """Metric files of a task by name: those whose card names it, or the task that it wraps (its fact `inner`)."""
        inner = self.card("tasks", task).facts.get("inner", task) if task in self.names("tasks") else task
        cards = {name: self.card("metrics", name) for name in self.names("metrics")}
        return {
            name: one for name, one in cards.items() if isinstance(one, MetricCard) and {task, inner} & set(one.tasks)
        }

    def module(self, room: str, name: str) -> ModuleType:
        """Import the file of a name: by its package name if it is ours, else from its path under a private name."""
        path = self.path(room, name)
        if PACKAGE in path.parents:
            dotted = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
            return importlib.import_module(dotted.removesuffix(".__init__"))
        tag = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        private = f"smlmbench_plugin_{room}_{path.stem}_{tag}"
        return sys.modules.get(private) or _imported(private, path)

    def plugin_hash(self, room: str, name: str) -> str | None:
        """sha256 of the file if the name comes from outside the package, else None."""
        path = self.path(room, name)
        return None if PACKAGE in path.parents else hashlib.sha256(path.read_bytes()).hexdigest()


def _claim(files: dict[str, Path], path: Path) -> None:
    earlier = files.get(path.stem)
    if earlier is not None and earlier != path:
        raise DuplicateNameError(f"'{path.stem}' is registered twice, by {earlier} and {path}; rename one file")
    files[path.stem] = path


@cache
def _own_files(room: str) -> dict[str, Path]:
    """Files of a room by their names, or by the folder's where a thing has a room of its own."""
    folder = PACKAGE / FOLDERS.get(room, room)
    files = sorted([*folder.glob("[a-z]*.py"), *folder.glob("[a-z]*/__init__.py")])
    cards = [path for path in files if "\nCARD" in path.read_text(encoding="utf-8")]
    return {path.parent.name if path.stem == "__init__" else path.stem: path for path in cards}


@cache
def _entry_point_files(room: str) -> tuple[Path, ...]:
    files = []
    for point in importlib.metadata.entry_points(group=f"smlmbench.{room}"):
        spec = importlib.util.find_spec(point.module)
        if spec is None or spec.origin is None:
            raise ConfigError(f"entry point '{point.name}' of smlmbench.{room} names no module; reinstall its package")
        files.append(Path(spec.origin))
    return tuple(files)


@cache
def _parsed(path: Path, _mtime_ns: int) -> dict[str, object]:
    """The raw CARD of a file, read from its source."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise ConfigError(f"{path.name}, line {error.lineno}: {error.msg}; mend the file") from None
    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(target, ast.Name) and target.id == "CARD" for target in targets):
            try:
                literal = ast.literal_eval(node.value)
            except ValueError:
                said = f"{path.name}: CARD is not a literal"
                raise ConfigError(f"{said}; use only dicts, lists, numbers, strings") from None
            if isinstance(literal, dict):
                return literal
    raise ConfigError(f"{path.name} has no CARD; write `CARD = {{...}}` with at least version and summary")


@cache
def _checked(room: str, path: Path, mtime_ns: int) -> Card:
    literal = _parsed(path, mtime_ns)
    try:
        return CARD_TYPES.get(room, Card).model_validate(literal)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{path.name}: CARD.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _imported(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} cannot be imported; it must be a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ConfigError(f"plug-in {path.name} cannot be imported: {type(error).__name__}: {error}") from error
    return module
