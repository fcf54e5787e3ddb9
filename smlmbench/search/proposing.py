"""Ask and tell: one Optuna study of one search."""

import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self

import optuna
from optuna import samplers
from optuna.trial import FrozenTrial, TrialState

from smlmbench.patience import at_once
from smlmbench.search.pruning import Judge, Rule
from smlmbench.search.showing import attach, write_note
from smlmbench.search.storage import HEARTBEAT_S, accepted, open_storage, retry
from smlmbench.seeds import derive_seed
from smlmbench.study.planning.spaces import Axis

Direction = Literal["maximize", "minimize"]
Status = Literal["done", "pruned", "collapsed", "failed", "over limit", "repeated"]
State = Literal["done", "pruned", "collapsed", "failed", "over limit", "repeated", "running", "waiting", "left"]
STATUS, HOLDOUT, OWNER = "status", "holdout", "owner"
NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Sorts:
    """How a search goes about it."""

    directions: Mapping[str, Direction]  # by objective, in order
    sampler: str = "tpe"  # or random, gp, nsga2
    seed: int = 0  # root of the sampler's seeds
    startup: int = 10  # trials drawn at random
    rule: Rule = field(default_factory=Rule)
    limits: Mapping[str, float] = field(default_factory=dict)  # of facts of trials, each a constraint of its name


