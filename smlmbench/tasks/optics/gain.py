"""What a learned mask gains over the best of those that stay as they are, paired over scenes and repeats."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from smlmbench.tasks.contracts.sections import Along, Drawing, Told

if TYPE_CHECKING:
    import pandas as pd

PROFILE = "bounds"
MOST_NM = 100.0
LEARNED = "(learned)"  # in the labels of rows, whose networks name their setting `mask` as what competes apart


@dataclass(frozen=True, slots=True)
class Gain:
    """Of one network on one data entry, in points of the primary, up being better; NaN ends where none are known."""

    model: str
    over: str  # label of the best mask that is not learned
    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def said(self) -> str:
        """In words."""
        told = f"{self.value:+.2f}"
        if math.isfinite(self.low) and math.isfinite(self.high):
            told += f" ({self.low:+.2f} to {self.high:+.2f})"
        return f"{self.model}: the learned mask gains {told} over {self.over}"


def gains(frame: "pd.DataFrame", primary: str, sign: float) -> Iterator[Gain]:
    """Of every network of a board that has a learned mask and another one.

    The interval is that of the paired difference to the first row of the board, so it is known where the learned mask,
    or the best other one, is that row.
    """
    whole: Any = frame[(frame["metric"] == primary) & (frame["condition"] == "") & frame["value"].notna()]
    whole = whole[whole["picked"].astype(bool)]
    for model, rows in whole.groupby("model", sort=False):
        learned = rows["label"].str.contains(LEARNED, regex=False)
        ours, others = rows[learned], rows[~learned & rows["label"].str.contains("(", regex=False)]
        if not len(ours) or not len(others):
            continue
        own = ours.loc[(sign * ours["value"]).idxmax()]
        best = others.loc[(sign * others["value"]).idxmax()]
        low = high = math.nan
        if own["rank"] == 1:  # `behind` is the first less the row
            low, high = best["behind_low"], best["behind_high"]
        elif best["rank"] == 1:
            low, high = -own["behind_high"], -own["behind_low"]
        ends = sorted((sign * low, sign * high)) if math.isfinite(low) and math.isfinite(high) else (low, high)
        yield Gain(str(model), str(best["label"]), sign * float(own["value"] - best["value"]), *map(float, ends))


def drawings(boards: Sequence[Told], primary: str, sign: float) -> Iterator[Drawing]:
    """Bars of all masks of a data entry, the gain in the caption; none where no mask was learned."""
    from smlmbench.figures import bars

    for board in boards:
        found = list(gains(board.frame, primary, sign))
        if not found:
            continue
        frame = board.frame
        rows = frame[(frame["metric"] == primary) & frame["picked"].astype(bool) & frame["value"].notna()]
        several = len(board.conditions) > 1
        rows = rows[(rows["condition"] == "") | several]
        panels = rows["condition"].replace(
            "", "mean of the conditions" if several else next(iter(board.conditions), "")
        )
        drawn = rows.assign(panel=panels, y=rows["value"], kind="pick")
        said = "; ".join(one.said for one in found)
        points = "; ".join(f"{row['panel']} {row['label']} {row['y']:.3g}" for row in drawn.to_dict("records"))
        yield Drawing(
            f"Masks on {board.data}. {said} ({primary}, mean over the conditions; paired over scenes and repeats).",
            f"Bars of {primary} by mask: {points}",
            bars(drawn, x_label=primary),
        )


def bounds(lines: Sequence[Along]) -> Iterator[Drawing]:
    """Bounds of x, y and z over depth of all masks of a board, from its first condition; none where none is stored."""
    from smlmbench.figures import sweep

    known = [line for line in lines if any(PROFILE in one for one in line.profiles)]
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(one for one in known if one.condition == known[0].condition):
        for repeat in line.profiles:
            held = repeat.get(PROFILE, {})
            for axis in "xyz":
                points = zip(held.get("z_nm", ()), held.get(f"bound_{axis}_nm", ()), strict=True)
                of = {"panel": f"bound of {axis} (nm)", "label": line.label, "kind": line.kind, "style": line.style}
                rows += [{**of, "x": z, "y": y, "line": number} for z, y in points if y is not None and y <= MOST_NM]
            break  # of the first repeat: learned masks differ, and a mean of them is no mask
    if rows:
        names = list(dict.fromkeys(row["label"] for row in rows))
        yield Drawing(
            f"Least standard deviations of a lone emitter over depth, behind each mask (of the first repeat), on "
            f"{known[0].condition}; those above {MOST_NM:g} nm are left out.",
            f"Bounds of x, y and z against depth of {', '.join(names)}",
            sweep(rows, [""] * len(names), x_label="depth (nm)", log=False),
        )
