"""Where a store is, and whether it can be used; everything here runs before mlflow is imported."""

import os
import re
import shutil
import sqlite3
import tempfile
import urllib.request
from contextlib import closing, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from smlmbench.addresses import Address, command
from smlmbench.errors import StoreError
from smlmbench.patience import connect
from smlmbench.tracking.asking import HEALTH_TIMEOUT_S, LOGIN, ask, is_well

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_FOLDER = "mlruns"
DATABASE = "mlflow.db"

# SQLite's write-ahead log needs shared memory between its users, which these do not give.
NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "afs", "9p", "fuse.sshfs", "ceph", "gluster")

ADDRESSES = (
    "update runs set artifact_uri = :new || substr(artifact_uri, length(:old) + 1)"
    " where experiment_id = :id and substr(artifact_uri, 1, length(:old) + 1) = :old || '/'",
    "update logged_models set artifact_location = :new || substr(artifact_location, length(:old) + 1)"
    " where experiment_id = :id and substr(artifact_location, 1, length(:old) + 1) = :old || '/'",
    "update model_versions set source = :new || substr(source, length(:old) + 1)"
    " where substr(source, 1, length(:old) + 1) = :old || '/'",
    "update model_versions set storage_location = :new || substr(storage_location, length(:old) + 1)"
    " where substr(storage_location, 1, length(:old) + 1) = :old || '/'",
    "update experiments set artifact_location = :new where experiment_id = :id",
)


@dataclass(frozen=True, slots=True)
class Location:
    """A resolved store."""

    uri: Address  # for MLflow
    home: Path  # local folder of work/, reports/ and optuna.db; with SQLite also of artifacts/
    database: Path | None  # the SQLite file, or None behind a server


def resolve(location: str | os.PathLike[str] | None, home: Path | None = None) -> Location:
    """Find out what a `--store`, `--tracking-uri` or `MLFLOW_TRACKING_URI` means (StoreError: another kind of address).

    Args:
        location: Folder, `sqlite:///FILE`, `http(s)://HOST:PORT`; None takes MLFLOW_TRACKING_URI, else ./mlruns.
        home: Local folder for work and reports where `location` is a server; default ./mlruns.
    """
    text = str(location) if location is not None else os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_FOLDER
    if text.startswith("sqlite:///"):
        database = Path(text.removeprefix("sqlite:///").partition("?")[0]).expanduser().resolve()
        return Location(Address(f"sqlite:///{database.as_posix()}"), database.parent, database)
    if text.startswith(("http://", "https://")):
        return Location(Address(text.rstrip("/")), (home or Path(DEFAULT_FOLDER)).expanduser().resolve(), None)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", text):
        raise StoreError(
            f"store '{Address(text)}' is not accepted; give a folder, sqlite:///FILE.db or http(s)://HOST:PORT"
        )
    folder = Path(text).expanduser().resolve()
    return Location(Address(f"sqlite:///{(folder / DATABASE).as_posix()}"), folder, folder / DATABASE)


def check(where: Location, *, create: bool) -> None:
    """Refuse a store that cannot be used (StoreError), in seconds.

    The folder is not writable, no store is there (`create` false), it is not a database, or no server answers.
    """
    if not create and where.database is not None and not where.database.is_file():
        raise StoreError(
            f"no store at {where.home} ({where.database.name} is missing); run a study first, or give --store FOLDER"
        )
    _check_writable(where.home)
    if where.database is None:
        _check_server(where.uri)
    elif where.database.exists():
        _check_database(where.database)


def _check_writable(folder: Path) -> None:
    advice = "name a folder you can write with --store"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (FileExistsError, NotADirectoryError):
        raise StoreError(f"store {folder} is not a folder; {advice}") from None
    except OSError as error:
        raise StoreError(f"store {folder} cannot be written ({error.strerror}); {advice}") from None


