"""The page's part for a movie without truth, from what the store has of every row."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from smlmbench.predictions import Localizations, Prediction
from smlmbench.tasks.contracts.applied import AppliedRow, Grid, MoviePart
from smlmbench.tasks.contracts.sections import Drawing
from smlmbench.tasks.localization.applied import ERRORS
from smlmbench.tasks.localization.applied.agreement import matrix
from smlmbench.tasks.localization.applied.likeness import TRAINING
from smlmbench.tasks.localization.applied.verdicts import UNKNOWN, moving, resolution, shaped

EXPECTED = "expected"
LOOKS = {"per_um2": "found per frame and µm²", "per_frame": "found per frame", "photons": "photons (median)",
         "background": "background (median, per pixel)", "uncertainty_nm": "uncertainty (nm, median)"}  # fmt: skip
SPREADS = {"photons": "photons", "background": "background per pixel", "uncertainty_nm": "uncertainty per axis (nm)"}


def movie_part(rows: Sequence[AppliedRow]) -> MoviePart:
    """Sentences, tables and figures."""
    tables = {row.label: table for row in rows if (table := _table(row)) is not None}
    agreement = matrix(tables)
    grids = (_numbers(rows), *(() if agreement is None else (agreement,)))
    drawings = [
        one for make in (_likeness, _sections, _shapes, _over_time, _drift, _spreads) if (one := make(rows)) is not None
    ]
    return MoviePart(tuple(_sentences(rows)), grids, (*drawings, *_errors(rows)), UNKNOWN)


def _table(row: AppliedRow) -> Localizations | None:
    answer = row.answer()
    return answer.table if isinstance(answer, Prediction) else None


def _sentences(rows: Sequence[AppliedRow]) -> Iterator[str]:
    yield from dict.fromkeys(line for row in rows for line in row.lines)
    for row in rows:
        said = [text for text in (moving(row), shaped(row)) if text]
        if said:
            yield f"{row.label}. {' '.join(said)}"


def _numbers(rows: Sequence[AppliedRow]) -> Grid:
    columns: dict[str, Callable[[AppliedRow], str]] = {
        "Row": lambda row: row.label,
        "Found": _whole("rows"),
        "per frame and µm²": _three("per_um2"),
        "Photons (5–95 %)": _range("photons"),
        "Background": _three("background_middle"),
        "Uncertainty nm": _three("uncertainty_nm_middle"),
        "FRC odd/even nm": lambda row: resolution(row, row.value("odd_even_nm")),
        "FRC blocks nm": lambda row: resolution(row, row.value("blocks_nm")),
        "FRC halves nm": lambda row: resolution(row, row.value("halves_nm")),
        "Drift nm": _three("drift_nm"),
        "RSP": _three("rsp"),
        "RSE": _three("rse"),
        "Odd shapes (of 5 %)": _share("shape_beyond"),
        "Hardly any light": _share("shape_faint"),
    }
    lines = tuple(tuple(read(row) for read in columns.values()) for row in rows)
    caption = (
        "What can be said of each row without a truth. FRC: Fourier ring correlation of two parts of the row's own"
        " table; RSP, RSE: its image, blurred, against the mean of the frames; odd shapes: spots that stand alone and"
        " whose pixels a Gaussian of the movie's width does not explain."
    )
    return Grid(caption, tuple(columns), lines)


def _three(name: str) -> Callable[[AppliedRow], str]:
    return lambda row: "n/a" if (value := row.value(name)) is None else f"{value:.3g}"


def _whole(name: str) -> Callable[[AppliedRow], str]:
    return lambda row: "n/a" if (value := row.value(name)) is None else f"{value:.0f}"


def _share(name: str) -> Callable[[AppliedRow], str]:
    return lambda row: "n/a" if (value := row.value(name)) is None else f"{100 * value:.1f} %"


def _range(name: str) -> Callable[[AppliedRow], str]:
    def read(row: AppliedRow) -> str:
        low, middle, high = (row.value(f"{name}_{level}") for level in ("low", "middle", "high"))
        if low is None or middle is None or high is None:
            return "n/a"
        return f"{middle:.3g} ({low:.3g}–{high:.3g})"

    return read


def _points(rows: Sequence[AppliedRow], profile: str, x: str, y: str, panel: str) -> Iterator[dict[str, Any]]:
    """Points of a profile of every row, as figures take them."""
    for row in rows:
        columns = row.profile(profile)
        for at, value in zip(columns.get(x, ()), columns.get(y, ()), strict=y in columns):
            if at is not None and value is not None:
                kind = "reference" if row.reference else "pick"
                yield {"panel": panel, "label": row.label, "x": at, "y": value, "style": row.style, "kind": kind}


def _sections(rows: Sequence[AppliedRow]) -> Drawing | None:
    points = [*_points(rows, "sections", "apart_frames", "frc_nm", "resolution (nm)")]
    if not points:
        return None
    return _drawn(
        points,
        "frames between two sections",
        "Fourier ring correlation of pairs of sections of the movie (all of one length, so that they compare with each"
        " other alone), by the time between them. A line that rises is drift or a sample that changes.",
    )


def _shapes(rows: Sequence[AppliedRow]) -> Drawing | None:
    points = [*_points(rows, "shape", "rank", "share", "share of spots")]
    if not points:
        return None
    places = sorted({one["x"] for one in points})
    expected = {"panel": "share of spots", "label": EXPECTED, "y": 1 / len(places), "kind": "row"}
    return _drawn(
        [*points, *({**expected, "x": x} for x in places)],
        "rank of the likelihood ratio among like spots",
        "Shape test: the likelihood ratio of each spot that stands alone, by its rank in the law that the camera's"
        " noise makes of spots of the movie's width. Black: as expected. A rise at the right are odd shapes.",
    )


def _over_time(rows: Sequence[AppliedRow]) -> Drawing | None:
    points = [one for name, panel in LOOKS.items() for one in _points(rows, "over_time", "frame", name, panel)]
    return _drawn(points, "frame", "What each row finds over the movie.") if points else None


def _drift(rows: Sequence[AppliedRow]) -> Drawing | None:
    ways = {"x_nm": "drift along x (nm)", "y_nm": "drift along y (nm)"}
    points = [one for name, panel in ways.items() for one in _points(rows, "drift", "frame", name, panel)]
    said = "Drift of the sample as each row's own table tells it (blocks of frames laid over one another)."
    return _drawn(points, "frame", said) if points else None


def _likeness(rows: Sequence[AppliedRow]) -> Drawing | None:
    """The movie beside the training, which is one figure for all rows."""
    image = next((row.pictures[TRAINING] for row in rows if TRAINING in row.pictures), None)
    if image is None:
        return None
    caption = "Frames of the movie (real) beside those of the training (simulated), and what is measured of both."
    said = " ".join(dict.fromkeys(line for row in rows for line in row.lines))
    return Drawing(caption, f"{caption} {said}", image)


def _spreads(rows: Sequence[AppliedRow]) -> Drawing | None:
    from smlmbench.figures import outlines

    points = [one for name, panel in SPREADS.items() for one in _points(rows, name, "value", "share", panel)]
    if not points:
        return None
    caption = "How photons, background and uncertainty of what each row finds are spread."
    return Drawing(caption, _alt(points, caption), outlines(points, y_label="share"))


def _drawn(points: list[dict[str, Any]], x_label: str, caption: str) -> Drawing:
    from smlmbench.figures import sweep

    return Drawing(caption, _alt(points, caption), sweep(points, [""], x_label=x_label, log=False))


def _alt(points: Sequence[dict[str, Any]], caption: str) -> str:
    """The caption, and first and last value of each line."""
    ends: dict[tuple[str, str], list[float]] = {}
    for one in points:
        ends.setdefault((one["panel"], one["label"]), []).append(one["y"])
    said = "; ".join(f"{panel}, {label}: {ys[0]:.3g} to {ys[-1]:.3g}" for (panel, label), ys in ends.items())
    return f"{caption} {said}"


def _errors(rows: Sequence[AppliedRow]) -> Iterator[Drawing]:
    for row in rows:
        if ERRORS in row.pictures:
            rsp, rse = row.value("rsp"), row.value("rse")
            numbers = "" if rsp is None or rse is None else f": RSP {rsp:.3g}, RSE {rse:.3g}"
            text = f"{row.label}{numbers}. Mean of the frames, what the row draws, and the error after the best blur"
            yield Drawing(f"{text}.", text, row.pictures[ERRORS])
