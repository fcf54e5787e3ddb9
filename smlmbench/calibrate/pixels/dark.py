"""Dark frames: baseline, read noise, and what is fixed to the pixels."""

import math
from dataclasses import dataclass

import numpy as np

from smlmbench.calibrate.contracts import Number
from smlmbench.movies import Frames
from smlmbench.predictions import Floats

NORMAL_MAD = 1.4826
PIXELS = 2**22
OUTLYING = 6.0  # standard deviations of pixels about their median: hot ones
NOISIEST = 10.0  # times the median variance
FIXED = 0.3  # of the read noise
HOT = 1e-3


@dataclass(frozen=True, slots=True)
class Dark:
    """Counts without light: mean of a pixel, half of its 95 % interval, variance of a pixel from frame to frame."""

    mean: float
    mean_half: float
    variance: float
    variance_half: float
    doubts: tuple[str, ...] = ()

    @property
    def baseline(self) -> Number:
        """The mean with its interval, in counts."""
        return Number(self.mean, self.mean - self.mean_half, self.mean + self.mean_half)

    @property
    def noise(self) -> Number:
        """Standard deviation of the read noise with its interval, in counts; steps of whole counts taken out."""
        half = self.variance_half
        value, low, high = (math.sqrt(max(0.0, self.variance + by - 1 / 12)) for by in (0.0, -half, half))
        return Number(value, low, high)


def measure_dark(frames: Frames) -> Dark:
    """Mean and variance over the usual pixels; hot ones are left out, and a fixed pattern is said.

    Of a single frame the variance is that over its pixels, their fixed pattern in it.
    """
    count = max(1, min(frames.n_frames, PIXELS // (frames.height * frames.width)))
    starts = np.unique(np.linspace(0, frames.n_frames - 1, count).astype(int)).tolist()
    counts = np.concatenate([frames.read(start, start + 1) for start in starts]).astype(np.float64)
    means = counts.mean(axis=0)
    middle = float(np.median(means))
    # means of whole counts lie on a grid: half a step at least
    usual_spread = max(NORMAL_MAD * float(np.median(np.abs(means - middle))), 0.5 / len(counts))
    good = np.abs(means - middle) <= OUTLYING * usual_spread
    if len(counts) == 1:
        values = counts[0][good]
        half = 1.96 * float(values.std()) / math.sqrt(values.size)
        said = "a single dark frame: read noise and the fixed pattern of the pixels are not told apart; give 20 or more"
        return Dark(float(values.mean()), half, float(values.var()), math.inf, (said,))
    variances = counts.var(axis=0, ddof=1)
    # the fewer frames, the wider their variances scatter
    good &= variances <= NOISIEST * (1 + 10 / (len(counts) - 1)) * max(float(np.median(variances)), 1 / 12)
    inside = counts[:, good]
    mean, variance, freedom = float(inside.mean()), float(variances[good].mean()), len(counts) - 1
    by_frame = float(inside.mean(axis=1).var(ddof=1)) / len(counts)
    half = 1.96 * math.sqrt(by_frame + float(means[good].var()) / good.sum())
    width = 1.96 * math.sqrt(float(variances[good].var()) / good.sum() + 2 * variance**2 / (freedom * good.sum()))
    return Dark(mean, half, variance, width, _doubts(means, good, variance, len(counts)))


def _doubts(means: Floats, good: Floats, variance: float, n_frames: int) -> tuple[str, ...]:
    found = []
    spread = math.sqrt(max(0.0, float(means[good].var()) - variance / n_frames))
    if spread > FIXED * math.sqrt(variance) and spread > 0.2:
        found.append(
            f"dark pixels differ by {spread:.2g} counts (standard deviation) beyond their noise of"
            f" {math.sqrt(variance):.2g}: an offset map of the camera says more than one baseline (camera: maps)"
        )
    hot = 1 - float(good.mean())
    if hot > HOT:
        found.append(f"{hot:.2%} of the pixels are hot or noisier than the others in the dark; they are left out")
    if variance == 0:
        found.append("dark frames do not change from frame to frame: they hold no noise of a camera")
    return tuple(found)
