"""What stands behind one row of a board: its curve, settings, runs, and the pictures of one frame."""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from smlmbench.errors import SmlmBenchError
from smlmbench.registry import Card, Catalog
from smlmbench.report.boards.rows import canonical
from smlmbench.report.drawings import Drawing, embedded, stored_picture, validations
from smlmbench.report.model import BLOCKS, Board, Entry, History, Row
from smlmbench.report.words import decimals, number, recipe

WIDTH, HEIGHT = 300, 90  # of a curve, in units of its drawing
# All pictures of a page together, so that it stays below some 5 MB; smaller copies are taken where they would not fit.
PICTURES_BYTES = 2_000_000
COPY_PX = 1000
EXAMPLES = ("", ", second example", ", third example")


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
    """One row: id on the page, name, what is said of it, its card, its settings by block, runs (text, id), curve.

    Attributes:
        card: By title a line or several of its card and of that of its loss.
        pictures: Where its pictures are on the page (condition, id).
    """

    id: str
    name: str
    said: str
    card: tuple[tuple[str, tuple[str, ...]], ...]
    settings: tuple[tuple[str, str], ...]
    runs: tuple[tuple[str, str], ...]
    flags: tuple[str, ...]
    curve: Curve | None
    pictures: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Pictured:
    """A picture of the gallery: its id on the page, that of the row whose it is, and the condition."""

    id: str
    row: str
    condition: str
    drawing: Drawing


def details(board: Board, place: int, history: History | None, pictures: Sequence[Pictured] = ()) -> list[Detail]:
    """One for each row of a board's table; `pictures` are those that the page has of them."""
    return [_detail(board, entry, row_id(place, k), history, pictures) for k, entry in enumerate(board.entries)]


def row_id(place: int, line: int) -> str:
    """Where on the page the details of a line of a board stand."""
    return f"row-{place}-{line}"


def _detail(board: Board, entry: Entry, name: str, history: History | None, pictures: Sequence[Pictured]) -> Detail:
    first = entry.rows[0]
    blocks = ((title, getattr(first, block)) for title, block in BLOCKS.items())
    pairs = ((title, ", ".join(f"{key} = {_text(value)}" for key, value in held.items())) for title, held in blocks)
    facts = [
        ("identity", first.row_id),
        ("repeats done", f"{len(entry.scored_rows)} of {len(entry.rows)}"),
        ("parameters", number(count, 0) if (count := entry.mean_param("n_params")) else ""),
    ]
    said = "; ".join(f"{where} {_score(board, row, where)}" for row in entry.scored_rows for where in board.conditions)
    return Detail(
        name,
        entry.label if entry.is_reference else recipe(entry),
        said,
        tuple((title, lines) for title, lines in _cards(board, entry) if lines),
        tuple((title.replace("_", " "), text) for title, text in [*facts, *pairs] if text),
        tuple((f"repeat {row.repeat}: {row.status}", row.run.run_id) for row in entry.rows if row.run is not None),
        tuple(entry.flags),
        _curve(board, entry, history),
        tuple((one.condition, one.id) for one in pictures if one.row == name),
    )


def _cards(board: Board, entry: Entry) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What the cards of a line's network (or reference) and loss say, under its settings."""
    first, catalog = entry.rows[0], Catalog() if board.asked.task is None else board.asked.task.catalog
    own = _card(catalog, "references" if entry.is_reference else "models", entry.name)
    if own is not None:
        own = own.under(first.settings)
        yield "what it is", (own.summary,)
        yield "paper", _paper(own)
        yield "fidelity", tuple(filter(None, [first.fidelity or own.fidelity]))
        yield "deviations from the paper", tuple(own.deviations) or (("none known",) if own.fidelity else ())
    loss = _card(catalog, "losses", first.labels.get("loss", ""))
    if loss is not None:
        yield "loss", (loss.summary, *_paper(loss), *loss.under(first.loss).deviations)


def _paper(card: Card) -> tuple[str, ...]:
    """The source as text: the page leads nowhere."""
    said = ", ".join(filter(None, (card.paper, card.doi and f"doi {card.doi}")))
    return (said,) if said else ()


def _card(catalog: Catalog, room: str, name: str) -> Card | None:
    try:
        return catalog.card(room, name) if name else None
    except SmlmBenchError:  # a plug-in that is not given to the report
        return None


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


def gallery(board: Board, place: int, share: int) -> list[tuple[str, list[Pictured]]]:
    """By condition and example the picture that each row stored, within a number of bytes; the first examples first."""
    order = list(reversed(board.conditions))
    stored = [(name, each, _held(board, name, each)) for each in range(len(EXAMPLES)) for name in order]
    small = sum(len(image) for *_, held in stored for *_, image in held) > share
    left, made = share, []
    for at, (condition, each, held) in enumerate(stored):
        shown, name = [], condition + EXAMPLES[each]
        for k, entry, image in held:
            picture = _copy(image) if small else image
            left -= len(picture)
            if left >= 0:
                title = entry.label if entry.is_reference else recipe(entry)
                caption = f"{title} on {name}: {_pictured(board, entry)}."
                drawing = embedded(caption, f"Example picture of {caption}", picture)
                shown.append(Pictured(f"picture-{place}-{at}-{k}", row_id(place, k), name, drawing))
        if shown:
            made.append((order.index(condition), name, shown))
    return [(name, shown) for _, name, shown in sorted(made, key=lambda one: one[0])]


def _pictured(board: Board, entry: Entry) -> str:
    """What a row's picture shows; one that makes an image of all frames has no frame of its own to show."""
    section = board.section
    return section.pictured_whole if section.pictured_whole and entry.rows[0].gives == "image" else section.pictured


def _held(board: Board, condition: str, each: int) -> list[tuple[int, Entry, bytes]]:
    """Number, row and the first picture that its runs stored of an example."""
    found = []
    for k, entry in enumerate(board.entries):
        held = (stored_picture(row, condition, each) for row in entry.scored_rows)
        found += [(k, entry, image) for image in held if image is not None][:1]
    return found


def _copy(image: bytes) -> bytes:
    """The same picture, smaller."""
    from PIL import Image

    with Image.open(io.BytesIO(image)) as picture:
        picture.thumbnail((COPY_PX, COPY_PX))
        held = io.BytesIO()
        picture.convert("RGB").save(held, "WEBP", quality=75)
        return held.getvalue()
