"""The same command over finished cells begins nothing and needs no torch, and notices what could change a thing."""

import subprocess
import sys

import pytest
from tiny_study import BREAKING, models, write, write_plugins

from smlmbench.api import run
from smlmbench.run.cells import run as cells
from smlmbench.run.studies import study as studies
from smlmbench.tracking.records import read_study
from smlmbench.tracking.store import open_store

WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; from smlmbench.cli import main; sys.exit(main())"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished study of one network and one reference: its file and its store."""
    folder = tmp_path_factory.mktemp("again")
    fid_storm, srcnn = models()[:2]
    path = write(folder, models=[srcnn | {"losses": fid_storm["losses"]}], references=["blank"])
    assert run(path, store=folder / "mlruns", quiet=True).statuses == {"done": 1}
    return path, folder / "mlruns"


@pytest.fixture
def begun(monkeypatch):
    """Names of the studies that were begun."""
    names, before = [], studies.begin

    def begin(loaded, *more):
        names.append(loaded.study.study)
        return before(loaded, *more)

    monkeypatch.setattr(studies, "begin", begin)
    return names


def test_nothing_is_begun_and_torch_is_not_needed(done, begun):
    path, store = done
    number = len(read_study(open_store(store), "tiny").runs)
    words = [sys.executable, "-c", WITHOUT_TORCH, "run", str(path), "--store", str(store)]
    said = subprocess.run(words, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert "all done before" in said.stdout + said.stderr
    assert f"1 done; leaderboard: {store / 'reports/tiny/leaderboard.html'}" in said.stdout
    assert run(path, store=store, quiet=True).statuses == {"done": 1}
    assert begun == []
    assert len(read_study(open_store(store), "tiny").runs) == number


def test_a_page_that_was_changed_or_is_gone_is_made_anew(done, begun):
    path, store = done
    page = store / "reports/tiny/leaderboard.html"
    whole = page.read_bytes()
    for change in (page.unlink, lambda: page.write_text("mine")):
        change()
        run(path, store=store, quiet=True)
        assert page.read_bytes() == whole
    assert begun == ["tiny"] * 2


def test_other_options_and_another_study_are_looked_at(done, begun, tmp_path):
    path, store = done
    run(path, store=store, quiet=True, device="cpu")
    run(path, store=store, quiet=True, device="cpu")
    assert begun == ["tiny"]
    text = path.read_text().replace("frames: 8\n", "frames: 9\n")
    path.write_text(text)
    assert run(path, store=store, quiet=True).statuses == {"done": 1}
    assert begun == ["tiny"] * 2


def test_a_run_that_was_deleted_is_made_again(done, begun):
    path, store = done
    run(path, store=store, quiet=True)
    opened = open_store(store)
    (cell, *_) = read_study(opened, "tiny").rows("cell")
    opened.client.delete_run(cell.run_id)
    begun.clear()
    assert run(path, store=store, quiet=True).statuses == {"done": 1}
    assert begun == ["tiny"]
    assert read_study(opened, "tiny").rows("cell")[0].run_id != cell.run_id


def test_a_study_with_a_failed_cell_is_looked_at_each_time(done, begun, tmp_path, monkeypatch):
    plugin = write_plugins(tmp_path)["breaks"]
    path = write(
        tmp_path, references=["blank"], models=[{"name": "breaks"}], losses=models()[0]["losses"], plugins=[str(plugin)]
    )
    monkeypatch.setenv(BREAKING, "1")
    for _ in range(2):
        assert run(path, store=tmp_path / "mlruns", quiet=True).statuses == {"failed": 1}
    assert begun == ["tiny"] * 2


def test_a_training_whose_scoring_failed_is_not_trained_again(tmp_path, monkeypatch):
    """What is wrong after a training is mended and scored from its checkpoint."""
    fid_storm, srcnn = models()[:2]
    path = write(tmp_path, models=[srcnn | {"losses": fid_storm["losses"]}], references=["blank"])
    with monkeypatch.context() as patch:
        patch.setattr(cells, "choose_on_validation", lambda *_: 1 / 0)
        assert run(path, store=tmp_path / "mlruns", quiet=True).statuses == {"failed": 1}
    monkeypatch.setattr(cells, "train_cell", lambda *_: pytest.fail("it was trained again"))
    again = run(path, store=tmp_path / "mlruns", quiet=True, retry_failed=True)
    assert again.statuses == {"done": 1}
