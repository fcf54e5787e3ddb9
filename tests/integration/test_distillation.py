"""A teacher and its students from a study file to the page, with networks of a few weights."""

import re
import time
from types import SimpleNamespace

import pytest
import torch
from tiny_study import Listener, run, write
from typer.testing import CliRunner

from smlmbench.cli import app
from smlmbench.errors import CollapsedError
from smlmbench.inference.checkpoint import load_trained
from smlmbench.run.cells import run as cells
from smlmbench.run.cells import training as training_cell
from smlmbench.run.cells.teachers import untrained_teacher
from smlmbench.run.cells.training import build_recipe
from smlmbench.run.materials import Materials
from smlmbench.run.session import Session
from smlmbench.run.studies import longer, trainings
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan
from smlmbench.tracking.claims import claim
from smlmbench.tracking.records import read_study

TEACHER = {"name": "srcnn", "width": 0.25, "zero_last": False}
STUDENT = {"name": "fid_storm", "blocks": 1, "width": 0.25}
DISTILL = [
    {"teacher": "srcnn", "student": "fid_storm", "method": "hint"},
    {"teacher": "srcnn", "student": "fid_storm", "method": "attentive_imitation", "controls": ["plain"]},
]


def study(folder, **blocks):
    common = {"models": [STUDENT, TEACHER], "distill": DISTILL, "references": ["truth"], "timing": None, "repeats": 2}
    training = {"samples": 48, "batch_size": 8, "validations": 2, "lr": 0.003}
    return write(folder, **{**common, "training": training, **blocks})


@pytest.fixture(scope="module")
def taught(tmp_path_factory, empty_store):
    """The study, run once; nobody writes to its store."""
    import shutil

    from smlmbench.tracking.store import open_store

    folder = tmp_path_factory.mktemp("taught")
    path, store = study(folder), open_store(shutil.copytree(empty_store, folder / "mlruns"))
    finished, lines = run(path, store)
    return path, store, finished, lines


def rows(store, method, teacher="srcnn"):
    found = read_study(store, "tiny").rows("cell")
    return sorted(
        (row for row in found if (row.params["method"], row.params["teacher"]) == (method, teacher)),
        key=lambda row: row.params["repeat"],
    )


def test_teachers_students_and_controls_are_all_there(taught):
    _, store, finished, lines = taught
    assert finished.statuses == {"done": 2 * 6}
    assert [line for line in lines if line.startswith("control longer")] != []
    for method, teacher in (("hint", "srcnn"), ("hint", "untrained srcnn"), ("attentive_imitation", "srcnn")):
        assert [row.status for row in rows(store, method, teacher)] == ["done", "done"], (method, teacher)
    assert len(rows(store, "longer", "none")) == 2


def test_a_student_sees_no_more_samples_than_its_twin_and_shows_what_its_teacher_took(taught):
    _, store, _, _ = taught
    (plain, *_) = [row for row in rows(store, "supervised", "none") if row.params["model"] == "fid_storm"]
    (teacher, *_) = [row for row in rows(store, "supervised", "none") if row.params["model"] == "srcnn"]
    for student in (rows(store, "hint")[0], rows(store, "attentive_imitation")[0]):
        assert student.params["samples_seen"] == plain.params["samples_seen"] == "48"
        assert student.params["n_params"] == plain.params["n_params"]
        assert student.params["teacher_run"] == teacher.run_id
        assert student.params["teacher_n_params"] == teacher.params["n_params"]
        assert student.params["teacher_train_s"] == teacher.params["train_s"]
    untrained = rows(store, "hint", "untrained srcnn")[0]
    assert "teacher_run" not in untrained.params
    assert untrained.params["teacher_n_params"] == teacher.params["n_params"]


