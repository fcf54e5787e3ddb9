"""smlmbench search: look for better settings of the models of a study, then test what was found."""

import signal
from dataclasses import dataclass
from typing import Annotated

import typer

from smlmbench.cli.fields import from_fields
from smlmbench.cli.options import DataRoot, Plugins, Repeats, Sets, Store, StudyFile
from smlmbench.cli.output import emit, note
from smlmbench.cli.run import Cluster, Device, InferDevice, MaxHours, RetryFailed, Scheduler, Workers

Trials = Annotated[int | None, typer.Option("--trials", min=1, help="Trials per model, instead of the study's.")]


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line."""

    study: StudyFile
    trials: Trials = None
    sets: Sets = None
    repeats: Repeats = None
    max_hours: MaxHours = None
    data_root: DataRoot = None
    store: Store = None
    device: Device = "auto"
    infer_device: InferDevice = None
    retry_failed: RetryFailed = False
    plugins: Plugins = None
    workers: Workers = None
    scheduler: Scheduler = None
    cluster: Cluster = None


@from_fields(Asked)
def command(asked: Asked) -> None:
    """Search the settings of every model with Optuna; the same command continues where it stopped.

    Trials are chosen on validation. The pick and the defaults are then trained with all repeats and tested.

    Example: smlmbench search experiments/search.yaml --trials 30
    """
    from smlmbench.errors import ConfigError
    from smlmbench.study.load import load_study
    from smlmbench.study.planning.spaces import describe_searches, spaces
    from smlmbench.tracking.store import open_store

    sets = list(asked.sets or ())
    sets += [] if asked.trials is None else [f"search.trials={asked.trials}"]
    sets += [] if asked.repeats is None else [f"repeats={asked.repeats}"]
    loaded = load_study(asked.study, sets=sets, data_root=asked.data_root, plugins=asked.plugins or ())
    if loaded.study.search is None:
        raise ConfigError(f"{loaded.path.name}: no block `search`; add `search: {{trials: 30}}` or give --trials 30")
    lines = describe_searches(loaded, spaces(loaded))
    opened = open_store(asked.store)
    note(opened.describe())
    for line in lines:
        note(line)
    # A job queue ends a job with SIGTERM: treated like Ctrl-C, so that the running trial is kept.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    from smlmbench.run.progress import Reporter
    from smlmbench.run.searching.hunting import run_searches
    from smlmbench.run.studies.study import options_of

    options = options_of(
        asked.workers,
        asked.scheduler,
        asked.cluster,
        device=asked.device,
        retry_failed=asked.retry_failed,
        max_hours=asked.max_hours,
        infer_device=asked.infer_device,
    )
    with Reporter() as reporter:
        finished = run_searches(loaded, opened, reporter, options)
    said = ", ".join(f"{count} {status}" for status, count in sorted(finished.statuses.items()))
    emit(f"{said or 'nothing was tested yet'}; leaderboard: {finished.report}")
    note(f"look at the trials with: optuna-dashboard sqlite:///{opened.optuna_path}")
    ends = finished.statuses
    if not ends or finished.unfinished or ends.get("failed") or ends.get("collapsed"):
        raise typer.Exit(1)
