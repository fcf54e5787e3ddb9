"""Facts of a camera from a file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from smlmbench.camera.decode import PIXEL, decode_block
from smlmbench.camera.maps import FILES
from smlmbench.camera.presets import filled


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


def settled(content: Any, root: Path) -> Any:
    """What is said of a camera with a preset's facts filled in, and its maps' paths taken from a folder.

    Raises:
        ValueError: No such preset, or it lacks a number.
    """
    known = filled(content)
    if not isinstance(known, Mapping) or not isinstance(maps := known.get("maps"), Mapping):
        return known
    paths = {key: str((root / Path(maps[key]).expanduser()).absolute())
             for key in FILES if isinstance(maps.get(key), str)}  # fmt: skip
    return {**known, "maps": {**maps, **paths}}


def unused_pixel(content: Any) -> Any:
    """The pixel size that a block of DECODE states, which is not taken over; None where there is none."""
    block = decode_block(content) if isinstance(content, Mapping) else None
    return None if block is None else block.get(PIXEL)
