"""The contract of what a task says of a movie without truth: stored of each row, and the page's part for all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from smlmbench.tasks.contracts.sections import Drawing


@dataclass(frozen=True, slots=True)
class Untrue:
    """What can be said of one row's answer without a truth; all that needs pixels, for the movie may be gone later.

    Attributes:
        values, reasons: Finite numbers, and why others cannot be computed, by name.
        profiles: What changes along an axis, by name: columns of one length, None where a place has no number.
        pictures: PNG or SVG by name.
        lines: Sentences on the movie itself, whoever answers.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    profiles: Mapping[str, Mapping[str, Sequence[float | None]]] = field(default_factory=dict)
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    lines: Sequence[str] = ()

    @property
    def block(self) -> dict[str, Any]:
        """As a file holds it, without the pictures."""
        found = {name: dict(getattr(self, name)) for name in ("values", "reasons", "profiles")}
        return found | {"lines": list(self.lines)}

    def joined(self, other: "Untrue") -> "Untrue":
        """Both together."""
        names = ("values", "reasons", "profiles", "pictures")
        both: dict[str, Any] = {name: {**getattr(self, name), **getattr(other, name)} for name in names}
        return Untrue(**both, lines=(*self.lines, *other.lines))


@dataclass(frozen=True, slots=True)
class AppliedRow:
    """What the store has of one row's answer to a movie.

    Attributes:
        label: As the board names it; `reference` for rows without training, `style` the colour of a trained one.
        stored: The whole JSON: numbers of `Task.score` (`values`, ...), `alone` with what `Task.applied` gave.
        pictures: By name.
        answer: What `Task.read` gives of the written files; None where nothing is there.
    """

    label: str
    reference: bool
    style: int
    stored: Mapping[str, Any]
    pictures: Mapping[str, bytes]
    answer: Callable[[], Any]

    def value(self, name: str) -> float | None:
        """A number of `applied`, else of `score`."""
        for block in (self.stored.get("alone") or {}, self.stored):
            found = (block.get("values") or {}).get(name)
            if isinstance(found, int | float):
                return float(found)
        return None

    def reason(self, name: str) -> str:
        """Why there is no such number, or empty."""
        blocks = (self.stored.get("alone") or {}, self.stored)
        return next((str(said[name]) for block in blocks if name in (said := block.get("reasons") or {})), "")

    @property
    def lines(self) -> Sequence[str]:
        """Sentences on the movie."""
        return (self.stored.get("alone") or {}).get("lines") or ()

    def profile(self, name: str) -> Mapping[str, Sequence[float | None]]:
        """Columns of a profile; empty where there is none."""
        return ((self.stored.get("alone") or {}).get("profiles") or {}).get(name) or {}


@dataclass(frozen=True, slots=True)
class Grid:
    """A small table of texts; the first column names the rows."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class MoviePart:
    """What a page says of one movie without truth: sentences first, `unknown` is what nobody can say without one."""

    sentences: tuple[str, ...] = ()
    grids: tuple[Grid, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    unknown: tuple[str, ...] = ()
