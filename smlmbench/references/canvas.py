"""The fine grid that a reference draws on."""

import numpy as np
from numpy.typing import NDArray

from smlmbench.data.contracts import Condition, Settings
from smlmbench.predictions import Raster

UPSAMPLING = 8
BLOCK_FRAMES = 64


def upsampling_of(output_settings: Settings) -> int:
    """Fine pixels per camera pixel; 8 where the output kind has no grid."""
    return int(output_settings.get("upsampling", UPSAMPLING))


def raster_of(fine: NDArray[np.float32], condition: Condition, upsampling: int) -> Raster:
    """Wrap a fine image (U*H, U*W)."""
    return Raster(np.ascontiguousarray(fine[None], dtype=np.float32), condition.pixel_size_nm / upsampling)
