"""The scripts of benchmarks/ at their smallest: they run, agree with themselves and end in one JSON object."""

import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


def run(name, *options):
    command = [sys.executable, str(FOLDER / f"{name}.py"), *options]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=FOLDER.parent, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_reference_loop_compares_equal_networks():
    tiny = ("--rounds", "1", "--frames", "3", "--size", "16", "--batch", "2", "--crop", "8", "--width", "0.125")
    said = run("reference_loop", *tiny, "--number-format", "fp32")
    assert said["step_ratio"] > 0
    assert said["step_fp32_ratio"] > 0
    assert said["predict_ratio"] > 0
    assert said["loss_relative_difference"] < 1e-3
    assert said["image_relative_difference"] < 1e-4


def test_inference_says_null_where_it_cannot_know():
    tiny = ("--tiny", "--models", "fid_storm", "--sizes", "32", "--frames", "1", "--rounds", "1")
    said = run("inference", *tiny, "--runtimes", "eager", "--formats", "fp32")
    assert said["deep_storm_128_fp32_ratio"] is None
    assert said["deep_storm_128_best_gated_ratio"] is None
    assert said["gated"] == "no trained network given: nothing is gated"
    assert said["a_over_a"] > 0
    assert 0.2 < said["seconds_per_pixel_4096_over_512"] < 5


