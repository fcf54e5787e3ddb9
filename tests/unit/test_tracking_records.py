import subprocess
import sys

import pytest

from smlmbench.errors import StoreError
from smlmbench.tracking import records, tags
from smlmbench.tracking.records import find_run, read_study
from smlmbench.tracking.runs import open_run


def add(store, study, *, role="cell", cell_id="", name="row", end="done", extra=None):
    """A closed run."""
    held = {tags.CELL_ID: cell_id, tags.EVAL_ID: "e1", **(extra or {})}
    run = open_run(store, store.ensure_experiment(study), role=role, name=name, tags=held)
    run.terminate(end)
    return run.run_id


def test_a_study_is_read_with_the_newest_plan(store):
    number = store.ensure_experiment("fish")
    for version in (1, 2):
        with open_run(store, number, role="study", name=f"study {version}") as run:
            run.log_dict({"version": version}, "plan.json")
            run.log_text(f"version: {version}\n", "study.yaml")
    add(store, "fish", role="study")
    add(store, "fish", cell_id="c1")
    add(store, "birds", cell_id="c2")
    study = read_study(store, "fish")
    assert study.plan == {"version": 2}
    assert study.study_text == "version: 2\n"
    assert study.experiment_id == number
    assert [(run.role, run.cell_id, run.eval_id) for run in study.rows()] == [("cell", "c1", "e1")]
    assert len(study.rows("study")) == 3


def test_a_study_without_a_plan(store):
    add(store, "fish", cell_id="c1")
    study = read_study(store, "fish")
    assert (study.plan, study.study_text) == ({}, "")


def test_an_unknown_study_names_the_nearest(store):
    with pytest.raises(StoreError, match="no study 'fsh' in .*: it has none yet"):
        read_study(store, "fsh")
    store.ensure_experiment("fish")
    with pytest.raises(StoreError, match="no study 'fsh' in .*: did you mean 'fish'"):
        read_study(store, "fsh")


def test_all_pages_are_read(store, monkeypatch):
    monkeypatch.setattr(records, "PAGE", 2)
    wanted = {add(store, "fish", cell_id=f"c{n}") for n in range(5)}
    assert {run.run_id for run in read_study(store, "fish").runs} == wanted


def test_a_run_that_another_stands_for_is_no_row(store):
    add(store, "fish", cell_id="c1", end="failed", extra={tags.SUPERSEDED_BY: "x"})
    add(store, "fish", cell_id="c1", end="interrupted", extra={tags.WITHDRAWN: "true"})
    kept = add(store, "fish", cell_id="c1")
    study = read_study(store, "fish")
    assert [run.run_id for run in study.rows()] == [kept]
    assert len(study.runs) == 3


def test_a_run_is_found_by_id_cell_and_name(store):
    run_id = add(store, "fish", cell_id="0123abcd", name="deep_storm l1l2")
    add(store, "birds", cell_id="ffff", name="other")
    for text in (run_id, run_id[:10], "0123abcd", "0123", "deep_storm l1l2"):
        assert find_run(store, text).run_id == run_id


def test_of_several_attempts_the_one_that_counts_is_found(store):
    done = add(store, "fish", cell_id="0123", name="row")
    add(store, "fish", cell_id="0123", name="row", end="pruned")
    assert find_run(store, "0123").run_id == done


def test_runs_of_different_rows_are_listed(store):
    first, second = (add(store, study, cell_id="0123", name="row") for study in ("fish", "birds"))
    with pytest.raises(StoreError, match="'row' fits 2 runs") as caught:
        find_run(store, "row")
    assert first[:12] in str(caught.value)
    assert second[:12] in str(caught.value)


@pytest.mark.parametrize("text", ["nothing", "", "x' OR '", "deep%", "deepXstorm"])
def test_nothing_fits(store, text):
    add(store, "fish", cell_id="0123", name="deep_storm")
    with pytest.raises(StoreError, match="no run '.*'; give|no run '.*' in"):
        find_run(store, text)


def test_reading_needs_no_torch(store):
    add(store, "fish", cell_id="0123")
    program = (
        "import sys\nfrom smlmbench.tracking.records import read_study\n"
        "from smlmbench.tracking.store import open_store\n"
        f"study = read_study(open_store({str(store.home)!r}, create=False), 'fish')\n"
        "print(len(study.runs), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "1 False\n"
    assert done.stderr == ""
