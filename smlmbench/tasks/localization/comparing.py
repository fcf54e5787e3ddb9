"""Score a table, or an image, of any program against a true table."""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.data.facts import facts
from smlmbench.errors import ConfigError, LossWarning, SizeError
from smlmbench.formats import kinds, read_image, read_table
from smlmbench.formats.options import TableOptions
from smlmbench.formats.tiff_image import write_image
from smlmbench.metrics.squirrel import match
from smlmbench.predictions import Localizations, Prediction, Raster
from smlmbench.registry import Catalog
from smlmbench.study.schema import Scoring
from smlmbench.tasks.localization.scoring import WIDEFIELD, images_of
from smlmbench.truths.emitters import Emitters
from smlmbench.truths.misfit import misfit

FAR, MORE_FRAMES = 3.0, 1000  # times the truth's extent; beyond twice its frames
MOST_FRAMES, MOST_PIXELS = 5_000_000, 2**28
CAMERA_PIXEL_NM = 100.0  # a usual one, to say how far apart two tables are where none is stated


@dataclass(frozen=True, slots=True)
class Comparison:
    """A table or image of any program and a true table, as files or in memory, and how they are compared.

    Attributes:
        scoring: Protocol; None or a border of None: 450 nm where the field is given, else 0.
        field_nm: Extent along x and y; None takes the tables'.
        fine_pixel_nm: Grid of image scores; for an image its pixel.
        label_rule: floor, or ds for files of Deep-STORM.
        min_photons: Dimmer true emitters are neutral.
        found_format, truth_format: Registered formats; None finds them.
        found_as, truth_as: How the tables are read: first_frame, origin, columns (see `TableOptions`).
        pixel_size_nm: Camera pixel of tables in pixels; None takes what they state.
        widefield: Image of the same field as a camera sees it; with it no truth is needed.
        page: Of an image file with several; None where it has one.
        error_map: TIFF to write: what is left of the widefield after the best blur of the image, on its grid.
    """

    found: Path | Localizations | Raster
    truth: Path | Localizations | None
    scoring: Scoring
    field_nm: tuple[float, float] | None = None
    fine_pixel_nm: float = 12.5
    label_rule: str = "floor"
    min_photons: float = 0.0
    found_format: str | None = None
    truth_format: str | None = None
    found_as: Mapping[str, Any] = field(default_factory=dict)
    truth_as: Mapping[str, Any] = field(default_factory=dict)
    pixel_size_nm: float | None = None
    widefield: Path | None = None
    page: int | None = None
    error_map: Path | None = None

    def reading(self, stated: Mapping[str, Any]) -> TableOptions:
        """What is known of one of the tables."""
        return TableOptions(field_nm=self.field_nm, pixel_size_nm=self.pixel_size_nm, **stated)


