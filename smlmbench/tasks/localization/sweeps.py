"""Sweeps over density: what each row reaches along it, specialist and generalist trainings apart, beside the limit.

PROTOCOL section 2: two arms, never one line; drawn against the isolated fraction too. The limit has no efficiency: in
the panel of recall it is the share of emitters that can be resolved, in that of errors the bound of those.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from smlmbench.tasks.contracts.sections import Drawing, Told

LEAST = 3  # different values are a sweep
PANELS = {"efficiency": "efficiency", "recall": "recall", "rmse_nm": "radial RMSE (nm)"}
LIMITS = {"recall": ("resolvable_fraction", "resolvable"), "rmse_nm": ("bound_nm", "bound")}
AXES = {"density_per_um2": ("emitters / µm² and frame", True), "isolated_fraction": ("isolated fraction", False)}
LIMIT = "limit"


def drawings(boards: Sequence[Told]) -> list[Drawing]:
    """One figure for each axis along which at least three conditions differ; none where nothing is swept."""
    boards = [replace(board, conditions=_swept(board)) for board in boards]
    made = []
    for fact, (x_label, log) in AXES.items():
        known = {f[fact] for board in boards for f in board.conditions.values() if isinstance(f.get(fact), int | float)}
        if len(known) >= LEAST:
            made.append(_drawn(boards, fact, x_label, log=log))
    return made


def _swept(board: Told) -> dict[str, Mapping[str, Any]]:
    """Its conditions but those of a robustness sheet."""
    return {name: facts for name, facts in board.conditions.items() if "axis" not in facts}


def _drawn(boards: Sequence[Told], fact: str, x_label: str, *, log: bool) -> Drawing:
    from smlmbench.figures import sweep

    arms = list(dict.fromkeys(["", *(board.arm for board in boards)]))
    rows = [*_rows(boards, fact, arms), *_limit(boards, fact)]
    named = dict.fromkeys(f"{row['label']} {arms[row['line']]}".strip() for row in rows)
    said = ", ".join(PANELS.values())
    text = f"{said} against {x_label}: {', '.join(named)}"
    arms_said = "; arms of the sweep are lines of their own" if len(arms) > 1 else ""
    beside = " Black: the share of emitters that can be resolved, and the bound of those (median, radial)."
    caption = f"Sweep: {said} against {x_label}{arms_said}. Grey: rows without training."
    limited = any(row["label"] == LIMIT for row in rows)
    return Drawing(caption + (beside if limited else ""), text, sweep(rows, arms, x_label=x_label, log=log))


def _rows(boards: Sequence[Told], fact: str, arms: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The pick of each model and every reference that is no bound, on each condition; a reference once."""
    seen = set()
    for board, metric in product(boards, PANELS):
        frame = board.frame
        shown = frame["picked"] | ((frame["kind"] == "reference") & ~frame["ceiling"])
        for one in frame[shown & (frame["metric"] == metric) & (frame["condition"] != "")].to_dict("records"):
            x = board.conditions.get(one["condition"], {}).get(fact)
            if not isinstance(x, int | float) or one["value"] is None:
                continue
            reference = one["kind"] == "reference"
            key = (one["model"], metric, x)
            if reference and key in seen:
                continue
            seen.add(key)
            place = {"panel": PANELS[metric], "label": one["model"], "x": x, "y": one["value"]}
            ends = {"low": one["low"], "high": one["high"], "style": one["style"]}
            kind = {"kind": "reference", "line": 0} if reference else {"kind": "pick", "line": arms.index(board.arm)}
            yield place | ends | kind


def _limit(boards: Sequence[Told], fact: str) -> Iterator[dict[str, Any]]:
    points = {}
    for board, metric in product(boards, LIMITS):
        for facts in board.conditions.values():
            x, y = facts.get(fact), facts.get(LIMITS[metric][0])
            if isinstance(x, int | float) and isinstance(y, int | float):
                points[metric, x] = y
    for (metric, x), y in points.items():
        yield {"panel": PANELS[metric], "label": LIMIT, "x": x, "y": y, "kind": "row", "line": 0}
