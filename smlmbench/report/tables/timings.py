"""Every timing in one table: device, runtime and number format."""

from smlmbench.report.devices import NAME, REAL_TIME_MS, TWIN, Timing, reasons, timings
from smlmbench.report.model import Board, Entry
from smlmbench.report.tables import Cell, Column, Table, sortable, tabulate
from smlmbench.report.words import milliseconds, number

STREAM = "of exposures of 10 and 30 ms, from a frame's end to its answer: with those that the network awaits"
RATES = ("frames_per_s", "mpx_per_s")  # have columns of their own


def device_table(board: Board) -> Table | None:
    """All timings, the fastest of each size first, and what was not timed with its reason; None without any."""
    found = sorted(timings(board), key=lambda one: (one.size_px, one.device, one.latency_ms))
    if not found:
        return None
    names = dict.fromkeys(name for one in found for name in one.numbers)
    rates = [name for name in names if name.endswith("_per_s") and name not in RATES]
    twins = [name.removesuffix(TWIN) for name in names if name.endswith(TWIN)]
    waiting = any(one.numbers.get("waits_frames") for one in found)
    on_size = "of a reduced format its own; small: that of fp32 on the same frames"
    columns = [
        Column("Row", _row, numeric=False, choose="Model"),
        Column("Device", lambda one: one.device, numeric=False, choose="Device"),
        Column("Runtime", lambda one: one.runtime, numeric=False, choose="Runtime"),
        Column("Format", lambda one: one.number_format,
               "reduced formats stand here only where they passed the quality gate", numeric=False, choose="Format"),
        Column("Frame (px)", lambda one: sortable(str(one.size_px), one.size_px)),
        Column("Latency (ms)", _latency, "median of single frames, network alone; small: quartiles"),
        _time("p90 (ms)", "p90_ms"),
        Column("Against 10 and 30 ms", _real_time, "real-time lines: usual exposures", numeric=False),
        *([Column("On a stream (ms)", _stream, STREAM)] if waiting else []),
        _time("End to end (ms)", "end_to_end_ms", "per frame through the engine: network, read-out, summed image"),
        Column("Frames/s", _frames, "best batch; small: its size"),
        _amount("Mpixel/s", "mpx_per_s", "camera pixels"),
        *(_amount(board.section.also.get(name, f"{name.removesuffix('_per_s')}/s"), name) for name in rates),
        _time("CPU (ms)", "cpu_ms"),
        _time("First call (ms)", "first_ms"),
        _time("Load (ms)", "load_ms"),
        _amount("GFLOP", "gflops"),
        _amount("File (MB)", "file_bytes", unit=1e6),
        Column("Peak memory (MB)", _peak, "of a fresh process; small: without the program itself"),
        Column(board.heading, lambda one: _score(board, one), on_size),
        *(_twin(board, name, on_size) for name in twins if name != board.primary),
    ]  # fmt: skip
    caption = f"Timings on {board.data}: device, runtime and number format"
    table = tabulate(caption, columns, found, lambda one: "reference" if one.entry.is_reference else "pick")
    table.rows += [("row", _absent(*told, len(columns))) for told in reasons(board)]
    return table


def _time(title: str, name: str, hint: str = "") -> Column:
    return Column(title, lambda one: sortable(milliseconds(one.numbers.get(name)), one.numbers.get(name)), hint)


def _amount(title: str, name: str, hint: str = "", unit: float = 1.0) -> Column:
    return Column(title, lambda one: _three(one.numbers.get(name), unit), hint)


def _three(value: float | None, unit: float = 1.0) -> str:
    return milliseconds(None if value is None else value / unit)


def _row(one: Timing) -> Cell:
    return Cell(one.entry.label, run_id=one.row.run.run_id if one.row.run else "")


def _latency(one: Timing) -> Cell:
    low, high = (one.numbers.get(name) for name in ("q1_ms", "q3_ms"))
    span = f"{milliseconds(low)} to {milliseconds(high)}" if low is not None and high is not None else ""
    busy = "other programs kept the processor busy" if one.numbers.get("others", 0.0) > 0.2 else ""
    flags = tuple(filter(None, (one.slower, busy)))
    return Cell(milliseconds(one.latency_ms), span, flags=flags, sort=f"{one.latency_ms}")


def _real_time(one: Timing) -> str:
    kept = [f"{limit:g}" for limit in REAL_TIME_MS if one.latency_ms <= limit]
    return f"within {' and '.join(kept)}" if kept else "slower"


def _stream(one: Timing) -> str:
    return " and ".join(milliseconds(one.stream_ms(exposure)) for exposure in REAL_TIME_MS)


def _frames(one: Timing) -> Cell:
    batch = one.numbers.get("batch")
    return Cell(_three(one.numbers.get("frames_per_s")), f"batch {batch:.0f}" if batch else "")


def _peak(one: Timing) -> Cell:
    peak, program = (one.numbers.get(name) for name in ("peak_bytes", "program_bytes"))
    return Cell(_three(peak, 1e6), "" if peak is None or program is None else _three(peak - program, 1e6))


def _score(board: Board, one: Timing) -> Cell:
    own, single = (one.numbers.get(board.primary + suffix) for suffix in ("", TWIN))
    score = one.score(board) if own is None else own
    return Cell(number(score, 2), "" if single is None else number(single, 2), sort=f"{score}")


def _twin(board: Board, name: str, hint: str) -> Column:
    def read(one: Timing) -> Cell:
        single = one.numbers.get(name + TWIN)
        return Cell(_three(one.numbers.get(name)), "" if single is None else _three(single))

    return Column(board.section.also.get(name) or board.title(name), read, hint)


def _absent(entry: Entry, metric: str, reason: str, width: int) -> list[Cell]:
    found = NAME.match(f"{metric}_latency_ms")
    cells = [Cell(text) for text in (entry.label, *(found.groups() if found else (metric, "", "", "")))]
    return [*cells, Cell("n/a", reason, hint=f"n/a: {reason}"), *[Cell("")] * (width - len(cells) - 1)]
