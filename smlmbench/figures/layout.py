"""What charts share: tidy frames with known columns, small multiples, logarithmic axes."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from smlmbench.figures.style import COLOURS, GREY, HEIGHT, LEGEND, MARKERS, PALE, WIDE, WIDTH, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

Rows: TypeAlias = "DataFrame | Sequence[Mapping[str, Any]]"
"""A tidy frame, or its rows as mappings; a column that is absent has the value that stands in `COLUMNS`.

    panel: The small multiple.
    label: What the row is; of points the text beside them, empty for none.
    kind: pick (coloured, competes), row (small and pale) or reference (grey diamond).
    x, y: Where it is; `y` is the number of a bar too. NaN or None: unknown.
    low, high: Interval of y, NaN for none.
    style: Index of colour and marker, so that a model looks the same in every figure.
    line: Tells lines of one label apart, such as repeats.
    front: On the Pareto front.
    picked: Chosen on validation.
    note: Why there is no number.
"""
TEXTS, NUMBERS = (
    {"panel": "", "label": "", "kind": "pick", "note": ""},
    dict.fromkeys(("x", "y", "low", "high"), math.nan),
)
COLUMNS: dict[str, Any] = TEXTS | NUMBERS | {"style": 0, "line": 0, "front": False, "picked": False}


def tidy(rows: Rows) -> "DataFrame":
    """A copy with every column of `COLUMNS`, and the colour and marker of each row."""
    from pandas import DataFrame

    records = rows.to_dict("records") if isinstance(rows, DataFrame) else rows
    frame = DataFrame([COLUMNS | dict(row) for row in records], columns=list(COLUMNS))
    frame = frame.astype({name: type(value) for name, value in COLUMNS.items()})
    looks = {"colour": (COLOURS, {"row": PALE, "reference": GREY}), "marker": (MARKERS, {"row": "o", "reference": "d"})}
    picks, numbers = frame["kind"] == "pick", frame["style"].mod(len(COLOURS))
    for name, (own, others) in looks.items():
        frame[name] = numbers.map(dict(enumerate(own))).where(picks, frame["kind"].map(others))
    return frame


def facets(
    frame: "DataFrame", height_in: float, *, most: int = 4, alone_in: float = HEIGHT, sharex: bool = True
) -> "tuple[Figure, list[tuple[Axes, DataFrame]]]":
    """A figure with one panel for each name in `panel`, at most `most` in a line, which share y, and the rows of each.

    Heights are in inches: of one line of panels, and of a panel that is alone.
    """
    names = list(frame["panel"].unique())
    lines = math.ceil(len(names) / most) or 1
    columns = math.ceil(len(names) / lines) or 1
    figure = new_figure(WIDTH if columns < 3 else WIDE, alone_in if len(names) < 2 else height_in * lines + 0.5)
    grid = figure.subplots(lines, columns, sharex=sharex, sharey=True, squeeze=False).ravel()
    for axis, name in zip(grid, names, strict=False):
        axis.set_title(name)
    for axis in grid[max(0, len(names) - columns) : len(names)]:
        axis.tick_params(labelbottom=True)  # below it may stand nothing
    for axis in grid[len(names) :]:
        axis.set_visible(False)
    return figure, [(axis, frame[frame["panel"] == name]) for axis, name in zip(grid, names, strict=False)]


def explained(figure: "Figure", *, letter_pt: float = LEGEND, line_in: float = 0.21, leave: Iterable[str] = ()) -> None:
    """Explain lines and marks above a figure, in as many columns as fit; the figure grows by the lines that takes.

    `leave` are names that stand elsewhere, such as above their panel.
    """
    told = {
        text: handle
        for axis in figure.axes
        for handle, text in zip(*axis.get_legend_handles_labels(), strict=True)
        if text not in leave
    }
    if not told:
        return
    longest_in = max(map(len, told)) * 0.55 * letter_pt / 72 + 0.4  # with the mark
    columns = max(1, min(len(told), int(figure.get_figwidth() / longest_in)))
    figure.set_figheight(figure.get_figheight() + line_in * math.ceil(len(told) / columns))
    figure.legend(list(told.values()), list(told), loc="outside upper center", ncols=columns)


def logarithmic(axis: "Axes", values: Sequence[float]) -> None:
    """A logarithmic x axis around positive values, with plain numbers at few ticks."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_xscale("log")
    ratio = max(values) / min(values)
    room = max(ratio**0.15, 1.35)
    axis.set_xlim(min(values) / room, max(values) * room * 1.15)
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if ratio < 100 else (1.0,)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())


def same(values: Iterable[str]) -> dict[str, str]:
    """Each value for itself: a column that already holds the colours or markers to draw."""
    return {value: value for value in values}
