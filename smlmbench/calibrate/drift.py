"""Drift of a sample, from what is localized in its movie: blocks of frames are laid over one another, each with each.

Two blocks are shifted by where the displacements between their positions are densest, which is the maximum of their
cross-correlation without an image: first by a search between neighbours, then, with that way taken out, by the mean
shift of a Gaussian kernel between all of them. The redundant shifts are solved for the way by least squares, those
that disagree left out, and a spline runs through the middles of the blocks. The error is that of halves: places are
parted like the fields of a chessboard, and the ways of both colours share no molecule.
Sources: Wang et al. 2014, doi:10.1364/OE.22.015982 (redundant correlation); Fazekas et al. 2021,
doi:10.1038/s41598-021-95876-w (mean shift).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.ndimage import uniform_filter
from scipy.spatial import cKDTree
from scipy.stats import chi2

from smlmbench.calibrate.contracts import DriftFound, Number
from smlmbench.formats.drift import Drift, read_drift, undrifted, write_drift
from smlmbench.predictions import Floats, Ints, Localizations

__all__ = ["Drift", "find_drift", "read_drift", "undrifted", "write_drift"]

EACH = 250  # localizations of a block
MOST_BLOCKS, FEWEST_BLOCKS, FEW_BLOCKS = 20, 2, 6
PASSES = 2  # in the second, what moved within a block is still
MOST_PLACES, MOST_PAIRS = 20_000, 50_000  # of a block, and of two; more are thinned out
COARSE_NM, FINE_NM = 600.0, 250.0  # displacements that are looked at
CELL_NM, KERNEL_NM = 25.0, 25.0
NEIGHBOURS = 3  # blocks that the first search lays over one another
SURE, FEWEST_PAIRS = 5.0, 8  # standard deviations of chance, and pairs, that a maximum must exceed
MOST_ERROR_NM = 50.0  # beyond it nothing is known
ROUNDS = 30
OUTLYING = 3.0
FIELDS = 4  # of the chessboard along each axis
QUIET_FRAMES = 2  # frames between two positions that count as two sightings


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Positions (n, 2) in nm and frames (n,) of each block, with the mean frame of each."""

    places: list[Floats]
    frames: list[Ints]
    middle: Floats


@dataclass(frozen=True, slots=True)
class _Shifts:
    """Where block `second` stands against `first`, (m, 2) nm, with their weights."""

    first: Ints
    second: Ints
    shift: Floats
    weight: Floats


