"""Data sets of a study, drawn or opened once per process and shared by its cells."""

import math
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from smlmbench import data
from smlmbench.data.contracts import Condition, Given, Scope, TrainingSet
from smlmbench.inference.engine import frame_multiple
from smlmbench.registry import Catalog
from smlmbench.study.cells import Cell, Reference, context_of
from smlmbench.study.identity import short_hash

KEPT = 4
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Splits:
    """The frozen parts of one data entry."""

    validation: Condition
    tests: dict[str, Condition]


class Materials:
    """Opens sources on demand and keeps the last few of each kind."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._kept: dict[str, OrderedDict[str, Any]] = defaultdict(OrderedDict)

    def _once(self, kind: str, content: Any, make: Callable[[], Made]) -> Made:
        kept, key = self._kept[kind], short_hash(content)
        if key not in kept:
            kept[key] = make()
        kept.move_to_end(key)
        while len(kept) > KEPT:
            kept.popitem(last=False)
        made: Made = kept[key]
        return made

    def splits(self, row: Cell | Reference) -> Splits:
        """Validation and test conditions of a row's data, with the further sets that its task wants."""
        plan, extras, asked = row.data, self._extras(row), (row.root_seed, self.catalog)
        content = [plan.train_identity, plan.test_identity, row.root_seed, extras]
        return self._once(
            "splits",
            content,
            lambda: Splits(data.validation(plan, *asked, extras), data.conditions(plan, *asked, extras)),
        )

    def holdout(self, cell: Cell) -> Condition | None:
        """The third frozen set of a data entry, or None where none can be drawn."""
        seed, extras = cell.root_seed, self._extras(cell)
        content = [cell.data.train_identity, seed, extras]
        return self._once("holdout", content, lambda: data.holdout(cell.data, seed, self.catalog, extras))

    def _extras(self, row: Cell | Reference) -> list[str]:
        return list(self.catalog.card("tasks", row.task).facts.get("extras", ()))

    def training(self, cell: Cell) -> TrainingSet:
        """The training stream of a cell."""
        scope = Scope(cell.root_seed, cell.repeat, cell.training.augment, context_of(cell.model, self.catalog))
        content = [cell.data.train_identity, asdict(scope)]
        return self._once("training", content, lambda: data.training_set(cell.data, scope, self.catalog))

    def output_settings(self, cell: Cell) -> dict[str, Any]:
        """Settings of the cell's output kind with what the data add: the camera pixel, and what its card asks for."""
        stream, asks = self.training(cell), self.catalog.card("outputs", cell.output.name).facts.get("asks")
        taught = getattr(stream, "taught", {}) if asks else {}
        added = {name: taught[name] for name in asks or () if name in taught}
        return {**cell.output.settings, **stream.output_settings, **added}

    def unit_sides(self, cell: Cell) -> tuple[int, ...]:
        """Sides of its inputs where the task's are never cut or resized, else nothing."""
        whole = self.catalog.card("tasks", cell.task).facts.get("whole_units")
        return tuple(self.training(cell).sample_shape[1:]) if whole else ()

    def given(self, cell: Cell) -> Given:
        """What the cell's network is told about its data."""
        stream, context = self.training(cell), context_of(cell.model, self.catalog)
        return Given(
            channels=stream.sample_shape[0] * context,
            upsampling=upsampling_of(cell),
            pixel_size_nm=float(stream.output_settings.get("pixel_size_nm", math.nan)),
            statistics=stream.statistics,
            context=context,
            output=self.output_settings(cell),
            unit_sides=self.unit_sides(cell),
        )

    def multiple_px(self, cell: Cell) -> int:
        """Camera pixels of which the sides of the network's frames are a multiple."""
        card = self.catalog.card("models", cell.model.name).under(cell.model.settings)
        return frame_multiple(card.facts, upsampling_of(cell))


def upsampling_of(cell: Cell) -> int:
    """Fine pixels per camera pixel of a cell's output along one axis."""
    return int(cell.output.settings.get("upsampling", 1))


def first_units(condition: Condition, count: int | None) -> Condition:
    """The first units of a condition with their truth; all where there are no more."""
    return condition if count is None or count >= condition.frames.n_frames else condition.part(0, count)