def test_the_student_is_taken_away_without_its_adapter(taught):
    path, store, _, _ = taught
    loaded = load_study(path)
    student = rows(store, "hint")[0]
    content = torch.load(student.artifact("best.pt"), weights_only=True)
    plain = next(cell for cell in make_plan(loaded).cells if cell.model.name == "fid_storm")
    recipe, _ = build_recipe(plain, Materials(loaded.catalog), torch.device("cpu"))
    assert content["state"].keys() == recipe.network.state_dict().keys()
    assert load_trained(student.artifact("best.pt"), loaded.catalog).facts["teacher"] == "srcnn"
    assert "train/hint" in student.metrics


def test_a_random_teacher_is_frozen_at_a_start_of_its_own(taught):
    path, _, _, _ = taught
    loaded = load_study(path)
    cells_ = [cell for cell in make_plan(loaded).cells if cell.control == "random_teacher"]
    materials, cpu = Materials(loaded.catalog), torch.device("cpu")
    first, again, other = (
        untrained_teacher(cell, materials, cpu, cell.teaching.model).network for cell in (cells_[0], *cells_)
    )
    assert not first.training
    assert not any(parameter.requires_grad for parameter in first.parameters())
    weights = [torch.cat([one.flatten() for one in network.parameters()]) for network in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])  # of another repeat
    plain = next(cell for cell in make_plan(loaded).cells if cell.model.name == "srcnn")
    begun, _ = build_recipe(plain, materials, cpu)
    assert not torch.equal(weights[0], torch.cat([one.flatten() for one in begun.network.parameters()]))


def test_the_page_says_what_the_teacher_gained(taught):
    _, store, finished, _ = taught
    page = finished.report.read_text(encoding="utf-8")
    assert "What teachers gain" in page
    assert "against random teacher" in page
    assert re.search(r"fid_storm ← srcnn \(hint\).*against the plain twin.*[Tt]he teacher gains", page)
    plan = read_study(store, "tiny").plan
    assert [item["factor"] >= 2 for item in plan["longer"].values()] == [True]


def test_the_same_command_again_measures_and_trains_nothing(taught, monkeypatch):
    path, store, finished, _ = taught
    monkeypatch.setattr(longer, "measure", lambda *_: pytest.fail("measured"))
    monkeypatch.setattr(training_cell, "fit", lambda *_, **__: pytest.fail("trained"))
    again, _ = run(path, store)
    assert again.statuses == finished.statuses


def test_students_of_a_teacher_that_ended_badly_are_skipped_until_it_is_there(tmp_path, store, monkeypatch):
    path = study(tmp_path, repeats=1, distill=[DISTILL[1]])
    original = cells.train_cell

    def train_cell(cell, *rest, **more):
        if cell.model.name == "srcnn":
            raise CollapsedError("answers nothing")
        return original(cell, *rest, **more)

    monkeypatch.setattr(cells, "train_cell", train_cell)
    finished, lines = run(path, store)
    assert finished.statuses == {"done": 1, "collapsed": 1, "skipped": 1}
    assert finished.unfinished == 0
    assert any("fid_storm ← srcnn (attentive_imitation)" in line and "collapsed" in line for line in lines)
    page = finished.report.read_text(encoding="utf-8")
    assert re.search(r"its teacher srcnn \(\w{12}\) ended as collapsed", page)
    assert not rows(store, "attentive_imitation")
    monkeypatch.setattr(cells, "train_cell", original)
    again, _ = run(path, store, retry_failed=True)
    assert again.statuses == {"done": 3}


