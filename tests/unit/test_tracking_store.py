import pickle
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from smlmbench.errors import StoreError
from smlmbench.tracking.records import list_studies, read_study
from smlmbench.tracking.runs import open_run
from smlmbench.tracking.store import open_store


def written(store, study="fish"):
    """A finished study run with one artifact."""
    with open_run(store, store.ensure_experiment(study), role="study", name="study") as run:
        run.log_text("study: fish\n", "study.yaml")
        run.log_dict({"cells": [1]}, "plan.json")
    return run


def test_a_new_store_has_its_folders_and_a_write_ahead_log(empty_store):
    assert {path.name for path in empty_store.iterdir()} >= {"mlflow.db", "artifacts", "work", "reports"}
    with closing(sqlite3.connect(empty_store / "mlflow.db")) as connection:
        assert connection.execute("pragma journal_mode").fetchone() == ("wal",)


def test_description_and_folders(store):
    assert store.describe() == f"store: {store.home} (MLflow with SQLite)"
    assert store.work_dir("abc") == store.home / "work" / "abc"
    assert store.report_dir("fish").is_dir()
    assert store.optuna_path == store.home / "optuna.db"


def test_experiment_is_made_once_with_artifacts_in_the_store(store):
    first = store.ensure_experiment("fish")
    assert store.ensure_experiment("fish") == first
    assert list_studies(store) == {"fish": first}
    location = store.client.get_experiment(first).artifact_location
    assert location == (store.home / "artifacts" / "fish").as_uri()


def test_deleted_experiment_is_an_error_that_tells_the_way_back(store):
    number = store.ensure_experiment("fish")
    store.client.delete_experiment(number)
    with pytest.raises(StoreError, match=f"'fish' was deleted .* mlflow experiments restore -x {number}`"):
        store.ensure_experiment("fish")


def test_a_store_travels_to_a_worker(store):
    run = written(store)
    there = pickle.loads(pickle.dumps(store))
    assert (there.uri, there.home) == (store.uri, store.home)
    assert there.client.get_run(run.run_id).info.status == "FINISHED"


def test_a_moved_store_reads_and_goes_on_at_its_new_place(store, tmp_path):
    run = written(store)
    shutil.move(store.home, tmp_path / "moved")
    moved = open_store(tmp_path / "moved", create=False)
    (record,) = read_study(moved, "fish").runs
    assert record.artifact("study.yaml") == tmp_path / f"moved/artifacts/fish/{run.run_id}/artifacts/study.yaml"
    assert [entry.path for entry in moved.client.list_artifacts(run.run_id)] == ["plan.json", "study.yaml"]
    written(moved)
    assert not store.home.exists()
    assert len(read_study(moved, "fish").runs) == 2


def test_a_copy_does_not_write_into_the_original(store, tmp_path):
    run = written(store)
    shutil.copytree(store.home, tmp_path / "copy")
    copy = open_store(tmp_path / "copy")
    second = written(copy)
    assert not list(store.artifacts.glob(f"*/{second.run_id}"))
    (record,) = [each for each in read_study(copy, "fish").runs if each.run_id == run.run_id]
    assert record.artifact("study.yaml").is_relative_to(tmp_path / "copy")


def test_an_address_that_is_nowhere_falls_back_to_the_same_run_in_this_store(store):
    run = written(store)
    address = f"file:///nowhere/artifacts/fish/{run.run_id}/artifacts"
    assert store.artifact_path(address, "study.yaml").read_text() == "study: fish\n"
    assert store.artifact_path(address, "absent.txt") is None
    (record,) = read_study(store, "fish").runs
    assert replace(record, artifact_uri=address).artifacts() == ["plan.json", "study.yaml"]


def test_a_database_of_another_version_is_one_line(store):
    with closing(sqlite3.connect(store.home / "mlflow.db")) as connection:
        connection.execute("update alembic_version set version_num = '451aebb31d03'")
        connection.commit()
    with pytest.raises(StoreError, match="written by another MLflow version; copy it, then run `mlflow db upgrade"):
        open_store(store.home).client  # noqa: B018


def test_only_a_database_that_is_being_made_does_not_wait_for_the_disk(tmp_path):
    from sqlalchemy import create_engine, text

    from smlmbench.tracking.store import _hasty

    def waits(path):
        with create_engine(f"sqlite:///{path}").connect() as connection:
            return int(connection.execute(text("pragma synchronous")).scalar_one())

    fresh, other = tmp_path / "fresh.db", tmp_path / "other.db"
    for path in (fresh, other):
        path.touch()
    with _hasty(fresh):
        assert (waits(fresh), waits(other)) == (0, 2)
    assert waits(fresh) == 2
