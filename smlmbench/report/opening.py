"""What MLflow's page of a study opens on: the numbers that rank, how they came about, what they cost.

Means over repeats (runs of role `summary`) have a chart of their own before that of all runs.
"""

from collections.abc import Sequence

from smlmbench.report.boards.planned import Planned
from smlmbench.report.model import LATENCY, Asked
from smlmbench.report.studies.repeats import MEAN, headlines
from smlmbench.tracking import tags as names
from smlmbench.tracking import views
from smlmbench.tracking.parents import ROLE
from smlmbench.tracking.records import RunRecord, StudyRecord
from smlmbench.tracking.store import Store

TITLE = "Leaderboard"
TOLD = ("task", "data", "model", "loss", "lambda", "method", "teacher", "repeat")  # params that tell rows apart
COSTS = ("n_params", "train_s")
CONDITION = (
    f"tags.`{names.ROLE}` != 'study' AND tags.`{names.ROLE}` != 'search' AND tags.`{names.SUPERSEDED_BY}` IS NULL"
)


def open_on_headlines(store: Store, record: StudyRecord) -> None:
    """Keep the view of a study with its experiment; without a number to rank by MLflow's own stays."""
    view = headline_view(record)
    if view is not None:
        made_s = max(run.start_s for run in record.runs)
        views.store_view(store, record.experiment_id, TITLE, view, made_s)


def headline_view(record: StudyRecord) -> views.View | None:
    """The view, or None where no row has the number that ranks it."""
    runs = [run for role in ("cell", "reference") for run in record.rows(role)]
    planned = Planned(record.plan)
    data = dict.fromkeys([*record.plan.get("data", {}), *(run.params.get("data", "") for run in reversed(runs))])
    asked = {one.name: one for one in map(planned.asked, data) if one.primary}
    asked = {name: one for name, one in asked.items() if any(f"test/{one.primary}" in run.metrics for run in runs)}
    if not asked:
        return None
    several, repeated = len(asked) > 1, len({run.params.get("repeat") for run in record.rows("cell")}) > 1
    charts = {
        f"Headline: {name}" if several else "Headline": [
            *([views.bar([f"{MEAN}/{one.primary}"])] if repeated else []),
            *_charts(one, _of_task(runs, name) if several else runs),
        ]
        for name, one in asked.items()
    }
    first = next(iter(asked.values()))
    told = [*_differing(runs, TOLD), *(name for name in COSTS if any(name in run.params for run in runs))]
    ranked = [f"test/{name}" for one in asked.values() for name in headlines(one)]
    numbers = [name for name in (*ranked, LATENCY) if any(name in run.metrics for run in runs)]
    means = [f"{MEAN}/{one.primary}{end}" for one in asked.values() for end in ("", "_low", "_high")]
    logged = dict.fromkeys(name for run in record.runs if run.role != ROLE for name in run.metrics)
    logged |= {_mean_of(name): None for name in logged if name.startswith("test") and repeated}
    folded = sorted(views.sections_of(list(logged)), key=lambda name: (name.startswith("device"), name))
    shown = [*(means if repeated else ()), *numbers]
    columns = [views.column("params", name) for name in told] + [views.column("metrics", name) for name in shown]
    return views.View(
        charts=charts,
        folded=folded,
        columns=[*dict.fromkeys(columns), views.column("attributes", "Dataset")],
        order_by=views.column("metrics", f"test/{first.primary}"),
        ascending=first.direction == "down",
        condition=CONDITION,
    )


def _charts(asked: Asked, runs: Sequence[RunRecord]) -> list[dict[str, object]]:
    primary, watched = f"test/{asked.primary}", f"val/{asked.primary}"
    trained = [run for run in runs if run.role == "cell"]
    timed = any(LATENCY in run.metrics for run in runs)
    drawn = [views.bar([primary])]
    if any(watched in run.metrics for run in trained):
        drawn.append(views.lines(watched))
    if timed:
        drawn.append(views.scatter(LATENCY, primary))
    settings = [name for name in _differing(trained, TOLD) if name not in ("task", "teacher")]
    drawn.append(views.parallel(settings, [*([LATENCY] if timed else []), primary]))
    return drawn


def _mean_of(name: str) -> str:
    return MEAN + name.removeprefix("test")


def _of_task(runs: Sequence[RunRecord], task: str) -> list[RunRecord]:
    return [run for run in runs if run.params.get("task") == task]


def _differing(runs: Sequence[RunRecord], params: Sequence[str]) -> list[str]:
    """Which params have more than one value; the model is told always."""
    values = {name: {run.params.get(name, "") for run in runs} for name in params}
    return [name for name in params if len(values[name]) > 1 or name == "model"]
