"""The figures of the page, drawn from boards and embedded as data, so that the page needs no other file."""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass

from smlmbench.figures import Bar, Kind, Point, Series, bars, curves, scatter_accuracy_latency
from smlmbench.report.flags import is_ceiling
from smlmbench.report.model import LATENCY, Board, Entry, Estimate, History, Row
from smlmbench.report.sensitivity import sensitivity_chart
from smlmbench.report.words import recipe, title

PNG_HEAD = b"\x89PNG\r\n\x1a\n"
# A page stays below some ten MB even with many examples.
LARGEST_PICTURE_BYTES = 3_000_000
MOST_EXAMPLES = 6


@dataclass(frozen=True, slots=True)
class Drawing:
    """An embedded figure: caption, what it shows in words for those who do not see it, the image as a data URI."""

    caption: str
    alt: str
    uri: str
    wide: bool = False
    folded: bool = False


def embed(image: bytes, mime: str) -> str:
    """An image as a data URI."""
    return f"data:{mime};base64,{base64.b64encode(image).decode('ascii')}"


def drawings(board: Board, history: History | None) -> list[Drawing]:
    """All figures of a board that its numbers allow."""
    made = [_scatter(board), _bars(board), _curves(board, history), _lambdas(board), *_examples(board)]
    return [drawing for drawing in made if drawing is not None]


def _ends(found: Estimate) -> tuple[float, float]:
    return (math.nan if found.low is None else found.low, math.nan if found.high is None else found.high)


def _scatter(board: Board) -> Drawing | None:
    points: list[Point] = []
    front: list[int] = []
    lines: dict[str, float] = {}
    for entry in board.everything:
        found, ms = entry.get(None, board.primary), entry.mean_of(LATENCY)
        if found.value is None:
            continue
        if ms is None:
            if entry.is_reference and not is_ceiling(entry):
                lines[entry.label] = found.value
            continue
        kind: Kind = "reference" if entry.is_reference else "pick" if entry.picked else "row"
        if entry.on_front:
            front.append(len(points))
        label = "" if kind == "row" else entry.label
        points.append(Point(label, ms, found.value, *_ends(found), kind=kind, style=entry.style))
    if not any(point.kind == "pick" for point in points):
        return None
    image = scatter_accuracy_latency(points, y_label=_axis(board), front=front, lines=lines)
    unit = f"{title(board.primary)} against latency on {board.data}"
    one = " One repeat: intervals are over frames only." if board.not_ranked.startswith("one repeat") else ""
    return Drawing(
        f"{unit}. Coloured: the pick of each model with its interval; small grey points: rows that do not compete; "
        f"dashed: the Pareto front of the picks; dotted: references without training.{one}",
        f"Scatter of {unit}: " + "; ".join(f"{p.label} {p.x:.3g} ms, {p.y:.3g}" for p in points if p.label),
        embed(image, "image/svg+xml"),
    )


def _axis(board: Board) -> str:
    scope = f", mean of {len(board.conditions)} conditions" if len(board.conditions) > 1 else ""
    better = ", lower is better" if board.direction == "down" else ""
    return f"{title(board.primary)} (test{scope}{better})"


def _bars(board: Board) -> Drawing | None:
    if len(board.conditions) < 2 or not board.entries:
        return None
    entries = [
        Bar(condition, entry.label, math.nan if found.value is None else found.value, *_ends(found),
            kind="reference" if entry.is_reference else "pick", style=entry.style)
        for condition in board.conditions
        for entry in board.entries
        if not is_ceiling(entry)
        for found in [entry.get(condition, board.primary)]
    ]  # fmt: skip
    if not any(math.isfinite(entry.value) for entry in entries):
        return None
    what = f"{title(board.primary)} by condition on {board.data}"
    spoken = "; ".join(f"{e.panel} {e.label} {e.value:.3g}" for e in entries if math.isfinite(e.value))
    return Drawing(
        f"{what}, with 95 % intervals. Grey: references without training.",
        f"Bars of {what}: {spoken}",
        embed(bars(entries, x_label=title(board.primary)), "image/svg+xml"),
    )


def _curves(board: Board, history: History | None) -> Drawing | None:
    if history is None:
        return None
    series = [
        line
        for entry in board.competitors
        for row in entry.scored_rows
        if (line := _curve(board, entry, row, history)) is not None
    ]
    if not series:
        return None
    what = f"{title(board.primary)} on validation against training samples on {board.data}"
    image = curves(series, x_label="training samples", y_label=f"{title(board.primary)} (validation)")
    names = ", ".join(dict.fromkeys(line.panel for line in series))
    caption = f"{what}, one line per repeat of each pick."
    return Drawing(
        caption,
        f"Curves of {what} for {names}",
        embed(image, "image/svg+xml"),
        wide=len({line.panel for line in series}) > 2,
    )


def _lambdas(board: Board) -> Drawing | None:
    chart = sensitivity_chart(board)
    if chart is None:
        return None
    caption, alt, image = chart
    return Drawing(caption, alt, embed(image, "image/svg+xml"), wide=True)


def _curve(board: Board, entry: Entry, row: Row, history: History) -> Series | None:
    if row.run is None:
        return None
    # Validations during training are logged together with the samples seen; the final score is not one of them.
    samples = dict(history(row.run, "train/samples"))
    values = history(row.run, f"val/{board.primary}")
    points = [(samples[step], value) for step, value in values if step in samples and math.isfinite(value)]
    if len(points) < 2:
        return None
    x, y = zip(*points, strict=True)
    return Series(entry.label, entry.label, x, y, style=entry.style)


def _examples(board: Board) -> list[Drawing]:
    """Pictures that the picks stored, of the last (usually hardest) condition that has one."""
    made: list[Drawing] = []
    for entry in [*board.competitors, *(e for e in board.references if not is_ceiling(e))]:
        picture = _stored_picture(board.conditions, entry.scored_rows)
        if picture is not None and len(made) < MOST_EXAMPLES:
            condition, image = picture
            name = entry.label if entry.is_reference else recipe(entry)
            caption = f"{name} on {condition}: input, truth, prediction and error."
            alt, uri = f"Example picture of {caption}", embed(image, "image/png")
            made.append(Drawing(caption, alt, uri, wide=True, folded=bool(made)))
    return made


def _stored_picture(conditions: Sequence[str], rows: Sequence[Row]) -> tuple[str, bytes] | None:
    for condition in reversed(conditions):
        for row in rows:
            path = row.run.artifact(f"figures/{condition}.png") if row.run is not None else None
            if path is None or not path.is_file() or path.stat().st_size > LARGEST_PICTURE_BYTES:
                continue
            image = path.read_bytes()
            if image.startswith(PNG_HEAD):
                return condition, image
    return None
