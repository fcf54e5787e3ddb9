"""What was measured, as files: a camera and optics that commands and studies take by name, the numbers as JSON."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from smlmbench.calibrate.contracts import Measured, Number
from smlmbench.calibrate.scan.beads import BeadsFound
from smlmbench.calibrate.telling import interval
from smlmbench.errors import unwritable
from smlmbench.version import __version__

CAMERA, OPTICS, DRIFT, RECORD, FIGURE = "camera.yaml", "optics.yaml", "drift.csv", "calibration.json", "calibration.png"
BEAD, BEAD_OPTICS = "bead.tif", "optics-beads.yaml"
DIGITS = 5


def camera_text(measured: Measured, *, stated: bool) -> str:
    """`camera.yaml`: each fact with its interval, or that it was stated or assumed."""
    found = measured.camera
    numbers = {} if stated else {
        "baseline_adu": found.baseline_adu, "e_per_adu": found.e_per_adu, "read_noise_e": found.read_noise_e
    }  # fmt: skip
    facts = {
        key: (value, _why(key, numbers, found.excess, stated=stated)) for key, value in measured.camera_facts.items()
    }
    said = [] if stated else [text for text in measured.doubts if "camera" in text]
    return _text(f"Camera of {measured.name}", [*said, *found.doubts], facts)


def _why(key: str, numbers: Mapping[str, Number], excess: float, *, stated: bool) -> str:
    if stated:
        return "as stated"
    if key not in numbers:
        return "stated by --em-gain" if key == "em_gain" and excess > 1 else ""
    number = numbers[key]
    said = interval(number) if number.known else f"assumed: {number.why}"
    return f"{said}, before the gain of the register" if key != "baseline_adu" and excess > 1 and number.known else said


def optics_text(measured: Measured) -> str:
    """`optics.yaml`: the Gaussian of the movie's spots; "" where no width was measured."""
    spots = measured.spots
    if not spots.sigma_nm.known:
        return ""
    facts = {
        "name": ("gaussian", f"seen with pixels of {measured.pixel_size_nm:g} nm"),
        "sigma_nm": (spots.sigma_nm.value, f"{interval(spots.sigma_nm)}, {spots.counted} spots"),
    }
    spread = spots.sigma_spread
    said = [f"widths differ by {100 * spread.value:.2g} % beyond noise"] if spread.known else []
    return _text(f"Optics of {measured.name}", [*said, *spots.doubts], facts)


def bead_optics_text(found: BeadsFound, *, measured: bool) -> str:
    """`optics.yaml` of a scan: the stack itself (`measured`), or the astigmatic Gaussian through its widths."""
    said = list(found.doubts)
    if measured or found.curve is None:
        facts: dict[str, tuple[Any, str]] = {
            "name": ("beads", f"{found.used} of {found.found} beads, laid over one another"),
            "path": (BEAD, "beside this file"),
            "step_nm": (found.step_nm, "as stated"),
            "pixel_size_nm": (found.pixel_size_nm, "as stated"),
            "focus_plane": (found.focus, "z = 0"),
            "range_nm": (found.range_nm, "planes on both sides"),
        }
    else:
        comments = {name: interval(number) for name, number in found.curve.numbers.items()}
        numbers = {name: (value, comments[name]) for name, value in found.curve.settings().items()}
        facts = {
            "name": ("astigmatic", f"explains {100 * found.explained:.1f} % of the light of {found.used} beads"),
            **numbers,
            "range_nm": (found.curve.range_nm, "planes on both sides in which widths were measured"),
        }
    return _text(f"Optics of {found.name}", said, facts)


def write_stack(path: Path, found: BeadsFound) -> None:
    """Write the mean bead as a TIFF stack of 32-bit floats (FormatError: it cannot be written)."""
    import tifffile

    try:
        tifffile.imwrite(path, found.stack, photometric="minisblack")
    except OSError as error:
        raise unwritable("stack", path, error) from None


def _text(title: str, said: list[str], facts: Mapping[str, tuple[Any, str]]) -> str:
    """YAML with a comment beside every value."""
    head = [f"# {title}, measured by smlmbench {__version__}; intervals are of 95 %", *(f"# {each}" for each in said)]
    body = []
    for key, (value, comment) in facts.items():
        written = yaml.safe_dump({key: rounded(value)}, sort_keys=False, allow_unicode=True).rstrip("\n")
        body.append(f"{written}  # {comment}" if comment and "\n" not in written else written)
    return "\n".join([*head, *body]) + "\n"


def rounded(value: Any) -> Any:
    """A number to five digits; all else as it is."""
    if isinstance(value, float) and math.isfinite(value) and value:
        return float(f"{value:.{DIGITS}g}")
    return value


def record_text(told: Mapping[str, Any]) -> str:
    """`calibration.json`; what is not finite is null."""
    said = {"program": "smlmbench", "version": __version__, **told}
    return json.dumps(_finite(said), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_text(path: Path, text: str) -> None:
    """Write a file of text (FormatError: it cannot be written)."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise unwritable("file", path, error) from None
