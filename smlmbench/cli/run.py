"""smlmbench run: train, score, time and report a study."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from smlmbench.addresses import command as command_line
from smlmbench.cli.options import Only, TrainAsked, end_like_ctrl_c, from_fields, stored
from smlmbench.cli.output import emit, note

if TYPE_CHECKING:
    from smlmbench.run.studies.asked import Finished


@dataclass(frozen=True, slots=True)
class _Asked(TrainAsked):
    only: Only = None
    dry: Annotated[bool, typer.Option("--dry", help="With --cluster: print the job script and do nothing.")] = False


@from_fields(_Asked)
def command(asked: _Asked) -> None:
    """Train, score, time and report a study; the same command again does only what is left.

    Example: smlmbench run experiments/quickstart.yaml --only 'model=fid*'
    """
    from smlmbench import api

    only = asked.only or ()
    loaded = asked.loaded()
    if asked.dry:
        _print_job(asked, len(api.plan(loaded, only=only, repeats=asked.repeats).cells))
        return
    end_like_ctrl_c()
    finished = api.run(loaded, store=asked.store, only=only, repeats=asked.repeats, **asked.running())
    emit(summary(finished))
    note(f"look at it in MLflow with: {command_line('smlmbench', 'ui', *stored(asked.store))}")
    if finished.failed_references:
        note(f"failed references: {', '.join(finished.failed_references)}")
    if finished.failed_references or fell_short(finished):
        raise typer.Exit(1)


def summary(finished: "Finished") -> str:
    """How many cells ended how, and the leaderboard."""
    said = ", ".join(f"{count} {status}" for status, count in sorted(finished.statuses.items()))
    return f"{said or 'no network was tested yet'}; leaderboard: {finished.report}"


def fell_short(finished: "Finished") -> bool:
    """Whether a cell is unfinished, failed or collapsed."""
    return bool(finished.unfinished or finished.statuses.get("failed") or finished.statuses.get("collapsed"))


def _print_job(asked: _Asked, cells: int) -> None:
    from smlmbench.engine.jobs import read_jobs
    from smlmbench.errors import EngineError

    if asked.cluster is None:
        cells_by = command_line("smlmbench", "plan", asked.study)
        raise EngineError(f"--dry prints the job script of --cluster CLUSTER.yaml; `{cells_by}` shows the cells")
    jobs = read_jobs(asked.cluster)
    emit(jobs.script().rstrip())
    note(f"{cells} cells in {asked.workers or jobs.jobs} such jobs; nothing was sent")