@dataclass(frozen=True, slots=True)
class _Unseen:
    """Frames that nobody looks at; pixels of 1 nm give any field."""

    n_frames: int
    height: int
    width: int

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Nothing is there."""
        raise SizeError(f"frames {start} ... {stop} of two tables that are compared; there are none")


def opened(comparison: Comparison, catalog: Catalog) -> tuple[Prediction, Condition]:
    """Read both files, as a row's answer and the condition that it is scored on.

    Warns (LossWarning) of rows far outside, and where the table fits the truth better otherwise than as stated.

    Raises:
        ConfigError: A border without a field, a true table without rows, or neither a truth nor a widefield image.
        SizeError: A true table that is of no movie.
    """
    truth, name = comparison.truth, "the truth"
    if truth is None:
        return _without_truth(comparison, _answer(comparison, catalog), catalog)
    if isinstance(truth, Path):
        name = f"'{truth.name}'"
        options = comparison.reading(comparison.truth_as)
        truth = read_table(truth, catalog=catalog, format=comparison.truth_format, options=options, names_unread=True)
    answer = _answer(comparison, catalog)
    if not len(truth):
        raise ConfigError(f"{name} holds no positions; give the table of true emitters")
    if truth.n_frames > MOST_FRAMES:
        said = f"{name} goes to frame {truth.n_frames} in {len(truth)} rows"
        raise SizeError(f"{said}; at most {MOST_FRAMES} are scored: see whether its frames are times")
    field_nm, n_frames = comparison.field_nm or _field(truth, answer), truth.n_frames
    _check_drawn(field_nm, comparison.fine_pixel_nm)
    if answer.table is not None:
        n_frames = _frames(truth, answer.table)
        _warn(comparison, answer.table, truth, field_nm)
        answer = replace(answer, table=replace(answer.table, n_frames=n_frames, field_nm=field_nm))
    truth = replace(truth, n_frames=n_frames, field_nm=field_nm)
    if comparison.field_nm is None and comparison.scoring.border_nm > 0:
        raise ConfigError("a border needs the field; add --field-nm WIDTH HEIGHT or --border-nm 0")
    width, height = (math.ceil(side_nm) for side_nm in field_nm)
    described = facts(truth, min_photons=comparison.min_photons, psf_sigma_nm=None)
    condition = Condition(
        name="comparison",
        frames=_Unseen(n_frames, height, width),
        truth=Emitters(truth, comparison.min_photons),
        facts={**described, "field_known": float(comparison.field_nm is not None), "frames_known": 0.0},
        told={"pixel_size_nm": 1.0},
        extras=_widefield(comparison, catalog),
    )
    return answer, condition


def _without_truth(comparison: Comparison, answer: Prediction, catalog: Catalog) -> tuple[Prediction, Condition]:
    """An image or a table beside a widefield image alone; a table needs the field, which is the image's too."""
    seen, field_nm = _widefield(comparison, catalog), comparison.field_nm
    if not seen:
        raise ConfigError("no true table and no widefield image is given; give one, such as --widefield mean.tif")
    if answer.image is not None:
        field_nm = _field(None, answer)
    if field_nm is None:
        raise ConfigError("a table beside a widefield image needs the field of the image; add --field-nm WIDTH HEIGHT")
    _check_drawn(field_nm, comparison.fine_pixel_nm)
    n_frames = 1 if answer.table is None else answer.table.n_frames
    width, height = (math.ceil(side_nm) for side_nm in field_nm)
    known = {"field_known": float(comparison.field_nm is not None), "frames_known": 0.0}
    told, frames = {"pixel_size_nm": 1.0}, _Unseen(n_frames, height, width)
    if answer.table is not None:
        answer = replace(answer, table=replace(answer.table, field_nm=field_nm))
    return answer, Condition("comparison", frames, None, facts=known, told=told, truth_kind="none", extras=seen)


def _widefield(comparison: Comparison, catalog: Catalog) -> dict[str, Condition]:
    """The widefield image as a movie of one frame, by the name under which it is looked for."""
    if comparison.widefield is None:
        return {}
    frames = ArrayFrames(read_image(comparison.widefield, catalog=catalog)[None])
    return {WIDEFIELD: Condition(WIDEFIELD, frames, None)}


def write_errors(path: Path, answer: Prediction, condition: Condition) -> None:
    """Write |difference| of the widefield and the answer's image (or its table, counted), blurred as fits best.

    Raises:
        ConfigError: There is no widefield, or nothing can be matched with it.
        FormatError: The file cannot be written.
    """
    images = images_of(answer, condition)
    said = "no widefield image is given" if images.mean_frame is None else "there is no image"
    found = said if images.image is None or images.mean_frame is None else match(images.image, images.mean_frame)
    if isinstance(found, str):
        raise ConfigError(f"no error map can be made: {found}; give an image and --widefield IMAGE")
    write_image(path, found.error, images.fine_pixel_nm)


def _check_drawn(field_nm: tuple[float, float], fine_pixel_nm: float) -> None:
    pixels = math.prod(side_nm / fine_pixel_nm for side_nm in field_nm)
    if pixels > MOST_PIXELS:
        said = f"a field of {field_nm[0]:g} x {field_nm[1]:g} nm has {pixels:.3g} pixels of {fine_pixel_nm:g} nm"
        raise SizeError(f"{said}, at most {MOST_PIXELS:.3g} are drawn; see the units, or give --fine-pixel-nm")


