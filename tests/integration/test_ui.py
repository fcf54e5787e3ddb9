"""`smlmbench ui`: the server starts on a store, shows its studies, and leaves nothing behind."""

import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request

import psutil
import pytest

from smlmbench.errors import StoreError
from smlmbench.tracking.runs import open_run
from smlmbench.tracking.server import chart_link, serve
from smlmbench.tracking.store import open_store

COMMAND = [sys.executable, "-c", "import sys; from smlmbench.cli import main; sys.exit(main())", "ui"]


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run_ui(store, port):
    return subprocess.Popen(
        [*COMMAND, "--store", str(store), "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="stops the command with a signal")
def test_the_command_shows_the_charts_of_a_study_until_it_is_stopped(store, free_port):
    number = store.ensure_experiment("fish")
    open_run(store, number, role="study", name="fish").terminate("done")
    process = run_ui(store.home, free_port)
    watchdog = threading.Timer(150, process.kill)
    watchdog.start()
    try:
        # The first line of stdout comes when the server is healthy.
        line = process.stdout.readline()
        url = f"http://127.0.0.1:{free_port}"
        assert line == f"fish: {chart_link(url, number)}\n", process.stderr.read() if not line else ""
        with urllib.request.urlopen(f"{url}/health", timeout=10) as answer:
            assert answer.read() == b"OK"
        # The store behind the server reads like the folder does.
        served = open_store(url, home=store.home)
        assert [run.info.run_name for run in served.client.search_runs([number])] == ["fish"]
        assert served.describe().startswith(f"store: {url} (MLflow server)")
        family = psutil.Process(process.pid).children(recursive=True)
        assert family
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=60)
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
    assert (out, process.returncode) == ("", 0)
    assert said.splitlines()[0] == store.describe()
    assert said.splitlines()[-1] == "stopped"
    _, alive = psutil.wait_procs(family, timeout=5)
    assert alive == []


def test_a_port_in_use_is_one_line(store):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(StoreError, match=f"port {port} cannot be used .*; give another one with --port"),
            serve(store, port),
        ):
            pass


def test_an_absent_store_is_one_line(tmp_path, free_port):
    process = run_ui(tmp_path / "none", free_port)
    out, said = process.communicate(timeout=60)
    assert (out, process.returncode) == ("", 2)
    assert (
        said
        == f"smlmbench: no store at {tmp_path}/none (mlflow.db is missing); run a study first, or give --store FOLDER\n"
    )
