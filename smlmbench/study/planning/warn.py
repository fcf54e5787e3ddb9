"""What is allowed and still likely to be a mistake; printed with the plan."""

from collections.abc import Sequence

from smlmbench.registry import Catalog, ModelCard
from smlmbench.study.cells import Cell
from smlmbench.study.reading.choices import WEIGHT

MIN_REPEATS = 3  # PROTOCOL section 5


def warnings_of(catalog: Catalog, cells: Sequence[Cell]) -> list[str]:
    """One line for each distinct reason to look again at a plan."""
    losses = {(cell.loss.name, tuple(map(str, cell.loss.settings.items()))): cell for cell in cells}
    pairs = {(cell.data.name, cell.model.name, tuple(map(str, cell.model.settings.items()))): cell for cell in cells}
    found = [_collapse(catalog, cell) for cell in losses.values()]
    found += [_guard(catalog, cell) for cell in pairs.values()]
    repeats = len({cell.repeat for cell in cells})
    if 0 < repeats < MIN_REPEATS:
        found.append(f"repeats {repeats}: below {MIN_REPEATS} trainings of a kind no interval can be given")
    return list(dict.fromkeys(text for text in found if text))


def _collapse(catalog: Catalog, cell: Cell) -> str | None:
    card = catalog.card("losses", cell.loss.name)
    threshold = card.under(cell.loss.settings).facts.get("collapse_lambda")
    weight = cell.loss.settings.get(WEIGHT)
    if threshold is None or weight is None or weight >= threshold:
        return None
    variant = card.variant(cell.loss.settings).replace("=", " ")
    name = f"{cell.loss.name} with {variant}" if variant else cell.loss.name
    said = f"loss {name}: lambda {weight:g} is below its collapse threshold {threshold:g}"
    return f"{said}, so the network may learn to answer nothing"


def _guard(catalog: Catalog, cell: Cell) -> str | None:
    card = catalog.card("models", cell.model.name).under(cell.model.settings)
    reach = card.receptive_field_px if isinstance(card, ModelCard) else 0.0
    why = cell.data.train.leak(reach, cell.model.name)
    return None if why is None else f"data {cell.data.name}: {why}"
