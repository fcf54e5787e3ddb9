"""Spectra of single molecules from a table of the user (csv), a row each, with the name of its class in one column.

All other columns are bins, in their order, in photons. Validation and test are cut from what train names where they are
not given: the last rows of every class.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.data.contracts import ArrayFrames, Asked, Batch, Condition, Identity, Scope
from smlmbench.data.numbered import Stream, no_neighbours, seeds_of
from smlmbench.data.targets import digest_of
from smlmbench.errors import FormatError
from smlmbench.predictions import Ints
from smlmbench.registry import Card, Catalog
from smlmbench.study.sources import PluginSource
from smlmbench.truths.labels import STRANGER, Labelled, Labels

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Spectra from a table of the user, with the name of each one's class",
    "settings": {
        "spectra": {
            "default": "",
            "help": "csv, a row for each spectrum: a column of classes, the others are bins",
        },
        "label": {"default": "class", "help": "name of the column of classes"},
        "strangers": {"default": [], "help": "classes that are none and to be rejected"},
    },
    "facts": {
        "truth": "labels",
        "spectra": True,
        "truth_kind": "unstated",
        "files": {"spectra": "table"},
        "needs": ["spectra"],
        "cut": True,
    },
}

LEAST = 2  # spectra of each class in a part


class Rows(NamedTuple):
    """Spectra (n, 1, bins) with their labels, by name, (n,); empty names where the file has none."""

    spectra: NDArray[np.float32]
    labels: NDArray[np.str_]


@lru_cache(maxsize=4)
def _read(path: Path, label: str, _changed_ns: int) -> Rows:
    import pandas as pd

    try:
        table = pd.read_csv(path, skipinitialspace=True, dtype={label: str})
    except (ValueError, OSError) as error:
        raise FormatError(f"'{path.name}' is no table of spectra ({error}); give a csv with a row for each") from None
    labels = table.pop(label).fillna("") if label in table.columns else pd.Series([""] * len(table))
    values = table.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    if values.shape[1] < LEAST or not len(values):
        raise FormatError(f"'{path.name}' has {values.shape[0]} rows of {values.shape[1]} bins; give spectra")
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        name = table.columns[column]
        raise FormatError(f"'{path.name}': row {row + 1} has no number in column '{name}'; bins must be photons")
    return Rows(values[:, None].astype(np.float32), labels.to_numpy(dtype=str))


def read_spectra(path: Path, label: str = "class") -> Rows:
    """The spectra of a table; a column of that name holds classes, all others are bins.

    Raises:
        FormatError: No csv, or one with other things than numbers in its bins.
    """
    return _read(path, label, path.stat().st_mtime_ns)


class Part:
    """The spectra of a description's part, in the order of the file.

    Raises:
        FormatError: No such column, fewer than two classes, or too few spectra of one.
    """

    def __init__(self, description: PluginSource) -> None:
        settings = description.settings
        path, label = Path(settings["spectra"]), str(settings["label"])
        rows = read_spectra(path, label)
        if not (rows.labels != "").all():
            said = "has rows without a class" if (rows.labels != "").any() else "names no class"
            raise FormatError(f"'{path.name}' {said} in column '{label}'; name the column with label:")
        names = sorted(set(rows.labels.tolist()))
        self.classes = tuple(name for name in names if name not in settings["strangers"])
        if len(self.classes) < 2:
            raise FormatError(f"'{path.name}' has the classes {', '.join(self.classes)}; at least two are needed")
        kept = np.sort(np.concatenate([_cut(np.flatnonzero(rows.labels == name), description) for name in names]))
        self.spectra, labels = rows.spectra[kept], rows.labels[kept]
        numbers = {name: place for place, name in enumerate(self.classes)}
        self.index: Ints = np.array([numbers.get(name, STRANGER) for name in labels.tolist()], dtype=np.int64)


def _cut(rows: Ints, description: PluginSource) -> Ints:
    """Rows of one class that belong to the part: first those of training, then validation, test last."""
    part = description.part
    if part is None:
        return rows
    first_test = len(rows) - round(len(rows) * part.test)
    first_val = first_test - round(len(rows) * part.val)
    ends = {"train": (0, first_val), "val": (first_val, first_test), "test": (first_test, len(rows))}
    own = rows[slice(*ends[part.role])]
    if len(own) < LEAST:
        path = Path(description.settings["spectra"]).name
        raise FormatError(f"'{path}': a class has {len(own)} of {len(rows)} spectra for {part.role}; give more of them")
    return own


def training_set(description: PluginSource, identity: Identity, scope: Scope, catalog: Catalog) -> Stream:
    """Each spectrum is drawn by its number from all of the part; the repeat moves it."""
    del catalog
    no_neighbours(scope, "spectra")
    part, seed_of = Part(description), seeds_of(scope, identity)

    def batch(first: int, count: int) -> Batch:
        rows = [seed_of(number) % len(part.index) for number in range(first, first + count)]
        return Batch(torch.from_numpy(part.spectra[rows]), Labelled(torch.from_numpy(part.index[rows])), first)

    return Stream(batch, part.spectra.shape[1:], {"classes": list(part.classes)}, lambda: part.spectra)


def condition(name: str, description: PluginSource, identity: Identity, asked: Asked, catalog: Catalog) -> Condition:
    """The spectra of a part; photons are all that a spectrum holds, its background too."""
    del catalog
    part = Part(description)
    photons = part.spectra.sum(axis=(1, 2), dtype=np.float64)
    truth = Labels(part.classes, part.index, photons)
    digest = digest_of(identity, asked.role)
    return Condition(name, ArrayFrames(part.spectra, axes=1), truth, digest, truth_kind="unstated")


def small(folder: Path) -> PluginSource:
    """A description for checks: a table of a few spectra, written into a folder."""
    draws = np.random.default_rng(0)
    lines = ["class," + ",".join(f"bin{place}" for place in range(24))]
    for number in range(40):
        middle = 9 if number % 2 else 14
        values = draws.poisson(2 + 30 * np.exp(-((np.arange(24) - middle) ** 2) / 8))
        lines.append(",".join(["red" if number % 2 else "far_red", *map(str, values)]))
    path = folder / "spectra.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    card = Card(**CARD)
    filled = card.fill("labelled_spectra", {"spectra": str(path)})
    return PluginSource(kind="labelled_spectra", settings=filled, facts=card.facts)
