"""A search from its file to the tested pick: trials are cells, the same command goes on where it stopped."""

import csv
import json
import shutil
import socket
import subprocess
from functools import partial

import optuna
import psutil
import pytest
from tiny_study import Listener, run, write

from smlmbench.errors import CollapsedError, DivergedError
from smlmbench.run.cells import training as training_cell
from smlmbench.run.cells.worker import pack_cell, pack_session
from smlmbench.run.materials import Materials
from smlmbench.run.searching import costs as trial_costs
from smlmbench.run.searching import hunting as searching
from smlmbench.run.searching import trials
from smlmbench.run.searching.hunting import run_searches
from smlmbench.run.session import Session
from smlmbench.run.studies.asked import Options
from smlmbench.search import Judge, Searcher, Sorts
from smlmbench.search.storage import address
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan
from smlmbench.study.planning.spaces import search_name, spaces, trial_cell
from smlmbench.tracking.claims import decide
from smlmbench.tracking.owners import Owner
from smlmbench.tracking.records import cell_runs, read_study
from smlmbench.tracking.store import open_store

pytestmark = pytest.mark.usefixtures("short_timing")

MODEL = {"name": "fid_storm", "blocks": 1, "width": 0.25}
SPACE = {"lambda": {"low": 200, "high": 2000, "log": True}, "radius": 1}
BLOCKS = {"models": [MODEL], "losses": [{"name": "l1l2", "lambda": 400}], "references": []}


def study(folder, *, search, **blocks):
    search = {"trials": 3, "startup": 2, "pruner": "none", "space": SPACE, **search}
    return write(folder, **{**BLOCKS, "output": {"upsampling": 2, "radius": 1}, "search": search, **blocks})


def search(path, store, **options):
    loaded, listener = load_study(path), Listener()
    return run_searches(loaded, store, listener, Options(**options)), listener.lines


def trials_of(path, store, *, baseline=False):
    loaded = load_study(path)
    (space,) = spaces(loaded)
    name = search_name(loaded, space, baseline=baseline)
    with Searcher(address(store.optuna_path), name, space.axes, Sorts({"val/efficiency": "maximize"})) as searcher:
        return searcher.trials()


class Done:
    """One search, run once."""

    def __init__(self, folder, empty_store):
        self.path = study(folder, search={"random_trials": 3})
        self.store = open_store(shutil.copytree(empty_store, folder / "mlruns"))
        self.finished, self.lines = search(self.path, self.store)
        self.record = read_study(self.store, "tiny")
        self.trials = trials_of(self.path, self.store)
        (self.run,) = self.record.rows("search")
        self.document = self.run.json("search.json")


@pytest.fixture(scope="module")
def found(tmp_path_factory, empty_store):
    from conftest import quick

    with quick():
        yield Done(tmp_path_factory.mktemp("search"), empty_store)


@pytest.fixture
def nothing_trains(monkeypatch):
    def fit(*_, **__):
        raise AssertionError("trained")

    monkeypatch.setattr(training_cell, "fit", fit)


def test_every_trial_is_a_run_that_it_names(found):
    assert [trial.state for trial in found.trials] == ["done"] * 3
    assert found.trials[0].values["lambda"] == 400  # the study's own
    runs = {run.run_id: run for run in found.record.rows("cell")}
    for trial in found.trials:
        run = runs[trial.facts["mlflow_run_id"]]
        assert run.cell_id == trial.facts["cell_id"]
        assert run.metrics["val/efficiency"] == trial.reached["val/efficiency"]
        assert run.metrics["holdout/efficiency"] == trial.holdout
        assert (run.tags["optuna.study"], run.tags["optuna.trial"]) == (found.run.name, str(trial.number))
        assert float(run.params["lambda"]) == pytest.approx(trial.values["lambda"], rel=1e-4)
        assert "mlflow.parentRunId" not in run.tags
        assert trial.facts["mlflow"].endswith(f"/#/experiments/{run.experiment_id}/runs/{run.run_id}")


def test_the_dashboard_has_an_example_of_every_trial_and_a_note_of_the_search(found):
    study = optuna.load_study(study_name=found.run.name, storage=address(found.store.optuna_path))
    for trial in study.trials:
        (meta,) = optuna.artifacts.get_all_artifact_meta(trial, storage=study._storage)
        picture = (found.store.optuna_files / meta.artifact_id).read_bytes()
        assert (meta.mimetype, picture[:4]) == ("image/png", b"\x89PNG")
    note = study._storage.get_study_system_attrs(study._study_id)["dashboard:note_str:0"]
    assert note.startswith("**fid_storm on sim**, study `tiny`: maximize `val/efficiency`; sampler tpe, pruner none.")
    assert study.user_attrs["page"].endswith("/reports/tiny/leaderboard.html")


