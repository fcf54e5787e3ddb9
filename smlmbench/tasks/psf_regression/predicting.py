"""Parameters of a user's crops: cut from a movie at places of a table, or a movie whose frames are crops themselves."""

import numpy as np
from numpy.typing import NDArray

from smlmbench.data.contracts import ArrayFrames
from smlmbench.data.cutouts import Boxes
from smlmbench.errors import ConfigError
from smlmbench.predictions import FIXED, Floats, Ints, Localizations
from smlmbench.tasks.contracts import Model
from smlmbench.tasks.contracts.predicting import Predicted

PLACES = ("x_nm", "y_nm")


def predicted(model: Model, asked: Predicted) -> Localizations:
    """A row for each place, in its order: positions in the movie's field, and every parameter that the network tells.

    Positions that it does not tell are those of the places. Rows whose crop leaves the frame keep their place and have
    no numbers.

    Raises:
        ConfigError: No places for a movie of whole frames, no pixel size, or no place in the movie.
    """
    side, pixel_nm, frames = int(model.settings["side_px"]), asked.pixel_size_nm, asked.frames
    places = _places(asked, side)
    boxes = Boxes.nearest(places.frame, places.x_nm / pixel_nm, places.y_nm / pixel_nm, side)
    fit = np.flatnonzero(boxes.within(frames))
    if not len(fit):
        raise ConfigError(
            f"none of {len(places)} places has a crop of {side} x {side} px within {frames.n_frames} frames of "
            f"{frames.width} x {frames.height} px; see whether the table is of this movie, and its unit"
        )
    found: dict[str, Floats] = {}
    for rows, crops, done in boxes.pieces(frames, fit):
        if len(rows):
            _answered(model, crops, rows, len(places), found)
        asked.on_units(done, frames.n_frames)
    for name, corner in zip(PLACES, (boxes.left, boxes.top), strict=True):
        if name in found:
            found[name] += corner * pixel_nm
    return _table(found, places)


def _places(asked: Predicted, side: int) -> Localizations:
    """Where crops are cut; the middle of each frame where frames are crops."""
    frames, pixel_nm = asked.frames, asked.pixel_size_nm
    if not np.isfinite(pixel_nm):
        raise ConfigError("the camera pixel is not known; give --pixel-size-nm")
    if asked.places is not None:
        return asked.places
    if (frames.height, frames.width) != (side, side):
        raise ConfigError(
            f"the network answers crops of {side} x {side} px, these frames have {frames.width} x {frames.height} px; "
            "give --places TABLE with frame, x_nm and y_nm, or a movie of such crops"
        )
    middle, count = np.full(frames.n_frames, side / 2 * pixel_nm), frames.n_frames
    columns = {"frame": np.arange(count), "x_nm": middle, "y_nm": middle}
    return Localizations.of(columns, n_frames=count, field_nm=(side * pixel_nm, side * pixel_nm))


def _answered(model: Model, crops: NDArray[np.float32], rows: Ints, count: int, found: dict[str, Floats]) -> None:
    """Write what the network says of crops to their rows."""
    done = 0
    for raw in model.raw(ArrayFrames(crops)):
        told = model.decoded(raw).values
        for name, values in told.items():
            found.setdefault(name, np.full(count, np.nan))[rows[done : done + len(values)]] = values
        done += len(raw)


def _table(found: dict[str, Floats], places: Localizations) -> Localizations:
    """What is told beside the places."""
    fixed = {"frame": places.frame, "x_nm": places.x_nm, "y_nm": places.y_nm}
    fixed |= {name: values for name, values in found.items() if name in FIXED}
    for name in PLACES:
        fixed[name] = np.where(np.isfinite(fixed[name]), fixed[name], getattr(places, name))
    more = {name: values for name, values in found.items() if name not in FIXED}
    return Localizations.of(fixed, n_frames=places.n_frames, field_nm=places.field_nm, more=more)
