"""What is told about a file beside its numbers: YAML of its stem (`.yaml`), or text kept inside it.

It is one or more documents, of which later ones describe later steps. Picasso writes objects of Python and numpy into
its YAML, and runs what such a file says to read them back. Nothing is run or imported here: numbers and arrays of numpy
are made from their plain parts (number format, shape, bytes), tuples and lists are those, everything else is `Unclear`.
So is a name that one document gives two values.
"""

import json
import math
import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from smlmbench.errors import FormatError, printable, unreadable
from smlmbench.formats.text import encoding_of

Documents = Sequence[Mapping[str, Any]]

TAG = "tag:yaml.org,2002:"
NUMBER_FORMATS = re.compile(r"b1|[iu][1248]|f[248]|[SU]\d{1,3}")
PLAIN = {"str": "str", "unicode": "str", "int": "int", "long": "int", "float": "float", "bool": "bool", "none": "null"}
PLAIN |= {"list": "seq", "dict": "map"}
Scalar = str | int | float | None
MOST_SHOWN = 80
LONGEST = 2**31 - 1  # frames of a movie, pixels of a side


@dataclass(frozen=True, slots=True)
class Unclear:
    """A value that is there and cannot be told, with what to say of it."""

    said: str


class _Plain(yaml.SafeLoader):
    """Makes plain values of a document, and `Unclear` of all that is none (the loader in C dies of deep nesting)."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """One word that is not what it looks like, such as a date in month 13, is unclear and spoils nothing else."""
        try:
            return super().construct_object(node, deep)
        except Exception:
            if not isinstance(node, yaml.ScalarNode):
                raise
            self.recursive_objects.pop(node)
            return Unclear(printable(str(node.value)[:60]))

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Two values of one name are unclear; `<<` means nothing, which would let a small file grow without end."""
        if not isinstance(node, yaml.MappingNode):
            return super().construct_mapping(node, deep)
        make = self.construct_object
        return _mapping([(make(key, deep=True), make(value, deep=deep)) for key, value in node.value])

    def tuple_of(self, node: yaml.SequenceNode) -> tuple[Any, ...]:
        """Make a tuple."""
        return tuple(self.construct_sequence(node, deep=True))

    def foreign(self, node: yaml.Node) -> Any:
        """Make an object of numpy, or an ordered mapping, from its parts where they are plain."""
        name = node.tag.removeprefix(f"{TAG}python/object/apply:").replace("numpy._core.", "numpy.core.")
        parts: dict[str, Any] = {}
        if name in PARTS and isinstance(node, yaml.MappingNode):
            parts = self.construct_mapping(node, deep=True)
        elif name in PARTS and isinstance(node, yaml.SequenceNode):
            parts = {"args": self.construct_sequence(node, deep=True)}
        with suppress(TypeError, ValueError, LookupError):
            return PARTS[name](parts["args"], parts.get("state"))
        return Unclear(printable(node.tag.replace(TAG, "!!"))[:60])


def _mapping(pairs: Sequence[Sequence[Any]]) -> dict[Any, Any]:
    """Values by name; what is no plain name is left out, and no values but plain ones are held against each other."""
    found: dict[Any, Any] = {}
    for name, value in pairs:
        if not isinstance(name, Scalar):
            continue
        before = found.get(name, value)
        same = before is value or (isinstance(before, Scalar) and isinstance(value, Scalar) and before == value)
        found[name] = value if same else Unclear(f"stated twice ({shown(before)}, {shown(value)})")
    return found


def _dtype(args: Any, state: Any) -> np.dtype[Any]:
    order = state[1] if state else "<"
    if not NUMBER_FORMATS.fullmatch(args[0]) or order not in ("<", ">", "=", "|"):
        raise ValueError("no plain number format")
    stored: np.dtype[Any] = np.dtype(order + args[0])
    return stored


def _array(_args: Any, state: Any) -> Any:
    """Lists of numbers, or one number where the shape is ()."""
    _version, shape, stored, by_columns, content = state
    plain = isinstance(stored, np.dtype) and all(type(side) is int and side > 0 for side in shape)
    if not plain or math.prod(shape) * stored.itemsize != len(content):
        raise ValueError("shape and bytes do not fit")
    return np.ndarray(tuple(shape), stored, content, order="F" if by_columns else "C").tolist()


# By the name of what Python would call: its value from arguments and state, as they stand in the file.
PARTS: dict[str, Callable[[Any, Any], Any]] = {
    "numpy.dtype": _dtype,
    "numpy.core.multiarray.scalar": lambda args, _: _array(None, (1, (), args[0], False, args[1])),
    "numpy.core.multiarray._reconstruct": _array,
    "collections.OrderedDict": lambda args, _: _mapping(args[0]) if args else {},
}
for _name, _kind in PLAIN.items():
    _Plain.add_constructor(f"{TAG}python/{_name}", yaml.SafeLoader.yaml_constructors[f"{TAG}{_kind}"])
_Plain.add_constructor(f"{TAG}python/tuple", _Plain.tuple_of)
_Plain.add_constructor(None, _Plain.foreign)  # None is every other tag


def read_documents(path: Path) -> list[dict[str, Any]]:
    """The documents of the sidecar of `path`, none where it is absent (FormatError: not YAML, or not mappings)."""
    beside = path.with_suffix(".yaml")
    try:
        text = beside.read_text(encoding=encoding_of(beside), errors="replace")
        documents = [each for each in yaml.load_all(text, _Plain) if not isinstance(each, Unclear | None)]
    except FileNotFoundError:
        return []
    except Exception as error:  # of the parser, and of numbers and dates that it takes for such
        raise unreadable(beside, "sidecar", error) from None
    if not all(isinstance(document, dict) for document in documents):
        raise FormatError(f"sidecar '{beside.name}' is no list of 'name: value'; copy or save it again")
    return documents


def documents_of(text: str) -> list[dict[str, Any]]:
    """The documents of a text in JSON or YAML, one mapping or a list of them; none where it is something else."""
    try:
        found = json.loads(text, object_pairs_hook=_mapping)
    except (ValueError, RecursionError):
        try:
            found = list(yaml.load_all(text, _Plain))
        except Exception:  # of the parser
            return []
    return [each for each in (found if isinstance(found, list) else [found]) if isinstance(each, dict)]


def shown(value: Any) -> str:
    """A value for a message, short whatever it is."""
    return printable(value.said if isinstance(value, Unclear) else reprlib.repr(value))[:MOST_SHOWN]


def last_of(documents: Documents, name: str) -> Any:
    """The value in the last document that has one, as Picasso looks it up, or None."""
    return next((each[name] for each in reversed(documents) if each.get(name) is not None), None)


def whole(path: Path, name: str, value: Any) -> int | None:
    """A value as a whole number above 0, None where there is none (FormatError: something else stands there)."""
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 1 <= value <= LONGEST or value != int(value):
        raise FormatError(f"sidecar of '{path.name}': {name} is {shown(value)}; write a whole number above 0")
    return int(value)
