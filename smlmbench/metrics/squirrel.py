"""SQUIRREL: does a fine image, blurred as the microscope blurs, look like the mean of the frames? Needs no truth."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, optimize

from smlmbench.metrics.evidence import Evidence
from smlmbench.predictions import Floats

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Fine image blurred by the width, gain and offset that fit best, against the mean of the frames.",
    "deviations": [
        "NanoPyx lays the middles of the first fine and the first camera pixel on each other, so that its images are "
        "half a camera pixel apart; and it squeezes the enlarged frame into the range of the small one: its RSE is "
        "some 3 % smaller.",
        "A negative gain is no match: an inverted image keeps its negative RSP and has the RSE of a constant one.",
    ],
    "tasks": ["localization", "densification"],
    "gives": {
        "rsp": {
            "title": "RSP",
            "spoken": "RSP",
            "direction": "up",
            "low": -1.0,
            "high": 1.0,
            "help": "Pearson correlation of the blurred image and the mean frame. Blind to errors below the width of "
            "the blur, so that the mean frame itself is perfect: it ranks nothing. Tables are drawn as counts.",
        },
        "rse": {
            "title": "RSE",
            "spoken": "RSE",
            "direction": "down",
            "low": 0.0,
            "help": "Root mean square of their difference, in the unit of the frames (photons per pixel and frame).",
        },
        "squirrel_sigma_nm": {
            "direction": "none",
            "low": 0.0,
            "help": "Standard deviation of the blur that fits best, at most 4 camera pixels.",
        },
    },
}  # fmt: skip

WIDEST_PX = 4.0  # camera pixels
TRIED = 25  # widths, before the best is refined
ROUNDING = 1e-9  # of the largest value: what varies less is constant

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Match:
    """What brings a fine image nearest to a frame.

    Attributes:
        sigma_px: Blur in fine pixels.
        gain: Not below 0.
        offset: In the unit of the frame.
        rsp: Correlation after the blur.
        rse: Root mean square difference on the fine grid, in the unit of the frame.
        error: Absolute difference, (H, W).
    """

    sigma_px: float
    gain: float
    offset: float
    rsp: float
    rse: float
    error: Floats


def match(image: Array, frame: Array) -> Match | str:
    """Fit blur, gain and offset of a fine image (H, W) to a frame (h, w) that it covers m times as finely.

    Both are mirrored at their edges. The frame is enlarged by its cosine transform, which keeps its pixels' middles
    where they are; in this transform a Gaussian blur is a product, so that no width is blurred to be tried.

    Source:
        Culley et al. 2018, Nature Methods 15:263.
    """
    if image.ndim != 2 or frame.ndim != 2 or not min(*image.shape, *frame.shape):
        return "no images"
    if image.shape[0] % frame.shape[0] or image.shape[0] * frame.shape[1] != image.shape[1] * frame.shape[0]:
        (height, width), (rows, columns) = image.shape, frame.shape
        return f"an image of {height} x {width} is no whole multiple of the frame's {rows} x {columns} pixels"
    times, largest = image.shape[0] // frame.shape[0], float(np.abs(image).max())
    if not (np.isfinite(image).all() and np.isfinite(frame).all()):
        return "an image has values that are not finite"
    if np.ptp(frame) <= ROUNDING * np.abs(frame).max():
        return "the mean frame is constant"
    if np.ptp(image) <= ROUNDING * largest:
        return "the image is constant"
    fine, coarse = fft.dctn(image / largest, norm="ortho"), times * fft.dctn(frame, norm="ortho")
    fit = _Fit(fine, coarse)
    widths = np.linspace(0.0, WIDEST_PX * times, TRIED)
    tried = [fit.correlation(width) for width in widths]
    best = int(np.argmax(tried))
    ends = widths[max(0, best - 1)], widths[min(best + 1, TRIED - 1)]
    refined = optimize.minimize_scalar(lambda width: -fit.correlation(width), bounds=ends, method="bounded")
    sigma_px = float(refined.x) if -refined.fun > tried[best] else float(widths[best])
    return fit.at(sigma_px, largest)


class _Fit:
    """Cosine transforms of the image and of the frame on the fine grid; the frame's is 0 beyond its own (h, w)."""

    def __init__(self, fine: Floats, coarse: Floats) -> None:
        self.fine, self.coarse = fine, coarse
        rows, columns = coarse.shape
        self.power, self.shared, frame = fine**2, fine[:rows, :columns] * coarse, coarse**2
        for each in (self.power, self.shared, frame):
            each[0, 0] = 0.0  # the means
        self.varied = float(frame.sum())

    def _transfers(self, sigma_px: float) -> tuple[Floats, Floats]:
        """What a blur leaves of each frequency, down and across."""
        down, across = (np.pi * np.arange(size) / size for size in self.fine.shape)
        return np.exp(-((sigma_px * down) ** 2) / 2), np.exp(-((sigma_px * across) ** 2) / 2)

    def _moments(self, sigma_px: float) -> tuple[float, float]:
        """Sum of squares of the blurred image around its mean, and its product with the frame's."""
        down, across = self._transfers(sigma_px)
        rows, columns = self.coarse.shape
        return float(down**2 @ self.power @ across**2), float(down[:rows] @ self.shared @ across[:columns])

    def correlation(self, sigma_px: float) -> float:
        """Pearson's, after a blur; 0 where nothing is left."""
        own, both = self._moments(sigma_px)
        return float(np.clip(both / np.sqrt(own * self.varied), -1.0, 1.0)) if own > 0 else 0.0

    def at(self, sigma_px: float, unit: float) -> Match:
        """The match with a blur; `unit` is what the image was divided by."""
        own, both = self._moments(sigma_px)
        gain = max(both / own, 0.0) if own > 0 else 0.0
        down, across = self._transfers(sigma_px)
        blurred = gain * self.fine * down[:, None] * across
        rows, columns = self.coarse.shape
        blurred[:rows, :columns] -= self.coarse
        blurred[0, 0] = 0.0
        pixels = np.sqrt(self.fine.size)
        offset = (self.coarse[0, 0] - gain * self.fine[0, 0]) / pixels
        rse = float(np.sqrt((blurred**2).sum()) / pixels)
        error: Floats = np.abs(fft.idctn(blurred, norm="ortho"))
        return Match(sigma_px, gain / unit, float(offset), self.correlation(sigma_px), rse, error)


def measure(evidence: Evidence) -> dict[str, float | str]:
    """Of the row's image, or its table counted on the row's grid, and the mean of the frames."""
    reason = evidence.missing("image", "mean_frame")
    if reason or evidence.image is None or evidence.mean_frame is None:
        return dict.fromkeys(CARD["gives"], reason or "no images")
    found = match(evidence.image, evidence.mean_frame)
    if isinstance(found, str):
        return dict.fromkeys(CARD["gives"], found)
    sigma_nm: float | str = found.sigma_px * evidence.fine_pixel_nm
    if not np.isfinite(sigma_nm):
        sigma_nm = "the pixel of the image is unknown"
    return {"rsp": found.rsp, "rse": found.rse, "squirrel_sigma_nm": sigma_nm}
