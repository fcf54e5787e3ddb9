"""A phase mask, what it makes of an emitter over depth, a frame drawn through it, and curves over depth."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smlmbench.figures.pictures import draw_positions, draw_scale_bar, places
from smlmbench.figures.style import COLOURS, GREY, WIDE, drawing_style, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DASHES = ((0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
HIGHEST_NM = 200.0  # bounds above are cut off


@dataclass(frozen=True, slots=True)
class Design:
    """What is drawn of a mask.

    Attributes:
        phase: (side, side) in radians, NaN outside the pupil; shown wrapped.
        spots: Images of one emitter (H, W) by what each is called, such as its depth.
        frame: (H, W), of pixels of `pixel_nm`; `truth_nm` and `found_nm` are positions (n, 2) in it.
        z_nm: Depths of the curves.
        bounds: Panels of curves over depth, each by the name of the mask; the first is that of this mask.
    """

    phase: ArrayLike
    spots: Mapping[str, ArrayLike]
    frame: ArrayLike
    pixel_nm: float
    z_nm: ArrayLike = ()
    bounds: Mapping[str, Mapping[str, ArrayLike]] = field(default_factory=dict)
    truth_nm: ArrayLike | None = None
    found_nm: ArrayLike | None = None
    said: str = ""


def design(shown: Design) -> NDArray[np.uint8]:
    """Draw a mask, its PSF over depth, a frame and its bounds as a uint8 array (height, width, 3)."""
    with drawing_style():
        figure = new_figure(WIDE, 5.6)
        if shown.said:
            figure.suptitle(shown.said, fontsize=11, fontweight="bold")
        above, below = np.ravel(np.asarray(figure.subfigures(2, 1, height_ratios=[3.4, 2.0]), dtype=object))
        axes = above.subplots(1, 2 + max(1, len(shown.bounds)))
        _phase(axes[0], shown)
        _frame(axes[1], shown)
        for axis, (title, lines) in zip(axes[2:], shown.bounds.items(), strict=False):
            _curves(axis, shown.z_nm, title, lines)
        strip = np.ravel(np.asarray(below.subplots(1, max(1, len(shown.spots)), squeeze=False), dtype=object))
        for axis, (name, spot) in zip(strip, shown.spots.items(), strict=False):
            axis.imshow(np.asarray(spot), cmap="inferno")
            axis.set_title(name, fontsize=8.5, fontweight="normal")
        for axis in (*axes[:2], *strip):
            axis.set(xticks=[], yticks=[])
            axis.grid(visible=False)
            axis.spines[:].set_visible(False)
        figure.canvas.draw()
        rgba = np.asarray(figure.canvas.buffer_rgba(), dtype=np.uint8)  # type: ignore[attr-defined]
    return np.ascontiguousarray(rgba[:, :, :3])


def _phase(axis: "Axes", shown: Design) -> None:
    wrapped = np.angle(np.exp(1j * np.asarray(shown.phase)))
    drawn = axis.imshow(wrapped, cmap="twilight", vmin=-math.pi, vmax=math.pi, interpolation="nearest")
    axis.set_title("Phase of the mask")
    axis.figure.colorbar(drawn, ax=axis, fraction=0.046, pad=0.02).set_label("rad", fontsize=8)


def _frame(axis: "Axes", shown: Design) -> None:
    frame = np.asarray(shown.frame)
    known = math.isfinite(shown.pixel_nm)
    height, width = (side * (shown.pixel_nm if known else 1.0) for side in frame.shape)
    axis.imshow(frame, cmap="gray", extent=(0, width, height, 0), interpolation="nearest")
    axis.set_title("A frame through it")
    draw_positions(axis, places(shown.truth_nm), places(shown.found_nm))
    draw_scale_bar(axis, width, height, "white", in_px=not known)


def _curves(axis: "Axes", z_nm: ArrayLike, title: str, lines: Mapping[str, ArrayLike]) -> None:
    for number, (name, values) in enumerate(lines.items()):
        look: dict[str, Any] = {"color": COLOURS[0], "linewidth": 2.0}
        if number:
            look = {"color": GREY, "linewidth": 1.2, "linestyle": DASHES[(number - 1) % len(DASHES)]}
        cut = np.where(np.asarray(values) <= HIGHEST_NM, values, np.nan)
        axis.plot(np.asarray(z_nm) / 1000, cut, label=name, **look)
    axis.set(title=title, xlabel="z (µm)", ylabel="nm")
    axis.set_ylim(bottom=0)
    axis.legend()
