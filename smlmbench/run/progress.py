"""What a person sees while a study runs: one line per event and one live table on a terminal, plain lines elsewhere."""

import math
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from smlmbench.addresses import hidden
from smlmbench.engine.link import current
from smlmbench.patience import tell_by

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

PLAIN_EVERY_S = 15.0
REFRESH_PER_S = 2.0
SHOWN_ROWS = 24
AGAIN_S = 60.0  # after which the same wait is said again
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
        self._waits: dict[str, float] = {}

    def line(self, text: str) -> None:
        """Print one line above the table, without passwords."""
        if self._quiet:
            return
        text = hidden(text)
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False)
        else:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def waits(self, text: str) -> None:
        """Say what is waited for, once for all the processes that wait for it."""
        now = time.monotonic()
        if now - self._waits.get(text, -math.inf) > AGAIN_S:
            self.line(text)
        self._waits[text] = now

    def start(self, label: str, total: int, state: str = "", *, key: str = ONE) -> None:
        """Begin a piece of long work as a row of the table, or another state of it."""
        with self._lock:
            before = self._rows.get(key)
            self._rows[key] = row = _Row(label, state, total)
            if before is not None and before.label == label:
                row.last_plain_s = before.last_plain_s
            self._draw()

    def advance(self, done: int, total: int, note: str = "", *, key: str = ONE) -> None:
        """Say how far a piece is."""
        with self._lock:
            row = self._rows.get(key)
            if row is None:
                return
            row.moved_s = now = time.monotonic()
            row.first = row.first or (done, now)  # what an earlier command has done says nothing about the pace
            row.done, row.total, row.note = done, total, note
            if self._terminal:
                self._draw()
            elif now - row.last_plain_s >= PLAIN_EVERY_S and done > 0:
                row.last_plain_s = now
                eta_s = row.eta_s()
                said = f"{row.state} " if row.state else ""
                left = "" if eta_s is None else f" (ETA {eta_s:.0f} s)"
                self.line(f"  {row.label}: {said}{done}/{total} {note}{left}")

    def stop(self, *, key: str = ONE) -> None:
        """End a piece, and the table with it where it has no other row."""
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
        if not self._rows and self._live is not None:
            self._live.stop()
            self._live = None
        elif self._rows and self._live is None:
            from rich.console import Console
            from rich.live import Live

            look: dict[str, Any] = {"transient": True, "redirect_stdout": False, "redirect_stderr": False}
            console = Console(stderr=True)
            self._live = Live(get_renderable=self._table, console=console, refresh_per_second=REFRESH_PER_S, **look)
            self._live.start()

    def _table(self) -> "Table":
        with self._lock:
            return table(self._rows, self._counts)

    def __enter__(self) -> "Reporter":
        self._before = tell_by(self.waits)
        return self

    def __exit__(self, *_: object) -> None:
        tell_by(self._before)
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
    whole = round(seconds or 0)
    return "" if seconds is None else f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


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

    def waits(self, text: str) -> None:
        """Pass on what is waited for."""
        self._tell(kind="waits", text=text)

    def start(self, label: str, total: int, state: str = "", *, key: str = ONE) -> None:  # noqa: ARG002 (its cell is it)
        """Pass on that a piece of work begins."""
        self._sent_s = time.monotonic()
        self._tell(kind="show", label=label, total=int(total), state=state)
        self._stop_here()

    def advance(self, done: int, total: int, note: str = "", *, key: str = ONE) -> None:  # noqa: ARG002 (as in start)
        """Pass on how far it is.

        Raises:
            KeyboardInterrupt: The cell shall keep its state and end.
        """
        self._stop_here()
        now = time.monotonic()
        if now - self._sent_s >= self.EVERY_S:
            self._sent_s = now
            self._tell(kind="moved", done=int(done), total=int(total), note=note)

    def stop(self, *, key: str = ONE) -> None:
        """The row ends with its cell."""

    def _tell(self, **message: Any) -> None:
        current().tell({"id": self.cell_id, **message})

    def _stop_here(self) -> None:
        if current().stop.is_set():
            raise KeyboardInterrupt


def retell(reporter: Reporter, message: Mapping[str, Any], labels: Mapping[str, str]) -> None:
    """Show what a worker's `Relay`, or the engine, said of a cell; `labels` are cells in one short line, by id."""
    key, kind = str(message.get("id", "")), message.get("kind")
    label = labels.get(key, key)
    if kind == "line":
        reporter.line(str(message["text"]))
    elif kind == "waits":
        reporter.waits(str(message["text"]))
    elif kind == "begun":
        reporter.start(label, 1, "starting", key=key)
    elif kind == "show":
        reporter.start(str(message["label"]), int(message["total"]), str(message["state"]), key=key)
    elif kind == "moved":
        reporter.advance(int(message["done"]), int(message["total"]), str(message["note"]), key=key)
    elif kind == "repeat":
        reporter.stop(key=key)
        reporter.line(f"{label}: {message['reason']}; it is repeated")
    elif kind == "stopping":
        reporter.line(f"stopping: {message['running']} running cells keep their state (Ctrl-C again stops at once)")
