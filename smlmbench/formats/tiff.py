"""TIFF movies: ImageJ stacks (also above 4 GB), BigTIFF and plain multi-page files; one grey frame per page.

Uncompressed pages are read straight from the file, so that a movie of any size costs one block of memory; a file
that was cut short is refused when it is opened, not in the middle of a run. Only the given file is read; OME-TIFF
whose metadata name further files is `ome_tiff`.
"""

import logging
import math
import re
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import (
    FormatError,
    LossWarning,
    MissingExtraError,
    SmlmBenchError,
    one_line,
    unreadable,
    unwritable,
)
from smlmbench.formats.bounds import check_room
from smlmbench.formats.numbered import LATER, continuing
from smlmbench.movies import Movie, check_block

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "TIFF movie, one grey frame per page or a contiguous ImageJ stack.",
    "facts": {
        "holds": "movie",
        "suffixes": [".tif", ".tiff", ".btf", ".tf8"],
        "writes": True,
        "first_frame": 0,
        "origin": "corner",
        "fallback": True,
    },
}

BIG_SUFFIXES = (".btf", ".tf8")  # promise BigTIFF; what is read may be either
BLOCK_BYTES = 1 << 25
PAGE_BYTES = 256
MOST_BYTES = 2**32 - 2**20
SIGNED = (-32768.0, 1.0)  # how ImageJ keeps int16
MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
DTYPES = ("uint8", "uint16", "uint32", "int16", "int32", "float16", "float32", "float64")
# Keeps tifffile's own lines about broken files from stderr, where they would stand beside our error.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


