"""Voxel grid: planes of depth on the fine grid, a spike of mass A per emitter; read out as 3-D maxima and centroids.

Conventions: the outer corner of camera pixel (0, 0) is at 0 nm, the lower face of plane 0 at the lowest depth that is
taught; voxel j of an axis covers j .. j + 1 voxels and is read out at j + 0.5. Label units: an emitter has mass A.

Source: Nehme et al. 2020, doi:10.1038/s41592-020-0853-5 (A = 800, 4 voxels per camera pixel, planes of 33 or 49 nm).
"""

from collections.abc import Mapping
from itertools import product
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from smlmbench.errors import ConfigError
from smlmbench.outputs.peaks import Peaks, peaks
from smlmbench.predictions import Localizations
from smlmbench.truths.emitters import Sampled

CARD = {
    "version": 1,
    "summary": "A spike per emitter in a grid of voxels (DeepSTORM3D); detections are 3-D maxima with their centroid.",
    "settings": {
        "upsampling": {"default": 4, "choices": [1, 2, 4], "help": "voxels per camera pixel along one axis"},
        "planes": {"default": 13, "min": 2, "max": 256, "help": "D, of the depths taught; data without depth have 1"},
        "amplitude": {"default": 800.0, "min": 0.001, "help": "mass of one emitter (A); 100 is sure sooner"},
        "label_rule": {
            "default": "floor",
            "choices": ["floor", "linear"],
            "help": "floor: the voxel that holds the emitter; linear: shared by the 8 around it, which keeps its place",
        },
        "radius": {"default": 0, "min": 0, "max": 6, "help": "read-out window of 2 r + 1 voxels; 0: the upsampling"},
        "radius_z": {"default": 0, "min": 0, "max": 12, "help": "the same along z; 0: about 150 nm, 1 to 4"},
    },
    "search": {
        "amplitude": {"choices": [100.0, 800.0]},
        "label_rule": {"choices": ["floor", "linear"]},
        "radius_z": {"choices": [1, 2, 3, 4]},
    },
    "tiny": {"planes": 5},
    "facts": {
        "tasks": ["localization"],
        "perfect_raw": "spikes",
        "any_device": True,
        "asks": ["z_low_nm", "z_high_nm"],
    },
    "paper": (
        "Nehme et al. 2020, DeepSTORM3D: dense 3D localization microscopy and PSF design by deep learning. Nature"
        " Methods 17:734"
    ),
    "doi": "10.1038/s41592-020-0853-5",
}

REACH_Z_NM = 150.0
VOXELS_AT_ONCE = 2**23  # that are read out, so that what that takes does not grow with the number of frames


class Batch(Protocol):
    """What targets are made of: a batch of the data room."""

    @property
    def inputs(self) -> Tensor:
        """(B, C, H, W), for the shape."""

    @property
    def truth(self) -> Any:
        """Emitters."""


class Depth(NamedTuple):
    """Planes of `step_nm` from `low_nm` on; one plane of no depth where nothing is known of z, or all is at one."""

    planes: int
    low_nm: float
    step_nm: float


def depth_of(settings: Mapping[str, Any]) -> Depth:
    """The planes of a grid, from its setting and from how far the depths go that are taught."""
    low, high = float(settings.get("z_low_nm", 0.0)), float(settings.get("z_high_nm", 0.0))
    if not high > low:
        return Depth(1, low, 0.0)
    planes = int(settings["planes"])
    return Depth(planes, low, (high - low) / planes)


