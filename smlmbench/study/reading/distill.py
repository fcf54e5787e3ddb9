"""Reading the block `distill` of a study: every problem in one pass, lists of names made one entry each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smlmbench.errors import suggest
from smlmbench.registry import Card
from smlmbench.study.reading.choices import LAMBDA, Choices
from smlmbench.study.reading.problems import Where, short
from smlmbench.study.schema.distill import CONTROLS, LARGEST_FACTOR, Control, Distillation, Side

KEYS = ("teacher", "student", "method", "controls", "longer")
CHECKPOINTS = ("run", "path")
WAY = "write [{teacher: NAME, student: NAME, method: NAME}]"


def read_distill(raw: Any, choices: Choices, task: str | None, root: Path) -> list[Distillation]:
    """Read the block; lists of teachers, students and methods become one entry each.

    Args:
        raw: As written.
        choices: Checks names and settings; every problem is noted there, nothing is raised.
        task: Of the data; None where it is not known.
        root: Folder that relative paths are taken from.
    """
    if raw is None:
        return []
    if not isinstance(raw, list):
        choices.problems.add(("distill",), f"{short(raw)} is not a list; {WAY}")
        return []
    reader = _Reader(choices, task, root)
    return [entry for index, item in enumerate(raw) for entry in reader.entries(("distill", index), item)]


class _Reader:
    def __init__(self, choices: Choices, task: str | None, root: Path) -> None:
        self.choices, self.problems, self.task, self.root = choices, choices.problems, task, root

    def entries(self, where: Where, raw: Any) -> list[Distillation]:
        if not isinstance(raw, Mapping):
            self.problems.add(where, f"{short(raw)} is not a pair; {WAY}")
            return []
        before = len(self.problems)
        sides: dict[str, list[Side]] = {"teacher": [], "student": []}
        methods: list[str] = []
        for key in ("teacher", "student", "method"):
            for place, item in self._each((*where, key), raw.get(key)):
                if key == "method":
                    methods += self._method(place, item)
                else:
                    sides[key] += self._side(place, item, teaches=key == "teacher")
        own = {key: value for key, value in raw.items() if key not in KEYS}
        settings = {name: self._settings(where, name, own) for name in methods}
        controls = self._controls((*where, "controls"), raw.get("controls", True))
        longer = self._longer((*where, "longer"), raw.get("longer"))
        if len(self.problems) > before:
            return []
        return [
            Distillation(
                teacher=teacher,
                student=student,
                method=method,
                settings=settings[method],
                controls=controls,
                longer=longer,
            )
            for teacher in sides["teacher"]
            for student in sides["student"]
            for method in methods
        ]

    def _each(self, where: Where, raw: Any) -> list[tuple[Where, Any]]:
        if raw is None or raw == []:
            self.problems.add(where, f"required and not given; {WAY}")
            return []
        if isinstance(raw, list):
            return [((*where, index), item) for index, item in enumerate(raw)]
        return [(where, raw)]

    def _method(self, where: Where, raw: Any) -> list[str]:
        catalog = self.choices.catalog
        teaching = [name for name in catalog.names("recipes") if catalog.card("recipes", name).facts.get("teacher")]
        if raw in teaching:
            return [str(raw)]
        known = raw in catalog.names("recipes")
        said = f"'{raw}' has no teacher" if known else f"{short(raw)} is not a method of distillation"
        self.problems.add(where, f"{said}; {suggest(str(raw), teaching)}")
        return []

    def _settings(self, where: Where, method: str, own: Mapping[str, Any]) -> dict[str, Any]:
        card = self.choices.catalog.card("recipes", method)
        for key in own:
            if key not in card.settings:
                self.problems.add((*where, key), f"unknown setting, {suggest(key, [*card.settings, *KEYS])}")
        known = {key: value for key, value in own.items() if key in card.settings}
        return self.choices.settings(card, where, known, swept=True)

    def _side(self, where: Where, raw: Any, *, teaches: bool) -> list[Side]:
        if isinstance(raw, str):
            raw = {"name": raw}
        if not isinstance(raw, Mapping):
            self.problems.add(where, f"{short(raw)} is neither a name nor a mapping with a name")
            return []
        if teaches and any(key in raw for key in CHECKPOINTS):
            return self._checkpoint(where, raw)
        name = raw.get("name")
        if not isinstance(name, str):
            also = ", or {path: best.pt} or {run: RUN_ID}" if teaches else ""
            self.problems.add(where, f"has no name; write {{name: MODEL, setting: value}}{also}")
            return []
        before = len(self.problems)
        if not self.choices.registered("models", where, name):
            return []
        card = self.choices.catalog.card("models", name)
        self.choices.serves(where, name, self.task)
        own = {key: value for key, value in raw.items() if key not in ("name", "loss", LAMBDA)}
        side = Side(
            name=name,
            settings=self._model_settings(card, where, own),
            loss=self._loss((*where, "loss"), raw.get("loss")),
            weights=self._weights(where, raw),
        )
        return [side] if len(self.problems) == before else []

    def _model_settings(self, card: Card, where: Where, own: Mapping[str, Any]) -> dict[str, Any]:
        for key in own:
            if key not in card.settings:
                known = [*card.settings, "loss", LAMBDA]
                self.problems.add((*where, key), f"unknown setting, {suggest(key, known)}")
        given = {key: value for key, value in own.items() if key in card.settings}
        return self.choices.settings(card, where, given, swept=True)

    def _loss(self, where: Where, raw: Any) -> dict[str, Any] | None:
        if raw is None:
            return None
        if not isinstance(raw, str | Mapping):
            self.problems.add(where, f"{short(raw)} is not a loss; write a name, or {{name: ..., lambda: ...}}")
            return None
        found = self.choices.losses(where, [raw])
        return found[0] if found else None

    def _weights(self, where: Where, raw: Mapping[str, Any]) -> list[float]:
        given = raw.get(LAMBDA)
        if given is None:
            return []
        values = given if isinstance(given, list) else [given]
        for value in values:
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
                self.problems.add((*where, LAMBDA), f"{short(value)} is not a number of at least 0")
                return []
        if isinstance(raw.get("loss"), Mapping) and LAMBDA in raw["loss"]:
            self.problems.add((*where, LAMBDA), "lambda stands inside loss too; keep one")
        return [float(value) for value in values]

    def _checkpoint(self, where: Where, raw: Mapping[str, Any]) -> list[Side]:
        key = next(key for key in CHECKPOINTS if key in raw)
        for other in raw:
            if other != key:
                self.problems.add((*where, other), f"a teacher from a {key} is taken as it is; leave this out")
        value = raw[key]
        if not isinstance(value, str) or not value:
            self.problems.add((*where, key), f"{short(value)} is not text; give a best.pt, or the id of a run")
            return []
        if key == "run":
            return [Side(run=value)]
        path = Path(value).expanduser()
        path = path if path.is_absolute() else self.root / path
        if not path.is_file():
            self.problems.add((*where, key), f"'{path}' is not a file; give the path of a best.pt")
            return []
        return [Side(path=path)]

    def _controls(self, where: Where, raw: Any) -> list[Control]:
        if isinstance(raw, bool):
            return list(CONTROLS) if raw else []
        if not isinstance(raw, list):
            self.problems.add(
                where, f"{short(raw)} is not accepted; give true, false or a list of {', '.join(CONTROLS)}"
            )
            return []
        for index, item in enumerate(raw):
            if item not in CONTROLS:
                self.problems.add((*where, index), f"{short(item)} is not a control, {suggest(str(item), CONTROLS)}")
        return [item for item in CONTROLS if item in raw]

    def _longer(self, where: Where, raw: Any) -> int | None:
        if raw is None:
            return None
        if isinstance(raw, bool) or not isinstance(raw, int) or not 2 <= raw <= LARGEST_FACTOR:
            self.problems.add(where, f"{short(raw)} is not a whole number from 2 to {LARGEST_FACTOR}")
            return None
        return raw
