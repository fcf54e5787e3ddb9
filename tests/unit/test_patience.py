import re
import sqlite3
import threading
import time
from contextlib import closing, contextmanager

import pytest

from smlmbench import patience
from smlmbench.errors import StoreError, StoreLostError, StoreShutError
from smlmbench.patience import at_once, connect, tell_by, worth_waiting


@pytest.fixture(autouse=True)
def said(monkeypatch):
    """What a user would read; waiting is quick."""
    monkeypatch.setattr(patience, "SLICE_S", 0.05)
    monkeypatch.setattr(patience, "PAUSE_S", 0.02)
    monkeypatch.setattr(patience, "TELL_AFTER_S", 0.1)
    monkeypatch.setattr(patience, "_waits", {})
    lines = []
    before = tell_by(lines.append)
    yield lines
    assert tell_by(before) == lines.append


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "a store" / "some.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table birds (name text primary key)")
        connection.commit()
    return path


@contextmanager
def locked(database, kind="immediate"):
    with closing(sqlite3.connect(database, check_same_thread=False)) as holder:
        holder.execute(f"begin {kind}")
        yield holder


def free_after(holder, seconds=0.5):
    timer = threading.Timer(seconds, holder.rollback)
    timer.start()
    return timer


def test_a_statement_waits_and_says_so_once(database, said):
    with locked(database) as holder, closing(connect(database)) as connection:
        timer = free_after(holder)
        connection.execute("insert into birds values ('wren')")
        connection.commit()
        timer.join()
    assert said == [
        f"{database} is locked by another program; what is to be read or stored waits for it, at most 300 s"
    ]
    assert patience._waits == {}


def test_a_reader_waits_for_an_exclusive_lock(database, said):
    with locked(database, "exclusive") as holder, closing(connect(database)) as connection:
        timer = free_after(holder)
        assert connection.execute("select count(*) from birds").fetchone() == (0,)
        timer.join()
    assert len(said) == 1


def test_rows_are_inserted_once_after_the_lock_was_taken(database):
    with locked(database) as holder, closing(connect(database)) as connection:
        timer = free_after(holder)
        connection.cursor().executemany("insert into birds values (?)", [("wren",), ("robin",)])
        connection.commit()
        timer.join()
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("select count(*) from birds").fetchone() == (2,)


def test_the_end_of_a_transaction_waits_for_a_reader(database, said):
    with (
        closing(connect(database)) as connection,
        closing(sqlite3.connect(database, check_same_thread=False)) as reader,
    ):
        connection.execute("insert into birds values ('wren')")
        reader.execute("begin")
        reader.execute("select * from birds").fetchall()
        timer = free_after(reader)
        connection.commit()
        timer.join()
        assert reader.execute("select * from birds").fetchall() == [("wren",)]
    assert len(said) == 1


def test_after_the_limit_it_is_one_line_and_the_next_call_does_not_wait_again(database, said, monkeypatch):
    monkeypatch.setattr(patience, "LIMIT_S", 0.4)
    with locked(database), closing(connect(database)) as connection:
        with pytest.raises(StoreShutError, match="is locked by another program; end that program and give the same"):
            connection.execute("insert into birds values ('wren')")
        began = time.monotonic()
        with pytest.raises(StoreShutError):
            connection.execute("insert into birds values ('wren')")
        assert time.monotonic() - began < 0.4
    assert len(said) == 1
    assert issubclass(StoreShutError, StoreError)
    assert issubclass(StoreShutError, StoreLostError)


def test_at_once_does_not_wait_and_does_not_use_up_the_patience(database, said):
    with locked(database) as holder, closing(connect(database)) as connection:
        for _ in range(4):
            with at_once(), pytest.raises(StoreShutError):
                connection.execute("insert into birds values ('wren')")
        assert len(said) == 1
        assert patience._waits[str(database)].waited_s == 0
        timer = free_after(holder, 0.1)
        connection.execute("insert into birds values ('wren')")
        timer.join()
    assert patience._waits == {}


def test_other_errors_are_passed_on_at_once(database, said):
    with closing(connect(database)) as connection, pytest.raises(sqlite3.OperationalError, match="no such table"):
        connection.execute("select * from fish")
    assert said == []


def test_a_statement_that_cannot_pass_later_is_not_repeated(database, said):
    with closing(sqlite3.connect(database)) as other, closing(connect(database)) as connection:
        other.execute("pragma journal_mode=wal")
        connection.execute("begin")
        connection.execute("select * from birds").fetchall()
        other.execute("insert into birds values ('wren')")
        other.commit()
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            connection.execute("insert into birds values ('robin')")
    assert said == []


def test_mlflows_own_waiting_is_cut_into_slices(database):
    with closing(connect(database)) as connection:
        connection.execute("PRAGMA busy_timeout = 20000;")
        assert connection.execute("PRAGMA busy_timeout").fetchone() == (50,)


def test_only_adopted_databases_are_waited_for_like_this(database, tmp_path):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    patience.adopt(database)
    for path, kind in ((database, patience.Patient), (tmp_path / "other.db", sqlite3.Connection)):
        engine = sqlalchemy.create_engine(f"sqlite:///{path}")
        with engine.connect() as connection:
            assert type(connection.connection.driver_connection) is kind
        engine.dispose()


@pytest.mark.parametrize(
    ("line", "who"),
    [
        ("1: POSIX  ADVISORY  WRITE 1 00:01:{inode} 120 120", r"process 1 \(\S+\)"),
        ("1: POSIX  ADVISORY  READ 1 00:01:{inode} 120 120", "another program"),
        ("1: -> POSIX  ADVISORY  WRITE 1 00:01:{inode} 120 120", "another program"),
        ("1: POSIX  ADVISORY  WRITE 0 00:01:{inode} 120 120", "another program"),
        ("1: FLOCK", "another program"),
    ],
)
def test_who_holds_a_lock_is_named_where_the_system_tells(database, tmp_path, monkeypatch, line, who):
    table = tmp_path / "locks"
    table.write_text(line.format(inode=database.stat().st_ino) + "\n")
    monkeypatch.setattr(patience, "LOCKS", table)
    assert re.fullmatch(rf"{re.escape(str(database))} is locked by {who}", patience.locked(str(database)))


def test_something_that_passed_begins_anew(said, monkeypatch):
    monkeypatch.setattr(patience, "LIMIT_S", 1.0)
    assert worth_waiting("x", lambda: "x is away", 0.6)
    assert not worth_waiting("x", lambda: "x is away", 0.6)
    patience.passed("x")
    assert worth_waiting("x", lambda: "x is away", 0.6)
    assert said == ["x is away; what is to be read or stored waits for it, at most 1 s"] * 2
