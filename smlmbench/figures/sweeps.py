"""Numbers along a sweep of conditions, one panel for each number, and along the axes of a robustness sheet."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from smlmbench.figures.layout import Rows, explained, facets, logarithmic, tidy
from smlmbench.figures.style import HEIGHT, INK, WIDE, WIDTH, ImageFormat, drawing_style, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
PLAIN: dict[str, Any] = {"color": INK, "linewidth": 1.8, "zorder": 4}
ROW_HEIGHT = 2.1
CROSS: dict[str, Any] = {"marker": "x", "s": 60, "linewidths": 2.2, "zorder": 5}


def sweep(rows: Rows, arms: list[str], *, x_label: str, log: bool = True, image_format: ImageFormat = "svg") -> bytes:
    """Draw small multiples that share x, each with its own y.

    Rows have panel (the heading of y), label, line (number of the arm in `arms`), x, y, low, high, style, and kind:
    pick in its colour, reference in grey, row for what no row can pass (black).
    """
    frame = tidy(rows).dropna(subset=["x", "y"]).sort_values("x", kind="stable")
    names = list(dict.fromkeys(tidy(rows)["panel"]))
    with drawing_style():
        figure = new_figure(WIDTH if len(names) < 3 else WIDE, HEIGHT)
        axes = figure.subplots(1, len(names), sharex=True, squeeze=False)[0]
        for axis, name in zip(axes, names, strict=True):
            _lines(axis, frame[frame["panel"] == name], arms)
            axis.set(title=name, xlabel=x_label)
            if log:
                logarithmic(axis, list(frame["x"]))
        explained(figure)
        return save(figure, image_format)


def sheet(
    rows: Rows,
    marks: Rows,
    arms: list[str],
    *,
    logs: Collection[str],
    y_label: str,
    lowest: float,
    image_format: ImageFormat = "svg",
) -> bytes:
    """Draw small multiples that share y, each with its own x.

    Rows are as in `sweep`; where x are names, `note` holds them. `marks` are crosses on the lines, `logs` the panels
    with a logarithmic x; y is cut below `lowest`.
    """
    frame, crosses = tidy(rows).dropna(subset=["x", "y"]), tidy(marks)
    with drawing_style():
        figure, panels = facets(frame, ROW_HEIGHT, most=5, sharex=False)
        for axis, own in panels:
            _lines(axis, own.sort_values("x", kind="stable"), arms)
            here = crosses[crosses["panel"] == own["panel"].iloc[0]]
            axis.scatter(here["x"], here["y"].clip(lower=lowest), c=here["colour"], **CROSS)
            if own["panel"].iloc[0] in logs:
                logarithmic(axis, list(own["x"]))
            if (own["note"] != "").any():
                named = own.drop_duplicates("x")
                axis.set_xticks(list(named["x"]), list(named["note"]))
        panels[0][0].set_ylim(bottom=max(lowest, float(frame["y"].min()) - 3))
        figure.supylabel(y_label)
        explained(figure)
        return save(figure, image_format)


def _lines(axis: "Axes", frame: "DataFrame", arms: list[str]) -> None:
    for (label, kind, _), own in frame.groupby(["label", "kind", "line"], sort=False):
        arm = int(own["line"].iloc[0])
        said = f"{label} ({arms[arm]})" if arms[arm] else str(label)
        look: dict[str, Any] = {"color": own["colour"].iloc[0], "linewidth": 1.4}
        look = PLAIN if kind == "row" else look | {"marker": own["marker"].iloc[0], "markersize": 5}
        axis.plot(own["x"], own["y"], label=said, linestyle=DASHES[arm % len(DASHES)], **look)
        ends = own.dropna(subset=["low", "high"])
        axis.vlines(ends["x"], ends["low"], ends["high"], colors=look["color"], linewidth=1.0, alpha=0.7)
