"""A plan as rows of text."""

from collections.abc import Mapping
from typing import Any

from smlmbench.registry import Catalog
from smlmbench.study.cells import Cell, Pending, Picked, Plan, Reference
from smlmbench.study.reading.choices import WEIGHT
from smlmbench.study.schema import Training

COLUMNS = ("id", "status", "data", "model", "method", "teacher", "loss", "lambda", "repeat", "settings", "reason")
PLAIN = ("supervised", "reference", "none")  # methods and teachers that say nothing


def plan_table(plan: Plan) -> list[dict[str, str]]:
    """One row for every cell, reference and skipped combination; the keys are `COLUMNS`.

    Under `settings` stands what differs from the defaults of the cards.
    """
    plugins = [row.plugins for row in plan.cells[:1]] or [row.plugins for row in plan.references[:1]]
    shown = _Shown(Catalog(plugins[0] if plugins else ()))
    return [
        *(_row(cell.labels, id=cell.cell_id, status="planned", settings=shown.cell(cell)) for cell in plan.cells),
        *(_pending(one, shown) for one in plan.pending),
        *(_reference(row, shown) for row in plan.references),
        *(_row(row.labels, status="skipped", reason=row.reason) for row in plan.skipped),
    ]


def _row(labels: Mapping[str, str], **more: str) -> dict[str, str]:
    said = {name: text for name, text in labels.items() if name not in ("method", "teacher") or text not in PLAIN}
    return {column: more.get(column, said.get(column, "")) for column in COLUMNS}


def _pending(pending: Pending, shown: "_Shown") -> dict[str, str]:
    cell = pending.student.model_copy(update={"control": "longer"})
    reason = "its samples are measured at the first run, and kept"
    return _row(cell.labels, status="pending", settings=shown.cell(cell), reason=reason)


def _reference(row: Reference, shown: "_Shown") -> dict[str, str]:
    settings = shown.changed("references", row.reference.name, row.reference.settings)
    named = {"data": row.data.name, "model": row.reference.name}
    return _row(named, id=row.reference_id, status="reference", settings=", ".join(settings))


class _Shown:
    """Settings that differ from the cards' defaults."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def cell(self, cell: Cell) -> str:
        """What is not a default in one cell."""
        loss = {key: value for key, value in cell.loss.settings.items() if key != WEIGHT}
        return ", ".join(
            [
                *self.changed("models", cell.model.name, cell.model.settings),
                *self.changed("outputs", cell.output.name, cell.output.settings),
                *self.changed("losses", cell.loss.name, loss),
                *self._training(cell),
                *self._method(cell),
            ]
        )

    def changed(self, room: str, name: str, settings: Mapping[str, Any]) -> list[str]:
        """`key=value` of every setting that is not the card's default."""
        defaults = self.catalog.card(room, name).settings
        return [f"{key}={value}" for key, value in settings.items() if value != defaults[key].default]

    def _training(self, cell: Cell) -> list[str]:
        stated = getattr(self.catalog.card("models", cell.model.name), "training", {})
        defaults = Training.model_construct(**stated)
        return [f"{key}={value}" for key, value in cell.training if value != getattr(defaults, key)]

    def _method(self, cell: Cell) -> list[str]:
        teacher = [] if cell.teaching is None or cell.teaching.model is None else self._teacher(cell.teaching.model)
        return [*self.changed("recipes", cell.method.name, cell.method.settings), *teacher]

    def _teacher(self, model: Picked) -> list[str]:
        return [f"teacher.{text}" for text in self.changed("models", model.name, model.settings)]
