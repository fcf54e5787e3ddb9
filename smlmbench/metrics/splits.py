"""Fourier ring correlation of a table's own parts: do odd and even frames, blocks and halves of a movie show the same?

The movie is cut into sections. A split gives half of them to each of two images, so that all splits have as many rows
and their resolutions can be compared: those of alternating sections, of the first and the last half, and of all others.
Where nothing moves and nothing changes, the halves are a split like any other.
"""

from dataclasses import dataclass, replace
from itertools import combinations, combinations_with_replacement

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from smlmbench.metrics.frc import FEWEST_ROWS
from smlmbench.metrics.rings import Spectrum, correlated, resolution_nm, ring_products, spectrum
from smlmbench.predictions import Floats, Ints, Localizations
from smlmbench.render import fine_shape, rasterise

Mask = NDArray[np.bool_]

PIXEL_NM, COARSEST_NM, MOST_PX = 2.5, 10.0, 2048  # larger fields: the densest square of that many pixels
SECTIONS, FEWEST_IN_SECTION = (10, 8, 6), 20
CELL_NM = 500.0  # to find the densest square


@dataclass(frozen=True, slots=True)
class Splits:
    """Resolutions (nm) or why there is none; `others` are those of all ways to split the sections in two.

    `apart_nm` has for each distance in sections (1, 2, ...) the resolutions of all pairs of sections so far apart; it
    is empty where sections have too few rows for that.
    """

    interleaved_nm: float | str
    blocks_nm: float | str
    halves_nm: float | str
    others_nm: Floats
    apart_nm: tuple[Floats, ...]
    section_frames: float
    limit_nm: float


def splits(table: Localizations) -> Splits | str:
    """All splits of a table, or why there are none; rows outside the field are left out."""
    inside, shape, pixel_nm = _on_grid(table)
    count = next((n for n in SECTIONS if _fewest(inside, n) >= FEWEST_IN_SECTION), 0)
    if not count or len(inside) < 2 * FEWEST_ROWS:
        said = f"{len(inside)} positions in {inside.n_frames} frames; needs {2 * FEWEST_ROWS}"
        return f"{said}, in each of {SECTIONS[-1]} sections of the movie {FEWEST_IN_SECTION}"
    section = _section(inside, count)
    images = (
        spectrum(rasterise(inside.x_nm[rows], inside.y_nm[rows], shape, pixel_nm).astype(np.float32))
        for rows in (*(section == k for k in range(count)), inside.frame % 2 == 1)
    )
    *parts, odd = known = [one for one in images if not isinstance(one, str)]
    if len(known) <= count:
        return "a section of the movie shows nothing but one place"
    even: Spectrum = np.sum(parts, axis=0) - odd
    both = correlated(ring_products(odd, even), ring_products(odd, odd), ring_products(even, even))
    sums = _Sums(parts, len(odd) * pixel_nm)
    numbers = np.arange(count)
    halving = [np.isin(numbers, (0, *rest)) for rest in combinations(range(1, count), count // 2 - 1)]
    alike = _fewest(inside, count) >= FEWEST_ROWS
    apart = [[sums.resolution_nm(numbers == k, numbers == k + lag) for k in range(count - lag)] for lag in numbers[1:]]
    return Splits(
        interleaved_nm=resolution_nm(both, sums.side_nm),
        blocks_nm=sums.resolution_nm(numbers % 2 == 0, numbers % 2 == 1),
        halves_nm=sums.resolution_nm(numbers < count // 2, numbers >= count // 2),
        others_nm=_known([sums.resolution_nm(one, ~one) for one in halving]),
        apart_nm=tuple(map(_known, apart)) if alike else (),
        section_frames=inside.n_frames / count,
        limit_nm=2 * pixel_nm,
    )


class _Sums:
    """Products of the spectra of all sections in rings, of which those of any two sets of sections are sums."""

    def __init__(self, parts: list[Spectrum], side_nm: float) -> None:
        self.side_nm, count = side_nm, len(parts)
        self.products = np.empty((count, count, len(parts[0]) // 2))
        for one, other in combinations_with_replacement(range(count), 2):
            self.products[one, other] = self.products[other, one] = ring_products(parts[one], parts[other])

    def resolution_nm(self, first: Mask, second: Mask) -> float | str:
        """Of two sets of sections."""
        shared, one, other = (
            self.products[rows][:, columns].sum(axis=(0, 1))
            for rows, columns in ((first, second), (first, first), (second, second))
        )
        return resolution_nm(correlated(shared, one, other), self.side_nm)


def _known(values: list[float | str]) -> Floats:
    return np.array([value for value in values if not isinstance(value, str)], dtype=np.float64)


def _section(table: Localizations, count: int) -> Ints:
    return table.frame * count // max(1, table.n_frames)


def _fewest(table: Localizations, count: int) -> int:
    """Rows of the emptiest of so many sections."""
    return int(np.bincount(_section(table, count), minlength=count)[:count].min())


def _on_grid(table: Localizations) -> tuple[Localizations, tuple[int, int], float]:
    """The rows in the field, or in the densest square of a large one, counted from its corner; grid and its pixel."""
    width, height = table.field_nm
    kept = (table.x_nm >= 0) & (table.x_nm < width) & (table.y_nm >= 0) & (table.y_nm < height)
    kept &= (table.frame >= 0) & (table.frame < table.n_frames)
    table, most_nm = table.select(kept), MOST_PX * COARSEST_NM
    left, top = 0.0, 0.0
    if max(width, height) > most_nm:
        cells = rasterise(table.x_nm, table.y_nm, fine_shape(table.field_nm, CELL_NM), CELL_NM)
        size = round(most_nm / CELL_NM)
        counts = ndimage.uniform_filter(cells, size, mode="constant")
        rows, columns = (max(1, extent - size + 1) for extent in cells.shape)  # corners of squares inside the field
        offset = size // 2
        own = counts[offset : offset + rows, offset : offset + columns]
        corner = np.unravel_index(int(own.argmax()), own.shape)
        top, left = (float(at) * CELL_NM for at in corner)
        width, height = min(width, most_nm), min(height, most_nm)
        moved = replace(table, x_nm=table.x_nm - left, y_nm=table.y_nm - top)
        table = moved.select((moved.x_nm >= 0) & (moved.x_nm < width) & (moved.y_nm >= 0) & (moved.y_nm < height))
    pixel_nm = max(PIXEL_NM, max(width, height) / MOST_PX)
    return table, fine_shape((width, height), pixel_nm), pixel_nm
