"""smlmbench run: train, score, time and report a study."""

from typing import Annotated

import typer

from smlmbench.cli.options import DataRoot, Only, Repeats, Sets, StudyFile
from smlmbench.cli.output import emit, note

Store = Annotated[
    str | None,
    typer.Option("--store", "--tracking-uri", metavar="FOLDER|URI", help="Where results go; default ./mlruns."),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps, for training and scoring.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Repeat failed and collapsed cells.")]


def command(
    study: StudyFile,
    sets: Sets = None,
    only: Only = None,
    repeats: Repeats = None,
    data_root: DataRoot = None,
    store: Store = None,
    device: Device = "auto",
    retry_failed: RetryFailed = False,
) -> None:
    """Train, score, time and report a study; the same command again does only what is left.

    Example: smlmbench run experiments/quickstart.yaml --only 'model=fid*'
    """
    from smlmbench.study.load import load_study
    from smlmbench.study.plan import make_plan
    from smlmbench.tracking.store import open_store

    loaded = load_study(study, sets=sets or (), data_root=data_root)
    plan = make_plan(loaded, only=only or (), repeats=repeats)
    opened = open_store(store)
    note(opened.describe())
    for warning in plan.warnings:
        note(f"warning: {warning}")
    note(f"study {plan.study}: {len(plan.cells)} cells, {len(plan.references)} references, {len(plan.skipped)} skipped")
    from smlmbench.run.progress import Reporter
    from smlmbench.run.study import Options, run_study

    with Reporter() as reporter:
        finished = run_study(loaded, plan, opened, reporter, Options(device, retry_failed))
    said = ", ".join(f"{count} {status}" for status, count in sorted(finished.statuses.items()))
    emit(f"{said}; leaderboard: {finished.report}")
    note("look at it in MLflow with: smlmbench ui" + (f" --store {store}" if store else ""))
    if finished.unfinished or finished.statuses.get("failed") or finished.statuses.get("collapsed"):
        raise typer.Exit(1)
