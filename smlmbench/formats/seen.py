"""What a file is that no format reads, for a message."""

from pathlib import Path

from smlmbench.errors import printable
from smlmbench.formats.hdf5 import contents, is_hdf5
from smlmbench.formats.text import CONTROL, encoding_of, listed, read_head

LOOKED_AT = 4096
SHOWN = 60
# By the first bytes.
KINDS = {
    b"II*\0": "a TIFF image",
    b"MM\0*": "a TIFF image",
    b"II+\0": "a BigTIFF image",
    b"MM\0+": "a BigTIFF image",
    b"PK\x03\x04": "a ZIP archive or workbook",
    b"\x1f\x8b": "compressed by gzip, unpack it first",
    b"BZh": "compressed by bzip2, unpack it first",
    b"\xfd7zXZ": "compressed by xz, unpack it first",
    b"MATLAB ": "a MATLAB file",
    b"\xd0\xcf\x11\xe0": "an old Office file, save it again as .xlsx or .csv",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"%PDF": "a PDF",
    b"\x93NUMPY": "an array of numpy (.npy), save it as text or HDF5",
    b"PAR1": "a Parquet table, save it as .csv",
    b"SQLite format 3": "an SQLite database",
    b"ZISRAWFILE": "a CZI movie",
    b"\xda\xce\xbe\x0a": "an ND2 movie",
    b"<?xml": "XML",
    b"<!DOCTYPE": "a page of the web",
    b"<html": "a page of the web",
    b"{": "JSON",
}


def seen(path: Path) -> tuple[str, str]:
    """Which kind a file is by its first bytes: `text`, `hdf5` or none of these; and what is in it.

    Raises:
        FormatError: A damaged HDF5 file.
    """
    with path.open("rb") as file:
        start = file.read(LOOKED_AT)
    if is_hdf5(path):
        return "hdf5", f"HDF5 with {contents(path)}"
    for begin, kind in KINDS.items():
        if start.startswith(begin):
            return "", kind
    head = read_head(path)
    if not head.is_text or CONTROL.search(start.decode(encoding_of(path), "replace")):
        return "", f"data of an unknown kind that begin with {start[:8].hex(' ')}"
    if len(head.headers) > 1:
        return "text", f"text with columns {listed([header.text for header in head.headers])}"
    first = head.headers[0].text if head.headers else ""
    return "text", f"text without comma, semicolon or tab in its first line '{printable(first[:SHOWN])}'"
