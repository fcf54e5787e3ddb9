"""What a search leaves in the store: one run of role `search` with its table, its figures and its picks."""

import csv
import io
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from smlmbench.figures import searches as figures
from smlmbench.figures.parallel import parallel
from smlmbench.run.session import Session
from smlmbench.run.studies.planfile import plan_document
from smlmbench.search import Trial
from smlmbench.search.curves import Best, best_of, best_of_random, front
from smlmbench.study.cells import Cell, Plan
from smlmbench.study.load import Loaded
from smlmbench.study.planning.spaces import Space, trial_cells
from smlmbench.tracking.records import search as search_runs
from smlmbench.tracking.runs import Run, open_run

SEARCH_TAG = "smlmbench.search"
FILE = "search.json"
FACTS = ("cell_id", "mlflow_run_id", "seconds", "n_params", "samples_seen", "train_s", "reason")  # last in the table


@dataclass(frozen=True)
class Hunted:
    """One search and the random search beside it, as they stand."""

    name: str  # of the Optuna study
    directions: Mapping[str, str]  # maximize or minimize, by objective; the first picks
    primary: str  # the task's primary metric on these data
    trials: Sequence[Trial]  # in the order of asking
    shares: Mapping[str, float]  # importance of each setting
    baseline_name: str  # of the Optuna study of random search
    baseline: Sequence[Trial]  # its trials
    complete: bool = True  # whether all trials were made, so that its pick may be tested

    @property
    def objective(self) -> str:
        """What picks."""
        return next(iter(self.directions))

    @property
    def sign(self) -> float:
        """What the first objective is multiplied by so that more is better."""
        return 1.0 if self.directions[self.objective] == "maximize" else -1.0

    @cached_property
    def counted(self) -> list[Trial]:
        """The trials that were asked for."""
        return [trial for trial in self.trials if trial.counts]

    @cached_property
    def drawn(self) -> list[Trial]:
        """Those of random search."""
        return [trial for trial in self.baseline if trial.counts]

    @cached_property
    def done(self) -> list[Trial]:
        """Those with all numbers."""
        return [trial for trial in self.counted if trial.state == "done"]

    @cached_property
    def on_holdout(self) -> bool:
        """Whether there is a holdout set, whose number is then shown instead of that on validation."""
        return any(trial.holdout is not None for trial in self.done)

    @property
    def pick(self) -> Trial | None:
        """The best in the first objective; of equals the earliest."""
        return max(self.done, key=lambda trial: self.sign * trial.reached[self.objective], default=None)

    def score(self, trial: Trial) -> float:
        """What the pick is chosen by; NaN where there is none."""
        return self.sign * trial.reached[self.objective] if trial.state == "done" else math.nan


def default_of(space: Space, hunted: Hunted) -> Trial | None:
    """The trial with the default settings of the picked model."""
    model = hunted.pick.values.get("model") if hunted.pick is not None else None
    wanted = next((values for values in space.defaults() if values.get("model") == model), None)
    return next((trial for trial in hunted.counted if dict(trial.values) == wanted), None)


def final_cells(loaded: Loaded, space: Space, hunted: Hunted) -> list[Cell]:
    """All repeats of the pick and of the defaults: the rows that are tested; none before the search is over."""
    if hunted.pick is None or not hunted.complete:
        return []
    model = hunted.pick.values.get("model")
    first = next(values for values in space.defaults() if values.get("model") == model)
    both = [trial_cells(loaded, space, one, repeats=loaded.study.repeats) for one in (hunted.pick.values, first)]
    return list({cell.cell_id: cell for cells in both for cell in cells}.values())


def log_search(loaded: Loaded, space: Space, hunted: Hunted, session: Session) -> None:
    """Write the run of a search; one that is there already is brought up to date."""
    default, best = default_of(space, hunted), _curves(hunted, len(space.defaults()))
    with _run(hunted, session) as run:
        document = _document(loaded, space, hunted, default, best)
        run.log_params({key: document[key] for key in ("study", "data", "model", "sampler", "objectives", "asked")})
        run.log_metrics(_metrics(hunted, default))
        run.log_dict(document, FILE)
        run.log_text(_table(space, hunted), "trials.csv")
        for name, drawn in _figures(space, hunted, default, best).items():
            run.log_bytes(drawn, f"figures/{name}.png")
    session.reporter.line(f"{hunted.name}: {_said(hunted, default)}")


