"""Figures of a search of hyperparameters, from given numbers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from smlmbench.figures.style import COLOURS, GREY, INK, ImageFormat, drawing_style, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS_IN_A_ROW = 3
DONE, STOPPED = COLOURS[0], COLOURS[1]


@dataclass(frozen=True, slots=True)
class Curve:
    """A line over the number of trials with its band; equal bounds draw none."""

    label: str
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def history(
    values: Sequence[float], stopped: Sequence[int], y_label: str, *, up: bool, fmt: ImageFormat = "png"
) -> bytes:
    """Every trial's number and the best so far; trials that were stopped are marks at the foot.

    Args:
        values: By trial, NaN where there is none.
        stopped: Trials (from 0) that were pruned, collapsed or failed.
        y_label: What the number is.
        up: Whether higher is better.
        fmt: png or svg.
    """
    with drawing_style():
        figure = new_figure(6.4, 3.6)
        axes = figure.add_subplot()
        numbers = range(1, len(values) + 1)
        axes.scatter(numbers, values, s=22, color=DONE, label="trial", zorder=3)
        best, line = math.nan, []
        for value in values:
            if math.isfinite(value) and (not math.isfinite(best) or (value > best) == up):
                best = value
            line.append(best)
        axes.step(numbers, line, where="post", color=INK, label="best so far")
        if stopped:
            foot = [0.02] * len(stopped)
            axes.plot(
                [number + 1 for number in stopped], foot, "x", color=STOPPED, label="stopped",
                transform=axes.get_xaxis_transform(), clip_on=False,
            )  # fmt: skip
        _whole(axes)
        axes.set_xlabel("trial")
        axes.set_ylabel(y_label)
        axes.legend(frameon=False)
        return save(figure, fmt)


def importances(shares: Mapping[str, float], *, fmt: ImageFormat = "png") -> bytes:
    """Share of each setting in the variation of the first objective, largest first."""
    with drawing_style():
        names = sorted(shares, key=lambda name: shares[name])
        figure = new_figure(6.4, 0.8 + 0.32 * max(1, len(names)))
        axes = figure.add_subplot()
        axes.barh(names, [shares[name] for name in names], color=DONE)
        axes.set_xlim(0, 1)
        axes.set_xlabel("importance (PED-ANOVA)")
        return save(figure, fmt)


def slices(
    settings: Mapping[str, Sequence[Any]],
    values: Sequence[float],
    y_label: str,
    log: Sequence[str],
    *,
    fmt: ImageFormat = "png",
) -> bytes:
    """One panel per setting: the number of every trial against the setting's value.

    Args:
        settings: Values by name, one per trial, None where a trial had none.
        values: By trial, NaN where there is none.
        y_label: What the number is.
        log: Names of settings on a logarithmic axis.
        fmt: png or svg.
    """
    with drawing_style():
        rows = -(-len(settings) // PANELS_IN_A_ROW)
        columns = min(PANELS_IN_A_ROW, max(1, len(settings)))
        figure = new_figure(3.0 * columns, 2.6 * max(1, rows))
        for number, (name, given) in enumerate(settings.items()):
            axes = figure.add_subplot(rows, columns, number + 1)
            _slice(axes, given, values, logarithmic=name in log)
            axes.set_title(name)
            if number % columns == 0:
                axes.set_ylabel(y_label)
        return save(figure, fmt)


def _logarithmic(axes: "Axes") -> None:
    """A logarithmic axis with plain numbers at few ticks."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    decades = math.log10(high / low)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2 else (1.0,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _whole(axes: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _slice(axes: "Axes", given: Sequence[Any], values: Sequence[float], *, logarithmic: bool) -> None:
    pairs = [(x, y) for x, y in zip(given, values, strict=True) if x is not None and math.isfinite(y)]
    numeric = all(isinstance(x, int | float) and not isinstance(x, bool) for x, _ in pairs)
    xs = [x if numeric else str(x) for x, _ in pairs]
    axes.scatter(xs, [y for _, y in pairs], s=16, color=DONE, zorder=3)
    if numeric and logarithmic and pairs:
        _logarithmic(axes)


def pareto(
    points: Sequence[tuple[float, float]], on_front: Sequence[bool], labels: tuple[str, str], *,
    picked: int | None = None, default: int | None = None, log: bool = True, fmt: ImageFormat = "png",
) -> bytes:  # fmt: skip
    """Accuracy against a cost, with the trials that no other beats in both.

    Args:
        points: (cost, accuracy) of every finished trial.
        on_front: For each.
        labels: Of the two axes.
        picked: Which point is the pick.
        default: Which point has the default settings.
        log: Logarithmic cost.
        fmt: png or svg.
    """
    with drawing_style():
        figure = new_figure(6.4, 4.2)
        axes = figure.add_subplot()
        others = [point for point, front in zip(points, on_front, strict=True) if not front]
        first = sorted(point for point, front in zip(points, on_front, strict=True) if front)
        axes.scatter([x for x, _ in others], [y for _, y in others], s=18, color=GREY, label="trial")
        axes.plot([x for x, _ in first], [y for _, y in first], "o-", color=DONE, label="Pareto front")
        if default is not None:
            axes.plot(*points[default], "s", mfc="none", ms=11, color=INK, label="default settings")
        if picked is not None:
            axes.plot(*points[picked], "*", ms=15, color=STOPPED, label="pick")
        if log:
            _logarithmic(axes)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        axes.legend(frameon=False)
        return save(figure, fmt)


def best_of(curves: Sequence[Curve], y_label: str, *, default: float = math.nan, fmt: ImageFormat = "png") -> bytes:
    """The number of the pick after K trials, one line per way of searching.

    Args:
        curves: Lines with their bands.
        y_label: What the number is.
        default: The number of the default settings, NaN for none.
        fmt: png or svg.
    """
    with drawing_style():
        figure = new_figure(6.4, 3.8)
        axes = figure.add_subplot()
        for number, curve in enumerate(curves):
            colour = COLOURS[number % len(COLOURS)]
            trials = range(1, len(curve.mean) + 1)
            axes.step(trials, curve.mean, where="post", color=colour, label=curve.label)
            if list(curve.low) != list(curve.high):
                axes.fill_between(trials, curve.low, curve.high, step="post", color=colour, alpha=0.18, linewidth=0)
        if math.isfinite(default):
            axes.axhline(default, color=GREY, linestyle="--", label="default settings")
        _whole(axes)
        axes.set_xlabel("trials")
        axes.set_ylabel(y_label)
        axes.legend(frameon=False)
        return save(figure, fmt)
