"""Photon transfer: the variance of a pixel over its mean, measured where spots do not reach.

The variance of a count is a line over its mean, excess / e_per_adu * (mean - baseline) + read noise^2 (Janesick 2007,
doi:10.1117/3.725073). The variance is taken at the highest spatial frequency along both axes, of the difference of two
frames: the noise of pixels is the same at all frequencies, of a spot of 0.8 px and more hardly anything is left there,
and what is fixed to the pixels cancels. The mean is that of the same pixels with the same weights; its bins are wider
than its noise, so that noise alone, which moves mean and variance together, makes no slope. How much of the spots is
left shows in filters of higher order, which leave less: the first that the next one confirms is taken.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

from smlmbench.movies import Frames
from smlmbench.predictions import Floats

ORDERS = (4, 8, 12)  # of the filter: the higher, the less of a spot and the fewer pixels that are independent
WHITE_ORDER = 8
PIXELS = 2**22  # looked at
BAND_PIXELS = 2**19  # of a larger frame a band of rows
GROUPS, TILE = 20, 32
FEWEST = 4000  # filtered pixels
STEP, WIDENS = 3.0, 0.15  # widths of bins in standard deviations of the mean's noise, or over their height
# Width of the first bin, without a register and with one: read noise moves no variance, and is not known here.
FIRST = {False: 5.0, True: 3.5}
SPIKE = 40.0  # squares above this many of their median come from no noise
WHITE, DIM = 0.14, 0.25  # logarithm of the variance at two frequencies, one over the other; in the darkest places
CHANCE = 13.0  # three standard deviations of it, for one pixel
CONFIRMS, CLOSE = 0.5, 0.01  # two orders agree: within this share of the 95 % interval of their ratio, or of it
SYSTEMATIC = 0.02  # of the gain: what spots leave at the highest frequency
PILED, NEAR = 5.0, 0.005  # cut off: more pixels at the last count than so many times those in this share beside it
CUT_BELOW = 0.01
SMALLEST = max(WHITE_ORDER, ORDERS[0]) + 2
MEDIAN_OF, DENSITY_OF, ROUNDS = 4000, 2**19, 5
TOO_FEW = f"fewer than {FEWEST} pixels whose noise can be measured; give more frames"
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Look:
    """Pairs of frames (p, 2, H, W), which of their pixels (p, H, W) are cut off, and what is odd about them.

    `why` says in words why they tell nothing of noise, "" where they do.
    """

    pairs: NDArray[np.float32]
    cut: NDArray[np.bool_]
    doubts: tuple[str, ...] = ()
    why: str = ""

    @classmethod
    def nothing(cls, why: str) -> "Look":
        """Of a movie that has no pairs."""
        return cls(np.empty((0, 2, 0, 0), np.float32), np.empty((0, 0, 0), bool), why=why)

    @property
    def difference(self) -> NDArray[np.float32]:
        """Of the frames of each pair, with the noise of one frame."""
        return np.asarray((self.pairs[:, 0] - self.pairs[:, 1]) * np.float32(math.sqrt(0.5)))


@dataclass(frozen=True, slots=True)
class Transfer:
    """Bins of a photon transfer (groups, bins): pixels, sums of their means and of their variances."""

    count: Floats
    mean: Floats
    variance: Floats

    def without(self, group: int | None = None) -> tuple[Floats, Floats, Floats]:
        """Pixels, mean and variance of each bin that has some, all groups but one together."""
        rows = np.arange(len(self.count)) != (-1 if group is None else group)
        count = self.count[rows].sum(axis=0)
        some = count > 0
        mean, variance = (sums[rows].sum(axis=0)[some] / count[some] for sums in (self.mean, self.variance))
        return count[some], mean, variance


@dataclass(frozen=True, slots=True)
class Line:
    """Variance over mean: slope, mean at which it is 0; the same without one group each, and an error beyond noise."""

    transfer: Transfer
    slope: float
    at: float
    slopes: Floats
    ats: Floats
    leak: float = 0.0

    @property
    def half(self) -> float:
        """Half of the 95 % interval of the logarithm of the slope."""
        if not self.slope > 0:
            return math.inf
        return math.hypot(jackknifed(np.log(self.slopes), math.log(self.slope)), self.leak, SYSTEMATIC)


def rough_variance(images: NDArray[np.float32], order: int) -> NDArray[np.float32]:
    """Variance of a pixel's noise in images (n, H, W), one degree of freedom for each of (n, H - order, W - order)."""
    fine = _weights(order)
    return _inner(images, fine, fine) ** 2