def test_only_the_pick_and_the_defaults_are_tested(found):
    tested = {run.cell_id for run in found.record.rows("cell") if "test/efficiency" in run.metrics}
    best = max(found.trials, key=lambda trial: trial.reached["val/efficiency"])
    assert tested == {best.facts["cell_id"], found.trials[0].facts["cell_id"]}
    assert found.finished.statuses == {"done": len(tested)}


def test_the_holdout_set_is_neither_validation_nor_test(found):
    loaded = load_study(found.path)
    cell, materials = make_plan(loaded).cells[0], Materials(loaded.catalog)
    splits, holdout = materials.splits(cell), materials.holdout(cell)
    assert holdout.frames.n_frames == splits.validation.frames.n_frames
    frames = [one.frames.read(0, 2).tobytes() for one in (holdout, splits.validation, *splits.tests.values())]
    assert len(set(frames)) == len(frames)


def test_the_run_of_the_search_tells_all(found):
    document = found.document
    assert (document["tried"], document["asked"], document["states"]) == (3, 3, {"done": 3})
    assert document["default"]["trial"] == 0
    assert document["pick"]["reached"]["val/efficiency"] == max(one.reached["val/efficiency"] for one in found.trials)
    assert {len(document["best_of"][name]["mean"]) for name in ("search", "random")} == {3}
    assert found.run.metrics["pick/val/efficiency"] == document["pick"]["reached"]["val/efficiency"]
    assert {"figures/history.png", "figures/slices.png", "figures/best_of_k.png"} <= set(found.run.artifacts())
    rows = list(csv.DictReader(found.run.artifact("trials.csv").read_text().splitlines()))
    assert [row["search"] for row in rows] == ["search"] * 3 + ["random"] * 3
    assert [float(row["holdout/efficiency"]) for row in rows[:3]] == [trial.holdout for trial in found.trials]


def test_random_search_costs_only_the_trials_that_the_search_did_not_draw(found):
    drawn = trials_of(found.path, found.store, baseline=True)
    assert [trial.facts["cell_id"] for trial in drawn[:2]] == [trial.facts["cell_id"] for trial in found.trials[:2]]
    assert drawn[2].facts["cell_id"] != found.trials[2].facts["cell_id"]
    assert len(found.record.rows("cell")) == 4


def test_the_leaderboard_shows_the_pick_and_how_many_were_tried(found):
    page = found.finished.report.read_text()
    assert "<h2>Searches</h2>" in page
    assert "3 trials towards val/efficiency with tpe, beside 3 trials of random search." in page
    rows = list(csv.DictReader(found.finished.report.with_suffix(".csv").read_text().splitlines()))
    assert found.document["pick"]["cell_id"] in {value for row in rows for value in row.values()}
    markdown = found.finished.report.with_suffix(".md").read_text()
    board = [line for line in markdown.splitlines() if line.startswith("|")]
    tried = [name.strip() for name in board[0].split("|")].index("Trials")
    assert board[2].split("|")[tried].strip() == "4"  # three and the one of random search
    assert "rows of earlier plans" not in page


def test_the_same_search_again_does_nothing(found, nothing_trains):
    finished, lines = search(found.path, found.store)
    assert finished.statuses == found.finished.statuses
    assert any("3 of 3 trials done before" in line for line in lines)
    assert len(read_study(found.store, "tiny").rows("search")) == 1


def test_the_grid_takes_over_what_a_search_has_trained(found, nothing_trains):
    finished, lines = run(found.path, found.store)
    assert finished.statuses == {"done": 1}
    assert any("done before" in line for line in lines)
    assert found.document["pick"]["cell_id"] in finished.report.with_suffix(".csv").read_text()  # still on the page


def test_more_trials_continue_it(found, tmp_path):
    store = open_store(shutil.copytree(found.store.home, tmp_path / "mlruns"))
    from mlflow.tracking._tracking_service import utils

    utils._artifact_repos_cache.clear()
    _, lines = search(study(tmp_path, search={"trials": 4, "random_trials": 3}), store)
    assert any("3 of 4 trials done before" in line for line in lines)
    again = trials_of(study(tmp_path, search={"trials": 4, "random_trials": 3}), store)
    assert [trial.values for trial in again[:3]] == [trial.values for trial in found.trials]
    assert sum(trial.counts for trial in again) == 4


