"""What commands write: lines, tables, JSON."""

import json
import math
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from smlmbench.addresses import hidden

PIPE_WIDTH = 10_000


def emit(text: str) -> None:
    """Write one line of result to stdout."""
    typer.echo(hidden(text))


def note(text: str) -> None:
    """Write one line about the work to stderr, where it does not disturb a pipe."""
    typer.echo(hidden(text), err=True)


@contextmanager
def losses_as_notes() -> Iterator[None]:
    """Tell once, as a line about the work, what is lost in reading or writing; other warnings pass."""
    from smlmbench.errors import LossWarning, printable

    pass_on, told = warnings.showwarning, set[str]()

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        text = str(message)
        if not issubclass(category, LossWarning):
            pass_on(message, category, *where, **more)
        elif text not in told:
            told.add(text)
            note(f"smlmbench: note: {printable(text)}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", LossWarning)
        warnings.showwarning = show
        yield


def emit_json(value: Any) -> None:
    """Write one JSON document to stdout; paths become text, numbers that are not finite become null."""
    typer.echo(json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return hidden(str(value)) if isinstance(value, str | Path) else value


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table to stdout; in a pipe it is as wide as its content, so that nothing is cut."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(title=title or None, title_justify="left", box=SIMPLE, pad_edge=False, show_edge=False)
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(hidden(cell)) for cell in row))
    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    console.print(grid)
