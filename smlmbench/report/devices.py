"""Device x runtime x number format: every timing of a board, and the best model that fits a time for one frame."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from smlmbench.addresses import command as command_line
from smlmbench.report.leaderboard import boards_of
from smlmbench.report.model import Board, Entry, Record, Row
from smlmbench.report.words import milliseconds, recipe
from smlmbench.tracking.tags import NOT_TIMED

NAME = re.compile(
    r"^device/(?P<device>[a-z]+)_(?P<runtime>.+)_(?P<number_format>fp32|fp64|bf16|int8)_(?P<size>\d+)px_latency_ms$"
)
SINGLE = "fp32"
PLAIN = "eager"  # the plain loop, which all other ways have to beat
TWIN = f"_{SINGLE}"  # suffix of the number of fp32 beside that of a reduced format
REAL_TIME_MS = (10.0, 30.0)
CLASSICAL = "classical"


@dataclass(frozen=True, slots=True)
class Timing:
    """One line: a model on a device by a runtime in a number format at a size.

    Attributes:
        numbers: latency_ms, q1_ms, frames_per_s ... by name; reduced formats carry their own scores, and with the
            suffix `TWIN` those of fp32 on the same frames.
        slower: Why it is no way to save time, or empty; see `slower`.
    """

    entry: Entry
    row: Row
    device: str
    runtime: str
    number_format: str
    size_px: int
    numbers: Mapping[str, float]
    slower: str = ""

    @property
    def way(self) -> tuple[str, str]:
        """Runtime and number format."""
        return self.runtime, self.number_format

    @property
    def latency_ms(self) -> float:
        """Median for one frame, network alone."""
        return self.numbers["latency_ms"]

    def stream_ms(self, exposure_ms: float) -> float:
        """From the end of a frame's exposure to its answer on a stream, with the later frames that are awaited."""
        return self.latency_ms + self.numbers.get("waits_frames", 0.0) * exposure_ms

    def score(self, board: Board) -> float | None:
        """The primary metric of the line; of a reduced format with the difference that its gate measured.

        The gate sees one repeat, the line is a mean over repeats: only the difference can be carried over.
        """
        line = board.score(self.entry)
        own, single = self.numbers.get(board.primary), self.numbers.get(board.primary + TWIN)
        return line if line is None or own is None or single is None else line + own - single


def slower(way: tuple[str, str], latency_ms: float, timed: Mapping[tuple[str, str], float]) -> str:
    """Why a runtime and number format are no way to save time: a simpler way was faster, by measurement; empty if none.

    `timed` are the latencies of the same network on the same device at the same size, by runtime and number format.
    """
    runtime, number_format = way
    for other in ((runtime, SINGLE), (PLAIN, number_format), (PLAIN, SINGLE)):
        if other != way and latency_ms > timed.get(other, latency_ms):
            both = f"{milliseconds(latency_ms)} ms against {milliseconds(timed[other])} ms"
            return f"slower than {' in '.join(other)} here ({both})"
    return ""


def timings(board: Board) -> list[Timing]:
    """Every timing of the picks and references of a board; of later repeats reduced formats alone."""
    rows = [(entry, row) for entry in board.entries for row in entry.scored_rows]
    made = []
    for entry, row in sorted(rows, key=lambda pair: pair[1] is not pair[0].scored_rows[0]):
        metrics = row.run.metrics if row.run is not None else {}
        for found in filter(None, map(NAME.match, sorted(metrics))):
            device, runtime, number_format, size = found.groups()
            stem = found[0].removesuffix("latency_ms")
            numbers = {key.removeprefix(stem): value for key, value in metrics.items() if key.startswith(stem)}
            if row is entry.scored_rows[0] or number_format not in (SINGLE, "fp64"):
                made.append(Timing(entry, row, device, runtime, number_format, int(size), numbers))
    timed: dict[tuple[object, ...], dict[tuple[str, str], float]] = {}
    for one in made:
        timed.setdefault((id(one.entry), one.device, one.size_px), {}).setdefault(one.way, one.latency_ms)
    beside = (timed[id(one.entry), one.device, one.size_px] for one in made)
    return [replace(one, slower=slower(one.way, one.latency_ms, ways)) for one, ways in zip(made, beside, strict=True)]


