"""Everything on the boards as one tidy frame: a line for each row x condition x number.

Columns say what a row is (task, data, protocol, label, model, loss, lambda, method, teacher, kind, status ...), how it
stands (picked, rank, verdict ...) and one number of it: condition (empty: the mean over conditions, or a number that
belongs to none), metric, value, low, high, reason (why there is no value), unit, direction. A row without any number
has one line with its reason. Tables and figures of the page, leaderboard.json and leaderboard.csv are its pivots.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from smlmbench.report.boards.rows import canonical
from smlmbench.report.model import BLOCKS, LABELS, LATENCY, Board, Entry, Estimate, Gap, Row
from smlmbench.report.row import as_number

NUMBER = ["condition", "metric", "value", "low", "high", "reason", "unit", "direction"]
ROW = ["task", "data", "protocol", "label", "model", "loss", "lambda", "method", "teacher", "kind", "status", "control"]
PLACE = ["picked", "rank", "verdict", "unadjusted"]
STANDS = ["trials", "on_front", "best", "style"]
BEHIND = ["behind", "behind_low", "behind_high", "p_value", "p_adjusted"]
LINE = ["line", *ROW, *PLACE, "repeats", *STANDS, *BEHIND, "fidelity", "knows", "context_frames", "gives", "ceiling",
        "flags"]  # fmt: skip
RUN = [*ROW, *PLACE, "repeat", "run_id", "row_id", "current"]
# Numbers of a line that belong to no condition: unit and direction.
COSTS = {LATENCY: ("ms", "down"), "n_params": ("", "none"), "samples_seen": ("", "none"), "train_s": ("s", "none")}
CSV = ["kind", "status", "reason", "row_id", "run_id", "eval_current", "protocol", "picked", "rank", "verdict",
       "unadjusted", "flags", *LABELS, "knows", "context_frames", "gives", *BLOCKS]  # fmt: skip
# A spreadsheet runs text that begins with one of these as a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def lines(boards: Sequence[Board], rows: Sequence[Row] = ()) -> pd.DataFrame:
    """Lines of boards: means over repeats with their intervals, and those of `rows` that have no line (skipped ones).

    Intervals hold frames and repeats where a run stores one over frames, else the repeats alone. `behind` is the paired
    difference to the first, `p_value` that of no difference, `p_adjusted` the same for all pairs of the board;
    `unadjusted` is the verdict without that. `line` counts the lines, `style` numbers the colours of the figures.
    """
    every = [(board, entry) for board in boards for entry in board.everything]
    on_board = {id(row) for _, entry in every for row in entry.rows}
    starts = np.cumsum([0, *(len(board.everything) for board in boards)])
    measured = [of.assign(line=of["line"] + start) for start, of in zip(starts, map(numbers, boards), strict=False)]
    named = [_line(board, entry) for board, entry in every]
    named += [_named(row, None, None) | {"repeats": 0, "why": row.reason} for row in rows if id(row) not in on_board]
    return _joined([{"line": line, **one} for line, one in enumerate(named)], measured, "line", LINE)


def of(board: Board) -> pd.DataFrame:
    """Lines of a finished board, made once."""
    if board.frame is None:
        board.frame = lines([board])
    return board.frame


def numbers(board: Board) -> pd.DataFrame:
    """Numbers of a board's lines, which do not change any more once it has lines; made once."""
    if board.numbers is None:
        found = [{"line": at, **one} for at, entry in enumerate(board.everything) for one in _numbers(board, entry)]
        board.numbers = _table(found, "line")
    return board.numbers


def drawn(board: Board, metric: str, conditions: Sequence[str] = ("",)) -> pd.DataFrame:
    """What a figure draws of a number: a row for each line and condition (`panel`), y NaN where there is none."""
    frame = of(board)
    every = frame.drop(columns=NUMBER).drop_duplicates("line")
    every["kind"] = every["kind"].replace("cell", "row").mask(every["picked"], "pick")
    own = frame.loc[frame["metric"] == metric, ["line", "condition", "value", "low", "high"]]
    whole = pd.DataFrame({"condition": conditions}).merge(every, how="cross").merge(own, "left", ["line", "condition"])
    return whole.rename(columns={"condition": "panel", "value": "y", "on_front": "front"})


