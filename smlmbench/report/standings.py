"""How models stand over many conditions (mean ranks, profiles), and which settings led to which score."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from smlmbench.figures.parallel import parallel
from smlmbench.figures.standings import mean_ranks, profiles
from smlmbench.report.boards.frame import drawn
from smlmbench.report.boards.rows import canonical
from smlmbench.report.drawings import Drawing, embedded
from smlmbench.report.model import BLOCKS, Board, Entry
from smlmbench.report.row import as_number
from smlmbench.statistics import LEAST_CONDITIONS, LEAST_RANKED, LEVEL, Ranks, compare_ranks, performance_profile

WORLD = ("psf", "structure", "camera")  # conditions that differ in nothing else are levels of a sweep
LEAST_PROFILED = 3
LEAST_LINES, LEAST_SETTINGS, MOST_SETTINGS = 4, 2, 9


class Standing(NamedTuple):
    """Models by mean rank, best first (label, style, x), with the places of those that nothing tells apart."""

    rows: pd.DataFrame
    groups: list[list[int]]
    ranks: Ranks
    conditions: int


def standing(boards: Sequence[Board]) -> Standing | str:
    """Mean ranks of the picks over all conditions of boards of one task and protocol, or why there are none."""
    known = [_worlds(board) for board in boards if board.conditions]
    table = pd.concat(known) if known else pd.DataFrame()
    wide = pd.DataFrame()
    if len(table):
        wide = table.pivot_table("y", "world", "entrant", "mean", sort=False).dropna(axis=1)
    if wide.shape[1] < LEAST_RANKED or len(wide) < LEAST_CONDITIONS:
        return (
            f"No mean ranks: they take {LEAST_RANKED} models and {LEAST_CONDITIONS} conditions that differ in PSF, "
            f"structure, camera or source (levels of a sweep count once); here are {wide.shape[1]} and {len(wide)}."
        )
    ranks = compare_ranks(boards[0].sign * wide)
    first = table.drop_duplicates("entrant").set_index("entrant").loc[wide.columns]
    rows = first.assign(x=ranks.mean, at=range(len(first))).sort_values("x", kind="stable")
    place = {row: at for at, row in enumerate(rows["at"])}
    groups = [sorted(place[row] for row in group) for group in ranks.alike]
    return Standing(rows[["label", "style", "x"]].reset_index(drop=True), groups, ranks, len(wide))


def _worlds(board: Board) -> pd.DataFrame:
    """The primary of each pick in each condition, with what the condition is apart from the levels of a sweep."""
    rows = drawn(board, board.primary, board.conditions)
    rows = rows[(rows["kind"] == "pick") & rows["y"].notna()]
    known = {name: [str(board.facts[name].get(fact, "")) for fact in WORLD] for name in board.conditions}
    worlds = {name: canonical(told if any(told) else board.data) for name, told in known.items()}
    entrants = [canonical(board.everything[line].entrant) for line in rows["line"]]
    return rows.assign(world=rows["panel"].map(worlds), entrant=entrants)[["world", "entrant", "label", "style", "y"]]


def rank_drawing(boards: Sequence[Board]) -> Drawing:
    """The critical difference diagram, or the reason why there is none in its place."""
    found = standing(boards)
    if isinstance(found, str):
        return Drawing(found, "", "", wide=True)
    what = f"Mean ranks by {boards[0].heading} over {found.conditions} conditions ({_named(boards)})"
    names = list(found.rows["label"])
    joined = "; ".join(", ".join(names[place] for place in group) for group in found.groups) or "none"
    spoken = "; ".join(f"{label} {x:.2f}" for label, x in zip(names, found.rows["x"], strict=True))
    p_value = found.ranks.p_value
    outcome = (
        "no difference is shown, so one bar joins all" if p_value >= 1 - LEVEL else "bars join what it cannot tell"
    )
    return embedded(
        f"{what}; 1 is best. Friedman's test: p = {p_value:.2g}; Nemenyi's critical difference at 5 %: "
        f"{found.ranks.critical:.2f}: {outcome}. Levels of a sweep count once, repeats are averaged first.",
        f"{what}: {spoken}. Critical difference {found.ranks.critical:.2f}. Not told apart: {joined}",
        mean_ranks(found.rows, found.groups, found.ranks.critical, x_label=rank_label(found)),
    )


def rank_label(found: Standing) -> str:
    """Of the axis of mean ranks."""
    return f"mean rank over {found.conditions} conditions (1 is best)"


def _named(boards: Sequence[Board]) -> str:
    return ", ".join(dict.fromkeys(board.data for board in boards))


def profile_rows(board: Board) -> pd.DataFrame:
    """Steps of the picks' and references' profiles; empty with fewer than three conditions."""
    rows: list[dict[str, Any]] = []
    if len(board.conditions) < LEAST_PROFILED:
        return pd.DataFrame(rows)
    for entry in board.entries:
        repeats = [entry.get(name, board.primary).by_repeat for name in board.conditions]
        if entry.is_ceiling or not all(repeats):
            continue
        reached, shares = performance_profile([[board.sign * one for one in of.values()] for of in repeats])
        kind = "reference" if entry.is_reference else "pick"
        named = {"label": entry.label, "kind": kind, "style": entry.style}
        rows += [{**named, "x": x, "y": y} for x, y in zip(board.sign * reached, shares, strict=True)]
    return pd.DataFrame(rows) if any(row["kind"] == "pick" for row in rows) else pd.DataFrame()


def profile_drawing(board: Board) -> Drawing | None:
    """Share of conditions in which each row reaches a score."""
    rows = profile_rows(board)
    if not len(rows):
        return None
    what = f"Performance profiles of {board.heading} on {board.data}"
    half = rows[rows["y"] >= 0.5].groupby("label", sort=False)["x"].last()
    spoken = "; ".join(f"{label} {x:.3g}" for label, x in half.items())
    return embedded(
        f"{what}: the share of its {len(board.conditions)} conditions (each repeat counts) in which a row reaches the "
        "score below or a better one. A line that lies above another everywhere is the better one; dashed: references.",
        f"{what}. Reached in half of the conditions: {spoken}",
        profiles(rows, x_label=board.heading),
    )


def setting_columns(board: Board) -> tuple[list[Entry], dict[str, list[Any]]]:
    """Trained lines with a validation score, and of each setting in which lines of one network differ its values."""
    entries = [one for one in board.everything if not one.is_reference and one.validation is not None]
    held = [_settings(entry) for entry in entries]
    networks = [entry.entrant[0] for entry in entries]
    names = dict.fromkeys(name for settings in held for name in settings)
    differing = [name for name in names if _differs(networks, [settings.get(name) for settings in held])]
    columns = {name: [settings.get(name) for settings in held] for name in differing}
    return entries, columns


def _settings(entry: Entry) -> dict[str, Any]:
    """What was chosen for a line by name: loss, λ, then its settings; structured values as text."""
    labels = entry.rows[0].labels
    number = as_number(labels.get("lambda", ""))
    found: dict[str, Any] = {"loss": labels.get("loss"), "λ": number if number else None}
    if (method := labels.get("method", "")) != "supervised":
        found |= {"method": method, "teacher": labels.get("teacher", "")}
    for block in BLOCKS.values():
        for name, value in getattr(entry.rows[0], block).items():
            if name != "weight":
                plain = value is None or (isinstance(value, int | float | str) and not isinstance(value, bool))
                found.setdefault(name, value if plain else canonical(value))
    return found


def _differs(networks: Iterable[str], values: Iterable[Any]) -> bool:
    """Whether lines of one network have two values of it; one that only some have follows from another setting."""
    of: dict[str, set[str]] = {}
    for network, value in zip(networks, values, strict=True):
        if value is not None:
            of.setdefault(network, set()).add(canonical(value))
    return any(len(found) > 1 for found in of.values())


def settings_drawing(board: Board) -> Drawing | None:
    """Parallel coordinates of the trained lines, where they differ in several settings."""
    entries, columns = setting_columns(board)
    if len(entries) < LEAST_LINES or len(columns) < LEAST_SETTINGS:
        return None
    shown: Mapping[str, list[Any]] = dict(list(columns.items())[:MOST_SETTINGS])
    networks = [entry.entrant[0] for entry in entries]
    if len(set(networks)) > 1:
        shown = {"network": networks, **shown}
    what = f"Settings and {board.heading} on validation on {board.data}"
    more = f" Not drawn: {', '.join(list(columns)[MOST_SETTINGS:])}." if len(columns) > MOST_SETTINGS else ""
    picks = (entry for entry in entries if entry.picked)
    spoken = "; ".join(f"{entry.label} {entry.validation:.3g}" for entry in picks)
    return embedded(
        f"{what}: a line for each of {len(entries)} combinations, by network in colour; thick: the pick of each "
        f"model.{more}",
        f"Parallel coordinates of {what} over {', '.join(shown)}. Picks: {spoken}",
        parallel(
            shown,
            [entry.validation or 0.0 for entry in entries],
            f"{board.heading} (validation)",
            styles=[entry.style for entry in entries],
            picked=[entry.picked for entry in entries],
        ),
    )
