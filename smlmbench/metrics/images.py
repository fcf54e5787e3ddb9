"""Two fine images made comparable: checked, blurred, brought to one gain."""

import math
from dataclasses import dataclass

import numpy as np

from smlmbench.metrics.evidence import Evidence
from smlmbench.predictions import Floats
from smlmbench.render import blur

BLUR_FINE_PX = 1.0
MOST_APART = 100.0  # powers of ten: squares of what is farther apart are no numbers


@dataclass(frozen=True, slots=True)
class ImagePair:
    """Image of a row and of the truth, float64 (H, W), finite, the truth not blank; in one unit near its maximum."""

    image: Floats
    truth: Floats

    @property
    def gain(self) -> float:
        """Least-squares gain a* = <y, x> / <y, y> of the image; 0 if blank, and if inverted, which is no match."""
        power = float(np.vdot(self.image, self.image))
        return max(float(np.vdot(self.image, self.truth)) / power, 0.0) if power > 0 else 0.0

    @property
    def error(self) -> float:
        """|y - x|^2 / |x|^2 of the image y as it is."""
        difference = self.image - self.truth
        return float(np.vdot(difference, difference) / np.vdot(self.truth, self.truth))

    @property
    def peak(self) -> float:
        """L, the maximum of the truth: the range of every secondary image metric, the same for all rows."""
        return float(self.truth.max())

    def scaled(self, gain: float) -> "ImagePair":
        """The image times a gain."""
        return ImagePair(gain * self.image, self.truth)

    def blurred(self) -> "ImagePair":
        """Both blurred (sigma 1 fine px, zero outside): else one pixel of shift costs everything on sparse images."""
        return ImagePair(blur(self.image, BLUR_FINE_PX), blur(self.truth, BLUR_FINE_PX))


def image_pair(evidence: Evidence) -> ImagePair | str:
    """Both images of an evidence, or the reason why they cannot be compared."""
    reason = evidence.missing("image", "truth_image")
    if reason or evidence.image is None or evidence.truth_image is None:
        return reason or "no images"
    image, truth = np.asarray(evidence.image, np.float64), np.asarray(evidence.truth_image, np.float64)
    if not (np.isfinite(image).all() and np.isfinite(truth).all()):
        return "an image has values that are not finite"
    peak, largest = (float(values.max(initial=0.0)) for values in (truth, np.abs(truth)))
    if not peak > 0:
        return "the true image is blank"
    if truth.size == 1:
        return "an image of one pixel: every other equals it at the best gain"
    sizes = [math.log10(size) for size in (peak, largest, float(np.abs(image).max())) if size > 0]
    if max(sizes) - min(sizes) > MOST_APART:
        return f"the brightness of image and truth differs by more than 1e{MOST_APART:.0f}"
    exponent = -math.frexp(peak)[1]  # a power of two, so that nothing is rounded
    return ImagePair(np.ldexp(image, exponent), np.ldexp(truth, exponent))


def compared(evidence: Evidence, smallest_px: int) -> ImagePair | str:
    """Both images as SSIM and PSNR see them: blurred, then the image at its least-squares gain."""
    pair = image_pair(evidence)
    if isinstance(pair, str):
        return pair
    if min(pair.truth.shape) < smallest_px:
        height, width = pair.truth.shape
        return f"image of {height} x {width} fine pixels; needs sides of at least {smallest_px}"
    blurred = pair.blurred()
    if not blurred.peak > 0:
        return "the blurred true image is dark everywhere: it has no range"
    return blurred.scaled(blurred.gain)
