"""Single images as TIFF: a rendered reconstruction, read and written so that Fiji shows nm."""

import math
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError, SizeError, unwritable
from smlmbench.formats import tiff
from smlmbench.predictions import Raster

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "One grey image in a TIFF file.",
    "settings": {
        "page": {"default": None, "min": 0, "help": "Page to read, from 0; may be absent where there is only one."}
    },
    "facts": {"holds": "image", "suffixes": [".tif", ".tiff"], "writes": True, "first_frame": 0, "origin": "corner"},
}

ORIGIN = "outer corner of pixel (0, 0)"


def recognises(path: Path) -> bool:
    """The first four bytes are those of a TIFF or BigTIFF."""
    return tiff.recognises(path)


def read_image(path: Path, settings: Mapping[str, Any]) -> NDArray[np.float32]:
    """Read one page as float32 (H, W) (FormatError: not a grey TIFF, or several pages and no `page`)."""
    with closing(tiff.TiffMovie(path)) as movie:
        page, last = settings["page"], movie.n_frames - 1
        if page is None and last > 0:
            raise FormatError(f"'{path.name}' has {movie.n_frames} pages; say which with page: 0 ... {last}")
        page = page or 0
        if int(page) != page or page > last:
            raise FormatError(f"'{path.name}' has no page {page:g}; give a whole number from 0 to {last}")
        image: NDArray[np.float32] = movie.read(int(page), int(page) + 1)[0].astype(np.float32)
        return image


def write_image(path: Path, array: NDArray[np.floating], pixel_nm: float) -> None:
    """Write an image (H, W) as 32-bit ImageJ TIFF with its pixel size in nm; the description states the origin.

    Raises:
        SizeError: Not a 2-D image, or no pixel size.
        FormatError: The file cannot be written.
    """
    if array.ndim != 2 or not pixel_nm > 0:
        raise SizeError(f"image of shape {array.shape}, pixels of {pixel_nm:g} nm; give (height, width) and nm above 0")
    write_plain(path, array, **_pixel(pixel_nm))


def write_pages(path: Path, images: NDArray[np.floating], pixel_nm: float) -> None:
    """Write images (K, H, W) of one field as pages, of K = 1 as `write_image` (FormatError: it cannot be written)."""
    if len(images) == 1:
        write_image(path, images[0], pixel_nm)
    else:
        _write(path, images, **_pixel(pixel_nm))


def _pixel(pixel_nm: float) -> dict[str, Any]:
    metadata = {"unit": "nm", "pixel_nm": float(pixel_nm), "grid_origin": ORIGIN}
    return {"resolution": (1 / pixel_nm, 1 / pixel_nm), "metadata": metadata}


def write_raster(path: Path, raster: Raster) -> None:
    """Write the first image of a raster, with its pixel size where that is known."""
    if math.isfinite(raster.pixel_nm):
        write_image(path, raster.values[0], raster.pixel_nm)
    else:
        write_plain(path, raster.values[0])


def write_plain(path: Path, array: NDArray[np.floating], **stated: Any) -> None:
    """Write an image (H, W) as 32-bit ImageJ TIFF; `stated`: further words of tifffile, such as its pixel size.

    Raises:
        SizeError: Not a 2-D image.
        FormatError: The file cannot be written.
    """
    if array.ndim != 2:
        raise SizeError(f"image of shape {array.shape}; give (height, width)")
    _write(path, array, **stated)


def _write(path: Path, array: NDArray[np.floating], **stated: Any) -> None:
    import tifffile

    try:
        tifffile.imwrite(path, array.astype(np.float32), imagej=True, **stated)
    except OSError as error:
        raise unwritable("image", path, error) from None
