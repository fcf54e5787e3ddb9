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
    from smlmbench import api

    loaded = api.load_study(asked.study, sets=asked.sets or (), data_root=asked.data_root, plugins=asked.plugins or ())
    if asked.dry:
        _print_job(asked, len(api.plan(loaded, only=asked.only or (), repeats=asked.repeats).cells))
        return
    # A job queue ends a job with SIGTERM: treated like Ctrl-C, so that the running cell is checkpointed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    finished = api.run(
        loaded,
        store=asked.store,
        only=asked.only or (),
        repeats=asked.repeats,
        device=asked.device,
        infer_device=asked.infer_device,
        retry_failed=asked.retry_failed,
        max_hours=asked.max_hours,
        workers=asked.workers,
        scheduler=asked.scheduler,
        cluster=asked.cluster,
    )
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