def _run(hunted: Hunted, session: Session) -> Run:
    condition = f"tags.`{SEARCH_TAG}` = '{hunted.name}'"
    found = search_runs(session.store, [session.experiment_id], condition)
    if not found:
        tags = {SEARCH_TAG: hunted.name}
        return open_run(session.store, session.experiment_id, role="search", name=hunted.name, tags=tags)
    session.store.client.update_run(found[0].run_id, status="RUNNING")
    return Run(session.store, found[0].run_id, experiment_id=session.experiment_id)


def _said(hunted: Hunted, default: Trial | None) -> str:
    pick = hunted.pick
    if pick is None:
        return f"no trial of {len(hunted.counted)} reached a number, so there is no pick"
    said = f"pick of {len(hunted.counted)} trials: {hunted.objective} {pick.reached[hunted.objective]:.4g}"
    if default is None or default.state != "done":
        return said
    return f"{said}, defaults {default.reached[hunted.objective]:.4g}"


def _curves(hunted: Hunted, defaults: int) -> dict[str, Best]:
    """Numbers of the pick after K trials: on the holdout set, or on validation where there is none."""

    def shown(trial: Trial) -> float:
        value = trial.holdout if hunted.on_holdout else trial.reached.get(hunted.objective)
        return math.nan if value is None or trial.state != "done" else float(value)

    def columns(trials: Sequence[Trial]) -> tuple[list[float], list[float]]:
        return [hunted.score(one) for one in trials], [shown(one) for one in trials]

    curves = {"search": best_of(*columns(hunted.counted))}
    if hunted.drawn:
        curves["random"] = best_of_random(*columns(hunted.drawn), first=defaults)
    return curves


def _brief(trial: Trial | None) -> dict[str, Any] | None:
    if trial is None:
        return None
    facts = {key: trial.facts[key] for key in ("cell_id", "mlflow_run_id") if key in trial.facts}
    brief = {"trial": trial.number, "state": trial.state, "values": dict(trial.values)}
    return {**brief, "reached": dict(trial.reached), "holdout": trial.holdout, **facts}


def _document(
    loaded: Loaded, space: Space, hunted: Hunted, default: Trial | None, best: Mapping[str, Best]
) -> dict[str, Any]:
    search = loaded.study.search
    assert search is not None  # noqa: S101 (there is no search without it)
    cells = final_cells(loaded, space, hunted)
    plan = Plan(study=loaded.study.study, cells=cells, references=[], skipped=[])
    table = [[trial.reached[name] for name in hunted.directions] for trial in hunted.done]
    on_front = front(table, list(hunted.directions.values()))
    return {
        "name": hunted.name,
        "study": loaded.study.study,
        "data": space.data,
        "model": space.label,
        "sampler": search.sampler,
        "objectives": list(hunted.directions),
        "directions": dict(hunted.directions),
        "primary": hunted.primary,
        "asked": search.trials,
        "tried": len(hunted.counted),
        "states": dict(Counter(trial.state for trial in hunted.trials)),
        "space": [str(axis) for axis in space.axes],
        "pick": _brief(hunted.pick),
        "default": _brief(default),
        "front": [_brief(trial) for trial, on in zip(hunted.done, on_front, strict=True) if on],
        "importances": dict(hunted.shares),
        "random": {"name": hunted.baseline_name, "tried": len(hunted.drawn)},
        "best_of": {name: asdict(one) for name, one in best.items()},
        "trial_cells": _by_model(space, hunted),
        "samples": sum(int(float(trial.facts.get("samples_seen", 0))) for trial in hunted.counted),
        "cells": plan_document(loaded.study, plan, loaded.catalog)["cells"] if cells else [],
    }


