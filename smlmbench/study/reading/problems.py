"""Every problem of a study file in one pass: where it is, what was given, what is accepted."""

import re
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from smlmbench.errors import ConfigError, suggest

Where = tuple[str | int, ...]
M = TypeVar("M", bound=BaseModel)


def dotted(where: Where) -> str:
    """Write a place as it is read in the file: ('data', 0, 'train') is `data[0].train`."""
    text = ""
    for part in where:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


class Problems:
    """Problems found so far, one line each, in the order found."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: list[str] = []
        self._at: Where = ()
        self._keys: frozenset[str | int] = frozenset()

    def __len__(self) -> int:
        return len(self.lines)

    def inside(self, at: Where, keys: Iterable[str]) -> "Problems":
        """The same problems for a reader whose top-level keys of these names stand at another place of the file."""
        inner = Problems(self.file)
        inner.lines, inner._at, inner._keys = self.lines, at, frozenset(keys)
        return inner

    def place(self, where: Where) -> str:
        """A place as it is read in the whole file."""
        return dotted((*self._at, *where) if where and where[0] in self._keys else where)

    def add(self, where: Where, text: str) -> None:
        """Note a problem at a place of the file."""
        self.add_line(f"{self.place(where)}: {text}" if where else text)

    def add_line(self, text: str) -> None:
        """Note a problem whose text already names the place."""
        line = f"{self.file}: {' '.join(text.split())}"
        if line not in self.lines:
            self.lines.append(line)

    def unknown_keys(self, where: Where, given: Mapping[str, Any], known: Sequence[str]) -> None:
        """Note every key that is not known, with the nearest one that is."""
        for key in given:
            if key not in known:
                self.add((*where, key), f"unknown key, {suggest(key, known)}")

    def raise_if_any(self) -> None:
        """Raise all of them in one ConfigError, a line for each."""
        if self.lines:
            raise ConfigError("\n".join(self.lines))

    def expect(self, where: Where, given: Any, kind: type | tuple[type, ...], wanted: str) -> bool:
        """Whether a value is of a kind; noted where it is not, with what is wanted, as in `a list; write [name]`."""
        if not isinstance(given, kind):
            self.add(where, f"{short(given)} is not {wanted}")
        return isinstance(given, kind)

    def validated(self, where: Where, model: type[M], fields: Any, given: Any) -> M | None:
        """A value of a model, or None with every problem noted; `given` is what of the fields stands in the file."""
        try:
            return model.model_validate(fields)
        except ValidationError as error:
            for place, text in explain(error, model, given):
                self.add((*where, *place), text)
            return None


def explain(error: ValidationError, model: type[BaseModel], given: Any) -> list[tuple[Where, str]]:
    """Turn pydantic's errors into places of the file and texts that name the nearest key.

    Of a union only the branch that the given value means is explained: the model where it is a mapping, else the rest.
    """
    found: dict[tuple[Where, str], None] = {}
    raw = error.errors(include_url=False)
    for one in raw:
        if (place := _walk(one["loc"], model, given)) is not None:
            found[place.where, _text(one["type"], one.get("ctx", {}), one["msg"], one["input"], place)] = None
    return list(found) or [(one["loc"], one["msg"]) for one in raw]


@dataclass(frozen=True, slots=True)
class _Place:
    """A place of the file, the keys known there, and the keys of the mapping that would be accepted too."""

    where: Where
    known: list[str]
    mapping: list[str]


def _walk(loc: tuple[str | int, ...], model: Any, value: Any) -> _Place | None:
    """Follow pydantic's location through the annotations; tags of union branches are not places of the file.

    None for the branch of a union that the value does not mean.
    """
    where: list[str | int] = []
    known: list[str] = []
    mapping: list[str] = []
    for part in loc:
        if part == "[key]":
            continue
        model = _plain(model)
        if _is_union(model):
            models = _models(*get_args(model))
            # A tag names its model as in `Range` or `function-after[check(), Range]`.
            model = next((one for one in models if one.__name__ in re.split(r"\W+", str(part))), None)
            if isinstance(value, Mapping) != (model is not None):
                return None
            mapping = list(models[0].model_fields) if model is None and models else []
            continue
        if _models(model):
            known = list(model.model_fields)
            field = model.model_fields.get(str(part))
            model = field.annotation if field is not None else None
        else:
            model = (get_args(model) or (None,))[-1]
        where.append(part)
        if isinstance(value, Mapping):
            value = value.get(part)
        else:
            value = value[part] if isinstance(value, list) and isinstance(part, int) and part < len(value) else None
    return _Place(tuple(where), known, mapping)


def _plain(annotation: Any) -> Any:
    """Strip Annotated and `| None`."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if _is_union(annotation):
        members = [member for member in get_args(annotation) if member is not type(None)]
        if len(members) == 1:
            return _plain(members[0])
    return annotation


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _models(*annotations: Any) -> list[type[BaseModel]]:
    """The models among annotations."""
    plain = [_plain(annotation) for annotation in annotations]
    return [one for one in plain if isinstance(one, type) and issubclass(one, BaseModel)]


_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}


def _text(kind: str, facts: Mapping[str, Any], message: str, given: Any, place: _Place) -> str:
    if kind == "extra_forbidden":
        return f"unknown key, {suggest(str(place.where[-1]), place.known)}"
    if kind == "missing":
        return "required and not given"
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    if kind == "string_type" and isinstance(given, int | float):  # also a date, that YAML reads as a number
        return f"{short(given)} is a number and no text; put it in quotes"
    also = f", or a mapping with {', '.join(place.mapping)}" if place.mapping else ""
    if kind in _BOUNDS:
        fact, words = _BOUNDS[kind]
        return f"{short(given)} is out of range; give a number {words} {facts[fact]:g}{also}"
    if kind == "literal_error":
        expected = str(facts["expected"])
        near = suggest(str(given), [part.strip().strip("'") for part in expected.replace(" or ", ", ").split(",")])
        tail = "" if near.startswith("accepted") else f" (accepted: {expected})"
        return f"{short(given)} is not accepted, {near}{tail}{also}"
    return f"{short(given)} is not accepted; {message[0].lower()}{message[1:]}{also}"


def short(given: Any) -> str:
    """A value as it was given, cut to a line."""
    text = repr(given)
    return text if len(text) <= 60 else f"{text[:57]}..."
