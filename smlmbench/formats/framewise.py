"""Movies that a library of the extra `microscopes` opens and gives frame by frame."""

import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError, MissingExtraError, SmlmBenchError, one_line, unreadable
from smlmbench.formats.tiff import DTYPES
from smlmbench.movies import check_block


@dataclass(frozen=True, slots=True)
class Source:
    """What a library says of an open file."""

    shape: tuple[int, int, int]  # frames, height, width
    dtype: np.dtype[Any]
    frame: Callable[[int], NDArray[Any]]  # the frame of a number, of any shape with height x width pixels
    close: Callable[[], object]


class FramewiseMovie:
    """An open movie (a `Movie`) of which a library gives single frames."""

    def __init__(self, path: Path, kind: str, opened: Callable[[], Source]) -> None:
        """Open the file (FormatError: it is broken, empty or of another number format; `kind` names it)."""
        self.path, self._kind, self._lock = path, kind, threading.Lock()
        with warnings.catch_warnings():  # what a library thinks of a file would stand beside our own lines
            warnings.simplefilter("ignore")
            self._source: Source = self._told(opened)
        self.n_frames, self.height, self.width = self._source.shape
        self.dtype: np.dtype[np.generic] = self._source.dtype.newbyteorder("=")
        if min(self._source.shape) < 1 or self.dtype.name not in DTYPES:
            self.close()
            shape = f"{self.n_frames} frames of {self.width} x {self.height} px"
            raise FormatError(f"'{path.name}' states {shape} {self.dtype}; save it as TIFF")

    def _told(self, work: Callable[[], Any]) -> Any:
        """What the library gives; what it says of a broken file is said in one line."""
        try:
            return work()
        except SmlmBenchError:
            raise
        except ImportError as error:
            raise MissingExtraError(f"'{self.path.name}': {one_line(error)}; install it, or save as TIFF") from None
        except Exception as error:
            raise unreadable(self.path, self._kind, error) from None

    def read(self, start: int, stop: int) -> NDArray[np.generic]:
        """As every movie (SizeError: outside it; FormatError: a frame cannot be read)."""
        check_block(start, stop, self.n_frames)
        out = np.empty((stop - start, self.height, self.width), dtype=self.dtype)
        with self._lock:
            for number in range(start, stop):
                frame = self._told(partial(self._source.frame, number))
                if frame.size != self.height * self.width:
                    said = f"frame {number + 1} (counted from 1) is {frame.shape}, not {self.height} x {self.width}"
                    raise FormatError(f"'{self.path.name}': {said}; save it as TIFF")
                out[number - start] = frame.reshape(self.height, self.width)
        return out

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._source.close()


def library(path: Path, module: str) -> Any:
    """A module of the extra `microscopes`, imported on use (MissingExtraError: it is not installed)."""
    try:
        return import_module(module)
    except ImportError:
        raise MissingExtraError(
            f"'{path.name}' needs {module}, not installed here; pip install 'smlmbench[microscopes]', or save as TIFF"
        ) from None