@dataclass(frozen=True, slots=True)
class Proposal:
    """Settings to try."""

    number: int  # of the trial
    values: dict[str, Any]  # by name of their axis
    judge: Judge


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial as the database has it."""

    number: int  # in the order of asking
    state: State  # repeated: the settings of an earlier trial; waiting: queued; left: without a result, queued again
    values: Mapping[str, Any]
    reached: Mapping[str, float]  # objectives by name, where it is done
    holdout: float | None  # primary number on the holdout set
    facts: Mapping[str, Any]  # user attributes: cell_id, mlflow_run_id, reason, ...
    seconds: float | None  # from asking to telling

    @property
    def counts(self) -> bool:
        """Whether it is one of the trials that were asked for."""
        return self.state in ("done", "pruned", "collapsed", "failed", "over limit")


class Searcher:
    """One search: proposes settings, is told what became of them. The same calls after a crash continue it."""

    def __init__(self, url: str, name: str, axes: Sequence[Axis], sorts: Sorts) -> None:
        self.url, self.name, self.axes, self.sorts = url, name, tuple(axes), sorts
        self.objectives = list(sorts.directions)
        self._storage = open_storage(url)
        unused: dict[str, Any] = {"sampler": samplers.RandomSampler(), "pruner": optuna.pruners.NopPruner()}
        directions = list(sorts.directions.values())
        self._study = optuna.create_study(
            study_name=name, storage=self._storage, directions=directions, load_if_exists=True, **unused
        )
        self._id = self._storage.get_study_id_from_name(name)
        if self._study.metric_names != self.objectives:
            with accepted():
                self._study.set_metric_names(self.objectives)
        self._beating: set[int] = set()
        self._asked: dict[int, optuna.Trial] = {}
        self._stop = threading.Event()
        self._heart: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the heartbeat."""
        self._stop.set()
        if self._heart is not None:
            self._heart.join(timeout=30)
        self._storage.scoped_session.remove()

    def describe(self, facts: Mapping[str, Any]) -> None:
        """Set user attributes of the study, for the dashboard."""
        for key, value in facts.items():
            if self._study.user_attrs.get(key) != value:
                self._study.set_user_attr(key, value)

    def explain(self, text: str, number: int | None = None) -> None:
        """Set the Markdown note of the search, or of a trial, for the dashboard."""
        write_note(self._storage, self._id, text, None if number is None else self._trial_id(number))

    def attach(self, number: int, name: str, content: bytes, folder: Path) -> None:
        """Show a file on a trial in the dashboard, before the trial is told; files of all searches lie in `folder`."""
        attach(self._storage, self._trial_id(number), name, content, folder)

    def begin_with(self, values: Mapping[str, Any]) -> None:
        """Queue settings to be tried first, once."""
        self._study.enqueue_trial(dict(values), skip_if_exists=True)

    def reap(self, is_dead: Callable[[Mapping[str, Any]], bool]) -> list[int]:
        """Queue trials again whose process is gone: by their owner's facts (as in `ask`) at once, else by heartbeat.

        Returns:
            Numbers of the former.
        """
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        owned = [trial for trial in running if OWNER in trial.user_attrs]
        left = [trial.number for trial in owned if is_dead(trial.user_attrs[OWNER])]
        for number in left:
            self.give_back(number)
        with accepted():
            optuna.storages.fail_stale_trials(self._study)
        return left

    def ask(self, owner: Mapping[str, Any] | None = None) -> Proposal:
        """The next settings to try: what is queued, else what the sampler proposes.

        The same history gives the same proposal: the sampler's seed is the number of trials before it.
        """
        position = sum(trial.state not in ("left", "waiting") for trial in self.trials())
        self._study.sampler = self._sampler(derive_seed(self.sorts.seed, "search", str(position)) % 2**32, position)
        with accepted():
            trial = self._study.ask()
            if owner is not None:
                trial.set_user_attr(OWNER, dict(owner))
            self._asked[trial.number] = trial
            self._beat(trial.number)
            values: dict[str, Any] = {}
            for axis in self.axes:
                if axis.counts(values):
                    values[axis.name] = _suggest(trial, axis)
        return Proposal(trial.number, values, Judge(self.url, self.name, trial.number, self.sorts.rule))

    def note(self, number: int, facts: Mapping[str, Any]) -> None:
        """Set user attributes of a trial."""
        identity = self._trial_id(number)
        for key, value in facts.items():
            self._storage.set_trial_user_attr(identity, key, value)

    def tell(
        self,
        number: int,
        status: Status,
        reached: Mapping[str, float] = NOTHING,
        *,
        facts: Mapping[str, Any] = NOTHING,
        like: Status | None = None,
    ) -> None:
        """Say what became of a trial, with its objectives by name and further user attributes.

        Done needs all objectives; pruned and collapsed trials teach the sampler, failed ones do not; repeated is a
        trial whose settings an earlier one has had, and `like` what became of that. With several objectives Optuna
        knows no pruned trials; a collapsed one counts as infeasible there, so that the sampler learns to keep away and
        no Pareto front holds it. So does one that is over a limit, with any number of objectives.
        """
        self.note(number, {STATUS: status, **facts})
        asked = self._rest(number)
        wanted, single, collapsed = self.objectives, len(self.objectives) == 1, "collapsed" in (status, like)
        over = "over limit" in (status, like)
        values = [float(reached[name]) for name in wanted] if reached.keys() >= set(wanted) else None
        with warnings.catch_warnings(), accepted():
            warnings.simplefilter("ignore", UserWarning)
            if asked is not None and (collapsed or over or values is not None):
                self._constrain(asked, collapsed=None if single else collapsed)
            if (collapsed or over) and not single:
                self._study.tell(number, self._of_blank(reached))
            elif status in ("done", "repeated") and values is not None:
                self._study.tell(number, values)
            elif status in ("pruned", "collapsed", "over limit", "repeated") and single:
                self._study.tell(number, state=TrialState.PRUNED)
            else:
                self._study.tell(number, state=TrialState.FAIL)

    def _constrain(self, asked: optuna.Trial, *, collapsed: bool | None) -> None:
        """Say by how much a trial breaks what must hold: whether it collapsed, and its excess as a share of each limit.

        Trials that teach have the same constraints, which samplers need.
        """
        facts = self._storage.get_trial(self._trial_id(asked.number)).user_attrs
        for name, limit in self.sorts.limits.items():
            if name in facts:
                asked.set_constraint(name, float(facts[name]) / limit - 1.0)
        if collapsed is not None:
            asked.set_constraint("collapsed", 1.0 if collapsed else 0.0)

    def _of_blank(self, known: Mapping[str, float]) -> list[float]:
        """Objectives of a network that answers nothing: what is known of it, else 0, or the worst of what falls."""
        blank = {name: 0.0 for name, direction in self.sorts.directions.items() if direction == "maximize"}
        blank |= {name: known[name] for name in self.objectives if name in known}
        trials = self.trials() if set(self.objectives) - blank.keys() else []
        found = {name: [trial.reached[name] for trial in trials if name in trial.reached] for name in self.objectives}
        return [float(blank[name] if name in blank else max(found[name], default=1.0)) for name in self.objectives]

    def give_back(self, number: int) -> None:
        """Queue the settings of a trial again that ended without a result."""
        self._rest(number)
        self._study.tell(number, state=TrialState.FAIL)
        with accepted():
            frozen = self._study.get_trials()[number]
            frozen.user_attrs.clear()
            retry()(self._study, frozen)

    def _rest(self, number: int) -> optuna.Trial | None:
        """End the heartbeat of a trial, and forget it."""
        self._beating.discard(number)
        return self._asked.pop(number, None)

    def trials(self) -> list[Trial]:
        """All trials, in the order of asking."""
        return [_trial(trial, self.objectives) for trial in self._study.get_trials(deepcopy=False)]

    def importances(self) -> dict[str, float]:
        """Share of each setting in the variation of the first objective; empty where there are too few trials."""
        done = [trial for trial in self._study.get_trials(deepcopy=False) if trial.values and not _is_infeasible(trial)]
        if len(done) < 4:
            return {}
        kept = optuna.create_study(directions=self._study.directions)  # in memory, without collapsed trials
        kept.add_trials(done)
        sign = -1.0 if self._study.directions[0].name == "MAXIMIZE" else 1.0  # low values of a target count as good
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                found = optuna.importance.get_param_importances(kept, target=lambda trial: sign * trial.values[0])
        except (ValueError, RuntimeError, ZeroDivisionError):
            return {}
        return {name: float(share) for name, share in found.items()}

    def _sampler(self, seed: int, position: int) -> samplers.BaseSampler:
        if self.sorts.sampler == "random" or position < self.sorts.startup:
            return samplers.RandomSampler(seed=seed)
        if self.sorts.sampler == "gp":
            return samplers.GPSampler(seed=seed, n_startup_trials=2)
        if self.sorts.sampler == "nsga2":
            return samplers.NSGAIISampler(seed=seed, population_size=max(4, self.sorts.startup))
        return samplers.TPESampler(seed=seed, n_startup_trials=0)

    def _beat(self, number: int) -> None:
        self._storage.record_heartbeat(self._trial_id(number))
        self._beating.add(number)
        if self._heart is None:
            self._heart = threading.Thread(target=self._beat_on, name="optuna-heartbeat", daemon=True)
            self._heart.start()

    def _beat_on(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            for number in list(self._beating):
                with suppress(Exception), at_once():  # a busy database must not end a training
                    self._storage.record_heartbeat(self._trial_id(number))
        self._storage.scoped_session.remove()

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, number)


def _suggest(trial: optuna.Trial, axis: Axis) -> Any:
    if axis.choices is not None:
        return trial.suggest_categorical(axis.name, list(axis.choices))
    if axis.whole:
        return trial.suggest_int(axis.name, int(axis.low), int(axis.high), log=axis.log)
    return trial.suggest_float(axis.name, axis.low, axis.high, log=axis.log)


def _is_infeasible(trial: FrozenTrial) -> bool:
    return any(value > 0 for value in trial.constraints.values())


def _trial(trial: FrozenTrial, objectives: Sequence[str]) -> Trial:
    facts = dict(trial.user_attrs)
    state: State = facts.get(STATUS) or ("left" if trial.state.is_finished() else "running")
    if trial.state.name == "WAITING":
        state = "waiting"
    reached = {} if _is_infeasible(trial) else dict(zip(objectives, trial.values or (), strict=False))
    took = trial.duration.total_seconds() if trial.duration is not None else None
    return Trial(trial.number, state, dict(trial.params), reached, facts.get(HOLDOUT), facts, took)
