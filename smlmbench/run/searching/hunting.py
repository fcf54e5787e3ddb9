"""Searches of a study: proposals become cells, their numbers go back; the picks are trained and tested as rows."""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from smlmbench.errors import ConfigError
from smlmbench.run.searching.costs import Costs
from smlmbench.run.searching.record import Hunted, final_cells, log_search
from smlmbench.run.searching.shown import Shown
from smlmbench.run.searching.trials import Outcome, as_trial, run_trial, run_trial_spec
from smlmbench.run.session import Session
from smlmbench.run.slots import Slots, is_afar, open_workers, width
from smlmbench.run.studies.asked import Finished, Options
from smlmbench.run.studies.pairing import doubts
from smlmbench.run.studies.study import begin, run_study
from smlmbench.run.studies.trainings import Batch
from smlmbench.search import Direction, Proposal, Searcher, Sorts, Trial
from smlmbench.search.pruning import Rule
from smlmbench.search.storage import address
from smlmbench.study.cells import Cell, Plan
from smlmbench.study.load import Loaded
from smlmbench.study.planning.plan import make_plan
from smlmbench.study.planning.spaces import Space, search_name, spaces, trial_cell
from smlmbench.study.reading.search import LATENCY, N_PARAMS, directions
from smlmbench.study.schema import Timing
from smlmbench.study.schema.search import Search
from smlmbench.tracking.owners import Owner, this_process
from smlmbench.tracking.runs import Run
from smlmbench.tracking.store import Store

if TYPE_CHECKING:
    from smlmbench.engine.dask import Workers
    from smlmbench.run.progress import Reporter

STUDY_TAG = "optuna.study"
REPEATS_IN_A_ROW = 20


@dataclass(slots=True)
class Team:
    """Who trains: this process, or workers; and until when."""

    session: Session
    costs: Costs
    workers: "Workers | None" = None
    width: int = 1
    until_s: float | None = None

    def may_begin(self) -> bool:
        """Whether there is time for another trial."""
        return self.until_s is None or time.monotonic() < self.until_s


@dataclass(frozen=True, slots=True)
class _Sent:
    """A trial that is to be trained."""

    proposal: Proposal
    cell: Cell
    costs: dict[str, float]
    twins: list[int]  # trials with the same settings that were asked for meanwhile


def run_searches(loaded: Loaded, store: Store, reporter: "Reporter", options: Options) -> Finished:
    """Search every model, then train, test and report the picks beside the defaults; what was done before is kept.

    Raises:
        ConfigError: The study has no block `search`, or from `begin`.
        KeyboardInterrupt: The running trials were given back; the same command continues them.
    """
    study = loaded.study
    _check_afar(_block(loaded), options.slots)
    doubts(loaded)  # stops before the first trial; what is only doubtful the study says at its end
    session, hours = begin(loaded, store, reporter, options), options.max_hours or study.max_hours
    until_s = None if hours is None else time.monotonic() + 3600 * hours
    team = Team(session, Costs(session, study.timing or Timing()), until_s=until_s)
    finals: dict[str, Cell] = {}
    with ExitStack() as stack:
        if not options.slots.inline:
            team.workers = stack.enter_context(open_workers(options.slots, session.reporter.line))
            team.width = width(options.slots, team.workers)
        for space in spaces(loaded):
            part = loaded.part_of(space.data)
            hunted = _hunt(part, space, _block(part), team)
            log_search(part, space, hunted, session)
            finals |= {cell.cell_id: cell for cell in final_cells(part, space, hunted)}
    whole = make_plan(loaded)
    picked = Plan(study=study.study, cells=list(finals.values()), references=whole.references, skipped=[])
    if team.until_s is not None:
        options = replace(options, max_hours=max(1e-6, (team.until_s - time.monotonic()) / 3600))
    return run_study(loaded, picked, store, reporter, options, whole=whole)


def _check_afar(search: Search, slots: Slots) -> None:
    """Refuse pruning where workers may not see the database of trials: they would fail one after the other."""
    if is_afar(slots) and search.pruner != "none" and len(search.objectives) < 2:
        raise ConfigError(
            f"search: pruner: {search.pruner} compares trials in optuna.db, which workers on other machines cannot "
            "open; give --set search.pruner=none"
        )


def _block(loaded: Loaded) -> Search:
    if loaded.study.search is None:
        raise ConfigError(f"{loaded.path.name}: no block `search`; add for example `search: {{trials: 30}}`")
    return loaded.study.search


