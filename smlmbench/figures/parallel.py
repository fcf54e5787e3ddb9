"""Settings and what they lead to: every line crosses an axis for each setting and ends at its score."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from smlmbench.figures.style import COLOURS, INK, WIDE, WIDTH, ImageFormat, drawing_style, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ABSENT = -0.12  # height of a line that has no value of a setting
MOST_TICKS = 8
LOG_FROM = 5.0  # largest over smallest of positive numbers
MOST_NARROW = 4  # axes that a figure of the usual width holds
HEIGHT = 4.4


def parallel(
    settings: Mapping[str, Sequence[Any]],
    scores: Sequence[float],
    y_label: str,
    *,
    styles: Sequence[int] = (),
    picked: Sequence[bool] = (),
    image_format: ImageFormat = "svg",
) -> bytes:
    """Draw parallel coordinates.

    Args:
        settings: Of each setting the value of every line, a number or a text; None: it has none.
        scores: Where each line ends; lines without a finite one are left out.
        y_label: Name of the scores.
        styles: Number of the colour of each line.
        picked: Lines that stand out.
        image_format: Of the answer.
    """
    known = [place for place, score in enumerate(scores) if math.isfinite(score)]
    columns = {name: [values[place] for place in known] for name, values in settings.items()}
    ends = [float(scores[place]) for place in known]
    columns[y_label] = list(ends)
    placed = [heights(values) for values in columns.values()]
    # The better half of the lines is stronger; which end is better the reader sees from the picks.
    strength = 0.15 + 0.5 * np.argsort(np.argsort(ends)) / max(1, len(ends) - 1)
    with drawing_style():
        figure = new_figure(WIDTH if len(columns) <= MOST_NARROW else WIDE, HEIGHT)
        axis = figure.subplots()
        for row, place in enumerate(known):
            look: dict[str, Any] = {"linewidth": 1.0, "alpha": strength[row]}
            if picked and picked[place]:
                look = {"linewidth": 2.4, "zorder": 4}
            look["color"] = COLOURS[styles[place] % len(COLOURS)] if styles else COLOURS[0]
            axis.plot(range(len(columns)), [line[row] for line, _ in placed], **look)
        for at, (_, ticks) in enumerate(placed):
            _axis(axis, at, ticks)
        axis.set(xlim=(-0.15, len(columns) - 0.75), ylim=(ABSENT - 0.05, 1.05), yticks=[])
        axis.set_xticks(range(len(columns)), list(columns))
        axis.xaxis.set_ticks_position("top")
        axis.tick_params(axis="x", length=0, labelsize=10, labelcolor=INK)
        axis.spines[:].set_visible(False)
        axis.grid(visible=False)
        return save(figure, image_format)


def heights(values: Sequence[Any]) -> tuple[list[float], dict[float, str]]:
    """Where each value stands on its axis, 0 .. 1, and the texts beside the axis by height.

    Numbers stand by their size, positive ones that differ much by their logarithm, other values in their order.
    """
    told = [value for value in values if value is not None]
    texts = {ABSENT: "none"} if len(told) < len(values) else {}
    if told and all(isinstance(value, int | float) and not isinstance(value, bool) for value in told):
        low, high = float(min(told)), float(max(told))
        log = low > 0 and high / low >= LOG_FROM
        span = (math.log(high / low) if log else high - low) or 1.0

        def at(value: float) -> float:
            if high == low:
                return 0.5
            return math.log(value / low) / span if log else (value - low) / span

        shown = sorted(set(map(float, told)))
        if len(shown) > MOST_TICKS:
            quarters = np.linspace(0, 1, 5)
            shown = [float(low * (high / low) ** q) if log else float(low + (high - low) * q) for q in quarters]
        places = [ABSENT if value is None else at(float(value)) for value in values]
        return places, texts | {at(value): f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}" for value in shown}
    names = list(dict.fromkeys(map(str, told)))
    order = {name: 1 - place / (len(names) - 1) if len(names) > 1 else 0.5 for place, name in enumerate(names)}
    return [ABSENT if value is None else order[str(value)] for value in values], texts | {
        place: name for name, place in order.items()
    }


def _axis(axis: "Axes", at: int, ticks: Mapping[float, str]) -> None:
    axis.plot([at, at], [0, 1], color="#8a949e", linewidth=0.9, zorder=3)
    paper = {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.5}
    for height, text in ticks.items():
        axis.plot(at, height, "_", color="#8a949e", markersize=6, zorder=3)
        axis.annotate(
            text, (at, height), (5, 0), textcoords="offset points", va="center", fontsize=8.5, color=INK, bbox=paper,
            zorder=5,
        )  # fmt: skip
