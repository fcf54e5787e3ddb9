"""What each number format costs in score and gives in time: one line per model, one column per runtime and format."""

from collections.abc import Mapping
from dataclasses import dataclass

from smlmbench.report.devices import NAME, SINGLE, TWIN, Timing, reasons, timings
from smlmbench.report.model import Board, Entry
from smlmbench.report.tables import Cell, Column, Table, tabulate
from smlmbench.report.words import milliseconds, number


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
    # A reason that begins with the score is the gate's; what a runtime cannot do at all stands with all timings alone.
    kinds |= {kind for (_, kind), reason in told.items() if reason.startswith(f"{board.primary} ")}
    if not kinds:
        return None
    size = min(one.size_px for one in found) if found else 0
    timed = {
        (one.entry.label, Kind(one.number_format, one.runtime, one.device)): one for one in found if one.size_px == size
    }

    def single(entry: Entry) -> Cell:
        own = [one for (label, kind), one in timed.items() if label == entry.label and kind.number_format == SINGLE]
        return _single(own, board)

    def reduced(kind: Kind) -> Column:
        def read(entry: Entry) -> Cell:
            reason = told.get((entry.label, kind), "not tried")
            return _reduced(timed.get((entry.label, kind)), reason, board)

        return Column(kind.heading, read, "small: fp32 on the same frames, and the time")

    columns = [
        Column("Model", lambda entry: entry.label, numeric=False),
        Column(SINGLE, single, "small: soonest of the runtimes"),
        *(reduced(kind) for kind in sorted(kinds)),
    ]
    labels = {label for label, _ in (*timed, *told)}
    shown = [entry for entry in board.entries if not entry.is_reference and entry.label in labels]
    caption = f"Number formats on {board.data}: {board.title(board.primary)} and time, frames of {size} px"
    return tabulate(caption, columns, shown)


def _single(found: list[Timing], board: Board) -> Cell:
    if not found:
        return Cell("–")
    best = min(found, key=lambda one: one.latency_ms)
    return Cell(number(best.score(board), 2), f"{milliseconds(best.latency_ms)} ms, {best.runtime}")


def _reduced(one: Timing | None, reason: str, board: Board) -> Cell:
    if one is None:
        return Cell("n/a", reason, hint=f"n/a: {reason}")
    numbers: Mapping[str, float] = one.numbers
    single = numbers.get(board.primary + TWIN)
    beside = f"fp32 {number(single, 2)}; " if single is not None else ""
    return Cell(number(numbers.get(board.primary), 2), f"{beside}{milliseconds(one.latency_ms)} ms")
