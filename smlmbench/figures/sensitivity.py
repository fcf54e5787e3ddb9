"""How a score answers to a setting: one panel per network, one line per loss, failures marked at the worse edge."""

from typing import Any

from smlmbench.figures.layout import Rows, facets, tidy
from smlmbench.figures.style import GREY, INK, ImageFormat, drawing_style, save


def sensitivity(
    rows: Rows, *, x_label: str, y_label: str, down: bool = False, image_format: ImageFormat = "svg"
) -> bytes:
    """Draw small multiples on shared axes.

    Args:
        rows: panel, label (a line), x (> 0, logarithmic), y, picked (ringed), note; trained settings without y stand as
            crosses with their note at the worse edge of their panel.
        x_label: Name of the setting.
        y_label: Name and unit of the score.
        down: Whether lower is better.
        image_format: svg or png.
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
        if 0 < len(values) <= 8:
            first.set_xticks(values, [f"{value:g}" for value in values])
            first.minorticks_off()
        handles = [first.plot([], [], color=colours[name], marker=markers[name])[0] for name in colours]
        figure.legend(handles, list(colours), loc="outside upper center", ncols=4)
        figure.supxlabel(x_label)
        figure.supylabel(y_label)
        return save(figure, image_format)
