"""Number formats below fp32: the gate, the timing of what passes, the file that is kept."""

import importlib.util
import json
from functools import partial

import numpy as np
import pytest
import tifffile
import tiny_study
import torch
from typer.testing import CliRunner

from smlmbench import tasks
from smlmbench.cli import app
from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.inference.answering import Answering
from smlmbench.inference.engine import ReadOut
from smlmbench.outputs import raster
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog
from smlmbench.run.cells.evaluation import answers_of
from smlmbench.run.timing import reduced, timings
from smlmbench.run.timing.retiming import time_stored
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan
from smlmbench.timing import time_calls
from smlmbench.tracking.records import read_study
from smlmbench.truths.emitters import Emitters

CATALOG = Catalog()
SIDE = 24


def spikes(frames, lost=0.0):
    """A spike where a pixel is bright; `lost` of the columns answer nothing."""
    raw = torch.zeros(len(frames), 1, 2 * SIDE, 2 * SIDE)
    raw[:, :, ::2, ::2] = torch.where(frames > 50, 100.0, 0.0)
    raw[..., : int(2 * SIDE * lost)] = 0
    return raw


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    loaded = load_study(tiny_study.write(tmp_path_factory.mktemp("study")))
    return make_plan(loaded).cells[0]


def test_a_verdict_of_the_gate_belongs_to_how_a_cell_is_scored_a_time_of_fp32_does_not(cell):
    other = cell.model_copy(update={"eval_id": "0" * 12})
    for number_format, same in (("fp32", True), ("int8", False)):
        keys = {timings._key(one, ("cpu", "eager", number_format), 16, 1) for one in (cell, other)}
        assert (len(keys) == 1) is same


def condition():
    rng = np.random.default_rng(0)
    frames = np.full((40, SIDE, SIDE), 10.0, dtype=np.float32)
    rows = []
    for number in range(len(frames)):
        for x, y in rng.integers(6, SIDE - 6, (3, 2)):
            frames[number, y, x] = 200
            rows.append((number, 100 * x + 25, 100 * y + 25))
    frame, x_nm, y_nm = map(np.array, zip(*rows, strict=True))
    field_nm = (100.0 * SIDE, 100.0 * SIDE)
    truth = Localizations.of({"frame": frame, "x_nm": x_nm, "y_nm": y_nm}, n_frames=len(frames), field_nm=field_nm)
    empty = np.full((64, SIDE, SIDE), 10.0, dtype=np.float32)
    told = {"pixel_size_nm": 100.0}
    empty = Condition("signal_free", ArrayFrames(np.full((64, SIDE, SIDE), 10.0, dtype=np.float32)), None, told=told)
    more = {"told": told, "extras": {empty.name: empty}}
    return Condition("c", ArrayFrames(frames), Emitters(truth, 100.0), "d", **more)


def checked(cell, network):
    task, frozen = tasks.load(cell.task, CATALOG), condition()
    settings = {**CATALOG.card("outputs", "raster").fill("raster", {"upsampling": 2}), "pixel_size_nm": 100.0}
    read_out, tuned = ReadOut(raster, settings, 0.5), {"threshold": 0.5}
    models = [Answering(one, read_out, torch.device("cpu")) for one in (network, spikes)]
    lower, single = (answers_of(task, model, frozen, tuned) for model in models)
    return task.gate([(lower, single, frozen)], cell.scoring)


def test_the_same_answer_passes_and_a_worse_one_does_not(cell):
    same = checked(cell, spikes)
    assert same.passed
    assert [same.numbers[name] for name in ("lost_most", "false", "false_fp32")] == [0.0, 0.0, 0.0]
    assert same.numbers["efficiency"] == same.numbers["efficiency_fp32"]
    worse = checked(cell, partial(spikes, lost=0.5))
    assert not worse.passed
    assert worse.numbers["efficiency"] < same.numbers["efficiency"] - 10
    assert "points of efficiency (at most 1)" in worse.reason


def test_more_false_detections_do_not_pass(cell):
    def noisy(frames):
        raw = spikes(frames)
        if float(frames.max()) < 50:
            raw[:, :, 10, 10] = 100.0
        return raw

    found = checked(cell, noisy)
    assert found.numbers["lost_most"] <= 1
    assert not found.passed
    assert "more false detections" in found.reason
    assert found.numbers["false"] > 0


@pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="onnxruntime is not installed")
@pytest.mark.usefixtures("short_timing")
def test_what_passes_is_timed_and_kept_and_what_cannot_be_leaves_its_reason(tmp_path, store, monkeypatch):
    monkeypatch.setattr(timings, "time_calls", partial(time_calls, budget_s=0.0, max_rounds=3))
    path = tiny_study.write(
        tmp_path,
        models=[{"name": "fid_storm", "blocks": 1, "width": 0.25}],
        references=["blank"],
        timing={"sizes_px": [16], "runtimes": ["eager", "onnxruntime"], "number_formats": ["fp32", "int8"]},
    )
    _, lines = tiny_study.run(path, store)
    (row,) = read_study(store, "tiny").rows("cell")
    metrics = {name for name in row.metrics if name.startswith("device/")}
    for key in ("cpu_eager_fp32_16px", "cpu_onnxruntime_fp32_16px", "cpu_onnxruntime_int8_16px"):
        wanted = ("latency_ms", "p90_ms", "end_to_end_ms", "frames_per_s", "gflops", "load_ms", "file_bytes")
        assert {f"device/{key}_{name}" for name in wanted} <= metrics
    assert "device/cpu_onnxruntime_int8_16px_efficiency_fp32" in metrics
    assert row.metrics["device/latency_ms"] == row.metrics["device/cpu_eager_fp32_16px_latency_ms"]
    assert "eager has no int8" in row.tags[timings.NOT_TIMED]
    assert reduced.file_of(row, "onnxruntime", "int8").suffix == ".onnx"
    assert any("not timed: eager has no int8" in line for line in lines)
    tifffile.imwrite(tmp_path / "movie.tif", np.full((3, 16, 16), 10, dtype=np.uint16), photometric="minisblack")
    words = ["predict", row.run_id, str(tmp_path / "movie.tif"), "--camera", "{kind: ideal}", "-o", str(tmp_path)]
    said = CliRunner().invoke(app, [*words, "--store", str(store.home)])
    assert said.exit_code == 0, said.output
    assert "run by " in said.stderr
    assert ": soonest of 3 timed here" in said.stderr
    told = CliRunner().invoke(app, [*words, "--store", str(store.home), "--runtime", "eager", "--overwrite"])
    assert told.exit_code == 0, told.output
    assert "run by" not in told.stderr
    again = {"sizes_px": [24], "runtimes": ["eager"], "number_formats": ["fp32"]}
    page = time_stored(path, [f"timing={json.dumps(again)}"], str(store.home), (), quiet=True)
    assert "device, runtime and number format" in page.read_text()
    (more,) = read_study(store, "tiny").rows("cell")
    assert "device/cpu_eager_fp32_24px_latency_ms" in more.metrics
    assert more.metrics["device/latency_ms"] == row.metrics["device/latency_ms"]
    monkeypatch.setattr(timings, "time_calls", None)  # nothing is left to time
    monkeypatch.setattr(reduced, "judge", None)
    tiny_study.run(path, store)
