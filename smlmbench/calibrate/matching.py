"""The simple scene in which a detector sees what it sees in a movie (indirect inference).

Maxima merge, dim emitters hide, noise widens what is measured. None of that is corrected by formula: scenes are drawn,
shown to the same detector, and changed until it sees as many maxima, as bright, as wide and on the same level.
Source of the method: Gourieroux, Monfort and Renault 1993, doi:10.1002/jae.3950080507.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.calibrate.seen import Detector, Seen, look
from smlmbench.camera import Noise
from smlmbench.predictions import Floats
from smlmbench.psf.contracts import Canvas, Spots
from smlmbench.psf.gaussian import Gaussian

ROUNDS, COARSE, KEPT = 7, 3, 3  # scenes that are drawn, the first of them, and the last whose answers are averaged
SHARES = np.array([0, 0.05, 0.15, 0.25, 0.375, 0.5, 0.625, 0.75, 0.85, 0.95, 1])
DAMPING = 0.7
MARGIN = 4.0  # in sigma: emitters around the field whose light falls on it
FEW_WIDTHS = 20
LEAST_SEEN = 0.25  # share of emitters that make a maximum of their own, below which counting says nothing
STEP = 1.0  # the most by which a logarithm is changed at once


@dataclass(frozen=True, slots=True)
class Scene:
    """Emitters anywhere, in camera pixels and photo-electrons; logarithms of their photons at `SHARES` of them."""

    sigma_px: float
    per_pixel: float
    level: float
    logs: Floats

    def photons(self, share: Floats) -> Floats:
        """Photons by share of the emitters that are dimmer."""
        return np.asarray(np.exp(np.interp(share, SHARES, self.logs)))


def draw(scene: Scene, shape: tuple[int, int, int], noise: Noise, draws: np.random.Generator) -> NDArray[np.float32]:
    """Frames (F, H, W) of a scene, with the camera's noise."""
    n_frames, height, width = shape
    margin = MARGIN * scene.sigma_px
    area = (height + 2 * margin) * (width + 2 * margin)
    count = draws.poisson(scene.per_pixel * area * n_frames)
    x, y = (draws.uniform(-margin, side + margin, count) for side in (width, height))
    frame = draws.integers(0, n_frames, count)
    photons = scene.photons(draws.uniform(0, 1, count))
    sample, x_px, y_px, z_px, light_of = (
        torch.from_numpy(values) for values in (frame, x, y, np.zeros(count), photons)
    )
    spots = Spots(sample, x_px, y_px, z_px, light_of.float())
    optics = Gaussian(scene.sigma_px)
    light = optics.render(spots, optics.shapes(count, torch.Generator()), Canvas(n_frames, height, width, 1.0))
    electrons = draws.poisson(light.numpy() + max(scene.level, 0.0)).astype(np.float64)
    if noise.excess > 1:  # a register turns n electrons into a gamma variate of n (excess - 1) variance
        electrons = draws.standard_gamma(electrons / (noise.excess - 1)) * (noise.excess - 1)
    electrons += draws.normal(0, max(noise.added, 0.0) ** 0.5, shape)
    return electrons.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Look:
    """What is compared: logarithms of maxima per pixel, of photons and widths; the spread of the latter; the level."""

    count: float
    logs: Floats
    width: float
    spread: float
    level: float

    @classmethod
    def of(cls, seen: Seen) -> "Look":
        """The numbers of what was seen, with at least one fit."""
        enough = len(seen.widths) >= FEW_WIDTHS
        narrow, width, wide = np.quantile(np.log(seen.widths), [0.159, 0.5, 0.841]).tolist() if enough else [np.nan] * 3
        logs = np.quantile(np.log(seen.photons), SHARES)
        return cls(float(np.log(seen.per_pixel)), logs, width, (wide - narrow) / 2, seen.level)


@dataclass(frozen=True, slots=True)
class Match:
    """The scene, what of its emitters is seen as maxima, and the spread of widths that noise and neighbours make."""

    scene: Scene
    share: float
    spread: float
    fits: int


def match(seen: Seen, start: Scene, detector: Detector, side_px: tuple[int, int], seed: int) -> Match | None:
    """Find the scene; None where the detector loses sight of it."""
    draws, wanted = np.random.default_rng(seed), Look.of(seen)
    scene, answers = start, []
    for turn in range(ROUNDS):
        shown = look(draw(scene, (seen.n_frames, *side_px), detector.noise, draws), detector)
        if not len(shown.photons):
            return None
        got = Look.of(shown)
        share = shown.per_pixel / scene.per_pixel
        scene = _changed(scene, wanted, got, share, fine=turn >= COARSE)
        answers.append((scene, share, got.spread, len(shown.photons)))
    kept = answers[-KEPT:]
    mean: dict[str, Any] = {name: np.mean([getattr(each[0], name) for each in kept], axis=0) for name in NUMBERS}
    _, shares, spreads, fits = zip(*kept, strict=True)
    return Match(replace(scene, **mean), float(np.mean(shares)), float(np.mean(spreads)), int(np.sum(fits)))


NUMBERS = ("sigma_px", "per_pixel", "level", "logs")


def _changed(scene: Scene, wanted: Look, got: Look, share: float, *, fine: bool) -> Scene:
    """A scene in which more is seen of what was too little."""

    def by(step: float) -> float:
        return float(np.exp(np.clip(step, -STEP, STEP))) if np.isfinite(step) else 1.0

    return replace(
        scene,
        sigma_px=scene.sigma_px * by(wanted.width - got.width),
        per_pixel=scene.per_pixel * by((wanted.count - got.count) / max(min(share, 1.0), LEAST_SEEN)),
        level=scene.level + wanted.level - got.level,
        logs=_fine(scene.logs, wanted.logs, got.logs) if fine else _coarse(scene.logs, wanted.logs, got.logs),
    )


def _coarse(own: Floats, wanted: Floats, got: Floats) -> Floats:
    """Photons moved by their median and stretched on both sides of it, where noise makes its part in squares."""
    middle = len(SHARES) // 2
    found = own - own[middle]
    for side, end in ((slice(middle), 1), (slice(middle + 1, None), -2)):
        reach = found[end]
        squares = reach**2 + (wanted[end] - wanted[middle]) ** 2 - (got[end] - got[middle]) ** 2
        found[side] *= np.sqrt(max(squares, 0.0)) / abs(reach) if reach else 1.0
    return np.asarray(found + own[middle] + np.clip(wanted[middle] - got[middle], -STEP, STEP))


def _fine(own: Floats, wanted: Floats, got: Floats) -> Floats:
    """Photons moved share by share."""
    return np.sort(own + DAMPING * np.clip(wanted - got, -STEP, STEP))
