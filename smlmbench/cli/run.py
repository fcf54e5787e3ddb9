"""smlmbench run: train, score, time and report a study."""

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from smlmbench.cli.fields import from_fields
from smlmbench.cli.options import DataRoot, Only, Plugins, Repeats, Sets, Store, StudyFile
from smlmbench.cli.output import emit, note

Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps, for training and scoring.")]
InferDevice = Annotated[
    str | None, typer.Option("--infer-device", help="Another device for scoring and predicting after training.")
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Repeat failed and collapsed cells.")]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Train this many cells at a time, each in a process of its own.")
]
Scheduler = Annotated[
    str | None, typer.Option("--scheduler", metavar="tcp://HOST:PORT", help="Train at a running Dask scheduler.")
]
Cluster = Annotated[
    Path | None, typer.Option("--cluster", metavar="CLUSTER.yaml", help="Train as jobs of SLURM, PBS, LSF or SGE.")
]
Dry = Annotated[bool, typer.Option("--dry", help="With --cluster: print the job script and do nothing.")]
MaxHours = Annotated[float | None, typer.Option("--max-hours", min=0.001, help="Begin no new cell after this time.")]


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line."""

    study: StudyFile
    sets: Sets = None
    only: Only = None
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
    dry: Dry = False


@from_fields(Asked)
def command(asked: Asked) -> None:
    """Train, score, time and report a study; the same command again does only what is left.

    Example: smlmbench run experiments/quickstart.yaml --only 'model=fid*'
    """
    from smlmbench.study.load import load_study
    from smlmbench.study.planning.plan import make_plan
    from smlmbench.tracking.store import open_store

    loaded = load_study(asked.study, sets=asked.sets or (), data_root=asked.data_root, plugins=asked.plugins or ())
    plan = make_plan(loaded, only=asked.only or (), repeats=asked.repeats)
    if asked.dry:
        _print_job(asked, len(plan.cells))
        return
    opened = open_store(asked.store)
    note(opened.describe())
    for warning in plan.warnings:
        note(f"warning: {warning}")
    note(f"study {plan.study}: {len(plan.cells)} cells, {len(plan.references)} references, {len(plan.skipped)} skipped")
    # A job queue ends a job with SIGTERM: treated like Ctrl-C, so that the running cell is checkpointed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    from smlmbench.run.progress import Reporter
    from smlmbench.run.studies.study import Options, run_study
    from smlmbench.run.studies.trainings import Slots

    slots = Slots(asked.workers, asked.scheduler, asked.cluster)
    with Reporter() as reporter:
        options = Options(asked.device, asked.retry_failed, asked.max_hours, asked.infer_device, slots)
        whole = make_plan(loaded, repeats=asked.repeats) if asked.only else None
        finished = run_study(loaded, plan, opened, reporter, options, whole=whole)
    said = ", ".join(f"{count} {status}" for status, count in sorted(finished.statuses.items()))
    emit(f"{said}; leaderboard: {finished.report}")
    note("look at it in MLflow with: smlmbench ui" + (f" --store {asked.store}" if asked.store else ""))
    if finished.failed_references:
        note(f"failed references: {', '.join(finished.failed_references)}")
    if (
        finished.failed_references
        or finished.unfinished
        or finished.statuses.get("failed")
        or finished.statuses.get("collapsed")
    ):
        raise typer.Exit(1)


def _print_job(asked: Asked, cells: int) -> None:
    from smlmbench.engine.jobs import read_jobs
    from smlmbench.errors import EngineError

    if asked.cluster is None:
        raise EngineError("--dry prints the job script of --cluster CLUSTER.yaml; `smlmbench plan` shows the cells")
    jobs = read_jobs(asked.cluster)
    emit(jobs.script().rstrip())
    note(f"{cells} cells in {asked.workers or jobs.jobs} such jobs; nothing was sent")
