"""What is allowed and still likely to be a mistake; printed with the plan."""

from collections.abc import Sequence

from smlmbench.registry import Catalog, ModelCard
from smlmbench.study.cells import Cell, DataPlan
from smlmbench.study.reading.choices import WEIGHT
from smlmbench.study.sources import MovieSource

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
    """PROTOCOL section 2: the guard should be wider than half of the receptive field and three sigma."""
    source = _cut_by_columns(cell.data)
    card = catalog.card("models", cell.model.name).under(cell.model.settings)
    if source is None or not isinstance(card, ModelCard):
        return None
    sigma_nm = (source.psf or {}).get("sigma_nm", 0.0)
    reach = card.receptive_field_px / 2 + 3 * (sigma_nm if isinstance(sigma_nm, float) else 0.0) / source.pixel_size_nm
    if reach <= source.guard_px:
        return None
    said = (
        f"data {cell.data.name}: guard_px {source.guard_px} is below the {reach:.0f} px that {cell.model.name} reaches"
    )
    return f"{said}, so training sees into its test columns"


def _cut_by_columns(data: DataPlan) -> MovieSource | None:
    source = data.train
    if isinstance(source, MovieSource) and source.part is not None and source.part.rule == "columns":
        return source
    return None
