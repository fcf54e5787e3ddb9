"""Ask and tell: defaults first, seeds, duplicates, pruning, and a search that was killed continues."""

import itertools
import math
import shutil

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smlmbench.search import Judge, Searcher, Sorts
from smlmbench.search.curves import best_of, best_of_random, front
from smlmbench.search.pruning import Rule
from smlmbench.search.storage import address, open_storage
from smlmbench.study.planning.spaces import Axis

AXES = [
    Axis("x", ("training", "lr"), 0.5, 0.1, 10.0, log=True),
    Axis("loss", ("loss", "name"), "a", choices=("a", "b")),
    Axis("n", ("model", "blocks"), 2, 1, 5, whole=True, when=(("loss", "b"),)),
]
ONE = {"val/score": "maximize"}
TWO = {**ONE, "n_params": "minimize"}
EMPTY = []
DEFAULT = {"x": 0.5, "loss": "a"}


@pytest.fixture(autouse=True, scope="module")
def empty_database(tmp_path_factory):
    """Its tables take a while to make."""
    path = tmp_path_factory.mktemp("optuna") / "empty.db"
    open_storage(address(path))
    EMPTY.append(path)


def searcher(path, directions=ONE, **sorts):
    if not path.exists():
        shutil.copy(EMPTY[0], path)
    return Searcher(address(path), "s", AXES, Sorts(directions, seed=3, startup=3, **sorts))


def score(values):
    return 1 - abs(math.log(values["x"]))


def hunt(path, count, *, stop=None, **sorts):
    """Ask and tell until `count` trials; `stop` leaves the process in the middle of that trial."""
    with searcher(path, **sorts) as search:
        search.begin_with(DEFAULT)
        search.reap(lambda facts: facts["pid"] == 1)
        while sum(trial.counts for trial in search.trials()) < count:
            asked = search.ask({"pid": 1})
            if asked.number == stop:
                return None
            search.tell(asked.number, "done", {"val/score": score(asked.values), "n_params": 7.0})
        return [dict(trial.values) for trial in search.trials() if trial.counts]


def test_the_defaults_come_first_and_only_once(tmp_path):
    found = hunt(tmp_path / "a.db", 4)
    assert found[0] == DEFAULT
    again = hunt(tmp_path / "a.db", 5)
    assert again[:4] == found
    assert DEFAULT not in again[1:]
    for values in again:
        assert 0.1 <= values["x"] <= 10
        assert ("n" in values) == (values["loss"] == "b")


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "nsga2"])
def test_the_same_seed_proposes_the_same(tmp_path, sampler):
    one = hunt(tmp_path / "a.db", 5, sampler=sampler)
    assert hunt(tmp_path / "b.db", 5, sampler=sampler) == one
    assert len({tuple(values.items()) for values in one}) == 5


def test_random_search_shares_the_first_trials(tmp_path):
    searched, drawn = hunt(tmp_path / "a.db", 6), hunt(tmp_path / "b.db", 6, sampler="random")
    assert drawn[:3] == searched[:3]
    assert drawn != searched


def test_a_killed_search_goes_on_as_if_it_had_not_been(tmp_path):
    whole = hunt(tmp_path / "a.db", 6)
    for stop in (0, 2, 6):  # of the default, of a drawn trial; the numbers go on after trials that were left
        hunt(tmp_path / "b.db", 6, stop=stop)
    assert hunt(tmp_path / "b.db", 6) == whole
    with searcher(tmp_path / "b.db") as search:
        states = [trial.state for trial in search.trials()]
    assert (states.count("left"), states.count("done"), states.count("running")) == (3, 6, 0)


def test_a_trial_of_a_living_process_is_left_alone(tmp_path):
    with searcher(tmp_path / "a.db") as search:
        search.ask({"pid": 2})
        assert search.reap(lambda facts: facts["pid"] == 1) == []
        assert [trial.state for trial in search.trials()] == ["running"]


def test_a_trial_without_heartbeat_is_tried_again(tmp_path, monkeypatch):
    with searcher(tmp_path / "a.db") as search:
        asked = search.ask()
        monkeypatch.setattr(search._storage, "_get_stale_trial_ids", lambda _: [search._trial_id(asked.number)])
        search.reap(lambda _: False)
        monkeypatch.undo()
        assert [trial.state for trial in search.trials()] == ["left", "waiting"]
        assert search.ask().values == asked.values


