"""Searches of hyperparameters on the page: what was tried, what the pick gains over the defaults, the figures."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from smlmbench.figures.style import DPI, WIDTH
from smlmbench.report.boards.intervals import gap
from smlmbench.report.boards.planned import Planned
from smlmbench.report.drawings import Drawing, embedded
from smlmbench.report.model import Board, Record, Run
from smlmbench.report.row import finite, read_json
from smlmbench.report.words import decimals, interval, number

FILE = "search.json"
# Figures by file name: caption, and whether it stands open.
FIGURES = {
    "best_of_k": ("What K trials are worth", True),
    "pareto_device_latency_ms": ("Accuracy against latency", True),
    "pareto_n_params": ("Accuracy against the number of parameters", True),
    "history": ("Every trial and the best so far", False),
    "importances": ("What mattered", False),
    "slices": ("Every setting", False),
    "parallel": ("Every trial through its settings", False),
}


class Found(NamedTuple):
    """One search by the name of its Optuna study, with its run."""

    name: str
    run: Run
    document: Mapping[str, Any]


def searches_of(record: Record) -> list[Found]:
    """The newest run of every search."""
    found: dict[str, Found] = {}
    for run in record.runs:
        if run.role == "search" and (document := read_json(run.artifact(FILE))):
            name = str(document.get("name", ""))
            found.setdefault(name, Found(name, run, document))
    return list(found.values())


def picked_cells(record: Record) -> list[Mapping[str, Any]]:
    """Rows of picks and defaults of all searches, as they stand in a plan."""
    cells: dict[str, Mapping[str, Any]] = {}
    for item in (item for found in searches_of(record) for item in found.document.get("cells", [])):
        cells.setdefault(str(item.get("cell_id", "")), item)
    return list(cells.values())


def tried_cells(record: Record) -> set[str]:
    """Identities of all trials, which are rows of searches, not of plans."""
    lists = [numbers for found in searches_of(record) for numbers in found.document.get("trial_cells", {}).values()]
    return {str(number) for numbers in lists for number in numbers}


def count_trials(boards: Sequence[Board], searches: Sequence[Found]) -> None:
    """Add the trials of searches to the combinations that each entrant has tried."""
    for board in boards:
        of_data = [
            found.document.get("trial_cells", {}) for found in searches if found.document.get("data") == board.data
        ]
        for entry in board.everything:
            trials = {str(number) for cells in of_data for number in cells.get(entry.name, ())}
            if trials and not entry.is_reference and entry.entrant[2] in ("", "none"):
                lines = [other for other in board.everything if other.entrant == entry.entrant and other.was_run]
                entry.trials = len(trials) + sum(trials.isdisjoint(row.row_id for row in line.rows) for line in lines)


def search_sections(boards: Sequence[Board], searches: Sequence[Found], planned: Planned) -> list[dict[str, Any]]:
    """Each search in the order of their names, as the templates name its parts; the folded figures come last."""
    made = []
    for found in sorted(searches, key=lambda one: one.name):
        document, data = found.document, str(found.document.get("data", ""))
        sentences = [_tried(document), *_reached(document, planned.asked(data).title)]
        sentences += [said for board in boards if board.data == data if (said := _tested(document, board))][:1]
        heading = f"{document.get('model', '')} on {data}"
        parts = {"title": heading, "run_id": found.run.run_id, "sentences": sentences, "drawings": _drawings(found)}
        made.append(parts)
    return made


def _tried(document: Mapping[str, Any]) -> str:
    states = {name: count for name, count in document.get("states", {}).items() if count and name != "done"}
    also = f" ({', '.join(f'{count} {name}' for name, count in states.items())})" if states else ""
    asked, tried = document.get("asked", 0), document.get("tried", 0)
    unfinished = f" of {asked}" if tried < asked else ""
    aims = " and ".join(document.get("objectives", []))
    random = document.get("random", {}).get("tried", 0)
    beside = f", beside {random} trials of random search" if random else ""
    return f"{tried}{unfinished} trials{also} towards {aims} with {document.get('sampler', '')}{beside}."


def _reached(document: Mapping[str, Any], named: Callable[[str], str]) -> list[str]:
    pick, default = document.get("pick"), document.get("default") or {}
    if not pick:
        return ["No trial reached a number, so there is no pick."]
    values = pick.get("values", {}).items()
    settings = ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in values
    )
    if pick.get("trial") == default.get("trial"):
        return [f"The pick is the default settings ({settings}): the search found nothing better on validation."]
    objective = next(iter(document.get("objectives", [])), "")
    said = [f"Pick: trial {pick.get('trial')} with {settings}."]
    reached, beside = (one.get("reached", {}).get(objective) for one in (pick, default))
    for metric, where, ours, theirs in (
        (objective.partition("/")[2], "validation", reached, beside),
        (
            document.get("primary", ""),
            "the holdout set, which chose nothing",
            pick.get("holdout"),
            default.get("holdout"),
        ),
    ):
        if finite(ours) is None:
            continue
        against = ""
        if finite(theirs) is not None:
            against = f" against {theirs:.4g} with the default settings ({ours - theirs:+.3g})"
        said.append(f"{named(str(metric))} on {where}: {ours:.4g}{against}.")
    return said


def _tested(document: Mapping[str, Any], board: Board) -> str:
    """The paired difference on the test set, in words."""
    pick, default = document.get("pick") or {}, document.get("default") or {}
    if not pick or pick.get("cell_id") == default.get("cell_id"):
        return ""
    ours, theirs = (board.by_row.get(str(one.get("cell_id", ""))) for one in (pick, default))
    if ours is None or theirs is None or not ours.scored_rows or not theirs.scored_rows:
        return "The pick and the default settings are not both tested yet."
    found = gap(ours, theirs, board, board.primary, board.conditions)
    if found.value is None:
        return "The pick and the default settings have no repeat in common, so they are not compared on the test set."
    places = decimals([found.value])
    change = f"{number(found.value, places)} {interval(found, places)}"
    said = f"{board.heading} on the test set, pick minus default settings: {change}"
    if found.verdict == "unknown":
        return f"{said} (one repeat, so chance is not ruled out)."
    return f"{said}: {'a gain' if found.verdict == 'win' else 'a loss' if found.worse else 'no gain is shown, a tie'}."


def _drawings(found: Found) -> list[Drawing]:
    made = []
    for name, (caption, is_open) in FIGURES.items():
        path = found.run.artifact(f"figures/{name}.png")
        if path is not None and path.is_file():
            alt = f"{caption}: search {found.name}"
            image = path.read_bytes()
            wide = int.from_bytes(image[16:20], "big") > 1.5 * WIDTH * DPI  # a PNG's width in px
            made.append(embedded(caption, alt, image, wide=wide, folded=not is_open))
    return made
