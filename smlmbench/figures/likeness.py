"""Frames beside each other, such as real and simulated ones or planes of a bead, and curves of both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from smlmbench.figures.pictures import checked, draw_scale_bar
from smlmbench.figures.style import COLOURS, INK, WIDE, ImageFormat, drawing_style, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REAL, SIMULATED = INK, COLOURS[1]
COLUMNS = 4
LEFT_OUT = 1e-3  # share of the brightest pixels beyond the scale


@dataclass(frozen=True, slots=True)
class Curve:
    """Lines over one x (n,), by their names; `real` and `simulated` have colours of their own."""

    title: str
    x_label: str
    x: ArrayLike
    lines: Mapping[str, ArrayLike]
    log_y: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame (H, W) with its name, shown between two values; None: between its own."""

    name: str
    image: ArrayLike
    ends: tuple[float, float] | None = None


def likeness(
    pictures: Sequence[Picture],
    curves: Sequence[Curve],
    title: str,
    *,
    pixel_nm: float,
    unit: str = "photons",
    image_format: ImageFormat = "png",
) -> bytes:
    """Draw frames in grey, and curves."""
    rows = -(-(len(pictures) + len(curves)) // COLUMNS)
    with drawing_style():
        figure = new_figure(WIDE, 2.75 * rows + 0.4)
        figure.suptitle(title, fontsize=11, fontweight="bold")
        axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
        for axis, picture in zip(axes, pictures, strict=False):
            image = checked(picture.name, picture.image)
            low, high = picture.ends or shown(image)
            height, width = (side * pixel_nm for side in image.shape)
            axis.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-9), extent=(0, width, height, 0))
            axis.set(title=picture.name, xlabel=f"{low:.4g} to {high:.4g} {unit}", xticks=[], yticks=[])
            axis.grid(visible=False)
            draw_scale_bar(axis, width, height, "white", in_px=False)
        for axis, curve in zip(axes[len(pictures) :], curves, strict=False):
            _draw(axis, curve)
        for axis in axes[len(pictures) + len(curves) :]:
            axis.set_visible(False)
        return save(figure, image_format)


def shown(image: ArrayLike) -> tuple[float, float]:
    """Values between which an image is shown."""
    low, high = np.quantile(np.asarray(image), [LEFT_OUT, 1 - LEFT_OUT])
    return float(low), float(high)


def _draw(axis: "Axes", curve: Curve) -> None:
    own = {"real": REAL, "simulated": SIMULATED}
    for number, (name, values) in enumerate(curve.lines.items()):
        colour = own.get(name, COLOURS[number % len(COLOURS)])
        axis.plot(np.asarray(curve.x), np.asarray(values), label=name, color=colour, linewidth=1.4)
    axis.set(title=curve.title, xlabel=curve.x_label)
    if curve.log_y:
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter("{x:g}")
    axis.legend()