class TiffMovie:
    """An open TIFF movie (a `Movie`) of any of `DTYPES`; `look` says shape and number format of its frames.

    Where ImageJ states a calibration (signed 16 bit is one), counts are the calibrated numbers that it shows.
    """

    def __init__(self, path: Path) -> None:
        """Open and check the file.

        Raises:
            FormatError: Not a TIFF, cut short, colour, pages of several shapes, or another number format.
            MissingExtraError: Its compression needs a package that is not installed.
        """
        import tifffile

        self.path = path
        self._lock = threading.Lock()
        try:
            self._tiff: Any = tifffile.TiffFile(path)
            try:
                self._measure()
            except BaseException:
                self.close()
                raise
        except SmlmBenchError:
            raise
        except Exception as error:
            raise unreadable(path, "TIFF", error) from None

    def _measure(self) -> None:
        name, size = self.path.name, self.path.stat().st_size
        if len(self._tiff.pages) == 0:
            raise FormatError(f"'{name}' has no pages, it is cut short or empty; copy or save it again")
        first = self._tiff.pages[0]
        _check_grey(name, self._tiff, first)
        narrow = _narrow(name, self._tiff, first)
        shape: tuple[int, int] = narrow or first.shape
        self.height, self.width = shape
        self._stored = np.dtype(first.dtype).newbyteorder(self._tiff.byteorder)
        self._line = _calibration(name, self._tiff)
        signed = self._line == SIGNED and self._stored.name == "uint16"
        self.dtype = self._stored.newbyteorder("=") if self._line is None else np.dtype("i2" if signed else "f4")
        self.stated_shape = tuple(self._tiff.shaped_metadata[0]["shape"]) if self._tiff.is_shaped else ()
        self.look = f"{self.height} x {self.width} {self.dtype}"
        self._offsets = _stack_offsets(self._tiff, first, size, self.height * self.width * first.dtype.itemsize)
        if self._offsets is None:
            self._offsets = np.array(first.dataoffsets[:1], np.int64) if narrow else self._page_offsets(size)
        self.n_frames = len(self._tiff.pages) if self._offsets is None else len(self._offsets)
        if 0 < (stated := _ome_planes(self._tiff)[0]) < self.n_frames:
            raise FormatError(f"'{name}' states {stated} frames and has {self.n_frames} pages; save the movie again")
        frame_bytes = self.height * self.width * self._stored.itemsize
        if self._offsets is None:
            check_room(name, "a frame", frame_bytes, size)
            self._decode(0)
            return
        ends = self._offsets + frame_bytes
        if ends.max() > size:
            missing = int(np.flatnonzero(ends > size)[0])
            raise _cut_short(name, size, f"frame {missing} of {self.n_frames} ends at byte {ends[missing]:,}")

    def _page_offsets(self, size: int) -> NDArray[np.int64] | None:
        """Start of each page's pixels after checking all pages; None where they must be decoded."""
        pages, name = self._tiff.pages, self.path.name
        wanted = (self.height, self.width, pages[0].dtype)
        offsets, plain = [], True
        for number in range(len(pages)):
            page = pages[number]
            if (*page.shape, page.dtype) != wanted:
                raise FormatError(
                    f"'{name}': page {number} is {page.shape} {page.dtype}, page 0 is {wanted[:2]} {wanted[2]};"
                    " a movie has pages of one shape, split the file"
                )
            if not page.dataoffsets:
                raise FormatError(f"'{name}': page {number} has no pixels; save the movie again")
            plain = plain and page.is_final
            end = max(map(sum, zip(page.dataoffsets, page.databytecounts, strict=True)))
            if end > size:
                raise _cut_short(name, size, f"page {number} of {len(pages)} ends at byte {end:,}")
            offsets.append(page.dataoffsets[0])
        self._check_last_page(size)
        return np.array(offsets, dtype=np.int64) if plain else None

    def _check_last_page(self, size: int) -> None:
        """The list of pages must end with a zero; tifffile takes a broken one for its end."""
        tiff = self._tiff
        with self.path.open("rb") as file:
            file.seek(tiff.pages.next_page_offset)
            following = int.from_bytes(file.read(tiff.tiff.offsetsize), "little" if tiff.byteorder == "<" else "big")
        if following:
            raise _cut_short(self.path.name, size, f"after page {len(tiff.pages) - 1} another one should follow")

    def read(self, start: int, stop: int) -> NDArray[np.generic]:
        """As every movie (SizeError: outside it; FormatError: a page cannot be decoded, or the file has shrunk)."""
        check_block(start, stop, self.n_frames)
        if self._offsets is None:
            out = np.empty((stop - start, self.height, self.width), dtype=self._stored.newbyteorder("="))
            for number in range(start, stop):
                out[number - start] = self._decode(number)
            return self._shown(out)
        stored = np.empty((stop - start, self.height, self.width), dtype=self._stored)
        offsets = self._offsets[start:stop]
        step = self.height * self.width * self._stored.itemsize
        with self._lock:
            if len(offsets) and bool((np.diff(offsets) == step).all()):
                self._fill(stored, int(offsets[0]))
            else:
                for frame, offset in zip(stored, offsets, strict=True):
                    self._fill(frame, int(offset))
        return self._shown(stored)

    def _shown(self, stored: NDArray[Any]) -> NDArray[np.generic]:
        if self._line is not None:
            stored = self._line[0] + self._line[1] * stored
        return stored.astype(self.dtype, copy=False)

    def _fill(self, pixels: NDArray[Any], offset: int) -> None:
        """Read stored pixels; the caller holds the lock."""
        if pixels.size == 0:
            return
        file = self._tiff.filehandle
        file.seek(offset)
        done = file.readinto(pixels.data.cast("B"))
        if done != pixels.nbytes:
            end = offset + pixels.nbytes
            raise _cut_short(self.path.name, offset + done, f"had at least {end:,} when it was opened")

    def _decode(self, number: int) -> NDArray[np.generic]:
        """One compressed page."""
        try:
            with self._lock:
                return np.asarray(self._tiff.pages[number].asarray(maxworkers=1))
        except Exception as error:
            if "imagecodecs" in str(error) or isinstance(error, ModuleNotFoundError):  # zstd of newer Pythons
                why = "is compressed in a way that needs imagecodecs"
                raise MissingExtraError(
                    f"'{self.path.name}' {why}; pip install imagecodecs, or save it uncompressed"
                ) from None
            said = f"page {number} cannot be decoded ({type(error).__name__}: {one_line(error)})"
            raise FormatError(f"'{self.path.name}': {said}; copy or save it again") from None

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._tiff.close()


def recognises(path: Path) -> bool:
    """The first four bytes are those of a TIFF or BigTIFF."""
    with path.open("rb") as file:
        return file.read(4) in MAGIC


