"""Every command line that a message shows can be pasted: it is taken from the message and run, with spaces in paths."""

import ast
import html
import re
import shlex
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import tomllib
import urllib.request
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import torch
import typer
from tiny_study import models, write
from typer.testing import CliRunner

import smlmbench
from smlmbench.cli import app
from smlmbench.cli.group import app as group
from smlmbench.cli.group import commands
from smlmbench.engine.clusters import existing_workers
from smlmbench.errors import EngineError, FormatError, StoreError
from smlmbench.inference.loading import load
from smlmbench.registry import Catalog
from smlmbench.run.slots import Slots, check_slots
from smlmbench.run.using import asking
from smlmbench.run.using.finding import Found
from smlmbench.search.storage import address
from smlmbench.tracking.location import relocate
from smlmbench.tracking.records import read_study
from smlmbench.tracking.runs import open_run
from smlmbench.tracking.store import open_store

PACKAGE = Path(smlmbench.__file__).parent
PROGRAMS = ("smlmbench", "mlflow", "optuna-dashboard", "dask", "env")
SHOWN = re.compile(rf"(?:`|: |see )((?:{'|'.join(PROGRAMS)}) [^`\n]+?)(?:`|\)$|$)", re.MULTILINE)
TESTED = {
    *("cli/run.py smlmbench ui", "cli/run.py smlmbench plan", "cli/report.py smlmbench time"),
    *("report/devices.py smlmbench predict", "cli/search.py optuna-dashboard", "tracking/store.py mlflow db"),
    *("tracking/store.py env", "tracking/location.py mlflow db", "tracking/location.py *"),
    *(
        "engine/clusters.py dask scheduler",
        "report/leaderboard.py smlmbench run",
        "run/timing/retiming.py smlmbench run",
    ),
    *("run/using/asking.py smlmbench time", "inference/loading.py smlmbench export"),
    *("study/planning/spaces.py smlmbench search", "run/slots.py mlflow server"),
    # of tasks with results of their own: test_psf_regression_study.py, test_classification_study.py ...
    *("report/questions.py smlmbench predict", "report/access.py smlmbench ui", "run/searching/shown.py smlmbench ui"),
    "cli/report.py *",
    *("run/movies/studying.py smlmbench list", "run/movies/studying.py smlmbench calibrate"),
    "run/using/likeness.py smlmbench study",  # test_fits.py
    *("cli/study.py smlmbench plan", "cli/study.py smlmbench run"),
    *(f"calibrate/proposing/studyfile.py smlmbench {name}" for name in ("plan", "run", "predict")),
}


def shown(text):
    """The command lines of a message."""
    return SHOWN.findall(text)


def words_of(line, **filled):
    return [filled.get(word, word) for word in shlex.split(line)]


def ran(line, code=0, **filled):
    """Run a line of our own command; `filled` are its placeholders."""
    program, *words = words_of(line, **filled)
    assert program == "smlmbench"
    result = CliRunner().invoke(app, words)
    assert result.exit_code == code, f"{line}\n{result.output}"
    return result


