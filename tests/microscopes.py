"""Small files as microscopes write them, from what the libraries that read them expect: ND2 (version 2) and SIF."""

import struct
from pathlib import Path

import numpy as np

ND2_MAGIC = 0x0ABECEDA
LOOPS = {"time": 1, "positions": 2, "planes": 4}


def _chunk(name: bytes, content: bytes, reserve: int) -> bytes:
    return struct.pack("<IIQ", ND2_MAGIC, reserve, len(content)) + name.ljust(reserve, b"\0") + content


def _variant(values: dict[str, object]) -> bytes:
    def item(name: str, value: object) -> str:
        if isinstance(value, dict):
            return f"<{name}>{''.join(item(*pair) for pair in value.items())}</{name}>"
        kind = "double" if isinstance(value, float) else "lx_uint32"
        return f'<{name} runtype="{kind}" value="{value}"/>'

    inner = "".join(item(*pair) for pair in values.items())
    return f'<variant version="1.0"><no_name>{inner}</no_name></variant>'.encode()


def write_nd2(
    path: Path, frames: np.ndarray, *, loop: str = "time", count: int | None = None, left_out: int | None = None
) -> Path:
    """Frames (n, H, W), or (n, H, W, channels); a loop that states other numbers, and a frame that is not written."""
    n, height, width, channels = (*frames.shape, 1)[:4]
    bits = frames.dtype.itemsize * 8
    attributes = {
        "uiWidth": width,
        "uiWidthBytes": width * channels * bits // 8,
        "uiHeight": height,
        "uiComp": channels,
        "uiBpcInMemory": bits,
        "uiBpcSignificant": bits,
        "uiSequenceCount": n,
    }
    steps = {"uiCount": n if count is None else count, "dPeriod": 30.0, "dDuration": 0.0, "dStart": 0.0, "dStep": 1.0}
    chunks = {
        b"ImageAttributes!": _variant(attributes),
        b"ImageMetadata!": _variant({"eType": LOOPS[loop], "uLoopPars": steps}),
        b"ImageMetadataSeq|0!": _variant({"sPicturePlanes": {"uiCount": channels}}),
    }
    for number, frame in enumerate(frames):
        if number != left_out:
            pixels = np.ascontiguousarray(frame).astype(frame.dtype.newbyteorder("<")).tobytes()
            chunks[b"ImageDataSeq|%d!" % number] = struct.pack("<d", 30.0 * number) + pixels
    out = bytearray(_chunk(b"ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver2.1".ljust(64, b"\0"), 32))
    places = b""
    for name, content in chunks.items():
        out += b"\0" * (-len(out) % 4096)
        places += name + struct.pack("<QQ", len(out), len(content))
        out += _chunk(name, content, 4072 if name.startswith(b"ImageData") else 64)
    out += b"\0" * (-len(out) % 4096)
    at = len(out)
    out += _chunk(b"ND2 FILEMAP SIGNATURE NAME 0001!", places + b"ND2 CHUNK MAP SIGNATURE 0000001!" + bytes(8), 32)
    path.write_bytes(bytes(out) + b"ND2 CHUNK MAP SIGNATURE 0000001!" + struct.pack("<Q", at))
    return path


def write_sif(path: Path, frames: np.ndarray, *, regions: int = 1, version: int = 65559) -> Path:
    """Frames (n, H, W) as float32 of one region, or of several below each other."""
    n, height, width = frames.shape
    name = b"movie.sif"
    numbers = b"0 0 1 1700000000 -70 " + b" " * 10 + b"0 0.03 0.03 0.03 1 \0 0.03 1e-08 0 1 300 0 0 0 "
    head = [
        b"Andor Technology Multi-Channel File\n65538 1\n",
        b"%d " % version + numbers + b"0 " * 16 + b"500 0\n",
        b"DU897_BV \n%d %d %d\n" % (width, height, len(name)) + name + b" \n",
        b"65538 4\n\0\0\0\0\n65538 " + b" " * 8 + b"0.0 0.0\n",
        b"\n" * 8 + b"x Shamrock\n65539 0 1 0 0\n0 1 0 0\n0 1 0 0\n0\n433\n13\n13\n",
        b"".join(b"%d\n%s" % (len(text), text) for text in (b"Pixel number", b"Counts", b"Pixel number")),
        b"65541 1 %d %d 1 %d %d %d %d\n" % (height, width, n, regions, n * height * width, height * width // regions),
        b"".join(b"65538 1 %d %d 1 1 1 0\n" % (height // regions, width) for _ in range(regions)),
        b"".join(b"%d\n" % (number * 30000) for number in range(n)),
        b"0\n",
    ]
    path.write_bytes(b"".join(head) + frames.astype("<f4").tobytes())
    return path
