"""Who holds a run, whether that process still lives, and the heartbeat that says so."""

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import psutil

from smlmbench.patience import at_once
from smlmbench.tracking import tags

HEARTBEAT_INTERVAL_S = 30.0
HEARTBEAT_LIMIT_S = max(3 * HEARTBEAT_INTERVAL_S, 600.0)

# The start time of a process is derived from the time of boot, which a corrected clock moves by seconds.
START_TOLERANCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Owner:
    """A process: host, pid, and its start (seconds since 1970), which tells it from a later one of the same pid."""

    host: str
    pid: int
    process_start_s: float

    def tags(self) -> dict[str, str]:
        """The three tags of a run that this process holds."""
        return {tags.HOST: self.host, tags.PID: str(self.pid), tags.PROCESS_START: f"{self.process_start_s:.2f}"}

    @classmethod
    def of(cls, run_tags: Mapping[str, str]) -> "Owner | None":
        """The holder that the tags of a run name, or None where they name none."""
        try:
            return cls(run_tags[tags.HOST], int(run_tags[tags.PID]), float(run_tags[tags.PROCESS_START]))
        except (KeyError, ValueError):
            return None

    def is_dead(self) -> bool:
        """Whether this process is known to have ended; False for a process of another host."""
        if self.host != socket.gethostname():
            return False
        try:
            process = psutil.Process(self.pid)
            other = abs(process.create_time() - self.process_start_s) > START_TOLERANCE_S
            return bool(other or process.status() == psutil.STATUS_ZOMBIE)
        except psutil.Error as error:
            return isinstance(error, psutil.NoSuchProcess)


def this_process() -> Owner:
    """The calling process."""
    return _process(os.getpid())


@lru_cache(maxsize=4)
def _process(pid: int) -> Owner:
    return Owner(socket.gethostname(), pid, psutil.Process(pid).create_time())


def heartbeat_tag() -> dict[str, str]:
    """The heartbeat of this moment, in seconds since 1970."""
    return {tags.HEARTBEAT: f"{time.time():.1f}"}


def why_stale(run_tags: Mapping[str, str]) -> str | None:
    """Say why a run that the store calls running is not; None where it runs.

    Stale is a process of this host that has ended (its start is compared, so a reused pid does not count as alive),
    or a heartbeat older than three intervals and ten minutes. A run without an owner is not ours and never stale.
    """
    owner = Owner.of(run_tags)
    if owner is None:
        return None
    if owner.is_dead():
        return f"process {owner.pid} on {owner.host} has ended"
    try:
        age_s = time.time() - float(run_tags[tags.HEARTBEAT])
    except (KeyError, ValueError):
        return None
    if age_s > HEARTBEAT_LIMIT_S:
        return f"no heartbeat from process {owner.pid} on {owner.host} for {age_s / 60:.0f} min"
    return None


class Heartbeat:
    """A daemon thread that calls `beat` every interval until stopped; a failing beat is tried again at the next."""

    def __init__(self, beat: Callable[[], None], interval_s: float = HEARTBEAT_INTERVAL_S) -> None:
        self._beat, self._interval_s, self._stop = beat, interval_s, threading.Event()
        self._thread = threading.Thread(target=self._run, name="smlmbench-heartbeat", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            try:
                with at_once():
                    self._beat()
            except Exception:  # noqa: S112  a busy or unreachable store must not end a training
                continue

    def stop(self, *, wait: bool = True) -> None:
        """End the thread; waits for a beat in progress so that none follows the end of the run."""
        self._stop.set()
        if wait and self._thread is not threading.current_thread():
            self._thread.join(timeout=30)
