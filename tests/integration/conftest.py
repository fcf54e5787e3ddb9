"""The tiny study, run once for all tests that look at it."""

import shutil
from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest
import tiny_study
from tiny_study import models, run, write, write_plugins

from smlmbench.figures import uint8_panel
from smlmbench.tracking.records import read_study
from smlmbench.tracking.store import open_store


@contextmanager
def quick():
    """Three rounds, no warm-up: what is measured is of no interest, that it is measured is."""
    from smlmbench.run.timing import fitters as fitter_timings
    from smlmbench.run.timing import timings
    from smlmbench.timing import time_calls

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("smlmbench.timing.WARM_UP_S", 0.0)
        patch.setattr("smlmbench.timing.SETTLE_S", 0.0)
        for module in (timings, fitter_timings):
            patch.setattr(module, "time_calls", partial(time_calls, max_rounds=3))
        patch.delenv("SMLMBENCH_DATA", raising=False)
        yield


@pytest.fixture
def undrawn(monkeypatch):
    """Nothing is drawn, which takes much of the time of a search."""
    from smlmbench.report import page
    from smlmbench.run.cells import evaluation
    from smlmbench.run.cells import training as training_cell
    from smlmbench.run.searching import record as search_record
    from smlmbench.tasks import Task

    monkeypatch.setattr(training_cell, "example_picture", lambda *_: None)
    monkeypatch.setattr(evaluation, "example_picture", lambda *_: None)
    monkeypatch.setattr(Task, "picture", lambda *_: None)
    monkeypatch.setattr(search_record, "_figures", lambda *_: {})
    monkeypatch.setattr(page, "drawings", lambda *_: [])
    monkeypatch.setattr(page, "latency_drawings", lambda *_: [])


DRAWN = "smlmbench.tasks.contracts.task.uint8_panel"


@pytest.fixture(scope="module", autouse=True)
def sketched():
    """Pictures of one grey: they took most of the time of a tiny study, and what they look like is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        for drawn in (DRAWN, "smlmbench.tasks.optics.design"):
            patch.setattr(drawn, lambda _: np.full((60, 200, 3), 128, dtype=np.uint8))
        yield


class Run:
    """The tiny study, run once."""

    def __init__(self, folder, empty_store):
        self.plugins = write_plugins(folder / "plugins")
        self.path = write(folder, models=models(), plugins=[str(path) for path in self.plugins.values()])
        self.store = open_store(shutil.copytree(empty_store, folder / "mlruns"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(tiny_study.BREAKING, "1")
            patch.setattr(DRAWN, uint8_panel)
            self.finished, self.lines = run(self.path, self.store)
        self.record = read_study(self.store, "tiny")

    def row(self, name):
        return next(row for row in self.record.rows("cell") if row.name.startswith(name))

    def copy(self, folder):
        """A store of the test's own, moved as a user may move it."""
        from mlflow.tracking._tracking_service import utils

        # MLflow remembers by run id where artifacts go, and here two stores of one process have the same runs.
        utils._artifact_repos_cache.clear()
        return open_store(shutil.copytree(self.store.home, folder / "moved"))


@pytest.fixture(scope="session")
def done(tmp_path_factory, empty_store):
    """The tiny study with rows that end in every way; nobody writes to its store."""
    with quick():
        return Run(tmp_path_factory.mktemp("study"), empty_store)


@pytest.fixture(scope="module")
def short_timing():
    """Studies of the module are timed in no time."""
    with quick():
        yield