def targets(batch: Batch, settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """Put the emitters of a batch into `spikes` (B, D, U*H, U*W), float32 in label units; none from outside the field.

    Emitters in one voxel are summed. A depth beyond the planes counts to the last one, an unknown depth (NaN) nowhere.
    With label_rule linear each is shared by the nearest voxels of every axis so that its centroid is its place, except
    within half a voxel of the grid's faces, beyond which there is none. A truth of another kind raises ConfigError.
    """
    if not isinstance(batch.truth, Sampled):
        raise ConfigError(f"voxel_grid draws emitters, not {type(batch.truth).__name__}; choose another output")
    truth, upsampling, depth = batch.truth, settings["upsampling"], depth_of(settings)
    count, _, height, width = batch.inputs.shape
    shape = (depth.planes, height * upsampling, width * upsampling)
    x, y = (at * upsampling / truth.pixel_size_nm for at in (truth.x_nm, truth.y_nm))
    z = (truth.z_nm - depth.low_nm) / depth.step_nm if depth.step_nm else torch.zeros_like(x)
    inside = (x >= 0) & (x < shape[2]) & (y >= 0) & (y < shape[1]) & z.isfinite()
    size = count * shape[0] * shape[1] * shape[2]
    spikes = torch.zeros(size + 1, device=batch.inputs.device)
    linear = settings["label_rule"] == "linear"
    shares = [_shares(at, many, linear=linear) for at, many in zip((z.nan_to_num(), y, x), shape, strict=True)]
    for (plane, in_z), (row, in_y), (column, in_x) in product(*shares):
        at = ((truth.sample * shape[0] + plane) * shape[1] + row) * shape[2] + column
        # What lies outside goes behind the last voxel: to select rows, a card would have to tell how many there are.
        spikes.index_add_(0, torch.where(inside, at, size), settings["amplitude"] * in_z * in_y * in_x)
    return {"spikes": spikes[:size].view(count, *shape)}


def _shares(at: Tensor, size: int, *, linear: bool) -> list[tuple[Tensor, Tensor]]:
    """Indices along an axis and the share of each for places (n,) counted in voxels."""
    if not linear:
        return [(at.floor().long().clamp_(0, size - 1), torch.ones_like(at))]
    before = (at - 0.5).floor()
    past = at - 0.5 - before
    index = before.long()
    return [(index.clamp(0, size - 1), 1 - past), ((index + 1).clamp(0, size - 1), past)]


def image(raw: Tensor, settings: Mapping[str, Any]) -> Tensor:
    """The fine image (B, U*H, U*W): the positive part summed over depth, an emitter having a mass of 1."""
    summed: Tensor = raw.float().clamp_min(0).sum(dim=1) / settings["amplitude"]
    return summed


def decode(raw: Tensor, settings: Mapping[str, Any], threshold: float) -> Localizations:
    """Read detections out of raw volumes.

    Candidates are the maxima of the positive part within the window; its mass in the window is the score, and the
    position is the centroid there, see `smlmbench/outputs/peaks.py`. They do not depend on the threshold.

    Args:
        raw: (B, D, U*H, U*W) in label units.
        settings: All of the card, and what the data add: `pixel_size_nm`, and the depths taught.
        threshold: Score that a detection must exceed, >= 0.

    Returns:
        Frames from 0 in the batch, in order; `probability` is the score in unit mass, about 1 for one emitter; z is NaN
        where the grid has no depth. A spike is read out at most half a voxel away along each axis, without bias.
    """
    if "pixel_size_nm" not in settings:
        raise ConfigError("voxel_grid: settings have no pixel_size_nm; add the camera pixel in nm before decoding")
    voxel_nm, depth, radius = settings["pixel_size_nm"] / settings["upsampling"], depth_of(settings), _radius(settings)
    found, at_once = [], max(1, VOXELS_AT_ONCE // raw[0].numel())
    for first in range(0, len(raw), at_once):
        part = peaks(raw[first : first + at_once].detach().float().clamp_min(0), radius)
        found.append(part._replace(frame=part.frame + first))
    every = Peaks(*(np.concatenate(column) for column in zip(*found, strict=True)))
    columns = {
        "frame": every.frame,
        "x_nm": (every.x + 0.5) * voxel_nm,
        "y_nm": (every.y + 0.5) * voxel_nm,
        "probability": every.mass / settings["amplitude"],
    }
    if depth.step_nm:
        columns["z_nm"] = depth.low_nm + (every.z + 0.5) * depth.step_nm
    kept = {name: values[columns["probability"] > threshold] for name, values in columns.items()}
    field_nm = (raw.shape[3] * voxel_nm, raw.shape[2] * voxel_nm)
    return Localizations.of(kept, n_frames=len(raw), field_nm=field_nm)


def reach_fine_px(settings: Mapping[str, Any]) -> int:
    """Voxels to every side of a place whose values can change what is read out there."""
    # A candidate is a maximum within r; its voxels, up to r away, are shared with candidates up to r further.
    return 3 * _radius(settings)[1] + 2


def _radius(settings: Mapping[str, Any]) -> tuple[int, int, int]:
    depth, lateral = depth_of(settings), int(settings["radius"] or settings["upsampling"])
    if not depth.step_nm:
        return 0, lateral, lateral
    return int(settings["radius_z"] or min(4, max(1, round(REACH_Z_NM / depth.step_nm)))), lateral, lateral
