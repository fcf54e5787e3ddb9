"""smlmbench search: look for better settings of the models of a study, then test what was found."""

from dataclasses import dataclass
from typing import Annotated

import typer

from smlmbench.addresses import command as command_line
from smlmbench.cli.options import TrainAsked, end_like_ctrl_c, from_fields
from smlmbench.cli.output import emit, note
from smlmbench.cli.run import fell_short, summary


@dataclass(frozen=True, slots=True)
class _Asked(TrainAsked):
    trials: Annotated[int | None, typer.Option(min=1, help="Trials per model, instead of the study's.")] = None


@from_fields(_Asked)
def command(asked: _Asked) -> None:
    """Search the settings of every model with Optuna; the same command continues where it stopped.

    Trials are chosen on validation. The pick and the defaults are then trained with all repeats and tested.

    Example: smlmbench search experiments/search.yaml --trials 30
    """
    from smlmbench.errors import ConfigError
    from smlmbench.study.planning.spaces import describe_searches, spaces
    from smlmbench.tracking.store import open_store

    more = {"search.trials": asked.trials, "repeats": asked.repeats}
    loaded = asked.loaded(*(f"{key}={value}" for key, value in more.items() if value is not None))
    if loaded.study.search is None:
        raise ConfigError(f"{loaded.path.name}: no block `search`; add `search: {{trials: 30}}` or give --trials 30")
    lines = describe_searches(loaded, spaces(loaded))
    opened = open_store(asked.store)
    for line in (opened.describe(), *lines):
        note(line)
    end_like_ctrl_c()
    from smlmbench.run.progress import Reporter
    from smlmbench.run.searching.hunting import run_searches
    from smlmbench.run.studies.asked import options_of
    from smlmbench.search.storage import address

    with Reporter() as reporter:
        finished = run_searches(loaded, opened, reporter, options_of(**asked.running()))
    emit(summary(finished))
    files = ("--artifact-dir", str(opened.optuna_files)) if opened.optuna_files.exists() else ()
    shown_by = command_line("optuna-dashboard", address(opened.optuna_path), *files)
    note(f"look at the trials with (after pip install optuna-dashboard): {shown_by}")
    if not finished.statuses or fell_short(finished):
        raise typer.Exit(1)
