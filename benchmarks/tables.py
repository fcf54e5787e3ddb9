"""Seconds and peak memory of reading and writing text tables: cell by cell, by pandas alone, and as smlmbench does.

python benchmarks/tables.py [--rows 1000000] [--sheet-rows 20000]

Makes a table of each text format, and a workbook; every number is taken in a process of its own, with the table in
the file cache. `cells` is the reader that names odd cells, `pandas` a bare read_csv (read_excel), which checks neither
units nor the width of rows, `now` what `read_table` does: pandas where every cell is a number, cells otherwise; a
workbook always by cells. Writing is ours against `DataFrame.to_csv`, which writes other bytes (550.0 for 550).

Prints a table; the last line is one JSON object with `read_speedup`, `read_over_pandas` and `write_over_pandas`:
seconds cell by cell over now, now over pandas, and ours over pandas, each the worst of all text formats.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from smlmbench import formats
from smlmbench.formats import text
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog

CATALOG = Catalog()
FRAMES, FIELD_NM = 10_000, (6400.0, 6400.0)
DECODE_HEAD = '# a table\n# {"version": "v0.10.1"}\n# {"xy_unit": "nm", "px_size": [100.0, 100.0]}\n'
XYZ = {"x_nm": "x", "y_nm": "y", "z_nm": "z"}
# Lines above the header, and names by ours, of the formats that are only read.
MADE: dict[str, tuple[str, dict[str, str]]] = {
    "decode_csv": (DECODE_HEAD, {**XYZ, "photons": "phot", "frame": "frame_ix", "probability": "prob"}),
    "challenge_csv": ("", {"frame": "frame", **{k: f"{v}nano" for k, v in XYZ.items()}, "photons": "intensity "}),
    "table": ("", {"frame": "frame", **{k: f"{v} [nm]" for k, v in XYZ.items()}, "photons": "photons"}),
}
WRITTEN = ("smlmbench_csv", "thunderstorm_csv", "smap_csv")
Measured = tuple[float, float]


def localizations(rows: int) -> Localizations:
    """A table with every column that a network claims, and one further."""
    draws = np.random.default_rng(0)
    known = ("z_nm", "photons", "background_photons", "probability", "sigma_x_nm", "sigma_y_nm")
    columns: dict[str, Any] = {name: draws.gamma(2.0, 100.0, rows) for name in known}
    columns |= {name: draws.uniform(0, FIELD_NM[0], rows) for name in ("x_nm", "y_nm")}
    columns["frame"] = np.sort(draws.integers(1, FRAMES, rows))
    return Localizations.of(columns, n_frames=FRAMES, field_nm=FIELD_NM, more={"llr": draws.normal(size=rows)})


def make(name: str, path: Path, rows: int) -> None:
    """Write a table of a format, or a workbook, in the cheapest way."""
    locs = localizations(rows)
    if name in WRITTEN:
        formats.write_table(locs, path, catalog=CATALOG, format=name)
        return
    above, names = MADE[name]
    table = locs.to_pandas()[list(names)].rename(columns=names)
    if path.suffix == ".xlsx":
        table.to_excel(path, index=False)
        return
    path.write_text(above)
    table.to_csv(path, mode="a", index=False)


def read_now(name: str, path: Path) -> None:
    formats.read_table(path, catalog=CATALOG, format=name)


def read_cells(name: str, path: Path) -> None:
    text._plain = lambda *_: None
    read_now(name, path)


def read_pandas(_name: str, path: Path) -> None:
    if path.suffix == ".xlsx":
        pd.read_excel(path)
        return
    exact: dict[str, Any] = {} if pd.__version__ >= "3.1" else {"float_precision": "round_trip"}
    pd.read_csv(path, comment="#", **exact)


def timed(call: Callable[[str, Path], None], name: str, path: Path) -> Measured:
    """Seconds of a call, and the peak MB of the process; adapters are imported before."""
    CATALOG.module("formats", name)
    began = time.perf_counter()
    call(name, path)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return seconds, peak / (1024.0**2 if sys.platform == "darwin" else 1024.0)


def timed_writing(name: str, path: Path, rows: int, by_pandas: bool) -> Measured:
    locs = localizations(rows)
    table = locs.to_pandas() if by_pandas else None
    own = lambda name, path: formats.write_table(locs, path, catalog=CATALOG, format=name)  # noqa: E731
    theirs = lambda _, path: table.to_csv(path, index=False)  # type: ignore[union-attr]  # noqa: E731
    return timed(theirs if by_pandas else own, name, path)


def alone(call: Callable[..., Any], *args: Any) -> Any:
    """Run a call in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(call, *args).result()


def line(name: str, what: str, measured: dict[str, Measured]) -> None:
    shown = "".join(f"{way:>8s} {seconds:7.2f} s {peak:6.0f} MB" for way, (seconds, peak) in measured.items())
    ratio = measured["now"][0] / measured["pandas"][0]
    print(f"{name:18s}{what:7s}{shown}   now/pandas {ratio:5.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--sheet-rows", type=int, default=20_000, help="rows of the workbook")
    asked = parser.parse_args()
    reading: list[dict[str, Measured]] = []
    writing: list[dict[str, Measured]] = []
    readers = {"cells": read_cells, "pandas": read_pandas, "now": read_now}
    with tempfile.TemporaryDirectory() as scratch:
        for name in (*WRITTEN, *MADE):
            path = Path(scratch) / f"{name}.csv"
            if name in WRITTEN:
                ways = {"pandas": True, "now": False}
                writing.append({way: alone(timed_writing, name, path, asked.rows, how) for way, how in ways.items()})
                line(name, "write", writing[-1])
            alone(make, name, path, asked.rows)
            reading.append({way: alone(timed, reader, name, path) for way, reader in readers.items()})
            line(name, "read", reading[-1])
            path.unlink()
        book = Path(scratch) / "table.xlsx"
        alone(make, "table", book, asked.sheet_rows)
        measured = {way: alone(timed, readers[way], "table", book) for way in ("pandas", "now")}
        line(f"xlsx, {asked.sheet_rows} rows", "read", measured)
    whole = {
        "read_speedup": min(each["cells"][0] / each["now"][0] for each in reading),
        "read_over_pandas": max(each["now"][0] / each["pandas"][0] for each in reading),
        "write_over_pandas": max(each["now"][0] / each["pandas"][0] for each in writing),
        "xlsx_over_pandas": measured["now"][0] / measured["pandas"][0],
        "peak_mb": max(peak for each in (*reading, *writing) for _, peak in each.values()),
    }
    print(json.dumps({"rows": asked.rows} | {name: round(value, 3) for name, value in whole.items()}))


if __name__ == "__main__":
    main()
