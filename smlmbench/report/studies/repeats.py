"""The repeats of each combination as one run of MLflow above them: means with the intervals of the report."""

from collections.abc import Iterator, Sequence

from smlmbench.report.boards import conditions_of
from smlmbench.report.boards.intervals import estimate
from smlmbench.report.boards.planned import Planned
from smlmbench.report.boards.rows import combination, join
from smlmbench.report.model import LATENCY, Asked, Record, Row
from smlmbench.report.row import mean
from smlmbench.report.searches import picked_cells
from smlmbench.study.identity import short_hash
from smlmbench.tracking.parents import Parent

MEAN = "mean"
HEADLINES = 4  # numbers beside the one that ranks


def parents_of(record: Record) -> list[Parent]:
    """One parent for every planned combination (data x model x loss x lambda x settings) of which several repeats ran.

    Its numbers are those of the leaderboard: `mean/<number>` over repeats and test conditions, with the ends of the
    95 % interval as `_low` and `_high` where there is one; `mean.<condition>/<primary>`; the latency; and how many
    repeats count. Repeats that failed are its children too.
    """
    planned, groups = Planned(record.plan), dict[str, list[Row]]()
    for row in join(record, picked_cells(record)):
        if row.kind == "cell":
            groups.setdefault(combination(row), []).append(row)
    parents = []
    for key, rows in groups.items():
        runs = [row.run for row in rows if row.run is not None]
        if len(runs) < 2:
            continue
        labels = {name: value for name, value in rows[0].labels.items() if name != "repeat"}
        scored = [row for row in rows if row.scored]
        conditions = conditions_of(record.plan.get("conditions", {}).get(rows[0].data, {}))
        numbers = dict(_numbers(scored, planned.asked(rows[0].data), conditions))
        parents.append(Parent(short_hash(key), _name(labels, short_hash(key)), labels, numbers, runs))
    return parents


def headlines(asked: Asked) -> list[str]:
    """The number that ranks, and the few that MLflow shows beside it."""
    return [asked.primary, *asked.headline[1 : HEADLINES + 1]]


def _numbers(scored: Sequence[Row], asked: Asked, conditions: Sequence[str]) -> Iterator[tuple[str, float]]:
    yield f"{MEAN}/repeats", float(len(scored))
    places = [(MEAN, name, conditions) for name in headlines(asked)]
    if len(conditions) > 1:
        places += [(f"{MEAN}.{condition}", asked.primary, [condition]) for condition in conditions]
    for section, name, over in places:
        found = estimate(scored, name, over)
        for end, value in (("", found.value), ("_low", found.low), ("_high", found.high)):
            if value is not None:
                yield f"{section}/{name}{end}", value
    latency_ms = mean(row.metric(LATENCY) for row in scored)
    if latency_ms is not None:
        yield f"{MEAN}/latency_ms", latency_ms


def _name(labels: dict[str, str], key: str) -> str:
    method = labels.get("method", "supervised")
    taught = "" if method == "supervised" else f"-{method}"
    told = (f"{labels.get('model', '')}{taught}", labels.get("loss", ""), labels.get("lambda", ""), MEAN, key[:6])
    return "-".join(told)
