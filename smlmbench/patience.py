"""What others hold at the moment is waited for, with one line to the user: a locked database, a server that is away.

SQLite's own waiting cannot be interrupted and says nothing. Here it lasts a second at a time and is repeated statement
by statement, so a transaction goes on where it stood, and nothing is written twice.
"""

import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from smlmbench.errors import StoreShutError

LIMIT_S = 300.0
SLICE_S = 1.0
PAUSE_S = 0.2
TELL_AFTER_S = 3.0
LOCKS = Path("/proc/locks")

Found = TypeVar("Found")


@dataclass(slots=True)
class _Wait:
    """A time in which something was busy, from the first vain try to the first that passed."""

    since_s: float
    waited_s: float = 0.0
    told: bool = False


def _to_stderr(text: str) -> None:
    sys.stderr.write(f"smlmbench: {text}\n")
    sys.stderr.flush()


_waits: dict[str, _Wait] = {}
_tell: Callable[[str], None] = _to_stderr
_patient: ContextVar[bool] = ContextVar("patient", default=True)
_adopted: set[str] = set()


def tell_by(tell: Callable[[str], None]) -> Callable[[str], None]:
    """Let `tell` say what is waited for in this process; gives what did so before."""
    global _tell
    before, _tell = _tell, tell
    return before


@contextmanager
def at_once() -> Iterator[None]:
    """Wait for nothing in this block: what is busy raises StoreLostError after a second."""
    token = _patient.set(False)
    try:
        yield
    finally:
        _patient.reset(token)


def worth_waiting(what: str, why: Callable[[], str], spent_s: float) -> bool:
    """Count a vain try, and say once why it was one.

    Args:
        what: Name of what is busy.
        why: Says who keeps it busy.
        spent_s: What the try took.

    Returns:
        Whether to try again: False after `LIMIT_S` in all, and in an `at_once` block.
    """
    held = _waits.setdefault(what, _Wait(time.monotonic() - spent_s))
    if not held.told and time.monotonic() - held.since_s >= TELL_AFTER_S:
        held.told = True
        _tell(f"{why()}; what is to be read or stored waits for it, at most {LIMIT_S:.0f} s")
    if not _patient.get():
        return False
    held.waited_s += spent_s
    return held.waited_s < LIMIT_S


def passed(what: str) -> None:
    """Note that it is free."""
    _waits.pop(what, None)


class Patient(sqlite3.Connection):
    """A connection whose statements wait while another program has locked the database.

    Raises:
        StoreShutError: From any statement, where it stays locked.
    """

    def __init__(self, database: str, *values: Any, **named: Any) -> None:
        super().__init__(database, *values, **named)
        self._path = str(database)

    def cursor(self, factory: Any = None) -> Any:
        """Make a cursor that waits."""
        return super().cursor(factory or _Cursor)

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Run a statement; Python's own shortcut takes no cursor of ours."""
        made: sqlite3.Cursor = self.cursor().execute(sql, parameters)
        return made

    def commit(self) -> None:
        """End the transaction."""
        self.outlast(super().commit)

    def outlast(self, call: Callable[[], Found]) -> Found:
        """Repeat a call until the database is free for it."""
        began, waited = time.monotonic(), False
        while True:
            try:
                found = call()
            except sqlite3.OperationalError as error:
                if not _is_busy(error):
                    raise
            else:
                if waited or self.in_transaction:
                    passed(self._path)
                return found
            time.sleep(PAUSE_S)
            ended, waited = time.monotonic(), True
            if not worth_waiting(self._path, partial(locked, self._path), ended - began):
                raise StoreShutError(
                    f"{locked(self._path)}; end that program and give the same command again: what is finished is "
                    "safe, what ran has its checkpoint"
                ) from None
            began = ended


def _is_busy(error: sqlite3.OperationalError) -> bool:
    """Whether the same statement may pass later; one that saw an older state of the database never does."""
    code = getattr(error, "sqlite_errorcode", 0)
    return bool(code & 0xFF == sqlite3.SQLITE_BUSY and code != sqlite3.SQLITE_BUSY_SNAPSHOT)


class _Cursor(sqlite3.Cursor):
    connection: Patient

    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        if sql.startswith("PRAGMA busy_timeout"):  # MLflow asks for 20 s in each session
            sql = f"PRAGMA busy_timeout = {1000 * SLICE_S:.0f}"
        return self.connection.outlast(partial(super().execute, sql, parameters))

    def executemany(self, sql: str, rows: Iterable[Any], /) -> Self:
        # Not repeated as a whole, for some rows may be in: the lock is taken first.
        if self.connection.isolation_level is not None and not self.connection.in_transaction:
            self.execute("BEGIN IMMEDIATE")
        return super().executemany(sql, rows)


def connect(database: Path) -> Patient:
    """Open a database with plain SQL."""
    return sqlite3.connect(database, timeout=SLICE_S, factory=Patient)


def adopt(database: Path) -> None:
    """Let the connections that SQLAlchemy makes to a database from now on wait like this."""
    from sqlalchemy import Engine, event

    if not _adopted:
        event.listen(Engine, "do_connect", _as_patient)
    _adopted.add(str(database))


def _as_patient(dialect: Any, _record: object, where: list[Any], named: dict[str, Any]) -> None:
    if dialect.name == "sqlite" and where and str(where[0]) in _adopted:
        named.update(CONNECT)


CONNECT: dict[str, Any] = {"timeout": SLICE_S, "factory": Patient}  # for SQLAlchemy's `connect_args`


def locked(database: str) -> str:
    """Say who has locked a database, as far as the system tells."""
    who = _writer(Path(database))
    return f"{database} is locked by {'another program' if who is None else who}"


def _writer(database: Path) -> str | None:
    """The other process that holds a lock for writing; Linux alone lists them."""
    import psutil

    try:
        files = [database, Path(f"{database}-shm")]
        numbers = {str(path.stat().st_ino) for path in files if path.exists()}
        held = [line.split() for line in LOCKS.read_text(encoding="utf-8").splitlines() if "->" not in line]
        found = {int(words[4]) for words in held if words[3] == "WRITE" and words[5].rpartition(":")[2] in numbers}
        number = min(found - {psutil.Process().pid, 0, -1})
        return f"process {number} ({psutil.Process(number).name()})"
    except (OSError, ValueError, IndexError, psutil.Error):
        return None
