"""A study through a server that asks for a login: it works as with MLflow's client, and no password is written."""

import base64
import os
import shutil

import pytest
from served import Server, proxy, serving
from tiny_study import models, write
from typer.testing import CliRunner

from smlmbench import patience
from smlmbench.cli import app
from smlmbench.data.simulate import SimulatedTraining
from smlmbench.tracking.records import read_study
from smlmbench.tracking.store import open_store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="stops a server with a signal"),
    pytest.mark.usefixtures("short_timing"),
]
PASSWORD = "hush-hush-4711"
BASIC = "Basic " + base64.b64encode(f"ann:{PASSWORD}".encode()).decode()
LOGINS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_URI")


@pytest.fixture(scope="module")
def server(tmp_path_factory, empty_store):
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_store / "mlflow.db", folder)
    started = Server(folder)
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def _no_login(monkeypatch, tmp_path):
    for name in LOGINS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # no ~/.mlflow/credentials
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(patience, "LIMIT_S", 5.0)


def study(folder, name):
    fid_storm, srcnn = models()[:2]
    loss = {"losses": fid_storm["losses"]}
    return write(folder, name, study=name, models=[fid_storm | loss, srcnn | loss], references=["blank"])


def holding(folder, text):
    """Files below a folder that hold a text."""
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


@pytest.mark.parametrize("way", ["environment", "address"])
def test_a_login_works_everywhere_and_is_written_nowhere(server, tmp_path, monkeypatch, capfd, way):
    name = f"login-{way}"
    path, refused = study(tmp_path, name), []
    with serving(proxy(server.url, BASIC, refused)) as place:
        words = ["run", str(path), "--tracking-uri", f"http://{place}"]
        if way == "environment":
            monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
            monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        else:
            words[3] = f"http://ann:{PASSWORD}@{place}"
            words += ["--workers", "2"]
        monkeypatch.setattr("sys.argv", ["smlmbench", *words])
        results = [CliRunner().invoke(app, words)]
        assert results[0].exit_code == 0, results[0].output
        monkeypatch.setenv("MLFLOW_TRACKING_URI", words[3])
        results += [CliRunner().invoke(app, [word]) for word in ("ui", "doctor")]
        record = read_study(open_store(), name)
        command = record.plan["command"]
    assert refused == []
    assert [row.status for row in record.rows("cell")] == ["done", "done"]
    login = "" if way == "environment" else "ann:***@"
    assert f"--tracking-uri http://{login}{place}" in command.replace("'", "")
    assert f"http://{place}/#/experiments/" in results[1].output
    shown = "".join(each.output for each in results) + str(capfd.readouterr())
    assert PASSWORD not in shown
    assert f"store: http://{login}{place} (MLflow server)" in shown
    assert holding(tmp_path, PASSWORD) == []
    assert holding(server.folder, PASSWORD) == []
    assert holding(tmp_path, name)  # the page, ...
    assert holding(server.folder, name)  # and the server's database


def test_a_login_that_is_wrong_is_one_line_and_ends_with_code_2(server, tmp_path):
    path, refused = study(tmp_path, "wrong"), []
    with serving(proxy(server.url, BASIC, refused)) as place:
        result = CliRunner().invoke(app, ["run", str(path), "--tracking-uri", f"http://ann:{PASSWORD}x@{place}"])
    assert result.exit_code == 2, result.output
    (said,) = result.stderr.splitlines()
    assert said.startswith(
        f"smlmbench: http://ann:***@{place} answers 401 (Authorization Required) to /health; set MLFL"
    )
    assert refused == ["/health"]


def test_a_login_that_is_withdrawn_ends_the_command_and_fails_no_cell(server, tmp_path, monkeypatch):
    path, refused, withdrawn = study(tmp_path, "withdrawn"), [], []
    handler, original = proxy(server.url, BASIC, refused), SimulatedTraining.batch

    def answer(self):
        if withdrawn and self.path != "/health":
            del self.headers["Authorization"]
        self.answer()

    def batch(self, first, count):
        withdrawn.append(first)
        return original(self, first, count)

    for verb in ("GET", "POST", "PUT", "PATCH"):
        monkeypatch.setattr(handler, f"do_{verb}", answer)
    monkeypatch.setattr(SimulatedTraining, "batch", batch)
    with serving(handler) as place:
        result = CliRunner().invoke(app, ["run", str(path), "--tracking-uri", f"http://ann:{PASSWORD}@{place}"])
    assert result.exit_code == 2, result.output
    (said,) = [line for line in result.stderr.splitlines() if line.startswith("smlmbench:")]
    assert said.startswith(f"smlmbench: the MLflow server http://ann:***@{place} refuses this login (")
    assert "Traceback" not in result.output
    assert withdrawn[1:] == list(range(0, 80, 8))  # after what a probe draws: the training is there
    assert sorted(found.name for found in (tmp_path / "mlruns/work").rglob("*.pt")) == ["best_state.pt", "last.pt"]
    rows = read_study(open_store(server.url), "withdrawn").rows("cell")
    assert [row.status for row in rows] == ["running"]