def _hunt(loaded: Loaded, space: Space, search: Search, team: Team) -> Hunted:
    """The search of one space, and random search to compare it with."""
    first = trial_cell(loaded, space, space.defaults()[0])
    wanted, primary = objectives(loaded, search, first), _primary(loaded, first)
    seed = loaded.study.seed if search.seed is None else search.seed
    pruner = search.pruner if list(wanted) == [f"val/{primary}"] else "none"
    rule = Rule(pruner, search.startup, search.warmup, search.keep_percent, first.training.validations)
    sorts = Sorts(wanted, search.sampler, seed, search.startup, rule, search.limits)
    random = replace(sorts, sampler="random", rule=Rule("none"))
    found, complete = [], True
    for baseline, kind, count in ((False, sorts, search.trials), (True, random, search.baseline)):
        name = search_name(loaded, space, baseline=baseline)
        with Searcher(address(team.session.store.optuna_path), name, space.axes, kind) as searcher:
            hunt = _Hunt(loaded, space, searcher, team, holdout=search.holdout)
            if count > 0:
                hunt.begin(count, baseline=baseline)
                complete = hunt.run(count) and complete
            found.append((name, searcher.trials(), {} if baseline else searcher.importances()))
    (name, trials, shares), (other, drawn, _) = found
    return Hunted(name, wanted, primary, trials, shares, other, drawn, complete)


def objectives(loaded: Loaded, search: Search, cell: Cell) -> dict[str, Direction]:
    """What is searched for, with maximize or minimize."""
    names = search.objectives or [f"val/{_primary(loaded, cell)}"]
    known = directions(loaded.catalog, cell.task)
    costs: dict[str, Direction] = {LATENCY: "minimize", N_PARAMS: "minimize"}
    words: dict[str, Direction] = {"up": "maximize", "down": "minimize"}
    return {name: costs[name] if name in costs else words[known[name.partition("/")[2]]] for name in names}


def _primary(loaded: Loaded, cell: Cell) -> str:
    return str(loaded.catalog.card("tasks", cell.task).facts["primary"])


