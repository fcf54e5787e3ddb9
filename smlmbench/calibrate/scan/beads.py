"""Beads in a z-scan: found, chosen, laid over one another, and what depth does to them.

A bead is a bright place in the mean of all planes; its window is as large as its light reaches. Those whose window
leaves the frame, or reaches another bead, are left out, and so are those unlike the others. Each is shifted onto their
mean in x, y and z by least squares on a cubic spline. What comes out is a stack for the PSF `beads`, and the curve of
the PSF `astigmatic` where its widths explain the light.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from smlmbench.calibrate.scan.astigmatism import Curve, Widths, curve_of, likeness, widths_of
from smlmbench.errors import ConfigError
from smlmbench.predictions import Floats

BRIGHT, DIM = 8.0, 0.15  # standard deviations of the mean's noise, and share of the brightest
EDGE, ROOM, LEAST_HALF = 0.015, 1.3, 4  # of the brightest ring, where a bead ends; window beyond it; px
APART = 1.6  # half windows to the next one
FEWEST_PLANES, MOST_BEADS = 7, 25
MOST_SHIFT = 4.0  # px and planes
ALIKE, ROUNDS = 0.9, 2
STEPS, STILL = 8, 0.005
GAUSSIAN = 0.95  # of the light in range that widths must explain
SMOOTH = 1.5


@dataclass(frozen=True, slots=True)
class BeadsFound:
    """What a scan says of the optics.

    Attributes:
        stack: Mean of the beads (planes, side, side) float32, without background, from the lowest depth.
        focus: Plane at z = 0.
        alike: Median share of a bead's light that the mean explains.
        widths: Of every bead, plane by plane.
        curve: Of an astigmatic Gaussian, None where widths tell none; `explained` is the share of the light that it
            explains within `range_nm`, by which it is Gaussian or not.
        found, used: Beads seen, and those that the mean is of.
    """

    name: str
    stack: NDArray[np.float32]
    step_nm: float
    pixel_size_nm: float
    focus: int
    range_nm: float
    found: int
    used: int
    alike: float
    widths: tuple[Widths, ...] = ()
    curve: Curve | None = None
    explained: float = math.nan
    doubts: tuple[str, ...] = field(default=())

    @property
    def gaussian(self) -> bool:
        """Whether the curve describes these optics."""
        return self.curve is not None and self.explained >= GAUSSIAN


def measure_beads(name: str, stack: NDArray[np.floating], step_nm: float, pixel_size_nm: float) -> BeadsFound:
    """Measure a scan.

    Args:
        name: Of the file.
        stack: (planes, rows, columns) in any unit that is proportional to light, but for an offset.
        step_nm: From plane to plane; below 0 where the scan goes down.
        pixel_size_nm: Of the camera.

    Raises:
        ConfigError: Too few planes, a step of 0, or no bead that stands alone.
    """
    if len(stack) < FEWEST_PLANES or step_nm == 0 or min(stack.shape[1:]) < 2 * LEAST_HALF + 1:
        said = f"{len(stack)} planes of {stack.shape[2]} x {stack.shape[1]} px in steps of {step_nm:g} nm"
        raise ConfigError(
            f"'{name}': {said} are no scan; give {FEWEST_PLANES} planes or more, of 9 x 9 px at least, and a step"
        )
    planes = np.asarray(stack, dtype=np.float64)[:: 1 if step_nm > 0 else -1]
    clean = planes - np.median(planes, axis=(1, 2), keepdims=True)
    places, half, found = _places(name, clean)
    cut = [clean[:, y - half : y + half + 1, x - half : x + half + 1] for y, x in places[:MOST_BEADS]]
    cut = [each - _rim(each)[:, None, None] for each in cut]
    mean, used, alike = _laid_over(cut)
    doubts = [] if used > 1 else ["one bead alone: how beads differ over the field is not known"]
    widths = tuple(widths_of(cut[number], abs(step_nm)) for number in range(len(cut)) if alike[number] >= ALIKE)
    curve = curve_of(widths)
    mean, lowest = _lit(mean)
    explained = math.nan if curve is None else likeness(curve, mean, abs(step_nm), lowest)
    focus = (len(mean) - 1) // 2
    if curve is not None and explained >= GAUSSIAN:
        focus = min(max(round(curve.focus_nm / abs(step_nm)) - lowest, 1), len(mean) - 2)
    else:
        doubts.append("no Gaussian of two widths: z = 0 is the middle of the scan")
    range_nm = min(focus, len(mean) - 1 - focus) * abs(step_nm)
    if curve is not None and curve.flat and explained >= GAUSSIAN:
        doubts.append("both widths change alike with depth: above and below focus are not told apart")
    return BeadsFound(
        name, mean.astype(np.float32), abs(step_nm), pixel_size_nm, focus, range_nm, found, used,
        float(np.median(alike)), widths, curve and curve.scaled(pixel_size_nm), explained, tuple(doubts),
    )  # fmt: skip


def _places(name: str, clean: Floats) -> tuple[list[tuple[int, int]], int, int]:
    """Rows and columns of beads that stand alone, brightest first, half their window, and how many were seen."""
    light = clean.mean(0)
    smooth = ndimage.gaussian_filter(light, SMOOTH)
    noise = 1.4826 * float(np.median(np.abs(smooth - np.median(smooth)))) + 1e-12
    height, width = light.shape
    top = np.unravel_index(int(smooth.argmax()), smooth.shape)
    if smooth[top] < BRIGHT * noise:
        raise ConfigError(f"'{name}': no bead stands out of the background of its planes; give a scan of bright beads")
    half = min(_reach(smooth, (int(top[0]), int(top[1])), noise), (min(height, width) - 1) // 2)
    wide = ndimage.gaussian_filter(light, max(SMOOTH, half / 3))
    peaks = (wide == ndimage.maximum_filter(wide, size=half | 1)) & (wide > max(DIM * wide.max(), 0))
    peaks &= ndimage.maximum_filter(smooth, size=half | 1) > BRIGHT * noise
    every = sorted(np.argwhere(peaks).tolist(), key=lambda at: -wide[at[0], at[1]])
    alone = []
    for at in every:
        near = [math.dist(at, other) for other in every if other is not at]
        if min(near, default=math.inf) < APART * half:
            continue
        y, x = at
        # a window that is a pixel or two too large for the frame is moved into it
        y, x = (min(max(place, half), side - 1 - half) for place, side in ((y, height), (x, width)))
        if math.dist((y, x), at) <= max(2.0, 0.1 * half):
            alone.append((y, x))
    if not alone:
        said = f"{len(every)} beads are seen, none stands alone with {2 * half + 1} x {2 * half + 1} px of its own"
        raise ConfigError(f"'{name}': {said}; give a scan of fewer beads, or crop it around one")
    return alone, half, len(every)


def _reach(smooth: Floats, at: tuple[int, int], noise: float) -> int:
    """Half a window that holds the light of a bead."""
    far = np.hypot(*(np.indices(smooth.shape) - np.array(at)[:, None, None])).astype(int)
    rings = np.bincount(far.ravel(), smooth.ravel()) / np.maximum(np.bincount(far.ravel()), 1)
    ends = np.flatnonzero(rings < max(EDGE * rings[0], 2 * noise))
    return max(LEAST_HALF, math.ceil(ROOM * float(ends[0] if len(ends) else len(rings))))


def _rim(planes: Floats) -> Floats:
    rim = np.concatenate([planes[:, 0], planes[:, -1], planes[:, 1:-1, 0], planes[:, 1:-1, -1]], axis=1)
    return np.asarray(np.median(rim, axis=1), dtype=np.float64)


def _lit(mean: Floats) -> tuple[Floats, int]:
    """Planes without those at both ends that have no light, and the number of the first."""
    light = mean.sum((1, 2))
    lit = np.flatnonzero(light > 0.05 * np.median(light[light > 0]))
    return mean[lit[0] : lit[-1] + 1], int(lit[0])


def _laid_over(beads: list[Floats]) -> tuple[Floats, int, Floats]:
    """Mean of beads (planes, side, side), how many it is of, and the share of each that it explains."""
    scaled = [each / each.sum() * len(each) for each in beads]
    if len(beads) == 1:
        return scaled[0], 1, np.ones(1)
    usual = int(np.median(np.corrcoef([each.ravel() for each in scaled]), axis=1).argmax())
    mean = scaled[usual]  # most like the others
    for _ in range(ROUNDS):
        moved = [_moved(each, mean) for each in scaled]
        alike = np.array([share for _, share in moved])
        if (alike >= ALIKE).sum() < 2:
            return scaled[usual], 1, np.where(np.arange(len(beads)) == usual, 1.0, 0.0)
        mean = np.mean([each for each, share in moved if share >= ALIKE], axis=0)
    return mean, int((alike >= ALIKE).sum()), alike


def _moved(bead: Floats, mean: Floats) -> tuple[Floats, float]:
    """A bead shifted onto the mean (Gauss-Newton), and the share of its light that the mean explains."""
    spline = ndimage.spline_filter(bead, order=3)
    inner = (slice(None), slice(1, -1), slice(1, -1))
    wanted = mean[inner].ravel()
    slopes = np.column_stack([-np.gradient(mean, axis=along)[inner].ravel() for along in range(3)])
    by = np.zeros(3)

    def shifted() -> Floats:
        return np.asarray(ndimage.shift(spline, by, order=3, mode="nearest", prefilter=False), dtype=np.float64)

    for _ in range(STEPS):
        step = np.linalg.lstsq(slopes, wanted - shifted()[inner].ravel(), rcond=None)[0]
        by = (by + step).clip(-MOST_SHIFT, MOST_SHIFT)
        if np.abs(step).max() < STILL:
            break
    moved = shifted()
    left = ((moved[inner].ravel() - wanted) ** 2).sum()
    return moved, 1 - float(left / ((wanted - wanted.mean()) ** 2).sum())
