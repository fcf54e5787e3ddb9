"""Two folders of small image pairs: spots of emitters as inputs, spikes as targets."""

from pathlib import Path
from typing import Any

import numpy as np
import tifffile


def draw(seed: int, side: int, ratio: int, spikes: int = 12) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """An input (side, side) uint16 and its target (side * ratio,) * 2 float32 with spikes of 255."""
    from scipy.ndimage import gaussian_filter

    generator = np.random.default_rng(seed)
    target = np.zeros((side * ratio, side * ratio), dtype=np.float32)
    target[tuple(generator.integers(2, side * ratio - 2, (2, spikes)))] = 255
    light = gaussian_filter(target, 1.2 * ratio) * 8 * ratio**2
    expected = light.reshape(side, ratio, side, ratio).mean(axis=(1, 3)) + 10
    return generator.poisson(expected).astype(np.uint16), target


def write(folder: Path, count: int = 6, *, side: int = 16, ratio: int = 2, suffix: str = ".tif") -> dict[str, Any]:
    """Write `X` and `Y` with `count` pairs; return the source as a study names it."""
    for number in range(count):
        given, wanted = draw(number, side, ratio)
        put(folder, f"im{number}{suffix}", given, wanted)
    return {"images": {"input": "X", "target": "Y", "crop_px": min(16, side)}}


def put(folder: Path, name: str, given: Any, wanted: Any) -> None:
    """Write one pair of files of one name."""
    for part, image in (("X", given), ("Y", wanted)):
        path = folder / part / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".tif":
            tifffile.imwrite(path, image, photometric="minisblack")
        else:
            from PIL import Image

            Image.fromarray(image).save(path)
