"""Score a table, or an image, of any program against a true table."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.data.facts import facts
from smlmbench.errors import ConfigError
from smlmbench.formats import read_image, read_table
from smlmbench.formats.options import TableOptions
from smlmbench.predictions import Localizations, Prediction, Raster
from smlmbench.registry import Catalog
from smlmbench.study.schema import Scoring
from smlmbench.truths.emitters import Emitters

IMAGES = {".mat", ".tif", ".tiff"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A table or image of any program and a true table, as files or in memory, and how they are compared.

    Attributes:
        scoring: Protocol; its border is 0 where the field is not given.
        field_nm: Extent along x and y; None takes the tables'.
        fine_pixel_nm: Grid of image scores; for an image its pixel.
        label_rule: floor, or ds for files of Deep-STORM.
        min_photons: Dimmer true emitters are neutral.
        found_format, truth_format: Registered formats; None finds them.
        pixel_size_nm: Camera pixel of tables in pixels; None takes what they state.
    """

    found: Path | Localizations | Raster
    truth: Path | Localizations
    scoring: Scoring
    field_nm: tuple[float, float] | None = None
    fine_pixel_nm: float = 12.5
    label_rule: str = "floor"
    min_photons: float = 0.0
    found_format: str | None = None
    truth_format: str | None = None
    pixel_size_nm: float | None = None


def opened(comparison: Comparison, catalog: Catalog) -> tuple[Prediction, Condition]:
    """Read both files, as a row's answer and the condition that it is scored on.

    Raises:
        ConfigError: A border without a field, or a true table without rows.
    """
    options = TableOptions(field_nm=comparison.field_nm, pixel_size_nm=comparison.pixel_size_nm)
    truth, name = comparison.truth, "the truth"
    if isinstance(truth, Path):
        name = f"'{truth.name}'"
        truth = read_table(truth, catalog=catalog, format=comparison.truth_format, options=options, names_unread=True)
    answer = _answer(comparison, catalog, options)
    if not len(truth):
        raise ConfigError(f"{name} holds no positions; give the table of true emitters")
    field_nm = comparison.field_nm or _field(truth, answer)
    n_frames = truth.n_frames
    if answer.table is not None:
        n_frames = max(n_frames, answer.table.n_frames)
        answer = replace(answer, table=replace(answer.table, n_frames=n_frames, field_nm=field_nm))
    truth = replace(truth, n_frames=n_frames, field_nm=field_nm)
    if comparison.field_nm is None and comparison.scoring.border_nm > 0:
        raise ConfigError("a border needs the field; add --field-nm WIDTH HEIGHT or --border-nm 0")
    # The frames themselves are not looked at; pixels of 1 nm give any field, and a broadcast zero takes no memory.
    width, height = (math.ceil(side_nm) for side_nm in field_nm)
    condition = Condition(
        name="comparison",
        frames=ArrayFrames(np.broadcast_to(np.float32(0), (n_frames, height, width))),
        truth=Emitters(truth, comparison.min_photons),
        facts=facts(truth, min_photons=comparison.min_photons, psf_sigma_nm=None),
        told={"pixel_size_nm": 1.0},
    )
    return answer, condition


def _answer(comparison: Comparison, catalog: Catalog, options: TableOptions) -> Prediction:
    path, name = comparison.found, comparison.found_format
    if isinstance(path, Localizations):
        return Prediction(path, None, comparison.fine_pixel_nm, comparison.label_rule)
    if isinstance(path, Raster):
        return Prediction(None, path, path.pixel_nm, comparison.label_rule)
    holds_image = path.suffix.lower() in IMAGES
    if name in catalog.names("formats"):
        holds_image = catalog.card("formats", name).facts["holds"] == "image"
    if holds_image:
        image = Raster(read_image(path, catalog=catalog, format=name)[None], comparison.fine_pixel_nm)
        return Prediction(None, image, comparison.fine_pixel_nm, comparison.label_rule)
    table = read_table(path, catalog=catalog, format=name, options=options, names_unread=True)
    return Prediction(table, None, comparison.fine_pixel_nm, comparison.label_rule)


def _field(truth: Localizations, answer: Prediction) -> tuple[float, float]:
    fields = [truth.field_nm]
    if answer.table is not None:
        fields.append(answer.table.field_nm)
    if answer.image is not None:
        height, width = answer.image.values.shape[1:]
        fields.append((width * answer.image.pixel_nm, height * answer.image.pixel_nm))
    return max(field[0] for field in fields), max(field[1] for field in fields)
