"""Point set: a list of weighted points per frame, without a grid; points that lie together are one detection.

Raw output is (B, 1 + M, 1 + D) with D = 2 or 3. Row 0 says how large the frame is: (0, width, height) in camera pixels,
then 0. The others are points: their weight (about 1 for an emitter, 0 for none), x and y in camera pixels from the
outer corner of the frame, and in 3-D z in nm.
"""

from collections.abc import Mapping
from math import ceil
from typing import Any, Protocol

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn import functional

from smlmbench.errors import ConfigError
from smlmbench.predictions import Floats, Ints, Localizations
from smlmbench.truths.emitters import Sampled

CARD = {
    "version": 1,
    "summary": "Weighted points without a grid; those that lie together are one detection (DeepLOCO).",
    "settings": {
        "link_nm": {"default": 100.0, "min": 0.0, "max": 1000.0, "help": "points closer than this are one detection"},
        "link_z_scale": {"default": 0.2, "min": 0.0, "max": 1.0, "help": "how much a distance in depth counts there"},
    },
    "search": {"link_nm": {"choices": [50.0, 100.0, 200.0]}},
    "tiny": {},
    "paper": (
        "Boyd, Jonas, Babcock, Recht 2018, DeepLOCO: Fast 3D localization microscopy using neural networks. "
        "bioRxiv 267096"
    ),
    "doi": "10.1101/267096",
    "facts": {"tasks": ["localization"], "any_device": True, "asks": ["z_low_nm", "z_high_nm"]},
}

SMALLEST_WEIGHT = 1e-3
PERFECT_POINTS = 64


class Batch(Protocol):
    """What targets are made of: a batch of the data room."""

    @property
    def inputs(self) -> Tensor:
        """(B, C, H, W), for the shape."""

    @property
    def truth(self) -> Any:
        """Emitters."""


def depths_nm(settings: Mapping[str, Any]) -> tuple[float, float] | None:
    """Lowest and highest depth that the data teach; None where they have no depth, so that points are 2-D."""
    low, high = (float(settings.get(name, 0.0)) for name in ("z_low_nm", "z_high_nm"))
    return (low, high) if low < high else None


def targets(batch: Batch, settings: Mapping[str, Any]) -> dict[str, Tensor]:  # noqa: ARG001
    """The emitters inside the field as lists, padded to those of the fullest frame, at least one long.

    Returns:
        `weights` (B, T), 1 for an emitter and 0 for padding, and `points` (B, T, 3): x and y in camera pixels, z in nm.

    Raises:
        ConfigError: The truth are no emitters.
    """
    truth = batch.truth
    if not isinstance(truth, Sampled):
        raise ConfigError(f"point_set lists emitters, not {type(truth).__name__}; choose another output")
    count, _, height, width = batch.inputs.shape
    x, y = truth.x_nm / truth.pixel_size_nm, truth.y_nm / truth.pixel_size_nm
    inside = (x >= 0) & (x <= width) & (y >= 0) & (y <= height)
    sample, order = torch.sort(truth.sample[inside], stable=True)
    each = torch.bincount(sample, minlength=count)
    place = torch.arange(len(sample), device=sample.device) - (each.cumsum(0) - each)[sample]
    longest = max(1, int(each.max()))
    weights, points = x.new_zeros(count, longest), x.new_zeros(count, longest, 3)
    weights[sample, place] = 1.0
    points[sample, place] = torch.stack([x, y, truth.z_nm], dim=1)[inside][order]
    return {"weights": weights, "points": points}


def decode(raw: Tensor, settings: Mapping[str, Any], threshold: float) -> Localizations:
    """Read detections out of raw points.

    Points with a weight below 0.001 are left out. Those closer than `link_nm` (depth counted with `link_z_scale`) and
    all that hang together by such steps are one detection, at their weighted mean. The candidates do not depend on the
    threshold: decoding at a low one and keeping `probability > threshold` gives the same rows.

    Args:
        raw: (B, 1 + M, 1 + D), B at least 1.
        settings: All of the card, and `pixel_size_nm` (the camera pixel), which the caller adds.
        threshold: Summed weight that a detection must exceed, >= 0; the authors' is 0.3.

    Returns:
        Frames from 0 in the batch, in order; `probability` is the summed weight (about 1 for one emitter, more for
        unresolved ones); no z where points are 2-D; photons NaN.
    """
    if "pixel_size_nm" not in settings:
        raise ConfigError("point_set: settings have no pixel_size_nm; add the camera pixel in nm before decoding")
    pixel_nm, rows = float(settings["pixel_size_nm"]), raw.detach().double().cpu().numpy()
    unit = np.array([pixel_nm, pixel_nm, 1.0])[: rows.shape[2] - 1]
    width, height = rows[0, 0, 1:3]
    frame, place = np.nonzero(rows[:, 1:, 0] >= SMALLEST_WEIGHT)
    weight, at_nm = rows[frame, place + 1, 0], rows[frame, place + 1, 1:] * unit
    group = _linked(frame, at_nm * np.array([1, 1, settings["link_z_scale"]])[: len(unit)], settings["link_nm"])
    first = np.unique(group, return_index=True)[1]
    score = np.bincount(group, weight).astype(np.float64)
    means = [np.bincount(group, weight * along) / score for along in at_nm.T]
    columns = dict(zip(("x_nm", "y_nm", "z_nm"), means, strict=False)) | {"frame": frame[first], "probability": score}
    kept = {name: values[score > threshold] for name, values in columns.items()}
    return Localizations.of(kept, n_frames=len(rows), field_nm=(float(width * pixel_nm), float(height * pixel_nm)))


def perfect(targets: Mapping[str, Tensor], settings: Mapping[str, Any], height: int, width: int) -> Tensor:
    """Raw output of a network that finds all targets of frames of height x width px, with at least 64 points."""
    weights, points = targets["weights"], targets["points"]
    dimensions, longest = (2 if depths_nm(settings) is None else 3), weights.shape[1]
    listed = torch.cat([weights[..., None], points[..., :dimensions]], dim=2)
    listed = functional.pad(listed, (0, 0, 0, PERFECT_POINTS * ceil(longest / PERFECT_POINTS) - longest))
    return framed(listed, height, width)


def framed(points: Tensor, height: int, width: int) -> Tensor:
    """Points (B, M, 1 + D) behind the row that says how large the frame is."""
    columns = torch.arange(points.shape[2], device=points.device)
    size = torch.where(columns == 1, width, torch.where(columns == 2, height, 0)).to(points.dtype)
    return torch.cat([size.expand(points.shape[0], 1, -1), points], dim=1)


def _linked(frame: Ints, at_nm: Floats, link_nm: float) -> Ints:
    """Number what hangs together, in the order of the first members; only points of one frame do."""
    count = len(frame)
    if not count or link_nm <= 0:
        return np.arange(count)
    apart = np.column_stack([frame * (2 * link_nm), at_nm])
    one, other = cKDTree(apart).query_pairs(link_nm, output_type="ndarray").T
    graph = coo_array((np.ones(len(one), dtype=np.int8), (one, other)), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)
