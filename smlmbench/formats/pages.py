"""Folders of images: files in natural order, each opened as one or more grey pages (TIFF, PNG, BMP, JPEG)."""

import re
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError, unreadable
from smlmbench.formats import tiff
from smlmbench.movies import Movie, check_block

TIFF_SUFFIXES = (".tif", ".tiff")
SUFFIXES = (*TIFF_SUFFIXES, ".png", ".bmp", ".jpg", ".jpeg")
# What operating systems, programs and people leave beside images.
ASIDE = ("thumbs.db", "desktop.ini")
ASIDE_SUFFIXES = (".txt", ".md", ".csv", ".json", ".xml", ".yaml", ".yml", ".log")
GREY_MODES = ("1", "L", "I", "F", "I;16", "I;16L", "I;16B")


class StillImage:
    """One grey image that Pillow decodes (a `Movie`) of uint8, uint16, int32 or float32; `read` reads the pixels."""

    n_frames = 1

    def __init__(self, path: Path) -> None:
        """Look at the head of the file (FormatError: not an image, or in colour)."""
        from PIL import Image

        self.path = path
        try:
            with Image.open(path) as image:
                mode, (self.width, self.height) = image.mode, image.size
        except Exception as error:
            raise unreadable(path, "image", error) from None
        if mode not in GREY_MODES:
            raise FormatError(f"'{path.name}' is in colour ({mode}); save it as a grey image")
        names = {"1": "uint8", "L": "uint8", "I": "int32", "F": "float32"}
        self.dtype: np.dtype[np.generic] = np.dtype(names.get(mode, "uint16"))

    def read(self, start: int, stop: int) -> NDArray[np.generic]:
        """The page as (stop - start, height, width) (SizeError: outside it; FormatError: it cannot be decoded)."""
        from PIL import Image

        check_block(start, stop, self.n_frames)
        try:
            with warnings.catch_warnings(), Image.open(self.path) as image:
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large fields are no attack
                values = np.asarray(image).astype(self.dtype)
        except Exception as error:
            raise unreadable(self.path, "image", error) from None
        return values[None][: stop - start]

    def close(self) -> None:
        """Nothing stays open between two reads."""


def open_pages(path: Path) -> Movie:
    """Open an image file as grey pages (FormatError: no image, colour, cut short, or several shapes)."""
    return tiff.TiffMovie(path) if path.suffix.lower() in TIFF_SUFFIXES else StillImage(path)


def image_files(folder: Path) -> list[Path]:
    """The images of a folder in natural order (9 before 10); hidden files and notes do not count.

    Raises:
        FormatError: No images, or another kind of file among them.
    """
    files = [file for file in folder.iterdir() if file.is_file() and not _aside(file)]
    others = sorted(file.name for file in files if file.suffix.lower() not in SUFFIXES)
    accepted = " ".join(SUFFIXES)
    if others:
        raise FormatError(f"'{folder.name}/{others[0]}' is no image; accepted: {accepted}; convert it or take it out")
    if not files:
        inner = sorted(one.name for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))
        hint = f", perhaps '{folder.name}/{inner[0]}'" if inner else ""
        raise FormatError(f"folder '{folder}' has no images; accepted: {accepted}; give a folder of images{hint}")
    return sorted(files, key=lambda file: natural(file.name))


def natural(name: str) -> list[tuple[int, str]]:
    """A key by which numbers in names are compared as numbers, the same on every machine."""
    parts = [part for part in re.split(r"([0-9]+)", name) if part]
    return [(int(part), "") if part[0] in "0123456789" else (-1, part) for part in parts] + [(-2, name)]


def _aside(file: Path) -> bool:
    name = file.name.lower()
    return name.startswith(".") or name in ASIDE or file.suffix.lower() in ASIDE_SUFFIXES
