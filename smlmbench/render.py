"""From positions to images: histograms on a fine grid, Gaussian kernels, blurring.

A fine pixel (i, j) covers [j p, (j + 1) p) along x and [i p, (i + 1) p) along y, origin at the outer corner.
"""

import math
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from smlmbench.errors import SizeError
from smlmbench.predictions import Localizations, Raster

Floats = NDArray[np.float64]
LabelRule = Literal["floor", "ds"]
LABEL_RULES = get_args(LabelRule)


def rasterise(
    x_nm: ArrayLike,
    y_nm: ArrayLike,
    shape_px: tuple[int, int],
    fine_pixel_nm: float,
    label_rule: LabelRule = "floor",
) -> Floats:
    """Count positions in fine pixels.

    Args:
        x_nm: Positions along the last axis (n,), finite.
        y_nm: The same along the first axis.
        shape_px: Rows and columns of the fine grid.
        fine_pixel_nm: Fine pixel, > 0.
        label_rule: `floor`: pixel floor(x / p), positions outside the grid are dropped. `ds`: the index of
            Deep-STORM's own files, clamp(round(x / p), 1, N) - 1 with halves rounded away from zero; it lies half a
            fine pixel up and left on average and drops nothing. Only to compare with those files.

    Returns:
        Float64 (H, W).

    Raises:
        SizeError: A position is not finite, lengths differ, or a rule of another name.
    """
    x, y = (np.asarray(values, dtype=np.float64).reshape(-1) for values in (x_nm, y_nm))
    if len(x) != len(y):
        raise SizeError(f"{len(x)} x and {len(y)} y; give one of each per position")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise SizeError("a position is not finite; leave out rows without x or y")
    height, width = shape_px
    columns, rows = (_index(values / fine_pixel_nm, size, label_rule) for values, size in ((x, width), (y, height)))
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    flat = rows[inside].astype(np.int64) * width + columns[inside].astype(np.int64)
    return np.bincount(flat, minlength=height * width).astype(np.float64).reshape(height, width)


def _index(position_px: Floats, size: int, label_rule: str) -> Floats:
    """0-based index as float (may lie outside), so that far positions cannot overflow an integer."""
    whole = np.floor(position_px)
    if label_rule == "floor":
        return np.asarray(whole)
    if label_rule == "ds":
        rounded = whole + (position_px - whole >= 0.5)
        return np.asarray(np.clip(rounded, 1, size) - 1)
    raise SizeError(f"label rule '{label_rule}' is unknown; accepted: ds, floor")


def blur(image: NDArray[np.floating], sigma_px: float) -> Floats:
    """Blur (H, W) or (K, H, W) with a Gaussian cut at 4 sigma (sigma 0 copies); outside the image there is nothing."""
    values = np.array(image, dtype=np.float64)
    if sigma_px == 0:
        return values
    if not sigma_px > 0:
        raise SizeError(f"sigma {sigma_px:g} px is not a width; give 0 or more")
    widths = (0.0,) * (values.ndim - 2) + (sigma_px, sigma_px)
    return np.asarray(ndimage.gaussian_filter(values, widths, mode="constant", cval=0.0), dtype=np.float64)


def fine_shape(field_nm: tuple[float, float], fine_pixel_nm: float) -> tuple[int, int]:
    """Rows and columns of the fine grid that covers a field given as (along x, along y).

    Raises:
        SizeError: No field or no pixel.
    """
    if not (fine_pixel_nm > 0 and min(field_nm) > 0 and math.isfinite(max(field_nm))):
        raise SizeError(f"a field of {field_nm} nm has no pixels of {fine_pixel_nm:g} nm; give sizes above 0")
    # Rounding of the quotient must not add a pixel.
    width, height = (math.ceil(extent / fine_pixel_nm - 1e-6) for extent in field_nm)
    return height, width


def render_table(locs: Localizations, field_nm: tuple[float, float] | None, fine_pixel_nm: float) -> Raster:
    """Count the rows of a table in one image (1, H, W) of a field (None: of the table's); rows outside are dropped."""
    shape_px = fine_shape(locs.field_nm if field_nm is None else field_nm, fine_pixel_nm)
    return Raster(rasterise(locs.x_nm, locs.y_nm, shape_px, fine_pixel_nm)[None].astype(np.float32), fine_pixel_nm)
