"""What each number format costs in score and gives in time: one line per model, one column per runtime and format."""

from smlmbench.report.devices import NAME, SINGLE, TWIN, Timing, reasons, timings
from smlmbench.report.model import Board, Entry
from smlmbench.report.tables import Cell, Column, Table, tabulate
from smlmbench.report.words import milliseconds, number

Kind = tuple[str, ...]
"""A column: number format, runtime, device."""


def formats_table(board: Board) -> Table | None:
    """Score and time of every number format that was tried, at the smallest frame; None where only fp32 was.

    A reduced format is compared with fp32 on the same frames by the same repeat, so it stands beside that score.
    """
    found = [one for one in timings(board) if one.number_format in (SINGLE, "bf16", "int8")]
    told: dict[tuple[str, Kind], str] = {}
    for entry, metric, reason in reasons(board):
        parts = NAME.match(f"{metric}_latency_ms")
        if parts is not None and parts["number_format"] != SINGLE:
            told.setdefault((entry.label, parts.group("number_format", "runtime", "device")), reason)
    # A reason that begins with the score is the gate's; what a runtime cannot do at all stands with all timings alone.
    kinds = {kind for (_, kind), reason in told.items() if reason.startswith(f"{board.primary} ")}
    kinds |= {_kind(one) for one in found if one.number_format != SINGLE}
    if not kinds:
        return None
    size = min((one.size_px for one in found), default=0)
    timed = {(one.entry.label, _kind(one)): one for one in found if one.size_px == size}

    def single(entry: Entry) -> Cell:
        own = [one for (label, _), one in timed.items() if label == entry.label and one.number_format == SINGLE]
        best = min(own, key=lambda one: one.latency_ms, default=None)
        if best is None:
            return Cell("–")
        return Cell(number(best.score(board), 2), f"{milliseconds(best.latency_ms)} ms, {best.runtime}")

    def reduced(kind: Kind) -> Column:
        def read(entry: Entry) -> Cell:
            one, reason = timed.get((entry.label, kind)), told.get((entry.label, kind), "not tried")
            if one is None:
                return Cell("n/a", reason, hint=f"n/a: {reason}")
            beside = one.numbers.get(board.primary + TWIN)
            text = f"{milliseconds(one.latency_ms)} ms"
            small = text if beside is None else f"fp32 {number(beside, 2)}; {text}"
            flags = (one.slower,) if one.slower else ()
            return Cell(number(one.numbers.get(board.primary), 2), small, flags=flags)

        heading = ", ".join(kind if kind[2] != "cpu" else kind[:2])
        return Column(heading, read, "small: fp32 on the same frames, and the time")

    columns = [
        Column("Model", lambda entry: entry.label, numeric=False),
        Column(SINGLE, single, "small: soonest of the runtimes"),
        *(reduced(kind) for kind in sorted(kinds)),
    ]
    labels = {label for label, _ in (*timed, *told)}
    shown = [entry for entry in board.entries if not entry.is_reference and entry.label in labels]
    caption = f"Number formats on {board.data}: {board.heading} and time, frames of {size} px"
    return tabulate(caption, columns, shown)


def _kind(one: Timing) -> Kind:
    return one.number_format, one.runtime, one.device
