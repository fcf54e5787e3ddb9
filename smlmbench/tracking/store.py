"""The store: MLflow's database with its artifacts, and the folders beside it."""

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, cast

from smlmbench.addresses import Address, command
from smlmbench.errors import StoreError
from smlmbench.patience import adopt
from smlmbench.tracking.asking import prepare_environment
from smlmbench.tracking.guard import Guarded, raise_lost
from smlmbench.tracking.location import check, local_path, make_database, on_network, relocate, resolve

if TYPE_CHECKING:
    from mlflow import MlflowClient


class Store:
    """An open store; cheap to make and to send to a worker, it imports mlflow at the first use of `client`.

    `uri` and `home` are those of its `Location`; it is `served` where a server has its database.
    """

    def __init__(self, uri: str, home: Path, *, served: bool) -> None:
        self.uri = uri if isinstance(uri, Address) else Address(uri)
        self.home = home
        self.served = served
        self._client: MlflowClient | None = None
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[object, ...]:
        return partial(Store, served=self.served), (self.uri, self.home)

    @property
    def client(self) -> "MlflowClient":
        """The one door to MLflow; nothing uses its global run or tracking address.

        Raises:
            StoreError: The database is of another MLflow version.
            StoreLostError: From any call: a server that stays away, a database that stays locked, a login refused.
        """
        with self._lock:
            if self._client is None:
                self._client = _connect(self.uri, served=self.served)
            return self._client

    @property
    def place(self) -> str:
        """What `--store` takes for it."""
        return str(self.home) if self.uri == resolve(self.home).uri else self.uri

    @property
    def artifacts(self) -> Path:
        """Folder of the artifacts (SQLite), `<study>/<run_id>/artifacts` in it."""
        return self.home / "artifacts"

    @property
    def optuna_path(self) -> Path:
        """The database of searches."""
        return self.home / "optuna.db"

    @property
    def optuna_files(self) -> Path:
        """Folder of the files that its dashboard shows on trials; made by the first search."""
        return self.home / "optuna_files"

    def describe(self) -> str:
        """One line for the start of a command."""
        if self.served:
            return f"store: {self.uri} (MLflow server); work and reports in {self.home}"
        note = "; a network folder: use it from one machine at a time" if on_network(self.home) else ""
        return f"store: {self.home} (MLflow with SQLite){note}"

    def work_dir(self, run_id: str) -> Path:
        """Folder of what a run needs to be continued; made if absent, removed by its owner when done."""
        return _folder(self.home / "work" / run_id)

    def report_dir(self, study: str) -> Path:
        """Folder of a study's reports; made if absent."""
        return _folder(self.home / "reports" / study)

    def ensure_experiment(self, study: str) -> str:
        """The experiment id of a study, created if absent (StoreError: it was deleted in MLflow and not purged)."""
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(study)
        if found is None:
            location = None if self.served else (self.artifacts / study).as_uri()
            try:
                return str(self.client.create_experiment(study, artifact_location=location))
            except MlflowException:
                found = self.client.get_experiment_by_name(study)
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            words = ("mlflow", "experiments", "restore", "-x", found.experiment_id)
            back = command("env", f"MLFLOW_TRACKING_URI={self.uri}", *words)
            raise StoreError(
                f"the experiment of study '{study}' was deleted in MLflow; rename the study, or bring it back with "
                f"`{back}`"
            )
        return str(found.experiment_id)

    def artifact_path(self, artifact_uri: str, relative: str) -> Path | None:
        """The local path of an artifact (file or folder) at a POSIX path, or None where there is none.

        The address of a run's artifacts is that which MLflow stores, else the same study and run in this store's own
        folder; what only a server has is fetched.
        """
        parts = PurePosixPath(artifact_uri).parts
        for root in (local_path(artifact_uri), self.artifacts.joinpath(*parts[-3:])):
            if root is not None and root.is_dir():
                path = root / relative
                return path if path.exists() else None
        return self._fetch(parts[-2], relative) if self.served else None

    def _fetch(self, run_id: str, relative: str) -> Path | None:
        from mlflow.exceptions import MlflowException

        folder = _folder(self.home / "cache" / run_id)
        try:
            return Path(self.client.download_artifacts(run_id, relative, dst_path=str(folder)))
        except (MlflowException, OSError):
            return None


def open_store(
    location: str | os.PathLike[str] | None = None, *, home: Path | None = None, create: bool = True
) -> Store:
    """Open a store (`resolve` has its arguments); the parent does so once, before any worker.

    `create` makes it where it is absent; commands that only read, and workers, refuse an absent one.

    Raises:
        StoreError: The store cannot be written, read or reached; said before mlflow is imported.
    """
    prepare_environment()
    where = resolve(location, home)
    check(where, create=create)
    if where.database is not None and where.database.exists():
        relocate(where.database, where.home)
    elif where.database is not None:
        for name in ("artifacts", "work", "reports"):
            _folder(where.home / name)
        make_database(where.database, lambda fresh: _build_tables(fresh, where.home / "artifacts"))
    return Store(where.uri, where.home, served=where.database is None)


def _build_tables(fresh: Path, artifacts: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    quieten()
    with _hasty(fresh):
        built = SqlAlchemyStore(f"sqlite:///{fresh.as_posix()}", artifacts.as_uri())  # type: ignore[no-untyped-call]
        built.engine.dispose()


@contextmanager
def _hasty(fresh: Path) -> Iterator[None]:
    """Do not wait for the disk at each of hundreds of steps: a database that is not whole yet is thrown away anyhow."""
    from sqlalchemy import Engine, event

    def careless(connection: sqlite3.Connection, _: object) -> None:
        if Path(connection.execute("pragma database_list").fetchone()[2]).samefile(fresh):
            for setting in ("synchronous=off", "journal_mode=memory"):
                connection.execute(f"pragma {setting}")

    event.listen(Engine, "connect", careless)
    try:
        yield
    finally:
        event.remove(Engine, "connect", careless)


def _connect(uri: Address, *, served: bool) -> "MlflowClient":
    prepare_environment()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    quieten()
    if not served:
        adopt(Path(uri.whole.removeprefix("sqlite:///")))
    try:
        client = cast("MlflowClient", Guarded(MlflowClient(tracking_uri=uri.whole), uri, served=served))
        client.search_experiments(max_results=1)
    except MlflowException as error:
        raise_lost(error)
        if "out-of-date database schema" in str(error) or "Can't locate revision" in str(error):
            advice = f"copy it, then run `{command('mlflow', 'db', 'upgrade', uri)}`"
            raise StoreError(f"the store was written by another MLflow version; {advice}") from None
        raise StoreError(f"the store {uri} cannot be opened: {str(error).partition(chr(10))[0]}") from None
    return client


def quieten() -> None:
    """Keep MLflow's and alembic's progress lines off the terminal; MLFLOW_LOGGING_LEVEL brings them back."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(os.environ["MLFLOW_LOGGING_LEVEL"].upper())
    # What could not be reached is told once, by us: without MLflow's traceback, without a line for every try.
    for name in ("mlflow.store.db.utils", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
