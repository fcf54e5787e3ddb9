"""DECODE's camera block by hand: the same counts through both definitions."""

import numpy as np
import pytest
import torch
import yaml
from study_fakes import write_movie, write_study
from typer.testing import CliRunner

from smlmbench.camera import Camera
from smlmbench.cli import app
from smlmbench.errors import ConfigError, LossWarning
from smlmbench.run.using.predicting import read_camera
from smlmbench.study.load import load_study

BLOCK = {
    "baseline": 100,
    "e_per_adu": 45.0,
    "em_gain": 300.0,
    "read_sigma": 74.4,
    "spur_noise": 0.002,
    "qe": 0.9,
    "photon_units": True,
}
PIXEL = {"px_size": [127.0, 127.0]}


def test_one_pixel_means_the_same_in_both_definitions():
    camera = Camera.model_validate(BLOCK)
    assert camera == Camera(
        kind="emccd", baseline_adu=100, e_per_adu=45, em_gain=300, read_noise_e=74.4, spurious_e=0.002,
        quantum_efficiency=0.9,
    )  # fmt: skip
    # (1450 - 100) ADU are 60750 e after the register, 202.5 before it, 202.498 without the spurious charge:
    # so many were detected, and 202.498 / 0.9 = 224.9978 photons came, which is what DECODE calls photons.
    (detected,) = camera.to_photons(np.array([1450]))
    assert detected == pytest.approx(202.498, rel=1e-6)
    theirs = ((1450 - 100) * 45.0 / 300.0 - 0.002) / 0.9
    assert theirs == pytest.approx(224.99778, rel=1e-6)
    assert detected == pytest.approx(theirs * 0.9, rel=1e-6)


def test_frames_drawn_by_both_definitions_have_the_same_mean_and_spread():
    n, rng = 200_000, np.random.default_rng(1)
    electrons = rng.poisson(0.9 * 225 + 0.002, n)
    theirs = np.floor((rng.gamma(electrons, 300.0) + rng.normal(0, 74.4, n)) / 45) + 100
    ours = Camera.model_validate(BLOCK).expose(torch.full((n,), 0.9 * 225), torch.Generator().manual_seed(1)).numpy()
    assert theirs.mean() + 0.5 == pytest.approx(ours.mean(), abs=2)  # DECODE cuts off where we round
    assert theirs.std() == pytest.approx(ours.std(), rel=0.02)


@pytest.mark.parametrize("blank", [{"em_gain": None}, yaml.safe_load("em_gain:")])
def test_a_blank_gain_is_none(blank):
    camera = read_camera(BLOCK | blank)
    assert (camera.kind, camera.gain, camera.read_noise_e) == ("scmos", 1.0, 74.4)
    assert camera.to_photons(np.array([150]))[0] == pytest.approx((150 - 100) * 45 - 0.002)


@pytest.mark.parametrize("whole", [True, False])
def test_a_parameter_file_is_read_as_it_is(tmp_path, whole):
    path = tmp_path / "param.yaml"
    block = BLOCK | PIXEL
    path.write_text(yaml.safe_dump({"Camera": block, "Simulation": {"bg_uniform": [90, 150]}} if whole else block))
    with pytest.warns(LossWarning, match=r"px_size \[127.0, 127.0\] of DECODE's block Camera is not taken over"):
        camera = read_camera(path)
    assert camera == Camera.model_validate(BLOCK)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"qe": None}, "qe: None in DECODE's block Camera is not a number"),
        ({"baseline": "100"}, "baseline: '100' in DECODE's block Camera is not a number"),
        ({"em_gain": True}, "em_gain: True in DECODE's block Camera is not a number"),
        ({"read_sigma": float("nan")}, "read_sigma: nan in DECODE's block Camera is not a number"),
        ({"photon_units": False}, "photon_units: False in DECODE's block Camera is not known here; only true is"),
        ({"px_size": [127, 117]}, "px_size 127 x 117 .* pixels that are not square cannot be used"),
        ({"readout": 3}, "readout in DECODE's block Camera is not known here"),
        ({"qe": 1.2}, "quantum_efficiency: Input should be less than or equal to 1"),
        ({"em_gain": 0}, "em_gain: Input should be greater than or equal to 1"),
    ],
)
@pytest.mark.filterwarnings("ignore::smlmbench.errors.LossWarning")
def test_what_cannot_be_used_is_refused_with_its_reason(change, words):
    with pytest.raises(ConfigError, match=words):
        read_camera({"Camera": BLOCK | change})


@pytest.mark.parametrize("key", ["baseline", "e_per_adu", "em_gain", "read_sigma", "spur_noise", "qe"])
def test_a_number_that_is_missing_is_not_guessed(key):
    block = {name: value for name, value in BLOCK.items() if name != key}
    with pytest.raises(ConfigError, match=f"DECODE's block Camera lacks {key}; give a number"):
        read_camera(block)


def test_names_of_both_kinds_are_not_mixed():
    with pytest.raises(ConfigError, match="baseline: Extra inputs are not permitted"):
        read_camera({"kind": "emccd", "em_gain": 300, "baseline": 100, "qe": 1})
    with pytest.raises(ConfigError, match="baseline: Extra inputs are not permitted"):
        read_camera({"baseline": 100, "e_per_adu": 2})  # a slip of the pen


@pytest.mark.parametrize("written", ["block", "whole", "file"])
def test_a_study_takes_it_too(tmp_path, written):
    (tmp_path / "param.yaml").write_text(yaml.safe_dump({"Camera": BLOCK | PIXEL}))
    camera = {"block": BLOCK, "whole": {"Camera": BLOCK | PIXEL}, "file": "param.yaml"}[written]
    loaded = load_study(
        write_study(tmp_path, data=[{"name": "m", "train": write_movie(tmp_path) | {"camera": camera}}])
    )
    assert loaded.study.data[0].train.camera == Camera.model_validate(BLOCK)


def refused(path):
    result = CliRunner().invoke(app, ["plan", str(path)])
    assert result.exit_code == 2, result.output
    return result.stderr


def test_a_simulation_states_its_own_pixel(tmp_path):
    simulate = {"psf": {"name": "blob"}, "camera": BLOCK | PIXEL}
    data = [{"name": "s", "train": {"simulate": simulate}}]
    said = refused(write_study(tmp_path, data=data))
    assert "px_size [127.0, 127.0] of DECODE's block Camera is not taken over; state pixel_size_nm" in said
    simulate["pixel_size_nm"] = 127
    train = load_study(write_study(tmp_path, data=data)).study.data[0].train
    assert (train.pixel_size_nm, train.camera.em_gain) == (127, 300)


def test_a_file_that_is_not_there(tmp_path):
    movie = write_movie(tmp_path) | {"camera": "gone.yaml"}
    said = refused(write_study(tmp_path, data=[{"name": "m", "train": movie}]))
    assert f"data[0].train.camera: '{tmp_path / 'gone.yaml'}' does not exist or is no YAML" in said
