"""A network that sees three frames of two detectors and tells heights, trained in localization: nobody else notices."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from smlmbench.inference.answering import answering
from smlmbench.inference.checkpoint import load_trained
from smlmbench.movies import with_context
from smlmbench.predictions import Localizations
from smlmbench.run.progress import Reporter
from smlmbench.run.studies.asked import Options
from smlmbench.run.studies.study import run_study
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan
from smlmbench.tasks import load
from smlmbench.tracking.records import read_study
from smlmbench.tracking.store import open_store

FILES = sorted((Path(__file__).parent.parent / "plugins" / "detectors").rglob("*.py"))
STUDY = """
study: detectors
seed: 5
repeats: 1
data: [{name: two, train: {two_detectors: {frames: 60}}}]
models: [window_net]
references: [truth, blank]
training: {samples: 2400, batch_size: 16, validations: 2}
timing: {devices: [cpu], runtimes: [eager], sizes_px: [16]}
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory, empty_store, short_timing):
    folder = tmp_path_factory.mktemp("detectors")
    path = folder / "detectors.yaml"
    path.write_text(STUDY + f"plugins: {json.dumps([str(file) for file in FILES])}\n")
    loaded = load_study(path)
    store = open_store(shutil.copytree(empty_store, folder / "store"))
    finished = run_study(loaded, make_plan(loaded), store, Reporter(quiet=True), Options())
    return loaded, store, finished


def test_it_is_trained_and_scored_in_three_dimensions(ran):
    _, store, finished = ran
    assert finished.statuses == {"done": 1}
    assert finished.failed_references == []
    (run,) = read_study(store, "detectors").rows("cell")
    assert run.metrics["test/rmse_axial_nm"] < 150
    assert run.metrics["test/recall"] > 0.8
    assert run.metrics["device/cpu_eager_fp32_16px_end_to_end_ms"] > 0
    best = {
        row.params["model"]: row.metrics["test/efficiency"] for row in read_study(store, "detectors").rows("reference")
    }
    assert best["truth"] == 100
    assert best["blank"] == 0


def test_heights_and_further_columns_reach_the_table(ran):
    loaded, store, _ = ran
    (run,) = read_study(store, "detectors").rows("cell")
    found = load("localization", loaded.catalog).read(run.artifact("predictions"), "test").table
    assert isinstance(found, Localizations)
    np.testing.assert_allclose(found.more["llr"], 2 * found.probability, rtol=1e-6)
    assert np.isfinite(found.z_nm).all()
    assert np.ptp(found.z_nm) > 300


def test_a_window_is_repeated_at_the_ends_of_a_movie(ran):
    loaded, store, _ = ran
    (run,) = read_study(store, "detectors").rows("cell")
    trained = load_trained(run.artifact("best.pt"), loaded.catalog)
    assert (trained.channels, trained.context) == (6, 3)
    frames = np.random.default_rng(0).poisson(20.0, (5, 2, 16, 16)).astype(np.float32)

    class Movie:
        n_frames, height, width = 5, 16, 16

        def read(self, start, stop):
            return frames[start:stop]

    given = with_context(Movie(), 0, 5, 3)
    assert given.shape == (5, 6, 16, 16)
    np.testing.assert_array_equal(given[0, :2], frames[0])
    np.testing.assert_array_equal(given[0, 4:], frames[1])
    np.testing.assert_array_equal(given[4, 4:], frames[4])
    raw = torch.cat(list(answering(trained).raw(Movie())))
    with torch.no_grad():
        torch.testing.assert_close(raw, trained.network(torch.from_numpy(given)), rtol=1e-4, atol=1e-4)
