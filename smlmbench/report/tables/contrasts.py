"""What one setting changes: two lines that differ in that setting alone, side by side in score and latency."""

from dataclasses import dataclass
from typing import Any

from smlmbench.errors import SmlmBenchError
from smlmbench.registry import Catalog
from smlmbench.report.boards.intervals import gap
from smlmbench.report.boards.rows import canonical
from smlmbench.report.model import LATENCY, Board, Entry, Gap
from smlmbench.report.tables import Cell, Column, Table, changed, loss_of, sortable, tabulate
from smlmbench.report.words import decimals, milliseconds, number

LAMBDA = "weight"  # has a figure of its own
MOST = 60


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two lines that differ in one setting: `base` at the card's default (or the first value), `other` at another.

    Attributes:
        values, latencies_ms: Both values as written; of one frame at both.
        change: Paired difference other - base of the primary metric, mean over conditions.
    """

    setting: str
    base: Entry
    other: Entry
    values: tuple[str, str]
    change: Gap
    latencies_ms: tuple[float | None, float | None]


def contrasts(board: Board) -> list[Contrast]:
    """Every pair of scored lines of a board that differ in one setting of the network or of the loss."""
    catalog = Catalog() if board.asked.task is None else board.asked.task.catalog
    trained = [e for e in board.everything if not e.is_reference and e.scored_rows]
    found: list[Contrast] = []
    for block, room in (("settings", "models"), ("loss", "losses")):
        for key in dict.fromkeys(key for entry in trained for key in getattr(entry.rows[0], block) if key != LAMBDA):
            groups: dict[str, list[tuple[Any, Entry]]] = {}
            for entry in trained:
                if key in (held := getattr(entry.rows[0], block)):
                    groups.setdefault(_rest(entry, block, key), []).append((held[key], entry))
            for members in groups.values():
                default = _default(catalog, room, members[0][1], key)
                value, base = next((one for one in members if one[0] == default), members[0])
                for at, other in members:
                    if other is not base:
                        change = gap(other, base, board, board.primary, board.conditions)
                        latencies_ms = base.mean_of(LATENCY), other.mean_of(LATENCY)
                        found.append(Contrast(key, base, other, (str(value), str(at)), change, latencies_ms))
    return sorted(found, key=lambda one: (one.setting, one.base.name))[:MOST]


def _rest(entry: Entry, block: str, key: str) -> str:
    """All that two lines must share to differ in one setting alone."""
    row = entry.rows[0]
    labels = {name: value for name, value in row.labels.items() if name != "repeat"}
    blocks = {name: dict(getattr(row, name)) for name in ("settings", "loss", "output", "training", "method")}
    blocks[block].pop(key)
    return canonical([labels, blocks])


def _default(catalog: Catalog, room: str, entry: Entry, key: str) -> Any:
    name = entry.name if room == "models" else entry.rows[0].labels.get("loss", "")
    try:
        return catalog.card(room, name).settings[key].default
    except (SmlmBenchError, KeyError):  # a plug-in that is not given to the report
        return None


def contrast_table(board: Board) -> Table | None:
    """The contrasts of a board as a table; None where no two lines differ in one setting alone."""
    found = contrasts(board)
    if not found:
        return None
    heading = board.heading
    places = decimals(board.score(entry) for one in found for entry in (one.base, one.other))
    paired = "paired over repeats and frames, with its interval"
    columns = [
        Column("Row", lambda one: Cell(one.base.name, loss_of(one.base)), "everything else is the same", numeric=False),
        Column("Setting", lambda one: Cell(one.setting, " → ".join(one.values)),
               "the first value is the card's default", numeric=False),
        Column(heading, lambda one: number(board.score(one.base), places), "at the first value"),
        Column(f"{heading} changed", lambda one: number(board.score(one.other), places), "at the second value"),
        Column("Difference", lambda one: changed(one.change, places), paired),
        Column("Latency (ms)", _latency, "median per frame, batch 1, at both values"),
        Column("Times as slow", _slower, "latency at the second value over that at the first"),
    ]  # fmt: skip
    return tabulate(f"What one setting changes on {board.data}", columns, found, lambda _: "")


def _latency(one: Contrast) -> Cell:
    return sortable(" → ".join(map(milliseconds, one.latencies_ms)), one.latencies_ms[1])


def _slower(one: Contrast) -> Cell:
    before, after = one.latencies_ms
    ratio = None if not before or after is None else after / before
    return sortable("–" if ratio is None else f"{ratio:.2f}", ratio)
