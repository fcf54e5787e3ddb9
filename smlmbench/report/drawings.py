"""The figures of the page, drawn from boards and embedded as data, so that the page needs no other file."""

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smlmbench.figures import bars, curves, scatter_accuracy_latency
from smlmbench.figures.sensitivity import sensitivity
from smlmbench.report.flags import is_ceiling
from smlmbench.report.model import LATENCY, Board, Estimate, History, Row
from smlmbench.report.sensitivity import lambda_rows
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


def vector(caption: str, alt: str, svg: bytes, *, wide: bool = False, folded: bool = False) -> Drawing:
    """A chart as the page shows it."""
    return Drawing(caption, alt, embed(svg, "image/svg+xml"), wide, folded)


def spoken_points(rows: Iterable[Mapping[str, Any]]) -> str:
    """The points that have a label, in words."""
    return "; ".join(f"{row['label']} {row['x']:.3g} ms, {row['y']:.3g}" for row in rows if row["label"] and row["x"])


def _number(found: Estimate) -> dict[str, float | None]:
    return {"y": found.value, "low": found.low, "high": found.high}


def _scatter(board: Board) -> Drawing | None:
    rows: list[dict[str, Any]] = []
    for entry in board.everything:
        found, ms = entry.get(None, board.primary), entry.mean_of(LATENCY)
        kind = "reference" if entry.is_reference else "pick" if entry.picked else "row"
        if found.value is not None and (ms is not None or not is_ceiling(entry)):
            look = {"kind": kind, "style": entry.style, "front": entry.on_front}
            rows.append({"label": "" if kind == "row" else entry.label, "x": ms, **_number(found), **look})
    if not any(row["kind"] == "pick" and row["x"] for row in rows):
        return None
    what = f"{title(board.primary)} against latency on {board.data}"
    one = " One repeat: intervals are over frames only." if board.not_ranked.startswith("one repeat") else ""
    return vector(
        f"{what}. Coloured: the pick of each model with its interval; small grey points: rows that do not compete; "
        f"dashed: the Pareto front of the picks; dotted: references without training.{one}",
        f"Scatter of {what}: {spoken_points(rows)}",
        scatter_accuracy_latency(rows, y_label=_axis(board)),
    )


def _axis(board: Board) -> str:
    scope = f", mean of {len(board.conditions)} conditions" if len(board.conditions) > 1 else ""
    better = ", lower is better" if board.direction == "down" else ""
    return f"{title(board.primary)} (test{scope}{better})"


def _bars(board: Board) -> Drawing | None:
    if len(board.conditions) < 2:
        return None
    rows = [
        {"panel": condition, "label": entry.label, "kind": "reference" if entry.is_reference else "pick"}
        | {"style": entry.style, **_number(entry.get(condition, board.primary))}
        for condition in board.conditions
        for entry in board.entries
        if not is_ceiling(entry)
    ]
    known = [row for row in rows if row["y"] is not None]
    if not known:
        return None
    what = f"{title(board.primary)} by condition on {board.data}"
    return vector(
        f"{what}, with 95 % intervals. Grey: references without training.",
        f"Bars of {what}: " + "; ".join(f"{row['panel']} {row['label']} {row['y']:.3g}" for row in known),
        bars(rows, x_label=title(board.primary)),
        wide=len(board.conditions) > 2,
    )


def _curves(board: Board, history: History | None) -> Drawing | None:
    if history is None:
        return None
    rows = [
        {"panel": entry.label, "label": entry.label, "style": entry.style, "line": number, "x": x, "y": y}
        for entry in board.competitors
        for number, row in enumerate(entry.scored_rows)
        for x, y in _validations(row, board.primary, history)
    ]
    if not rows:
        return None
    names = list(dict.fromkeys(str(row["label"]) for row in rows))
    what = f"{title(board.primary)} on validation against training samples on {board.data}"
    return vector(
        f"{what}, one line per repeat of each pick.",
        f"Curves of {what} for {', '.join(names)}",
        curves(rows, x_label="training samples", y_label=f"{title(board.primary)} (validation)"),
        wide=len(names) > 2,
    )


def _validations(row: Row, metric: str, history: History) -> list[tuple[float, float]]:
    if row.run is None:
        return []
    # Validations during training are logged together with the samples seen; the final score is not one of them.
    samples = dict(history(row.run, "train/samples"))
    values = history(row.run, f"val/{metric}")
    points = [(samples[step], value) for step, value in values if step in samples and math.isfinite(value)]
    return points if len(points) > 1 else []


def _lambdas(board: Board) -> Drawing | None:
    rows = lambda_rows(board)
    if not rows:
        return None
    what = f"{title(board.primary)} on validation against λ on {board.data}"
    told = [row["note"] if row["y"] is None else f"{row['y']:.3g}" for row in rows]
    spoken = [f"{row['panel']} {row['label']} λ {row['x']:g} {text}" for row, text in zip(rows, told, strict=True)]
    return vector(
        f"{what}, one line per loss. Ringed: the pick of each model; crosses: trainings that gave no score.",
        f"Lines of {what}: {'; '.join(spoken)}",
        sensitivity(
            rows,
            x_label="λ (unit mass)",
            y_label=f"{title(board.primary)} (validation)",
            down=board.direction == "down",
        ),
        wide=len({row["panel"] for row in rows}) > 2,
    )


def _examples(board: Board) -> list[Drawing]:
    """Pictures that the picks stored, of the last (usually hardest) condition that has one."""
    made: list[Drawing] = []
    for entry in [*board.competitors, *(e for e in board.references if not is_ceiling(e))]:
        picture = _stored_picture(board.conditions, entry.scored_rows)
        if picture is not None and len(made) < MOST_EXAMPLES:
            condition, image = picture
            name = entry.label if entry.is_reference else recipe(entry)
            caption = f"{name} on {condition}: input, prediction, truth and error."
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
