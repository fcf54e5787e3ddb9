"""Sparse deconvolution on a fine grid, whose clusters are fitted together: a classical row for dense frames.

Each frame, or tile of a large one, is explained by few places of light (CEL0, see `deconvolving`); the clusters of
them are the start of a joint maximum-likelihood fit of Gaussians (`refining`), as after the sparse step of FALCON (Min
et al. 2014, doi:10.1038/srep04577), and spots are given up whose photons are no `significance` times their error.
Nothing is tuned on a truth: the penalty follows from the camera's noise and that one number.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.camera import Noise
from smlmbench.data.contracts import Condition, Settings
from smlmbench.errors import SizeError
from smlmbench.movies import blocks
from smlmbench.predictions import Floats, Ints, Localizations, Prediction, concatenate
from smlmbench.psf.contracts import Spots
from smlmbench.references.deconvolving import OUTSIDE_PX, Blur, clusters, deconvolve
from smlmbench.references.peaks_gaussian import START_SIGMA_PX, pixel_noise
from smlmbench.references.refining import Dense, Refined, refine

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Sparse deconvolution on a fine grid (CEL0), its clusters fitted together",
    "settings": {
        "sigma_nm": {
            "default": None,
            "min": 20.0,
            "max": 1000.0,
            "measured": True,
            "help": "Width of the PSF; by default the condition's, else 1.3 camera pixels; auto measures it",
        },
        "significance": {
            "default": 4.5,
            "min": 2.0,
            "max": 100.0,
            "help": "How far a spot that is alone stands out of the noise, in standard deviations: a false-alarm level",
        },
        "beside": {
            "default": 3.0,
            "min": 2.0,
            "max": 100.0,
            "help": "The same of a spot beside others, where noise has fewer places; also sets the penalty",
        },
        "upsampling": {"default": 4, "choices": [2, 3, 4, 5, 6, 8], "help": "Fine places per camera pixel"},
    },
    "paper": (
        "Gazagnes et al. 2017, High density molecule localization for super-resolution microscopy using CEL0. In "
        "ISBI 2017"
    ),
    "doi": "10.1109/ISBI.2017.7950460",
    "facts": {
        "tasks": {"localization": {"gives": "table", "knows": ["psf", "camera"]}},
        "timed": True,
        "default": False,
        "block_frames": 16,
    },
}

SMALLEST_PX, WHOLE_PX, CORE_PX = 5, 96, 64  # frames up to the second are not cut into tiles of the third
REACH = 4.5  # in sigma: how far tiles overlap
UNKNOWN = Noise(1.0, 100.0)  # counts of an unknown camera are scaled until their noise is that of 10 electrons


@dataclass(frozen=True, slots=True)
class Plan:
    """Width of the PSF in camera pixels, fine places per pixel, and how far spots stand out."""

    sigma_px: float
    upsampling: int
    alone: float
    beside: float


@dataclass(frozen=True, slots=True)
class Span:
    """Pixels start .. start + size - 1 along one axis, of which low <= place < high are answered."""

    start: int
    size: int
    low: float
    high: float


def predict(condition: Condition, settings: Settings, output_settings: Settings, seed: int) -> Prediction:
    """Find spots; the probability column is their photons over the error of these.

    Raises:
        SizeError: Frames below 5 x 5 px.
    """
    del output_settings, seed
    frames, pixel_nm = condition.frames, condition.pixel_size_nm
    if min(frames.height, frames.width) < SMALLEST_PX:
        raise SizeError(f"frames of {frames.width} x {frames.height} px are too small; give at least 5 x 5")
    sigma_nm = settings["sigma_nm"] or condition.told.get("psf_sigma_nm") or START_SIGMA_PX * pixel_nm
    levels = (float(settings["significance"]), float(settings["beside"]))
    plan = Plan(float(sigma_nm) / pixel_nm, int(settings["upsampling"]), *levels)
    tables = []
    for first, block in blocks(frames, CARD["facts"]["block_frames"]):
        columns = _localize(np.asarray(block, dtype=np.float32), condition, plan)
        table = Localizations.of(columns, n_frames=len(block), field_nm=condition.field_nm)
        tables.append(table.shifted(first, n_frames=frames.n_frames))
    return Prediction(concatenate(tables, n_frames=frames.n_frames, field_nm=condition.field_nm))


def _localize(block: NDArray[np.float32], condition: Condition, plan: Plan) -> dict[str, Floats | Ints]:
    """Columns of a block of frames (n, h, w)."""
    told, (height, width), pixel_nm = Noise.of(condition.told), block.shape[1:], condition.pixel_size_nm
    unit, zero, noise = np.ones(len(block)), np.zeros(len(block)), told or UNKNOWN
    if told is None:
        unit = np.maximum(pixel_noise(block.astype(np.float64)), 1e-6) / math.sqrt(UNKNOWN.added)
        zero = np.median(block, axis=(1, 2)).astype(np.float64)
    pixels = torch.from_numpy(((block - zero[:, None, None]) / unit[:, None, None]).astype(np.float32))
    added = (
        np.full((height, width), noise.added) if condition.noise_map is None or told is None else condition.noise_map
    )
    variance = torch.from_numpy(added)
    found = [
        _tile(pixels, variance, noise, plan, (down, across))
        for down in _spans(height, plan.sigma_px)
        for across in _spans(width, plan.sigma_px)
    ]
    whole = [np.concatenate([getattr(one, name) for one in found]) for name in Refined.__slots__]
    order = np.argsort(whole[0], kind="stable")
    frame, x_px, y_px, photons, light, sigma_x, sigma_y, background = (column[order] for column in whole[:8])
    return {
        "frame": frame,
        "x_nm": x_px * pixel_nm,
        "y_nm": y_px * pixel_nm,
        "photons": photons * unit[frame],
        "background_photons": background * unit[frame] + zero[frame],
        "probability": light,
        "sigma_x_nm": sigma_x * pixel_nm,
        "sigma_y_nm": sigma_y * pixel_nm,
    }


def _spans(side: int, sigma_px: float) -> Iterator[Span]:
    """Along one axis; all of one size."""
    if side <= WHOLE_PX:
        yield Span(0, side, 0.0, side)
        return
    count, margin = -(-side // CORE_PX), math.ceil(REACH * sigma_px) + OUTSIDE_PX
    edges = np.linspace(0, side, count + 1).round().astype(int)
    size = min(side, int(np.diff(edges).max()) + 2 * margin)
    for low, high in pairwise(edges):
        yield Span(min(max(0, int(low) - margin), side - size), size, float(low), float(high))


def _tile(pixels: torch.Tensor, added: torch.Tensor, noise: Noise, plan: Plan, spans: tuple[Span, Span]) -> Refined:
    """Spots in a tile of all frames, in pixels of the whole frame."""
    down, across = spans
    cut = (slice(down.start, down.start + down.size), slice(across.start, across.start + across.size))
    frames, own = pixels[:, *cut].contiguous(), added[cut]
    blur = Blur(down.size, across.size, plan.sigma_px, plan.upsampling)
    made = deconvolve(frames, own.float(), noise, blur, plan.beside)
    seen = clusters(made.light, plan.upsampling)
    start = Spots(seen.frame, seen.x_px, seen.y_px, torch.zeros_like(seen.x_px), seen.photons)
    found = refine(Dense(frames, made.background, own, noise, plan.sigma_px), start, plan.alone, plan.beside)
    x_px, y_px = found.x_px + across.start, found.y_px + down.start
    inside = (x_px >= across.low) & (x_px < across.high) & (y_px >= down.low) & (y_px < down.high)
    columns = (found.frame, x_px, y_px, *(getattr(found, name) for name in Refined.__slots__[3:]))
    return Refined(*(column[inside] for column in columns))