def test_the_heartbeat_is_written_while_a_trial_runs(tmp_path):
    import sqlite3

    with searcher(tmp_path / "a.db") as search:
        asked = search.ask()
        with sqlite3.connect(tmp_path / "a.db") as database:
            beats = database.execute("select trial_id from trial_heartbeats").fetchall()
        database.close()
        assert beats == [(search._trial_id(asked.number),)]


def test_what_was_given_back_is_asked_again(tmp_path):
    with searcher(tmp_path / "a.db") as search:
        first = search.ask()
        search.note(first.number, {"cell_id": "abc"})
        search.give_back(first.number)
        second = search.ask()
        assert (second.number, second.values) == (1, first.values)
        assert "cell_id" not in search.trials()[1].facts


def test_repeated_trials_do_not_count_and_failed_ones_do(tmp_path):
    with searcher(tmp_path / "a.db") as search:
        first = search.ask()
        search.tell(first.number, "done", {"val/score": 0.5}, facts={"holdout": 0.25})
        second = search.ask()
        search.tell(second.number, "repeated", {"val/score": 0.5})
        third = search.ask()
        search.tell(third.number, "failed", facts={"reason": "no"})
        fourth = search.ask()
        search.tell(fourth.number, "collapsed")
        trials = search.trials()
    assert [trial.state for trial in trials] == ["done", "repeated", "failed", "collapsed"]
    assert [trial.counts for trial in trials] == [True, False, True, True]
    assert (trials[0].reached, trials[0].holdout) == ({"val/score": 0.5}, 0.25)
    assert trials[3].reached == {}


def test_several_objectives_are_told_in_order_and_have_a_front(tmp_path):
    with searcher(tmp_path / "a.db", TWO) as search:
        for accuracy, size in ((1.0, 5.0), (0.5, 2.0), (0.4, 3.0)):
            search.tell(search.ask().number, "done", {"n_params": size, "val/score": accuracy})
        search.tell(search.ask().number, "collapsed")
        reached = [trial.reached for trial in search.trials()[:3]]
        assert reached[1] == {"val/score": 0.5, "n_params": 2.0}
        table = [list(one.values()) for one in reached]
        assert front(table, list(TWO.values())) == [True, True, False]
        assert [trial.number for trial in search._study.best_trials] == [0, 1]


def steps(judge, scores):
    """How far a trial comes whose scores are these, at the ends of the quarters of its training."""
    for quarter, value in enumerate(scores, start=1):
        if judge.is_hopeless(quarter / 4, value):
            return quarter
    return None


def test_a_bad_trial_is_pruned_not_before_its_warm_up(tmp_path):
    rule = Rule("median", startup=2, warmup=0.6, validations=4)
    with searcher(tmp_path / "a.db", rule=rule) as search:
        for scores in ([1, 2, 3, 4], [1, 2, 3, 4]):
            asked = search.ask()
            assert steps(asked.judge, scores) is None
            search.tell(asked.number, "done", {"val/score": 4.0})
        slow = search.ask()
        assert steps(slow.judge, [0, 0, 5, 5]) is None  # bad at first, good after the warm-up
        search.tell(slow.number, "done", {"val/score": 5.0})
        bad = search.ask()
        assert steps(bad.judge, [9, 0, 0, 0]) is None  # its best so far counts
        search.tell(bad.number, "done", {"val/score": 0.0})
        worse = search.ask()
        assert steps(worse.judge, [0, 0, 0, 0]) == 3
        search.tell(worse.number, "pruned")
        assert [trial.state for trial in search.trials()][-1] == "pruned"


def test_nothing_is_pruned_before_enough_trials_or_at_the_end(tmp_path):
    with searcher(tmp_path / "a.db", rule=Rule("median", startup=3, warmup=0.25, validations=4)) as search:
        for scores in ([1, 2, 3, 4], [0, 0, 0, 0], [0, 0, 0, 0]):
            asked = search.ask()
            assert steps(asked.judge, scores) is None
            search.tell(asked.number, "done", {"val/score": 1.0})
        assert not search.ask().judge.is_hopeless(1.0, -5.0)


