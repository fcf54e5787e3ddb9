"""What a trained network says of a user's spectra (a csv, a row each), or of a movie at the places of a table."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smlmbench.data.contracts import ArrayFrames
from smlmbench.data.cutouts import Boxes
from smlmbench.data.labelled_spectra import read_spectra
from smlmbench.errors import ConfigError, FormatError
from smlmbench.movies import Frames
from smlmbench.predictions import ClassScores, Floats, Ints, Localizations
from smlmbench.tasks.classification.answers import Answer, joined, write_answer
from smlmbench.tasks.contracts import Model
from smlmbench.tasks.contracts.predicting import Predicted

ENDING = "_classes.csv"
SPECTRA = 4096  # at once


def predict(model: Model, asked: Predicted, level: float) -> list[Path]:
    """Write a table with the class and the scores of every spectrum, or of every place.

    Raises:
        ConfigError: No places for a network of crops, or a movie that is smaller than these.
        FormatError: Spectra of another length, or places in frames that the movie does not have.
    """
    spectra = len(asked.unit_sides) == 1
    answer, beside = (_of_spectra(model, asked), None) if spectra else _at_places(model, asked)
    return [write_answer(answer.rejecting(level), asked.path(ENDING), beside)]


def _of_spectra(model: Model, asked: Predicted) -> Answer:
    spectra = read_spectra(asked.given.path).spectra
    if spectra.shape[-1] != asked.unit_sides[-1]:
        found, wanted = spectra.shape[-1], asked.unit_sides[-1]
        raise FormatError(f"'{asked.given.path.name}' has spectra of {found} bins, the network learned {wanted}")
    return Answer(_scores(model, spectra, 1, asked))


def _scores(model: Model, units: NDArray[np.float32], axes: int, asked: Predicted | None = None) -> ClassScores:
    parts = []
    for start in range(0, len(units), SPECTRA):
        frames = ArrayFrames(np.ascontiguousarray(units[start : start + SPECTRA]), axes)
        parts += [model.decoded(raw) for raw in model.raw(frames)]
        if asked is not None:
            asked.on_units(start + frames.n_frames, len(units))
    return joined(parts)


def _at_places(model: Model, asked: Predicted) -> tuple[Answer, dict[str, Floats | Ints]]:
    """Scores of crops around the pixel of each place; NaN where a crop would leave the frame."""
    places, frames = _checked(asked)
    names = tuple(str(name) for name in model.settings["classes"])
    scores = np.full((len(places), len(names)), np.nan, dtype=np.float32)
    boxes = Boxes.around(places, asked.pixel_size_nm, *asked.unit_sides)
    for rows, crops, done in boxes.pieces(frames, np.flatnonzero(boxes.within(frames))):
        if len(rows):
            scores[rows] = _scores(model, crops, 2).scores
        asked.on_units(done, frames.n_frames)
    beside: dict[str, Floats | Ints] = {"frame": places.frame, "x_nm": places.x_nm, "y_nm": places.y_nm}
    return Answer(ClassScores(scores, names)), beside


def _checked(asked: Predicted) -> tuple[Localizations, Frames]:
    """Places and movie, where they fit each other and the network's crops."""
    if asked.places is None:
        raise ConfigError("a network of crops needs to know where they lie; give --places TABLE")
    frames, sides = asked.frames, asked.unit_sides
    if len(sides) != 2 or not math.isfinite(asked.pixel_size_nm):
        raise ConfigError("the size of crops or the camera pixel is unknown; train anew, or give --pixel-size-nm")
    if frames.height < sides[0] or frames.width < sides[1]:
        movie, crops = f"{frames.height} x {frames.width}", f"{sides[0]} x {sides[1]}"
        raise ConfigError(f"frames of {movie} px are smaller than crops of {crops}; give the whole movie")
    last = int(asked.places.frame.max(initial=0))
    if last >= frames.n_frames:
        raise FormatError(f"places lie in frames up to {last + 1}, the movie has {frames.n_frames}; give its own table")
    return asked.places, frames