def _check_database(database: Path) -> None:
    if not os.access(database, os.W_OK):
        raise StoreError(f"{database} is read-only; copy the store to a folder you can write, or allow writing")
    try:
        with closing(connect(database)) as connection:
            tables = {row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")}
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{database} is no MLflow database ({error}); give another --store FOLDER") from None
    if "experiments" not in tables:
        raise StoreError(f"{database} holds no MLflow tables; move it away, or name another folder with --store")


def _check_server(uri: Address) -> None:
    port = urlparse(uri.bare).port or (443 if uri.startswith("https:") else 80)
    starts = [command(*words, "--port", port) for words in (("smlmbench", "ui"), ("mlflow", "server"))]
    advice = f"start it (`{starts[0]}`, `{starts[1]}`), or give another --tracking-uri"
    try:
        answer = ask(uri, "/health", HEALTH_TIMEOUT_S)
    except OSError as error:
        raise StoreError(f"no MLflow server answers at {uri} ({error}); {advice}") from None
    if not answer.ok:
        body = answer.text[:200].strip().partition("\n")[0]
        advice = LOGIN if answer.status_code == HTTPStatus.UNAUTHORIZED else advice
        raise StoreError(f"{uri} answers {answer.status_code} ({body or answer.reason}) to /health; {advice}")
    if not is_well(answer):
        raise StoreError(f"{uri} is not an MLflow server (no OK from /health); {advice}")


def make_database(database: Path, build: "Callable[[Path], None]") -> None:
    """Create the database of a new store under its final name in one step.

    Built in a folder of its own and then linked, so that two parents that start together never run MLflow's
    migrations on one file; the second finds the first one's database and drops its own.
    """
    scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=database.parent))
    try:
        fresh = scratch / DATABASE
        build(fresh)
        with closing(connect(fresh)) as connection:
            mode = "delete" if on_network(database.parent) else "wal"
            connection.execute(f"pragma journal_mode={mode}")
        with fresh.open("r+b") as written:
            os.fsync(written.fileno())  # whoever built it need not have waited for the disk
        try:
            os.link(fresh, database)
        except OSError:
            # A file system without hard links: a rename is the nearest to a single step.
            with suppress(FileExistsError):  # so Windows answers where another parent was faster
                if not database.exists():
                    fresh.rename(database)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def on_network(folder: Path) -> bool:
    """Whether a folder lies on a network file system, by the longest mount point above it."""
    import psutil

    best, kind = "", ""
    for part in psutil.disk_partitions(all=True):
        if folder.is_relative_to(part.mountpoint) and len(part.mountpoint) >= len(best):
            best, kind = part.mountpoint, part.fstype.lower()
    return kind.startswith(NETWORK_FILE_SYSTEMS)


def relocate(database: Path, home: Path) -> None:
    """Point the artifact addresses of a store that was moved or copied at its present folder.

    MLflow stores them as absolute paths, so a copy would write into the original. Only addresses of the form
    `<folder>/artifacts/<study>` are touched, which is what this package makes.

    Raises:
        StoreError: The database stays locked, or is of an MLflow before 3.
    """
    artifacts = home / "artifacts"
    try:
        with closing(connect(database)) as connection:
            known = connection.execute("select experiment_id, artifact_location from experiments").fetchall()
            for number, stored in known:
                path = local_path(stored or "")
                if path is not None and path.parent.name == "artifacts" and path.parent != artifacts:
                    facts = {"new": (artifacts / path.name).as_uri(), "old": stored, "id": number}
                    for statement in ADDRESSES:
                        connection.execute(statement, facts)
            connection.commit()
    except sqlite3.DatabaseError as error:
        mend = command("mlflow", "db", "upgrade", f"sqlite:///{database.as_posix()}")
        raise StoreError(f"{database} cannot be used ({error}); copy it, then run `{mend}`") from None


def local_path(uri: str) -> Path | None:
    """The path behind a file URI or plain path, or None for another scheme."""
    if uri.startswith("file:"):
        return Path(urllib.request.url2pathname(urlparse(uri).path))
    return None if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", uri) or not uri else Path(uri)
