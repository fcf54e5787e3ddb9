"""`smlmbench calibrate MOVIE`: numbers that were drawn come back, files are taken by name, refusals are one line."""

import json

import numpy as np
import pytest
import tifffile
import yaml
from study_fakes import write_study
from typer.testing import CliRunner

import smlmbench
from smlmbench.calibrate.check import compared, kolmogorov, scene_of
from smlmbench.calibrate.molecules.seen import Detector
from smlmbench.calibrate.telling import doubts, lines
from smlmbench.calibrate.writing import camera_text
from smlmbench.camera import Camera, Noise
from smlmbench.cli import app
from smlmbench.errors import ConfigError
from smlmbench.formats.drift import read_drift
from smlmbench.run.using.predicting import read_camera
from smlmbench.study.load import load_study

CAMERA = {"kind": "scmos", "baseline_adu": 100, "e_per_adu": 0.5, "read_noise_e": 1.6}
SCENE = {
    "density_per_um2": 0.3,
    "photons": {"median": 1500, "sigma": 0.4, "law": "log_normal"},
    "background_photons": 15.0,
    "field_px": 48,
    "psf": {"name": "gaussian", "sigma_nm": 140},
    "camera": CAMERA,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("movie")
    tifffile.imwrite(folder / "cells.tif", smlmbench.simulate(SCENE, 150, seed=3)[0])
    noise = np.random.default_rng(1).normal(0, 1.6 / 0.5, (60, 48, 48))
    tifffile.imwrite(folder / "dark.tif", np.rint(100 + noise).astype(np.uint16))
    return folder


@pytest.fixture(scope="module")
def done(files):
    return smlmbench.calibrate(files / "cells.tif", 100, dark=files / "dark.tif", output=files / "out")


def run(*words):
    return CliRunner().invoke(app, ["calibrate", *map(str, words)])


def refused(*words):
    result = run(*words)
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    return line


def test_what_was_drawn_lies_in_the_intervals(done):
    found = done.measured
    pairs = [(found.camera.baseline_adu, 100), (found.camera.e_per_adu, 0.5), (found.spots.sigma_nm, 140)]
    pairs += [(found.background.level, 15), (found.spots.photons, 1500), (found.spots.density_per_um2, 0.3)]
    for number, true in pairs:
        assert number.low <= true <= number.high
        assert number.value == pytest.approx(true, rel=0.1)
    assert (found.n_frames, found.height, found.width) == (150, 48, 48)
    assert "no place is clearly seen again" in found.drift.error_nm.why


def test_frames_drawn_of_it_look_like_the_real_ones(done):
    assert done.check.differ == ()
    assert done.check.said.startswith("simulated frames look like the real ones (pixel values 0.0")


def test_camera_and_optics_are_taken_by_name(done, files):
    camera = read_camera(files / "out" / "camera.yaml")
    assert camera.e_per_adu == pytest.approx(done.measured.camera.e_per_adu.value, rel=1e-4)
    simulate = {"psf": "out/optics.yaml", "camera": "out/camera.yaml", "pixel_size_nm": 100}
    study = load_study(write_study(files, data=[{"name": "own", "train": {"simulate": simulate}}])).study
    assert study.data[0].train.camera == camera
    assert study.data[0].train.psf["sigma_nm"] == pytest.approx(done.measured.spots.sigma_nm.value, rel=1e-4)


def test_every_number_of_the_yaml_has_its_interval_beside_it(done, files):
    text = (files / "out" / "camera.yaml").read_text()
    for key, number in (
        ("e_per_adu", done.measured.camera.e_per_adu),
        ("baseline_adu", done.measured.camera.baseline_adu),
    ):
        (line,) = (line for line in text.splitlines() if line.startswith(key))
        assert f"# {number.low:.4g} to {number.high:.4g}" in line
    record = json.loads((files / "out" / "calibration.json").read_text())
    assert record["spots"]["sigma_nm"]["low"] == pytest.approx(done.measured.spots.sigma_nm.low)
    assert set(record["check"]["distances"]) == {"pixel values", "power spectrum", "spot width", "spot photons"}
    assert (files / "out" / "calibration.png").read_bytes().startswith(b"\x89PNG")
    assert not (files / "out" / "drift.csv").exists()


def test_the_command_prints_the_table_and_what_was_assumed(done, files):
    result = run(files / "cells.tif", "--pixel-size-nm", 100, "-o", files / "alone")
    assert result.exit_code == 0, result.output
    assert "PSF width, sigma (nm)" in result.stdout
    assert "needs dark frames" in result.stdout
    assert "there is no gain register" in result.stderr
    told = yaml.safe_load((files / "alone" / "camera.yaml").read_text())
    assert told["e_per_adu"] == pytest.approx(0.5, rel=0.12)
    assert "assumed" in (files / "alone" / "camera.yaml").read_text()
    line = refused(files / "cells.tif", "--pixel-size-nm", 100, "-o", files / "alone")
    assert "camera.yaml' exists already; give another folder with --output, or --overwrite" in line


def test_a_stated_camera_is_taken_and_held_against_the_counts(files):
    wrong = "{kind: scmos, baseline_adu: 100, e_per_adu: 1.0, read_noise_e: 1.6}"
    result = run(files / "cells.tif", "--pixel-size-nm", 100, "--camera", wrong, "-o", files / "stated", "--json")
    told = json.loads(result.stdout)
    assert told["camera_facts"] == yaml.safe_load(wrong)
    (said,) = (each for each in told["all_doubts"] if "stated camera" in each)
    assert "has 1 photo-electrons a count, the movie's noise says 0.5" in said
    assert "# as stated" in (files / "stated" / "camera.yaml").read_text()


def test_a_register_halves_the_gain_and_is_written_as_one(files, done):
    found = smlmbench.calibrate(files / "cells.tif", 100, dark=files / "dark.tif", em_gain=100.0).measured
    assert found.camera.e_per_adu.value == pytest.approx(2 * done.measured.camera.e_per_adu.value, rel=0.1)
    assert found.camera_facts["kind"] == "emccd"
    assert found.camera_facts["em_gain"] == pytest.approx(100)
    text = camera_text(found, stated=False)
    camera = Camera.model_validate(yaml.safe_load(text))
    assert 1 / camera.adu_per_photon == pytest.approx(found.camera.e_per_adu.value, rel=1e-3)


def test_refusals_are_one_line(files, tmp_path):
    pixel = ("--pixel-size-nm", 100)
    assert "does not exist" in refused(tmp_path / "none.tif", *pixel)
    assert "does not exist" in refused(files / "cells.tif", *pixel, "--dark", tmp_path / "none.tif")
    both = refused(files / "cells.tif", *pixel, "--em-gain", 300, "--camera", "{kind: ideal}", "-o", tmp_path)
    assert "em_gain 300: give the gain of a register above 1, and no camera beside it" in both
    assert "leave --dark and --em-gain out" in refused(
        files / "cells.tif", *pixel, "--bead-step-nm", 50, "--em-gain", 3
    )
    assert "--pixel-size-nm" in refused(files / "cells.tif")
    flat = tmp_path / "flat.tif"
    tifffile.imwrite(flat, np.full((20, 32, 32), 100, np.uint16))
    assert "the camera of 'flat.tif' cannot be told from its counts" in refused(flat, *pixel, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_movie_of_noise_alone_says_that_it_has_no_spots(tmp_path):
    counts = np.random.default_rng(0).poisson(20, (60, 32, 32)) + 100
    tifffile.imwrite(tmp_path / "noise.tif", counts.astype(np.uint16))
    camera = {"kind": "scmos", "baseline_adu": 100, "e_per_adu": 1}
    done = smlmbench.calibrate(tmp_path / "noise.tif", 100, camera=camera, output=tmp_path / "out")
    assert done.measured.background.level.value == pytest.approx(20, rel=0.05)
    assert not done.measured.spots.sigma_nm.known
    assert done.check.startswith("nothing is simulated")
    assert not (tmp_path / "out" / "optics.yaml").exists()
    assert {line.what: line.value for line in lines(done.measured)}["PSF width, sigma (nm)"] == "unknown"


def test_drift_is_written_and_read_again(tmp_path):
    """The same twelve places flash again and again while the field moves by 3 px."""
    generator = np.random.default_rng(5)
    places, shine = generator.uniform(8, 40, (12, 2)), np.linspace(0, 3, 400)
    rows, columns = np.mgrid[:48, :48] + 0.5
    frames = np.full((400, 48, 48), 20.0)
    for at, moved in enumerate(shine):
        for y, x in places[generator.random(12) < 0.2]:
            frames[at] += (
                2500 / (2 * np.pi * 1.4**2) * np.exp(-((rows - y) ** 2 + (columns - x - moved) ** 2) / 2 / 1.4**2)
            )
    tifffile.imwrite(tmp_path / "moved.tif", (generator.poisson(frames) + 100).astype(np.uint16))
    camera = {"kind": "scmos", "baseline_adu": 100, "e_per_adu": 1}
    done = smlmbench.calibrate(tmp_path / "moved.tif", 100, camera=camera, output=tmp_path / "out")
    way = read_drift(done.files["drift"])
    assert np.abs(way.x_nm - 100 * shine).max() < 10
    assert np.abs(way.y_nm).max() < 10


def test_a_wrong_width_is_seen_in_simulated_frames(files):
    real, wrong, right = (
        Camera(**CAMERA).to_photons(
            smlmbench.simulate({**SCENE, "psf": {"name": "gaussian", "sigma_nm": sigma}}, 100, seed=seed)[0]
        )
        for sigma, seed in ((140, 1), (170, 2), (140, 3))
    )
    detector = Detector(1.4, 4.0, Noise(1.0, 1.6**2))
    assert compared(real, right, detector, 100.0).differ == ()
    apart = compared(real, wrong, detector, 100.0)
    assert any("spot width" in said and "median 1" in said for said in apart.differ)
    assert "clearly differ" in apart.said


def test_the_scene_that_is_drawn_has_the_measured_percentiles(done):
    source = scene_of(done.measured)
    low, high = done.measured.spots.photons_range
    assert source.photons.median == pytest.approx(done.measured.spots.photons.value)
    assert np.exp(3.29 * source.photons.sigma) == pytest.approx(high / low, rel=1e-3)
    assert doubts(done.measured) == list(dict.fromkeys(doubts(done.measured)))


def test_kolmogorov_by_hand():
    assert kolmogorov(np.array([1.0, 2.0, 3.0, 4.0]), np.array([3.0, 4.0, 5.0, 6.0])) == 0.5
    assert kolmogorov(np.array([1.0]), np.array([1.0])) == 0
    assert np.isnan(kolmogorov(np.array([]), np.array([1.0])))


def test_a_camera_that_cannot_be_told_is_asked_for(tmp_path):
    tifffile.imwrite(tmp_path / "flat.tif", np.full((20, 32, 32), 100, np.uint16))
    with pytest.raises(ConfigError, match="state it with --camera"):
        smlmbench.calibrate(tmp_path / "flat.tif", 100)
