"""Data sets of a study, drawn or opened once per process and shared by its cells."""

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from smlmbench import data
from smlmbench.data.contracts import ArrayFrames, Condition, Given, TrainingSet
from smlmbench.data.images import FirstPairs
from smlmbench.registry import Catalog
from smlmbench.study.cells import Cell, DataPlan
from smlmbench.study.identity import short_hash

KEPT = 4
Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True)
class Splits:
    """The frozen parts of one data entry."""

    validation: Condition
    tests: dict[str, Condition]


class Materials:
    """Opens sources on demand and keeps the last few."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._splits: OrderedDict[str, Splits] = OrderedDict()
        self._training: OrderedDict[str, TrainingSet] = OrderedDict()
        self._holdouts: OrderedDict[str, Condition | None] = OrderedDict()

    def splits(self, plan: DataPlan, root_seed: int) -> Splits:
        """Validation and test conditions of a data entry."""
        key = short_hash({"train": plan.train_identity, "test": plan.test_identity, "seed": root_seed})
        if key not in self._splits:
            self._splits[key] = Splits(
                data.validation(plan, root_seed, self.catalog), data.conditions(plan, root_seed, self.catalog)
            )
        return _fresh(self._splits, key)

    def holdout(self, plan: DataPlan, root_seed: int) -> Condition | None:
        """The third frozen set of a data entry, or None where none can be drawn."""
        key = short_hash({"holdout": plan.train_identity, "seed": root_seed})
        if key not in self._holdouts:
            self._holdouts[key] = data.holdout(plan, root_seed, self.catalog)
        return _fresh(self._holdouts, key)

    def training(self, cell: Cell) -> TrainingSet:
        """The training stream of a cell."""
        identity = {"train": cell.data.train_identity, "seed": cell.root_seed, "repeat": cell.repeat}
        key = short_hash({**identity, "augment": cell.training.augment})
        if key not in self._training:
            self._training[key] = data.training_set(
                cell.data, cell.root_seed, cell.repeat, self.catalog, cell.training.augment
            )
        return _fresh(self._training, key)

    def given(self, cell: Cell) -> Given:
        """What the cell's network is told about its data."""
        stream = self.training(cell)
        return Given(
            channels=1,
            upsampling=int(cell.output.settings.get("upsampling", 1)),
            pixel_size_nm=stream.pixel_size_nm,
            statistics=stream.statistics,
        )


def _fresh(kept: "OrderedDict[str, Kept]", key: str) -> Kept:
    kept.move_to_end(key)
    while len(kept) > KEPT:
        kept.popitem(last=False)
    return kept[key]


def first_frames(condition: Condition, count: int | None) -> Condition:
    """The first frames of a condition with their truth, held in memory; of image pairs the first pairs, as they are."""
    if condition.pairs is not None:
        pairs = condition.pairs if count is None else FirstPairs(condition.pairs, count)
        return replace(condition, pairs=pairs)
    if count is None or count >= condition.frames.n_frames:
        return condition
    truth = condition.truth
    if truth is not None:
        truth = replace(truth.select(truth.frame < count), n_frames=count)
    frames = ArrayFrames(np.ascontiguousarray(condition.frames.read(0, count)))
    return replace(condition, frames=frames, truth=truth, signal_free=None)
