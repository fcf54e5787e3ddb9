"""The sum, mean, maximum or standard deviation of a movie over its frames, read block by block."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError
from smlmbench.figures import ImageFormat, projection
from smlmbench.formats import write_image
from smlmbench.formats.tiff_image import write_plain
from smlmbench.movies import Movie, check_finite
from smlmbench.registry import Catalog
from smlmbench.run.using.replacing import check_free

How = Literal["sum", "mean", "max", "std"]
BLOCK_BYTES = 1 << 24
TIFF_SUFFIXES = (".tif", ".tiff")


def project(movie: Movie, how: How, on_frames: Callable[[int], None] | None = None) -> NDArray[np.float64]:
    """Project a movie along time, in the counts of its file, at constant memory: float64 (H, W).

    std is of the population, over frames; `on_frames` hears the number of frames done.
    """
    step = max(1, BLOCK_BYTES // (movie.height * movie.width * 8))
    total = np.zeros((movie.height, movie.width))
    # Squares are summed about the first frame: far from zero, their differences would lose all digits.
    squares, highest = np.zeros_like(total), np.full_like(total, -np.inf)
    origin = movie.read(0, 1)[0].astype(np.float64) if how == "std" else 0.0
    for start in range(0, movie.n_frames, step):
        stop = min(start + step, movie.n_frames)
        block = movie.read(start, stop)
        check_finite(movie.path.name, start, block)
        if how == "max":
            np.maximum(highest, block.max(axis=0), out=highest)
        elif how == "std":
            moved = block.astype(np.float64) - origin
            total += moved.sum(axis=0)
            squares += np.square(moved, out=moved).sum(axis=0)
        else:
            total += block.sum(axis=0, dtype=np.float64)
        if on_frames is not None:
            on_frames(stop)
    if how == "max":
        return highest
    if how == "std":
        mean = total / movie.n_frames
        return np.sqrt(np.maximum(squares / movie.n_frames - mean**2, 0))
    return total / movie.n_frames if how == "mean" else total


def picture_format(path: Path) -> ImageFormat:
    """png, svg or pdf, from the suffix of a file to draw.

    Raises:
        FormatError: Another suffix.
    """
    name = path.suffix.lower().removeprefix(".")
    if name not in get_args(ImageFormat):
        raise FormatError(f"'{path}' does not end like a picture; accepted: .png, .svg, .pdf")
    return cast("ImageFormat", name)


def check_target(path: Path, *, overwrite: bool) -> None:
    """Refuse a file to write whose folder is not there, or that is there already, before long work.

    Raises:
        FormatError: No such folder; or the file, and `overwrite` is not set.
    """
    if not path.absolute().parent.is_dir():
        raise FormatError(f"'{path}' cannot be written: no folder '{path.parent}'; give a path in an existing folder")
    if not overwrite:
        check_free([path], "give another file with --out")


def write_projection(
    image: NDArray[np.float64], path: Path, title: str, *, pixel_nm: float | None, unit: str, catalog: Catalog
) -> None:
    """Write a projection as 32-bit TIFF (its numbers), or draw it as .png, .svg or .pdf.

    Raises:
        FormatError: Another suffix, or the file cannot be written.
    """
    if path.suffix.lower() in TIFF_SUFFIXES:
        if pixel_nm is None:
            write_plain(path, image)
        else:
            write_image(path, image, pixel_nm, catalog=catalog, format="tiff_image")
        return
    known = float("nan") if pixel_nm is None else pixel_nm
    write_bytes(path, projection(image, title, pixel_nm=known, unit=unit, image_format=picture_format(path)))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a picture.

    Raises:
        FormatError: The file cannot be written.
    """
    try:
        path.write_bytes(content)
    except OSError as error:
        raise FormatError(f"'{path}' cannot be written: {error.strerror}; give a path in an existing folder") from None
