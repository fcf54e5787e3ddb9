"""Error and spread of every row against the complexity of the background."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from smlmbench.tasks.contracts.sections import Drawing, Told

FACT, LEAST = "octaves", 2  # different values are a sweep
PANELS = {
    "background_rmse": "background RMSE / mean",
    "fit_spread_nm": "spread of the fixed fit (nm)",
    "fit_photons_bias": "photons: bias (%)",
}


def drawings(boards: Sequence[Told]) -> list[Drawing]:
    """A figure for each data entry whose conditions differ in complexity."""
    swept = [board for board in boards if len(set(_complexity(board).values())) >= LEAST]
    return [_drawn(board.data, rows) for board in swept if (rows := list(_rows(board)))]


def _complexity(board: Told) -> Mapping[str, float]:
    """Octaves of each condition that has one number of them."""
    known = {name: facts.get(FACT) for name, facts in board.conditions.items() if "axis" not in facts}
    return {name: float(count) for name, count in known.items() if isinstance(count, int | float)}


def _drawn(data: str, rows: Sequence[Mapping[str, Any]]) -> Drawing:
    from smlmbench.figures import sweep

    said, named = ", ".join(PANELS.values()), ", ".join(dict.fromkeys(row["label"] for row in rows))
    caption = f"{data}: {said} against the complexity of the background (octaves of gradient noise)."
    text = f"{caption} Rows: {named}"
    drawn = sweep(rows, [""] * (1 + max(row["line"] for row in rows)), x_label="octaves", log=False)
    return Drawing(f"{caption} Black: the true background subtracted. Grey: rows without training.", text, drawn)


def _rows(board: Told) -> Iterator[dict[str, Any]]:
    """The pick of each model, the references, and as what none can pass those that were told the truth."""
    at, frame = _complexity(board), board.frame
    shown = frame[(frame["picked"] | (frame["kind"] == "reference")) & frame["condition"].isin(list(at))]
    grey = list(dict.fromkeys(shown[shown["kind"] == "reference"]["model"]))  # told apart by their dashes
    for metric, panel in PANELS.items():
        for one in shown[shown["metric"] == metric].to_dict("records"):
            if one["value"] is None:
                continue
            kind = "row" if one["ceiling"] else "reference" if one["kind"] == "reference" else "pick"
            place = {"panel": panel, "label": one["model"], "x": at[one["condition"]], "y": one["value"]}
            line = grey.index(one["model"]) if kind == "reference" else 0
            yield place | {"low": one["low"], "high": one["high"], "style": one["style"], "kind": kind, "line": line}
