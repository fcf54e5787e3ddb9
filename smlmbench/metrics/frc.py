"""Fourier ring correlation: how fine the structure is that two parts of a table, or a row and the truth, share."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import SizeError
from smlmbench.metrics.evidence import Evidence
from smlmbench.metrics.images import image_pair
from smlmbench.metrics.rings import Spectrum, resolution_nm, ring_correlation, spectrum
from smlmbench.predictions import Localizations
from smlmbench.render import fine_shape, rasterise

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Resolution at which the correlation of two images by rings of frequency first falls below 1/7.",
    "tasks": ["localization"],
    "gives": {
        "frc_truth_nm": {
            "title": "FRC truth nm",
            "unit": "nm",
            "direction": "down",
            "low": 0.0,
            "help": "Resolution to which all rows together agree with the truth; invented structure makes it worse.",
        },
        "frc_blocks_nm": {
            "title": "FRC nm",
            "unit": "nm",
            "direction": "down",
            "low": 0.0,
            "help": "Of two images from alternating blocks of frames. It rewards agreement with oneself, so it ranks "
            "nothing: see frc_truth_nm.",
        },
        "frc_halves_nm": {
            "title": "FRC halves nm",
            "unit": "nm",
            "direction": "down",
            "low": 0.0,
            "help": "The same of the first and the second half of the movie: drift and bleaching count.",
        },
        "frc_interleaved_nm": {
            "title": "FRC odd/even nm",
            "unit": "nm",
            "direction": "down",
            "low": 0.0,
            "help": "The same of even and odd frames; too good where molecules persist, as both show the same ones.",
        },
        "frc_limit_nm": {
            "title": "FRC grid limit nm",
            "unit": "nm",
            "direction": "none",
            "low": 0.0,
            "help": "Two pixels of the images: a resolution equal to it means that or better.",
        },
    },
}

PIXEL_NM, MOST_PX = 5.0, 4096  # of tables; larger fields have larger pixels
FEWEST_ROWS = 100  # of a table's image
BLOCK_FRAMES, FEWEST_BLOCKS = 500, 10
SPLITS = ("frc_blocks_nm", "frc_halves_nm", "frc_interleaved_nm")

Answers = dict[str, float | str]


def measure(evidence: Evidence) -> Answers:
    """A table is counted on a grid of 5 nm of its own, the same for all rows; a row without one shows its own image.

    All rows of a table and all true emitters take part, wherever they are.
    """
    found, truth = evidence.found, evidence.truth
    if found is None:
        alone: Answers = dict.fromkeys(SPLITS, evidence.missing("found") or "no table")
        alone["frc_truth_nm"] = _of_images(evidence)
        return _limited(alone, evidence.fine_pixel_nm)
    field_nm = found.field_nm if truth is None else truth.field_nm
    try:
        pixel_nm = max(PIXEL_NM, max(field_nm) / MOST_PX)
        shape = fine_shape(field_nm, pixel_nm)
    except SizeError as error:
        return dict.fromkeys(CARD["gives"], str(error))
    grid = _Grid(shape, pixel_nm)
    found = found.select(grid.inside(found))
    whole = grid.spectrum(found)
    answers: Answers = dict.fromkeys(SPLITS, whole) if isinstance(whole, str) else _splits(found, whole, grid, evidence)
    true = evidence.missing("truth") or "no truth" if truth is None else grid.spectrum(truth.select(grid.inside(truth)))
    answers["frc_truth_nm"] = grid.resolution_nm(whole, true)
    return _limited(answers, pixel_nm)


class _Grid:
    """The grid on which tables are counted."""

    def __init__(self, shape: tuple[int, int], pixel_nm: float) -> None:
        self.shape, self.pixel_nm = shape, pixel_nm

    def inside(self, table: Localizations) -> NDArray[np.bool_]:
        """Which rows have a place on the grid."""
        height, width = (size * self.pixel_nm for size in self.shape)
        return (table.x_nm >= 0) & (table.x_nm < width) & (table.y_nm >= 0) & (table.y_nm < height)

    def spectrum(self, table: Localizations) -> Spectrum | str:
        """Of all rows; none is outside."""
        if len(table) < FEWEST_ROWS:
            return f"{len(table)} positions in the field; needs {FEWEST_ROWS}"
        return spectrum(rasterise(table.x_nm, table.y_nm, self.shape, self.pixel_nm).astype(np.float32))

    def resolution_nm(self, first: Spectrum | str, second: Spectrum | str) -> float | str:
        """Of two spectra, or the reason of the one that is missing."""
        if isinstance(first, str) or isinstance(second, str):
            return first if isinstance(first, str) else str(second)
        return resolution_nm(ring_correlation(first, second), len(first) * self.pixel_nm)


def _splits(found: Localizations, whole: Spectrum, grid: _Grid, evidence: Evidence) -> Answers:
    answers: Answers = {}
    for name, first in _parts(found, evidence.frame_shift):
        if isinstance(first, str):
            answers[name] = first
            continue
        sizes = int(first.sum()), int((~first).sum())
        if min(sizes) < FEWEST_ROWS:
            answers[name] = f"{sizes[0]} and {sizes[1]} positions in the two images; each needs {FEWEST_ROWS}"
            continue
        one = grid.spectrum(found.select(first))
        answers[name] = grid.resolution_nm(one, one if isinstance(one, str) else whole - one)
    return answers


def _parts(found: Localizations, apart: int) -> Iterator[tuple[str, NDArray[np.bool_] | str]]:
    """Which rows are in the first image of each split, or why it cannot be made.

    Blocks have 500 frames, or a tenth of a shorter movie, but never fewer than `apart`: ten times the time that a
    molecule stays on, where that is known. Else both images would show the same molecules.
    """
    frames, frame = found.n_frames, found.frame
    block = max(1, apart, min(BLOCK_FRAMES, frames // FEWEST_BLOCKS))
    few = f"{frames} frames make no two images"
    blocks = f"{frames} frames make no two blocks of {block}" if frames < 2 * block else frame // block % 2 == 0
    yield SPLITS[0], few if frames < 2 else blocks
    yield SPLITS[1], few if frames < 2 else frame < frames // 2
    yield SPLITS[2], few if frames < 2 else frame % 2 == 0


def _of_images(evidence: Evidence) -> float | str:
    """The row's own image against the true one, on their grid."""
    pair = image_pair(evidence)
    if isinstance(pair, str):
        return pair
    if not np.isfinite(evidence.fine_pixel_nm):
        return "the pixel of the image is unknown"
    grid = _Grid(pair.truth.shape, evidence.fine_pixel_nm)
    largest = np.abs(pair.image).max()
    return grid.resolution_nm(spectrum(pair.image / largest if largest > 0 else pair.image), spectrum(pair.truth))


def _limited(answers: Answers, pixel_nm: float) -> Answers:
    """The numbers in the card's order, with what the grid can resolve where there is any."""
    any_number = any(not isinstance(value, str) for value in answers.values())
    limit = 2 * pixel_nm if any_number else answers["frc_truth_nm"]
    return {name: {**answers, "frc_limit_nm": limit}[name] for name in CARD["gives"]}