class _Hunt:
    """One Optuna study at work."""

    def __init__(self, loaded: Loaded, space: Space, searcher: Searcher, team: Team, *, holdout: bool) -> None:
        self.loaded, self.space, self.searcher, self.team, self.holdout = loaded, space, searcher, team, holdout
        self._task_version = loaded.catalog.card("tasks", loaded.task).version
        self._shown = Shown(team.session, loaded)
        self._open: dict[str, _Sent] = {}
        self._count = 0

    def begin(self, count: int, *, baseline: bool) -> None:
        """Queue the defaults, take up what an earlier command has left."""
        for values in self.space.defaults()[:count]:
            self.searcher.begin_with(values)
        facts = {"study": self.loaded.study.study, "data": self.space.data, "model": self.space.label}
        self.searcher.describe(facts | self._shown.facts())
        self.searcher.explain(self._shown.about(self.space, self.searcher.sorts, baseline=baseline))
        if left := self.searcher.reap(_is_dead):
            self._line(f"unfinished and tried again: trial {', '.join(map(str, left))}")
        for trial in self.searcher.trials():
            if LATENCY in trial.facts:
                self.team.costs.learn(self._cell(trial.values), float(trial.facts[LATENCY]))
        what = f"{'random search' if baseline else 'search'} {self.searcher.name}"
        self.team.session.reporter.line(f"{what}: {self._counted} of {count} trials done before")

    @property
    def _counted(self) -> int:
        return sum(trial.counts for trial in self.searcher.trials())

    def run(self, count: int) -> bool:
        """Try settings until `count` were tried or nothing new is proposed; False where time was over before."""
        self._count = count
        try:
            while (left := count - self._counted) > 0:
                if not self.team.may_begin():
                    self._line(f"time is over, {left} trials are left; the same command continues them")
                    return False
                if not self._ask(min(left, self.team.width)):
                    self._line("every setting was tried; nothing new is proposed")
                    break
                self._train()
            return True
        finally:
            for sent in self._open.values():
                for number in (sent.proposal.number, *sent.twins):
                    self.searcher.give_back(number)
            self._open.clear()

    def _line(self, text: str) -> None:
        self.team.session.reporter.line(f"{self.searcher.name}: {text}")

    def _cell(self, values: Mapping[str, Any]) -> Cell:
        return as_trial(trial_cell(self.loaded, self.space, values), self._task_version)

    def _ask(self, width: int) -> bool:
        """Ask for new settings, their costs measured; False where only known ones are proposed.

        Settings that were tried before are told what they reached, without training.
        """
        owner, repeats, asked = this_process().tags(), 0, 0
        while asked < width and repeats < REPEATS_IN_A_ROW:
            proposal = self.searcher.ask(owner)
            try:
                cell = self._cell(proposal.values)
            except ConfigError as error:
                self.searcher.tell(proposal.number, "failed", facts={"reason": str(error)})
                asked += 1
                continue
            trials = (each for each in self.searcher.trials() if each.counts)
            earlier = next((each for each in trials if each.facts.get("cell_id") == cell.cell_id), None)
            if earlier is not None or cell.cell_id in self._open:
                if earlier is not None:
                    self._repeat(proposal.number, earlier)
                else:
                    self._open[cell.cell_id].twins.append(proposal.number)
                repeats += 1
                continue
            self.searcher.note(proposal.number, {"cell_id": cell.cell_id})
            sent = self._open[cell.cell_id] = _Sent(proposal, cell, {}, [])
            sent.costs.update(self.team.costs.of(cell, {**self.searcher.sorts.directions, **self._limits}))
            self.searcher.note(proposal.number, sent.costs)
            self._within(sent)
            asked, repeats = asked + 1, 0
        return asked > 0

    @property
    def _limits(self) -> Mapping[str, float]:
        return self.searcher.sorts.limits

    def _within(self, sent: _Sent) -> None:
        """Tell a trial that is over a limit, without training it."""
        over = [name for name, limit in self._limits.items() if sent.costs[name] > limit]
        if over:
            del self._open[sent.cell.cell_id]
            said = ", ".join(f"{name} {sent.costs[name]:.4g}, limit {self._limits[name]:g}" for name in over)
            number, reached = sent.proposal.number, {name: sent.costs[name] for name in over}
            self.searcher.tell(number, "over limit", reached, facts={"reason": said})
            short = _short(sent.proposal.values)
            self._line(f"trial {number}, {self._counted} of {self._count}: not trained: {said} ({short})")

    def _repeat(self, number: int, earlier: Trial) -> None:
        """Tell a trial what an earlier one with the same settings has reached."""
        known = {key: value for key, value in earlier.facts.items() if key not in ("status", "owner")}
        known["known_as"] = earlier.number
        like: Any = earlier.state
        self.searcher.tell(number, "repeated", earlier.reached, facts=known, like=like)

    def _train(self) -> None:
        session, sent = self.team.session, dict(self._open)

        def on_result(spec: Mapping[str, Any], result: Mapping[str, Any]) -> None:
            number = str(spec["id"])
            session.reporter.stop(key=number)
            if "outcome" in result:
                self._told(sent[number], Outcome(**result["outcome"]))
            elif result["status"] == "failed":
                self._told(sent[number], Outcome("failed", "", str(result.get("reason", "")), {}, {}))

        def here(cell: Cell) -> dict[str, Any]:
            return run_trial(cell, sent[cell.cell_id].proposal.judge, session, holdout=self.holdout)

        def more(cell: Cell) -> dict[str, Any]:
            return {"judge": asdict(sent[cell.cell_id].proposal.judge), "holdout": self.holdout}

        batch = Batch([each.cell for each in sent.values()], session)
        batch.map(self.team.workers, here, run_trial_spec, on_result, more=more)

    def _told(self, sent: _Sent, outcome: Outcome) -> None:
        """Tell the search what became of a trial."""
        reached = {name: value for name, value in outcome.metrics.items() if name in self.searcher.sorts.directions}
        reached |= sent.costs
        missing = [name for name in self.searcher.sorts.directions if name not in reached]
        status, reason = outcome.status, outcome.reason
        if status == "done" and missing:
            status, reason = "failed", f"no number for {', '.join(missing)}"
        primary = _primary(self.loaded, sent.cell)
        own = {"holdout": outcome.metrics.get(f"holdout/{primary}"), "primary": outcome.metrics.get(f"val/{primary}")}
        facts: dict[str, Any] = {"mlflow_run_id": outcome.run_id, "reason": reason, **outcome.params, **own}
        known = {key: value for key, value in facts.items() if value not in (None, "")}
        if outcome.run_id:
            known["mlflow"] = self._shown.link(outcome.run_id)
            self._show(sent.proposal.number, outcome.run_id, reason)
        del self._open[sent.cell.cell_id]
        told: Any = status if status in ("done", "pruned", "collapsed") else "failed"
        self.searcher.tell(sent.proposal.number, told, reached if told in ("done", "collapsed") else {}, facts=known)
        for number in sent.twins:
            self._repeat(number, self.searcher.trials()[sent.proposal.number])
        if outcome.run_id:
            self._tag(outcome.run_id, sent.proposal.number)
        said = ", ".join(f"{name} {value:.4g}" for name, value in reached.items()) if told == "done" else told
        short = _short(sent.proposal.values)
        self._line(f"trial {sent.proposal.number}, {self._counted} of {self._count}: {said} ({short})")

    def _show(self, number: int, run_id: str, reason: str) -> None:
        """Let the dashboard lead from a trial to its run, and show an example of what it answers."""
        self.searcher.explain(self._shown.about_trial(run_id, reason), number)
        if picture := self._shown.example(run_id):
            self.searcher.attach(number, "example.png", picture, self.team.session.store.optuna_files)

    def _tag(self, run_id: str, number: int) -> None:
        """Name the search on a run; random search, which shares trials, does not take over the name."""
        store = self.team.session.store
        if STUDY_TAG not in store.client.get_run(run_id).data.tags:
            run = Run(store, run_id, experiment_id=self.team.session.experiment_id, heartbeat=False)
            run.set_tags({STUDY_TAG: self.searcher.name, "optuna.trial": number})


def _is_dead(facts: Mapping[str, Any]) -> bool:
    owner = Owner.of({key: str(value) for key, value in facts.items()})
    return owner is not None and owner.is_dead()


def _short(values: Mapping[str, Any]) -> str:
    texts = (f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in values.items())
    return ", ".join(texts)
