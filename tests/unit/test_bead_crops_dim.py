"""Crops of a bead made as dim as a molecule: their light, their background, their bounds, what is refused."""

import numpy as np
import pytest
import tifffile
import torch
from scipy.special import ndtr

from smlmbench import psf
from smlmbench.camera import Camera
from smlmbench.data import bead_crops
from smlmbench.data.contracts import Asked
from smlmbench.data.cropped import bounded
from smlmbench.errors import ConfigError
from smlmbench.registry import Catalog
from smlmbench.study.sources import PluginSource

PHOTONS, SIDE = 20_000.0, 31
LENS = {"sigma_x_nm": 140.0, "sigma_y_nm": 140.0, "range_nm": 900.0}


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    at = np.arange(SIDE) - 15.0
    spot = np.exp(-(at**2 + at[:, None] ** 2) / (2 * 1.4**2))
    planes = np.random.default_rng(0).poisson(PHOTONS * spot / spot.sum(), (9, SIDE, SIDE))
    path = tmp_path_factory.mktemp("bead") / "stack.tif"
    tifffile.imwrite(path, planes.astype(np.uint16))
    return path


def lens(kind="psf_crops", **more):
    filled = Catalog().card("psf", "astigmatic").fill("psf", LENS)
    optics = {"name": "astigmatic", **filled}
    return PluginSource(
        kind=kind, pixel_size_nm=100.0, psf=optics, camera=Camera(), **{"settings": {}, "facts": {}, **more}
    )


def crops(stack, camera="ideal", **chosen):
    catalog = Catalog()
    card = catalog.card("data", "bead_crops")
    settings = card.fill("bead_crops", {"z_step_nm": 100.0, "field_px": 15, "shift_px": 0, **chosen})
    source = lens(kind="bead_crops", settings={**settings, "stack": str(stack)}, facts=card.facts)
    if camera != "ideal":
        source = source.model_copy(update={"camera": camera})
    return bead_crops.condition("bead", source, {"chosen": str(chosen)}, Asked("test", 1), catalog)


def test_light_is_thinned_and_stays_poisson_beside_the_background_that_is_added(stack):
    dim = crops(stack, photons=500.0, background_photons=3.0, crops_per_frame=80)
    pixels = dim.frames.read(0, dim.frames.n_frames)
    assert pixels.shape == (720, 15, 15)
    assert pixels.sum(axis=(1, 2)).mean() == pytest.approx(500 + 3 * 15**2, rel=0.01)
    rim = pixels[:, 0]
    assert (float(rim.mean()), float(rim.var())) == (pytest.approx(3.0, rel=0.03), pytest.approx(3.0, rel=0.08))
    middle = pixels[:80, 7, 7]  # of one plane
    assert float(middle.var()) == pytest.approx(float(middle.mean()), rel=0.5)
    beside = dim.truth.beside
    assert beside["photons"] == pytest.approx(np.full(720, 500.0))
    assert beside["background_photons"] == pytest.approx(np.full(720, 3.0))


def test_crops_of_one_frame_follow_each_other_and_belong_together(stack):
    dim = crops(stack, photons=500.0, crops_per_frame=4, z_range_nm=150.0)
    assert dim.block == 4
    assert dim.truth.values["z_nm"].tolist() == [-100.0] * 4 + [0.0] * 4 + [100.0] * 4


def test_a_dimmer_bead_has_larger_bounds_as_its_light_says(stack):
    bright, dim = crops(stack), crops(stack, photons=200.0)
    ratio = dim.truth.bounds["z_nm"] / bright.truth.bounds["z_nm"]
    assert ratio == pytest.approx(np.full(9, (PHOTONS / 200) ** 0.5), rel=0.02)
    assert bright.truth.beside["photons"] == pytest.approx(np.full(9, PHOTONS), rel=0.03)


def test_photons_within_a_crop_stand_for_all_that_an_emitter_has():
    catalog, known = Catalog(), {"x_nm": 250.0, "y_nm": 250.0, "z_nm": 0.0, "photons": 500.0, "background_photons": 0.0}
    known = {name: np.array([value]) for name, value in known.items()}
    whole, within = (bounded(known, ("z_nm",), lens(), 5, catalog, within=each)[0].bounds for each in (False, True))
    widths = psf.build(lens().psf, catalog).widths(torch.zeros(1, dtype=torch.float64))
    share = np.prod([2 * ndtr(250 / float(width)) - 1 for width in widths])
    assert within["z_nm"] == pytest.approx(whole["z_nm"] * share**0.5, rel=1e-3)
    assert share < 0.9


def test_bright_crops_stay_as_they_are(stack):
    with tifffile.TiffFile(stack) as file:
        planes = file.asarray()
    assert np.array_equal(crops(stack).frames.read(0, 9), planes[:, 8:23, 8:23])


def test_more_light_than_there_is_and_counts_are_refused(stack):
    with pytest.raises(ConfigError, match=r"the dimmest crop has 19\d\d\d, less than 50000"):
        crops(stack, photons=50_000.0)
    with pytest.raises(ConfigError, match="are photo-electrons; give the camera"):
        crops(stack, camera="uncalibrated", photons=100.0)