@pytest.mark.parametrize("trains", [True, False])
def test_a_student_waits_for_its_teacher_that_another_command_trains(tmp_path, store, monkeypatch, trains):
    path = study(tmp_path, repeats=1, distill=[DISTILL[1] | {"controls": False}])
    loaded = load_study(path)
    teacher = next(cell for cell in make_plan(loaded).cells if cell.model.name == "srcnn")
    other = Session(store, store.ensure_experiment("tiny"), Materials(loaded.catalog), Listener())
    held = claim(store, other.experiment_id, cells.row_of(teacher))
    waited = []

    def sleep(seconds):
        waited.append(seconds)
        if len(waited) == 2:
            held.run.terminate("interrupted")  # then this command goes on with it
            if trains:
                assert cells.run_cell(teacher, other) == "done"

    monkeypatch.setattr(trainings, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
    finished, lines = run(path, store)
    assert finished.statuses == {"done": 3}
    assert len(waited) == 2
    assert lines.count("waiting for sim srcnn l1l2 λ=400 repeat 0, which another command trains") == 1
    assert not any("which is left" in line for line in lines)
    (taught,) = rows(store, "attentive_imitation")
    assert taught.params["teacher_run"] == held.run.run_id


def test_a_student_does_not_wait_longer_than_the_command_may(tmp_path, store, monkeypatch):
    path = study(tmp_path, repeats=1, distill=[DISTILL[1] | {"controls": False}])
    teacher = next(cell for cell in make_plan(load_study(path)).cells if cell.model.name == "srcnn")
    held = claim(store, store.ensure_experiment("tiny"), cells.row_of(teacher))
    clock = iter(range(1000))
    fake = SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda seconds: None)
    monkeypatch.setattr(trainings, "time", fake)
    finished, _ = run(path, store, max_hours=20 / 3600)
    held.run.terminate("interrupted")
    assert finished.statuses == {"done": 1, "running": 1, "planned": 1}
    assert finished.unfinished == 2


def test_a_run_or_a_file_of_another_study_teaches(taught, tmp_path, store):
    _, other, _, _ = taught
    teacher = next(row for row in rows(other, "supervised", "none") if row.params["model"] == "srcnn")
    path = tmp_path / "kept.pt"
    path.write_bytes(teacher.artifact("best.pt").read_bytes())
    entry = {"student": "fid_storm", "method": "attentive_imitation", "phi_samples": 8, "longer": 2}
    file = study(tmp_path, repeats=1, models=[STUDENT], distill=[entry | {"teacher": {"path": "kept.pt"}}])
    finished, _ = run(file, store)
    assert finished.statuses == {"done": 4}
    assert rows(store, "attentive_imitation", "kept.pt")[0].params["teacher_n_params"] == teacher.params["n_params"]
    assert "What teachers gain" in finished.report.read_text(encoding="utf-8")


def test_a_run_of_the_store_teaches(taught):
    path, store, _, _ = taught
    teacher = next(row for row in rows(store, "supervised", "none") if row.params["model"] == "srcnn")
    entry = {"teacher": {"run": teacher.run_id}, "student": "fid_storm", "method": "attentive_imitation"}
    folder = path.parent / "other"
    file = study(folder, study="other", repeats=1, models=[STUDENT], distill=[entry | {"controls": False}])
    done, _ = run(file, store)
    assert done.statuses == {"done": 2}
    found = read_study(store, "other").rows("cell")
    assert {row.params.get("teacher_run") for row in found} == {None, teacher.run_id}


def test_plan_check_lays_hints_side_by_side(tmp_path):
    entry = {"teacher": "srcnn", "student": "fid_storm", "method": "hint", "controls": False}
    path = study(tmp_path, repeats=1, distill=[entry | {"resize": "none"}, entry | {"student_layer": "trnk"}, entry])
    result = CliRunner().invoke(app, ["plan", str(path), "--check", "--json"])
    assert result.exit_code == 0, result.output
    import json

    found = json.loads(result.stdout)
    reasons = [row["reason"] for row in found["rows"] if row["status"] == "skipped"]
    assert reasons == [
        "the student's layer (16x16x16) and the teacher's (8x32x32) differ in size; name other layers, or "
        "resize: convolution",
        "'trnk' is not a layer of FidStorm; did you mean 'trunk'?",
    ]
    assert [row["method"] for row in found["rows"] if row["method"]] == ["hint", "hint", "hint"]
    networks = {one["model"]: one for one in found["check"]["networks"]}
    assert networks["srcnn"]["n_params"] > 0
    assert found["check"]["hours"] > 0
