"""Tables laid out in HDF5 as pandas does it (`to_hdf`, formats fixed and table), so that tests need no PyTables."""

import pickle
from collections.abc import Collection, Mapping
from pathlib import Path

import h5py
import numpy as np

Columns = Mapping[str, np.ndarray]


def fixed(path: Path, columns: Columns) -> Path:
    """One dataset for each number format, its names in another."""
    with h5py.File(path, "w") as file:
        locs = file.create_group("locs")
        blocks = _blocks(columns, ())
        locs.attrs.update({"pandas_type": np.bytes_(b"frame"), "nblocks": len(blocks), "encoding": b"UTF-8"})
        locs["axis0"] = np.array([name.encode() for name in columns])
        for number, names in enumerate(blocks):
            locs[f"block{number}_items"] = np.array([name.encode() for name in names])
            locs[f"block{number}_items"].attrs["kind"] = np.bytes_(b"string")
            values = np.stack([columns[name] for name in names], axis=1)
            held = locs.create_dataset(f"block{number}_values", data=values if len(values) else np.zeros((1, 1)))
            held.attrs["transposed"] = np.uint8(len(values) > 0)
            if not len(values):
                held.attrs["shape"] = pickle.dumps(values.T.shape, 0)
                held.attrs["value_type"] = np.bytes_(values.dtype.name.encode())
    return path


def table(path: Path, columns: Columns, *, alone: Collection[str] = (), protocol: int = 0) -> Path:
    """Records of one field for each number format, but for columns `alone`; names are pickled lists."""
    blocks = _blocks(columns, alone)
    fields = {f"values_block_{number}": names for number, names in enumerate(blocks)}
    fields |= {name: [name] for name in alone}
    parts = {field: np.stack([columns[name] for name in names], axis=1) for field, names in fields.items()}
    shapes = [(f, part.dtype, () if f in alone else (part.shape[1],)) for f, part in parts.items()]
    n = len(next(iter(columns.values())))
    records = np.zeros(n, dtype=[("index", "i8"), *shapes])
    for field, part in parts.items():
        records[field] = part[:, 0] if field in alone else part
    with h5py.File(path, "w") as file:
        locs = file.create_group("locs")
        locs.attrs["pandas_type"] = np.bytes_(b"frame_table")
        held = locs.create_dataset("table", data=records)
        for field, names in fields.items():
            # As PyTables does: the pickle as an array of bytes, as it may hold zeros.
            held.attrs[f"{field}_kind"] = np.void(pickle.dumps(names, protocol))
            held.attrs[f"{field}_dtype"] = np.bytes_(parts[field].dtype.name.encode())
            held.attrs[f"{field}_meta"] = np.bytes_(pickle.dumps(None, 0))
    return path


def _blocks(columns: Columns, alone: Collection[str]) -> list[list[str]]:
    kinds = dict.fromkeys(values.dtype for name, values in columns.items() if name not in alone)
    return [[n for n, values in columns.items() if values.dtype == kind and n not in alone] for kind in kinds]
