"""What each number format costs in score and gives in time: one line per model, one column per runtime and format."""

from collections.abc import Mapping
from dataclasses import dataclass

from smlmbench.report.devices import NAME, Timing, reasons, timings
from smlmbench.report.model import Board
from smlmbench.report.tables import Cell, Column, Table
from smlmbench.report.words import milliseconds, number, title

SINGLE = "fp32"
# A reason that begins so is the gate's; what a runtime cannot do at all has no column, and stands with all timings.
JUDGED = "efficiency "


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """A column: number format and runtime on a device."""

    number_format: str
    runtime: str
    device: str

    @property
    def heading(self) -> str:
        """For people."""
        return f"{self.number_format}, {self.runtime}" + (f", {self.device}" if self.device != "cpu" else "")


def formats_table(board: Board) -> Table | None:
    """Score and time of every number format that was tried, at the smallest frame; None where only fp32 was.

    A reduced format is compared with fp32 on the same frames by the same repeat, so it stands beside that score.
    """
    found = [one for one in timings(board) if one.number_format in ("fp32", "bf16", "int8")]
    told: dict[tuple[str, Kind], str] = {}
    for entry, metric, reason in reasons(board):
        parts = NAME.match(f"{metric}_latency_ms")
        if parts is not None and parts["number_format"] != SINGLE:
            told.setdefault((entry.label, Kind(parts["number_format"], parts["runtime"], parts["device"])), reason)
    kinds = {Kind(one.number_format, one.runtime, one.device) for one in found if one.number_format != SINGLE}
    kinds |= {kind for (_, kind), reason in told.items() if reason.startswith(JUDGED)}
    if not kinds:
        return None
    size = min(one.size_px for one in found) if found else 0
    table = Table(caption=f"Number formats on {board.data}: {title(board.primary)} and time, frames of {size} px")
    table.columns = [
        Column("Model", numeric=False),
        Column(SINGLE, "small: soonest of the runtimes"),
        *(Column(kind.heading, "small: fp32 on the same frames, and the time") for kind in sorted(kinds)),
    ]
    timed = {
        (one.entry.label, Kind(one.number_format, one.runtime, one.device)): one for one in found if one.size_px == size
    }
    for entry in board.entries:
        own = {kind: one for (label, kind), one in timed.items() if label == entry.label}
        single = [one for kind, one in own.items() if kind.number_format == SINGLE]
        if entry.is_reference or not (own or any(label == entry.label for label, _ in told)):
            continue
        cells = [Cell(entry.label), _single(single, board)]
        cells += [_reduced(own.get(kind), told.get((entry.label, kind), "not tried"), board) for kind in sorted(kinds)]
        table.rows.append(("pick", cells))
    return table


def _single(found: list[Timing], board: Board) -> Cell:
    if not found:
        return Cell("–")
    best = min(found, key=lambda one: one.latency_ms)
    return Cell(number(best.score(board), 2), f"{milliseconds(best.latency_ms)} ms, {best.runtime}")


def _reduced(one: Timing | None, reason: str, board: Board) -> Cell:
    if one is None:
        return Cell("n/a", reason, hint=f"n/a: {reason}")
    numbers: Mapping[str, float] = one.numbers
    single = numbers.get(f"{board.primary}_fp32")
    beside = f"fp32 {number(single, 2)}; " if single is not None else ""
    return Cell(number(numbers.get(board.primary), 2), f"{beside}{milliseconds(one.latency_ms)} ms")
