"""What stands behind one row of a board: its curve, settings, runs, and the pictures of one frame."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from smlmbench.report.boards.rows import canonical
from smlmbench.report.drawings import Drawing, embedded, stored_pictures, validations
from smlmbench.report.model import BLOCKS, Board, Entry, History, Row
from smlmbench.report.words import decimals, number, recipe

WIDTH, HEIGHT = 300, 90  # of a curve, in units of its drawing
# All pictures of a page together, so that it stays below some 5 MB; smaller copies are taken where they would not fit.
PICTURES_BYTES = 2_400_000
COPY_PX = 1000


@dataclass(frozen=True, slots=True)
class Curve:
    """Validation scores of the repeats, as points of a drawing `WIDTH` x `HEIGHT`; its ends, and the same in words."""

    lines: tuple[str, ...]
    low: str
    high: str
    samples: str
    alt: str


@dataclass(frozen=True, slots=True)
class Detail:
    """One row: id on the page, name, what is said of it, its settings by block, runs (text, id), curve."""

    id: str
    name: str
    said: str
    settings: tuple[tuple[str, str], ...]
    runs: tuple[tuple[str, str], ...]
    flags: tuple[str, ...]
    curve: Curve | None


def details(board: Board, place: int, history: History | None) -> list[Detail]:
    """One for each row of a board's table."""
    return [_detail(board, entry, f"row-{place}-{k}", history) for k, entry in enumerate(board.entries)]


def _detail(board: Board, entry: Entry, name: str, history: History | None) -> Detail:
    first = entry.rows[0]
    blocks = ((title, getattr(first, block)) for title, block in BLOCKS.items())
    pairs = ((title, ", ".join(f"{key} = {_text(value)}" for key, value in held.items())) for title, held in blocks)
    facts = [
        ("identity", first.row_id),
        ("card", first.fidelity),
        ("repeats done", f"{len(entry.scored_rows)} of {len(entry.rows)}"),
    ]
    said = "; ".join(f"{name} {_score(board, row, name)}" for row in entry.scored_rows for name in board.conditions)
    return Detail(
        name,
        entry.label if entry.is_reference else recipe(entry),
        said,
        tuple((title.replace("_", " "), text) for title, text in [*facts, *pairs] if text),
        tuple((f"repeat {row.repeat}: {row.status}", row.run.run_id) for row in entry.rows if row.run is not None),
        tuple(entry.flags),
        _curve(board, entry, history),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else canonical(value)


def _score(board: Board, row: Row, condition: str) -> str:
    value = row.value(condition, board.primary)
    return number(value, decimals([value]))


def _curve(board: Board, entry: Entry, history: History | None) -> Curve | None:
    found = [points for row in entry.scored_rows if (points := validations(row, board.primary, history))]
    if not found:
        return None
    xs, ys = zip(*(point for points in found for point in points), strict=True)
    (left, right), (low, high) = (min(xs), max(xs)), (min(ys), max(ys))

    def placed(points: Iterable[tuple[float, float]]) -> str:
        at = ((WIDTH * (x - left) / (right - left or 1), HEIGHT * (high - y) / (high - low or 1)) for x, y in points)
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in at)

    places = decimals([low, high])
    ends = number(low, places), number(high, places)
    alt = f"{board.heading} on validation from {number(found[0][0][1], places)} to {number(found[0][-1][1], places)}"
    return Curve(tuple(map(placed, found)), *ends, number(right, 0), f"{alt} over {number(right, 0)} training samples")


def gallery(board: Board, share: int) -> list[tuple[str, list[Drawing]]]:
    """By condition the picture that each row stored of its frame, within a number of bytes."""
    stored = [
        (name, [(entry, image) for entry in board.entries for image in _first(name, entry.scored_rows)])
        for name in reversed(board.conditions)
    ]
    small = sum(len(image) for _, held in stored for _, image in held) > share
    left, made = share, []
    for name, held in stored:
        shown = []
        for entry, image in held:
            picture = _copy(image) if small else image
            left -= len(picture)
            if left >= 0:
                title = entry.label if entry.is_reference else recipe(entry)
                caption = f"{title} on {name}: {board.section.pictured}."
                shown.append(embedded(caption, f"Example picture of {caption}", picture))
        if shown:
            made.append((name, shown))
    return made


def _first(condition: str, rows: Sequence[Row]) -> list[bytes]:
    return [image for _, image in stored_pictures([condition], rows)][:1]


def _copy(image: bytes) -> bytes:
    """The same picture, smaller."""
    from PIL import Image

    with Image.open(io.BytesIO(image)) as picture:
        picture.thumbnail((COPY_PX, COPY_PX))
        held = io.BytesIO()
        picture.convert("RGB").save(held, "WEBP", quality=75)
        return held.getvalue()
