"""Accuracy against latency for every runtime and number format of a device, and all latencies as a heat map."""

from collections.abc import Sequence

import numpy as np

from smlmbench.figures import device_heat_map, scatter_accuracy_latency
from smlmbench.report.devices import REAL_TIME_MS, Timing, timings
from smlmbench.report.drawings import Drawing, spoken_points, vector
from smlmbench.report.model import Board
from smlmbench.report.words import title
from smlmbench.statistics import pareto_front


def latency_drawings(board: Board) -> list[Drawing]:
    """Figures of each device and size with several runtimes or formats, then of each size; all but one are folded."""
    every = timings(board)
    scored = [one for one in every if one.score(board) is not None]
    made: list[Drawing] = []
    for device, size in dict.fromkeys((one.device, one.size_px) for one in scored):
        group = [one for one in scored if (one.device, one.size_px) == (device, size)]
        if _ways(group) > 1:
            made.append(_scatter(board, device, size, group, folded=bool(made)))
    for size in dict.fromkeys(one.size_px for one in every):
        group = [one for one in every if one.size_px == size]
        if _ways(group) > 1:
            made.append(_heat_map(board, size, group))
    return made


def _ways(group: Sequence[Timing]) -> int:
    return len({(one.device, one.runtime, one.number_format) for one in group if not one.entry.is_reference})


def _scatter(board: Board, device: str, size: int, group: Sequence[Timing], *, folded: bool) -> Drawing:
    sign = 1.0 if board.direction == "up" else -1.0
    scores = [one.score(board) or 0.0 for one in group]
    on_front = pareto_front(np.array([[-sign * y, one.latency_ms] for y, one in zip(scores, group, strict=True)]))
    rows = [
        {"label": f"{one.entry.name} {one.runtime} {one.number_format}" if front else "", "x": one.latency_ms, "y": y}
        | {"kind": "reference" if one.entry.is_reference else "pick" if front else "row"}
        | {"style": one.entry.style, "front": bool(front)}
        for one, y, front in zip(group, scores, on_front, strict=True)
    ]
    what = f"{title(board.primary)} against latency on {board.data}, {size} px on {device}, every runtime and format"
    return vector(
        f"{what}. Upright lines: real time at exposures of 10 and 30 ms; coloured: the Pareto front.",
        f"Scatter of {what}: {spoken_points(rows)}",
        scatter_accuracy_latency(
            rows,
            y_label=title(board.primary),
            x_label=f"latency of a {size} px frame on {device} (ms)",
            marks=REAL_TIME_MS,
        ),
        folded=folded,
    )


def _heat_map(board: Board, size: int, group: Sequence[Timing]) -> Drawing:
    rows = [
        {"label": one.entry.label, "device": one.device, "runtime": one.runtime}
        | {"number_format": one.number_format, "y": one.latency_ms}
        for one in group
    ]
    what = f"Latency of a {size} px frame on {board.data} by device, runtime and number format"
    spoken = "; ".join(
        f"{row['label']} {row['device']} {row['runtime']} {row['number_format']} {row['y']:.3g} ms" for row in rows
    )
    image = device_heat_map(rows, label=f"latency of a {size} px frame (ms)")
    return vector(f"{what}; grey: not timed.", f"Heat map of {what}: {spoken}", image, wide=True, folded=True)
