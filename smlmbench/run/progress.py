"""What a person sees while a study runs: one line per event and one live table on a terminal, plain lines elsewhere."""

import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

PLAIN_EVERY_S = 15.0
REFRESH_PER_S = 2.0
SHOWN_ROWS = 24
COLUMNS = {"running": 20, "state": 12, "step": 9, "loss": 7, "ETA": 7}  # least width, so that nothing jumps about
ONE = ""  # the row of a process that does one thing at a time


@dataclass(slots=True)
class _Row:
    """One piece of long work."""

    label: str
    state: str
    total: int
    done: int = 0
    note: str = ""
    first: tuple[int, float] | None = None
    moved_s: float = 0.0
    last_plain_s: float = field(default_factory=time.monotonic)

    def advance(self, done: int, total: int, note: str) -> None:
        self.moved_s = time.monotonic()
        if self.first is None:
            self.first = (done, self.moved_s)  # what an earlier command has done says nothing about the pace
        self.done, self.total, self.note = done, total, note

    def eta_s(self) -> float | None:
        """Seconds to the end at the pace so far, or None where there is no pace yet."""
        if self.first is None or self.done <= self.first[0]:
            return None
        left_s = (self.moved_s - self.first[1]) * (self.total - self.done) / (self.done - self.first[0])
        return max(0.0, left_s - (time.monotonic() - self.moved_s))  # counts down between two words of a worker


class Reporter:
    """Prints to standard error, so that `--json` on standard output stays clean."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty() and not quiet
        self._live: Live | None = None
        self._rows: dict[str, _Row] = {}
        self._counts: dict[str, int] = {}
        self._lock = threading.RLock()

    def line(self, text: str) -> None:
        """Print one line above the table."""
        if self._quiet:
            return
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False)
        else:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def start(self, label: str, total: int, state: str = "") -> None:
        """Begin a piece of long work in this process."""
        self.show(ONE, label, state, total)

    def advance(self, done: int, total: int, note: str = "") -> None:
        """Say how far the piece is."""
        self.moved(ONE, done, total, note)

    def stop(self) -> None:
        """End the piece, and the table with it where it has no other row."""
        self.drop(ONE)

    def show(self, key: str, label: str, state: str, total: int) -> None:
        """Begin a row of the table, or another state of it."""
        with self._lock:
            before = self._rows.get(key)
            self._rows[key] = row = _Row(label, state, total)
            if before is not None and before.label == label:
                row.last_plain_s = before.last_plain_s
            self._draw()

    def moved(self, key: str, done: int, total: int, note: str = "") -> None:
        """Say how far a row is."""
        with self._lock:
            row = self._rows.get(key)
            if row is None:
                return
            row.advance(done, total, note)
            now = time.monotonic()
            if self._terminal:
                self._draw()
            elif now - row.last_plain_s >= PLAIN_EVERY_S and done > 0:
                row.last_plain_s = now
                eta_s = row.eta_s()
                said = f"{row.state} " if row.state else ""
                left = "" if eta_s is None else f" (ETA {eta_s:.0f} s)"
                self.line(f"  {row.label}: {said}{done}/{total} {note}{left}")

    def drop(self, key: str) -> None:
        """End a row."""
        with self._lock:
            self._rows.pop(key, None)
            self._draw()

    def counts(self, counts: Mapping[str, int]) -> None:
        """Say how many cells are done, failed and left."""
        with self._lock:
            self._counts = dict(counts)
            self._draw()

    def close(self) -> None:
        """Take the table away."""
        with self._lock:
            self._rows.clear()
            self._counts.clear()
            self._draw()

    def _draw(self) -> None:
        if not self._terminal:
            return
        if not self._rows:
            if self._live is not None:
                self._live.stop()
                self._live = None
            return
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(
                get_renderable=self._table,
                console=Console(stderr=True),
                transient=True,
                refresh_per_second=REFRESH_PER_S,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()

    def _table(self) -> "Table":
        with self._lock:
            return table(self._rows, self._counts)

    def __enter__(self) -> "Reporter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def table(rows: Mapping[str, _Row], counts: Mapping[str, int]) -> "Table":
    """The live table: what runs, and how much is done and left."""
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    said = ", ".join(f"{count} {name}" for name, count in counts.items())
    grid = Table(box=SIMPLE, pad_edge=False, show_edge=False, caption=said or None, caption_justify="left")
    for name, width in COLUMNS.items():
        justify: Literal["left", "right"] = "right" if name in ("step", "ETA") else "left"
        # On a narrow terminal only a column that may wrap gives way: the name, whose text then is cut instead.
        grid.add_column(name, overflow="ellipsis", no_wrap=name != "running", justify=justify, min_width=width)
    for row in list(rows.values())[:SHOWN_ROWS]:
        step = f"{row.done}/{row.total}" if row.total > 1 or row.done else ""
        cells = (row.state, step, row.note.removeprefix("loss "), clock(row.eta_s()))
        grid.add_row(Text(row.label, no_wrap=True, overflow="ellipsis"), *(Text(cell) for cell in cells))
    return grid


def clock(seconds: float | None) -> str:
    """Time as h:mm:ss, or "" where it is not known."""
    if seconds is None:
        return ""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


class Relay(Reporter):
    """In a worker: passes on what its cell says, about once a second, and ends the cell where it shall stop."""

    EVERY_S = 1.0

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.cell_id = ""
        self._sent_s = 0.0

    def line(self, text: str) -> None:
        """Pass a line on."""
        self._tell(kind="line", text=text)

    def start(self, label: str, total: int, state: str = "") -> None:
        """Pass on that a piece of work begins."""
        self._sent_s = time.monotonic()
        self._tell(kind="show", label=label, total=int(total), state=state)
        self._stop_here()

    def advance(self, done: int, total: int, note: str = "") -> None:
        """Pass on how far it is.

        Raises:
            KeyboardInterrupt: The cell shall keep its state and end.
        """
        self._stop_here()
        now = time.monotonic()
        if now - self._sent_s >= self.EVERY_S:
            self._sent_s = now
            self._tell(kind="moved", done=int(done), total=int(total), note=note)

    def stop(self) -> None:
        """The row ends with its cell."""

    def _tell(self, **message: Any) -> None:
        from smlmbench.engine.link import current

        current().tell({"id": self.cell_id, **message})

    def _stop_here(self) -> None:
        from smlmbench.engine.link import current

        if current().stop.is_set():
            raise KeyboardInterrupt


def retell(reporter: Reporter, message: Mapping[str, Any], labels: Mapping[str, str]) -> None:
    """Show what a worker said of its cell.

    Args:
        reporter: What the user sees.
        message: From `Relay`, or from the engine.
        labels: A cell in one short line, by id.
    """
    key = str(message.get("id", ""))
    kind = message.get("kind")
    if kind == "line":
        reporter.line(str(message["text"]))
    elif kind == "begun":
        reporter.show(key, labels.get(key, key), "starting", 1)
    elif kind == "show":
        reporter.show(key, str(message["label"]), str(message["state"]), int(message["total"]))
    elif kind == "moved":
        reporter.moved(key, int(message["done"]), int(message["total"]), str(message["note"]))
    elif kind == "repeat":
        reporter.drop(key)
        reporter.line(f"{labels.get(key, key)}: {message['reason']}; it is repeated")
    elif kind == "stopping":
        reporter.line(f"stopping: {message['running']} running cells keep their state (Ctrl-C again stops at once)")
