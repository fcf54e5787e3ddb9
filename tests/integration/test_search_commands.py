"""Commands that show a search without running it, and the dashboard of its trials."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from tiny_study import write
from typer.testing import CliRunner

from smlmbench.cli import app
from smlmbench.search import Searcher, Sorts
from smlmbench.search.storage import address
from smlmbench.study.load import load_study
from smlmbench.study.planning.spaces import search_name, spaces

BLOCKS = {"models": [{"name": "fid_storm", "blocks": 1, "width": 0.25}], "losses": ["l1l2"], "references": ["truth"]}


def study(folder, *, search):
    return write(folder, **BLOCKS, search=search)


def test_commands_say_what_is_missing_and_how_many_trials(tmp_path):
    path = study(tmp_path, search={"trials": 5, "random_trials": 2})
    said = CliRunner().invoke(app, ["plan", str(path)])
    assert "search: 1 x 5 trials" in said.output
    listed = json.loads(CliRunner().invoke(app, ["plan", str(path), "--json"]).stdout)
    assert "1 x 5 trials" in listed["searches"][0]
    without = write(tmp_path / "other", **BLOCKS)
    failed = CliRunner().invoke(app, ["search", str(without), "--store", str(tmp_path / "s")])
    assert failed.exit_code == 2
    assert "no block `search`; add `search: {trials: 30}` or give --trials 30" in failed.output
    assert not (tmp_path / "s").exists()


def test_planning_a_search_imports_neither_optuna_nor_torch(tmp_path):
    path = study(tmp_path, search={})
    code = (
        "import sys\nfrom smlmbench.study.load import load_study\nfrom smlmbench.study.planning.spaces import *\n"
        f"loaded = load_study({str(path)!r})\nprint(describe_searches(loaded, spaces(loaded)))\n"
        "print([name for name in ('optuna', 'torch', 'mlflow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_dashboard_shows_the_search_and_its_trials(tmp_path):
    pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")
    program = Path(sys.executable).with_name("optuna-dashboard")
    if not program.exists():
        pytest.skip("the program optuna-dashboard is not installed")
    loaded = load_study(study(tmp_path, search={}))
    (space,) = spaces(loaded)
    name, url = search_name(loaded, space), address(tmp_path / "optuna.db")
    with Searcher(url, name, space.axes, Sorts({"val/efficiency": "maximize"})) as searcher:
        searcher.tell(searcher.ask().number, "done", {"val/efficiency": 41.5}, facts={"mlflow_run_id": "abc"})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(program), url, "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        (summary,) = _asked(f"http://127.0.0.1:{port}/api/studies", process)["study_summaries"]
        shown = _asked(f"http://127.0.0.1:{port}/api/studies/{summary['study_id']}", process)
    finally:
        process.terminate()
        process.wait(timeout=30)
    assert summary["study_name"] == name
    assert [trial["values"] for trial in shown["trials"]] == [[41.5]]


def _asked(url, process):
    until = time.monotonic() + 90
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)
        except OSError:
            time.sleep(0.3)
    raise AssertionError("the dashboard does not answer")
