"""A stranger's questions, each answered in a sentence or two, with where on the page the answer stands."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from smlmbench.addresses import command as command_line
from smlmbench.report.access import Access
from smlmbench.report.boards.intervals import gap, gaps
from smlmbench.report.devices import REAL_TIME_MS, best_within, given_words, timings
from smlmbench.report.drawings import lambda_rows
from smlmbench.report.model import LATENCY, Board, Entry, Estimate, Gap, Row
from smlmbench.report.row import finite
from smlmbench.report.words import decimals, interval, listed, milliseconds, number, recipe, signed, with_interval
from smlmbench.tracking.tags import TIMED_ON

SURELY = (
    "Surely: the difference, paired over the same frames and repeats, has an interval without 0 and one sign in every "
    "repeat."
)
EACH = "All pairs of a condition count (Holm)."
ITS_LESS_THEIRS = "Differences are its own less theirs."
MOST_NAMED = 4
# What options of a command are for, in front of it.
GIVEN = {
    "--camera": "the camera's settings in camera.yaml (smlmbench calibrate writes them)",
    "--places": "the emitters' places in places.csv (frame, x_nm, y_nm; the table of any fitter)",
}


@dataclass(frozen=True, slots=True)
class Answered:
    """A question, its answers, the id on this page where more stands and what that place is called, a command."""

    question: str
    answers: tuple[str, ...]
    place: str
    called: str
    command: str = ""


def questions(boards: Sequence[Board], rows: Sequence[Row], access: Access) -> list[Answered]:
    """What a reader asks first, of every board that has a scored training."""
    told = [(f"board-{place}", board) for place, board in enumerate(boards) if board.competitors]
    found = [one for place, board in told for one in _of_board(place, board, access, several=len(told) > 1)]
    return [*found, _failures(rows)]


def _of_board(place: str, board: Board, access: Access, *, several: bool) -> Iterator[Answered]:
    on = f" on {board.data}" if several else ""
    table = f"the table of {board.data}"
    asked = (
        (f"Which is best at each condition{on}, and how surely?", _by_condition(board), place, table),
        (f"Which is best{on} if a frame may take {_budgets()} ms?", _within(board), place, table),
        (f"How fast is the best on a CPU{on}?", _on_cpu(board),
         *((f"{place}-timings", f"every timing on {board.data}") if timings(board) else (place, table))),
        (f"How far from the limit{on}?", _limit(board), place, table),
        (f"Where does it break{on}?", _breaks(board), f"{place}-figures", f"the figures of {board.data}"),
        (f"Is it better than fitting without training{on}?", _fitters(board), place, table),
        (f"What does λ do{on}?", _weights(board), f"{place}-figures", f"the figures of {board.data}"),
    )  # fmt: skip
    yield from (Answered(question, answers, at, called) for question, answers, at, called in asked if answers)
    if (run := _lead(board).scored_rows[0].run) is not None:
        given = given_words(board)
        needed = " and ".join(said for option, said in GIVEN.items() if option in given)
        yield Answered(
            f"How do I run it on my movie{on}?",
            (f"With {needed}:" if needed else f"On {given[0]}:",),
            "rows", "all rows, for the ids of other trainings",
            command_line("smlmbench", "predict", run.run_id, *given, "-o", "results", *access.store),
        )  # fmt: skip


def _lead(board: Board) -> Entry:
    return next((entry for entry in board.competitors if entry.best), board.competitors[0])


def _budgets() -> str:
    return " or ".join(f"{limit:g}" for limit in REAL_TIME_MS)


def _scored(entries: Sequence[Entry], board: Board, condition: str) -> list[tuple[Entry, Estimate]]:
    """Those with the primary at a condition, best first."""
    found = [(entry, entry.get(condition, board.primary)) for entry in entries]
    known = [(entry, one) for entry, one in found if one.value is not None]
    return sorted(known, key=lambda pair: -board.sign * (pair[1].value or 0.0))


def _overlap(one: Estimate, other: Estimate) -> bool:
    """Whether two intervals have a value in common; a number without interval is told apart from nothing."""
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return True
    return one.low <= other.high and other.low <= one.high


def _by_condition(board: Board) -> tuple[str, ...]:
    if len(board.conditions) < 2:  # the sentences above are of it
        return ()
    said = []
    for condition in board.conditions:
        if not (ranked := _scored(board.competitors, board, condition)):
            continue
        (entry, best), *others = ranked
        found = gaps([entry for entry, _ in ranked], board, board.primary, [condition])
        places = decimals([best.value])
        near = [
            (other.label, found[0, k])
            for k, (other, one) in enumerate(others, 1)
            if not _surely(found[0, k], best, one)
        ]
        than = f"not surely better than {_listed(near, places)}" if near else "surely better than all others"
        name = " · ".join(filter(None, (condition, board.section.beside.get(condition))))
        said.append(f"{name}: {recipe(entry)}, {with_interval(best)}; {than if others else 'nothing else is scored'}.")
    if not said or board.not_ranked or len(board.competitors) < 2:
        return (*said, *([f"Not surely: {board.not_ranked}."] if said and board.not_ranked else []))
    return (*said, f"{SURELY} {EACH} {ITS_LESS_THEIRS}")


def _surely(found: Gap, best: Estimate, other: Estimate) -> bool:
    """Whether the first is better than chance; where nothing can be paired, by intervals that do not overlap."""
    return found.verdict == "win" if _paired(found) else not _overlap(best, other)


def _listed(near: Sequence[tuple[str, Gap]], places: int) -> str:
    """Rows with the difference to each, and what was paired, once where that is the same."""
    shown = near[:MOST_NAMED]
    pairs = {_pairs(found) for _, found in shown}
    each = [
        f"{label} ({_difference(found, places)}{f', n = {_pairs(found)}' if len(pairs) > 1 and _paired(found) else ''})"
        for label, found in shown
    ]
    many = f" and {len(near) - MOST_NAMED} more" if len(near) > MOST_NAMED else ""
    once = f", n = {_pairs(shown[0][1])}" if len(pairs) == 1 and _paired(shown[0][1]) else ""
    return f"{', '.join(each)}{many}{once}"


def _paired(found: Gap) -> bool:
    return found.low is not None


def _difference(found: Gap, places: int) -> str:
    """A paired difference with its interval."""
    return f"{signed(found.value, places)} {interval(found, places)}" if _paired(found) else "no pairs"


def _pairs(found: Gap) -> str:
    """What was paired."""
    repeats, frames = found.paired
    return f"{repeats} repeat{'s' if repeats > 1 else ''}{f' × {frames:,} frames' if frames else ''}"


def _within(board: Board) -> tuple[str, ...]:
    said = []
    for limit in REAL_TIME_MS:
        fits = best_within(board, limit, "cpu")
        if fits is not None:
            one = fits.timing
            score = number(fits.score, decimals([fits.score]))
            said.append(
                f"{limit:g} ms: {one.entry.label} with {one.runtime} in {one.number_format}, {board.heading} {score}, "
                f"{milliseconds(one.latency_ms)} ms for {one.size_px} px on the CPU."
            )
            continue
        quick = [entry for entry in board.competitors if (entry.mean_of(LATENCY) or limit + 1) <= limit]
        if quick:
            ms, score = milliseconds(quick[0].mean_of(LATENCY)), with_interval(quick[0].get(None, board.primary))
            said.append(f"{limit:g} ms: {recipe(quick[0])}, {board.heading} {score}, {ms} ms.")
        else:
            said.append(f"{limit:g} ms: none that was timed.")
    return tuple(said)


def _on_cpu(board: Board) -> tuple[str, ...]:
    """The soonest way of the first row at every size that was timed, and on which processor."""
    lead = _lead(board)
    own = [one for one in timings(board) if one.entry is lead and one.device == "cpu" and not one.slower]
    if not own:
        return (f"{recipe(lead)} was not timed on a CPU.",)
    soonest = {one.size_px: one for one in sorted(own, key=lambda one: -one.latency_ms)}
    told = [
        f"{milliseconds(one.latency_ms)} ms for a frame of {size} px with {one.runtime} in {one.number_format}"
        for size, one in sorted(soonest.items())
    ]
    where = next((one.row.run.tags[TIMED_ON] for one in own if one.row.run and TIMED_ON in one.row.run.tags), "")
    return (f"{recipe(lead)}{f' on {where}' if where else ''}: {'; '.join(told)}.",)


def _limit(board: Board) -> tuple[str, ...]:
    lead = _lead(board)
    own = lead.get(None, board.primary)
    told = [entry for entry in board.references if entry.is_ceiling and board.score(entry) is not None]
    ceilings = [entry for entry in told if not _is_perfect(board, entry)]
    if not ceilings or own.value is None:
        return (
            f"Not known: no row of this study says which {board.heading} can be attained (one that repeats the truth "
            "is a test of the scores); what is held to a bound stands in the table's own columns.",
        )
    places = decimals([board.score(one) for one in [lead, *ceilings]])
    said = []
    for ceiling in ceilings:
        reached = board.score(ceiling) or 0.0
        gap = number(abs(reached - own.value), places)
        said.append(
            f"{ceiling.label}, which was told {', '.join(ceiling.rows[0].knows) or 'the truth'}, reaches "
            f"{number(reached, places)}; {recipe(lead)} has {with_interval(own, places)}, {gap} away."
        )
    return tuple(said)


def _is_perfect(board: Board, entry: Entry) -> bool:
    """Whether a row has the best value that there is, which no estimate from light attains."""
    best = finite(board.asked.measured.get(board.primary, {}).get("low" if board.sign < 0 else "high"))
    return best is not None and math.isclose(board.score(entry) or 0.0, best, abs_tol=1e-9)


def _breaks(board: Board) -> tuple[str, ...]:
    lead = _lead(board)
    found = _scored([lead], board, board.conditions[0]) if board.conditions else []
    at = [(name, lead.get(name, board.primary)) for name in board.conditions]
    known = [(name, one) for name, one in at if one.value is not None]
    if len(known) < 2:
        one = f" ({known[0][0]})" if known and found else ""
        return (f"Not known: it was tested at one condition alone{one}.",)
    order = sorted(known, key=lambda pair: board.sign * (pair[1].value or 0.0))
    (worst, low), (best, high) = order[0], order[-1]
    return (f"{recipe(lead)} goes from {with_interval(high)} at {best} to {with_interval(low)} at {worst}.",)


def _fitters(board: Board) -> tuple[str, ...]:
    lead = _lead(board)
    own = lead.get(None, board.primary)
    told = []
    places = decimals(board.score(entry) for entry in [lead, *board.references])
    for entry in board.references:
        one = entry.get(None, board.primary)
        if entry.is_ceiling or one.value is None or own.value is None:
            continue
        found = gap(lead, entry, board, board.primary, board.conditions)
        word = "better" if board.better(own.value, one.value) else "worse"
        if _paired(found):
            sure = "surely" if found.verdict == "win" or found.worse else "not surely"
            told.append(
                f"{sure} {word} than {entry.label} {with_interval(one, places)}: "
                f"difference {_difference(found, places)}, n = {_pairs(found)}."
            )
        else:
            how = "overlap" if _overlap(own, one) else "do not overlap"
            told.append(f"{word} than {entry.label} {with_interval(one, places)}, not paired: the intervals {how}.")
    if not told:
        return ()
    alone = "One repeat: what another training would give is not in the intervals." if _alone(board) else SURELY
    return (
        f"{recipe(lead)} has {board.heading} {with_interval(own, places)}.",
        *(f"{text[:1].upper()}{text[1:]}" for text in told),
        f"{alone} {ITS_LESS_THEIRS}",
    )


def _alone(board: Board) -> bool:
    return board.not_ranked.startswith("one repeat")


def _weights(board: Board) -> tuple[str, ...]:
    said = []
    for (name, loss), group in lambda_rows(board).groupby(["panel", "label"], sort=False):
        known = group.dropna(subset="y").sort_values("y", key=lambda values: -board.sign * values)
        if len(known) < 2:
            continue
        ends = [
            f"{number(one['y'], decimals(known['y']))} at λ = {one['x']:g}" for _, one in known.iloc[[0, -1]].iterrows()
        ]
        lost = int((group["note"] != "").sum())
        text = f"{name}, {loss}: from {ends[0]} down to {ends[1]} on validation"
        said.append(text.replace("down to", "up to" if board.direction == "down" else "down to")
                    + (f"; {lost} gave no score." if lost else "."))  # fmt: skip
    return tuple(said)


def _failures(rows: Sequence[Row]) -> Answered:
    open_rows = [row for row in rows if row.status != "done"]
    if not open_rows:
        return Answered("Did anything fail?", (f"No: all {len(rows)} planned rows are done.",), "rows", "all rows")
    counts = Counter(row.status for row in open_rows)
    others = listed(f"{n} {name}" for name, n in counts.items())
    said = [f"{len(rows) - len(open_rows)} of {len(rows)} planned rows are done; {others}."]
    why = Counter(f"{row.labels.get('model', '')}: {row.reason}" for row in open_rows if row.reason)
    said += [text if n == 1 else f"{text} ({n} times)" for text, n in why.most_common(MOST_NAMED)]
    if len(why) > MOST_NAMED:
        said.append(f"{len(why) - MOST_NAMED} more reasons stand in the table.")
    return Answered("Did anything fail?", tuple(said), "rows", "all rows, with every reason")
