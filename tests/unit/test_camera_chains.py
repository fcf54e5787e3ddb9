"""The challenge's chain, steps that are cut off, phones, and cameras by name."""

import json

import numpy as np
import pytest
import torch
from scipy import stats
from study_fakes import write_movie, write_study
from test_distributions import FAILS, PASSES, adu_below, p_of
from typer.testing import CliRunner

from smlmbench.camera import Camera
from smlmbench.camera.information import fisher_weights
from smlmbench.camera.presets import PRESETS
from smlmbench.cli import app
from smlmbench.errors import ConfigError, SizeError
from smlmbench.run.using.predicting import read_camera
from smlmbench.study.load import load_study

N = 100_000
FLAT = {"read_noise_e": 1.6, "e_per_adu": 0.46, "baseline_adu": 100}


def drawn(camera, mean, n=N):
    return camera.expose(torch.full((n,), mean), torch.Generator().manual_seed(1)).numpy().astype(float)


@pytest.mark.parametrize("light", [0.0, 5.0, 200.0])
def test_the_challenge_chain_in_closed_form(light):
    camera = read_camera("challenge-2016-emccd")
    adu = drawn(camera, 0.9 * light)  # photons here are those after the quantum efficiency
    electrons = 0.9 * light + 0.002
    mean = 300 * electrons / 45 + 100 - 0.5
    variance = (2 * 300**2 * electrons + 74.4**2) / 45**2 + 1 / 12
    assert adu.mean() == pytest.approx(mean, abs=4.5 * np.sqrt(variance / N))
    assert adu.var() == pytest.approx(variance, rel=0.04)
    photons = camera.to_photons(adu)
    assert photons.mean() == pytest.approx(0.9 * light, abs=4.5 * np.sqrt(variance / N) * 45 / 300)
    assert (camera.to_adu(photons) == adu).all()


@pytest.mark.parametrize("light", [1.0, 30.0])
def test_the_challenge_chain_written_down_has_the_same_distribution(light):
    rng, n = np.random.default_rng(2), 30_000
    electrons = rng.poisson(0.9 * light + 0.002, n)
    charge = rng.gamma(np.maximum(electrons, 1e-9), 300) * (electrons > 0)
    theirs = np.floor((charge + rng.normal(0, 74.4, n)) / 45) + 100
    camera = read_camera("challenge-2016-emccd")
    assert stats.ks_2samp(theirs, drawn(camera, 0.9 * light, n)).pvalue > PASSES
    nearest = camera.model_copy(update={"rounding": "nearest"})
    assert stats.ks_2samp(theirs, drawn(nearest, 0.9 * light, n)).pvalue < (FAILS if light == 1 else 0.05)


def test_steps_that_are_cut_off_have_their_exact_distribution():
    camera = Camera(kind="scmos", rounding="floor", **FLAT)
    adu, exact = drawn(camera, 4.0, 20_000), adu_below(camera, 4.0)
    assert p_of(adu, lambda values: exact(values + 0.5)) > PASSES
    assert p_of(adu, exact) < FAILS


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"kind": "ideal", "rounding": "floor"}, "rounding has no part in kind: ideal"),
        (
            {"kind": "scmos", "rounding": "floor", "e_per_adu": 2, "read_noise_e": 0.9},
            "0.9 is below 1",
        ),
        ({"kind": "emccd", "em_gain": 300, "rounding": "floor"}, "takes half a step only where read_noise_e"),
        ({"kind": "scmos", "jpeg_quality": 50}, "jpeg_quality 50 has no part in kind: scmos; give kind: phone"),
        ({"kind": "phone"}, "give jpeg_quality"),
        ({"kind": "phone", "jpeg_quality": 90, "max_adu": 256}, "max_adu up to 255"),
        ({"kind": "phone", "jpeg_quality": 90, "em_gain": 3}, "em_gain 3 has no part in kind: phone"),
    ],
)
def test_what_cannot_be_meant_is_refused(given, words):
    with pytest.raises(ConfigError, match=words):
        read_camera(given)


PHONE = {"kind": "phone", "baseline_adu": 8, "e_per_adu": 4, "read_noise_e": 3}


