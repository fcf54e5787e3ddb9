"""What rows reach along the number of frames in the sparse image."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from smlmbench.tasks.contracts.sections import Drawing, Told

FACT = "sparse_frames"
PANELS = {"ms_ssim": "MS-SSIM", "hallucinated": "hallucinated mass", "rsp": "RSP"}
LEAST = 2  # different numbers of frames are a sweep
X_LABEL = "frames in the sparse image"


def drawings(boards: Sequence[Told]) -> list[Drawing]:
    """One figure where conditions differ in their number of frames; else none."""
    arms = list(dict.fromkeys(["", *(board.arm for board in boards)]))
    rows = [row for board in boards for row in _rows(board, arms)]
    if len({row["x"] for row in rows}) < LEAST:
        return []
    from smlmbench.figures import sweep

    said, named = ", ".join(PANELS.values()), ", ".join(dict.fromkeys(row["label"] for row in rows))
    caption = f"Gain with frames: {said} against the number of {X_LABEL}. Grey: rows without training."
    return [Drawing(caption, f"{said} against {X_LABEL}: {named}", sweep(rows, arms, x_label=X_LABEL))]


def frames_of(facts: Mapping[str, Any]) -> float | None:
    """Frames in the sparse images of a condition, None where they differ or are not known."""
    found = facts.get(FACT)
    return float(found) if isinstance(found, int | float) else None


def _rows(board: Told, arms: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The pick of each model and every reference that was not told the truth, on each condition."""
    frame = board.frame
    known = frame[(frame["condition"] != "") & frame["value"].notna()]
    shown = known[known["picked"] | ((known["kind"] == "reference") & ~known["ceiling"])]
    for metric, one in product(PANELS, shown.to_dict("records")):
        x = frames_of(board.conditions.get(one["condition"], {}))
        if one["metric"] != metric or x is None:
            continue
        ends = {name: one[name] for name in ("low", "high", "style")}
        kind = "reference" if one["kind"] == "reference" else "pick"
        line = arms.index(board.arm) if kind == "pick" else 0
        place = {"panel": PANELS[metric], "label": one["label"], "x": x, "y": one["value"]}
        yield place | ends | {"kind": kind, "line": line}
