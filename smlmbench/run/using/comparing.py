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
from smlmbench.tasks.contracts import Scores
from smlmbench.tasks.localization import ImageRule, score

IMAGES = {".mat", ".tif", ".tiff"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is compared and how.

    Attributes:
        found: Table or image of any program.
        truth: True table.
        scoring: Protocol; its border is 0 where the field is not given.
        field_nm: Extent along x and y; None takes the tables'.
        fine_pixel_nm: Grid of image scores; for an image its pixel.
        label_rule: floor, or ds for files of Deep-STORM.
        min_photons: Dimmer true emitters are neutral.
        found_format: Registered format; None finds it.
        truth_format: The same of the truth.
        pixel_size_nm: Camera pixel of tables in pixels; None takes what they state.
    """

    found: Path
    truth: Path
    scoring: Scoring
    field_nm: tuple[float, float] | None = None
    fine_pixel_nm: float = 12.5
    label_rule: str = "floor"
    min_photons: float = 0.0
    found_format: str | None = None
    truth_format: str | None = None
    pixel_size_nm: float | None = None


def compare(comparison: Comparison, catalog: Catalog) -> Scores:
    """Score one file against the truth.

    Raises:
        ConfigError: A border without a field, or a true table without rows.
    """
    options = TableOptions(field_nm=comparison.field_nm, pixel_size_nm=comparison.pixel_size_nm)
    truth = read_table(comparison.truth, catalog=catalog, format=comparison.truth_format, options=options)
    prediction = _prediction(comparison, catalog, options)
    if not len(truth):
        raise ConfigError(f"'{comparison.truth.name}' holds no positions; give the table of true emitters")
    field_nm = comparison.field_nm or _field(truth, prediction)
    if prediction.table is not None:
        n_frames = max(truth.n_frames, prediction.table.n_frames)
        truth = replace(truth, n_frames=n_frames, field_nm=field_nm)
        table = replace(prediction.table, n_frames=n_frames, field_nm=field_nm)
        prediction = Prediction(table, prediction.image)
    else:
        truth = replace(truth, field_nm=field_nm)
    if comparison.field_nm is None and comparison.scoring.border_nm > 0:
        raise ConfigError("a border needs the field; add --field-nm WIDTH HEIGHT or --border-nm 0")
    # The frames themselves are not looked at; pixels of 1 nm give any field, and a broadcast zero takes no memory.
    width, height = (math.ceil(side_nm) for side_nm in field_nm)
    condition = Condition(
        name="comparison",
        frames=ArrayFrames(np.broadcast_to(np.float32(0), (truth.n_frames, height, width))),
        truth=truth,
        pixel_size_nm=1.0,
        min_photons=comparison.min_photons,
        digest="",
        facts=facts(truth, min_photons=comparison.min_photons, psf_sigma_nm=None),
    )
    rule = ImageRule(comparison.fine_pixel_nm, comparison.label_rule)
    return score(prediction, condition, rule, comparison.scoring, catalog)


def _prediction(comparison: Comparison, catalog: Catalog, options: TableOptions) -> Prediction:
    path, name = comparison.found, comparison.found_format
    holds_image = path.suffix.lower() in IMAGES
    if name in catalog.names("formats"):
        holds_image = catalog.card("formats", name).facts["holds"] == "image"
    if holds_image:
        values = read_image(path, catalog=catalog, format=name)
        return Prediction(image=Raster(values[None], comparison.fine_pixel_nm))
    return Prediction(table=read_table(path, catalog=catalog, format=name, options=options))


def _field(truth: Localizations, prediction: Prediction) -> tuple[float, float]:
    fields = [truth.field_nm]
    if prediction.table is not None:
        fields.append(prediction.table.field_nm)
    if prediction.image is not None:
        height, width = prediction.image.values.shape[1:]
        fields.append((width * prediction.image.pixel_nm, height * prediction.image.pixel_nm))
    return max(field[0] for field in fields), max(field[1] for field in fields)