@pytest.mark.usefixtures("undrawn")
def test_a_search_takes_over_what_the_grid_has_trained(tmp_path, store, monkeypatch):
    path = study(tmp_path, search={"trials": 1, "random_trials": 0})
    run(path, store)
    before = read_study(store, "tiny").rows("cell")
    monkeypatch.setattr(training_cell, "fit", None)
    finished, _ = search(path, store)
    (row,) = read_study(store, "tiny").rows("cell")
    assert (row.run_id, row.attempt) == (before[0].run_id, 1)
    assert row.metrics["test/efficiency"] == before[0].metrics["test/efficiency"]
    assert row.metrics["holdout/efficiency"] == trials_of(path, store)[0].holdout
    assert finished.statuses == {"done": 1}


@pytest.mark.usefixtures("undrawn")
def test_when_time_is_over_the_search_stops_and_nothing_is_tested(tmp_path, store, monkeypatch):
    path = study(tmp_path, search={"random_trials": 0})
    real, asked = Searcher.ask, []
    monkeypatch.setattr(Searcher, "ask", lambda self, owner: asked.append(1) or real(self, owner))
    monkeypatch.setattr(searching.Team, "may_begin", lambda self: not asked)
    finished, lines = search(path, store, max_hours=1.0)
    assert any("time is over, 2 trials are left; the same command continues them" in line for line in lines)
    assert finished.statuses == {}
    assert not any("test/efficiency" in row.metrics for row in read_study(store, "tiny").rows("cell"))
    assert "1 of 3 trials towards" in finished.report.read_text()


@pytest.mark.usefixtures("undrawn")
def test_a_pruned_trial_never_stands_for_a_cell_of_the_grid(tmp_path, store, monkeypatch):
    path = study(tmp_path, search={"trials": 2, "random_trials": 0})
    monkeypatch.setattr(Judge, "is_hopeless", lambda self, done, score: self.number == 1 and done < 1)
    search(path, store)
    first, second = trials_of(path, store)
    assert (first.state, second.state, second.holdout) == ("done", "pruned", None)
    runs = cell_runs(store, read_study(store, "tiny").experiment_id, second.facts["cell_id"])
    assert [(each.status, each.metrics.get("holdout/efficiency")) for each in runs] == [("pruned", None)]
    assert "after 50% of the training" in runs[0].reason
    assert decide(runs, "any").kind == "new"
    assert decide(runs, "any", keep_pruned=True).kind == "keep"
    (row,) = read_study(store, "tiny").rows("search")
    assert row.metrics["pruned"] == 1


@pytest.mark.usefixtures("undrawn")
def test_an_interrupted_search_goes_on_in_the_same_run(tmp_path, store, monkeypatch, found):
    path = study(tmp_path, search={"random_trials": 0})
    state = {"calls": 0}

    def stop(self, done, score):
        state["calls"] += 1
        if state["calls"] == 3:  # the first validation of the second trial
            raise KeyboardInterrupt
        return False

    monkeypatch.setattr(Judge, "is_hopeless", stop)
    with pytest.raises(KeyboardInterrupt):
        search(path, store)
    assert [trial.state for trial in trials_of(path, store)] == ["done", "left", "waiting"]
    finished, _ = search(path, store)
    ended = trials_of(path, store)
    counted = [trial for trial in ended if trial.counts]
    assert [trial.values for trial in counted] == [trial.values for trial in found.trials]
    assert [trial.reached for trial in counted] == [trial.reached for trial in found.trials]
    attempts = {row.cell_id: row.attempt for row in read_study(store, "tiny").rows("cell")}
    assert attempts[counted[1].facts["cell_id"]] == 2
    assert set(finished.statuses) == {"done"}


@pytest.mark.usefixtures("undrawn")
def test_a_trial_of_a_process_that_was_killed_is_tried_again_at_once(tmp_path, store):
    path = study(tmp_path, search={"trials": 1, "random_trials": 0})
    loaded = load_study(path)
    (space,) = spaces(loaded)
    with subprocess.Popen(["sleep", "60"]) as process:
        owner = Owner(socket.gethostname(), process.pid, psutil.Process(process.pid).create_time())
        process.kill()
    name, sorts = search_name(loaded, space), Sorts({"val/efficiency": "maximize"})
    with Searcher(address(store.optuna_path), name, space.axes, sorts) as searcher:
        searcher.begin_with(space.defaults()[0])
        searcher.ask(owner.tags())
    _, lines = search(path, store)
    assert any("unfinished and tried again: trial 0" in line for line in lines)
    assert [trial.state for trial in trials_of(path, store)] == ["left", "done"]
    assert trials_of(path, store)[1].values == trials_of(path, store)[0].values