def test_a_phone_compresses_each_frame_by_itself():
    light = torch.full((5, 37, 50), 100.0)
    light[:, 10:14, 20:25] = 700
    fine, coarse = (Camera.model_validate({**PHONE, "jpeg_quality": quality}) for quality in (100, 20))
    raw, adu = (camera.expose(light, torch.Generator().manual_seed(1)) for camera in (fine, coarse))
    assert adu.dtype == raw.dtype
    assert (adu.min() >= 0, adu.max() <= 255) == (True, True)
    assert (raw - adu).abs().mean() > 1
    assert adu[:, :8, :8].std() < raw[:, :8, :8].std() / 2  # noise is what goes first
    assert fine.photons_of(raw).mean() == pytest.approx(light.mean(), abs=1)
    one = coarse.expose(light[:1], torch.Generator().manual_seed(1))
    assert one.shape == (1, 37, 50)
    assert (fine.max_adu, fine.inverse_exact, Camera().inverse_exact) == (255, False, True)
    assert fine.noise.added == pytest.approx(9 + 16 / 12)
    bare = Camera(kind="scmos", read_noise_e=float(np.sqrt(9 + 16 / 12)))
    assert fisher_weights(fine, np.array([2.0])) == pytest.approx(fisher_weights(bare, np.array([2.0])))


def test_a_phone_without_noise_of_compression_is_the_plain_chain():
    camera = Camera.model_validate({**PHONE, "jpeg_quality": 100})
    light = torch.full((400, 16, 16), 200.0)
    adu = camera.expose(light, torch.Generator().manual_seed(3)).numpy()
    assert adu.mean() == pytest.approx(58, abs=0.1)
    assert adu.var() == pytest.approx((200 + 9) / 16 + 1 / 12, rel=0.03)


def test_a_phone_needs_frames():
    with pytest.raises(SizeError, match="cannot be compressed"):
        drawn(Camera.model_validate({**PHONE, "jpeg_quality": 90}), 3.0)


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if not preset.unknown])
def test_a_name_is_a_camera(name):
    camera = read_camera(name)
    assert camera == read_camera(dict(PRESETS[name].facts)) == Camera.model_validate(name)
    assert "preset" not in camera.model_dump()


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.unknown])
def test_a_number_that_no_source_states_is_not_invented(name):
    key = next(iter(PRESETS[name].unknown))
    with pytest.raises(ConfigError, match=f"camera {name} does not state {key} .*write {{preset: {name}, {key}: ..."):
        read_camera(name)


def test_own_numbers_count_more():
    camera = read_camera("{preset: challenge-2016-emccd, em_gain: 200}")
    assert (camera.em_gain, camera.read_noise_e, camera.rounding) == (200, 74.4, "floor")
    camera = read_camera({"preset": "hamamatsu-orca-flash4-v2", "read_noise_e": 1.9})
    assert (camera.kind, camera.e_per_adu, camera.read_noise_e) == ("scmos", 0.46, 1.9)


def test_a_map_stands_for_a_number_of_a_preset(tmp_path):
    np.save(tmp_path / "v.npy", np.full((4, 5), 9.0))
    camera = read_camera({"preset": "hamamatsu-orca-flash4-v2", "maps": {"variance_adu2": str(tmp_path / "v.npy")}})
    assert camera.noise_map((4, 5)) == pytest.approx(np.full((4, 5), 9 * 0.46**2))


@pytest.mark.parametrize("given", ["challenge-2016-emcd", {"preset": "challenge-2016-emcd"}])
def test_a_near_name_is_suggested(given):
    with pytest.raises(ConfigError, match="no camera is called .* did you mean 'challenge-2016-emccd'"):
        read_camera(given)


def test_a_study_takes_a_name(tmp_path):
    def loaded(camera):
        return load_study(
            write_study(tmp_path, data=[{"name": "m", "train": write_movie(tmp_path) | {"camera": camera}}])
        )

    assert loaded("decode-example").study.data[0].train.camera.em_gain == 300
    (tmp_path / "own.yaml").write_text("camera: {preset: decode-example, em_gain: 150}")
    assert loaded("own.yaml").study.data[0].train.camera.em_gain == 150
    assert loaded("uncalibrated").study.data[0].train.camera == "uncalibrated"
    with pytest.raises(ConfigError, match=r"data\[0\].train.camera: no camera is called 'decode-exampel': did you"):
        loaded("decode-exampel")
    with pytest.raises(ConfigError, match=r"train.camera: camera andor-ixon-897 does not state baseline_adu"):
        loaded("andor-ixon-897")


def test_cameras_are_listed():
    table = CliRunner().invoke(app, ["list", "cameras", "--json"])
    assert set(json.loads(table.stdout)) == set(PRESETS)
    assert all(one["source"] for one in json.loads(table.stdout).values())
    one = CliRunner().invoke(app, ["list", "cameras", "andor-ixon-897"])
    assert "em_gain" in one.stdout
    assert CliRunner().invoke(app, ["list", "cameras", "andor"]).exit_code == 2
