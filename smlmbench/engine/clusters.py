"""Where workers come from: this machine, a scheduler that runs already, or a job queue."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from smlmbench.addresses import command
from smlmbench.engine.dask import Workers
from smlmbench.engine.slots import about, thread_count, thread_environment
from smlmbench.errors import EngineError
from smlmbench.version import __version__

if TYPE_CHECKING:
    from distributed import Client

    from smlmbench.engine.jobs import Jobs

CONNECT_S = 10.0
PORT = 8786  # of a scheduler that is told none
NO_PAGES = {"dashboard": False, "dashboard_address": ":0"}  # None would take port 8787
LOCAL = ("127.0.0.1", "localhost", "::1", "[::1]")

SETTINGS: dict[str, Any] = {
    "distributed.scheduler.allowed-failures": 0,  # deaths are counted by `Workers`, which knows what had begun
    "distributed.nanny.pre-spawn-environ": {},  # would be written into this process too
    "distributed.admin.tick.limit": "1h",  # a training may keep the interpreter busy
    "distributed.diagnostics.nvml": False,
    "distributed.worker.daemon": True,
}


@contextmanager
def local_workers(count: int) -> Iterator[Workers]:
    """Start `count` processes on this machine, with the cores shared out among them.

    Raises:
        EngineError: They do not start.
    """
    from distributed import LocalCluster

    def start() -> LocalCluster:
        return LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            scheduler_kwargs=NO_PAGES,
            memory_limit=None,
            silence_logs=logging.CRITICAL,
            env=thread_environment(thread_count(count)),
        )

    with _own(start, f"{count} workers could not be started ({{}}); try fewer --workers") as client:
        yield Workers(client, ours=True)


@contextmanager
def existing_workers(address: str) -> Iterator[Workers]:
    """Connect to a scheduler that runs already; its workers need this package in this version.

    Raises:
        EngineError: No scheduler answers, or its workers have another version.
    """
    from distributed import Client

    if not address.startswith(("tcp://", "tls://", "ucx://", "ws://")):
        raise EngineError(f"--scheduler {address}: not an address; give for example tcp://HOST:8786")
    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        said = str(error).partition("\n")[0] or type(error).__name__
        raise EngineError(
            f"--scheduler {address}: no scheduler answers ({said}); start one with "
            f"`{command('dask', 'scheduler', '--port', urlparse(address).port or PORT)}`"
        ) from None
    with client:
        _check_versions(client)
        yield Workers(client, ours=False, patience_s=None)


@contextmanager
def queued_workers(jobs: "Jobs", count: int | None = None) -> Iterator[Workers]:
    """Send `count` jobs to a queue, each a worker that trains one cell at a time.

    Raises:
        EngineError: The queue's command is absent or refuses.
    """

    def start() -> Any:
        cluster, wanted = jobs.start(), count or jobs.jobs
        cluster.adapt(minimum_jobs=wanted, maximum_jobs=wanted)  # also sends a new job for one that ended
        return cluster

    with _own(start, f"{jobs.kind}: jobs cannot be sent ({{}}); --dry prints the job script") as client:
        yield Workers(client, ours=True, patience_s=None)


@contextmanager
def _own(start: Callable[[], Any], refusal: str) -> "Iterator[Client]":
    """The client of workers that are started here; nothing of it stays in this process."""
    import dask.config
    from distributed import Client

    from smlmbench.engine.plugin import Setup

    with dask.config.set(SETTINGS), _same_environment():
        try:
            cluster = start()
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            raise EngineError(refusal.format(error)) from None
        with cluster, Client(cluster, set_as_default=False) as client:
            client.register_plugin(Setup())
            yield client


def is_local(address: str) -> bool:
    """Whether an address (of a scheduler or a server) is this machine's own loopback."""
    return (urlparse(address).hostname or "") in LOCAL


def _check_versions(client: "Client") -> None:
    """Refuse workers that would compute something else: the package is absent or of another version."""
    for worker, answer in client.run(about, on_error="return").items():
        if isinstance(answer, BaseException):
            raise EngineError(f"worker {worker} cannot import smlmbench ({answer}); install it there too")
        if answer["version"] != __version__:
            raise EngineError(
                f"worker {worker} has smlmbench {answer['version']}, this is {__version__}; install the same"
            )


@contextmanager
def _same_environment() -> Iterator[None]:
    """Undo what starting workers writes into this process's environment."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            with suppress(KeyError):
                del os.environ[name]
        os.environ.update(before)
