"""Tables of the page as plain text in cells; the templates escape and dress them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from smlmbench.report.model import Entry, Gap
from smlmbench.report.words import interval, number

COST = "Cost"  # a group whose headings say enough alone


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: a text, a second line in small print, a tooltip, a run to link to, warnings in words.

    `look` are CSS classes, `sort` is the value to sort by, empty to sort by the text; `row` an id on the page
    where more of it stands.
    """

    text: str
    small: str = ""
    hint: str = ""
    run_id: str = ""
    flags: tuple[str, ...] = ()
    look: str = ""
    sort: str = ""
    row: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A heading with its explanation, and what stands below it: `read` gives the cell of an item, a text a plain one.

    Numeric ones are aligned right, those that wrap may break their lines; `group` is a heading above, shared by
    neighbours. Where `choose` names what it holds, rows can be chosen by its texts (the first line of a cell).
    """

    title: str
    read: Callable[[Any], Cell | str | None]
    hint: str = ""
    numeric: bool = True
    wraps: bool = False
    group: str = ""
    choose: str = ""


@dataclass
class Table:
    """Columns, and rows of cells with the classes of each row."""

    caption: str
    columns: list[Column]
    rows: list[tuple[str, list[Cell]]]

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Headings above the columns and how many each spans; empty where there are none."""
        found = [(name, len(list(alike))) for name, alike in groupby(column.group for column in self.columns)]
        return found if len(found) > 1 else []

    @property
    def flat_titles(self) -> list[str]:
        """Headings that carry the name of their group, for tables with one line of them."""
        return [one.title if one.group in ("", COST) else f"{one.group}: {one.title}" for one in self.columns]

    @property
    def labels(self) -> list[str]:
        """Headings for a card of one row: with the name of their group only where that tells two apart."""
        titles = [one.title for one in self.columns]
        flat = zip(titles, self.flat_titles, strict=True)
        return [whole if titles.count(title) > 1 else title for title, whole in flat]


def tabulate(
    caption: str, columns: list[Column], items: Iterable[Any], look: Callable[[Any], str] = lambda _: "pick"
) -> Table:
    """A table with a row for each item."""
    read = ((look(item), [column.read(item) for column in columns]) for item in items)
    rows = [(name, [one if isinstance(one, Cell) else Cell(one or "") for one in cells]) for name, cells in read]
    return Table(caption, columns, rows)


def sortable(text: str, value: float | None, small: str = "") -> Cell:
    """A number as written, sorted by its value."""
    return Cell(text, small, sort="" if value is None else f"{value}")


def changed(gap: Gap, places: int, word: str = "", *, signed: bool = False) -> Cell:
    """A paired difference with its interval, and a word on it."""
    text = number(gap.value, places)
    plus = "+" if signed and (gap.value or 0.0) > 0 and text.strip("0.,") else ""
    return sortable(plus + text, gap.value, f"{interval(gap, places)} {word}".strip())


def loss_of(entry: Entry) -> str:
    """Loss and λ of a trained line."""
    labels = entry.rows[0].labels
    return "" if entry.is_reference else f"{labels.get('loss', '')}, λ = {labels.get('lambda', '')}"


def look_of(entry: Entry) -> str:
    """CSS class of a line."""
    return "reference" if entry.is_reference else "best" if entry.best else "pick" if entry.picked else "other"
