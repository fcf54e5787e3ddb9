"""The robustness sheet: efficiency of what was trained once along each axis, and where it breaks (PROTOCOL section 2).

A row breaks where its efficiency has fallen by 10 from where the axis begins, on each side; between two steps that is
interpolated, along factors by their logarithm. Classical rows are told the width of the centre, as networks were.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from smlmbench.tasks.contracts.sections import Drawing, Listing, Told

if TYPE_CHECKING:
    import pandas as pd

METRIC = "efficiency"
FALL = 10.0
FACTOR = "x"
COLUMN = "Breaks at"
SHOWN = 3  # breakpoints in the column, the nearest ones
NARROW = 3.0  # ratio of the outermost factors, below which an axis is drawn linearly
LOWEST = -10.0  # drawn
TITLES = ("Axis", "Row", "Begins at", "One step", COLUMN, "Worst case")
Facts = Mapping[str, Mapping[str, Any]]
READING = (
    "The robustness sheet changes one thing of '{centre}' at a time; what was trained, and its threshold, stay. A row "
    "breaks where efficiency has fallen by 10, interpolated between two steps, so no finer than these and their "
    "intervals (all measured numbers, below). Rows that are told a width are told that of '{centre}'."
)
OF_PUPIL = (
    "Aberrations and defocus are counted from 'pupil': a scalar pupil whose spot is as bright at its peak as the "
    "stated Gaussian, which has no phase to change."
)
OF_PIXEL = (
    "Pixel size: the true one over the stated one. Errors are in the stated scale; that this scale itself is wrong "
    "moves every row's positions alike and is not counted."
)


@dataclass(frozen=True)
class Curve:
    """Efficiency of one row along one axis: (step, efficiency), ordered; steps are numbers or names.

    The step that changes nothing (`base`) is among them.
    """

    axis: str
    unit: str
    base: float | str
    points: tuple[tuple[Any, float], ...]

    @property
    def named(self) -> bool:
        """Whether steps are names."""
        return isinstance(self.base, str)

    @cached_property
    def start(self) -> float:
        """Efficiency where nothing is changed."""
        return next(value for step, value in self.points if step == self.base)

    def side(self, sign: int) -> list[tuple[Any, float]]:
        """Points from the base outwards, towards smaller (-1) or larger (1) steps."""
        return [point for point in self.points[::sign] if sign * (point[0] - self.base) >= 0]

    def place(self, step: float) -> float:
        """Where a step stands on the axis: factors by their logarithm."""
        return math.log(step) if self.unit == FACTOR else step

    def breakpoint(self, sign: int) -> float | None:
        """The step, interpolated, at which efficiency has fallen by 10 on one side; None where it has not."""
        side = self.side(sign)
        for (inner, above), (outer, below) in pairwise(side):
            if below <= self.start - FALL:
                share = (above - (self.start - FALL)) / (above - below)
                at = self.place(inner) + share * (self.place(outer) - self.place(inner))
                return math.exp(at) if self.unit == FACTOR else at
        return None

    def breaks(self) -> list[tuple[float, float | str]]:
        """Every breakpoint with its margin: 0 at the base, 1 at the outermost step; a name that falls has 0.5."""
        if self.named:
            return [(0.5, step) for step, value in self.points if value <= self.start - FALL]
        found: list[tuple[float, float | str]] = []
        for sign in (-1, 1):
            if (at := self.breakpoint(sign)) is not None:
                whole = self.place(self.side(sign)[-1][0]) - self.place(float(self.base))
                found.append(((self.place(at) - self.place(float(self.base))) / whole, at))
        return found

    def neighbours(self) -> list[tuple[Any, float]]:
        """The points one step away from the base; of names all others."""
        if self.named:
            return [point for point in self.points if point[0] != self.base]
        return [side[1] for side in (self.side(-1), self.side(1)) if len(side) > 1]

    def said(self, step: float | str) -> str:
        """A step with its unit."""
        if isinstance(step, str):
            return step
        number = f"{step:.3g}"
        if self.unit == FACTOR:
            return f"x{number}"
        sign = "+" if step > 0 and any(at < 0 for at, _ in self.points) else ""
        return f"{sign}{number} {self.unit}".strip().replace("-", "−")


def has(conditions: Facts) -> bool:
    """Whether a sheet was run."""
    return any("axis" in facts for facts in conditions.values())


def notes(conditions: Facts) -> tuple[str, ...]:
    """Sentences on how the sheet is read."""
    if not has(conditions):
        return ()
    centre = next((name for name, facts in conditions.items() if facts.get("centre")), "the centre")
    axes = {facts.get("axis") for facts in conditions.values()}
    beside = [text for axis, text in (("pupil", OF_PUPIL), ("pixel_size", OF_PIXEL)) if axis in axes]
    return (" ".join([READING.format(centre=centre), *beside]),)


def curves(own: "pd.DataFrame", conditions: Facts) -> list[Curve]:
    """Curves of one row, from its lines of the board; axes of which the beginning or every step is unknown are out."""
    known = own[(own["metric"] == METRIC) & own["value"].notna()]
    values = dict(zip(known["condition"], known["value"], strict=True))
    axes: dict[str, dict[Any, float]] = {}
    about: dict[str, Mapping[str, Any]] = {}
    for name, facts in conditions.items():
        if "axis" not in facts or facts["origin"] not in values or name not in values:
            continue
        about.setdefault(facts["axis"], facts)
        axes.setdefault(facts["axis"], {facts["base"]: values[facts["origin"]]})[facts["step"]] = values[name]
    made = []
    for axis, points in axes.items():
        base, named = about[axis]["base"], isinstance(about[axis]["base"], str)
        if len(points) > 1:
            ordered = tuple(points.items()) if named else tuple(sorted(points.items()))
            made.append(Curve(axis, str(about[axis].get("unit", "")), base, ordered))
    return made


def _shown(frame: "pd.DataFrame") -> Iterator[tuple[str, "pd.DataFrame"]]:
    """The pick of each model and every reference that is no bound, by label."""
    kept = frame[frame["picked"] | ((frame["kind"] == "reference") & ~frame["ceiling"])]
    for label, own in kept.groupby("label", sort=False):
        yield str(label), own


def column(frame: "pd.DataFrame", conditions: Facts) -> dict[str, str]:
    """What stands under `Breaks at` by row: the breakpoints with the smallest margins."""
    found = {}
    for label, own in _shown(frame):
        every = curves(own, conditions)
        near = sorted(
            ((margin, f"{_spoken(one.axis)} {one.said(at)}") for one in every for margin, at in one.breaks()),
            key=lambda item: item[0],
        )
        more = f", {len(near) - SHOWN} more" if len(near) > SHOWN else ""
        text = ", ".join(text for _, text in near[:SHOWN]) + more
        found[label] = text or (f"nowhere on {len(every)} axes" if every else "")
    return found


def listing(frame: "pd.DataFrame", conditions: Facts) -> Listing:
    """The sheet as a table: a line for each axis and row."""
    rows: dict[str, list[tuple[str, ...]]] = {}
    for label, own in _shown(frame):
        for one in curves(own, conditions):
            step, worst = one.neighbours(), min((point for point in one.points), key=lambda point: point[1])
            moved = ", ".join(f"{one.said(at)}: {_signed(value - one.start)}" for at, value in step)
            lowest = f"{one.said(worst[0])}: {_plain(worst[1])} ({_signed(worst[1] - one.start)})"
            said = "nowhere lower" if worst[1] >= one.start else lowest
            rows.setdefault(one.axis, []).append(
                (_spoken(one.axis), label, _plain(one.start), moved, _breaking(one), said)
            )
    caption = f"Robustness: {METRIC} of what was trained once, one thing changed at a time"
    return Listing(caption, TITLES, tuple(row for own in rows.values() for row in own))


def _breaking(one: Curve) -> str:
    if one.named:
        return ", ".join(one.said(step) for _, step in one.breaks()) or "none"
    said = []
    for sign, word in ((-1, "below"), (1, "above")):
        if len(side := one.side(sign)) > 1:
            at = one.breakpoint(sign)
            said.append(f"holds to {one.said(side[-1][0])}" if at is None else f"{word} {one.said(at)}")
    return ", ".join(said)


def drawings(boards: Sequence[Told]) -> list[Drawing]:
    """One figure of all sheets of a page, of each data entry under its first protocol; none where none was run."""
    from smlmbench.figures import sheet

    told = list({board.data: board for board in reversed(boards) if has(board.conditions)}.values())[::-1]
    arms = ["", *dict.fromkeys(_arm(board, told) for board in told if _arm(board, told))]
    drawn = list(_lines(told, arms))
    if not drawn:
        return []
    rows = [row for label, line, look, one in drawn for row in _points(one, look | {"label": label, "line": line})]
    marks = [row for label, line, look, one in drawn for row in _marks(one, look | {"label": label, "line": line})]
    every = list(dict.fromkeys(one.axis for *_, one in drawn))
    logs = {_panel(one) for *_, one in drawn if _wide(one)}
    said = "; ".join(_in_words(f"{label} {arms[line]}".strip(), one) for label, line, _, one in drawn)
    kinds = "; kinds of training are lines of their own" if len(arms) > 2 else ""
    caption = (
        f"Robustness: {METRIC} against one thing that is changed{kinds}. Grey: rows without training, told the width "
        f"of the centre. Crosses: fallen by {FALL:g}. Cut at {LOWEST:g}.".replace("-", "−")
    )
    alt = f"{METRIC} along {', '.join(map(_spoken, every))}. {said}"
    return [Drawing(caption, alt, sheet(rows, marks, arms, logs=logs, y_label=METRIC, lowest=LOWEST))]


def _arm(board: Told, told: Sequence[Told]) -> str:
    """What tells the lines of a board apart: the arm, else its data, where there are several boards."""
    alone = len(told) == 1 or [other.arm for other in told].count(board.arm) == 1
    return board.arm if board.arm and alone else board.data if len(told) > 1 else ""


def _lines(told: Sequence[Told], arms: Sequence[str]) -> Iterator[tuple[str, int, dict[str, Any], Curve]]:
    """Label, number of the arm, look and curve; a reference that is the same on every board stands once."""
    seen: set[tuple[str, Curve]] = set()
    for board in told:
        for label, own in _shown(board.frame):
            reference = bool((own["kind"] == "reference").iloc[0])
            for one in curves(own, board.conditions):
                if reference and (label, one) in seen:
                    continue
                alike = any(name == label and other.axis == one.axis for name, other in seen)
                line = arms.index(_arm(board, told)) if not reference or alike else 0
                seen |= {(label, one)} if reference else set()
                look = {"kind": "reference" if reference else "pick", "style": int(own["style"].iloc[0])}
                yield label, line, look, one


def _points(one: Curve, look: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for place, (step, value) in enumerate(one.points):
        x, note = (float(place), str(step)) if one.named else (float(step), "")
        yield {"panel": _panel(one), "x": x, "y": value, "note": note, **look}


def _marks(one: Curve, look: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    steps = [step for step, _ in one.points]
    for _, at in one.breaks():
        x, y = (steps.index(at), dict(one.points)[at]) if one.named else (at, one.start - FALL)
        yield {"panel": _panel(one), "x": float(x), "y": y, **look}


def _panel(one: Curve) -> str:
    return f"{_spoken(one.axis)} ({one.unit})" if one.unit else _spoken(one.axis)


def _wide(one: Curve) -> bool:
    return one.unit == FACTOR and one.points[-1][0] / one.points[0][0] > NARROW


def _in_words(name: str, one: Curve) -> str:
    points = ", ".join(f"{one.said(step)} {value:.0f}" for step, value in one.points)
    return f"{name}, {_spoken(one.axis)}: {points}".replace("-", "−")


def _spoken(axis: str) -> str:
    return axis.replace("_", " ")


def _plain(value: float) -> str:
    return f"{value:.1f}".replace("-", "−")


def _signed(change: float) -> str:
    return f"{change:+.1f}".replace("-", "−")
