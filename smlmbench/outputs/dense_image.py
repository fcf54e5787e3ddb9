"""Dense image: one map for each colour on the grid of the input, in units of a typical brightest pixel of training.

Inputs that it is made for have the channels of K sparse images, one widefield on the same grid (zeros: there is none)
and one constant map with the code of the structure's kind.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from smlmbench.errors import ConfigError
from smlmbench.truths.dense_structure import Taught

CARD = {
    "version": 1,
    "summary": "A dense image of each colour on the grid of the sparse one",
    "facts": {"tasks": ["densification"], "perfect_raw": "dense", "any_device": True},
}


class Batch(Protocol):
    """What targets are made of: a batch of the data room."""

    @property
    def inputs(self) -> Tensor:
        """(B, K + 2, H, W)."""

    @property
    def truth(self) -> Any:
        """Dense images."""


def targets(batch: Batch, settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """`dense` (B, K, H, W), 1 being a typical brightest pixel, and the inputs as `given`, which some losses look at.

    Raises:
        ConfigError: A truth of another kind.
    """
    if not isinstance(batch.truth, Taught):
        said = f"dense_image is taught by dense images, not {type(batch.truth).__name__}"
        raise ConfigError(f"{said}; choose another output")
    return {"dense": batch.truth.dense / settings["image_scale"], "given": batch.inputs}


def decode(raw: Tensor, settings: Mapping[str, Any], threshold: float) -> NDArray[np.float32]:  # noqa: ARG001
    """The positive part (B, K, H, W) in localizations per pixel; there is no threshold."""
    image: NDArray[np.float32] = (raw.float().clamp_min(0) * settings["image_scale"]).cpu().numpy()
    return image


def image(raw: Tensor, settings: Mapping[str, Any]) -> Tensor:
    """All colours of each input added up (B, H, W), in localizations per pixel."""
    summed: Tensor = raw.float().clamp_min(0).sum(dim=1) * settings["image_scale"]
    return summed