def runs(boards: Sequence[Board], rows: Sequence[Row]) -> pd.DataFrame:
    """Single runs: every logged number of every planned row, those outside the test under the store's own names."""
    named, logged = _runs(boards, rows)
    return _joined(named, [_table(logged, "at")], "at", RUN)


def _table(found: Sequence[Mapping[str, Any]], key: str) -> pd.DataFrame:
    return pd.DataFrame(found, columns=[key, *NUMBER]).astype({"value": float, "low": float, "high": float})


def _joined(
    named: Sequence[Mapping[str, Any]], found: Sequence[pd.DataFrame], key: str, columns: Sequence[str]
) -> pd.DataFrame:
    left = pd.DataFrame(named, columns=list(dict.fromkeys([key, *columns, "why"])))
    whole = left.merge(pd.concat(found) if found else _table((), key), on=key, how="left")
    whole["reason"] = whole["reason"].fillna(whole["why"])
    texts = dict.fromkeys(("condition", "metric", "reason", "unit", "direction"), "")
    return whole.fillna(texts)[[*columns, *NUMBER]]


def _named(row: Row, board: Board | None, entry: Entry | None) -> dict[str, Any]:
    """What a row is and how its line stands."""
    line = entry if entry is not None else Entry(row.labels.get("model", ""), ("", "", ""), [row])
    return {
        **{name: row.labels.get(name, "") for name in LABELS},
        **({} if board is None else {"task": board.asked.name}),
        **{name: getattr(row, name) for name in ("protocol", "kind", "status", "control", "fidelity", "gives")},
        **{name: getattr(line, name) for name in ("label", *PLACE)},
        "knows": ", ".join(row.knows),
        "context_frames": row.context_frames,
        "flags": "; ".join(line.flags),
    }


def _line(board: Board, entry: Entry) -> dict[str, Any]:
    states = Counter(row.status for row in entry.rows)
    several = [f"{count} {status}" for status, count in states.items()]
    gap = Gap() if entry.gap is None else entry.gap.turned
    return {
        **_named(entry.rows[0], board, entry),
        "protocol": board.protocol,
        "status": ", ".join(states if len(states) == 1 else several),
        "repeats": len(entry.scored_rows),
        **{name: getattr(entry, name) for name in STANDS},
        "ceiling": entry.rows[0].ceiling,
        "why": next((row.reason for row in entry.rows if row.reason), ""),
        **dict(zip(BEHIND, (gap.value, gap.low, gap.high, gap.p_value, gap.p_adjusted), strict=True)),
    }


def _numbers(board: Board, entry: Entry) -> Iterator[dict[str, Any]]:
    found = {
        (where, metric): (entry.get(where, metric), _facts(board, metric))
        for where in (None, *board.facts)
        for metric in {board.primary: None, **board.asked.measured}
    }
    for metric, (unit, direction) in COSTS.items():
        value = entry.mean_of(metric) if "/" in metric else entry.mean_param(metric)
        found[None, metric] = Estimate(value), {"unit": unit, "direction": direction}
    found[None, f"val/{board.primary}"] = Estimate(entry.validation), _facts(board, board.primary)
    for (where, metric), (one, facts) in found.items():
        asked = product(entry.scored_rows, [where] if where else board.conditions)
        told = (row.why_absent(name, metric) for row, name in asked if one.value is None)
        reason = next(filter(None, told), "")
        if one.value is not None or reason:
            ends = {"value": one.value, "low": one.low, "high": one.high, "reason": reason}
            yield {"condition": where or "", "metric": metric, **ends, **facts}


def _facts(board: Board, metric: str) -> dict[str, str]:
    facts = board.asked.measured.get(metric, {})
    return {"unit": str(facts.get("unit") or ""), "direction": str(facts.get("direction") or "")}