def _by_model(space: Space, hunted: Hunted) -> dict[str, list[str]]:
    """Identities of the trials of each model, those of random search too."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for trial in (each for each in (*hunted.counted, *hunted.drawn) if "cell_id" in each.facts):
        label = str(trial.values.get("model", next(iter(space.models))))
        found[str(space.models[label]["name"])][str(trial.facts["cell_id"])] = None
    return {name: list(numbers) for name, numbers in found.items()}


def _metrics(hunted: Hunted, default: Trial | None) -> dict[str, float]:
    pruned = sum(one.state == "pruned" for one in hunted.trials)
    numbers = {"trials": float(len(hunted.counted)), "pruned": float(pruned)}
    for name, trial in (("pick", hunted.pick), ("default", default)):
        if trial is None:
            continue
        numbers |= {f"{name}/{objective}": value for objective, value in trial.reached.items()}
        if trial.holdout is not None:
            numbers[f"{name}/holdout/{hunted.primary}"] = trial.holdout
    return numbers


def _table(space: Space, hunted: Hunted) -> str:
    text, holdout = io.StringIO(), f"holdout/{hunted.primary}"
    columns = ["search", "trial", "state", *hunted.directions, holdout, *(axis.name for axis in space.axes)]
    further = [name for name in FACTS if name not in hunted.directions]
    writer = csv.DictWriter(text, [*columns, *further], restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for kind, trials in (("search", hunted.trials), ("random", hunted.baseline)):
        for one in trials:
            facts = {name: one.facts.get(name) for name in further}
            row = {"search": kind, "trial": one.number, "state": one.state, holdout: one.holdout}
            seconds = None if one.seconds is None else round(one.seconds, 1)
            writer.writerow({**facts, "seconds": seconds, **one.values, **one.reached, **row})
    return text.getvalue()


def _figures(space: Space, hunted: Hunted, default: Trial | None, best: Mapping[str, Best]) -> dict[str, bytes]:
    """History, importances, slices, settings in parallel, best of K and, with a second objective, the Pareto front."""
    trials, objective = hunted.counted, hunted.objective
    values = [trial.reached.get(objective, math.nan) for trial in trials]
    notes = ["" if trial.state == "done" else trial.state for trial in trials]
    rows = [{"y": value, "note": note} for value, note in zip(values, notes, strict=True)]
    drawn = {"history": figures.history(rows, objective, up=hunted.sign > 0)}
    if hunted.shares:
        drawn["importances"] = figures.importances(hunted.shares)
    settings = {axis.name: [trial.values.get(axis.name) for trial in trials] for axis in space.axes}
    if settings and hunted.done:
        picked = [trial == hunted.pick for trial in trials]
        drawn["parallel"] = parallel(settings, values, objective, picked=picked, image_format="png")
        drawn["slices"] = figures.slices(settings, values, objective, [axis.name for axis in space.axes if axis.log])
    words = {"search": "search", "random": "random search (mean over orders, 10 to 90 %)"}
    steps = [
        {"label": words[name], "x": count, "y": mean, "low": low, "high": high}
        for name, one in best.items()
        for count, (mean, low, high) in enumerate(zip(one.mean, one.low, one.high, strict=True), start=1)
    ]
    known = math.nan
    if default is not None and default.state == "done":
        known = float(default.reached[objective] if default.holdout is None else default.holdout)
    label = f"{hunted.primary} of the pick on the holdout set" if hunted.on_holdout else f"{objective} of the pick"
    drawn["best_of_k"] = figures.best_of(steps, label, default=known)
    for other in list(hunted.directions)[1:] if hunted.done else ():
        costs = [(trial.reached[other], trial.reached[objective]) for trial in hunted.done]
        on_front = front(costs, [hunted.directions[other], hunted.directions[objective]])
        points = [
            {"x": cost, "y": reached, "front": first, "picked": trial == hunted.pick, "default": trial == default}
            for (cost, reached), first, trial in zip(costs, on_front, hunted.done, strict=True)
        ]
        drawn[f"pareto_{other.replace('/', '_')}"] = figures.pareto(points, (other, objective))
    return drawn
