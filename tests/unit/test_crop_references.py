"""Fitters of crops: they attain the bound where they know the PSF, and say what they do not tell."""

import numpy as np
import pytest

from smlmbench.camera import Camera
from smlmbench.data.contracts import ArrayFrames, Asked, Condition
from smlmbench.errors import ConfigError
from smlmbench.registry import Catalog
from smlmbench.study.schema import Scoring
from smlmbench.study.sources import PluginSource
from smlmbench.tasks import load

CATALOG = Catalog()
SCMOS = Camera(kind="scmos", baseline_adu=100, e_per_adu=0.5, read_noise_e=2.0)


def crops(lens: str, optics: dict, frames: int = 300, side: int = 16, z=None, camera: Camera = SCMOS) -> Condition:
    card = CATALOG.card("data", "psf_crops")
    settings = {"frames": frames, "field_px": side, "photons": {"min": 1500, "max": 5000}, "z_nm": z}
    description = PluginSource(
        kind="psf_crops",
        settings=card.fill("psf_crops", settings),
        facts=card.facts,
        pixel_size_nm=100.0,
        psf={"name": lens, **CATALOG.card("psf", lens).fill("psf", optics)},
        camera=camera,
    )
    return CATALOG.module("data", "psf_crops").condition("t", description, {}, Asked("test", 4), CATALOG)


def said(name: str, condition: Condition, **settings):
    card = CATALOG.card("references", name)
    return CATALOG.module("references", name).predict(condition, card.fill(name, settings), {}, 1)


def scored(name: str, condition: Condition, **settings):
    return load("psf_regression", CATALOG).score(said(name, condition, **settings), condition, Scoring())


@pytest.fixture(scope="module")
def lens():
    return crops("astigmatic", {"focus_nm": 250.0, "range_nm": 600.0}, z={"min": -450, "max": 450})


@pytest.mark.parametrize("name", ["crop_mle", "crop_spline"])
def test_a_fit_of_the_known_psf_attains_the_bound(lens, name):
    values = scored(name, lens).values
    for what in ("x", "y", "z", "photons", "background"):
        assert 0.85 < values[f"ratio_{what}"] < 1.2, what
        assert abs(values[f"bias_{what}"]) < 3.5 * values[f"crlb_{what}"] / np.sqrt(300), what
    # what it claims of itself is what the bound says
    claimed = said(name, lens).sigmas["z_nm"]
    assert np.median(claimed / lens.truth.bounds["z_nm"]) == pytest.approx(1, abs=0.05)


def test_phasors_are_rougher_and_see_more_than_nothing(lens):
    phasor, middle, fit = (scored(name, lens).values for name in ("phasor", "crop_middle", "crop_mle"))
    assert fit["crlb_ratio"] < phasor["crlb_ratio"] < middle["crlb_ratio"]
    for what in ("ratio_x", "ratio_y", "ratio_z"):
        assert phasor[what] < 0.5 * middle[what], what
    flat = Condition("f", ArrayFrames(np.ones((3, 16, 16), dtype=np.float32)), None, told=lens.told)
    assert np.isfinite(said("phasor", flat).values["x_nm"]).all()


def test_a_round_psf_tells_no_depth():
    flat = crops("gaussian", {"sigma_nm": 130.0}, 100, 9)
    for name in ("crop_mle", "phasor"):
        found = said(name, flat)
        assert set(found.values) == {"x_nm", "y_nm", "photons", "background_photons"}, name
    assert 0.8 < scored("crop_mle", flat).values["crlb_ratio"] < 1.2
    with pytest.raises(ConfigError, match="state one with depth"):
        said("crop_spline", flat)
    deep = crops("scalar_pupil", {"reach_nm": 1500.0, "z_min_nm": -200.0, "z_max_nm": 200.0}, 12, 16)
    scores = scored("crop_mle", deep)
    assert "z_nm" in scores.reasons["crlb_ratio"]
    assert "ratio_x" in scores.values
    assert "z_nm" not in said("phasor", deep).values  # a round PSF is as wide along x as along y


def test_fits_refuse_what_they_cannot_fit(lens):
    counts = Condition("c", lens.frames, None, told={"pixel_size_nm": 100.0, "psf_sigma_nm": 130.0})
    with pytest.raises(ConfigError, match="state the camera of c"):
        said("crop_mle", counts)
    planes = np.repeat(lens.frames.values[:4, None], 2, axis=1)
    with pytest.raises(ConfigError, match="take one detector"):
        said("crop_mle", Condition("p", ArrayFrames(planes), None, told=lens.told))


def test_the_truth_is_given_back(lens):
    found = said("true_parameters", lens).values
    assert all(np.array_equal(found[name], column) for name, column in lens.truth.values.items())
    bare = Condition("b", lens.frames, None, told=lens.told)
    assert said("true_parameters", bare).values == {}