def _weights(order: int, step: int = 1) -> Floats:
    """(1 - z^step)^(order / step), of norm 1: highest at half the sampling frequency, or at a quarter of it."""
    found = np.zeros(order + 1)
    found[::step] = [(-1) ** k * math.comb(order // step, k) for k in range(order // step + 1)]
    return np.asarray(found / math.sqrt(float(found @ found)))


def _inner(images: NDArray[np.float32], axis_1: Floats, axis_2: Floats) -> NDArray[np.float32]:
    """Images (n, H, W) filtered along both axes where the filters lie inside."""
    reach = len(axis_1) // 2
    along = ndimage.convolve1d(images, axis_1, axis=1)[:, reach:-reach]
    return np.asarray(ndimage.convolve1d(along, axis_2, axis=2)[:, :, reach:-reach])


def look_at(frames: Frames) -> Look:
    """Pairs of a movie, spread over it."""
    if frames.n_frames < 2:
        return Look.nothing("a single frame: noise is measured by the difference of two; give more frames")
    if min(frames.height, frames.width) < SMALLEST:
        given = f"frames of {frames.width} x {frames.height} px are too small"
        return Look.nothing(f"{given}; give {SMALLEST} x {SMALLEST} px or more")
    pairs = _pairs(frames)
    pairs = pairs[(np.ptp(pairs, axis=(2, 3)) > 0).all(axis=1) & (pairs[:, 0] != pairs[:, 1]).any(axis=(1, 2))]
    if not len(pairs):
        return Look.nothing("frames are constant or equal to the one before: there is no noise in them")
    top = float(pairs.max())
    cut = (pairs >= top).any(axis=1) & _piled(pairs, top, -1)
    look = Look(pairs, cut, _doubts(pairs, top, float(cut.mean())))
    if (pairs.shape[2] - WHITE_ORDER) * (pairs.shape[3] - WHITE_ORDER) * len(pairs) < FEWEST:
        return replace(look, why=TOO_FEW)
    if float(np.median(rough_variance(look.difference, ORDERS[0]))) <= 0:
        return replace(look, why="most pixels do not change from frame to frame: there is no noise in them")
    return replace(look, why=_coloured(look))


def _coloured(look: Look) -> str:
    """Why the noise is not that of pixels, "" where it is: the same at two frequencies where there is least light."""
    fine, half = _weights(WHITE_ORDER), _weights(WHITE_ORDER, 2)
    even = np.full(WHITE_ORDER + 1, 1 / (WHITE_ORDER + 1))
    level = _inner(look.pairs.mean(axis=1), even, even)
    dim = level <= np.quantile(level, DIM)
    across, down = (float((_inner(look.difference, *axes)[dim] ** 2).mean()) for axes in ((fine, half), (half, fine)))
    white = float(rough_variance(look.difference, WHITE_ORDER)[dim].mean()) * 2 / max(across + down, 1e-12)
    if abs(math.log(max(white, 1e-12))) <= WHITE + CHANCE / math.sqrt(np.count_nonzero(dim)):
        return ""
    return (
        f"noise at the highest spatial frequency is {white:.2f} of that at a lower one: pixels were smoothed,"
        " resampled or compressed, and their noise says nothing of the gain; give the movie as the camera wrote it"
    )


def _transfer(look: Look, order: int, skew: float) -> Transfer | None:
    """Bins of the variance over the mean; None where pixels are too few.

    Noise that lifts a pixel into a bin lifts its variance, too, along the line itself where it is that of a Poisson
    number; behind a register by `1 + skew` times as much, for which the means are moved by what noise has added to them
    (Tweedie's formula: the variance times the slope of the density of means).
    """
    if min(look.pairs.shape[2:]) <= order:
        return None
    weights, reach = _weights(order) ** 2, order // 2
    inside = np.s_[:, reach:-reach, reach:-reach]
    usable = ~ndimage.maximum_filter(look.cut, (1, order + 1, order + 1))[inside]
    if usable.sum() < FEWEST:
        return None
    level = _inner(look.pairs.mean(axis=1), weights, weights)[usable]
    variance = rough_variance(look.difference, order)[usable]
    edges, spreads = _edges(level, variance, float((weights @ weights) ** 2), FIRST[skew > 0])
    found = np.digitize(level, edges)
    ordered = np.sort(level[:: 1 + len(level) // DENSITY_OF])
    near = np.searchsorted(ordered, edges + spreads / 2) - np.searchsorted(ordered, edges - spreads / 2)
    entered = near * spreads * (len(level) / len(ordered))  # the sum over pixels of what noise has lifted over an edge
    pixels = np.bincount(found, minlength=1 + len(edges))
    added = skew * (np.append(0, entered) - np.append(entered, 0)) / np.maximum(1, pixels)
    kept = variance <= SPIKE * _medians(variance, found)[found]
    bins = len(edges) + 1
    key = (_groups(look.cut.shape)[inside][usable] * bins + found)[kept]
    moved = level[kept] + added[found[kept]]
    sums = (np.bincount(key, values, GROUPS * bins) for values in (None, moved, variance[kept]))
    return Transfer(*(np.asarray(each, dtype=np.float64).reshape(GROUPS, bins) for each in sums))


def _pairs(frames: Frames) -> NDArray[np.float32]:
    """Pairs of consecutive frames (p, 2, h, W), spread over the movie; h is below H where frames are large."""
    height = min(frames.height, max(SMALLEST, BAND_PIXELS // frames.width))
    count = max(1, min(frames.n_frames // 2, PIXELS // (2 * height * frames.width)))
    starts = np.arange(count) * (frames.n_frames - 2) // max(1, count - 1)
    free = frames.height - height
    bands = np.rint(np.arange(count) * 0.6180339887 % 1 * free).astype(int) if free else np.zeros(count, dtype=int)
    found = np.empty((count, 2, height, frames.width), dtype=np.float32)
    for number, (start, row) in enumerate(zip(starts.tolist(), bands.tolist(), strict=True)):
        found[number] = frames.read(start, start + 2)[..., row : row + height, :]
    return found


def _edges(
    level: NDArray[np.float32], variance: NDArray[np.float32], share: float, first: float
) -> tuple[Floats, Floats]:
    """Edges between bins of the mean, and its noise there; the first bin takes in the noise of the background.

    `share` is the variance of the mean over that of a pixel, of one frame.
    """
    low, high = np.quantile(level, [0.05, 0.9999]).tolist()
    dim = level <= np.quantile(level, 0.5)
    floor = float(variance[dim].mean())
    slope = max(0.0, float(variance[~dim].mean()) - floor) / max(1e-12, float(level[~dim].mean() - level[dim].mean()))
    edges, spreads = [low + first * math.sqrt(floor * share / 2)], [math.sqrt(floor * share / 2)]
    while edges[-1] < high:
        edges.append(edges[-1] + max(STEP * spreads[-1], WIDENS * (edges[-1] - low)))
        spreads.append(math.sqrt((floor + slope * (edges[-1] - low)) * share / 2))
    return np.array(edges), np.array(spreads)


def _medians(variance: NDArray[np.float32], found: NDArray[np.int64]) -> Floats:
    """Median of the variance in each bin, from at most a few thousand pixels; of a bin without pixels 0."""
    medians = np.zeros(int(found.max()) + 1)
    order = np.argsort(found, kind="stable")
    for bin_, part in enumerate(np.split(order, np.searchsorted(found[order], np.arange(1, len(medians))))):
        if len(part):
            medians[bin_] = np.median(variance[part[:: 1 + len(part) // MEDIAN_OF]])
    return medians


def _groups(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """A group for each pixel: tiles of a pair are dealt out in turn."""
    pair, row, column = np.ogrid[: shape[0], : shape[1], : shape[2]]
    wide = -(-shape[2] // TILE)
    tile = (pair * -(-shape[1] // TILE) + row // TILE) * wide + column // TILE
    return np.asarray(tile % GROUPS)


def line_of(look: Look, through: Point | None, excess: float) -> Line | str:
    """The line of the lowest order that the next one confirms; in words where there are too few pixels."""
    skew = (excess - 1) / 2  # third cumulants of a Poisson number behind a register: 6 mu, of variance 2 mu
    best: Line | None = None
    for order in ORDERS:
        found = _transfer(look, order, skew)
        if found is None:
            break
        slope, at = _fitted(*found.without(), through)
        slopes, ats = np.array([_fitted(*found.without(group), through) for group in range(GROUPS)]).T
        line = Line(found, slope, at, slopes, ats)
        if best is not None and best.slope > 0 and slope > 0:
            away = math.log(slope / best.slope)
            if abs(away) <= max(CLOSE, CONFIRMS * jackknifed(np.log(slopes / best.slopes), away)):
                return replace(best, leak=abs(away))
        best = line
    return TOO_FEW if best is None else best


def _fitted(count: Floats, mean: Floats, variance: Floats, through: Point | None) -> Point:
    """Slope of the variance over the mean, and the mean at which it is 0; through a point where given."""
    expected = variance.copy()
    slope = at = math.nan
    for _ in range(ROUNDS):
        weight = count / np.maximum(expected, 1e-12) ** 2
        if through is None:
            middle, height = (float(weight @ each / weight.sum()) for each in (mean, variance))
        else:
            middle, height = through
        across = float(weight @ (mean - middle) ** 2)
        slope = float(weight @ ((mean - middle) * (variance - height))) / across if across else math.nan
        if not slope > 0:
            return math.nan, math.nan
        at = middle - height / slope
        expected = np.maximum(slope * (mean - at), 0.1 * variance)
    return slope, at


def jackknifed(values: Floats, whole: float) -> float:
    """Half of the 95 % interval, of values without one group each."""
    if not np.isfinite(values).all():
        return math.inf
    half = float(special.stdtrit(len(values) - 1, 0.975))
    return half * math.sqrt((len(values) - 1) / len(values) * float(((values - whole) ** 2).sum()))


def _piled(values: NDArray[np.float32], end: float, inwards: int) -> bool:
    """Whether counts pile up at their last value, as where a range is cut off."""
    near = end + inwards * max(1.0, NEAR * float(np.ptp(values)))
    beside = np.count_nonzero((values >= near) & (values < end) if inwards < 0 else (values > end) & (values <= near))
    return int(np.count_nonzero(values == end)) > PILED * max(1, int(beside))


def _doubts(pairs: NDArray[np.float32], top: float, cut: float) -> tuple[str, ...]:
    found, least = [], float(pairs.min())
    if cut:
        found.append(f"{cut:.2%} of the pixels are cut off at {top:g} counts: the camera was saturated; left out")
    share = float((pairs <= least).mean())
    if share > CUT_BELOW and _piled(pairs, least, 1):
        found.append(f"{share:.1%} of the pixels are cut off at {least:g} counts: a baseline was taken off")
    if top <= 255 and least >= 0:
        found.append(f"counts end at {top:g}: 8 bits; steps of whole counts and compression may exceed the noise")
    if (pairs != np.rint(pairs)).any():
        found.append("counts are no whole numbers: they were converted or averaged before")
    return tuple(found)
