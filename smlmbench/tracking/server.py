"""MLflow's own server on a store, for looking at it in a browser on this computer."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from smlmbench.addresses import Address
from smlmbench.errors import StoreError
from smlmbench.tracking import views
from smlmbench.tracking.asking import ENVIRONMENT, ask, healthy
from smlmbench.tracking.store import Store

HOST = "127.0.0.1"
START_BUDGET_S = 120.0
STOP_BUDGET_S = 10.0
LINKS_TIMEOUT_S = 30.0


class Server:
    """A running server at `url`."""

    def __init__(self, url: Address, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.url, self._process, self._log = url, process, log

    def wait(self) -> None:
        """Wait until it ends (StoreError: it ended by itself, with the last line that it wrote)."""
        code = self._process.wait()
        raise StoreError(f"the MLflow server ended with code {code} ({self._last_line()}); start it again")

    def _await_health(self) -> None:
        until = time.monotonic() + START_BUDGET_S
        while time.monotonic() < until:
            if self._process.poll() is not None:
                self.wait()
            with suppress(OSError):
                if healthy(self.url):
                    return
            time.sleep(0.3)
        raise StoreError(
            f"the MLflow server did not answer within {START_BUDGET_S:.0f} s ({self._last_line()}); try again"
        )

    def _last_line(self) -> str:
        lines = [line.strip() for line in self._log.read_text("utf-8", "replace").splitlines() if line.strip()]
        return lines[-1][:300] if lines else "it wrote nothing"

    def _stop(self) -> None:
        # Its workers are children of children; those that outlive it would hold the port.
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self._process.pid)
            family = [parent, *parent.children(recursive=True)]
            parent.terminate()
            for member in psutil.wait_procs(family, timeout=STOP_BUDGET_S)[1]:
                with suppress(psutil.NoSuchProcess):
                    member.kill()
        self._process.wait()


@contextmanager
def serve(store: Store, port: int) -> Iterator[Server]:
    """Run a server on a store's database, for this computer alone, until the block is left.

    Raises:
        StoreError: The port is in use, or the server does not start.
    """
    _check_port(port)
    address = f"http://{HOST}:{port}"
    command = [sys.executable, "-P", "-m", "mlflow", "server", "--backend-store-uri", store.uri, "--workers", "1"]
    command += ["--default-artifact-root", store.artifacts.as_uri(), "--artifacts-destination", str(store.artifacts)]
    command += ["--host", HOST, "--port", str(port)]
    environment = {**ENVIRONMENT, **os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "server.log"
        with log.open("wb") as sink:
            # A session of its own: Ctrl-C in the terminal reaches this process, which then stops the family in order.
            process = subprocess.Popen(  # noqa: S603  our own arguments, no shell
                command, env=environment, cwd=store.home, stdout=sink, stderr=sink, start_new_session=True
            )
        server = Server(Address(address), process, log)
        try:
            server._await_health()
            yield server
        finally:
            server._stop()


def chart_links(url: Address) -> dict[str, str]:
    """For each study on a server the address that opens on the charts of its runs, newest first.

    The bare address of an experiment opens MLflow's view for language models instead.
    """
    wanted = {"max_results": 1000, "order_by": ["creation_time DESC"]}
    answer = ask(url, "/api/2.0/mlflow/experiments/search", LINKS_TIMEOUT_S, wanted)
    if not answer.ok:
        raise StoreError(f"{url} answers {answer.status_code} ({answer.reason}) to a search of its studies")
    found = answer.json().get("experiments", [])
    links = {}
    for each in (one for one in found if one["experiment_id"] != "0"):
        viewed = any(tag["key"] == views.TAG for tag in each.get("tags", []))
        links[each["name"]] = chart_link(url.bare, each["experiment_id"], viewed=viewed)
    return links


def chart_link(url: str, experiment_id: str, *, viewed: bool = False) -> str:
    """The address that opens on the charts of one experiment; those of our view where it is `viewed` (has one)."""
    view = f"&viewStateShareKey={views.KEY}" if viewed else ""
    return f"{url}/#/experiments/{experiment_id}/runs?compareRunsMode=CHART&workflowType=machine_learning{view}"


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise StoreError(f"port {port} cannot be used ({error.strerror}); give another one with --port") from None
