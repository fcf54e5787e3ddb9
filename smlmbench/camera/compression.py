"""JPEG of grey frames, as phones store them (8-bit, lossy), by Pillow's libjpeg; its transform is in whole numbers."""

import io

import numpy as np
from numpy.typing import NDArray


def compressed(frames: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Each frame (..., height, width) as it comes back from a JPEG of a quality from 1 to 100."""
    from PIL import Image

    found = np.empty_like(frames)
    size = frames.shape[-2:]
    for frame, out in zip(frames.reshape(-1, *size), found.reshape(-1, *size), strict=True):
        file = io.BytesIO()
        Image.fromarray(frame).save(file, "JPEG", quality=quality)
        with Image.open(file) as image:
            out[:] = np.asarray(image)
    return found