def _runs(boards: Sequence[Board], rows: Sequence[Row]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Of every row what it is, and its numbers by the name that the store gives them (`stored`)."""
    place = {id(row): (board, entry) for board in boards for entry in board.everything for row in entry.rows}
    named: list[dict[str, Any]] = []
    numbers: list[dict[str, Any]] = []
    for at, row in enumerate(rows):
        board, entry = place.get(id(row), (None, None))
        run_id = row.run.run_id if row.run is not None else ""
        known = _named(row, board, entry)
        known |= {"picked": known["picked"] and row.scored, "repeat": row.labels.get("repeat", ""), "run_id": run_id}
        named.append({"at": at, **known, "row_id": row.row_id, "current": row.current, "why": row.reason})
        if row.run is not None:
            numbers += [{"at": at, **one} for one in _stored(row, board)]
    return named, numbers


def _stored(row: Row, board: Board | None) -> Iterator[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {
        name: {"condition": "", "metric": name.removeprefix("test/"), "value": value, "reason": ""}
        for name, value in (row.run.metrics.items() if row.run is not None else ())
    }
    for condition in board.facts if board is not None else ():
        prefix = f"test.{condition}/"
        parts = [name for part in ("values", "intervals", "reasons") for name in row.stored("test", condition, part)]
        logged = [name.removeprefix(prefix) for name in found if name.startswith(prefix)]
        for metric in dict.fromkeys([*logged, *parts]):
            low, high = row.interval(condition, metric) or (None, None)
            value, reason = row.value(condition, metric), row.why_absent(condition, metric)
            ends = {"value": value, "low": low, "high": high, "reason": reason}
            found[prefix + metric] = {"condition": condition, "metric": metric, **ends}
    for name, one in found.items():
        facts = _facts(board, one["metric"].removeprefix("val/")) if board is not None else {}
        yield {"stored": name, **one, **facts}


def csv_text(rows: Sequence[Row], boards: Sequence[Board]) -> str:
    """leaderboard.csv: a line per cell, reference and skipped combination; columns carry the names of the store.

    Numbers of another protocol than the first board's have its id in the name of their column, so that two protocols
    never share one. Intervals are `<name>_low` and `<name>_high`; why a number is absent is `<name>_reason`.
    """
    named, logged = _runs(boards, rows)
    main = boards[0].protocol if boards else ""
    whole = pd.DataFrame(named).set_index("at").rename(columns={"why": "reason"})
    whole["eval_current"] = whole.pop("current").map({True: "yes", False: "no"})
    whole["picked"] = whole["picked"].map({True: "yes", False: "no"})
    blocks = {name: [canonical(getattr(row, block)) for row in rows] for name, block in BLOCKS.items()}
    params = [
        {f"param.{name}": value for name, value in row.run.params.items() if name not in LABELS} if row.run else {}
        for row in rows
    ]
    whole = whole.assign(**blocks).join(pd.DataFrame(params))
    if logged:
        other = {at: "" if row.protocol in ("", main) else f" [{row.protocol}]" for at, row in enumerate(rows)}
        tall = pd.DataFrame(logged).reindex(columns=["at", "stored", "value", "low", "high", "reason"])
        tall = tall.melt(["at", "stored"], var_name="part", value_name="held").dropna(subset="held")
        tall = tall[tall["held"] != ""]
        ends = tall["part"].map({"value": "", "low": "_low", "high": "_high", "reason": "_reason"})
        tall["stored"] = tall["stored"] + ends + tall["at"].map(other)
        whole = whole.join(tall.pivot(index="at", columns="stored", values="held"))
    names = [*CSV, *sorted(set(whole.columns) - {*CSV, "label"})]
    return whole[names].map(harmless).to_csv(index=False, lineterminator="\n")


def harmless(value: Any) -> Any:
    """Text that no spreadsheet runs; numbers, also as text, stay as they are."""
    runs = isinstance(value, str) and value.startswith(FORMULA) and as_number(value) is None
    return f"'{value}" if runs else value