def script(name):
    """One of them as a module."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_the_same_command_again_is_timed():
    said = run("again", "--cells", "2", "--rounds", "1")
    assert said["again_s"] > 0
    assert said["report_s"] > 0
    assert said["cells"] == 2


def test_the_page_of_fabricated_runs_is_built_and_measured():
    said = run("page", "--runs", "12", "--conditions", "2")["12"]
    assert 0.1 < said["page_mb"] < 10
    assert said["peak_mb"] > 100


def test_card_runs_without_a_card():
    said = run("card", "--device", "cpu", "--tiny")
    assert said["failed"] == []
    found = said["sections"]
    assert found["conformance"]["skipped"] > 10
    assert found["scores"]["agrees"]
    assert found["scores"]["cpu"]["rows"] > 0
    (study,) = (one for one in found["study"].values() if isinstance(one, dict))
    assert min(study["samples_per_s"], study["not_ahead"]["samples_per_s"]) > 0
    assert found["step"]["loss_gap"] < 1e-3
    assert found["movie"]["image_gap"]["ours fp32 with a table"] < 1e-4
    assert found["networks"]["rows"][0]["frames_per_s"] > 0
    assert (found["repeat"]["same_bits_twice"], found["repeat"]["same_bits_after_interruption"]) == (True, True)
    assert found["memory"]["skipped"]


def test_a_section_of_card_that_fails_stops_no_other(monkeypatch, capsys, tmp_path):
    monkeypatch.syspath_prepend(FOLDER)
    card = script("card")
    monkeypatch.setattr(card.loop, "COLLAPSE_MASS", card.loop.COLLAPSE_MASS)  # it is set, and is put back

    def broken(bench):
        raise RuntimeError("CUDA error: an illegal memory access")

    monkeypatch.setattr(card, "SECTIONS", (broken, card.machine))
    monkeypatch.setattr(sys, "argv", ["card.py", "--device", "cpu", "--out", str(tmp_path / "lines")])
    card.main()
    *lines, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert [line["section"] for line in lines] == ["broken", "machine"]
    assert last["failed"] == ["broken"]
    assert last["sections"]["broken"]["failed"] == "RuntimeError: CUDA error: an illegal memory access"
    assert last["sections"]["machine"]["torch"]
    assert [json.loads(line) for line in (tmp_path / "lines").read_text().splitlines()] == lines
    assert card.busy_share([(0, 10), (5, 20), (30, 40), (32, 35)], 100) == pytest.approx(0.3)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("onnxscript") is None, reason="onnxscript is not installed")
def test_exports_are_compared_and_counted():
    said = run("exports", "--tiny", "--formats", "onnx,nothing")
    assert (said["exports"], said["passed"]) == (6, 3)
    assert 0 < said["worst_gap"] < 1e-4


@pytest.mark.slow
def test_overhead_accounts_for_every_part():
    said = run("overhead", "--tiny", "--steps", "12", "--cells", "1", "--field", "16")
    assert 0 < said["fit_rest_percent"] < 100
    assert 0 < said["logged_model_s"] <= said["cell_outside_s"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="sparse files and peak memory as Linux has them")
def test_a_movie_of_4_gb_is_predicted_and_scored_under_1_gb():
    said = run("memory", "--frames", "2", "--side", "128", "--kinds", "imagej")
    assert said["gigabytes"] > 4
    assert 100 < said["peak_mb"] < 1000


@pytest.mark.skipif(sys.platform == "win32", reason="no ru_maxrss")
def test_the_memory_of_a_training_is_told_by_part():
    tiny = ("--batch", "2", "--side", "16", "--steps", "1", "--settings", '{"blocks": 1, "width": 0.25}')
    said = run("memory", "--training", *tiny, "--upsampling", "2")
    assert 0 < said["held_mb"] <= said["tensors_mb"] < said["peak_mb"]
    assert said["imports_mb"] > 50


@pytest.mark.slow
def test_tables_are_read_by_every_way():
    said = run("tables", "--rows", "200", "--sheet-rows", "20")
    assert said["rows"] == 200
    assert min(said[name] for name in ("read_speedup", "read_over_pandas", "write_over_pandas")) > 0


def test_photometry_is_compared_with_the_network_that_found_the_places():
    said = run("photometry", "--tiny", "--size", "24", "--emitters", "3,6", "--frames", "32", "--rounds", "1")
    assert [row["emitters"] for row in said["rows"]] == [3, 6]
    for row in said["rows"]:
        assert row["photons_over_true"] == pytest.approx(1, abs=0.05)
        assert row["emitters_per_s"] > 0


@pytest.mark.skipif(sys.platform == "win32", reason="no load average")
def test_a_movie_is_timed_with_workers_and_projected():
    tiny = ("--tiny", "--model", "fid_storm", "--size", "32", "--frames", "70", "--upsampling", "2")
    said = run("movie", *tiny)
    assert said["block_frames"] == 4096
    assert min(said[f"frames_per_s_{name}"] for name in ("here", "1", "2")) > 0
    assert list(said["virtual"]) == ["1", "4", "16", "64"]
    assert said["block_bytes"] == 8 * 64**2


def test_optics_compares_simulated_with_real_frames():
    data = FOLDER.parents[1] / "shared" / "data"
    beads, storm = data / "deepnebulae-beads", data / "deepstorm3d-tetrapod-storm"
    if not (beads.is_dir() and storm.is_dir()):
        pytest.skip("the bead stack and the movie are not here")
    movie = ("--mask", str(storm / "mask_tetrapod.mat"), "--frames", str(storm / "frames"))
    said = run("optics", "--tiny", "--beads", str(beads / "tetrapod_bead_stack.tiff"), *movie)
    assert 0 < said["beads"]["residual"] < 0.5
    assert 5 < said["frames"]["noise_counts"] < 15
    assert said["frames"]["spectrum_median"] < 0.2


def test_optics_tells_a_wider_spot_by_its_spectrum_and_widths():
    optics = script("optics")
    at = np.arange(64) - 31.5
    narrow, wide = (np.exp(-(at**2 + at[:, None] ** 2) / (2 * sigma**2))[None] / sigma**2 for sigma in (2.0, 2.4))
    same = optics.off(optics.power(narrow)[0], optics.power(narrow)[0], 1, 8)
    assert same["spectrum_worst"] == 0
    # exp(-2 pi^2 f^2 (2.4^2 - 2^2)) at 8 periods in 64 pixels
    ratio = math.exp(-2 * (math.pi * 8 / 64) ** 2 * (2.4**2 - 2.0**2))
    assert optics.off(optics.power(narrow)[0], optics.power(wide)[0], 1, 8)["spectrum_worst"] == pytest.approx(
        1 - ratio, abs=0.03
    )
    assert optics.moment(wide)[0] / optics.moment(narrow)[0] == pytest.approx(1.2, abs=0.001)
    assert optics.half_width(wide, 0) / optics.half_width(narrow, 0) == pytest.approx(1.2, abs=0.05)
