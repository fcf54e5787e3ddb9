"""Data sets of a study, drawn or opened once per process and shared by its cells."""

import math
from collections import OrderedDict
from dataclasses import asdict, dataclass
from typing import TypeVar

from smlmbench import data
from smlmbench.data.contracts import Condition, Given, Scope, TrainingSet
from smlmbench.registry import Catalog, ModelCard
from smlmbench.study.cells import Cell, Reference
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

    def splits(self, row: Cell | Reference) -> Splits:
        """Validation and test conditions of a row's data, with the further sets that its task wants."""
        plan, extras = row.data, self._extras(row)
        key = short_hash(
            {"train": plan.train_identity, "test": plan.test_identity, "seed": row.root_seed, "extras": extras}
        )
        if key not in self._splits:
            self._splits[key] = Splits(
                data.validation(plan, row.root_seed, self.catalog),
                data.conditions(plan, row.root_seed, self.catalog, extras),
            )
        return _fresh(self._splits, key)

    def holdout(self, cell: Cell) -> Condition | None:
        """The third frozen set of a data entry, or None where none can be drawn."""
        extras = self._extras(cell)
        key = short_hash({"holdout": cell.data.train_identity, "seed": cell.root_seed, "extras": extras})
        if key not in self._holdouts:
            self._holdouts[key] = data.holdout(cell.data, cell.root_seed, self.catalog, extras)
        return _fresh(self._holdouts, key)

    def _extras(self, row: Cell | Reference) -> list[str]:
        return list(self.catalog.card("tasks", row.task).facts.get("extras", ()))

    def training(self, cell: Cell) -> TrainingSet:
        """The training stream of a cell."""
        scope = Scope(cell.root_seed, cell.repeat, cell.training.augment, self._context(cell))
        key = short_hash({"train": cell.data.train_identity, **asdict(scope)})
        if key not in self._training:
            self._training[key] = data.training_set(cell.data, scope, self.catalog)
        return _fresh(self._training, key)

    def _context(self, cell: Cell) -> int:
        card = self.catalog.card("models", cell.model.name)
        return card.frames_at_once(cell.model.settings) if isinstance(card, ModelCard) else 1

    def given(self, cell: Cell) -> Given:
        """What the cell's network is told about its data."""
        stream, context = self.training(cell), self._context(cell)
        return Given(
            channels=stream.sample_shape[0] * context,
            upsampling=int(cell.output.settings.get("upsampling", 1)),
            pixel_size_nm=float(stream.output_settings.get("pixel_size_nm", math.nan)),
            statistics=stream.statistics,
            context=context,
        )


def _fresh(kept: "OrderedDict[str, Kept]", key: str) -> Kept:
    kept.move_to_end(key)
    while len(kept) > KEPT:
        kept.popitem(last=False)
    return kept[key]


def first_units(condition: Condition, count: int | None) -> Condition:
    """The first units of a condition with their truth; all where there are no more."""
    return condition if count is None or count >= condition.frames.n_frames else condition.part(0, count)
