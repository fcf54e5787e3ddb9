"""Images in MATLAB files up to version 7 (`save -v7`): one 2-D numeric array."""

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError, suggest, unreadable
from smlmbench.formats.bounds import check_room

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "A 2-D array of a MATLAB file.",
    "settings": {
        "variable": {"default": "", "help": "Name of the array; may be absent where there is only one 2-D array."}
    },
    "facts": {"holds": "image", "suffixes": [".mat"], "writes": False, "first_frame": 0, "origin": "corner"},
}

NUMERIC = ("single", "double", "logical", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")


def recognises(path: Path) -> bool:
    """The text header names a MATLAB file of version 5 or later."""
    with path.open("rb") as file:
        return file.read(7) == b"MATLAB "


def read_image(path: Path, settings: Mapping[str, Any]) -> NDArray[np.float32]:
    """Read one array as float32 (H, W), rows first as MATLAB shows it (FormatError: none, several, or complex)."""
    from scipy import io

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # scipy warns of numbers that it cannot read, and gives them
            arrays = io.whosmat(path)
            found = [name for name, shape, kind in arrays if kind in NUMERIC and len(shape) == 2 and min(shape) > 1]
            variable = settings["variable"] or (found[0] if len(found) == 1 else "")
            if variable and variable not in found:
                raise FormatError(f"'{path.name}' has no 2-D array '{variable}'; {suggest(variable, found)}")
            if not variable:
                shown = ", ".join(found) or "none"
                raise FormatError(f"'{path.name}' has {len(found)} 2-D arrays ({shown}); name one with variable")
            shape = next(shape for name, shape, _ in arrays if name == variable)
            check_room(path.name, variable, 8 * math.prod(shape), path.stat().st_size)
            array = io.loadmat(path, variable_names=[variable])[variable]
    except NotImplementedError:
        raise FormatError(f"'{path.name}' is a MATLAB 7.3 file; save it with -v7") from None
    except FormatError:
        raise
    except Exception as error:
        raise unreadable(path, "MATLAB file", error, "save it again with -v7") from None
    if np.iscomplexobj(array):
        raise FormatError(f"'{path.name}': '{variable}' is complex; save its magnitude")
    return np.asarray(array, dtype=np.float32)
