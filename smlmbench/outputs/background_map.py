"""Background map: expected photo-electrons per pixel without the emitter, a raster of the size of the crop.

The raw output is in photons already: a network that scales its crops scales its answer back inside.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from smlmbench.errors import ConfigError
from smlmbench.predictions import Raster
from smlmbench.truths.background_maps import Taught

CARD = {
    "version": 1,
    "summary": "The background of a crop in photons per pixel, of the size of the crop",
    "facts": {"tasks": ["background"], "perfect_raw": "background", "any_device": True},
}

LEAST_PHOTONS = 1.0  # of the brightest pixel, so that dark crops are not blown up


class Batch(Protocol):
    """What targets are made of: a batch of the data room."""

    @property
    def inputs(self) -> Tensor:
        """(B, 1, H, W), for the scale."""

    @property
    def truth(self) -> Any:
        """Background maps."""


def targets(batch: Batch, settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """`background` (B, 1, H, W) in photo-electrons, and `scale` (B, 1, 1, 1), the maximum of each crop (at least 1).

    Raises:
        ConfigError: The batch has no background maps.
    """
    del settings
    if not isinstance(batch.truth, Taught):
        said = f"background_map draws backgrounds, not {type(batch.truth).__name__}"
        raise ConfigError(f"{said}; choose data such as background_crops")
    return {"background": batch.truth.maps, "scale": brightest(batch.inputs)}


def brightest(crops: Tensor) -> Tensor:
    """Maximum of each crop (B, C, H, W), at least 1 photo-electron, (B, 1, 1, 1)."""
    return torch.amax(crops, dim=(1, 2, 3), keepdim=True).clamp_min(LEAST_PHOTONS)


def decode(raw: Tensor, settings: Mapping[str, Any], threshold: float) -> Raster:
    """Backgrounds (B, H, W) of raw maps (B, 1, H, W), values as they come (they may be negative)."""
    del threshold
    return Raster(raw[:, 0].detach().float().cpu().numpy(), float(settings["pixel_size_nm"]))
