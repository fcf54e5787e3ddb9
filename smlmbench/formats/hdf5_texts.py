"""Texts in HDF5 attributes: what they state is held against what the file has before the library believes it.

A length that lost a bit makes HDF5 ask for gigabytes and fill them, where one line should tell of a broken file.
"""

import mmap
import re
import struct
from pathlib import Path

from smlmbench.errors import FormatError

# A text of free length in an attribute: its type, a scalar space, then length, place of a heap and number in that heap.
TEXT = re.compile(
    rb"\x19[\x01\x11\x21][\x00\x01]\x00\x10\x00\x00\x00[\s\S]{8,16}?(?:\x01\x00[\s\S]{6}|\x02\x00\x00\x00)([\s\S]{16})"
)
HEAP, HEAP_HEAD = b"GCOL", 16


def check_texts(path: Path) -> None:
    """Refuse a file of whose attributes one is a text that the file does not hold in full.

    Raises:
        FormatError: There is such a text.
        OSError, ValueError: The file cannot be mapped.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for found in TEXT.finditer(content):
            length, heap, number = struct.unpack("<IQI", found[1])
            if length > 0 and not _holds(content, heap, number, length):
                said = f"an attribute states a text of {length:,} bytes that is not there"
                raise FormatError(f"'{path.name}' is not a readable HDF5 file: {said}; copy or save it again")


def _holds(content: mmap.mmap, heap: int, number: int, length: int) -> bool:
    """Whether an object of a heap is there with so many bytes."""
    if content[heap : heap + len(HEAP)] != HEAP:
        return False
    at = heap + HEAP_HEAD
    while at + 16 <= len(content):
        which, size = struct.unpack_from("<H6xQ", content, at)
        if which in (0, number):
            return bool(which == number and length <= size <= len(content) - at - 16)
        at += 16 + size + -size % 8
    return False