def find_drift(table: Localizations, blocks: int | None = None) -> DriftFound:
    """The way of a sample in every frame of a movie, relative to the first.

    Args:
        table: Positions of the movie, in no order.
        blocks: Into how many it is cut; by default as many as have 250 positions each, 24 at most, and fewer where
            what these show is no more than chance.

    Returns:
        `error_nm` is the standard error of a position along one axis, between blocks not counted; unknown, with empty
        arrays, where positions are too few or none is seen again.
    """
    most = min(len(table) // EACH, MOST_BLOCKS, table.n_frames) if blocks is None else blocks
    if most < FEWEST_BLOCKS:
        return _unknown(f"{len(table)} localizations are too few; {FEWEST_BLOCKS * EACH} are needed at least")
    found = Drift(np.arange(table.n_frames), np.zeros(table.n_frames), np.zeros(table.n_frames))
    for _ in range(PASSES):
        still, count = undrifted(table, found), most
        while (way := _way(cut := _cut(still, count))) is None:
            count //= 2
            if count < FEWEST_BLOCKS:
                return _unknown(f"{len(table)} localizations in which no place is clearly seen again")
        x_nm, y_nm = (_curve(cut.middle, way[:, axis], found.frame) for axis in range(2))
        found = Drift(found.frame, found.x_nm + x_nm, found.y_nm + y_nm)
    error = _error(undrifted(table, found), count)
    if error.value > MOST_ERROR_NM:
        return _unknown(f"two halves of the field have ways that differ by {2 * error.value:.0f} nm")
    doubts = [] if error.known else [f"drift: its error is not known, {error.why}"]
    if count < FEW_BLOCKS:
        doubts.append(f"drift: from {count} blocks of frames alone; what happens within each is not seen")
    x_nm, y_nm = found.x_nm - found.x_nm[0], found.y_nm - found.y_nm[0]
    return DriftFound(found.frame, x_nm, y_nm, error, tuple(doubts))


def _unknown(why: str) -> DriftFound:
    empty = np.empty(0)
    return DriftFound(np.empty(0, dtype=np.int64), empty, empty, Number.unknown(why))


def _cut(table: Localizations, count: int, halves: NDArray[np.bool_] | None = None) -> _Blocks:
    """Blocks of about as many positions each, whole frames together; of some positions alone, by the same frames."""
    ordered = np.sort(table.frame)
    edges = ordered[np.linspace(0, len(ordered) - 1, count + 1).astype(int)[1:-1]]
    number = np.searchsorted(edges, table.frame, side="right")
    places, frames = [], []
    area = max(float(np.ptp(table.x_nm) * np.ptp(table.y_nm)), 1.0)
    most = int(min(MOST_PLACES, np.sqrt(MOST_PAIRS * area / np.pi) / COARSE_NM)) + 1
    for block in range(count):
        part = np.flatnonzero((number == block) & (True if halves is None else halves))
        part = part[:: max(1, -(-len(part) // most))]
        places.append(np.column_stack([table.x_nm[part], table.y_nm[part]]))
        frames.append(table.frame[part])
    return _Blocks(places, frames, np.array([each.mean() if len(each) else np.nan for each in frames]))


def _way(blocks: _Blocks) -> Floats | None:
    """Position of each block (n, 2) against the first; None where blocks are empty or do not hang together."""
    count = len(blocks.places)
    if not np.isfinite(blocks.middle).all() or (np.diff(blocks.middle) <= 0).any():
        return None
    way: Floats | None = np.zeros((count, 2))
    for reach, near in ((COARSE_NM, NEIGHBOURS), (FINE_NM, count)):
        assert way is not None  # noqa: S101 (left below where it is)
        trees = [cKDTree(places - at) for places, at in zip(blocks.places, way, strict=True)]
        left = _solved(_shifts(blocks, trees, reach, near), count)
        if left is None:
            return None
        way = way + left
    return way


def _shifts(blocks: _Blocks, trees: Sequence[Any], reach_nm: float, near: int) -> _Shifts:
    found = []
    for first in range(len(trees)):
        for second in range(first + 1, min(first + near + 1, len(trees))):
            pairs = trees[first].sparse_distance_matrix(trees[second], reach_nm, output_type="ndarray")
            apart = np.abs(blocks.frames[second][pairs["j"]] - blocks.frames[first][pairs["i"]]) > QUIET_FRAMES
            pairs = pairs[apart]
            moved = trees[second].data[pairs["j"]] - trees[first].data[pairs["i"]]
            if (shift := _densest(moved, reach_nm)) is not None:
                found.append((first, second, *shift))
    held = np.array(found, dtype=np.float64).reshape(-1, 5)
    return _Shifts(held[:, 0].astype(np.int64), held[:, 1].astype(np.int64), held[:, 2:4], held[:, 4])


def _densest(moved: Floats, reach_nm: float) -> tuple[float, float, float] | None:
    """Where displacements (n, 2) are densest, and how many are there beyond chance; None where no place stands out."""
    if not len(moved):
        return None
    side = int(2 * reach_nm // CELL_NM) | 1
    edges = (np.arange(side + 1) - side / 2) * CELL_NM
    counts = np.histogram2d(moved[:, 0], moved[:, 1], bins=[edges, edges])[0]
    centre = uniform_filter(counts, 3, mode="constant") * 9  # cells of the kernel's own size
    middle = (edges[:-1] + edges[1:]) / 2
    inside = np.hypot(middle[:, None], middle[None, :]) <= reach_nm - 2 * CELL_NM
    usual = float(np.median(centre[inside]))
    row, column = np.unravel_index(int(np.where(inside, centre, -1).argmax()), centre.shape)
    best = float(centre[row, column])
    far = inside & (np.hypot(middle[:, None] - middle[row], middle[None, :] - middle[column]) > 4 * CELL_NM)
    # sightings of one flash come together, so that chance is wider than that of single ones
    chance = max(float(centre[far].std()), np.sqrt(usual + 1))
    if best - usual < max(SURE * chance, FEWEST_PAIRS, float(centre[far].max()) - usual + chance):
        return None
    at = np.array([middle[row], middle[column]])
    for _ in range(ROUNDS):
        weight = np.exp(-((moved - at) ** 2).sum(1) / (2 * KERNEL_NM**2))
        step = (weight[:, None] * moved).sum(0) / weight.sum() - at
        at = at + step
        if np.abs(step).max() < 0.01:
            break
    return float(at[0]), float(at[1]), best - usual


def _solved(shifts: _Shifts, count: int) -> Floats | None:
    """Positions (count, 2) that explain the shifts best, the first at 0; None where they do not join all blocks."""
    keep = np.ones(len(shifts.weight), dtype=bool)
    way = np.zeros((count, 2))
    for _ in range(4):
        equations = np.zeros((int(keep.sum()), count))
        rows = np.arange(len(equations))
        equations[rows, shifts.second[keep]] += 1
        equations[rows, shifts.first[keep]] -= 1
        weight = np.sqrt(shifts.weight[keep])[:, None]
        solution, _, rank, _ = np.linalg.lstsq((equations * weight)[:, 1:], shifts.shift[keep] * weight, rcond=None)
        if rank < count - 1:
            return None
        way[1:] = solution
        away = np.linalg.norm(shifts.shift - way[shifts.second] + way[shifts.first], axis=1)
        usual = max(float(np.median(away)), 1.0)
        if np.array_equal(keep, kept := away <= OUTLYING * 1.5 * usual):
            break
        keep = kept
    return way


def _curve(middle: Floats, values: Floats, frame: Ints) -> Floats:
    """A spline through the middles, straight beyond the first and the last of them."""
    spline = CubicSpline(middle, values, bc_type="natural")
    held = frame.clip(middle[0], middle[-1])
    slopes = np.diff(values) / np.diff(middle)  # of blocks, which are less noisy than those of the spline
    beyond = np.where(frame < middle[0], slopes[0], slopes[-1]) * (frame - held)
    return np.asarray(spline(held) + beyond, dtype=np.float64)


def _error(table: Localizations, count: int) -> Number:
    """Standard error of a block's position, from the ways of two halves of the field."""
    x, y = (np.argsort(np.argsort(each, kind="stable")) * FIELDS // len(table) for each in (table.x_nm, table.y_nm))
    colour = (x + y) % 2
    ways = []
    for one in range(2):
        if (way := _way(_cut(table, count, colour == one))) is None:
            return Number.unknown("half of the field is too little for a way of its own")
        ways.append(way)
    apart = (ways[0] - ways[1])[1:]
    apart = apart - apart.mean(0) if len(apart) > 2 else apart  # where the first block stands is no error of the way
    freedom = 2 * (len(apart) - (len(apart) > 2))
    square = float((apart**2).sum())
    low, value, high = (
        np.sqrt(square / of) / 2 for of in (chi2.ppf(0.975, freedom), freedom, chi2.ppf(0.025, freedom))
    )
    return Number(float(value), float(low), float(high))
