"""Gaussian mixture: each camera pixel says how likely an emitter is in it, where, how bright, and how sure it is.

Ten maps on the camera grid, in this order (raw output, ready to be read):

| maps | meaning | range |
|---|---|---|
| 0 | p, the probability that an emitter belongs to this pixel | 0 .. 1 |
| 1 | photons / `photons_scale` | 0 .. 1 |
| 2, 3 | x, y from the centre of the pixel, camera pixels (x along the last axis) | -1 .. 1 |
| 4 | (z - middle) / half range of `depths` | -1 .. 1 |
| 5 .. 8 | standard deviations of maps 1 .. 4, in their units | > 0 |
| 9 | background / `background_scale` | 0 .. 1 |

Source: Speiser, Mueller et al. 2021, doi:10.1038/s41592-021-01236-x (DECODE), whose frames have x along the axis before
the last and pixel centres at whole numbers; here the outer corner of pixel (0, 0) is at 0.
"""

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from smlmbench.errors import ConfigError
from smlmbench.predictions import Localizations
from smlmbench.truths.emitters import Sampled

CARD = {
    "version": 1,
    "summary": "Probability, position, photons, depth and their uncertainties in each camera pixel (DECODE).",
    "settings": {
        "lowest": {
            "default": 0.05,
            "min": 0.001,
            "max": 0.5,
            "help": "pixels below this probability are no candidates; the threshold, tuned on validation, selects",
        },
        "split": {
            "default": 0.6,
            "min": 0.3,
            "max": 1.0,
            "help": "a pixel above this is a candidate beside a greater one too: emitters in adjacent pixels",
        },
    },
    "paper": (
        "Speiser, Mueller et al. 2021, Deep learning enables fast and dense single-molecule localization with "
        "high accuracy. Nature Methods 18:1082"
    ),
    "doi": "10.1038/s41592-021-01236-x",
    "fidelity": "verified",
    "deviations": [
        "candidates begin at `lowest`, and the threshold of the scores is tuned; both are 0.5 there",
        "of equal neighbours below `split` the first is the candidate; there all are",
        "photons reach to 1.75 times what 99.9 % of emitters stay below (mean + 8 deviations at the paper's law)",
        "depths reach 1.2 times half their range around its middle; there the middle is 0",
    ],
    "facts": {
        "tasks": ["localization"],
        "any_device": True,
        "asks": ["photons_high", "background_high", "z_low_nm", "z_high_nm"],
    },
}

PROBABILITY, MEANS, SIGMAS, BACKGROUND, MAPS = 0, slice(1, 5), slice(5, 9), 9, 10
PHOTONS, X, Y, Z = range(4)  # of means and sigmas
HEADROOM = 1.2  # beyond what is taught, of depths and background
PHOTONS_HEADROOM = 1.75
PERFECT_SIGMA = 0.05
LOGIT = 8.0  # of p, at most
LEAST_SIGMA, SIGMA_SPAN = 0.001, 3.0
LAST_PX = 1e-4  # positions end before the outer edge, which belongs to no pixel


class Batch(Protocol):
    """What targets are made of: a batch of the data room."""

    @property
    def inputs(self) -> Tensor:
        """(B, C, H, W), for the shape."""

    @property
    def truth(self) -> Any:
        """Emitters."""


def photons_scale(settings: Mapping[str, Any]) -> float | None:
    """Photons that 1 of map 1 means; None where photons are not taught."""
    high = settings.get("photons_high")
    return None if high is None else PHOTONS_HEADROOM * float(high)


def background_scale(settings: Mapping[str, Any]) -> float | None:
    """Photons per pixel that 1 of map 9 means; None where the background is not taught."""
    high = settings.get("background_high")
    return None if high is None or not high > 0 else HEADROOM * float(high)