def open_movie(path: Path) -> TiffMovie:
    """Open a TIFF movie; see `TiffMovie`. A LossWarning tells of files beside it that seem to be its other parts."""
    movie = TiffMovie(path)
    _check_axes(movie)
    others, said = continuing(path), ""
    if others and any(_first_look(other) == _first_look(path) for other in others[:2]):
        shown = f"'{others[0].name}'" + (f" ... '{others[-1].name}'" if others[1:] else "")
        said = (
            f"{len(others)} files beside it are named and sized like further parts of it ({shown}): give a folder of"
            " the parts alone if they are one movie"
        )
    elif not others and (later := LATER.fullmatch(path.name)):
        said = f"it is named as a later part of '{later[1]}{later[2]}', which is not beside it"
    if said:
        said = f"'{path.name}' is read alone, {movie.n_frames} frames; {said}"
        warnings.warn(said, LossWarning, stacklevel=3)
    return movie


def write_movie(
    movie: Movie, path: Path, pixel_nm: float | None = None, on_frames: Callable[[int], None] | None = None
) -> None:
    """Copy an open movie block by block into a TIFF, a BigTIFF above 4 GB (FormatError: it cannot be written).

    The file states `pixel_nm` where it is known; `on_frames` is called with the number of frames written.
    """
    import tifffile

    frame_bytes = movie.height * movie.width * movie.dtype.itemsize
    step = max(1, BLOCK_BYTES // frame_bytes)
    # Beside its pixels every page needs some hundred bytes.
    big = movie.n_frames * (frame_bytes + PAGE_BYTES) > MOST_BYTES or path.suffix.lower() in BIG_SUFFIXES
    scale: dict[str, Any] = {}
    if pixel_nm is not None:
        scale = {"resolution": (1e7 / pixel_nm, 1e7 / pixel_nm), "resolutionunit": "CENTIMETER"}
    partial = path.with_name(path.name + ".part")
    try:
        with tifffile.TiffWriter(partial, bigtiff=big) as writer:
            for start in range(0, movie.n_frames, step):
                stop = min(start + step, movie.n_frames)
                for frame in movie.read(start, stop):
                    writer.write(frame, photometric="minisblack", metadata=None, **scale)
                if on_frames is not None:
                    on_frames(stop)
        partial.replace(path)
    except OSError as error:
        raise unwritable("movie", path, error) from None
    finally:
        partial.unlink(missing_ok=True)


def _check_axes(movie: TiffMovie) -> None:
    """Refuse one page of which nobody says whether it is one image or many of one column."""
    stated = movie.stated_shape
    if len(stated) == 3 and stated[-1] == 1 and max(stated) > 1 and (movie.height, movie.width) == stated[:2]:
        movie.close()
        raise FormatError(
            f"'{movie.path.name}' states {' x '.join(map(str, stated))} pixels and not which axis is time; save it with"
            " the axes TYX, or without the last one if it is a single image"
        )


def _first_look(path: Path) -> tuple[Any, ...] | None:
    """Shape and number format of the first page; None where there is none to be read."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            return (*file.pages[0].shape, file.pages[0].dtype)
    except Exception:  # a file that nobody asked for
        return None


def _check_grey(name: str, tiff: Any, page: Any) -> None:
    """Refuse colour, channels, volumes and number formats that no camera writes."""
    if not all(isinstance(side, int) and side > 0 for side in page.shape):
        raise FormatError(f"'{name}' has pages of shape {page.shape}, without pixels; copy or save it again")
    if page.samplesperpixel != 1 or len(page.shape) != 2:
        raise FormatError(f"'{name}' has pages of shape {page.shape}, colour or volumes; save it as grey frames")
    if page.dtype is None or page.dtype.name not in DTYPES:
        raise FormatError(f"'{name}' holds {page.dtype}; accepted: {', '.join(DTYPES)}; convert it")
    if tiff.is_imagej:
        stated = tiff.imagej_metadata or {}
        channels, others = stated.get("channels", 1), stated.get("frames", 1) * stated.get("slices", 1)
    else:
        planes, channels = _ome_planes(tiff)
        others = planes // channels
    if tiff.is_shaped and len(several := [side for side in tiff.shaped_metadata[0]["shape"][:-2] if side > 1]) > 1:
        raise FormatError(f"'{name}' has {' x '.join(map(str, several))} images, not one movie; save the channel alone")
    # A stack of channels alone is a list of images; channels beside frames would be taken for frames.
    if channels > 1 and others > 1:
        raise FormatError(f"'{name}' has {channels} channels; save the channel of the emitters alone")


def _calibration(name: str, tiff: Any) -> tuple[float, float] | None:
    """Offset and slope of ImageJ's calibrated pixels; None where they are the stored ones."""
    stated = (tiff.imagej_metadata or {}) if tiff.is_imagej else {}
    line = (float(stated.get("c0", 0.0)), float(stated.get("c1", 1.0)))
    if "c0" in stated and (stated.get("cf", 0) != 0 or "c2" in stated):
        raise FormatError(
            f"'{name}' has pixels calibrated by a curve; convert them to numbers in Fiji, or save without it"
        )
    return None if line == (0.0, 1.0) else line


def _ome_planes(tiff: Any) -> tuple[int, int]:
    """Planes and channels that OME metadata state for one image; 0 planes where they state none."""
    sizes = {axis: int(size) for axis, size in re.findall(r'Size([CZT])="(\d+)"', tiff.ome_metadata or "")}
    return math.prod(sizes.values()) if sizes else 0, sizes.get("C", 1)


def _narrow(name: str, tiff: Any, first: Any) -> tuple[int, int] | None:
    """Height and width of frames that are one pixel wide, which tifffile writes as one page; None for all others."""
    stated = tiff.shaped_metadata[0] if tiff.is_shaped else {}
    shape, axes = tuple(stated.get("shape", ())), str(stated.get("axes", ""))
    if len(shape) < 3 or shape[-1] != 1 or first.shape != shape[-3:-1] or len(axes) != len(shape):
        return None
    if not axes.endswith("YX"):
        return None
    if not first.is_final:
        raise FormatError(f"'{name}' has frames of {shape[-2]} x 1 px in one compressed page; save them uncompressed")
    return int(shape[-2]), 1


def _stack_offsets(tiff: Any, first: Any, size: int, n_bytes: int) -> NDArray[np.int64] | None:
    """Start of each frame, of `n_bytes`, of a stack whose frames follow each other in a file of `size` bytes.

    None where each page must be looked at.

    ImageJ writes stacks above 4 GB as one page and raw pixels behind it; tifffile may do so too.
    """
    pages = tiff.pages
    stated = 1
    if tiff.is_imagej:
        stated = int((tiff.imagej_metadata or {}).get("images", 1))
    elif tiff.is_shaped and len(pages) == 1:
        stated = math.prod(tiff.shaped_metadata[0]["shape"]) * first.dtype.itemsize // n_bytes
    elif tiff.is_stk:
        stated = math.prod(tiff.series[0].shape) // math.prod(first.shape)
    if stated > len(pages) and not (first.is_final and len(pages) == 1):
        said = f"'{tiff.filename}' states {stated} frames and has {len(pages)} pages"
        raise FormatError(f"{said}; copy or save it again")
    if stated < 2 or not first.is_final or len(pages) not in (1, stated):
        return None
    whole = (size - int(first.dataoffsets[0])) // n_bytes
    if stated > whole:  # before a list of places is made of a number that may be anything
        end = int(first.dataoffsets[0]) + (whole + 1) * n_bytes
        raise _cut_short(tiff.filename, size, f"frame {max(whole, 0)} of {stated} ends at byte {end:,}")
    offsets = np.arange(stated, dtype=np.int64) * n_bytes + int(first.dataoffsets[0])
    for number in {1, stated - 1} if len(pages) > 1 else ():
        page = pages[number]
        if page.shape != first.shape or page.dtype != first.dtype or page.dataoffsets[0] != offsets[number]:
            return None
    return offsets


def _cut_short(name: str, size: int, why: str) -> FormatError:
    return FormatError(f"'{name}' is cut short: it has {size:,} bytes but {why}; copy it again")
