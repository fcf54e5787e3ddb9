"""One frame in full: input, prediction with what was found, truth and error, and how their pixels are distributed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smlmbench.errors import SizeError
from smlmbench.figures.pictures import (
    FOUND,
    TRUE,
    checked,
    draw_positions,
    draw_scale_bar,
    draw_values,
    peak,
    places,
    visible,
)
from smlmbench.figures.style import COLOURS, GREY, INK, WIDTH, ImageFormat, drawing_style, new_figure, save, tiles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 60
HISTOGRAMS = 2.1  # inches of their row
MOST_RINGS = 200
MARKED = 0.01  # of the peak: what is darker is not marked
LEFT_OUT = 1e-4  # share of the brightest pixels that may lie beyond the scale of a projection


@dataclass(frozen=True, slots=True)
class Panels:
    """What is shown of one unit or condition: input, answer and truth as images, and positions over them.

    Attributes:
        input_image, prediction, truth: Camera image (H, W), fine image (UH, UW) of any U, and where known its truth.
        pixel_nm: Camera pixel; NaN where it is unknown, lengths are then in px.
        unit, fine_unit: Of the pixels of the input and of the fine images.
        found_nm, truth_nm: Found and true positions (n, 2) as x, y from the outer corner, or None.
        said: What is counted in it, in words.
        marked: Part of the answer (UH, UW) that is shown in colour on it instead of the error, and `marked_said`, what
            that part is; None for none.
    """

    input_image: ArrayLike
    prediction: ArrayLike
    truth: ArrayLike | None = None
    pixel_nm: float = math.nan
    unit: str = "photons"
    fine_unit: str = "value"
    found_nm: ArrayLike | None = None
    truth_nm: ArrayLike | None = None
    said: str = ""
    marked: ArrayLike | None = None
    marked_said: str = ""


def triplet(shown: Panels, title: str, *, histogram: bool = True, image_format: ImageFormat = "png") -> bytes:
    """Draw input, prediction, truth and error, and below them the pixel histograms on a logarithmic scale.

    Raises:
        SizeError: An image that is not 2D, or a truth of another shape than the prediction.
    """
    with drawing_style():
        return save(_figure(shown, title, histogram=histogram), image_format)


def panel(shown: Panels) -> bytes:
    """The images of `triplet` alone, as a PNG."""
    return triplet(shown, "", histogram=False)


def uint8_panel(shown: Panels) -> NDArray[np.uint8]:
    """The picture of `panel` as a uint8 array (height, width, 3), for loggers that take arrays."""
    with drawing_style():
        figure = _figure(shown, "", histogram=False)
        figure.canvas.draw()
        rgba = np.asarray(figure.canvas.buffer_rgba(), dtype=np.uint8)  # type: ignore[attr-defined]
    return np.ascontiguousarray(rgba[:, :, :3])


def projection(
    image: ArrayLike, title: str, *, pixel_nm: float = math.nan, unit: str = "", image_format: ImageFormat = "png"
) -> bytes:
    """Draw one image (H, W) with its scale: the sum, mean, maximum or standard deviation of a movie.

    A pixel of NaN nm is unknown, the bar is then in px; `unit` is that of the values.
    """
    pixels = checked("projected", image)
    step = pixel_nm if math.isfinite(pixel_nm) else 1.0
    height, width = (side * step for side in pixels.shape)
    low, high = np.quantile(pixels, [LEFT_OUT, 1 - LEFT_OUT])
    with drawing_style():
        figure = new_figure(WIDTH, min(9.0, 5.4 * height / width + 0.5))
        axis = figure.subplots()
        look = {"cmap": "inferno", "vmin": low, "vmax": max(high, low + 1e-12)}
        show(axis, pixels, (width, height), look, title, unit)
        draw_scale_bar(axis, width, height, "white", in_px=not math.isfinite(pixel_nm))
        return save(figure, image_format)


def _checked(shown: Panels) -> list[NDArray[np.float64]]:
    """Input, prediction and, where there is one, truth."""
    images = [checked("input", shown.input_image), checked("prediction", shown.prediction)]
    if shown.truth is not None:
        images.append(checked("truth", shown.truth))
        if images[1].shape != images[2].shape:
            shapes = " and ".join(str(image.shape) for image in images[1:])
            raise SizeError(f"prediction and truth have shapes {shapes}; give the same fine grid")
    return images


def _figure(shown: Panels, title: str, *, histogram: bool) -> "Figure":
    images = _checked(shown)
    in_px = not math.isfinite(shown.pixel_nm)
    step = 1.0 if in_px else shown.pixel_nm
    height, width = (side * step for side in images[0].shape)
    head = ": ".join(filter(None, (title, shown.said)))
    figure, axes = tiles(4 if len(images) == 3 else 2, height / width, head, below_in=HISTOGRAMS if histogram else 0.0)
    found, true = places(shown.found_nm), places(shown.truth_nm)
    _show_images(axes, shown, images, (width, height))
    draw_positions(axes[0], true, found)
    for axis, positions, colour in zip(axes[1:3], (found, true), (FOUND, TRUE), strict=False):
        if 0 < len(positions) <= MOST_RINGS:
            axis.scatter(positions[:, 0], positions[:, 1], s=110, facecolors="none", edgecolors=colour, linewidths=1.0)
    for axis, colour in zip(axes, ("white", "white", "white", INK), strict=False):
        draw_scale_bar(axis, width, height, colour, in_px=in_px)
        axis.set(xlim=(0, width), ylim=(height, 0))
    if histogram:
        _histograms(_below(figure), shown, images)
    return figure


def _below(figure: "Figure") -> "NDArray[Any]":
    """Axes of the two histograms, in the part of a figure that its tiles leave free."""
    width, height = figure.get_size_inches()
    place = {"left": 0.7 / width, "right": 1 - 0.2 / width, "bottom": 0.5 / height, "top": (HISTOGRAMS - 0.3) / height}
    return np.asarray(figure.subplots(1, 2, gridspec_kw={**place, "wspace": 0.16}), dtype=object)


def _show_images(
    axes: "Sequence[Axes]", shown: Panels, images: Sequence[NDArray[np.float64]], size: tuple[float, float]
) -> None:
    from matplotlib.colors import PowerNorm

    camera = images[0]
    fine, remark = visible(images[:0:-1], size[0] if math.isfinite(shown.pixel_nm) else None)
    fine = fine[::-1]
    brightness = PowerNorm(0.5, vmin=0, vmax=max(map(peak, fine)), clip=True)
    grey = {"cmap": "gray", "vmin": float(camera.min()), "vmax": max(float(camera.max()), float(camera.min()) + 1e-12)}
    show(axes[0], camera, size, grey, "Input", shown.unit)
    for axis, image, name in zip(axes[1:], fine, ("Prediction", "Truth"), strict=False):
        show(axis, image, size, {"cmap": "inferno", "norm": brightness}, f"{name}{remark}", shown.fine_unit)
    if len(fine) > 1 and shown.marked is not None:
        _show_marked(axes[3], images[1], checked("marked", shown.marked), size, shown)
    elif len(fine) > 1:
        error = fine[0] - fine[1]
        largest = max(peak(np.abs(error)), 1e-12)
        look = {"cmap": "PuOr_r", "vmin": -largest, "vmax": largest}
        show(axes[3], error, size, look, "Prediction − truth", shown.fine_unit)


def _show_marked(
    axis: "Axes", image: NDArray[np.float64], marked: NDArray[np.float64], size: tuple[float, float], shown: Panels
) -> None:
    """The answer in grey, what is marked of it in colour above it."""
    from matplotlib.colors import PowerNorm

    (image, marked), _ = visible([image, marked], size[0])
    brightness = PowerNorm(0.5, vmin=0, vmax=peak(image), clip=True)
    show(axis, image, size, {"cmap": "gray_r", "norm": brightness}, shown.marked_said, shown.fine_unit)
    over = np.ma.masked_less_equal(marked, MARKED * peak(image))
    axis.imshow(over, extent=(0, size[0], size[1], 0), interpolation="nearest", cmap="autumn_r", norm=brightness)


def show(
    axis: "Axes", image: NDArray[np.float64], size: tuple[float, float], look: dict[str, Any], title: str, unit: str
) -> None:
    """Draw an image of a field of `size` (width, height) with the scale of its values, in a `unit`."""
    drawn = axis.imshow(image, extent=(0, size[0], size[1], 0), interpolation="nearest", **look)
    axis.set(title=title, xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    draw_values(axis, drawn, size, unit)


def _histograms(axes: "NDArray[Any]", shown: Panels, images: Sequence[NDArray[np.float64]]) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes[0].hist(images[0].ravel(), bins=BINS, color=GREY, log=True)
    axes[0].set(title="Pixels of the input", xlabel=shown.unit, ylabel="pixels")
    plain = FuncFormatter(lambda count, _: f"{count:,.0f}" if count >= 1 else "")
    fine = images[1:]
    edges = np.histogram_bin_edges(np.concatenate([image.ravel() for image in fine]), BINS)
    for image, name, colour, dashes in zip(fine, ("prediction", "truth"), COLOURS[1::-1], ("-", "--"), strict=False):
        counts = np.histogram(image, edges)[0]
        # A step at half a pixel stands for none: zero has no place on a logarithmic axis.
        axes[1].stairs(np.maximum(counts, 0.5), edges, label=name, color=colour, linewidth=1.7, linestyle=dashes)
    title = "Pixels of the prediction" + (" and the truth" if len(fine) > 1 else "")
    axes[1].set(title=title, yscale="log", xlabel=shown.fine_unit, ylim=(0.5, None))
    if len(fine) > 1:
        axes[1].legend()
    for axis in axes:
        axis.yaxis.set_major_formatter(plain)
        axis.yaxis.set_minor_formatter(NullFormatter())
