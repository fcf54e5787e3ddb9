"""Where a command's work runs: in this process, in others of this machine, at a scheduler or as jobs of a queue."""

import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from smlmbench.addresses import command
from smlmbench.errors import EngineError, StoreError

if TYPE_CHECKING:
    from smlmbench.engine.dask import Workers


@dataclass(frozen=True, slots=True)
class Slots:
    """Where work runs."""

    workers: int | None = None  # processes on this machine, or jobs; 1 without the others is this process
    scheduler: str | None = None  # address of a scheduler that runs already
    cluster: Path | None = None  # `cluster.yaml` of a job queue

    @property
    def inline(self) -> bool:
        """Whether it runs in this process."""
        return self.scheduler is None and self.cluster is None and (self.workers or 1) == 1


INLINE = Slots()


def check_slots(slots: Slots, *, uri: str = "", served: bool = True) -> None:
    """Refuse what cannot work before anything is begun; `uri` is the store that workers write to, if they do.

    Raises:
        EngineError: Two places named, or `cluster.yaml` is wrong.
        StoreError: Workers on other machines cannot reach the store.
    """
    from smlmbench.engine.clusters import is_local
    from smlmbench.engine.jobs import read_jobs

    if slots.scheduler is not None and slots.cluster is not None:
        raise EngineError("--scheduler and --cluster are two places; give one of them")
    if slots.scheduler is not None and slots.workers is not None:
        raise EngineError("--workers: a scheduler has its own workers; leave it out with --scheduler")
    if slots.cluster is not None:
        read_jobs(slots.cluster).script()
    if uri and is_afar(slots) and (not served or is_local(uri)):
        here = socket.gethostname()
        serve = command("mlflow", "server", "--host", "0.0.0.0", "--allowed-hosts", f"{here}:*,localhost:*")  # noqa: S104
        raise StoreError(
            f"workers on other machines cannot use the store {uri}; run `{serve}` where they reach it and "
            f"give --tracking-uri http://HOST:PORT, if it runs here http://{here}:5000"
        )


def is_afar(slots: Slots) -> bool:
    """Whether workers may be on other machines."""
    if slots.scheduler is None:
        return slots.cluster is not None
    from smlmbench.engine.clusters import is_local

    return slots.cluster is not None or not is_local(slots.scheduler)


def open_workers(slots: Slots, tell: Callable[[str], None], what: str = "cells") -> "AbstractContextManager[Workers]":
    """The workers that a command asked for, until the block is left; `tell` hears in a line where its `what` run."""
    from smlmbench.engine import clusters
    from smlmbench.engine.jobs import read_jobs
    from smlmbench.engine.slots import thread_count

    if slots.scheduler is not None:
        tell(f"{what} run at the scheduler {slots.scheduler}")
        return clusters.existing_workers(slots.scheduler)
    if slots.cluster is not None:
        jobs = read_jobs(slots.cluster)
        tell(f"{what} run in {slots.workers or jobs.jobs} jobs of {jobs.kind}")
        return clusters.queued_workers(jobs, slots.workers)
    count = slots.workers or 1
    tell(f"starting {count} workers with {thread_count(count)} threads each ...")
    return clusters.local_workers(count)


def width(slots: Slots, workers: "Workers") -> int:
    """How many trainings run at a time; a queue's jobs are counted before they have begun."""
    from smlmbench.engine.jobs import read_jobs

    if slots.workers is not None:
        return slots.workers
    return read_jobs(slots.cluster).jobs if slots.cluster is not None else max(1, len(workers.client.nthreads()))
