"""Charts of given numbers: accuracy against latency, bars, curves, sensitivity, latencies as a heat map.

All take tidy rows (see `Rows` for their columns) and return the figure's bytes; labels of axes are names with units.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from smlmbench.figures.labels import ABOVE, ALONG, BESIDE, Labels
from smlmbench.figures.layout import Rows, explained, facets, logarithmic, same, tidy
from smlmbench.figures.style import (
    GREY,
    HEIGHT,
    INK,
    PALE,
    QUIET,
    WIDE,
    WIDTH,
    ImageFormat,
    drawing_style,
    new_figure,
    save,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

MOST_TICKS = 8
SIZES = {"pick": 70, "row": 20, "reference": 50}
DOTTED: dict[str, Any] = {"color": GREY, "linewidth": 1.1, "linestyle": ":", "zorder": 1}


def scatter_accuracy_latency(
    rows: Rows,
    *,
    y_label: str,
    x_label: str = "latency per frame (ms)",
    marks: Sequence[float] = (),
    image_format: ImageFormat = "svg",
) -> bytes:
    """Draw accuracy against latency with intervals, the Pareto front and reference lines.

    Rows have label, kind, x, y, low, high, style, front; references without x are horizontal lines, other rows without
    x or y are left out. x is logarithmic unless one is 0 or below. `marks` are costs of upright lines (exposures).
    """
    import seaborn as sns

    frame = tidy(rows)
    frame = frame[frame["y"].notna()]
    # Picks are drawn last, so that they lie on top.
    points = frame[frame["x"].notna()].sort_values("kind", key=lambda kind: kind.eq("pick"), kind="stable")
    with drawing_style():
        figure = new_figure(WIDTH, HEIGHT)
        axis = figure.subplots()
        labels = Labels(axis)
        ends = points[points["kind"] != "row"].dropna(subset=["low", "high"])
        axis.vlines(ends["x"], ends["low"], ends["high"], colors=list(ends["colour"]), linewidth=1.6)
        if len(points):
            look = {"hue": "colour", "palette": same(points["colour"]), "size": "kind", "sizes": SIZES}
            shape = {"style": "marker", "markers": same(points["marker"]), "linewidth": 0.5, "zorder": 3}
            sns.scatterplot(points, x="x", y="y", **look, **shape, legend=False, ax=axis)
        front = points[points["front"]].sort_values("x")
        if len(front) > 1:
            axis.plot(front["x"], front["y"], color=INK, linewidth=1.2, linestyle=(0, (4, 2)), label="Pareto front")
        _lines(axis, labels, points, frame[frame["x"].isna() & (frame["kind"] == "reference")])
        costs = [*points["x"], *marks]
        if costs and min(costs) > 0:
            logarithmic(axis, costs)
        for mark in marks:
            axis.axvline(mark, **DOTTED)
            labels.add(f"{mark:g} ms", mark, 0, QUIET, ABOVE, axis.get_xaxis_transform())
        axis.set(xlabel=x_label, ylabel=y_label)
        named = points[points["label"] != ""].sort_values("y", ascending=False, kind="stable")
        for one in named.to_dict("records"):
            labels.add(one["label"], one["x"], one["y"], one["colour"], BESIDE)
        explained(figure)
        labels.settle(points.melt("x", ["y", "low", "high"]).dropna()[["x", "value"]])
        return save(figure, image_format)


def _lines(axis: "Axes", labels: Labels, points: "DataFrame", lines: "DataFrame") -> None:
    """Draw the lines near the points; those far off would squeeze the points together and are named instead."""
    values = (points[["y", "low", "high"]] if len(points) else lines[["y"]]).to_numpy()
    low, high = (np.nanmin(values), np.nanmax(values)) if values.size else (0.0, 1.0)
    span = (high - low) or 1.0
    apart = np.maximum(low - lines["y"], lines["y"] - high)
    # The closest one is the bar to clear, so it is shown from farther away than the others.
    near = (apart <= span) | ((apart == apart.min()) & (apart <= 3 * span))
    for one in lines[near].to_dict("records"):
        axis.axhline(one["y"], **DOTTED)
        labels.add(one["label"], 1, one["y"], QUIET, ALONG, axis.get_yaxis_transform())
    low, high = min([low, *lines["y"][near]]), max([high, *lines["y"][near]])
    axis.set_ylim(low - 0.1 * (high - low or 1.0), high + 0.13 * (high - low or 1.0))
    far = [f"{one['label']} {one['y']:.1f}" for one in lines[~near].to_dict("records")]
    if far:
        text = f"off the scale: {', '.join(far)}"
        axis.set_title(text, loc="left", color=QUIET, fontsize=8.5, fontweight="normal")


def curves(rows: Rows, *, x_label: str, y_label: str, image_format: ImageFormat = "svg") -> bytes:
    """Draw small multiples of lines on shared axes.

    Rows have panel, label, x, y, style, and `line` where a label has several; a label that is not its panel's name is
    explained.
    """
    import seaborn as sns
    from matplotlib.ticker import EngFormatter, MaxNLocator

    with drawing_style():
        figure, panels = facets(tidy(rows), 2.5)
        for axis, own in panels:
            sns.lineplot(
                own, x="x", y="y", hue="label", palette=dict(zip(own["label"], own["colour"], strict=True)),
                units="line", estimator=None, marker="o", markersize=3.5, markeredgewidth=0, alpha=0.85,
                legend="full", ax=axis,
            )  # fmt: skip
            if (inside := axis.get_legend()) is not None:
                inside.remove()
            axis.set(xlabel="", ylabel="")
            axis.xaxis.set_major_locator(MaxNLocator(4))
            axis.xaxis.set_major_formatter(EngFormatter(sep=""))
        figure.supxlabel(x_label)
        figure.supylabel(y_label)
        explained(figure, leave={"", *(axis.get_title() for axis, _ in panels)})
        return save(figure, image_format)


def bars(rows: Rows, *, x_label: str, image_format: ImageFormat = "svg") -> bytes:
    """Draw horizontal bars with intervals, one panel per condition, the same order in each; what has no number is n/a.

    Rows have panel, label, y, low, high, kind, style; labels from top to bottom.
    """
    import seaborn as sns

    frame = tidy(rows)
    labels = list(frame["label"].unique())
    low, high = _range(frame)
    with drawing_style():
        height = 0.34 * len(labels) + 0.5
        figure, panels = facets(frame, height, alone_in=height + 0.5)
        colours = dict(zip(frame["label"], frame["colour"].replace(GREY, PALE), strict=True))
        for axis, own in panels:
            look = {"order": labels, "palette": colours, "saturation": 1.0, "width": 0.62, "errorbar": None}
            sns.barplot(own, x="y", y="label", hue="label", **look, legend=False, ax=axis)
            ends = own.dropna(subset=["low", "high"])
            axis.hlines(ends["label"].map(labels.index), ends["low"], ends["high"], color=INK, linewidth=1.4)
            axis.axvline(0, color="#8a949e", linewidth=0.9)
            axis.grid(visible=False, axis="y")
            axis.set(xlabel="", ylabel="", xlim=(low, high), ylim=(len(labels) - 0.4, -0.6))
            axis.set_yticks(range(len(labels)), labels)
            for place, value in zip(own["label"].map(labels.index), own["y"], strict=True):
                if not low <= value <= high:
                    x, side = (0.98, "right") if value > high else (0.02, "left")
                    text = "n/a" if math.isnan(value) else f"◂ {value:.1f}" if value < low else f"{value:.1f} ▸"
                    axis.text(x, place, text, transform=axis.get_yaxis_transform(), ha=side, va="center", fontsize=8.5)
        figure.supxlabel(x_label)
        return save(figure, image_format)


def _range(frame: "DataFrame") -> tuple[float, float]:
    """Limits that suit the picks; a reference far worse than all of them is cut."""
    picks = frame.loc[frame["kind"] == "pick", ["y", "low", "high"]].to_numpy()
    picks = picks[np.isfinite(picks)]
    values = [*picks, 0.0] if picks.size else [*frame["y"].dropna(), 0.0, 1.0]
    low, high = min(values), max(values)
    reach = 0.3 * (high - low)
    near = frame["y"][frame["y"].between(low - reach, high + reach)]
    low, high = min([low, *near]), max([high, *near])
    room = 0.06 * (high - low or 1.0)
    return (low - room if low < 0 else low), high + room


def sensitivity(
    rows: Rows, *, x_label: str, y_label: str, down: bool = False, image_format: ImageFormat = "svg"
) -> bytes:
    """Draw how a score answers to a setting: one panel per network, one line per loss.

    Rows have panel, label (a line), x (> 0, logarithmic), y, picked (ringed), note; trained settings without y stand as
    crosses with their note at the worse edge of their panel (`down`: lower is better).
    """
    import seaborn as sns

    frame = tidy(rows)
    frame = tidy(frame.assign(style=frame["label"].factorize()[0]))
    frame["lost"] = frame["y"].isna()
    low, high = (0.0, 1.0) if frame["lost"].all() else (frame["y"].min(), frame["y"].max())
    room = 0.14 * max(high - low, 1e-9) * (1 + frame[frame["lost"]].groupby(["panel", "x"]).cumcount())
    frame["y"] = frame["y"].fillna(high + room if down else low - room)
    colours, markers = (dict(zip(frame["label"], frame[name], strict=True)) for name in ("colour", "marker"))
    values = sorted(frame["x"].unique())
    with drawing_style():
        figure, panels = facets(frame, 2.5, most=3)
        for axis, own in panels:
            known, lost = own[~own["lost"]], own[own["lost"]]
            if len(known):
                look = {"hue": "label", "palette": colours, "style": "label", "markers": markers, "dashes": False}
                sns.lineplot(known, x="x", y="y", **look, markersize=5.5, legend=False, ax=axis)
            axis.scatter(lost["x"], lost["y"], c=lost["colour"], marker="x", s=34, linewidth=1.6)
            for x, y, note in lost[["x", "y", "note"]].to_numpy():
                place: dict[str, Any] = {"xytext": (0, 5), "textcoords": "offset points", "ha": "center"}
                axis.annotate(note, (x, y), **place, fontsize=7, color=GREY)
            ringed = known[known["picked"]]
            axis.scatter(ringed["x"], ringed["y"], s=95, facecolors="none", edgecolors=INK, linewidths=1.2, zorder=4)
            axis.set(xlabel="", ylabel="")
            axis.margins(x=0.12)
            axis.tick_params(axis="x", labelsize=8)
        first = figure.axes[0]
        first.set_xscale("log")
        shown = values[:: -(-len(values) // MOST_TICKS) or 1]
        first.set_xticks(shown, [f"{value:.4g}" for value in shown])
        first.minorticks_off()
        for name in colours:
            first.plot([], [], color=colours[name], marker=markers[name], label=name)
        explained(figure)
        figure.supxlabel(x_label)
        figure.supylabel(y_label)
        return save(figure, image_format)


def device_heat_map(
    rows: Rows, *, label: str = "latency of one frame (ms)", image_format: ImageFormat = "svg"
) -> bytes:
    """Draw latencies of every model (lines) by every way to run it (columns); an empty field was not timed.

    Rows have label, device, runtime, number_format, y (> 0); several of one field are shown as their median.
    """
    import seaborn as sns
    from matplotlib.colors import LogNorm
    from pandas import DataFrame

    frame = DataFrame(rows)
    frame = frame.assign(way=frame["device"] + "\n" + frame["runtime"] + "\n" + frame["number_format"])
    table = frame.pivot_table(index="label", columns="way", values="y", aggfunc="median")
    table = table.reindex(frame["label"].unique())
    with drawing_style():
        figure = new_figure(WIDTH if table.shape[1] <= 6 else WIDE, 0.36 * len(table) + 1.3)
        axis = figure.subplots()
        sns.heatmap(
            table, annot=table.map(lambda ms: f"{ms:.3g}" if ms < 1000 else f"{ms:,.0f}"), fmt="", cmap="crest",
            norm=LogNorm(table.min().min() * 0.99, table.max().max() * 1.01), linewidths=1.5, cbar=False, ax=axis,
        )  # fmt: skip
        axis.grid(visible=False)
        axis.set(xlabel="", ylabel="", title=label, facecolor="#eef0f2")
        axis.tick_params(length=0, labelrotation=0)
        return save(figure, image_format)
