"""Optuna's database of searches: SQLite beside MLflow's, with a heartbeat."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from sqlalchemy.pool import NullPool

from smlmbench.patience import CONNECT

HEARTBEAT_S = 60
GRACE_S = 600
RETRIES = 5


@contextmanager
def accepted() -> Iterator[None]:
    """Use Optuna's heartbeat, which is marked experimental and warns outside of `optimize`; we beat ourselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed")
        yield


def address(path: Path) -> str:
    """SQLAlchemy's address of a database file."""
    return f"sqlite:///{path.absolute().as_posix()}"


def open_storage(url: str, *, exists: bool = False) -> optuna.storages.RDBStorage:
    """Open the database, made where it is absent, or one that `exists`; no connection stays open between two uses."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with accepted():
        return optuna.storages.RDBStorage(
            url,
            engine_kwargs={"connect_args": CONNECT, "poolclass": NullPool},
            skip_compatibility_check=exists,
            skip_table_creation=exists,
            heartbeat_interval=HEARTBEAT_S,
            grace_period=GRACE_S,
            heartbeat_stale_trial_callback=retry(),
        )


def retry() -> optuna.storages.RetryHeartbeatStaleTrialCallback:
    """Queue the settings of a trial that ended without a result again."""
    with accepted():
        return optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=RETRIES)
