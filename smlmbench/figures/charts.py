"""Charts of given numbers: accuracy against latency, curves, bars."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from smlmbench.figures.style import GREY, INK, MARKERS, ImageFormat, Kind, colour_of, drawing_style, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Where a label may stand beside its point: offset in points and alignment, best first.
LABEL_OFFSETS = (
    (9, 5, "left"),
    (9, -12, "left"),
    (-9, 5, "right"),
    (-9, -12, "right"),
    (9, 18, "left"),
    (9, -26, "left"),
)


@dataclass(frozen=True, slots=True)
class Point:
    """One row of an accuracy-against-latency figure.

    Attributes:
        label: Text beside the point; empty for none.
        x, y: Latency in ms (> 0) and the metric.
        low, high: Interval of y, NaN where there is none.
        kind: pick (coloured, competes), row (small and grey) or reference (grey diamond).
        style: Index of colour and marker, so that a model looks the same in every figure.
    """

    label: str
    x: float
    y: float
    low: float = math.nan
    high: float = math.nan
    kind: Kind = "pick"
    style: int = 0


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a small multiple: x and y of equal length, `panel` names the multiple it is drawn in."""

    panel: str
    label: str
    x: Sequence[float]
    y: Sequence[float]
    style: int = 0


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a panel, with its interval (NaN: none)."""

    panel: str
    label: str
    value: float
    low: float = math.nan
    high: float = math.nan
    kind: Kind = "pick"
    style: int = 0


def _plain_number(value: float, _position: int | None = None) -> str:
    return f"{value:g}"


def scatter_accuracy_latency(
    points: Sequence[Point],
    *,
    y_label: str,
    x_label: str = "latency per frame (ms)",
    front: Sequence[int] = (),
    lines: Mapping[str, float] | None = None,
    marks: Sequence[float] = (),
    image_format: ImageFormat = "svg",
) -> bytes:
    """Draw accuracy against latency with the Pareto front and reference lines.

    Args:
        points: Rows; those without a finite latency are left out.
        y_label: Name and unit of the metric.
        x_label: Name and unit of the logarithmic axis.
        front: Indices into `points` of the rows on the Pareto front.
        lines: Label and value of horizontal lines, for references without a latency.
        marks: Latencies of upright lines, such as exposures.
        image_format: svg or png.
    """
    with drawing_style():
        figure = new_figure(7.6, 4.5)
        axis = figure.subplots()
        drawn = [point for point in points if math.isfinite(point.x) and point.x > 0 and math.isfinite(point.y)]
        for point in drawn:
            _draw_point(axis, point)
        ends = sorted((points[i].x, points[i].y) for i in front if math.isfinite(points[i].x) and points[i].x > 0)
        if ends:
            xs, ys = zip(*ends, strict=True)
            axis.plot(xs, ys, color=INK, linewidth=1.2, linestyle=(0, (4, 2)), zorder=1, label="Pareto front")
        _draw_lines(axis, drawn, lines or {})
        _latency_axis(axis, [*(point.x for point in drawn), *marks])
        for mark in marks:
            axis.axvline(mark, color=GREY, linewidth=1.1, linestyle=":", zorder=1)
            place = axis.get_xaxis_transform()
            axis.text(mark, 0.01, f" {mark:g} ms", transform=place, color="#5b5b5b", va="bottom", fontsize=8.5)
        axis.set(xlabel=x_label, ylabel=y_label)
        if ends:
            axis.legend(loc="lower right", bbox_to_anchor=(1, 1), fontsize=8.5, frameon=False, borderaxespad=0.1)
        _place_labels(figure, axis, [point for point in drawn if point.label])
        return save(figure, image_format)


def _draw_lines(axis: "Axes", points: Sequence[Point], lines: Mapping[str, float]) -> None:
    """Draw the lines near the points; those far off would squeeze the points together and are named instead."""
    values = [v for point in points for v in (point.y, point.low, point.high) if math.isfinite(v)] or list(
        lines.values()
    )
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    span = (high - low) or 1.0
    apart = {label: max(low - value, value - high) for label, value in lines.items()}
    closest = min(apart.values(), default=0.0)
    # The closest one is the bar to clear, so it is shown from farther away than the others.
    near = {k: v for k, v in lines.items() if apart[k] <= span or apart[k] == closest <= 3 * span}
    for label, value in near.items():
        axis.axhline(value, color=GREY, linewidth=1.1, linestyle=":", zorder=1)
        place = axis.get_yaxis_transform()
        axis.text(0.995, value, label, transform=place, color="#5b5b5b", ha="right", va="bottom", fontsize=8.5)
    low, high = min([low, *near.values()]), max([high, *near.values()])
    axis.set_ylim(low - 0.1 * (high - low or 1.0), high + 0.13 * (high - low or 1.0))
    far = ", ".join(f"{label} {value:.1f}" for label, value in lines.items() if label not in near)
    if far:
        axis.text(
            0, 1.01, f"off the scale: {far}", transform=axis.transAxes, color="#5b5b5b", fontsize=8.5, va="bottom"
        )


def _draw_point(axis: "Axes", point: Point) -> None:
    colour = colour_of(point.kind, point.style)
    if math.isfinite(point.low) and math.isfinite(point.high) and point.kind != "row":
        axis.plot([point.x, point.x], [point.low, point.high], color=colour, linewidth=1.6, zorder=3)
    looks: dict[Kind, dict[str, Any]] = {
        "pick": {"s": 62, "marker": MARKERS[point.style % len(MARKERS)], "zorder": 4},
        "row": {"s": 16, "marker": "o", "alpha": 0.55, "zorder": 2},
        "reference": {"s": 46, "marker": "d", "zorder": 3},
    }
    axis.scatter([point.x], [point.y], color=colour, linewidths=0, **looks[point.kind])


def _latency_axis(axis: "Axes", values: Sequence[float]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_xscale("log")
    if values:
        low, high = min(values), max(values)
        room = max((high / low) ** 0.15, 1.35)
        axis.set_xlim(low / room, high * room * 1.15)
        narrow = high / low < 30
        axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if narrow else (1.0,)))
    axis.xaxis.set_major_formatter(FuncFormatter(_plain_number))
    axis.xaxis.set_minor_formatter(NullFormatter())


def _place_labels(figure: "Figure", axis: "Axes", points: Sequence[Point]) -> None:
    """Put each label at the first of several offsets where it covers neither a label nor a point."""
    paper = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5}
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    frame = axis.get_window_extent(renderer)
    spots = [tuple(axis.transData.transform((point.x, point.y))) for point in points]
    taken: list[Any] = []
    for point in sorted(points, key=lambda p: -p.y):
        for dx, dy, side in LABEL_OFFSETS:
            text = axis.annotate(
                point.label,
                (point.x, point.y),
                xytext=(dx, dy),
                textcoords="offset points",
                ha=side,
                fontsize=9,
                color=colour_of(point.kind, point.style),
                zorder=5,
                bbox=paper,
            )
            box = text.get_window_extent(renderer)
            free = not any(box.overlaps(other) for other in taken) and not any(box.contains(*spot) for spot in spots)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if free and inside:
                break
            if (dx, dy, side) != LABEL_OFFSETS[-1]:
                text.remove()
        taken.append(box)


def curves(
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    image_format: ImageFormat = "svg",
) -> bytes:
    """Draw small multiples of lines on shared axes, at most five in a row; a label is explained once per panel."""
    with drawing_style():
        names = list(dict.fromkeys(line.panel for line in series)) or [""]
        columns = len(names) if len(names) <= 5 else 4
        rows = -(-len(names) // columns)
        alone = columns == 1  # on the page as wide as the other figures, its letters as large
        figure = new_figure(6.4 if alone else 2.9 * columns + 0.6, 3.8 if alone else 2.5 * rows + 0.4)
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for axis, name in zip(grid, names, strict=False):
            axis.set_title(name)
            seen: set[str] = set()
            for line in (line for line in series if line.panel == name):
                label = "" if line.label in seen else line.label
                axis.plot(line.x, line.y, color=colour_of("pick", line.style), linewidth=1.5, alpha=0.85,
                          marker="o", markersize=2.6, label=label or "_repeat")  # fmt: skip
                seen.add(line.label)
            if len(seen) > 1 or seen - {"", name}:
                axis.legend(fontsize=7.5, frameon=False, loc="lower right")
        for axis in grid[len(names) :]:
            axis.set_visible(False)
        _thin_ticks(grid[0])
        figure.supxlabel(x_label, fontsize=10)
        figure.supylabel(y_label, fontsize=10)
        return save(figure, image_format)


def _thin_ticks(axis: "Axes") -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.xaxis.set_major_locator(MaxNLocator(4))
    axis.xaxis.set_major_formatter(FuncFormatter(_thousands))


def _thousands(value: float, _position: int | None = None) -> str:
    return f"{value / 1000:g}k" if abs(value) >= 1000 else f"{value:g}"


def bars(entries: Sequence[Bar], *, x_label: str, image_format: ImageFormat = "svg") -> bytes:
    """Draw horizontal bars with intervals, one panel per condition, the same order of rows in each."""
    with drawing_style():
        names = list(dict.fromkeys(entry.panel for entry in entries)) or [""]
        labels = list(dict.fromkeys(entry.label for entry in entries))
        columns = min(4, len(names))
        rows = -(-len(names) // columns)
        width = min(3.4 * columns, 11.0) + 1.4
        figure = new_figure(width, (0.34 * len(labels) + 0.5) * rows + 0.6)
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for axis, name in zip(grid, names, strict=False):
            axis.set_title(name)
            axis.grid(visible=False, axis="y")
            axis.axvline(0, color="#8a949e", linewidth=0.9)
            for entry in (entry for entry in entries if entry.panel == name):
                _draw_bar(axis, entry, labels.index(entry.label))
        for axis in grid[len(names) :]:
            axis.set_visible(False)
        grid[0].set_xlim(_bar_range(entries))
        for axis, name in zip(grid, names, strict=False):
            _mark_cut_bars(axis, [entry for entry in entries if entry.panel == name], labels)
        grid[0].set_yticks(range(len(labels)), labels)
        grid[0].set_ylim(len(labels) - 0.4, -0.6)
        figure.supxlabel(x_label, fontsize=10)
        return save(figure, image_format)


def _draw_bar(axis: "Axes", entry: Bar, place: int) -> None:
    if not math.isfinite(entry.value):
        axis.text(0.02, place, "n/a", transform=axis.get_yaxis_transform(), va="center", fontsize=8.5, color=GREY)
        return
    colour = colour_of(entry.kind, entry.style)
    axis.barh(place, entry.value, height=0.62, color=colour, alpha=0.9 if entry.kind == "pick" else 0.45, linewidth=0)
    if math.isfinite(entry.low) and math.isfinite(entry.high):
        axis.plot([entry.low, entry.high], [place, place], color=INK, linewidth=1.4, solid_capstyle="butt")


def _bar_range(entries: Sequence[Bar]) -> tuple[float, float]:
    """Limits that suit the picks; a reference far worse than all of them is cut."""
    picks = [v for e in entries if e.kind == "pick" for v in (e.value, e.low, e.high) if math.isfinite(v)]
    values = [*picks, 0.0] if picks else [e.value for e in entries if math.isfinite(e.value)] + [0.0, 1.0]
    low, high = min(values), max(values)
    near = [e.value for e in entries if low - 0.3 * (high - low) <= e.value <= high + 0.3 * (high - low)]
    low, high = min([low, *near]), max([high, *near])
    room = 0.06 * (high - low or 1.0)
    return (low - room if low < 0 else low), high + room


def _mark_cut_bars(axis: "Axes", entries: Sequence[Bar], labels: Sequence[str]) -> None:
    low, high = axis.get_xlim()
    for entry in entries:
        place = labels.index(entry.label)
        if math.isfinite(entry.value) and not low <= entry.value <= high:
            side = "left" if entry.value < low else "right"
            x = 0.02 if side == "left" else 0.98
            text = f"◂ {entry.value:.1f}" if side == "left" else f"{entry.value:.1f} ▸"
            axis.text(x, place, text, transform=axis.get_yaxis_transform(), ha=side, va="center", fontsize=8)
