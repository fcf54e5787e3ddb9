"""The figures of the page, drawn from boards and embedded as data, so that the page needs no other file."""

import base64
import math
import re
from dataclasses import dataclass
from itertools import product
from typing import Any

import pandas as pd

from smlmbench.figures import bars, curves, scatter_accuracy_latency, sensitivity
from smlmbench.figures.style import WIDTH
from smlmbench.report.boards.frame import drawn
from smlmbench.report.model import LATENCY, Board, History, Row
from smlmbench.tasks.contracts.sections import Along

PNG_HEAD, WEBP_HEAD = b"\x89PNG\r\n\x1a\n", b"RIFF"
SVG_WIDTH, POINTS_PER_INCH = re.compile(rb'<svg [^>]*?width="([0-9.]+)pt"', re.DOTALL), 72
# A page stays below some ten MB even with many examples.
LARGEST_PICTURE_BYTES = 3_000_000
MOST_EXAMPLES = 6
LOST = ("collapsed", "failed")


@dataclass(frozen=True, slots=True)
class Drawing:
    """An embedded figure: caption, what it shows in words for those who do not see it, the image as a data URI."""

    caption: str
    alt: str
    uri: str
    wide: bool = False
    folded: bool = False


def drawings(board: Board, history: History | None) -> list[Drawing]:
    """All figures of a board that its numbers allow."""
    made = [_scatter(board), _bars(board), _curves(board, history), _lambdas(board)]
    return [drawing for drawing in made if drawing is not None]


def embedded(caption: str, alt: str, image: bytes, *, wide: bool = False, folded: bool = False) -> Drawing:
    """A PNG, WebP or SVG as the page shows it; a chart (SVG) that was drawn wide is shown so."""
    mime = "png" if image.startswith(PNG_HEAD) else "webp" if image.startswith(WEBP_HEAD) else "svg+xml"
    if drawn_at := SVG_WIDTH.search(image[:2000]):
        wide = float(drawn_at[1]) > POINTS_PER_INCH * WIDTH + 1
    return Drawing(caption, alt, f"data:image/{mime};base64,{base64.b64encode(image).decode('ascii')}", wide, folded)


def stored_along(board: Board) -> list[Along]:
    """What the picks and references have stored along axes, by condition."""
    found = []
    for entry, condition in product(board.entries, board.facts):
        stored = (row.stored("test", condition, "profiles") for row in entry.scored_rows)
        kind = "ceiling" if entry.is_ceiling else "reference" if entry.is_reference else "pick"
        if profiles := tuple(one for one in stored if one):
            found.append(Along(entry.label, condition, kind, entry.style, profiles, board.facts[condition]))
    return found


def spoken_points(rows: pd.DataFrame) -> str:
    """The points that have a label, in words."""
    named = rows[(rows["label"] != "") & rows["x"].notna() & (rows["x"] != 0)]
    return "; ".join(f"{row['label']} {row['x']:.3g} ms, {row['y']:.3g}" for row in named.to_dict("records"))


def _scatter(board: Board) -> Drawing | None:
    rows = drawn(board, board.primary).assign(x=drawn(board, LATENCY)["y"])
    rows = rows[rows["y"].notna() & (rows["x"].notna() | ~rows["ceiling"])]
    rows["label"] = rows["label"].mask(rows["kind"] == "row", "")
    if not ((rows["kind"] == "pick") & (rows["x"] > 0)).any():
        return None
    what = f"{board.heading} against latency on {board.data}"
    one = " One repeat: intervals are over frames only." if board.not_ranked.startswith("one repeat") else ""
    return embedded(
        f"{what}. Coloured: the pick of each model with its interval; small grey points: rows that do not compete; "
        f"dashed: the Pareto front of the picks; dotted: references without training.{one}",
        f"Scatter of {what}: {spoken_points(rows)}",
        scatter_accuracy_latency(rows, y_label=_axis(board)),
    )


def _axis(board: Board) -> str:
    scope = f", mean of {len(board.conditions)} conditions" if len(board.conditions) > 1 else ""
    better = ", lower is better" if board.direction == "down" else ""
    return f"{board.heading} (test{scope}{better})"


