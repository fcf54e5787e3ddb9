"""Input, truth and answer of one frame, or of a whole condition where a row makes only one image of it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.data.contracts import Condition
from smlmbench.errors import ConfigError
from smlmbench.figures import Panels
from smlmbench.predictions import Localizations, Prediction, Raster
from smlmbench.render import rasterise, render_table
from smlmbench.tasks.localization.scoring import emitters_of

MEAN_OF_FRAMES = 16
TABLE_GRID = 4  # tables are drawn on a grid of a quarter of a camera pixel


def fullest_frame(condition: Condition) -> int | None:
    """The frame with most true emitters; None without truth or emitters."""
    truth = emitters_of(condition)
    if truth is None or not len(truth):
        return None
    return int(np.bincount(truth.table.frame).argmax())


def panels(answer: Prediction, condition: Condition) -> Panels | None:
    """What `Task.panels` asks for.

    Raises:
        ConfigError: The row makes neither positions nor an image.
    """
    truth = emitters_of(condition)
    number = 0 if condition.frames.n_frames == 1 else fullest_frame(condition)
    if number is None:
        return None
    whole = answer.table is None and condition.frames.n_frames > 1
    found = None if answer.table is None else answer.table.select(answer.table.frame == number)
    image = answer.image if whole or condition.frames.n_frames == 1 else None
    drawn = _fine(found, image, condition)
    shape: Any = drawn.values.shape[1:]
    true = None if truth is None else truth.table if whole else truth.table.select(truth.table.frame == number)
    return Panels(
        input_image=_input(condition, number, whole=whole),
        prediction=drawn.values[0],
        truth=None if true is None else rasterise(true.x_nm, true.y_nm, shape, drawn.pixel_nm),
        pixel_nm=condition.pixel_size_nm,
        unit="photons" if condition.calibrated else "counts",
        fine_unit="emitters per fine pixel",
        found_nm=None if whole else _places(found),
        truth_nm=None if whole else _places(true),
        said=", ".join(f"{len(one)} {word}" for one, word in ((true, "true"), (found, "found")) if one is not None),
    )


def _input(condition: Condition, number: int, *, whole: bool) -> NDArray[np.floating]:
    frames = condition.frames
    shown = frames.read(0, min(MEAN_OF_FRAMES, frames.n_frames)).mean(axis=0) if whole else None
    image: NDArray[np.floating] = frames.read(number, number + 1)[0] if shown is None else shown
    return image if image.ndim == 2 else np.asarray(image.sum(axis=0))


def _fine(found: Localizations | None, image: Raster | None, condition: Condition) -> Raster:
    if image is not None:
        return image
    if found is None:
        raise ConfigError("this row makes neither positions nor an image of a frame; give another one")
    return render_table(found, condition.field_nm, condition.pixel_size_nm / TABLE_GRID)


def _places(table: Localizations | None) -> NDArray[np.float64] | None:
    return None if table is None else np.column_stack([table.x_nm, table.y_nm])
