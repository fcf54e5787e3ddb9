"""What a movie says of its spots, against simulated movies whose truth is known."""

import numpy as np
import pytest

from smlmbench import psf
from smlmbench.calibrate.molecules.spots import measure_spots
from smlmbench.camera import Noise
from smlmbench.data.contracts import ArrayFrames
from smlmbench.registry import Catalog
from smlmbench.simulate import Movie
from smlmbench.study.sources import SimulateSource

CATALOG = Catalog()
CAMERAS = {
    "scmos": {"kind": "scmos", "read_noise_e": 1.6, "baseline_adu": 100, "e_per_adu": 0.5},
    "emccd": {"kind": "emccd", "em_gain": 100, "read_noise_e": 20, "baseline_adu": 200, "e_per_adu": 5},
}


def movie(frames=100, seed=1, camera="scmos", sigma_nm=130.0, **described):
    """Frames in photons, the camera's noise, emitters per frame and um2, and their photons."""
    optics = {"name": "gaussian", "sigma_nm": sigma_nm}
    given = {"field_px": 64, "density_per_um2": 0.1, "background_photons": 50.0, **described}
    source = SimulateSource(psf=optics, camera=CAMERAS[camera], **given)
    drawn = Movie(source, psf.build(optics, CATALOG), (0, frames), seed, catalog=CATALOG)
    pixels, truth = drawn.block(0, frames, seed)
    density = len(truth.frame) / frames / source.area_um2
    return ArrayFrames(pixels.numpy()), source.camera.noise, density, truth.photons.numpy()


@pytest.mark.parametrize(
    "described",
    [
        {"photons": {"min": 300, "max": 5000}},
        {"photons": {"min": 300, "max": 5000}, "density_per_um2": 1.0},
        {"photons": 1000.0, "background_photons": 250.0, "camera": "emccd", "density_per_um2": 0.3},
        {"photons": 1000.0, "sigma_nm": 100.0, "pixel_size_nm": 160.0, "frames": 40, "density_per_um2": 0.2},
    ],
    ids=["usual", "dense", "emccd", "narrow"],
)
def test_width_photons_and_density_are_those_of_the_simulation(described):
    frames, noise, density, photons = movie(**described)
    found = measure_spots(frames, described.get("pixel_size_nm", 100.0), noise)
    assert found.sigma_nm.value == pytest.approx(described.get("sigma_nm", 130.0), rel=0.03)
    assert found.photons.value == pytest.approx(np.median(photons), rel=0.1)
    assert found.density_per_um2.value == pytest.approx(density, rel=0.1)


def test_an_empty_movie_says_that_nothing_is_there():
    draws = np.random.default_rng(1)
    found = measure_spots(ArrayFrames(draws.poisson(20.0, (30, 32, 32)).astype(np.float32)), 100.0, Noise())
    for number in (found.sigma_nm, found.photons, found.density_per_um2):
        assert not number.known
        assert "30 frames" in number.why