def ran_outside(line, *more):
    """Run a line of another program in a shell, as it is pasted."""
    where = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "MLFLOW_DISABLE_TELEMETRY": "true"}
    shell = ["sh", "-c", f"{line} {shlex.join(more)}"]
    done = subprocess.run(shell, capture_output=True, env=where, check=False)
    assert done.returncode == 0, f"{line}\n{done.stderr.decode()}"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder whose name needs quotes."""
    folder = tmp_path / "it's my folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return folder


@pytest.fixture
def own(place, empty_store):
    """A store there."""
    return open_store(shutil.copytree(empty_store, place / "a store"))


@pytest.fixture
def served(monkeypatch):
    """What `smlmbench ui` would serve; that it does is tested in test_ui.py."""
    asked = []

    @contextmanager
    def serve(store, port):
        asked.append((store.place, port))
        yield SimpleNamespace(url="http://127.0.0.1", wait=lambda: None)

    monkeypatch.setattr("smlmbench.tracking.server.serve", serve)
    monkeypatch.setattr("smlmbench.tracking.server.chart_links", lambda url: {})
    return asked


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def printed():
    """Where the source makes a command line, and its first two words."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name, tree = path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
        documented = [node.body[0] for node in ast.walk(tree) if isinstance(node, kinds) and node.body]
        skipped = {id(node.value) for node in documented if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("command", "command_line") and node.args:
                said = [word.value for word in node.args[:2] if isinstance(word, ast.Constant)]
                if isinstance(node.args[0], ast.Starred):
                    yield f"{name} *"
                elif said and said[0] in PROGRAMS:
                    yield " ".join([name, *said])
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
                for first, second in re.findall(r"(?:^|[`:] ?)(smlmbench|mlflow|dask) ([a-z]+)\b", node.value):
                    yield f"{name} {first} {second}"


def test_every_command_line_of_the_source_is_run_here():
    found = {where for where in printed() if len(where.split()) > 1 and not where.startswith("addresses.py")}
    assert {where for where in found if where not in TESTED} == set()
    assert len(found) >= len(TESTED) - 2


def test_what_is_to_be_installed_has_a_name():
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    lines = [
        line for path in PACKAGE.rglob("*.py") for line in re.findall(r"pip install ('?[\w\[\]-]+)", path.read_text())
    ]
    assert len(lines) >= 5
    for line in lines:
        name, _, extra = line.strip("'").rstrip("]").partition("[")
        assert extra in project["optional-dependencies"] or not extra, line
        assert name in ("smlmbench", "imagecodecs", "onnxruntime-gpu", "optuna-dashboard", "triton"), line


@pytest.mark.parametrize("name", commands())
def test_examples_of_the_help_are_understood(name):
    text = CliRunner().invoke(app, [name, "--help"]).output
    examples = re.findall(r"Example: (smlmbench .*(?:\n +\S.*)*)", text)
    assert examples, f"the help of {name} has no example"
    for line in examples:
        _, command, *words = shlex.split(" ".join(line.split()))
        found = typer.main.get_command(group).get_command(None, command)
        found.make_context(command, words)


@pytest.mark.slow
@pytest.mark.usefixtures("short_timing")
def test_commands_of_a_study_from_the_first_to_the_last(place, empty_store, served, monkeypatch):
    fid_storm, srcnn = models()[:2]
    path = write(place / "my studies", models=[srcnn | {"losses": fid_storm["losses"]}], references=["blank"])
    shutil.copytree(empty_store, place / "a store")
    words = ["--store", "a store"]
    (plan,) = shown(CliRunner().invoke(app, ["run", str(path), "--dry"]).stderr)
    assert "1 cells" in ran(plan).output or "srcnn" in ran(plan).output
    (help_line,) = shown(CliRunner().invoke(app, ["run", "--nope"]).stderr)
    ran(help_line)
    open_store("a store").ensure_experiment("tiny")
    (first,) = shown(CliRunner().invoke(app, ["time", str(path), *words]).stderr)
    monkeypatch.setattr("sys.argv", shlex.split(first))
    (look,) = shown(ran(first).stderr)
    ran(look)
    assert served == [(str(place / "a store"), 5000)]
    store = open_store("a store")
    record = read_study(store, "tiny")
    assert record.plan["command"] == first
    ran(record.plan["command"])
    page = (store.report_dir("tiny") / "leaderboard.html").read_text(encoding="utf-8")
    assert record.plan["command"].replace("'", "&#39;").replace('"', "&#34;") in page
    shows = {html.unescape(line) for line in re.findall(r"<code>(smlmbench ui[^<]*)</code>", page)}
    assert shows == {"smlmbench ui --store 'a store'"}
    ran(*shows)
    assert served == [(str(place / "a store"), 5000)] * 2
    (timed,) = shown(CliRunner().invoke(app, ["report", str(path), "--budget-ms", "0", *words]).stdout)
    ran(timed)
    fits = CliRunner().invoke(app, ["report", "tiny", "--budget-ms", "1e6", *words]).stdout
    (predict,) = [line.strip() for line in fits.splitlines() if line.strip().startswith("smlmbench predict")]
    tifffile.imwrite("movie.tif", np.full((2, 16, 16), 200, dtype=np.uint16))
    Path("camera.yaml").write_text("{kind: scmos, baseline_adu: 100, e_per_adu: 0.5}")
    ran(predict)
    (asked,) = re.findall(r"<code>(smlmbench predict [^<]+)</code>", page)
    ran(f"{html.unescape(asked)} --overwrite")
    (row,) = record.rows("cell")
    elsewhere = Found(row.artifact("best.pt"), SimpleNamespace(tags={}, params={}, store=row.store))
    (adds,) = shown(asking._choose(asking.Wanted(""), elsewhere, lambda: (1, 16, 16), Catalog(), None).why)
    ran(adds, **{"STUDY.yaml": str(path)})
    Path("bare.xml").write_bytes(b"")
    with pytest.raises(FormatError) as caught:
        load(Path("bare.xml"), Catalog(), torch.device("cpu"))
    (export,) = shown(str(caught.value))
    ran(f"{export} --store 'a store'", RUN=row.run_id)
    open_run(store, store.ensure_experiment("empty"), role="study", name="empty").terminate("done")
    (again,) = shown(CliRunner().invoke(app, ["report", "empty", *words]).stderr)
    ran(again, **{"STUDY.yaml": str(path), "FOLDER": "a store"})


@pytest.mark.slow
@pytest.mark.usefixtures("short_timing")
def test_commands_of_a_search(place, empty_store):
    pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")
    fid_storm, srcnn = models()[:2]
    block = {"models": [srcnn | {"losses": fid_storm["losses"]}], "references": ["blank"], "search": {"trials": 1}}
    path = write(place / "my studies", **block)
    shutil.copytree(empty_store, place / "mlruns")
    (search,) = shown(CliRunner().invoke(app, ["plan", str(path)]).output)
    dashboard = shown(ran(search).stderr)[-1]
    assert words_of(dashboard)[1] == address(place / "mlruns" / "optuna.db")
    port = free_port()
    program = [str(Path(sys.executable).with_name("optuna-dashboard")), *words_of(dashboard)[1:], "--port", str(port)]
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            assert b"tiny sim" in answer(f"http://127.0.0.1:{port}/api/studies")
        finally:
            process.kill()


def test_a_study_for_a_movie_and_the_camera_that_it_lacks(place, monkeypatch):
    scene = {"density_per_um2": 0.3, "photons": 2000, "psf": {"name": "gaussian", "sigma_nm": 130}, "field_px": 32}
    movie, _ = smlmbench.simulate({**scene, "camera": {"kind": "scmos", "baseline_adu": 100, "read_noise_e": 1.6}}, 100)
    tifffile.imwrite("my cells.tif", movie, photometric="minisblack")
    stated = ["study", "my cells.tif", "--pixel-size-nm", "100"]
    cameras, calibrate = shown(CliRunner().invoke(app, stated).stderr)
    assert "emccd" in ran(cameras).stdout
    assert "photo-electrons a count" in ran(calibrate).stdout
    done = CliRunner().invoke(app, [*stated, "--camera", "{kind: scmos, baseline_adu: 100, read_noise_e: 1.6}"])
    plan, run = shown(done.stdout)
    head = [line.removeprefix("# ") for line in Path("my cells.yaml").read_text(encoding="utf-8").splitlines()[:12]]
    plan_again, run_again, predict = [line for line in head if line.startswith("smlmbench ")]
    assert (plan_again, run_again.partition("  ")[0]) == (plan, run)
    assert "3 cells" in ran(plan).stdout
    for line in (run, predict):
        _, name, *words = shlex.split(line)
        context = typer.main.get_command(group).get_command(None, name).make_context(name, words)
        assert str(context.params.get("study") or context.params.get("movie")).startswith("my cells.")


def answer(url):
    until = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as found:
                return found.read()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def test_a_deleted_study_is_brought_back(own):
    number = own.ensure_experiment("fish")
    own.client.delete_experiment(number)
    with pytest.raises(StoreError) as caught:
        own.ensure_experiment("fish")
    (restore,) = shown(str(caught.value))
    ran_outside(restore)
    assert own.ensure_experiment("fish") == number


def test_a_store_of_another_version_is_upgraded(own):
    with closing(sqlite3.connect(own.home / "mlflow.db")) as connection:
        (version,) = connection.execute("select version_num from alembic_version").fetchone()
        connection.execute("update alembic_version set version_num = '451aebb31d03'")
        connection.commit()
        with pytest.raises(StoreError) as caught:
            open_store(own.home).client  # noqa: B018
        (upgrade,) = shown(str(caught.value))
        connection.execute("update alembic_version set version_num = ?", [version])  # nothing is left to do
        connection.commit()
        ran_outside(upgrade)
        connection.execute("alter table logged_models rename to older")
        connection.execute("update experiments set artifact_location = 'file:///elsewhere/artifacts/fish'")
        connection.commit()
    with pytest.raises(StoreError) as caught:
        relocate(own.home / "mlflow.db", own.home)
    assert shown(str(caught.value)) == [upgrade]


def test_a_server_that_is_down_is_started(own, served, monkeypatch):
    port = free_port()
    result = CliRunner().invoke(app, ["report", "fish", "--store", f"http://127.0.0.1:{port}"])
    ours, theirs = shown(result.stderr)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", own.uri)
    ran(ours)
    assert served == [(own.place, port)]
    ran_outside(theirs, "--help")
    assert words_of(theirs)[2:] == ["--port", str(port)]


def test_workers_elsewhere_reach_the_server_that_is_advised():
    from mlflow.server.security_utils import is_allowed_host_header

    with pytest.raises(StoreError) as caught:
        check_slots(Slots(scheduler="tcp://10.0.0.1:8786"), uri="sqlite:////a b/mlflow.db", served=False)
    (line,) = shown(str(caught.value))
    ran_outside(line, "--help")
    here = socket.gethostname()
    assert str(caught.value).endswith(f"if it runs here http://{here}:5000")
    allowed = words_of(line)[5].split(",")
    assert is_allowed_host_header(allowed, f"{here}:5000")
    assert is_allowed_host_header(allowed, "localhost:5000")
    assert not is_allowed_host_header(allowed, "elsewhere:5000")


def test_a_scheduler_that_is_down_is_started():
    where = f"tcp://127.0.0.1:{free_port()}"
    with pytest.raises(EngineError) as caught, existing_workers(where):
        pass
    (line,) = shown(str(caught.value))
    program = [
        str(Path(sys.executable).with_name("dask")),
        *words_of(line)[1:],
        "--host",
        "127.0.0.1",
        "--no-dashboard",
    ]
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 60
        try:
            while True:
                try:
                    with existing_workers(where) as found:
                        assert found.client.status == "running"
                    break
                except EngineError:
                    assert time.monotonic() < until
        finally:
            process.kill()
