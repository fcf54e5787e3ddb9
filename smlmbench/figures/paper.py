"""Figures for a paper: exactly as wide as a column or a page, letters of 7 points, as SVG and as PNG of 600 dpi."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from smlmbench.errors import ConfigError
from smlmbench.figures.layout import Rows, explained, logarithmic, tidy
from smlmbench.figures.style import GREY, INK, drawing_style, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

MM = 1 / 25.4
COLUMN_MM, PAGE_MM = 85.0, 170.0
WIDTHS_MM = (COLUMN_MM, PAGE_MM)
DPI = 600
POINTS = 7
LEGEND_LINE_MM = 4
STYLE: dict[str, Any] = {
    **dict.fromkeys(("font.size", "axes.labelsize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize"), POINTS),
    "axes.titlesize": 8,
    "figure.labelsize": POINTS,
    "axes.linewidth": 0.5,
    "grid.linewidth": 0.4,
    "lines.linewidth": 0.9,
    "lines.markersize": 3,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.size": 2,
    "ytick.major.size": 2,
    "svg.fonttype": "none",
}


def check_width(width_mm: float) -> None:
    """Refuse a width that is neither a column nor a page (ConfigError)."""
    if width_mm not in WIDTHS_MM:
        accepted = " or ".join(f"{one:g}" for one in WIDTHS_MM)
        raise ConfigError(f"--width-mm {width_mm:g}: figures are {accepted} mm wide; give one of them")


def points(rows: Rows, *, width_mm: float, x_label: str, y_label: str) -> dict[str, bytes]:
    """Accuracy against cost with intervals and the Pareto front; columns as in `scatter_accuracy_latency`.

    Returns:
        The figure by suffix, svg and png.
    """
    frame = tidy(rows).dropna(subset=["x", "y"])
    with _paper():
        figure = new_figure(width_mm * MM, 56 * MM)
        axis = figure.subplots()
        logarithmic(axis, list(frame["x"]))
        for one in frame.sort_values("kind", key=lambda kind: kind.eq("pick"), kind="stable").to_dict("records"):
            pick = one["kind"] == "pick"
            if one["kind"] != "row":
                _ends(axis, one["x"], one["low"], one["high"], one["colour"])
            label = one["label"] if pick else None
            axis.plot(one["x"], one["y"], one["marker"], color=one["colour"], markersize=4 if pick else 3, label=label)
        middle = float((frame["x"].min() * frame["x"].max()) ** 0.5)
        for one in frame[frame["kind"] == "reference"].to_dict("records"):
            side = -1 if one["x"] > middle else 1
            place: dict[str, Any] = {"xytext": (4 * side, 0), "ha": "right" if side < 0 else "left", "va": "center"}
            axis.annotate(one["label"], (one["x"], one["y"]), textcoords="offset points", color=GREY, **place)
        front = frame[frame["front"]].sort_values("x")
        if len(front) > 1:
            axis.plot(front["x"], front["y"], color=INK, linewidth=0.7, linestyle=(0, (4, 2)), label="Pareto front")
        axis.set(xlabel=x_label, ylabel=y_label)
        return _both(figure)


def lines(rows: Rows, *, width_mm: float, x_label: str, y_label: str, log: bool) -> dict[str, bytes]:
    """Numbers along an axis with intervals, a line for each label, a panel for each name in `panel`.

    Returns:
        The figure by suffix, svg and png.
    """
    frame = tidy(rows).dropna(subset=["x", "y"]).sort_values("x", kind="stable")
    names = list(frame["panel"].unique())
    columns = min(len(names), 2 if width_mm < PAGE_MM else 4)
    count = -(-len(names) // columns)
    with _paper():
        figure = new_figure(width_mm * MM, (10 + 42 * count) * MM)
        axes = figure.subplots(count, columns, squeeze=False, sharey=True, sharex=True).ravel()
        for axis in axes[len(names) :]:
            axis.set_visible(False)
        for axis, name in zip(axes, names, strict=False):
            own = frame[frame["panel"] == name]
            axis.set_title(name)
            for label, line in own.groupby("label", sort=False):
                _line(axis, str(label), line)
            if log:
                logarithmic(axis, list(frame["x"]))
        figure.supxlabel(x_label)
        figure.supylabel(y_label)
        return _both(figure)


def standings(draw: "Callable[[Axes], None]", width_mm: float, height_mm: float) -> dict[str, bytes]:
    """A chart of `figures.standings` for a paper, drawn on the axis it is given.

    Returns:
        The figure by suffix, svg and png.
    """
    with _paper():
        figure = new_figure(width_mm * MM, height_mm * MM)
        draw(figure.subplots())
        return _both(figure)


def _line(axis: "Axes", label: str, line: "DataFrame") -> None:
    first = line.iloc[0]
    dashes = "--" if first["kind"] == "reference" else "-"
    axis.plot(line["x"], line["y"], dashes, marker=first["marker"], color=first["colour"], label=label)
    for x, low, high in line[["x", "low", "high"]].itertuples(index=False):
        _ends(axis, x, low, high, first["colour"])
    ringed = line[line["picked"]]
    axis.plot(ringed["x"], ringed["y"], "o", markersize=6, markerfacecolor="none", markeredgecolor=INK, linewidth=0)


def _ends(axis: "Axes", x: float, low: float, high: float, colour: str) -> None:
    if low == low and high == high:
        axis.vlines(x, low, high, colors=colour, linewidth=0.8)


@contextmanager
def _paper() -> Iterator[None]:
    import matplotlib as mpl

    with drawing_style(), mpl.rc_context(cast("Any", STYLE)):
        yield


def _both(figure: "Figure") -> dict[str, bytes]:
    """Explain the lines and save."""
    explained(figure, letter_pt=POINTS, line_in=LEGEND_LINE_MM * MM)
    made = {}
    for suffix, silent in (("svg", "Date"), ("png", "Software")):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=suffix, dpi=DPI, metadata={silent: None}, facecolor="white")
        made[suffix] = buffer.getvalue()
    return made
