"""What was measured, in words: lines of a table, a comment beside a number, plain values for JSON."""

import math
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from smlmbench.calibrate.contracts import DriftFound, Measured, Number

if TYPE_CHECKING:
    from smlmbench.calibrate.scan.beads import BeadsFound

BEAD_FACTS = ("name", "step_nm", "pixel_size_nm", "focus", "range_nm", "found", "used", "alike", "explained", "doubts")


class Line(NamedTuple):
    """A line of the table: what, its value, its 95 % interval or why there is none, how it was found."""

    what: str
    value: str
    interval: str
    how: str


def interval(number: Number) -> str:
    """The interval, or why there is no value."""
    if not number.known:
        return number.why or "not measured"
    known = math.isfinite(number.low) and math.isfinite(number.high)
    return f"{number.low:.4g} to {number.high:.4g}" if known else "interval unknown"


def lines(measured: Measured) -> list[Line]:
    """All numbers of a movie."""
    camera, background, spots = measured.camera, measured.background, measured.spots
    dark = "dark frames"
    transfer = "noise over brightness"
    found = [
        _line("baseline (counts)", camera.baseline_adu, dark),
        _line("photo-electrons a count", camera.e_per_adu, transfer),
        _line("read noise (e)", camera.read_noise_e, dark),
        _line("baseline (e)", camera.baseline_e, "both" if camera.baseline_adu.known else "where noise would end"),
        _line("background (photons a pixel)", background.level, "pixels without spots"),
        _range("  from frame to frame", background.over_frames),
        _range("  from place to place", background.over_field),
        _line("  structure (share)", background.structure, "places of 10 px beyond noise"),
        _line("PSF width, sigma (nm)", spots.sigma_nm, f"{spots.counted} spots"),
        _line("  spread (share)", spots.sigma_spread, "beyond noise"),
        _line("photons a spot and frame", spots.photons, "median"),
        _range("  of spots", spots.photons_range),
        _line("density (per um2 and frame)", spots.density_per_um2, "spots that merge counted"),
        _line("on (frames)", spots.on_frames, "mean"),
        _line("off (frames)", spots.off_frames, "mean"),
    ]
    drift = measured.drift
    if drift is None:
        return found
    if not len(drift.frame):
        return [*found, _line("drift (nm)", drift.error_nm, "")]
    end, most = _ends(drift)
    way = Line("drift over the movie (nm)", f"{end:.3g}", f"largest {most:.3g}", "from the first frame")
    return [*found, way, _line("  its standard error (nm)", drift.error_nm, "two halves of the field")]


def bead_lines(found: "BeadsFound") -> list[Line]:
    """All numbers of a scan of beads."""
    planes, side = found.stack.shape[:2]
    told = [
        Line("beads", f"{found.used} of {found.found}", "", "stand alone and are alike"),
        Line(
            "mean of them", f"{planes} planes of {side} x {side} px", "", f"explains {100 * found.alike:.1f} % of each"
        ),
        Line("depths (nm)", f"-{found.range_nm:g} to {found.range_nm:g}", "", f"z = 0 at plane {found.focus}"),
    ]
    if (curve := found.curve) is None:
        return [*told, Line("Gaussian widths", "unknown", "too few planes look like a Gaussian", "")]
    fits = "fits" if found.gaussian else "does not describe these optics"
    share = f"explains {100 * found.explained:.1f} % of the light"
    if math.isnan(found.explained):
        share = "no plane of the mean lies within its depths"
    told.append(Line("astigmatic Gaussian", fits, "", share))
    if not found.gaussian:
        return told
    held = f"-{curve.range_nm:g} to {curve.range_nm:g} nm"
    return [*told, *(_line(f"  {name}", number, held) for name, number in curve.numbers.items())]


def doubts(measured: Measured) -> list[str]:
    """What is in doubt or was assumed, each once."""
    drift = () if measured.drift is None else measured.drift.doubts
    return list(dict.fromkeys([*measured.doubts, *measured.camera.doubts, *measured.spots.doubts, *drift]))


def plain(measured: Measured) -> dict[str, Any]:
    """All of it as plain values; of the drift its ends alone, the way is a table of its own."""
    told = asdict(replace(measured, drift=None))
    if (drift := measured.drift) is not None:
        end, most = _ends(drift) if len(drift.frame) else (math.nan, math.nan)
        told["drift"] = {"end_nm": end, "largest_nm": most, "error_nm": asdict(drift.error_nm), "doubts": drift.doubts}
    return told


def plain_beads(found: "BeadsFound") -> dict[str, Any]:
    """All of a scan as plain values, but the stack, which is a file."""
    planes = [{name: getattr(one, name).tolist() for name in one.__slots__} for one in found.widths]
    told = {name: getattr(found, name) for name in BEAD_FACTS}
    curve = None if found.curve is None else asdict(found.curve)
    return {**told, "gaussian": found.gaussian, "curve": curve, "widths": planes}


def _ends(drift: DriftFound) -> tuple[float, float]:
    """How far from its first place the sample is at the end, and at most."""
    away = np.hypot(drift.x_nm, drift.y_nm)
    return float(away[-1]), float(away.max())


def _line(what: str, number: Number, how: str) -> Line:
    value = f"{number.value:.4g}" if number.known else "unknown"
    return Line(what, value, interval(number), how if number.known else "")


def _range(what: str, ends: tuple[float, float]) -> Line:
    known = all(map(math.isfinite, ends))
    return Line(what, f"{ends[0]:.4g} to {ends[1]:.4g}" if known else "unknown", "", "5th to 95th percentile")