def _bars(board: Board) -> Drawing | None:
    if len(board.conditions) < 2:
        return None
    rows = drawn(board, board.primary, board.conditions)
    rows = rows[(rows["kind"] != "row") & (rows["repeats"] > 0) & ~rows["ceiling"]]
    known = rows.dropna(subset="y")
    if not len(known):
        return None
    what = f"{board.heading} by condition on {board.data}"
    spoken = "; ".join(f"{row['panel']} {row['label']} {row['y']:.3g}" for row in known.to_dict("records"))
    return embedded(
        f"{what}, with 95 % intervals. Grey: references without training.",
        f"Bars of {what}: {spoken}",
        bars(rows, x_label=board.heading),
    )


def _curves(board: Board, history: History | None) -> Drawing | None:
    rows = [
        {"panel": entry.label, "label": entry.label, "style": entry.style, "line": number, "x": x, "y": y}
        for entry in board.competitors
        for number, row in enumerate(entry.scored_rows)
        for x, y in validations(row, board.primary, history)
    ]
    if not rows:
        return None
    names = list(dict.fromkeys(str(row["label"]) for row in rows))
    what = f"{board.heading} on validation against training samples on {board.data}"
    return embedded(
        f"{what}, one line per repeat of each pick.",
        f"Curves of {what} for {', '.join(names)}",
        curves(rows, x_label="training samples", y_label=f"{board.heading} (validation)"),
    )


def validations(row: Row, metric: str, history: History | None) -> list[tuple[float, float]]:
    """Scores on validation during a training, by samples seen; empty where fewer than two were logged."""
    if row.run is None or history is None:
        return []
    # Validations during training are logged together with the samples seen; the final score is not one of them.
    samples = dict(history(row.run, "train/samples"))
    values = history(row.run, f"val/{metric}")
    points = [(samples[step], value) for step, value in values if step in samples and math.isfinite(value)]
    return points if len(points) > 1 else []


def lambda_rows(board: Board) -> pd.DataFrame:
    """Validation score (y) against λ (x) for each network (panel) and loss (label) that was trained at two λ or more.

    Settings that differ besides λ make a line, or a panel, of their own; `note` says why a training gave no score.
    """
    rows = drawn(board, f"val/{board.primary}")
    rows = rows[rows["kind"] != "reference"].drop(columns="panel").rename(columns={"label": "panel", "loss": "label"})
    rows = rows.assign(kind="pick", x=pd.to_numeric(rows["lambda"], errors="coerce"))
    rows["note"] = rows["status"].map(lambda said: next((status for status in LOST if status in said), ""))
    rows = rows[(rows["x"] > 0) & (rows["y"].notna() | (rows["note"] != ""))]
    return rows[rows.groupby(["panel", "label"])["x"].transform("nunique") > 1]


def _lambdas(board: Board) -> Drawing | None:
    rows = lambda_rows(board)
    if not len(rows):
        return None
    what = f"{board.heading} on validation against λ on {board.data}"
    told = rows["y"].map("{:.3g}".format).where(rows["y"].notna(), rows["note"])
    points = zip(rows["panel"], rows["label"], rows["x"], told, strict=True)
    labels: dict[str, Any] = {"x_label": "λ (unit mass)", "y_label": f"{board.heading} (validation)"}
    return embedded(
        f"{what}, one line per loss. Ringed: the pick of each model; crosses: trainings that gave no score.",
        f"Lines of {what}: {'; '.join(f'{panel} {label} λ {x:g} {text}' for panel, label, x, text in points)}",
        sensitivity(rows, **labels, down=board.direction == "down"),
    )


def stored_picture(row: Row, condition: str, number: int = 0) -> bytes | None:
    """PNG that a run stored of its first, second ... example at a condition."""
    name = f"figures/{f'{number + 1}/' if number else ''}{condition}.png"
    path = row.run.artifact(name) if row.run is not None else None
    if path is None or not path.is_file() or path.stat().st_size > LARGEST_PICTURE_BYTES:
        return None
    image = path.read_bytes()
    return image if image.startswith(PNG_HEAD) else None
