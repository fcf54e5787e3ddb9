"""Accuracy against latency for every runtime and number format of a device, and all latencies as a heat map."""

import pandas as pd

from smlmbench.figures import device_heat_map, scatter_accuracy_latency
from smlmbench.report.devices import REAL_TIME_MS, timings
from smlmbench.report.drawings import Drawing, embedded, spoken_points
from smlmbench.report.model import Board
from smlmbench.statistics import pareto_front


def latency_drawings(board: Board) -> list[Drawing]:
    """Figures of each device and size with several runtimes or formats, then of each size; all but one are folded."""
    every = pd.DataFrame([
        {"label": one.entry.label, "name": one.entry.name, "style": one.entry.style, "device": one.device}
        | {"runtime": one.runtime, "number_format": one.number_format, "size": one.size_px, "x": one.latency_ms}
        | {"y": one.score(board), "reference": one.entry.is_reference}
        for one in timings(board)
    ])  # fmt: skip
    made: list[Drawing] = []
    if every.empty:
        return made
    for (device, size), group in every.dropna(subset="y").groupby(["device", "size"], sort=False):
        if _ways(group) > 1:
            made.append(_scatter(board, f"{size} px", str(device), group, folded=bool(made)))
    sizes = every.groupby("size", sort=False)
    return made + [_heat_map(board, f"{size} px", group) for size, group in sizes if _ways(group) > 1]


def _ways(group: pd.DataFrame) -> int:
    return len(group.loc[~group["reference"], ["device", "runtime", "number_format"]].drop_duplicates())


def _scatter(board: Board, size: str, device: str, group: pd.DataFrame, *, folded: bool) -> Drawing:
    front = pareto_front(group[["x", "y"]] * [1.0, -board.sign])
    named = group["name"] + " " + group["runtime"] + " " + group["number_format"]
    rows = group.assign(front=front, label=named.where(front, ""), kind="row")
    rows["kind"] = rows["kind"].mask(front, "pick").mask(group["reference"], "reference")
    title = board.heading
    what = f"{title} against latency on {board.data}, {size} on {device}, every runtime and format"
    return embedded(
        f"{what}. Upright lines: real time at exposures of 10 and 30 ms; coloured: the Pareto front.",
        f"Scatter of {what}: {spoken_points(rows)}",
        scatter_accuracy_latency(
            rows, y_label=title, x_label=f"latency of a {size} frame on {device} (ms)", marks=REAL_TIME_MS
        ),
        folded=folded,
    )


def _heat_map(board: Board, size: str, group: pd.DataFrame) -> Drawing:
    what = f"Latency of a {size} frame on {board.data} by device, runtime and number format"
    ways = group["label"] + " " + group["device"] + " " + group["runtime"] + " " + group["number_format"]
    spoken = "; ".join(ways + group["x"].map(" {:.3g} ms".format))
    image = device_heat_map(group.assign(y=group["x"]), label=f"latency of a {size} frame (ms)")
    return embedded(f"{what}; grey: not timed.", f"Heat map of {what}: {spoken}", image, folded=True)
