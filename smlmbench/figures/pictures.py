"""Parts of the pictures of one field: what single pixels look like, positions, scale bars."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smlmbench.errors import SizeError
from smlmbench.figures.style import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable

# Below this share of lit pixels a truth is a set of dots, above it a picture.
SPARSE_FRACTION = 0.02
TRUE, FOUND = "#56B4E9", "#E69F00"
TICK, TICK_RIGHT = "#4a5560", 1  # colour, and the number of the marker


def scale_bar_nm(width_nm: float) -> float:
    """Length of a scale bar: the largest 1, 2 or 5 times a power of ten within 30 % of a field's width in nm."""
    if not width_nm > 0:
        raise SizeError(f"a field of width {width_nm} nm has no scale bar; give a positive width")
    base = 10.0 ** math.floor(math.log10(width_nm * 0.3))
    return max(step * base for step in (1, 2, 5) if step * base <= width_nm * 0.3 * (1 + 1e-9))


def checked(name: str, given: ArrayLike) -> NDArray[np.float64]:
    """An image without NaN.

    Raises:
        SizeError: Not one image.
    """
    image = np.nan_to_num(np.asarray(given, dtype=np.float64))
    if image.ndim != 2 or image.size == 0:
        raise SizeError(f"the {name} image has shape {image.shape}; give one image of shape (height, width)")
    return image


def places(points: ArrayLike | None) -> NDArray[np.float64]:
    """Positions as (n, 2); None are none."""
    return np.empty((0, 2)) if points is None else np.asarray(points, dtype=np.float64).reshape(-1, 2)


def visible(images: Sequence[NDArray[np.float64]], width_nm: float | None) -> tuple[list[NDArray[np.float64]], str]:
    """The fine images, blurred where single pixels would vanish on the screen, and what their titles say of it."""
    truth = images[0]
    if np.count_nonzero(truth) > SPARSE_FRACTION * truth.size:
        return list(images), ""
    from scipy.ndimage import gaussian_filter

    sigma_px = max(1.0, truth.shape[1] / 160)
    blurred = [np.asarray(gaussian_filter(image, sigma_px), dtype=np.float64) for image in images]
    size = f"{sigma_px:.3g} fine px" if width_nm is None else f"{sigma_px * width_nm / truth.shape[1]:.0f} nm"
    return blurred, f" (blurred, σ = {size})"


def peak(image: NDArray[np.float64]) -> float:
    """A robust maximum: sparse images are dark in more than 99 % of their pixels, so only lit ones count."""
    lit = image[image > 0]
    return float(np.percentile(lit, 99.5)) if lit.size else 1.0


def draw_positions(axis: "Axes", truth_nm: NDArray[np.float64], found_nm: NDArray[np.float64]) -> None:
    """Draw true positions as rings and found ones as crosses, with a legend below."""
    size = 40 if len(truth_nm) + len(found_nm) <= 200 else 12
    if len(truth_nm):
        look: dict[str, Any] = {"s": size, "facecolors": "none", "edgecolors": TRUE, "linewidths": 1.1}
        axis.scatter(truth_nm[:, 0], truth_nm[:, 1], label="truth", **look)
    if len(found_nm):
        look = {"s": size * 0.6, "marker": "x", "c": FOUND, "linewidths": 1.1}
        axis.scatter(found_nm[:, 0], found_nm[:, 1], label="prediction", **look)
    if len(truth_nm) or len(found_nm):
        place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.01), "ncols": 2}
        axis.legend(**place, borderaxespad=0.2)


def draw_scale_bar(axis: "Axes", width_nm: float, height_nm: float, colour: str, *, in_px: bool = False) -> None:
    """Draw a bar of a round length at the lower left; `in_px` where the axis counts pixels of unknown size."""
    from matplotlib import patheffects

    length = scale_bar_nm(width_nm)
    left, bottom = width_nm * 0.05, height_nm * 0.95
    halo = [patheffects.withStroke(linewidth=2.5, foreground=INK if colour == "white" else "white")]
    ends = [left, left + length]
    axis.plot(ends, [bottom, bottom], color=colour, linewidth=3, solid_capstyle="butt", path_effects=halo)
    text = f"{length:g} px" if in_px else f"{length / 1000:g} µm" if length >= 1000 else f"{length:g} nm"
    axis.text(
        left + length / 2, bottom - height_nm * 0.025, text,
        color=colour, ha="center", va="bottom", fontsize=9, path_effects=halo,
    )  # fmt: skip


def draw_values(axis: "Axes", drawn: "ScalarMappable", size: tuple[float, float], unit: str) -> None:
    """Draw the scale of an image's values right of it, on a field of `size` (width, height).

    Matplotlib's colour bars have an axis each, which takes three quarters of the time of a picture.
    """
    from matplotlib.ticker import MaxNLocator

    width, height = size
    low, high = drawn.get_clim()
    colours = drawn.cmap(np.linspace(1, 0, 256))[:, None]
    axis.imshow(colours, extent=(1.02 * width, 1.06 * width, height, 0), clip_on=False, aspect=axis.get_aspect())

    def beside(text: str, at: float, points: float, **look: Any) -> None:
        place: dict[str, Any] = {"textcoords": "offset points", "annotation_clip": False, "va": "center_baseline"}
        axis.annotate(text, (1.06 * width, at), (points, 0), **place, **look)

    ticks = np.asarray(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))
    told = {f"{value:g}": value for value in ticks[(ticks >= low) & (ticks <= high)]}  # an even image has one value
    for text, value in told.items():
        at = height * (1 - float(np.asarray(drawn.norm(value))))
        axis.plot([1.06 * width], [at], marker=TICK_RIGHT, markersize=3, color=TICK, markeredgewidth=0.8, clip_on=False)
        beside(text, at, 5, color=TICK, fontsize=7.5)
    beside(unit, height / 2, 34, fontsize=8, rotation=90)
    axis.set(xlim=(0, width), ylim=(height, 0))
