"""Photons and background of emitters at known places: one maximum-likelihood fit of all of them together.

With the places and the width of the PSF given, what a pixel is expected to hold is linear in what is wanted,
mu = sum_i N_i E_i + B, with E the error-function integral of the pixel (Smith et al. 2010, doi:10.1038/nmeth.1449).
Fisher scoring of the Poisson likelihood is then least squares with weights 1 / variance(mu), solved anew until they
settle; N >= 0. Read noise and the excess of an EM register enter by the variance (Huang et al. 2013,
doi:10.1038/nmeth.2488). Emitters whose windows overlap are solved together, however many they are: their equations are
sparse. Emitters that are not among the given ones are counted to those beside them, or to the background.

B is constant in the window of an emitter that stands alone. Where windows overlap, emitters within about two windows
share one constant, and where constants meet they are mixed by the number of windows: in a dense frame the background
may change over two windows, and a chain of neighbours across the frame does not make it one number.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from smlmbench.camera import Noise
from smlmbench.predictions import Floats, Ints
from smlmbench.references.bound import Windows, position_bounds
from smlmbench.references.fitting import axis

REACH = 3.0  # in sigma, with one pixel more: half a window; 15 % wider ones would gain 2 % of precision
ROUNDS = 8
SETTLED = 0.02  # of the standard deviation of a number of photons
DARKEST = 0.1  # photons: a weight is never that of a darker pixel
RIDGE = 1e-8  # of the diagonal: two emitters at one place share their light
LEAST_SHARE, LEAST_PIXELS = 0.05, 4
CROWD, FEW = 1.5, 4  # side of a cell in sigma, and the most emitters in one that are told apart
AT_ONCE = 2**19  # values of windows in one solution
CLOSE = 4.0  # in sigma: neighbours whose unknown places widen the bound by more than 5 %
NEIGHBOURS = 5

Whole = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Places:
    """Emitters (n,): number of the frame in a block, and position in camera pixels from its outer corner."""

    frame: Ints
    x_px: Floats
    y_px: Floats

    def __len__(self) -> int:
        return len(self.frame)

    def rows(self, chosen: Ints) -> "Places":
        """Some of them."""
        return Places(self.frame[chosen], self.x_px[chosen], self.y_px[chosen])


@dataclass(frozen=True, slots=True)
class Light:
    """What was measured, (n,) each; NaN where less than 5 % of an emitter's light falls on the frame.

    `background` is per pixel, the mean over the window. `x_bound_px` and `y_bound_px` are the standard deviations that
    no unbiased estimate of the position undercuts (`position_bounds`), whatever made the positions.
    """

    photons: Floats
    background: Floats
    x_bound_px: Floats
    y_bound_px: Floats


def measure(frames: NDArray[np.float32], places: Places, sigma_px: float, noise: Noise) -> Light:
    """Measure emitters on frames (F, H, W) in photo-electrons; places are kept as they are.

    More than four within 1.5 sigma, which no data tell apart, share their light equally; so do the candidates of a
    network that was read out far below its threshold, which would otherwise be thousands of unknowns in a frame.
    """
    cell = max(1, round(CROWD * sigma_px))
    alike, members = _crowds(places, cell)
    ones = places if len(members) == len(places) else _middles(places, alike, members)
    found = np.full((4, len(ones)), np.nan)
    half = int(np.ceil(REACH * sigma_px)) + 1
    for rows, kept in _parts(ones, 2 * half + 1):
        found[:, rows[kept]] = _solve(frames, ones.rows(rows), sigma_px, half, noise)[:, kept]
    found[0] /= members
    found[2:] = np.where(members > 1, np.hypot(found[2:], cell / 2), found[2:])
    return Light(*found[:, alike])


def _crowds(places: Places, cell: int) -> tuple[Whole, Whole]:
    """Number of the one that stands for each emitter, itself or its crowd in a cell, and the members of each."""
    at = np.stack([places.frame, places.x_px // cell, places.y_px // cell]).astype(np.int64)
    _, own, count = np.unique(at, axis=1, return_inverse=True, return_counts=True)
    own = own.reshape(-1)
    # Emitters of a crowd get the number of their cell, the others one of their own behind all cells.
    name = np.where(count[own] > FEW, own, len(count) + np.arange(len(own)))
    _, alike, members = np.unique(name, return_inverse=True, return_counts=True)
    return alike, members


def _middles(places: Places, alike: Whole, members: Whole) -> Places:
    """The middle of each crowd."""
    sums = (np.bincount(alike, at, len(members)) for at in (places.frame, places.x_px, places.y_px))
    frame, x_px, y_px = (total / members for total in sums)
    return Places(frame.round().astype(np.int64), x_px, y_px)


def _parts(places: Places, side: int) -> Iterator[tuple[Ints, NDArray[np.bool_]]]:
    """Emitters that are solved together, whole frames while they are few, and which of them are kept.

    Of a frame with more, tiles by position; each takes the emitters within two windows around it along.
    """
    most = max(16, AT_ONCE // side**2)
    order = np.argsort(places.frame, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(places.frame[order])) + 1, len(order))
    start = 0
    for end, following in zip(ends, [*ends[1:], None], strict=True):
        if following is not None and following - start <= most:
            continue
        rows = order[start:end]
        start = end
        if len(rows) <= most:
            if len(rows):
                yield rows, np.ones(len(rows), dtype=bool)
            continue
        at = np.stack([places.x_px, places.y_px])
        for core in _halves(at, rows, most):
            low, high = at[:, core].min(axis=1) - 2 * side, at[:, core].max(axis=1) + 2 * side
            inside = rows[((at[:, rows] >= low[:, None]) & (at[:, rows] <= high[:, None])).all(axis=0)]
            yield inside, np.isin(inside, core)


def _halves(at: Floats, rows: Ints, most: int) -> Iterator[Ints]:
    """Cut rows at the median of the longer side until none has more than `most`."""
    along = at[np.ptp(at[:, rows], axis=1).argmax(), rows]
    left = along < np.median(along)
    if len(rows) <= most or not left.any():
        yield rows
        return
    yield from _halves(at, rows[left], most)
    yield from _halves(at, rows[~left], most)


def _solve(frames: NDArray[np.float32], places: Places, sigma_px: float, half: int, noise: Noise) -> Floats:
    """Photons, background and both bounds, (4, n)."""
    count, side = len(places), 2 * half + 1
    left, top = (np.floor(at).astype(np.int64) - half for at in (places.x_px, places.y_px))
    along_x, along_y = (
        axis(at - start, np.full(count, sigma_px), side)[0] for at, start in ((places.x_px, left), (places.y_px, top))
    )
    inside, number, where = _pixels(frames.shape, places.frame, left, top, side)
    data = frames.reshape(-1)[where].astype(np.float64)
    share = (along_y[:, :, None] * along_x[:, None, :]).reshape(count, -1)[inside]
    begins = np.concatenate([[0], np.cumsum(inside.sum(axis=1))]).astype(np.int32)
    owner = np.repeat(np.arange(count, dtype=np.int32), np.diff(begins))
    near = pairs(places, side)
    spread = _backgrounds(number, owner, _groups(places, near, 2 * side), len(where))
    lights = sparse.csc_array((share, number, begins), shape=(len(where), count))
    values, mean = _settle(sparse.csr_array(sparse.hstack([lights, spread])), data, count, noise)
    per_emitter = np.maximum(np.diff(begins), 1)
    background = np.bincount(owner, (spread @ values[count:])[number], count) / per_emitter
    weights = np.zeros(inside.shape)
    weights[inside] = _weights(mean, noise)[number]
    windows = Windows(places.x_px - left, places.y_px - top, left, top, weights.reshape(count, side, side))
    bounds = position_bounds(windows, values[:count], _closest(places, near, CLOSE * sigma_px), sigma_px)
    found = np.stack([values[:count], background, *bounds])
    dark = (np.bincount(owner, share, count) < LEAST_SHARE) | (np.diff(begins) < LEAST_PIXELS)
    found[:, dark] = np.nan
    return found


def _pixels(
    shape: tuple[int, ...], frame: Ints, left: Ints, top: Ints, side: int
) -> tuple[NDArray[np.bool_], Whole, Ints]:
    """Which pixels of the windows lie in the field (n, side * side), the number of each, and where each number is."""
    _, height, width = shape
    steps = np.arange(side)
    columns, lines = left[:, None] + steps, top[:, None] + steps
    across, down = (columns >= 0) & (columns < width), (lines >= 0) & (lines < height)
    inside = (down[:, :, None] & across[:, None, :]).reshape(len(frame), -1)
    flat = ((frame[:, None] * height + lines)[:, :, None] * width + columns[:, None, :]).reshape(len(frame), -1)[inside]
    first = int(flat.min()) if len(flat) else 0
    seen = np.zeros(int(flat.max(initial=first)) - first + 1, dtype=bool)
    seen[flat - first] = True
    return inside, (np.cumsum(seen, dtype=np.int32) - 1)[flat - first], np.flatnonzero(seen) + first


def pairs(places: Places, distance_px: float) -> Ints:
    """Emitters of one frame that are at most this far apart along both axes, (pairs, 2)."""
    if not len(places):
        return np.empty((0, 2), dtype=np.int64)
    apart = places.frame * (float(np.ptp(places.x_px)) + 2 * distance_px)  # frames side by side
    tree = cKDTree(np.column_stack([places.x_px + apart, places.y_px]))
    return np.asarray(tree.query_pairs(distance_px, p=np.inf, output_type="ndarray"), dtype=np.int64).reshape(-1, 2)


def _groups(places: Places, near: Ints, cell: int) -> Whole:
    """Number of the background of each emitter: one for each cell of the connected ones, counted from their corner."""
    count = len(places)
    graph = sparse.coo_array((np.ones(len(near)), near.T), shape=(count, count))
    connected = connected_components(graph, directed=False)[1]
    cells = []
    for at in (places.x_px, places.y_px):
        corner = np.full(count, np.inf)
        np.minimum.at(corner, connected, np.floor(at))
        cells.append(((at - corner[connected]) // cell).astype(np.int64))
    return np.unique(np.stack([connected, *cells]), axis=1, return_inverse=True)[1].reshape(-1).astype(np.int32)


def _backgrounds(number: Whole, owner: Whole, group: Whole, pixels: int) -> sparse.csr_array:
    """Share of every background in every pixel: that of its windows among those that hold the pixel."""
    windows = np.bincount(number, minlength=pixels)
    shape = (pixels, int(group.max()) + 1)
    return sparse.coo_array((1 / windows[number], (number, group[owner])), shape=shape).tocsr()


def _weights(mean: Floats, noise: Noise) -> Floats:
    return 1 / (noise.excess * np.maximum(mean, DARKEST) + noise.added)


def _settle(design: sparse.csr_array, data: Floats, count: int, noise: Noise) -> tuple[Floats, Floats]:
    """Photons (the first `count`) and backgrounds, and the mean of every pixel.

    The first round weighs all pixels alike, the others by the variance that the one before expects. An emitter that
    was held at no light is let go where the likelihood asks for more.
    """
    turned, per_line = sparse.csr_array(design.T), np.diff(design.indptr)
    values, weights, free = np.zeros(design.shape[1]), np.ones(len(data)), np.ones(design.shape[1], dtype=bool)
    for _ in range(ROUNDS):
        weighed = sparse.csr_array(
            (design.data * np.repeat(weights, per_line), design.indices, design.indptr), shape=design.shape
        )
        normal = sparse.csr_array(turned @ weighed)
        fresh = _without_negatives(normal, turned @ (weights * data), free, count)
        moved = np.abs(fresh - values)[:count] * np.sqrt(normal.diagonal()[:count])
        values, mean = fresh, design @ fresh
        weights = _weights(mean, noise)
        asked = free[:count] | ((turned @ (weights * (data - mean)))[:count] > 0)
        if (moved < SETTLED).all() and (asked == free[:count]).all():
            break
        free[:count] = asked
    return values, mean


def _without_negatives(normal: sparse.csr_array, wanted: Floats, free: NDArray[np.bool_], count: int) -> Floats:
    """Solve the normal equations; of the first `count` values, those below 0 join the held ones (not `free`)."""
    ridge = sparse.diags_array(RIDGE * np.maximum(normal.diagonal(), 1e-12))
    firm, values = sparse.csr_array(normal + ridge), np.zeros(len(wanted))
    for _ in range(ROUNDS):
        some = sparse.csc_array(firm if free.all() else firm[free][:, free])
        factors = splu(some, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
        values[~free], values[free] = 0, factors.solve(wanted[free])
        below = values[:count] < 0
        if not below.any():
            break
        free[:count] &= ~below
    values[:count] = np.maximum(values[:count], 0)
    return values


def _closest(places: Places, near: Ints, distance_px: float) -> Ints:
    """The nearest emitters within a distance, (n, 5), -1 where there are no more."""
    both = np.concatenate([near, near[:, ::-1]])
    away = np.hypot(*(at[both[:, 0]] - at[both[:, 1]] for at in (places.x_px, places.y_px)))
    both, away = both[away < distance_px], away[away < distance_px]
    order = np.lexsort((away, both[:, 0]))
    one, other = both[order].T
    rank = np.arange(len(one)) - np.searchsorted(one, one)
    found = np.full((len(places), NEIGHBOURS), -1, dtype=np.int64)
    few = rank < NEIGHBOURS
    found[one[few], rank[few]] = other[few]
    return found
