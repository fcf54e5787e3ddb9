"""Drawn numbers against the exact distributions, by Kolmogorov-Smirnov; counts by the randomised probability transform.

A count k becomes F(k - 1) + u (F(k) - F(k - 1)) with u uniform, which is uniform if F is its distribution.
"""

import math

import numpy as np
import pytest
import torch
from scipy import special, stats

from smlmbench import psf
from smlmbench.camera import Camera
from smlmbench.psf.draws import drawn
from smlmbench.registry import Catalog
from smlmbench.simulate import draw
from smlmbench.study.sources import SimulateSource

N = 20_000
PASSES, FAILS = 1e-3, 1e-6
LIMITS = np.arange(110)  # of photo-electrons that can come
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(80)


def p_of(values, below):
    """p that `values` come from `below`, the probability of a count at most (k,) -> (k,)."""
    counts, where = np.unique(values, return_inverse=True)
    low, high = below(counts - 1)[where], below(counts)[where]
    unit = np.random.default_rng(3).random(len(values))
    return stats.kstest(low + unit * (high - low), "uniform").pvalue


def adu_below(camera, mean):
    """Probability that a pixel of a mean in photo-electrons has at most a value in ADU."""
    chances = stats.poisson.pmf(LIMITS, mean + camera.spurious_e)

    def below(adu):
        electrons = (adu - camera.baseline_adu + 0.5) * camera.e_per_adu
        if camera.kind == "ideal":
            return stats.poisson.cdf(np.floor(electrons), mean + camera.spurious_e)
        sigma = max(camera.read_noise_e, 1e-9)
        if camera.kind == "scmos":
            return stats.norm.cdf((electrons[:, None] - LIMITS) / sigma) @ chances
        left = (electrons[:, None] - sigma * NODES).clip(0) / camera.em_gain
        register = special.gammainc(LIMITS[1:, None, None], left[None]) * chances[1:, None, None]
        answered = register.sum(0) @ (WEIGHTS / math.sqrt(2 * math.pi))
        return chances[0] * stats.norm.cdf(electrons / sigma) + answered

    return below


CAMERAS = {
    "ideal": Camera(),
    "ideal with spurious": Camera(spurious_e=0.5),
    "scmos": Camera(kind="scmos", baseline_adu=100, e_per_adu=0.46, read_noise_e=1.6),
    "emccd": Camera(kind="emccd", baseline_adu=100, e_per_adu=45, em_gain=300, read_noise_e=74.4, spurious_e=0.002),
    "emccd of small gain": Camera(kind="emccd", baseline_adu=200, e_per_adu=5, em_gain=20, read_noise_e=20),
}


@pytest.mark.parametrize("mean", [3.0, 40.0])
@pytest.mark.parametrize("name", CAMERAS)
def test_a_camera_draws_its_exact_distribution(name, mean):
    camera = CAMERAS[name]
    adu = camera.expose(torch.full((N,), mean), torch.Generator().manual_seed(1)).numpy().astype(float)
    assert p_of(adu, adu_below(camera, mean)) > PASSES
    assert p_of(adu, adu_below(camera, 1.05 * mean)) < FAILS


@pytest.mark.parametrize("read_noise_e", [1.4, 1.8])
def test_read_noise_of_another_size_is_noticed(read_noise_e):
    camera = CAMERAS["scmos"]
    adu = camera.expose(torch.full((N,), 1.0), torch.Generator().manual_seed(1)).numpy().astype(float)
    other = camera.model_copy(update={"read_noise_e": read_noise_e})
    assert p_of(adu, adu_below(other, 1.0)) < FAILS


@pytest.mark.parametrize(
    ("law", "exact"),
    [("uniform", stats.uniform(200, 800)), ("log_uniform", stats.loguniform(200, 1000))],
)
def test_a_range_is_drawn_by_its_law(law, exact):
    values = drawn({"min": 200, "max": 1000, "law": law}, N, torch.Generator().manual_seed(2)).numpy()
    assert stats.kstest(values, exact.cdf).pvalue > PASSES
    assert stats.kstest(values, stats.uniform(190, 830).cdf).pvalue < FAILS


def test_emitters_come_in_poisson_numbers_at_uniform_places():
    source = SimulateSource.model_validate(
        {"field_px": 16, "pixel_size_nm": 100, "density_per_um2": 2.0, "structure": {"name": "uniform"}}
    )
    count = 4000
    _, emitters = draw(source, psf.build(source.psf, Catalog()), seed=5, count=count)
    numbers = np.bincount(emitters.frame.numpy(), minlength=count)
    mean = 2.0 * 1.6**2
    assert p_of(numbers, stats.poisson(mean).cdf) > PASSES
    assert p_of(numbers, stats.poisson(1.1 * mean).cdf) < FAILS
    for places in (emitters.x_nm, emitters.y_nm):
        assert stats.kstest(places.numpy(), stats.uniform(0, 1600).cdf).pvalue > PASSES
