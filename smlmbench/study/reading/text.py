"""A study file's text to plain values: data only, no surprises of YAML 1.1, no key twice; and `--set`."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from smlmbench.errors import ConfigError

TAG = "tag:yaml.org,2002:"
MAX_VALUES = 200_000
MAX_DEPTH = 60


class _Loader(yaml.SafeLoader):
    """Plain scalars are null, true/false, integers or floats as in YAML 1.2; all else is text.

    So `1e-3` is a number, `no`, `12:30` and `2024-01-01` are text. Keys are always text.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.twice: list[tuple[int, str]] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Note keys that are given twice; make keys text."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != f"{TAG}merge":
                if key.tag.startswith(TAG) and ":python/" not in key.tag:
                    key.tag = f"{TAG}str"
                if key.value in seen:
                    self.twice.append((key.start_mark.line + 1, key.value))
                seen.add(key.value)
        return super().construct_mapping(node, deep)


_RESOLVERS = {
    "null": (r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    "bool": (r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    "int": (r"^[-+]?[0-9]+$", list("-+0123456789")),
    "float": (
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+|[-+]?\.inf|\.nan)$",
        list("-+.0123456789"),
    ),
    "merge": (r"^<<$", ["<"]),
}
_Loader.yaml_implicit_resolvers = {}
for _name, (_pattern, _first) in _RESOLVERS.items():
    _Loader.add_implicit_resolver(f"{TAG}{_name}", re.compile(_pattern), _first)
_Loader.add_constructor(f"{TAG}int", lambda _, node: int(node.value))  # decimal only: `010` is ten, not eight


def read_text(path: Path) -> str:
    """The text of a study file; a ConfigError where there is no such file, a folder, or no text in UTF-8."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise ConfigError(f"study file '{path}' {what}; give the path of a .yaml file")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path.name}: not a text file in UTF-8; give a .yaml file") from None


def parse(text: str, file: str) -> dict[str, Any]:
    """The mapping that a study file holds; a ConfigError for all else: an object tag, a key given twice, no YAML."""
    value = _load(text, file)
    if value is None:
        raise ConfigError(f"{file}: the file is empty; a study needs at least study, data and models")
    if not isinstance(value, dict):
        raise ConfigError(f"{file}: a {type(value).__name__} instead of keys and values; begin with `study: NAME`")
    return value


def _load(text: str, file: str) -> Any:
    try:
        loader = _Loader(text)
        value = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{file}, line {mark.line + 1}" if mark is not None else file
        what = f"not valid YAML: {error.context or ''} {error.problem or ''}; check indentation, colons and brackets"
        if isinstance(error, yaml.constructor.ConstructorError):
            what = str(error.problem)
            if (tag := re.search(r"for the tag '([^']+)'", what)) is not None:
                what = f"tag '{tag.group(1).replace(TAG, '!!')}' is not accepted; a study holds plain values only"
        raise ConfigError(f"{place}: {' '.join(what.split())}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ConfigError(f"{file}: nested deeper than {MAX_DEPTH} levels; a study is flat") from None
    if loader.twice:
        lines = [f"{file}, line {line}: key '{key}' is given twice; keep one" for line, key in loader.twice]
        raise ConfigError("\n".join(lines))
    return _copy(value, file, [0], 0)


def _copy(value: Any, file: str, count: list[int], depth: int) -> Any:
    """Make aliases independent copies, within bounds (a few lines of aliases can stand for billions of values)."""
    count[0] += 1
    if count[0] > MAX_VALUES or depth > MAX_DEPTH:
        raise ConfigError(f"{file}: more than {MAX_VALUES} values or {MAX_DEPTH} levels; shorten its lists and aliases")
    if isinstance(value, dict):
        return {key: _copy(item, file, count, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item, file, count, depth + 1) for item in value]
    return value


def override(raw: dict[str, Any], sets: Sequence[str]) -> None:
    """Apply `--set a.b=value` in place; list items by number (`models.0.blocks=4` or `models[0].blocks=4`).

    A ConfigError where there is no '=', or no such place.
    """
    for text in sets:
        key, equals, value = text.partition("=")
        parts = [part for part in re.sub(r"\[(\d+)\]", r".\1", key.strip()).split(".") if part]
        if not equals or not parts:
            raise ConfigError(f"--set {text}: not KEY=VALUE; write for example --set training.samples=500")
        _put(raw, parts, _load(value, f"--set {key}"), text)


def _put(raw: dict[str, Any], parts: list[str], value: Any, text: str) -> None:
    node: Any = raw
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        step: str | int = part
        if isinstance(node, list):
            if not part.isdigit() or int(part) >= len(node):
                held = f"0 to {len(node) - 1}" if node else "nothing, it is empty"
                raise ConfigError(f"--set {text}: '{part}' is not an item of {'.'.join(parts[:depth])}; it has {held}")
            step = int(part)
            if not last and isinstance(node[step], str):
                node[step] = {"name": node[step]}
        elif not isinstance(node, dict):
            raise ConfigError(f"--set {text}: {'.'.join(parts[:depth])} is a value, nothing can be set inside it")
        if last:
            node[step] = value
        elif isinstance(node, dict) and node.get(part) is None:
            node[part] = {}
        node = node[step]