@pytest.mark.usefixtures("undrawn")
def test_a_worker_makes_a_trial_from_plain_values(tmp_path, store):
    path = study(tmp_path, search={"trials": 1})
    loaded = load_study(path)
    (space,) = spaces(loaded)
    cell = trials.as_trial(trial_cell(loaded, space, space.defaults()[0]), 1)
    session = Session(store, store.ensure_experiment("tiny"), Materials(loaded.catalog), Listener())
    judge = {"url": "sqlite:////nowhere.db", "study": "s", "number": 0, "rule": {"pruner": "none"}}
    spec = {**pack_cell(cell, pack_session(session, "job")), "judge": judge, "holdout": False}
    result = trials.run_trial_spec(json.loads(json.dumps(spec)))
    (row,) = read_study(store, "tiny").rows("cell")
    outcome = result["outcome"]
    assert (result["status"], outcome["run_id"], row.cell_id) == ("done", row.run_id, cell.cell_id)
    assert outcome["metrics"]["val/efficiency"] == row.metrics["val/efficiency"]
    assert not any(name.startswith(("test", "holdout/")) for name in row.metrics)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("width", [1, 4])  # trials asked for at a time; four hold equal ones
def test_known_settings_are_told_without_training_until_nothing_is_new(tmp_path, store, monkeypatch, width):
    monkeypatch.setattr(searching, "REPEATS_IN_A_ROW", 6)
    monkeypatch.setattr(searching, "Team", partial(searching.Team, width=width))
    path = study(tmp_path, search={"trials": 9, "random_trials": 0, "space": {"lambda": [400, 800], "radius": 1}})
    _, lines = search(path, store)
    ended = trials_of(path, store)
    assert sum(trial.counts for trial in ended) == 2
    assert len(read_study(store, "tiny").rows("cell")) == 2
    repeated = [trial for trial in ended if trial.state == "repeated"]
    assert repeated
    assert len(repeated) + 2 == len(ended)
    first = {trial.values["lambda"]: trial.reached for trial in ended if trial.counts}
    assert all(trial.reached == first[trial.values["lambda"]] for trial in repeated)
    assert any("every setting was tried" in line for line in lines)


def test_costs_are_measured_on_the_untrained_network_once_for_equal_networks(tmp_path, store, monkeypatch):
    timed, order = [], []
    real, trained = trial_costs.time_calls, training_cell.fit

    def time_calls(calls, device, **options):
        timed.extend(calls)
        order.append("timed")
        return real(calls, device, max_rounds=3)

    def fit(*args, **options):
        order.append("trained")
        return trained(*args, **options)

    monkeypatch.setattr(trial_costs, "time_calls", time_calls)
    monkeypatch.setattr(training_cell, "fit", fit)
    aims = ["val/efficiency", "device/latency_ms", "n_params"]
    path = study(tmp_path, search={"trials": 2, "objectives": aims, "random_trials": 0})
    search(path, store)
    assert len(timed) == 1  # lambda does not change the network
    assert order[0] == "timed"
    (row,) = read_study(store, "tiny").rows("search")
    document = row.json("search.json")
    assert document["front"]
    assert {"figures/pareto_device_latency_ms.png", "figures/pareto_n_params.png"} <= set(row.artifacts())
    cells = read_study(store, "tiny").rows("cell")
    assert {one["reached"]["n_params"] for one in document["front"]} == {float(cells[0].params["n_params"])}


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("error", [CollapsedError("no answer"), DivergedError("not finite")])
def test_a_trial_that_fails_is_told_and_counts_and_the_search_goes_on(tmp_path, store, monkeypatch, error):
    real, calls = training_cell.fit, []

    def fit(*args, **options):
        calls.append(1)
        if len(calls) == 1:
            raise error
        return real(*args, **options)

    monkeypatch.setattr(training_cell, "fit", fit)
    path = study(tmp_path, search={"trials": 2, "random_trials": 0})
    finished, lines = search(path, store)
    first, second = trials_of(path, store)
    status = "collapsed" if isinstance(error, CollapsedError) else "failed"
    assert (first.state, first.reached, second.state) == (status, {}, "done")
    assert str(error) in first.facts["reason"]
    assert finished.statuses == {"done": 1, status: 1}  # the pick and the defaults, which failed
    assert any("pick of 2 trials" in line for line in lines)


@pytest.mark.usefixtures("undrawn")
def test_a_trial_waits_for_another_process_that_trains_its_settings(tmp_path, store, monkeypatch):
    path = study(tmp_path, search={"trials": 1, "random_trials": 0})
    real, asked = trials.run_cell, []

    def run_cell(cell, session, watch=None):
        asked.append(cell.cell_id)
        return "leave" if len(asked) == 1 else real(cell, session, watch)

    monkeypatch.setattr(trials, "run_cell", run_cell)
    monkeypatch.setattr(trials, "WAIT_S", 0.0)
    _, lines = search(path, store)
    assert len(asked) == 2
    assert any("waiting until the other process" in line for line in lines)
    assert [trial.state for trial in trials_of(path, store)] == ["done"]
