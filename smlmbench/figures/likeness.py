"""Simulated frames beside real ones: one frame of each, curves of both, and a curve of its own such as drift."""

from collections.abc import Sequence
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
    lines: dict[str, ArrayLike]
    log_y: bool = False


def likeness(
    real: ArrayLike,
    simulated: ArrayLike,
    curves: Sequence[Curve],
    title: str,
    *,
    pixel_nm: float,
    image_format: ImageFormat = "png",
) -> bytes:
    """Draw two frames (H, W) in photons on one scale of grey, and the curves."""
    images = [checked("real", real), checked("simulated", simulated)]
    low, high = np.quantile(images[0], [LEFT_OUT, 1 - LEFT_OUT])
    rows = -(-(2 + len(curves)) // COLUMNS)
    with drawing_style():
        figure = new_figure(WIDE, 2.75 * rows + 0.4)
        figure.suptitle(title, fontsize=11, fontweight="bold")
        axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
        for axis, image, name in zip(axes, images, ("real", "simulated"), strict=False):
            height, width = (side * pixel_nm for side in image.shape)
            look = {"cmap": "gray", "vmin": low, "vmax": max(high, low + 1e-9), "extent": (0, width, height, 0)}
            axis.imshow(image, **look)
            axis.set(title=name, xlabel=f"{low:.0f} to {high:.0f} photons", xticks=[], yticks=[])
            draw_scale_bar(axis, width, height, "white", in_px=False)
        for axis, curve in zip(axes[2:], curves, strict=False):
            _draw(axis, curve)
        for axis in axes[2 + len(curves) :]:
            axis.set_visible(False)
        return save(figure, image_format)


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
