"""Simulated crops: numbered samples, laws, bounds that agree with those of frames, and what is refused."""

import numpy as np
import pytest
import torch

from smlmbench import psf
from smlmbench.camera import Camera
from smlmbench.camera.information import fisher_weights
from smlmbench.data.contracts import Asked, Scope
from smlmbench.errors import ConfigError
from smlmbench.limit.crops import Crops, bounds_of
from smlmbench.limit.inverse import inverses
from smlmbench.limit.scene import Scene
from smlmbench.psf.contracts import Canvas, Spots, Stand, Window
from smlmbench.registry import Catalog
from smlmbench.study.sources import PluginSource
from smlmbench.truths.parameter_table import ParameterTable, unit_of, wrapped

CATALOG = Catalog()
LENS = {"focus_nm": 250.0, "range_nm": 700.0}
SCMOS = Camera(kind="scmos", baseline_adu=100, e_per_adu=0.5, read_noise_e=1.6)


def described(lens: str = "astigmatic", optics: dict | None = None, camera: Camera | None = None, **settings):
    card = CATALOG.card("data", "psf_crops")
    filled = CATALOG.card("psf", lens).fill("psf", LENS if optics is None else optics)
    return PluginSource(
        kind="psf_crops",
        settings=card.fill("psf_crops", settings),
        facts=card.facts,
        pixel_size_nm=100.0,
        psf={"name": lens, **filled},
        camera=camera or Camera(),
    )


def drawn(description, role: str = "test", seed: int = 1):
    return CATALOG.module("data", "psf_crops").condition("t", description, {"a": 1}, Asked(role, seed), CATALOG)


def stream(description, repeat: int = 0):
    return CATALOG.module("data", "psf_crops").training_set(description, {"a": 1}, Scope(1, repeat), CATALOG)


def test_samples_depend_on_their_number_alone():
    crops = stream(described(field_px=9))
    whole, part = crops.batch(500, 30), stream(described(field_px=9)).batch(510, 5)
    assert torch.equal(whole.inputs[10:15], part.inputs)
    assert np.array_equal(whole.truth.values["z_nm"][10:15], part.truth.values["z_nm"])
    assert not torch.equal(stream(described(field_px=9), repeat=1).batch(510, 5).inputs, part.inputs)
    assert whole.inputs.shape == (30, 1, 9, 9)


def test_frozen_sets_follow_their_laws_and_share_nothing():
    law = {"photons": {"min": 500, "max": 900}, "z_nm": {"min": -200, "max": 100}, "shift_px": 0.5, "frames": 600}
    test, val = drawn(described(**law)), drawn(described(**law), "val")
    values = test.truth.values
    assert list(values) == ["x_nm", "y_nm", "z_nm", "photons", "background_photons"]
    for name, low, high in (("z_nm", -200, 100), ("photons", 500, 900), ("x_nm", 750, 850), ("y_nm", 750, 850)):
        assert low <= values[name].min() < low + 0.02 * (high - low)
        assert high >= values[name].max() > high - 0.02 * (high - low)
    assert np.array_equal(drawn(described(**law)).frames.values, test.frames.values)
    assert not np.array_equal(val.truth.values["x_nm"], values["x_nm"])
    assert val.digest != test.digest
    # the light of the crop is that of its truth
    light = (test.frames.values - 10).sum(axis=(1, 2))
    assert abs(float(np.mean(light - values["photons"]))) < 5 * np.sqrt((values["photons"].mean() + 2560) / 600) + 8


def test_the_bound_of_a_crop_is_that_of_a_frame_with_one_emitter():
    optics = psf.build({"name": "astigmatic", **LENS}, CATALOG)
    place = torch.tensor([[780.0, 830.0, 150.0], [900.0, 700.0, -420.0]], dtype=torch.float64).T
    photons, level = torch.tensor([1500.0, 4000.0]).double(), torch.tensor([10.0, 3.0]).double()
    _, found = bounds_of(optics, SCMOS, Crops(Stand(*place), {}, photons, level, Window(16, 100.0)))

    def weigh(mean):
        return torch.from_numpy(fisher_weights(SCMOS, mean.numpy()))

    spots = Spots(torch.tensor([0, 1]), *place, photons)
    (inverse,) = inverses(Scene(spots, {}, Canvas(2, 16, 16, 100.0), level, optics, weigh, deep=True))
    wanted = inverse.own.diagonal(dim1=1, dim2=2).sqrt()
    for k, name in enumerate(("x_nm", "y_nm", "z_nm", "photons")):
        assert torch.allclose(found[name], wanted[:, k], rtol=1e-4), name
    assert torch.allclose(found["background_photons"], inverse.background.sqrt(), rtol=1e-4)


def test_a_shape_that_varies_is_unknown_too():
    varied = drawn(described("gaussian", {"sigma_nm": {"min": 120, "max": 160}}, frames=40, photons=1000.0))
    plain = drawn(described("gaussian", {"sigma_nm": 140}, frames=40, photons=1000.0))
    assert list(varied.truth.values) == ["x_nm", "y_nm", "photons", "background_photons", "sigma_nm"]
    assert list(plain.truth.values) == ["x_nm", "y_nm", "photons", "background_photons"]
    # photons are harder to tell where the width is not known
    assert varied.truth.bounds["photons"].mean() > 1.05 * plain.truth.bounds["photons"].mean()
    assert 1 < varied.truth.bounds["sigma_nm"].mean() < 20


def test_what_is_not_asked_stands_beside():
    truth = drawn(described(parameters="y_nm, x_nm", frames=10)).truth
    assert list(truth.values) == ["x_nm", "y_nm"]
    assert {"z_nm", "photons"} <= set(truth.beside)
    part = truth.part(2, 5)
    assert len(part) == 3
    assert np.array_equal(part.beside["z_nm"], truth.beside["z_nm"][2:5])
    assert np.array_equal(part.bounds["x_nm"], truth.bounds["x_nm"][2:5])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"parameters": "z"}, "accepted: background_photons"),
        ({"parameters": ""}, "nothing is asked"),
        ({"z_nm": {"min": -900, "max": 0}}, "leaves the depths of the PSF"),
        ({"z_nm": 800.0}, "leaves the depths of the PSF"),
    ],
)
def test_what_cannot_be_drawn_is_refused(given, said):
    with pytest.raises(ConfigError, match=said):
        drawn(described(frames=4, **given))


def test_a_flat_psf_has_no_depth():
    with pytest.raises(ConfigError, match="z_nm has no part"):
        drawn(described("gaussian", {}, z_nm=0.0))


def test_units_and_circles():
    names = ("x_nm", "photons", "background_photons", "polar_deg", "zernike_6_mlambda", "kind")
    assert [unit_of(name) for name in names] == ["nm", "photons", "photons", "deg", "mλ", ""]
    turned = wrapped(np.array([359.0, -359.0, 181.0, 10.0]), 360.0)
    assert np.allclose(turned, [-1, 1, -179, 10])
    assert wrapped(np.array([359.0]), None)[0] == 359
    bare = ParameterTable.of(("x_nm",), {"x_nm": np.zeros(3), "z_nm": np.ones(3)})
    assert np.isnan(bare.bounds["x_nm"]).all()
    assert list(bare.beside) == ["z_nm"]
