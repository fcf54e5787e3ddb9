"""How rows stand over many conditions: mean ranks with a critical difference, performance profiles."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from smlmbench.figures.layout import Rows, explained, tidy
from smlmbench.figures.style import GREY, HEIGHT, INK, WIDTH, ImageFormat, drawing_style, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

ROW_IN = 0.27  # height of a row
DASHES: dict[str, Any] = {"pick": "-", "reference": (0, (3, 1.5))}


def mean_ranks(
    rows: Rows, groups: Sequence[Sequence[int]], critical: float, *, x_label: str, image_format: ImageFormat = "svg"
) -> bytes:
    """Draw a critical difference diagram, a line for each row, so that long names have room.

    Args:
        rows: label, style and x, the mean rank; best first.
        groups: Places of rows that nothing tells apart, each a run of neighbours; a bar beside the rows joins them.
        critical: The difference of mean ranks that counts.
        x_label: What was ranked over.
        image_format: Of the answer.
    """
    frame = tidy(rows)
    with drawing_style():
        figure = new_figure(WIDTH, ROW_IN * (len(frame) + 1) + 0.6)
        draw_ranks(figure.subplots(), frame, groups, critical, x_label)
        return save(figure, image_format)


def draw_ranks(
    axis: "Axes", frame: "DataFrame", groups: Sequence[Sequence[int]], critical: float, x_label: str
) -> None:
    """Draw it on an axis, with the letters of the style that is in force."""
    count = len(frame)
    for place, one in enumerate(frame.to_dict("records")):
        axis.plot(one["x"], place, one["marker"], color=one["colour"], markersize=6, zorder=4)
        right = one["x"] <= (count + 1) / 2
        look = {"ha": "left" if right else "right", "va": "center", "color": one["colour"]}
        axis.annotate(f"{one['x']:.2f}", (one["x"], place), (7 if right else -7, 0), textcoords="offset points", **look)
    for number, group in enumerate(groups, start=1):
        at: dict[str, Any] = {"transform": axis.get_yaxis_transform(), "clip_on": False, "solid_capstyle": "butt"}
        axis.plot([1 + 0.03 * number] * 2, [group[0] - 0.3, group[-1] + 0.3], color=INK, linewidth=2.6, **at)
    axis.plot([1, 1 + critical], [-1, -1], "|-", color=GREY, linewidth=1.2, markersize=7)
    said = f"critical difference {critical:.2f}"
    axis.annotate(said, (1 + critical, -1), (6, 0), textcoords="offset points", va="center", color=GREY)
    axis.set(xlim=(0.8, count + 0.2), ylim=(count - 0.5, -1.6), xlabel=x_label)
    axis.set_xticks(range(1, count + 1))
    axis.set_yticks(range(count), list(frame["label"]))


def profiles(rows: Rows, *, x_label: str, image_format: ImageFormat = "svg") -> bytes:
    """Draw performance profiles.

    Rows have label, kind, style, x (a score) and y, the share of conditions that reach it, 0 .. 1; by label in the
    order from the worst score to the best.
    """
    with drawing_style():
        figure = new_figure(WIDTH, HEIGHT)
        draw_profiles(figure.subplots(), tidy(rows), x_label)
        explained(figure)
        return save(figure, image_format)


def draw_profiles(axis: "Axes", frame: "DataFrame", x_label: str) -> None:
    """Draw them on an axis that shows the scores of the picks; a reference may leave it."""
    picks = frame.loc[frame["kind"] == "pick", "x"]
    low, high = float(picks.min()), float(picks.max())
    room = 0.04 * (high - low or 1.0)
    for (label, kind), own in frame.groupby(["label", "kind"], sort=False):
        worst, best = own["x"].iloc[0], own["x"].iloc[-1]
        start = min(worst, low - room) if worst <= best else max(worst, high + room)
        look: dict[str, Any] = {"color": own["colour"].iloc[0], "linestyle": DASHES[str(kind)]}
        axis.step([start, *own["x"], best], [1, *own["y"], 0], where="pre", label=label, **look)
    axis.set(xlim=(low - room, high + room), ylim=(-0.02, 1.03), xlabel=x_label, ylabel="share of conditions")
    axis.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
