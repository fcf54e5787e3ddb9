"""Figures of a search of hyperparameters, from given numbers; accuracy against a cost is drawn as in a report."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from smlmbench.figures.charts import bars, scatter_accuracy_latency
from smlmbench.figures.layout import Rows, explained, facets, logarithmic, tidy
from smlmbench.figures.style import COLOURS, GREY, HEIGHT, INK, WIDTH, ImageFormat, drawing_style, new_figure, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DONE, STOPPED = COLOURS[:2]
STEPS = {"drawstyle": "steps-post", "estimator": None}


def history(rows: Rows, y_label: str, *, up: bool, fmt: ImageFormat = "png") -> bytes:
    """Every trial's number and the best so far; trials that were stopped are marks at the foot.

    Rows have by trial y, NaN where there is none, and a note on those that were pruned, collapsed or failed; `up` says
    whether higher is better.
    """
    import seaborn as sns

    frame = tidy(rows)
    frame["x"] = frame.index + 1.0
    best = frame["y"].cummax() if up else frame["y"].cummin()
    with drawing_style():
        figure = new_figure(WIDTH, HEIGHT)
        axis = figure.subplots()
        sns.scatterplot(frame, x="x", y="y", color=DONE, linewidth=0, s=30, label="trial", zorder=3, ax=axis)
        sns.lineplot(frame.assign(y=best.ffill()), x="x", y="y", **STEPS, color=INK, label="best so far", ax=axis)
        stopped = frame["x"][frame["note"] != ""]
        if len(stopped):
            foot: dict[str, Any] = {"transform": axis.get_xaxis_transform(), "clip_on": False}
            axis.plot(stopped, [0.02] * len(stopped), "x", color=STOPPED, label="stopped", **foot)
        return _counted(figure, "trial", y_label, fmt)


def importances(shares: Mapping[str, float], *, fmt: ImageFormat = "png") -> bytes:
    """Share of each setting in the variation of the first objective, largest first."""
    rows = [{"label": name, "y": shares[name]} for name in sorted(shares, key=lambda name: -shares[name])]
    return bars(rows, x_label="importance (PED-ANOVA)", image_format=fmt)


def slices(settings: Mapping[str, Sequence[Any]], values: Sequence[float], y_label: str, log: Sequence[str]) -> bytes:
    """One panel per setting: the number of every trial against the setting's value, as a PNG.

    Settings are values by name, one per trial, None where a trial had none; `values` are by trial, NaN where there is
    none; `log` names the settings on a logarithmic axis.
    """
    import seaborn as sns
    from pandas import DataFrame
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    frame = DataFrame({"panel": list(settings)})
    with drawing_style():
        figure, panels = facets(frame, 2.6, most=3, sharex=False)
        for (axis, _), (name, given) in zip(panels, settings.items(), strict=False):
            own = DataFrame({"x": given, "y": values}).dropna().infer_objects()
            numeric = is_numeric_dtype(own["x"]) and not is_bool_dtype(own["x"])
            if numeric:
                sns.scatterplot(own, x="x", y="y", color=DONE, linewidth=0, s=25, ax=axis)
            else:
                sns.stripplot(own.astype({"x": str}), x="x", y="y", color=DONE, jitter=False, ax=axis)
                axis.tick_params(axis="x", labelrotation=15)
            if numeric and name in log and len(own):
                logarithmic(axis, list(own["x"]))
            axis.set(xlabel="", ylabel="")
        figure.supylabel(y_label)
        return save(figure, "png")


def pareto(rows: Sequence[Mapping[str, Any]], labels: tuple[str, str], *, fmt: ImageFormat = "png") -> bytes:
    """Accuracy against a cost, with the trials that no other beats in both.

    Rows have by finished trial x (cost), y, and whether it is front, picked and default; labels are of the two axes.
    """
    points = []
    for row in rows:
        names = [name for key, name in (("picked", "pick"), ("default", "default settings")) if row[key]]
        kind = "pick" if row["picked"] or row["front"] else "reference" if row["default"] else "row"
        points.append({**row, "label": " = ".join(names), "style": int(row["picked"]), "kind": kind})
    return scatter_accuracy_latency(points, x_label=labels[0], y_label=labels[1], image_format=fmt)


def best_of(rows: Rows, y_label: str, *, default: float = math.nan, fmt: ImageFormat = "png") -> bytes:
    """The number of the pick after K trials, one line per way of searching.

    Rows have label, x (K), y, and its band low and high; `default` is the number of the default settings, NaN for none.
    """
    import seaborn as sns

    frame = tidy(rows)
    with drawing_style():
        figure = new_figure(WIDTH, HEIGHT)
        axis = figure.subplots()
        sns.lineplot(frame, x="x", y="y", hue="label" if len(frame) else None, **STEPS, ax=axis)
        for number, (_, own) in enumerate(frame.groupby("label", sort=False)):
            look: dict[str, Any] = {"step": "post", "color": f"C{number}", "alpha": 0.18, "linewidth": 0}
            axis.fill_between(own["x"], own["low"], own["high"], **look)
        if math.isfinite(default):
            axis.axhline(default, color=GREY, linestyle="--", label="default settings")
        return _counted(figure, "trials", y_label, fmt)


def _counted(figure: "Figure", x_label: str, y_label: str, fmt: ImageFormat) -> bytes:
    """Finish a chart whose x counts trials."""
    from matplotlib.ticker import MaxNLocator

    (axis,) = figure.axes
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(xlabel=x_label, ylabel=y_label)
    if (inside := axis.get_legend()) is not None:  # seaborn's
        inside.remove()
    explained(figure)
    return save(figure, fmt)