def reasons(board: Board) -> Iterator[tuple[Entry, str, str]]:
    """What was not timed and why: entry, name of the metric, reason; each once."""
    for entry in board.entries:
        first: dict[str, str] = {}
        for row in entry.scored_rows:
            try:
                told = json.loads(row.run.tags.get(NOT_TIMED, "{}")) if row.run is not None else {}
            except ValueError:
                continue
            for metric, reason in sorted(told.items()):
                first.setdefault(metric, str(reason))
        yield from ((entry, metric, reason) for metric, reason in first.items())


@dataclass(frozen=True, slots=True)
class Fitting:
    """The best model within a time: the timing, its score, and the command that runs it on a movie."""

    data: str
    timing: Timing
    score: float
    command: str

    @property
    def sentence(self) -> str:
        """For people."""
        one = self.timing
        return (
            f"Within the time on {self.data}: {recipe(one.entry)} with {one.runtime} in {one.number_format} on "
            f"{one.device}, {milliseconds(one.latency_ms)} ms for a frame of {one.size_px} px{self._late}, "
            f"score {self.score:.2f}."
        )

    @property
    def _late(self) -> str:
        waits = int(self.timing.numbers.get("waits_frames", 0))
        return f" and {waits} exposure{'s' if waits > 1 else ''} of waiting" if waits else ""

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        names = ("runtime", "number_format", "device", "size_px", "latency_ms")
        facts = {"model": self.timing.entry.name, **{name: getattr(self.timing, name) for name in names}}
        return facts | {"score": self.score, "command": self.command}


def best_within(board: Board, budget_ms: float, device: str, size_px: int | None = None) -> Fitting | None:
    """The timing with the best score whose single frame takes at most a budget; None where nothing fits.

    What a simpler way does faster is not offered.
    The device is cpu, cuda or mps; the size is the side of the frame, None takes the smallest that was timed.
    """
    found = [one for one in timings(board) if one.device == device]
    size = min((one.size_px for one in found), default=0) if size_px is None else size_px
    fitting = [
        (board.sign * score, -one.latency_ms, one)
        for one in found
        if one.size_px == size and one.latency_ms <= budget_ms and not one.slower
        if (score := one.score(board)) is not None
    ]
    if not fitting:
        return None
    score, _, one = max(fitting, key=lambda placed: placed[:2])
    return Fitting(board.data, one, board.sign * score, command(one, board))


def given_words(board: Board) -> tuple[str, ...]:
    """What a user gives to a network of a board, as words of a command line; of a task that is not here, a movie."""
    task, facts = board.asked.task, next(iter(board.facts.values()), {})
    return ("movie.tif", "--camera", "camera.yaml") if task is None else task.given_words(facts)


def command(one: Timing, board: Board) -> str:
    """The line that runs a timed row on what its task takes."""
    run, model, options = one.row.run, one.entry.name, ["--pixel-size-nm", "100"]
    if one.runtime != CLASSICAL:
        folder = run.artifact(f"reduced/{one.runtime}_{one.number_format}") if run is not None else None
        files = [path for path in sorted(folder.iterdir()) if path.suffix in (".onnx", ".xml")] if folder else []
        model, options = (run.run_id if run is not None else ""), ["--device", one.device]
        if files:
            model = str(files[0])
        else:
            options += ["--runtime", one.runtime]  # left out, predict would look for the soonest
            options += ["--number-format", one.number_format] if one.number_format != SINGLE else []
    return command_line("smlmbench", "predict", model, *given_words(board), *options)


def study_within(
    record: Record, budget_ms: float, device: str, size_px: int | None = None
) -> dict[str, Fitting | None]:
    """What fits on each data entry of a study, by the data's name."""
    return {board.data: best_within(board, budget_ms, device, size_px) for board in reversed(boards_of(record)[1])}
