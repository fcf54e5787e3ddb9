"""What the page says of movies without truth: of each, every row of a board that answered it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smlmbench.report.drawings import LARGEST_PICTURE_BYTES, MOST_EXAMPLES, Drawing, embedded
from smlmbench.report.model import Board, Entry, Row
from smlmbench.report.row import read_json
from smlmbench.report.tables import Column, Table, tabulate
from smlmbench.tasks.contracts.applied import AppliedRow, Grid

FOLDER = "applied"


@dataclass(frozen=True, slots=True)
class MovieSection:
    """The page's part for one movie."""

    name: str
    sentences: tuple[str, ...]
    tables: tuple[Table, ...]
    drawings: tuple[Drawing, ...]
    unknown: tuple[str, ...]


def movie_sections(board: Board, plan: Mapping[str, Any]) -> list[MovieSection]:
    """A section for each movie that was answered, in the order of the study, from what the store has."""
    if board.asked.task is None:
        return []
    answered = {entry: row for entry in board.entries if (row := _row(entry)) is not None}
    stored = [name for row in answered.values() for name in _movies(row)]
    planned = plan.get("data", {}).get(board.data, {}).get("apply", ())
    names = dict.fromkeys([*(name for name in planned if name in stored), *stored])
    return [made for name in names if (made := _section(board, name, answered)) is not None]


def _row(entry: Entry) -> Row | None:
    """The repeat whose answers are shown: the first that has some."""
    return next((row for row in entry.scored_rows if _folder(row) is not None), None)


def _folder(row: Row) -> Path | None:
    return None if row.run is None else row.run.artifact(FOLDER)


def _movies(row: Row) -> list[str]:
    folder = _folder(row)
    return [] if folder is None else sorted(path.stem for path in folder.glob("*.json"))


def _section(board: Board, name: str, answered: Mapping[Entry, Row]) -> MovieSection | None:
    rows, lost = [], []
    for entry in board.entries:
        stored = read_json(folder / f"{name}.json") if (folder := _folder_of(answered.get(entry))) is not None else {}
        if why := stored.get("why"):
            lost.append(f"{entry.label} did not answer it: {why}.")
        elif folder is not None and stored:
            rows.append(_applied(board, entry, folder, name, stored))
        elif not entry.is_reference:
            lost.append(f"{entry.label} has no answer to it: it was scored before the movie was named.")
    task = board.asked.task
    part = None if task is None or not rows else task.movie(rows)
    if part is None:
        return None
    repeats = max((len(entry.scored_rows) for entry in answered), default=1)
    one = (f"Shown is the first of {repeats} repeats of each row.",) if repeats > 1 else ()
    drawings = tuple(_drawings(part.drawings))
    tables = tuple(map(gridded, part.grids))
    return MovieSection(name, (*part.sentences, *lost, *one), tables, drawings, part.unknown)


def _folder_of(row: Row | None) -> Path | None:
    return None if row is None else _folder(row)


def _applied(board: Board, entry: Entry, folder: Path, name: str, stored: Mapping[str, Any]) -> AppliedRow:
    task = board.asked.task
    found = {
        part: path
        for path in sorted(folder.glob("*.png"))
        if path.name.startswith(f"{name}.") and "." not in (part := path.stem.removeprefix(f"{name}."))
    }
    pictures = {part: path.read_bytes() for part, path in found.items()}
    answer = (lambda: None) if task is None else (lambda: task.read(folder, name))
    return AppliedRow(entry.label, entry.is_reference, entry.style, stored, pictures, answer)


def _drawings(given: tuple[Any, ...]) -> Iterator[Drawing]:
    """As the page shows them: pictures after the first few are folded, too large ones left out."""
    pictures = 0
    for one in given:
        chart = one.image.lstrip().startswith(b"<")
        pictures += not chart
        if len(one.image) <= LARGEST_PICTURE_BYTES:
            yield embedded(one.caption, one.alt, one.image, wide=True, folded=pictures > MOST_EXAMPLES)


def gridded(grid: Grid) -> Table:
    """A task's table as the page shows it."""
    columns = [
        Column(title, lambda cells, k=k: cells[k], numeric=k > 0)  # type: ignore[misc]
        for k, title in enumerate(grid.columns)
    ]
    return tabulate(grid.caption, columns, grid.rows)
