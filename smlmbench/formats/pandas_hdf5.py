"""Tables that pandas wrote into HDF5 (`DataFrame.to_hdf`, formats fixed and table), read without it and PyTables.

Columns of one number format are one block. In `fixed` a block is a dataset with its names in another; in `table` it is
a field of records with its names in an attribute, as a pickle of a list of words. The words are taken from the pickle's
text, which is never loaded; a pickle that holds anything else is refused.
"""

import pickletools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from smlmbench.errors import FormatError
from smlmbench.formats.hdf5 import Place, values

if TYPE_CHECKING:
    import h5py

WORDS = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
AROUND = {"PROTO", "FRAME", "MARK", "LIST", "EMPTY_LIST", "APPEND", "APPENDS", "STOP"}
AROUND |= {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
NOTHING = ("", "N.")  # no text, or None as PyTables writes it


def places(path: Path, group: "h5py.Group") -> dict[str, Place]:
    """Where the columns of a table are, by name (FormatError: its layout cannot be told without running code)."""
    kind = _text(group.attrs.get("pandas_type"))
    blocks = {"frame": _fixed, "frame_table": _table}.get(kind)
    if blocks is None:
        raise _refused(path, f"as a {kind}" if kind else "in a way unknown here")
    found: dict[str, Place] = {}
    for name, place in blocks(path, group):
        if name in found:
            raise _refused(path, f"with two columns '{name}'")
        found[name] = place
    return found


def _fixed(path: Path, group: "h5py.Group") -> Iterator[tuple[str, Place]]:
    for number in range(int(group.attrs.get("nblocks", 0))):
        held, named = group.get(f"block{number}_values"), group.get(f"block{number}_items")
        if held is None or named is None or _text(named.attrs.get("kind")) != "string":
            raise _refused(path, "with names of columns that are no words")
        names = values(path, named).tolist()
        empty = "shape" in held.attrs
        plain = held.attrs.get("transposed") == 1 and not {"value_type", "PSEUDOATOM"} & set(held.attrs)
        if plain and held.shape[1:] != (len(names),):
            raise _refused(path, "with a block that does not fit its names")
        for at, name in enumerate(names):
            odd = "" if plain or empty else "objects or dates"
            yield _text(name), Place(held, at=None if empty else at, empty=empty, odd=odd)


def _table(path: Path, group: "h5py.Group") -> Iterator[tuple[str, Place]]:
    table = group.get("table")
    fields = getattr(table, "dtype", np.dtype("f8")).names
    if not fields:
        raise _refused(path, "without its table")
    for field in fields:
        if field == "index":
            continue
        kind, dtype, meta = (table.attrs.get(f"{field}_{fact}") for fact in ("kind", "dtype", "meta"))
        stored, names = table.dtype[field], _words(kind)
        if names is None or stored.shape not in ((len(names),), () if len(names) == 1 else None):
            raise _refused(path, f"with names of '{field}' that only running code could tell")
        plain = _text(dtype) == stored.base.name and _text(meta) in NOTHING
        for at, name in enumerate(names):
            yield name, Place(table, field, at if stored.shape else None, odd="" if plain else "words, dates or kinds")


def _words(pickled: Any) -> list[str] | None:
    """The words of a pickled list of words; None where it holds anything else."""
    found: list[str] = []
    try:
        for step, word, _ in pickletools.genops(bytes(pickled)):
            if step.name in WORDS:
                found.append(str(word))
            elif step.name not in AROUND:
                return None
    except (TypeError, ValueError):
        return None
    return found


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value if isinstance(value, str) else ""


def _refused(path: Path, why: str) -> FormatError:
    return FormatError(
        f"'{path.name}': 'locs' was written by pandas {why}; read it with pandas and save it with Picasso, or as csv"
    )