def test_with_percentile_more_go_on_than_with_the_median(tmp_path):
    found = {}
    for name, keep in (("median", 75.0), ("percentile", 75.0), ("percentile", 25.0)):
        rule = Rule(name, startup=1, warmup=0.25, keep_percent=keep, validations=4)
        with searcher(tmp_path / f"{name}{keep}.db", rule=rule) as search:
            for level in (1.0, 2.0, 3.0, 4.0):
                asked = search.ask()
                Judge(asked.judge.url, "s", asked.number, Rule(name, startup=99, validations=4)).is_hopeless(0.5, level)
                search.tell(asked.number, "done", {"val/score": level})
            found[name, keep] = steps(search.ask().judge, [0, 2.0, 2.0, 2.0])
    assert found == {("median", 75.0): 2, ("percentile", 75.0): None, ("percentile", 25.0): 2}


def test_without_a_pruner_nothing_is_opened(tmp_path):
    assert not Judge("sqlite:////nowhere/at/all.db", "s", 0, Rule("none")).is_hopeless(0.9, -1e9)


def test_importances_name_what_matters(tmp_path):
    hunt(tmp_path / "a.db", 14, sampler="random")
    with searcher(tmp_path / "a.db") as search:
        shares = search.importances()
    assert max(shares, key=shares.get) == "x"
    assert sum(shares.values()) == pytest.approx(1)


def test_best_of_k_shows_the_pick_on_another_set():
    nan = math.nan
    found = best_of([nan, 1.0, 3.0, 2.0, nan], [nan, 10.0, 20.0, 30.0, nan]).mean
    assert math.isnan(found[0])
    assert found[1:] == [10.0, 20.0, 20.0, 20.0]


def test_best_of_random_search_is_the_mean_over_orders():
    found = best_of_random([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert found.mean == pytest.approx([2.0, (3 + 3 + 2) / 3, 3.0], abs=0.06)  # by hand: best of 2 of 3 is 8/3
    assert (found.low[0], found.high[0]) == (1.0, 3.0)
    kept = best_of_random([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], first=1)
    assert kept.mean == pytest.approx([1.0, 2.5, 3.0], abs=0.06)


@settings(max_examples=25)
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=12))
def test_the_best_so_far_never_falls_and_ends_at_the_best(scores):
    one, many = best_of(scores, scores), best_of_random(scores, scores)
    for curve in (one.mean, many.mean):
        assert all(later >= earlier - 1e-9 for earlier, later in itertools.pairwise(curve))
        assert curve[-1] == pytest.approx(max(scores))


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2"])
def test_with_two_objectives_a_collapsed_trial_is_infeasible_and_teaches(tmp_path, sampler):
    with searcher(tmp_path / "a.db", TWO, sampler=sampler) as search:
        first = search.ask()
        search.tell(first.number, "done", {"val/score": 0.5, "n_params": 7.0})
        second = search.ask()
        search.tell(second.number, "collapsed", {"n_params": 3.0})
        third = search.ask()
        search.tell(third.number, "repeated", {}, like="collapsed")
        fourth = search.ask()
        search.tell(fourth.number, "repeated", {}, like="failed")
        search.ask()
        assert [trial.state for trial in search.trials()][:4] == ["done", "collapsed", "repeated", "repeated"]
        assert [dict(trial.reached) for trial in search.trials()[1:4]] == [{}, {}, {}]
        stored = search._study.get_trials()
        assert [trial.values for trial in stored[:4]] == [[0.5, 7.0], [0.0, 3.0], [0.0, 7.0], None]
        assert [trial.number for trial in search._study.best_trials] == [0]


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2", "random"])
@pytest.mark.parametrize("directions", [ONE, TWO], ids=["one", "two"])
def test_a_trial_over_a_limit_breaks_a_constraint_of_that_name(tmp_path, sampler, directions):
    with searcher(tmp_path / "a.db", directions, sampler=sampler, limits={"n_params": 8.0}) as search:
        for size in (6.0, 12.0, 8.0, 4.0):
            asked = search.ask()
            search.note(asked.number, {"n_params": size})
            over = size > 8
            reached = {"n_params": size} if over else {"val/score": size, "n_params": size}
            search.tell(asked.number, "over limit" if over else "done", reached)
        again = search.ask()
        search.tell(again.number, "repeated", {}, facts={"n_params": 12.0}, like="over limit")
        search.ask()
        stored = search._study.get_trials()
        assert [trial.constraints["n_params"] for trial in stored[:5]] == [-0.25, 0.5, 0.0, -0.5, 0.5]
        assert stored[1].state.name == ("PRUNED" if len(directions) == 1 else "COMPLETE"), "failed ones teach nothing"
        states = ["done", "over limit", "done", "done", "repeated"]
        assert [trial.state for trial in search.trials()][:5] == states
        assert sum(trial.counts for trial in search.trials()) == 4
        assert not search.trials()[1].reached
        assert 1 not in [trial.number for trial in search._study.best_trials]