def _answer(comparison: Comparison, catalog: Catalog) -> Prediction:
    path, name = comparison.found, comparison.found_format
    if isinstance(path, Localizations):
        return Prediction(path, None, comparison.fine_pixel_nm, comparison.label_rule)
    if isinstance(path, Raster):
        return Prediction(None, path, path.pixel_nm, comparison.label_rule)
    may_hold = kinds(path, catalog=catalog)
    holds_image = "image" in may_hold and "table" not in may_hold
    if name in catalog.names("formats"):
        holds_image = catalog.card("formats", name).facts["holds"] == "image"
    if holds_image:
        settings = {} if comparison.page is None else {"page": comparison.page}
        values = read_image(path, catalog=catalog, format=name, settings=settings)
        image = Raster(values[None], comparison.fine_pixel_nm)
        return Prediction(None, image, comparison.fine_pixel_nm, comparison.label_rule)
    if comparison.page is not None:
        raise ConfigError(f"'{path.name}' holds a table, which has no pages; leave --page out")
    options = comparison.reading(comparison.found_as)
    table = read_table(path, catalog=catalog, format=name, options=options, names_unread=True)
    return Prediction(table, None, comparison.fine_pixel_nm, comparison.label_rule)


def _field(truth: Localizations | None, answer: Prediction) -> tuple[float, float]:
    """Extent of the truth, or of what was found where that is larger; rows far outside do not make a field."""
    fields = [] if truth is None else [truth.field_nm]
    if answer.table is not None and truth is not None:
        near = ~_far(answer.table, truth.field_nm)
        extents = (answer.table.x_nm[near], answer.table.y_nm[near])
        fields.append(answer.table.field_nm if near.all() else _extents(*extents))
    if answer.image is not None:
        height, width = answer.image.values.shape[1:]
        fields.append((width * answer.image.pixel_nm, height * answer.image.pixel_nm))
    return max(field[0] for field in fields), max(field[1] for field in fields)


def _extents(x_nm: NDArray[np.float64], y_nm: NDArray[np.float64]) -> tuple[float, float]:
    return math.floor(x_nm.max(initial=0.0)) + 1.0, math.floor(y_nm.max(initial=0.0)) + 1.0


def _far(found: Localizations, field_nm: tuple[float, float]) -> NDArray[np.bool_]:
    """Rows (n,) that are several fields away."""
    x, y = found.x_nm / field_nm[0], found.y_nm / field_nm[1]
    return (np.minimum(x, y) < 1 - FAR) | (np.maximum(x, y) > FAR)


def _frames(truth: Localizations, found: Localizations) -> int:
    """Frames of both, unless some of what was found are no frame numbers; those rows count in the last frame."""
    return found.n_frames if truth.n_frames < found.n_frames <= 2 * truth.n_frames + MORE_FRAMES else truth.n_frames


def _warn(comparison: Comparison, found: Localizations, truth: Localizations, field_nm: tuple[float, float]) -> None:
    """Say which rows of what was found cannot be of the truth's movie, or that all are a frame or a mirror off."""
    name = comparison.found.name if isinstance(comparison.found, Path) else "what was found"
    far, late = _far(found, truth.field_nm), found.frame >= max(_frames(truth, found), truth.n_frames)
    counted = "they count as false" if comparison.scoring.border_nm == 0 else "outside the border nothing counts"
    if far.any():
        row = int(far.argmax())
        first = f"row {row + 1}: x {found.x_nm[row]:g}, y {found.y_nm[row]:g} nm"
        said = f"'{name}': {int(far.sum())} of {len(found)} rows lie far outside the truth's"
        warnings.warn(f"{said} {field_nm[0]:g} x {field_nm[1]:g} nm ({first}); {counted}", LossWarning, stacklevel=2)
    if late.any():
        row = int(late.argmax())
        said = f"'{name}': {int(late.sum())} of {len(found)} rows are after the last frame of the truth"
        first = f"row {row + 1}: frame {found.frame[row]} of {truth.n_frames}, counted from 0"
        warnings.warn(f"{said} ({first}); they count in its last frame", LossWarning, stacklevel=2)
    pixel_nm = comparison.pixel_size_nm or CAMERA_PIXEL_NM
    doubt = misfit(found, replace(truth, field_nm=field_nm), pixel_nm, what="rows")
    if doubt is not None and doubt.reading.certain(pixel_known=comparison.pixel_size_nm is not None):
        stated = doubt.reading.settings(0, "corner") or doubt.reading.swapped
        todo = "; state the first frame, origin or columns of one of both" if stated else ""
        warnings.warn(f"'{name}': {doubt.said}{todo}", LossWarning, stacklevel=2)
