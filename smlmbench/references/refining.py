"""Spots of dense frames fitted together on a given background, and those given up that noise or neighbours explain."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree

from smlmbench.camera import Noise
from smlmbench.limit.attained import Prior, attained
from smlmbench.limit.scene import Known, Scene
from smlmbench.predictions import Floats, Ints
from smlmbench.psf.contracts import Canvas, Spots
from smlmbench.psf.gaussian import Gaussian

ROUNDS, AGAIN = 20, 4  # steps of a fit, and fits after which spots are given up
NEAR = 2.5  # in sigma: of so close ones only the weakest is given up at a time
DARKEST = 0.05  # photo-electrons, read noise counted
SPIKE, NOISE = 0.7, 4.0  # of the fit's peak; a hot pixel reaches 4, neighbours that are not resolved 0.3
Some = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Dense:
    """Frames (n, h, w) in photo-electrons with their background; `added` is the variance of read noise (h, w)."""

    pixels: torch.Tensor
    background: torch.Tensor
    added: torch.Tensor
    noise: Noise
    sigma_px: float


@dataclass(frozen=True, slots=True)
class Refined:
    """Spots by frame, (n,): places in pixels with standard errors, photons and these over their error, background.

    `spike` is how much brighter than the fit the brightest pixel around the middle is, over the fit's own peak; 0 where
    that is noise.
    """

    frame: Ints
    x_px: Floats
    y_px: Floats
    photons: Floats
    light: Floats
    sigma_x_px: Floats
    sigma_y_px: Floats
    background: Floats
    spike: Floats


def refine(dense: Dense, start: Spots, alone: float, beside: float) -> Refined:
    """Fit spots (in pixels, sorted by frame) until all stand out of the noise.

    Photons are `alone` times their error at least, where other spots are near (2.5 sigma) `beside` times: noise has
    many places to look like a spot alone, and few to look like a second one.
    """
    spots, found = start, None
    for _ in range(AGAIN + 1):
        found = _fit(dense, spots)
        weak, weakest = _weak(found, (alone, beside), NEAR * dense.sigma_px)
        if not weak.any():
            break
        weak = weakest
        kept = torch.from_numpy(np.flatnonzero(~weak))
        columns = (torch.from_numpy(one) for one in (found.x_px, found.y_px, 0 * found.x_px, found.photons))
        spots = Spots(spots.sample[kept], *(column[kept] for column in columns))
    assert found is not None  # noqa: S101 (there is a first fit)
    return _selected(found, ~_weak(found, (alone, beside), NEAR * dense.sigma_px)[0] & (found.spike < SPIKE))


def _selected(found: Refined, rows: Some) -> Refined:
    return Refined(*(getattr(found, name)[rows] for name in Refined.__slots__))


def _weak(found: Refined, needed: tuple[float, float], near_px: float) -> tuple[Some, Some]:
    """Spots that do not stand out as much as is needed, and those of them that are the weakest around."""
    places = np.column_stack([found.x_px, found.y_px, found.frame * 1e6])
    pairs = KDTree(places).query_pairs(near_px, output_type="ndarray") if len(places) else np.empty((0, 2), np.int64)
    beside = np.zeros(len(places), dtype=bool)
    beside[pairs.reshape(-1)] = True
    weak = found.light < np.where(beside, needed[1], needed[0])
    weakest, stronger = weak.copy(), found.light[pairs[:, 0]] > found.light[pairs[:, 1]]
    weakest[np.where(stronger, pairs[:, 0], pairs[:, 1])] = False
    return weak, weakest


def _fit(dense: Dense, spots: Spots) -> Refined:
    n_frames, height, width = dense.pixels.shape
    optics, shift = Gaussian(dense.sigma_px), dense.added / dense.noise.excess
    level = dense.background.double().mean(dim=(1, 2))
    uneven = dense.background.double() - level[:, None, None]

    def weigh(mean: torch.Tensor) -> torch.Tensor:
        return 1 / (dense.noise.excess * (mean + shift).clamp_min(DARKEST))

    def tell(readings: torch.Tensor, mean: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen, more = readings[:, :1], readings[:, 1:]
        counts, expected = (seen + shift).clamp_min(0), (mean + more + shift).clamp_min(DARKEST)
        return (counts * expected.log() - expected) / dense.noise.excess, (counts / expected - 1) / dense.noise.excess

    shapes = optics.shapes(len(spots), torch.Generator())
    scene = Scene(spots, shapes, Canvas(n_frames, height, width, 1.0), level, optics, weigh)
    readings = torch.stack([dense.pixels.double(), uneven], dim=1)
    done = attained(scene, readings, tell, Prior(Known()), ROUNDS)
    at, errors = done.scene.spots, done.covariance.diagonal(dim1=1, dim2=2).clamp_min(1e-12).sqrt()
    line, column = (place.floor().long().clamp(0, side - 1) for place, side in ((at.y_nm, height), (at.x_nm, width)))
    background = done.scene.background[at.sample] + uneven[at.sample, line, column]
    spike = _spikes(dense, done.mean[:, 0] + uneven, (at, line, column))
    light = at.photons / errors[:, 2]
    columns = (at.sample, at.x_nm, at.y_nm, at.photons, light, errors[:, 0], errors[:, 1], background, spike)
    return Refined(*(one.numpy() for one in columns))


def _spikes(dense: Dense, mean: torch.Tensor, where: tuple[Spots, torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """`Refined.spike` of spots whose middle pixels are given."""
    (at, line, column), (height, width) = where, mean.shape[1:]
    steps = torch.arange(-1, 2)
    lines = (line[:, None] + steps).clamp(0, height - 1)[:, :, None]
    columns = (column[:, None] + steps).clamp(0, width - 1)[:, None, :]
    frame = at.sample[:, None, None]
    more = (dense.pixels.double() - mean)[frame, lines, columns]
    spread = (dense.noise.excess * mean[frame, lines, columns].clamp_min(DARKEST) + dense.added[lines, columns]).sqrt()
    more = torch.where(more > NOISE * spread, more, 0.0).amax(dim=(1, 2))
    return more / (at.photons / (2 * math.pi * dense.sigma_px**2)).clamp_min(DARKEST)
