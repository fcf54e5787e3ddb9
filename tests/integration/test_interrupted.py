"""Ctrl-C in a study: what is left is said and continued, and nobody sees it in the numbers."""

import shutil
from typing import Any, NamedTuple

import pytest
import torch
from tiny_study import models, write
from typer.testing import CliRunner

from smlmbench.cli import app
from smlmbench.data.simulate import SimulatedTraining
from smlmbench.run.fits import AT_ONCE
from smlmbench.tracking.records import read_study
from smlmbench.tracking.store import open_store

pytestmark = pytest.mark.usefixtures("short_timing")


def interrupting(calls, at):
    original = SimulatedTraining.batch

    def batch(self, first, count):
        if count == AT_ONCE:  # a look at what was seen in training
            return original(self, first, count)
        calls.append(first)
        if len(calls) == at:
            raise KeyboardInterrupt
        return original(self, first, count)

    return batch


STOPPED_AT = 17 + 2  # a training that has no format yet asks for a few samples beside its first batch


class Outcome(NamedTuple):
    """Of one command: what it said, the first sample of every batch, the store, files of work, MLflow's statuses."""

    result: Any
    calls: list[int]
    record: Any
    work: list[str]
    stored: dict[str, str]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, empty_store, short_timing):
    """The same cells under other names and in another order; stopped in the seventh step of the second, continued."""
    folder = tmp_path_factory.mktemp("stopped")
    shutil.copytree(empty_store, folder / "mlruns")
    fid_storm, srcnn = models()[:2]
    path = write(folder, study="other", models=[srcnn | {"losses": fid_storm["losses"]}, fid_storm])
    path.write_text(path.read_text().replace("name: sim", "name: renamed"))
    words = ["run", str(path), "--store", str(folder / "mlruns")]
    outcomes = []
    for at in (STOPPED_AT, None):
        calls = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SimulatedTraining, "batch", interrupting(calls, at))
            result = CliRunner().invoke(app, words)
        store = open_store(folder / "mlruns")
        record = read_study(store, "other")
        work = sorted(path.name for path in (store.home / "work").rglob("*.pt"))
        stored = {run.run_id: store.client.get_run(run.run_id).info.status for run in record.runs}
        outcomes.append(Outcome(result, calls, record, work, stored))
    return outcomes


def test_ctrl_c_leaves_a_run_to_continue_and_says_what_is_left(stopped):
    result, calls, record, work, stored = stopped[0]
    assert result.exit_code == 130
    assert "stopped; 1 of 2 cells are left; the same command continues them" in result.stderr
    assert "Traceback" not in result.output
    assert len(calls) == STOPPED_AT
    rows = {row.params["model"]: row for row in record.rows("cell")}
    assert {name: row.status for name, row in rows.items()} == {"srcnn": "done", "fid_storm": "interrupted"}
    assert stored[rows["fid_storm"].run_id] == "KILLED"
    assert rows["fid_storm"].reason == "stopped by the user"
    assert next(run for run in record.runs if run.role == "study").status == "interrupted"
    assert work == ["best_state.pt", "last.pt"]


def test_the_same_command_finishes_only_the_rest_in_the_same_run(stopped):
    result, calls, record, work, _ = stopped[1]
    assert result.exit_code == 0, result.output
    assert calls == [6 * 8, 7 * 8, 8 * 8, 9 * 8]
    earlier = {row.cell_id: row.run_id for row in stopped[0].record.rows("cell")}
    assert {row.cell_id: (row.run_id, row.status) for row in record.rows("cell")} == {
        cell_id: (run_id, "done") for cell_id, run_id in earlier.items()
    }
    assert work == []


def numbers(row):
    return {name: value for name, value in row.metrics.items() if name.startswith(("val", "test", "train/l"))}


def test_order_names_and_interrupts_change_no_number(done, stopped):
    ours = {row.cell_id: row for row in done.record.rows("cell")}
    theirs = stopped[1].record.rows("cell")
    assert len(theirs) == 2
    for row in theirs:
        same = ours[row.cell_id]
        assert len(numbers(row)) > 50
        assert numbers(row) == numbers(same)
        assert row.params["threshold"] == same.params["threshold"]
        for table in ("predictions/low.csv", "predictions/high.csv"):
            assert row.artifact(table).read_bytes() == same.artifact(table).read_bytes()
        one, other = (torch.load(each.artifact("best.pt"), weights_only=True)["state"] for each in (row, same))
        assert all(torch.equal(one[name], other[name]) for name in one)
