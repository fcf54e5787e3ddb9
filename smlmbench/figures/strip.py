"""Images of one field side by side, each with its own scale."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from numpy.typing import ArrayLike

from smlmbench.figures.frame import show
from smlmbench.figures.pictures import checked, draw_scale_bar, peak
from smlmbench.figures.style import ImageFormat, drawing_style, save
from smlmbench.figures.style import tiles as side_by_side


@dataclass(frozen=True, slots=True)
class Tile:
    """One image (H, W) of any grid; `sparse` ones are drawn by the root of their values, which shows the faint."""

    title: str
    image: ArrayLike
    unit: str = ""
    colours: str = "inferno"
    sparse: bool = False


def strip(tiles: Sequence[Tile], size_nm: tuple[float, float], *, image_format: ImageFormat = "png") -> bytes:
    """Draw images that show the same field of `size_nm` (width, height; NaN: unknown).

    Raises:
        SizeError: Something that is not one image.
    """
    from matplotlib.colors import Normalize, PowerNorm

    images = [checked(tile.title, tile.image) for tile in tiles]
    known = math.isfinite(size_nm[0])
    width, height = size_nm if known else (float(images[0].shape[1]), float(images[0].shape[0]))
    with drawing_style():
        figure, axes = side_by_side(len(tiles), height / width)
        for axis, tile, image in zip(axes, tiles, images, strict=True):
            high = peak(image) if tile.sparse else float(image.max())
            low = 0.0 if tile.sparse else float(image.min())
            high = max(high, low + 1e-12)
            scale = PowerNorm(0.5, vmin=low, vmax=high, clip=True) if tile.sparse else Normalize(low, high)
            show(axis, image, (width, height), {"cmap": tile.colours, "norm": scale}, tile.title, tile.unit)
            draw_scale_bar(axis, width, height, "white", in_px=not known)
        return save(figure, image_format)
