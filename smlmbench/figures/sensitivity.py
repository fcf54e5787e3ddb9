"""How a score answers to a setting: one panel per network, one line per loss, failures marked below."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from smlmbench.figures.style import COLOURS, GREY, INK, MARKERS, ImageFormat, drawing_style, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

LEAST_SPAN = 1e-9


@dataclass(frozen=True, slots=True)
class Answer:
    """One trained setting.

    Attributes:
        panel, line: Network and loss.
        x: The setting's value (> 0, drawn on a logarithmic axis).
        y: Its score; NaN where the training gave none.
        picked: Chosen on validation.
        note: Why there is no score (collapsed, failed), empty otherwise.
    """

    panel: str
    line: str
    x: float
    y: float
    picked: bool = False
    note: str = ""


def sensitivity(
    answers: Sequence[Answer], *, x_label: str, y_label: str, down: bool = False, image_format: ImageFormat = "svg"
) -> bytes:
    """Draw small multiples on shared axes.

    Args:
        answers: Trained settings; those without a score stand as crosses at the worse edge of their panel.
        x_label: Name of the setting.
        y_label: Name and unit of the score.
        down: Whether lower is better.
        image_format: svg or png.
    """
    names = list(dict.fromkeys(answer.panel for answer in answers))
    lines = list(dict.fromkeys(answer.line for answer in answers))
    columns = min(3, max(1, len(names)))
    rows = -(-len(names) // columns)
    values = [answer.y for answer in answers if math.isfinite(answer.y)] or [0.0, 1.0]
    room = 0.12 * max(max(values) - min(values), LEAST_SPAN)
    worst = max(values) + room if down else min(values) - room
    with drawing_style():
        figure = new_figure(3.0 * columns + 0.7, 2.4 * rows + 0.9)
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for axis, name in zip(grid, names, strict=False):
            axis.set_title(name)
            axis.set_xscale("log")
            for number, line in enumerate(lines):
                own = sorted((a for a in answers if a.panel == name and a.line == line), key=lambda a: a.x)
                _draw_line(axis, own, number, worst)
        for axis in grid[len(names) :]:
            axis.set_visible(False)
        _ticks(grid[0], sorted({answer.x for answer in answers}))
        handles = [_handle(number, line) for number, line in enumerate(lines)]
        figure.legend(
            handles=handles, loc="outside upper center", ncols=min(4, len(lines)), fontsize=8.5, frameon=False
        )
        figure.supxlabel(x_label, fontsize=10)
        figure.supylabel(y_label, fontsize=10)
        return save(figure, image_format)


def _draw_line(axis: "Axes", answers: Sequence[Answer], number: int, worst: float) -> None:
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    known = [answer for answer in answers if math.isfinite(answer.y)]
    axis.plot([a.x for a in known], [a.y for a in known], color=colour, marker=marker, markersize=4, linewidth=1.5)
    lost = [answer for answer in answers if not math.isfinite(answer.y)]
    axis.scatter([a.x for a in lost], [worst] * len(lost), color=colour, marker="x", s=30, linewidths=1.6)
    for answer in lost:
        axis.annotate(answer.note, (answer.x, worst), xytext=(0, 5), textcoords="offset points", ha="center",
                      fontsize=7, color=GREY)  # fmt: skip
    for answer in known:
        if answer.picked:
            axis.scatter([answer.x], [answer.y], s=95, facecolors="none", edgecolors=INK, linewidths=1.2, zorder=4)


def _ticks(axis: "Axes", values: Sequence[float]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    if len(values) <= 8:
        axis.xaxis.set_major_locator(FixedLocator(list(values)))
        axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.tick_params(axis="x", labelsize=8)


def _handle(number: int, line: str) -> "Line2D":
    from matplotlib.lines import Line2D

    return Line2D([], [], color=COLOURS[number % len(COLOURS)], marker=MARKERS[number % len(MARKERS)], label=line)
