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

PIPE_WIDTH = 10_000


def emit(text: str) -> None:
    """Write one line of result to stdout."""
    typer.echo(text)


def note(text: str) -> None:
    """Write one line about the work to stderr, where it does not disturb a pipe."""
    typer.echo(text, err=True)


@contextmanager
def losses_as_notes() -> Iterator[None]:
    """Turn what a table loses, and what is doubtful in it, into lines about the work; other warnings pass."""
    from smlmbench.errors import DoubtWarning, LossWarning

    with warnings.catch_warnings(record=True) as caught:
        for kind in (DoubtWarning, LossWarning):
            warnings.simplefilter("always", kind)
        yield
    for each in caught:
        if issubclass(each.category, DoubtWarning | LossWarning):
            note(f"smlmbench: note: {each.message}")
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)


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
    return str(value) if isinstance(value, Path) else value


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
        grid.add_row(*(Text(cell) for cell in row))
    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    console.print(grid)
