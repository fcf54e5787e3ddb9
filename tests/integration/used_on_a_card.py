"""Predicting, timing and whole studies on a CUDA card that is made of the processor; `test_card.py` runs this file."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_study import run, write

from smlmbench.data.contracts import ArrayFrames, Given, Statistics
from smlmbench.errors import ConfigError, HalvedWarning
from smlmbench.inference.checkpoint import build_network, checkpoint_of, load_trained
from smlmbench.inference.devices import resolve_device
from smlmbench.inference.engine import predict
from smlmbench.inference.running import why_not
from smlmbench.inference.runtimes import eager
from smlmbench.registry import Catalog
from smlmbench.timing import check_device, host_name
from smlmbench.tracking.records import read_study
from smlmbench.training import save_atomically

CATALOG = Catalog()
CPU, FIRST, SECOND = torch.device("cpu"), torch.device("cuda:0"), torch.device("cuda:1")
SMALL = {"name": "srcnn", "kernels": "3-1-3", "width": 0.25}


def network_on(folder, device, name="deep_storm", upsampling=2, context=1, **settings):
    card = CATALOG.card("models", name)
    filled = card.fill(name, {**card.tiny, **settings})
    given = Given(context, upsampling, 100.0, Statistics(12.0, 5.0, 1.0, 60.0), context)
    torch.manual_seed(0)
    network = build_network(CATALOG, name, filled, given).eval()
    for weight in network.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=3.0)
    output = {**CATALOG.card("outputs", "raster").fill("raster", {"upsampling": upsampling}), "pixel_size_nm": 100.0}
    facts = {"task": "localization", "threshold": 0.05, "calibrated": True}
    described = {"name": name, "version": 1, "settings": filled}, {"name": "raster", "version": 1, "settings": output}
    save_atomically(checkpoint_of(network, given, *described, facts), folder / "best.pt")
    return load_trained(folder / "best.pt", CATALOG, device)


def frames_of(n, height, width):
    values = np.random.default_rng(1).poisson(10, (n, height, width)).astype(np.float32)
    values[:, 5::9, 4::7] += 80
    return ArrayFrames(values)


@pytest.mark.parametrize(
    ("settings", "shape", "tiles"),
    [
        ({}, (9, 21, 30), False),
        ({"normalisation": "frame_minmax_zscore"}, (3, 90, 70), True),
        ({"name": "fid_storm"}, (3, 90, 70), True),
        ({"context": 3, "name": "srcnn"}, (5, 16, 24), False),
    ],
)
@pytest.mark.parametrize("number_format", ["fp32", "bf16"])
def test_a_movie_on_the_card_gives_the_table_of_the_processor(
    tmp_path, monkeypatch, settings, shape, tiles, number_format
):
    if tiles:
        monkeypatch.setattr("smlmbench.inference.tiles.FINE_PIXELS_PER_TILE", 2**12)
    found = {}
    for device in (CPU, SECOND):
        model = network_on(tmp_path, device, **settings)
        network = eager.prepare(model.network, torch.zeros(1, device=device), number_format)
        found[device.type] = predict(frames_of(*shape), network, model.read_out(), device=device, batch=2)
    here, there = found["cpu"], found["cuda"]
    assert len(here.table) > 20
    rough = number_format == "bf16"  # autocast of a card and of the processor do not round alike everywhere
    if not rough:
        assert np.array_equal(here.table.frame, there.table.frame)
        assert there.table.x_nm == pytest.approx(here.table.x_nm, abs=0.5)
    power = float(np.abs(here.image.values).max())
    assert np.abs(here.image.values - there.image.values).max() < (0.1 if rough else 1e-3) * power


def test_a_movie_goes_on_in_halves_on_the_card(tmp_path):
    model, frames = network_on(tmp_path, FIRST), frames_of(11, 16, 24)
    whole = predict(frames, model.network, model.read_out(), device=FIRST, batch=4)

    def cramped(frames):
        if len(frames) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return model.network(frames)

    with pytest.warns(HalvedWarning, match="cuda:0 has no memory for 4 frames at once; 2 are taken"):
        parts = predict(frames, cramped, model.read_out(), device=FIRST, batch=4)
    assert np.array_equal(whole.table.frame, parts.table.frame)
    assert parts.table.x_nm == pytest.approx(whole.table.x_nm, abs=0.1)
    assert parts.image.values == pytest.approx(whole.image.values, rel=1e-4, abs=1e-5)


def test_runtimes_of_the_processor_alone_say_why_they_do_not_run():
    reasons = {name: why_not(CATALOG, name, FIRST, "fp32") for name in CATALOG.names("runtimes")}
    assert reasons["eager"] == ""
    assert "has no CUDAExecutionProvider; pip install onnxruntime-gpu" in reasons["onnxruntime"]
    assert "has no TensorrtExecutionProvider" in reasons["tensorrt"]
    assert "does not run on cuda" in reasons["openvino"]
    assert "does not run on cuda" in reasons["executorch"]


def test_names_of_cards_belong_to_what_is_timed():
    assert host_name().endswith("cores, emulated card")
    assert check_device("cuda") == torch.device("cuda")
    with pytest.raises(ConfigError, match=r"'cuda:1' cannot be timed .* CUDA_VISIBLE_DEVICES=1 takes the second card"):
        check_device("cuda:1")
    with pytest.raises(ConfigError, match="'cuda:2' is not on this machine"):
        resolve_device("cuda:2")


def test_fp32_is_fp32_and_numbers_come_again(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    assert resolve_device("auto") == torch.device("cuda")
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic) == (False, True)


# Studies


@pytest.mark.filterwarnings("ignore:constrained_layout not applied")  # of the heat map, whose labels are long here
@pytest.mark.usefixtures("short_timing")
def test_a_study_is_trained_taught_scored_and_timed_there(tmp_path, store):
    models = [{"name": "deep_storm", "width": 0.125}, SMALL]
    distill = [{"teacher": "deep_storm", "student": "srcnn", "method": "attentive_imitation", "controls": ["plain"]}]
    distill[0]["phi_samples"] = 16
    timing = {"devices": ["cpu", "cuda"], "sizes_px": [16]}
    path = write(tmp_path, models=models, distill=distill, timing=timing, references=["truth"])
    finished, lines = run(path, store, device="cuda")
    assert set(finished.statuses) == {"done"}, lines
    rows = read_study(store, "tiny").rows("cell")
    assert len(rows) == 3
    for row in rows:
        assert (row.params["device"], row.params["number_format"], row.params["card"]) == (
            "cuda",
            "bf16",
            "emulated card",
        )
        assert row.params["infer_device"] == "cuda:0"
        for device in ("cpu", "cuda"):
            for what in ("latency_ms", "frames_per_s", "end_to_end_ms"):
                assert row.metrics[f"device/{device}_eager_fp32_16px_{what}"] > 0


@pytest.mark.parametrize(
    ("plugin", "scored", "blocks"),
    [
        (
            "detectors",
            "cuda:1",
            {"data": [{"name": "two", "train": {"two_detectors": {"frames": 12}}}], "models": ["window_net"]},
        ),
        ("gauge", "cpu", {"data": [{"name": "lines", "train": {"spectra": {"counts": 300}}}], "models": ["line_net"]}),
    ],
)
def test_plug_ins_that_know_no_card_run_there(tmp_path, store, plugin, scored, blocks):
    files = sorted((Path(__file__).parent.parent / "plugins" / plugin).rglob("*.py"))
    study = {"study": plugin, "seed": 3, "repeats": 1, "timing": None, "references": [], **blocks}
    training = {"samples": 320, "batch_size": 16, "validations": 1, "number_format": "fp32"}
    path = tmp_path / "study.json"
    path.write_text(json.dumps({**study, "training": training, "plugins": [str(file) for file in files]}))
    finished, lines = run(path.rename(path.with_suffix(".yaml")), store, device="cuda", infer_device=scored)
    assert finished.statuses == {"done": 1}, lines
    (row,) = read_study(store, plugin).rows("cell")
    assert (row.params["device"], row.params["infer_device"]) == ("cuda", scored)


def test_the_benchmark_runs_there(monkeypatch, capsys):
    folder = Path(__file__).parents[2] / "benchmarks"
    monkeypatch.syspath_prepend(folder)
    for name in ("WARM_UP_S", "SETTLE_S"):
        monkeypatch.setattr(f"smlmbench.timing.{name}", 0.0)
    monkeypatch.setattr("smlmbench.training.COLLAPSE_MASS", 0.0)
    monkeypatch.setattr(sys, "argv", ["card.py", "--tiny", "--only", "machine,study,step,movie,networks,memory"])
    runpy.run_path(str(folder / "card.py"), run_name="__main__")
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["failed"] == []
    assert said["sections"]["machine"]["host"].endswith("emulated card")
    assert said["sections"]["step"]["loss_gap"] < 1e-3
    assert said["sections"]["memory"]["peak_gb"] == 0.012
