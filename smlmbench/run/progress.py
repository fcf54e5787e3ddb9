"""What a person sees while a study runs: one line per event, a bar with ETA on a terminal, plain lines elsewhere."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

PLAIN_EVERY_S = 15.0


class Reporter:
    """Prints to standard error, so that `--json` on standard output stays clean."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty() and not quiet
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None
        self._began = time.monotonic()
        self._last_plain = 0.0
        self._label = ""

    def line(self, text: str) -> None:
        """Print one line above the bar."""
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def start(self, label: str, total: int) -> None:
        """Begin a piece of long work."""
        self.stop()
        self._label, self._began, self._last_plain = label, time.monotonic(), time.monotonic()
        if self._terminal:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                TimeElapsedColumn(),
                TextColumn("ETA"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(label, total=total)

    def advance(self, done: int, total: int, note: str = "") -> None:
        """Say how far the piece is."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total, description=f"{self._label}  {note}")
            return
        now = time.monotonic()
        if now - self._last_plain >= PLAIN_EVERY_S and done > 0:
            self._last_plain = now
            remaining = (now - self._began) * (total - done) / done
            self.line(f"  {self._label}: {done}/{total} {note} (ETA {remaining:.0f} s)")

    def stop(self) -> None:
        """End the piece."""
        if self._bar is not None:
            self._bar.stop()
        self._bar, self._task = None, None

    def __enter__(self) -> "Reporter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
