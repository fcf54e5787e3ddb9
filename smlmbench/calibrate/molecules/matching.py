"""The simple scene in which a detector sees what it sees in a movie (indirect inference).

Maxima merge, dim emitters hide, noise widens what is measured. None of that is corrected by formula: scenes are drawn,
shown to the same detector, and changed until it sees as many maxima, as bright, as wide and on the same level.
Source of the method: Gourieroux, Monfort and Renault 1993, doi:10.1002/jae.3950080507.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from smlmbench.calibrate.molecules.seen import Detector, Seen, look
from smlmbench.camera import Noise
from smlmbench.predictions import Floats, Ints
from smlmbench.psf.contracts import Canvas, Spots
from smlmbench.psf.gaussian import Gaussian

ROUNDS, COARSE, KEPT = 7, 3, 3  # scenes that are drawn, the first of them, and the last whose answers are averaged
SHARES = np.array([0, 0.05, 0.15, 0.25, 0.375, 0.5, 0.625, 0.75, 0.85, 0.95, 1])
DAMPING = 0.7
FRAMES_OF_STRUCTURE, SHARPENED = 48, 12
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


@dataclass(frozen=True, slots=True)
class Stage:
    """Where emitters come and go: chances of the pixels of tiles (T, H, W), of mean 1, and the tile of each frame."""

    chances: Floats
    tile: Ints

    @classmethod
    def of(cls, tiles: NDArray[np.float32], sigma_px: float, noise: Noise) -> "Stage":
        """By the variance of pixels over frames (T, F, H, W), less noise, sharpened by the square of the PSF.

        With few frames anywhere alike: there the own spots of a few emitters would be taken for structure.
        """
        count, n_frames, height, width = tiles.shape
        tile = np.repeat(np.arange(count), n_frames)
        if n_frames < FRAMES_OF_STRUCTURE:
            return cls(np.ones((count, height, width)), tile)
        seen = tiles.var(axis=1, dtype=np.float64, ddof=1) - noise.excess * tiles.mean(axis=1) - noise.added
        blur = (0, *[math.hypot(sigma_px / math.sqrt(2), 0.3)] * 2)
        seen = np.maximum(
            ndimage.gaussian_filter(seen, (0, 0.5, 0.5), mode="nearest"), 1e-3 * np.abs(seen).mean() + 1e-9
        )
        chances = np.full(seen.shape, seen.mean())
        for _ in range(SHARPENED):  # Richardson 1972, Lucy 1974
            ratio = seen / ndimage.gaussian_filter(chances, blur, mode="nearest")
            chances *= ndimage.gaussian_filter(ratio, blur, mode="nearest")
        return cls(chances / chances.mean(), tile)

    def part(self, frames: Ints) -> "Stage":
        """Some frames of it."""
        return replace(self, tile=self.tile[frames])

    def places(self, per_pixel: float, margin: int, draws: np.random.Generator) -> tuple[Ints, Floats, Floats]:
        """Frame, x and y in pixels of emitters, also in a margin around the field."""
        padded = np.pad(self.chances, ((0, 0), (margin, margin), (margin, margin)), mode="edge")
        size, parts = padded.shape[1:], []
        for number in np.unique(self.tile):
            frames = np.flatnonzero(self.tile == number)
            chance = padded[number].ravel()
            where = draws.choice(
                chance.size, draws.poisson(per_pixel * chance.sum() * len(frames)), p=chance / chance.sum()
            )
            parts.append(np.stack([frames[draws.integers(0, len(frames), len(where))], where]))
        frame, where = np.concatenate(parts, axis=1)
        line, column = np.unravel_index(where, size)
        x, y = (at + draws.uniform(-margin, 1 - margin, len(at)) for at in (column, line))
        return frame, x, y


def draw(scene: Scene, stage: Stage, noise: Noise, draws: np.random.Generator) -> NDArray[np.float32]:
    """Frames (F, H, W) of a scene, with the camera's noise."""
    shape = (len(stage.tile), *stage.chances.shape[1:])
    frame, x, y = stage.places(scene.per_pixel, math.ceil(MARGIN * scene.sigma_px), draws)
    photons = scene.photons(draws.uniform(0, 1, len(frame)))
    sample, x_px, y_px, z_px, light_of = (torch.from_numpy(each) for each in (frame, x, y, np.zeros(len(x)), photons))
    spots = Spots(sample, x_px, y_px, z_px, light_of.float())
    optics = Gaussian(scene.sigma_px)
    canvas = Canvas(shape[0], shape[1], shape[2], pixel_size_nm=1.0)
    light = optics.render(spots, optics.shapes(len(frame), torch.Generator()), canvas)
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


def match(seen: Seen, start: Scene, detector: Detector, stage: Stage, seed: int) -> Match | None:
    """Find the scene; None where the detector loses sight of it."""
    draws, wanted = np.random.default_rng(seed), Look.of(seen)
    scene, answers = start, []
    for turn in range(ROUNDS):
        shown = look(draw(scene, stage, detector.noise, draws), detector)
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
