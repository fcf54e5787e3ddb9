"""A plan as rows of text."""

from collections.abc import Mapping

from smlmbench.registry import Catalog
from smlmbench.study.cells import Cell, Picked, Plan, Reference
from smlmbench.study.reading.choices import WEIGHT
from smlmbench.study.schema import Training

COLUMNS = ("id", "status", "data", "model", "method", "teacher", "loss", "lambda", "repeat", "settings", "reason")
PLAIN = ("supervised", "reference", "none")  # methods and teachers that say nothing


def plan_table(plan: Plan) -> list[dict[str, str]]:
    """One row for every cell, reference and skipped combination; the keys are `COLUMNS`.

    Under `settings` stands what differs from the defaults of the cards.
    """
    plugins = [row.plugins for row in plan.cells[:1]] or [row.plugins for row in plan.references[:1]]
    catalog = Catalog(plugins[0] if plugins else ())
    controls = [one.student.model_copy(update={"control": "longer"}) for one in plan.pending]
    later = "its samples are measured at the first run, and kept"
    return [
        *(_row(one.labels, id=one.cell_id, status="planned", settings=_settings(catalog, one)) for one in plan.cells),
        *(_row(one.labels, status="pending", settings=_settings(catalog, one), reason=later) for one in controls),
        *(_reference(catalog, row) for row in plan.references),
        *(_row(row.labels, status="skipped", reason=row.reason) for row in plan.skipped),
    ]


def _row(labels: Mapping[str, str], **more: str) -> dict[str, str]:
    said = {name: text for name, text in labels.items() if name not in ("method", "teacher") or text not in PLAIN}
    return {column: more.get(column, said.get(column, "")) for column in COLUMNS}


def _reference(catalog: Catalog, row: Reference) -> dict[str, str]:
    settings = ", ".join(_changed(catalog, "references", row.reference))
    named = {"data": row.data.name, "model": row.reference.name}
    return _row(named, id=row.reference_id, status="reference", settings=settings)


def _settings(catalog: Catalog, cell: Cell) -> str:
    """What is not a default in one cell."""
    unweighted = {key: value for key, value in cell.loss.settings.items() if key != WEIGHT}
    loss = cell.loss.model_copy(update={"settings": unweighted})
    stated = Training.model_construct(**getattr(catalog.card("models", cell.model.name), "training", {}))
    teacher = cell.teaching.model if cell.teaching is not None else None
    return ", ".join(
        [
            *_changed(catalog, "models", cell.model),
            *_changed(catalog, "outputs", cell.output),
            *_changed(catalog, "losses", loss),
            *(f"{key}={value}" for key, value in cell.training if value != getattr(stated, key)),
            *_changed(catalog, "recipes", cell.method),
            *(f"teacher.{text}" for text in (_changed(catalog, "models", teacher) if teacher is not None else ())),
        ]
    )


def _changed(catalog: Catalog, room: str, picked: Picked) -> list[str]:
    """`key=value` of every setting that is not the card's default."""
    defaults = catalog.card(room, picked.name).settings
    return [f"{key}={value}" for key, value in picked.settings.items() if value != defaults[key].default]
