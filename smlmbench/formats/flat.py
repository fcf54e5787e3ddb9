"""Movies without a header: frames one after the other, their size and number format stated elsewhere."""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError
from smlmbench.movies import check_block

DTYPES = ("uint8", "uint16", "float32")


@dataclass(frozen=True, slots=True)
class Layout:
    """What a header would say.

    Attributes:
        n_frames, height, width: Size of the movie.
        stored: Number format in the file, with its byte order.
        stated_in: Name of the file that says so, for messages.
    """

    n_frames: int
    height: int
    width: int
    stored: np.dtype[Any]
    stated_in: str


class FlatMovie:
    """An open headerless movie; `read` may be called from any thread and reads only the frames asked for.

    Attributes:
        path: The file.
        n_frames, height, width: Its size.
        dtype: Number format in the machine's byte order.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        """Open the file.

        Raises:
            FormatError: Its number of bytes is not that of the layout, or it cannot be opened.
        """
        self.path = path
        self.n_frames, self.height, self.width = layout.n_frames, layout.height, layout.width
        self._stored = layout.stored
        self.dtype = self._stored.newbyteorder("=")
        self._frame_bytes = self.height * self.width * self._stored.itemsize
        self._lock = threading.Lock()
        size, wanted = path.stat().st_size, self.n_frames * self._frame_bytes
        if size != wanted:
            shape = f"{self.n_frames} frames of {self.width} x {self.height} px {self._stored.name}"
            raise FormatError(
                f"'{path.name}' has {size:,} bytes but '{layout.stated_in}' states {shape}, {wanted:,} bytes;"
                " copy both again"
            )
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise FormatError(f"'{path.name}' cannot be opened: {error.strerror}; check its rights") from None

    def read(self, start: int, stop: int) -> NDArray[np.generic]:
        """Frames start .. stop - 1 as (n, height, width) in `dtype`.

        Raises:
            SizeError: Outside the movie.
            FormatError: The file has shrunk since it was opened.
        """
        check_block(start, stop, self.n_frames)
        with self._lock:
            self._file.seek(start * self._frame_bytes)
            content = self._file.read((stop - start) * self._frame_bytes)
        if len(content) != (stop - start) * self._frame_bytes:
            raise FormatError(f"'{self.path.name}' has become shorter since it was opened; copy it again")
        frames = np.frombuffer(content, dtype=self._stored).reshape(stop - start, self.height, self.width)
        return frames.astype(self.dtype)

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._file.close()
