"""The look that all figures share: colour-blind safe colours (after Okabe and Ito), readable fonts, no state."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ImageFormat = Literal["svg", "png", "pdf"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#7A4FBF", "#444444")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
LEGEND = 8.5  # points
GREY, PALE, QUIET = "#767676", "#b4b4b4", "#5b5b5b"
INK = "#1b2733"
# Inches; the page shows a wide figure twice as wide, so that letters have one size; images stand side by side as tiles.
TILE, WIDTH, WIDE, HEIGHT = 3.2, 6.4, 12.8, 4.0
IMAGE, HEAD, OVER, UNDER = 2.4, 0.35, 0.3, 0.35  # of a tile: its image, what is above all and it, its legend
DPI = 150
LOCK = RLock()
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": "#8a949e",
    "axes.labelcolor": INK,
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": f"cycler(color={list(COLOURS)})",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titley": 1.0,  # left to itself, it looks for ticks above each axis, which takes a tenth of the time
    "figure.labelsize": 10,
    "grid.color": "#e3e7eb",
    "grid.linewidth": 0.8,
    "legend.fontsize": LEGEND,
    "xtick.color": "#4a5560",
    "ytick.color": "#4a5560",
    "svg.hashsalt": "smlmbench",
    "svg.fonttype": "path",
}


@contextmanager
def drawing_style() -> Iterator[None]:
    """Draw with the package's look, leaving the caller's settings alone."""
    import matplotlib as mpl

    # Matplotlib's settings are those of the whole process, so one figure is drawn at a time.
    with LOCK, mpl.rc_context(cast("Any", STYLE)):
        yield


def new_figure(width_in: float, height_in: float) -> "Figure":
    """An empty figure of a size in inches that nothing else holds on to."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # No pyplot: it would keep every figure alive and look for a display.
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def tiles(count: int, ratio: float, head: str = "", *, below_in: float = 0.0) -> "tuple[Figure, list[Axes]]":
    """A figure of images side by side, each of a height of `ratio` times its width, with room for what belongs to it.

    Places are reckoned, not found by trial, which would take most of the time of a picture.

    Args:
        count: How many.
        ratio: From 1.6 on tiles become narrower instead of higher.
        head: Title above all of them.
        below_in: Room below them, inches.
    """
    figure = new_figure(TILE * count, IMAGE * min(1.6, ratio) + OVER + UNDER + (HEAD if head else 0.0) + below_in)
    figure.set_layout_engine("none")
    width, height = figure.get_size_inches()
    if head:
        figure.suptitle(head, y=1 - 0.1 / height, va="top", fontsize=11.5, fontweight="bold")
    tall = IMAGE * min(1.6, ratio)
    bottom, wide = (below_in + UNDER) / height, min(IMAGE, tall / ratio)
    lefts = [TILE * number + 0.04 + (IMAGE - wide) / 2 for number in range(count)]
    return figure, [figure.add_axes((left / width, bottom, wide / width, tall / height)) for left in lefts]


def save(figure: "Figure", image_format: ImageFormat) -> bytes:
    """The figure as bytes, the same for the same drawing."""
    buffer = io.BytesIO()
    metadata = {{"svg": "Date", "png": "Software", "pdf": "CreationDate"}[image_format]: None}
    figure.savefig(buffer, format=image_format, dpi=DPI, metadata=metadata, facecolor="white")
    return buffer.getvalue()