def depths(settings: Mapping[str, Any]) -> tuple[float, float] | None:
    """Middle and half range (nm) of map 4; None in 2-D."""
    low, high = settings.get("z_low_nm"), settings.get("z_high_nm")
    if low is None or high is None or not high > low:
        return None
    return (low + high) / 2, HEADROOM * (high - low) / 2


def targets(batch: Batch, settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """The emitters of each sample as a list, as long as the longest of the batch.

    Returns:
        `emitters` (B, N, 4): photons, x, y, z, photons and z in the units of the maps, x and y in camera pixels from
        the outer corner of the sample; NaN where unknown. `present` (B, N): 1 for an emitter, 0 for padding.
        `background` (B,) in the unit of its map, NaN where unknown. Float32.

    Raises:
        ConfigError: The truth is not one of emitters.
    """
    truth = batch.truth
    if not isinstance(truth, Sampled):
        raise ConfigError(f"gaussian_mixture takes emitters, not {type(truth).__name__}; choose another output")
    count, _, height, width = batch.inputs.shape
    x, y = truth.x_nm / truth.pixel_size_nm, truth.y_nm / truth.pixel_size_nm
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    sample = torch.where(inside, truth.sample, count)  # those outside go behind the last
    order = torch.argsort(sample, stable=True)
    sample = sample[order]
    each = torch.bincount(sample, minlength=count + 1)
    rank = torch.arange(len(sample), device=sample.device) - (each.cumsum(0) - each)[sample]
    longest = int(each[:count].max()) if count else 0
    values = torch.stack([_photons(truth, settings), x, y, _depth(truth, settings)], dim=1)[order].float()
    kept = sample < count
    place = (sample[kept], rank[kept])
    emitters = torch.zeros(count, longest, 4, device=x.device).index_put(place, values[kept])
    present = torch.zeros(count, longest, device=x.device).index_put(place, values.new_ones(()))
    return {"emitters": emitters, "present": present, "background": _background(truth, settings, count)}


def _photons(truth: Sampled, settings: Mapping[str, Any]) -> Tensor:
    scale = photons_scale(settings)
    return torch.full_like(truth.photons, math.nan) if scale is None else truth.photons / scale


def _depth(truth: Sampled, settings: Mapping[str, Any]) -> Tensor:
    if (found := depths(settings)) is None:
        return torch.full_like(truth.z_nm, math.nan)
    middle_nm, half_nm = found
    return (truth.z_nm - middle_nm) / half_nm


def _background(truth: Sampled, settings: Mapping[str, Any], count: int) -> Tensor:
    scale = background_scale(settings)
    if scale is None or truth.background_photons is None:
        return torch.full((count,), math.nan, device=truth.x_nm.device)
    return truth.background_photons.float() / scale


def perfect(targets: Mapping[str, Tensor], settings: Mapping[str, Any], height: int, width: int) -> Tensor:
    """The raw output (B, 10, height, width) that says what the targets say; of emitters in one pixel the last."""
    del settings
    emitters, present = targets["emitters"], targets["present"] > 0
    raw = emitters.new_zeros(len(emitters), MAPS, height, width)
    raw[:, SIGMAS] = PERFECT_SIGMA
    raw[:, BACKGROUND] = targets["background"].nan_to_num(0.0)[:, None, None]
    sample, rank = present.nonzero(as_tuple=True)
    found = emitters[sample, rank].nan_to_num(0.0)
    column, row = (found[:, axis].floor().long().clamp(0, size - 1) for axis, size in ((X, width), (Y, height)))
    found[:, X] -= column + 0.5
    found[:, Y] -= row + 0.5
    raw[sample, PROBABILITY, row, column] = 1.0
    for axis in range(4):
        raw[sample, MEANS.start + axis, row, column] = found[:, axis]
    return raw


def silent(raw: Tensor, settings: Mapping[str, Any]) -> Tensor:
    """A raw output of the same shape that says that nothing is there."""
    del settings
    nothing = torch.zeros_like(raw)
    nothing[:, SIGMAS] = 1.0
    return nothing


def reach_fine_px(settings: Mapping[str, Any]) -> int:
    """Camera pixels around a position that reading it out looks at: its pixel lies beside it, and has neighbours."""
    del settings
    return 2


def decode(raw: Tensor, settings: Mapping[str, Any], threshold: float) -> Localizations:
    """Read detections out of raw maps.

    Candidates are pixels of at least `lowest` that are the maximum of their 3 x 3 neighbourhood (of equal ones the
    first), and all above `split`. The score of a candidate is its p and that of the four pixels beside it together, at
    most 1; all else is read in its own pixel. The candidates do not depend on the threshold.

    Args:
        raw: (B, 10, H, W).
        settings: All of the card, `pixel_size_nm` (the camera pixel), and those asked for that are known.
        threshold: Score that a detection must exceed.

    Returns:
        Frames from 0 in the batch, in order; `probability` is the score. Photons, background and z (with their
        uncertainty: `sigma_photons` as a further column) where they are taught, else NaN. Positions end at the edges.
    """
    if "pixel_size_nm" not in settings:
        raise ConfigError("gaussian_mixture: settings have no pixel_size_nm; add the camera pixel before decoding")
    pixel_nm, (height, width) = float(settings["pixel_size_nm"]), raw.shape[-2:]
    raw = raw.detach().float()
    score = _scores(raw[:, PROBABILITY].clamp(0, 1), float(settings["lowest"]), float(settings["split"]))
    frame, row, column = (score > 0).nonzero(as_tuple=True)
    read = torch.cat([score[frame, row, column][:, None], raw[frame, :, row, column]], dim=1)
    at = torch.stack([frame, row, column]).cpu().numpy()
    values = read.double().cpu().numpy()
    kept = values[:, 0] > threshold
    (frames, rows, columns), (probability, maps) = at[:, kept], (values[kept, 0], values[kept, 1:].T)
    means, sigmas = maps[MEANS], maps[SIGMAS]
    found = {
        "frame": frames,
        "x_nm": np.clip(columns + 0.5 + means[X], 0, width - LAST_PX) * pixel_nm,
        "y_nm": np.clip(rows + 0.5 + means[Y], 0, height - LAST_PX) * pixel_nm,
        "probability": probability,
        "sigma_x_nm": sigmas[X] * pixel_nm,
        "sigma_y_nm": sigmas[Y] * pixel_nm,
    }
    more = {}
    if (depth := depths(settings)) is not None:
        found |= {"z_nm": depth[0] + means[Z] * depth[1], "sigma_z_nm": sigmas[Z] * depth[1]}
    if (scale := photons_scale(settings)) is not None:
        found["photons"], more["sigma_photons"] = means[PHOTONS] * scale, sigmas[PHOTONS] * scale
    if (scale := background_scale(settings)) is not None:
        found["background_photons"] = maps[BACKGROUND] * scale
    field_nm = (width * pixel_nm, height * pixel_nm)
    return Localizations.of(found, n_frames=len(raw), field_nm=field_nm, more=more)


def _scores(p: Tensor, lowest: float, split: float) -> Tensor:
    """The score of each candidate pixel of p (B, H, W), 0 elsewhere."""
    height, width = p.shape[-2:]
    around = functional.pad(p, (1, 1, 1, 1))

    def beside(down: int, across: int) -> Tensor:
        return around[:, 1 + down : 1 + down + height, 1 + across : 1 + across + width]

    earlier = torch.stack([beside(*by) for by in ((-1, -1), (-1, 0), (-1, 1), (0, -1))]).amax(0)
    later = torch.stack([beside(*by) for by in ((0, 1), (1, -1), (1, 0), (1, 1))]).amax(0)
    candidate = (p >= lowest) & (((p > earlier) & (p >= later)) | (p > split))
    cross = p + beside(-1, 0) + beside(1, 0) + beside(0, -1) + beside(0, 1)
    return torch.where(candidate, cross.clamp(max=1), torch.zeros((), device=p.device))
