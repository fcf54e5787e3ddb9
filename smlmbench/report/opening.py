"""What MLflow's page of a study opens on: the numbers that rank, how they came about, what they cost."""

from collections.abc import Sequence

from smlmbench.report.boards.planned import Planned
from smlmbench.report.model import LATENCY, Asked
from smlmbench.tracking import tags as names
from smlmbench.tracking import views
from smlmbench.tracking.records import RunRecord, StudyRecord
from smlmbench.tracking.store import Store

TITLE = "Leaderboard"
TOLD = ("task", "data", "model", "loss", "lambda", "method", "teacher", "repeat")  # params that tell rows apart
COSTS = ("n_params", "train_s")
HEADLINES = 4  # numbers beside the one that ranks
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
    several = len(asked) > 1
    charts = {
        f"Headline: {name}" if several else "Headline": _charts(one, _of_task(runs, name) if several else runs)
        for name, one in asked.items()
    }
    first = next(iter(asked.values()))
    told = [*_differing(runs, TOLD), *(name for name in COSTS if any(name in run.params for run in runs))]
    ranked = [f"test/{metric}" for one in asked.values() for metric in (one.primary, *one.headline[1 : HEADLINES + 1])]
    numbers = [name for name in (*ranked, LATENCY) if any(name in run.metrics for run in runs)]
    metrics = dict.fromkeys(name for run in record.runs for name in run.metrics)
    folded = sorted(views.sections_of(list(metrics)), key=lambda name: (name.startswith("device"), name))
    columns = [views.column("params", name) for name in told] + [views.column("metrics", name) for name in numbers]
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


def _of_task(runs: Sequence[RunRecord], task: str) -> list[RunRecord]:
    return [run for run in runs if run.params.get("task") == task]


def _differing(runs: Sequence[RunRecord], params: Sequence[str]) -> list[str]:
    """Which params have more than one value; the model is told always."""
    values = {name: {run.params.get(name, "") for run in runs} for name in params}
    return [name for name in params if len(values[name]) > 1 or name == "model"]
