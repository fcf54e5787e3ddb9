"""The figures of a study for a paper: accuracy against latency, sweeps over conditions, λ, profiles, mean ranks."""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from smlmbench.errors import StoreError
from smlmbench.figures.layout import tidy
from smlmbench.figures.paper import check_width, lines, points, standings
from smlmbench.figures.standings import draw_profiles, draw_ranks
from smlmbench.report.boards.frame import drawn
from smlmbench.report.drawings import lambda_rows
from smlmbench.report.leaderboard import boards_of
from smlmbench.report.model import LATENCY, Board, Record
from smlmbench.report.row import finite
from smlmbench.report.standings import profile_rows, rank_label, standing

# Facts of a condition that say how much of it there is, not what it is.
AMOUNTS = {"frames", "field_px"}
LOG_FROM = 5.0
HEIGHT_MM, ROW_MM = 56.0, 5.0


def write_figures(record: Record, folder: Path, width_mm: float) -> list[Path]:
    """Draw what a study's numbers allow, each figure as SVG and PNG.

    Args:
        record: The study.
        folder: Made where absent.
        width_mm: 85 or 170.

    Returns:
        The files.

    Raises:
        ConfigError: Another width.
        StoreError: No plan, or no number that could be drawn.
    """
    check_width(width_mm)
    _, boards = boards_of(record)
    planned = record.plan.get("conditions", {})
    figures = (_figures(board, planned.get(board.data, {}), width_mm) for board in boards)
    made = {name: figure for of_board in figures for name, figure in of_board}
    if not made:
        raise StoreError(f"study '{record.study}' has no numbers to draw yet: no latency, no sweep, no two λ")
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, figure in made.items():
        for suffix, image in figure.items():
            files.append(folder / f"{name}-{width_mm:g}mm.{suffix}")
            files[-1].write_bytes(image)
    return files


def _figures(
    board: Board, conditions: Mapping[str, Mapping[str, Any]], width_mm: float
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Names and figures of a board; `conditions` are those of the plan, without what was measured on their frames."""
    of = re.sub(r"[^\w.-]+", "-", f"{board.data}-{board.protocol}" if board.protocol else board.data)
    label = board.heading
    costs = drawn(board, board.primary).assign(x=drawn(board, LATENCY)["y"])
    costs = costs[(costs["x"] > 0) & costs["y"].notna() & ~costs["ceiling"]]
    if len(costs):
        yield (
            f"latency-{of}",
            points(costs, width_mm=width_mm, x_label="latency of one frame (ms)", y_label=label),
        )
    for name, along in sweeps(conditions):
        rows = drawn(board, board.primary, list(along))
        rows = rows[(rows["kind"] != "row") & ~rows["ceiling"] & rows["y"].notna()]
        if not len(rows):
            continue
        rows = rows.assign(x=rows["panel"].map(along).astype(float), panel="", picked=False)
        log = min(along.values()) > 0 and max(along.values()) >= LOG_FROM * min(along.values())
        axis = name.replace("_per_um2", " (1/µm²)").replace("_", " ")
        yield f"{name}-{of}", lines(rows, width_mm=width_mm, x_label=axis, y_label=label, log=log)
    lambdas = lambda_rows(board)
    lambdas = lambdas[lambdas["y"].notna()]
    if len(lambdas):
        styles = pd.Series(pd.factorize(lambdas["label"])[0], lambdas.index)
        rows = lambdas.assign(style=styles)
        words = {"x_label": "λ (unit mass)", "y_label": f"{label} (validation)"}
        yield f"lambda-{of}", lines(rows, width_mm=width_mm, log=True, **words)
    if len(steps := profile_rows(board)):
        yield f"profile-{of}", standings(partial(draw_profiles, frame=tidy(steps), x_label=label), width_mm, HEIGHT_MM)
    if not isinstance(found := standing([board]), str):
        told: dict[str, Any] = {"frame": tidy(found.rows), "groups": found.groups, "critical": found.ranks.critical}
        ranked = partial(draw_ranks, **told, x_label=rank_label(found))
        yield f"ranks-{of}", standings(ranked, width_mm, ROW_MM * (len(found.rows) + 3))


def sweeps(facts: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, dict[str, float]]]:
    """Facts along which conditions differ in nothing else, with each condition's value."""
    numeric = {
        name: {condition: value for condition, of in facts.items() if (value := finite(of.get(name))) is not None}
        for name in dict.fromkeys(name for of in facts.values() for name in of)
        if name not in AMOUNTS
    }
    varying = [name for name, values in numeric.items() if len(set(values.values())) > 1]
    found = []
    for name in varying:
        groups: dict[str, dict[str, float]] = {}
        for condition, value in numeric[name].items():
            rest = [(other, numeric[other].get(condition)) for other in varying if other != name]
            groups.setdefault(repr(rest), {})[condition] = value
        along = max(groups.values(), key=_length)
        if _length(along) > 1 and len(along) == _length(along):
            found.append((name, along))
    return found


def _length(along: Mapping[str, float]) -> int:
    return len(set(along.values()))