def test_the_sampler_keeps_within_a_limit(tmp_path):
    """Large x are better and too slow; told as failed, they would be proposed again and again."""
    late = {}
    for status in ("over limit", "failed"):
        with searcher(tmp_path / f"{status[:4]}.db", limits={"ms": 1.0}) as search:
            for _ in range(24):
                asked = search.ask()
                x = asked.values["x"]
                search.note(asked.number, {"ms": x})
                search.tell(asked.number, status if x > 1 else "done", {} if x > 1 else {"val/score": x})
            late[status] = sum(trial.state == status for trial in search.trials()[8:])
    assert late["over limit"] < late["failed"]


def test_the_sampler_keeps_away_from_where_trainings_collapse(tmp_path):
    """Small x collapse and are cheap: told as failed, which teaches nothing, they are proposed again and again."""
    late = {}
    for status in ("collapsed", "failed"):
        with searcher(tmp_path / f"{status}.db", TWO) as search:
            for _ in range(24):
                asked = search.ask()
                x = asked.values["x"]
                if x < 1:
                    search.tell(asked.number, status, {"n_params": x})
                else:
                    search.tell(asked.number, "done", {"val/score": score(asked.values), "n_params": x})
            late[status] = sum(trial.state == status for trial in search.trials()[8:])
    assert late["collapsed"] < 8 < late["failed"]


def test_collapsed_trials_have_no_part_in_importances(tmp_path):
    shares = []
    for collapsed in (False, True):
        with searcher(tmp_path / f"{collapsed}.db", TWO, sampler="random") as search:
            asked = [search.ask() for _ in range(9)]
            for one in asked[:6]:
                search.tell(one.number, "done", {"val/score": score(one.values), "n_params": 1.0})
            for one in asked[6:]:
                search.tell(one.number, "collapsed" if collapsed else "failed", {"n_params": 1.0})
            shares.append(search.importances())
    assert shares[0] == shares[1] != {}


def test_the_dashboard_reads_notes_and_finds_the_file_of_a_trial(tmp_path):
    notes = pytest.importorskip("optuna_dashboard._note", reason="optuna-dashboard is not installed")
    with searcher(tmp_path / "a.db") as search:
        search.explain("long " * 1000)
        search.explain("**what** is searched")
        number = search.ask().number
        search.attach(number, "example.png", b"picture", tmp_path / "files")
        search.tell(number, "done", {"val/score": 0.5})
        search.explain("[its run](http://x)", number)
        study = optuna.load_study(study_name="s", storage=open_storage(address(tmp_path / "a.db")))
        assert notes.get_note(study) == "**what** is searched", "the rest of a longer one is gone"
        told = study._storage.get_study_system_attrs(study._study_id)
        assert notes.get_note_from_system_attrs(told, study.trials[0]._trial_id)["body"] == "[its run](http://x)"
        (meta,) = optuna.artifacts.get_all_artifact_meta(study.trials[0], storage=study._storage)
        assert (meta.filename, meta.mimetype) == ("example.png", "image/png")
        assert (tmp_path / "files" / meta.artifact_id).read_bytes() == b"picture"
        assert study.metric_names == ["val/score"]
