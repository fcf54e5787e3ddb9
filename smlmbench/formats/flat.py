"""Movies without a header: frames one after the other, their size and number format stated elsewhere."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError
from smlmbench.movies import check_block


class FlatMovie:
    """An open headerless movie (a `Movie`); `read` reads only the frames asked for."""

    def __init__(self, path: Path, shape: tuple[int, int, int], stored: np.dtype[Any], stated_in: str) -> None:
        """Open a file of (frames, height, width) as `stated_in` says (FormatError: another size, or not readable)."""
        self.path = path
        self.n_frames, self.height, self.width = shape
        self._stored = stored
        self.dtype = stored.newbyteorder("=")
        self._frame_bytes = self.height * self.width * self._stored.itemsize
        self._lock = threading.Lock()
        size, wanted = path.stat().st_size, self.n_frames * self._frame_bytes
        if size != wanted:
            raise FormatError(
                f"'{path.name}' has {size:,} bytes but '{stated_in}' states {self.n_frames} frames of"
                f" {self.width} x {self.height} px {stored.name}, {wanted:,} bytes; copy both again"
            )
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise FormatError(f"'{path.name}' cannot be opened: {error.strerror}; check its rights") from None

    def read(self, start: int, stop: int) -> NDArray[np.generic]:
        """As every movie (SizeError: outside it; FormatError: the file has shrunk since it was opened)."""
        check_block(start, stop, self.n_frames)
        wanted = (stop - start) * self._frame_bytes
        with self._lock:
            self._file.seek(start * self._frame_bytes)
            content = self._file.read(wanted)
        if len(content) != wanted:
            raise FormatError(f"'{self.path.name}' has become shorter since it was opened; copy it again")
        frames = np.frombuffer(content, dtype=self._stored).reshape(stop - start, self.height, self.width)
        return frames.astype(self.dtype)

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._file.close()
