"""Accuracy against latency for every runtime and number format of a device, with the lines of real time."""

import math
from collections.abc import Sequence

import numpy as np

from smlmbench.figures import Kind, Point, scatter_accuracy_latency
from smlmbench.report.devices import REAL_TIME_MS, Timing, timings
from smlmbench.report.drawings import Drawing, embed
from smlmbench.report.model import Board
from smlmbench.report.words import title
from smlmbench.statistics import pareto_front


def latency_drawings(board: Board) -> list[Drawing]:
    """A figure for each device and size with several runtimes or number formats; all but the first are folded."""
    found = [one for one in timings(board) if one.score(board) is not None]
    made: list[Drawing] = []
    for device, size in dict.fromkeys((one.device, one.size_px) for one in found):
        group = [one for one in found if (one.device, one.size_px) == (device, size)]
        ways = {(one.runtime, one.number_format) for one in group if not one.entry.is_reference}
        if len(ways) > 1:
            made.append(_drawn(board, device, size, group, folded=bool(made)))
    return made


def _drawn(board: Board, device: str, size: int, group: Sequence[Timing], *, folded: bool) -> Drawing:
    sign = 1.0 if board.direction == "up" else -1.0
    scores = [one.score(board) or 0.0 for one in group]
    costs = [[-sign * score, one.latency_ms] for score, one in zip(scores, group, strict=True)]
    on_front = pareto_front(np.array(costs))
    points = []
    for one, score, shown in zip(group, scores, on_front, strict=True):
        kind: Kind = "reference" if one.entry.is_reference else "pick" if shown else "row"
        label = f"{one.entry.name} {one.runtime} {one.number_format}" if shown else ""
        points.append(Point(label, one.latency_ms, score, math.nan, math.nan, kind=kind, style=one.entry.style))
    image = scatter_accuracy_latency(
        points,
        y_label=title(board.primary),
        x_label=f"latency of a {size} px frame on {device} (ms)",
        front=[index for index, shown in enumerate(on_front) if shown],
        marks=REAL_TIME_MS,
    )
    what = f"{title(board.primary)} against latency on {board.data}, {size} px on {device}, every runtime and format"
    spoken = "; ".join(f"{point.label} {point.x:.3g} ms, {point.y:.3g}" for point in points if point.label)
    caption = f"{what}. Upright lines: real time at exposures of 10 and 30 ms; coloured: the Pareto front."
    return Drawing(caption, f"Scatter of {what}: {spoken}", embed(image, "image/svg+xml"), folded=folded)
