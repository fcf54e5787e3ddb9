"""The look that all figures share: colour-blind safe colours (after Okabe and Ito), readable fonts, no state."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ImageFormat = Literal["svg", "png", "pdf"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#7A4FBF", "#444444")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
LEGEND = 8.5  # points
GREY, PALE, QUIET = "#767676", "#b4b4b4", "#5b5b5b"
INK = "#1b2733"
# Inches; the page shows a wide figure twice as wide, so that letters have one size; images stand side by side as tiles.
TILE, WIDTH, WIDE, HEIGHT = 3.2, 6.4, 12.8, 4.0
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


def save(figure: "Figure", image_format: ImageFormat) -> bytes:
    """The figure as bytes, the same for the same drawing."""
    buffer = io.BytesIO()
    metadata = {{"svg": "Date", "png": "Software", "pdf": "CreationDate"}[image_format]: None}
    figure.savefig(buffer, format=image_format, dpi=DPI, metadata=metadata, facecolor="white")
    return buffer.getvalue()
