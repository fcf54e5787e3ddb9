"""Facts of a camera from a file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from smlmbench.camera.decode import PIXEL, decode_block


def camera_in(text: str) -> Any:
    """What YAML says of a camera, on its own or under `camera`; None where it is no YAML."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    return content["camera"] if isinstance(content, Mapping) and set(content) == {"camera"} else content


def camera_of_file(path: Path) -> Any:
    """The same of a file; None where it cannot be read."""
    try:
        return camera_in(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None


def unused_pixel(content: Any) -> Any:
    """The pixel size that a block of DECODE states, which is not taken over; None where there is none."""
    block = decode_block(content) if isinstance(content, Mapping) else None
    return None if block is None else block.get(PIXEL)
