"""HDF5 files: opened, looked through, and read as what they can be; nothing pickled in them is loaded."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError, printable, unreadable
from smlmbench.formats.bounds import MOST_PACKED
from smlmbench.formats.hdf5_texts import check_texts

if TYPE_CHECKING:
    import h5py

MAGIC = b"\x89HDF\r\n\x1a\n"
SMALL = 2**20  # bytes of which nobody asks whether they are there
SHOWN = 8


@dataclass(frozen=True, slots=True)
class Place:
    """Where one column of a table is: a dataset of one row per entry, a field of its records, a column of that."""

    dataset: "h5py.Dataset"
    field: str = ""
    at: int | None = None
    empty: bool = False  # the table has no rows, whatever is stored
    odd: str = ""  # why its numbers cannot be told


@contextmanager
def opened(path: Path) -> "Iterator[h5py.File]":
    """Open a file to read; whatever a damaged one makes of h5py is one FormatError."""
    import h5py

    try:
        check_texts(path)
        with h5py.File(path, "r") as file:
            yield file
    except FormatError:
        raise
    except Exception as error:
        raise unreadable(path, "HDF5 file", error) from None


def holds(path: Path, *names: str) -> bool:
    """Whether a file is HDF5 with all these in it; also False where it is damaged, as `contents` says."""
    if not is_hdf5(path):
        return False
    try:
        with opened(path) as file:
            return has(file, *names)
    except FormatError:
        return False


def is_hdf5(path: Path) -> bool:
    """Whether the first bytes are those of HDF5."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def has(file: "h5py.File", *names: str) -> bool:
    """Whether all these can be reached."""
    return all(file.get(name) is not None for name in names)


def contents(path: Path) -> str:
    """The first few datasets of a file, for a message (FormatError: it cannot be opened)."""
    names: list[str] = []

    def stop(name: str, node: object) -> bool | None:
        names.extend([name] if hasattr(node, "dtype") else [])
        return len(names) > SHOWN or None  # h5py goes on for as long as it is given None

    with opened(path) as file:
        file.visititems(stop)
    more = ", ..." if len(names) > SHOWN else ""
    return f"{printable(', '.join(name[:40] for name in names[:SHOWN]))}{more}" if names else "nothing"


def values(path: Path, dataset: "h5py.Dataset", fields: Sequence[str] = ()) -> NDArray[Any]:
    """All of a dataset, of records those fields.

    Raises:
        FormatError: It is compressed in a way that is unknown here, or claims more than the file can hold.
    """
    import h5py

    steps = dataset.id.get_create_plist()
    for number in range(steps.get_nfilters()):
        code, _, _, name = steps.get_filter(number)
        if not h5py.h5z.filter_avail(code):
            how = printable(name.decode("utf-8", "replace").split("\0")[0][:40])
            raise FormatError(
                f"'{path.name}' is compressed by '{how or code}', which HDF5 has no part for here;"
                " save it again without, or with gzip"
            )
    size = path.stat().st_size
    claimed, stored, densest = dataset.nbytes, min(dataset.id.get_storage_size(), size), MOST_PACKED
    if dataset.dtype.kind == "O":
        claimed, stored, densest = _length_of_texts(path, dataset), size, 1
    if claimed > max(SMALL, densest * stored):
        raise FormatError(
            f"'{path.name}' claims {claimed:,} bytes in '{dataset.name}' but holds {stored:,}; copy or save it again"
        )
    found: NDArray[Any] = np.asarray(dataset.fields(list(fields))[()] if fields else dataset[()])
    return found


def _length_of_texts(path: Path, dataset: "h5py.Dataset") -> int:
    """What texts of any length claim to have, all together: HDF5 takes that much memory before it looks for them."""
    begin = dataset.id.get_offset()
    if begin is None:
        return 0
    with path.open("rb") as file:
        file.seek(begin)
        heads = file.read(dataset.id.get_storage_size())
    return int(np.frombuffer(heads, "<u4", count=len(heads) // 16 * 4)[::4].sum(dtype=np.uint64))  # length and place


def columns(path: Path, places: Mapping[str, Place]) -> dict[str, NDArray[np.float64]]:
    """Columns as numbers, (n,) each; every dataset is read once (FormatError: a column holds something else)."""
    read: dict[str, NDArray[Any]] = {}
    found = {}
    for name, place in places.items():
        key, what, column = str(place.dataset.name), place.odd, np.empty(0)
        if not place.odd and not place.empty:
            if key not in read:
                fields = sorted({other.field for other in places.values() if other.dataset == place.dataset} - {""})
                read[key] = values(path, place.dataset, fields)
            column = read[key][place.field] if place.field else read[key]
            column = column if place.at is None else column[:, place.at]
            what = "" if column.ndim == 1 and column.dtype.kind in "iuf" else f"{column.dtype} {column.shape}"
        if what:
            raise FormatError(
                f"'{path.name}': column '{printable(name)}' holds {what}, not one number a row; save it again"
            )
        found[name] = column.astype(np.float64)
    if len({len(column) for column in found.values()}) > 1:
        lengths = {name: len(column) for name, column in found.items()}
        raise FormatError(f"'{path.name}' has columns of different length {lengths}; save it again")
    return found
