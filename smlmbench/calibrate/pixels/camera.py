"""The camera of a movie in counts, by photon transfer (`calibrate.pixels.transfer`), with dark frames or without."""

import math

from smlmbench.calibrate.contracts import CameraFound, Number
from smlmbench.calibrate.pixels.dark import Dark, measure_dark
from smlmbench.calibrate.pixels.transfer import SYSTEMATIC, Line, Transfer, jackknifed, line_of, look_at
from smlmbench.movies import Frames

SURE = 0.5  # an interval wider than this share on either side is no measurement
# Read noise in photo-electrons where no dark frames tell it: least, most, usual; a register divides it by its gain.
READ_NOISE = {False: (0.0, 3.0, 1.6), True: (0.0, 1.0, 0.25)}
APART = 0.1  # of the variance that light makes where the movie is darkest
NOMINAL_GAIN = 300.0
NEEDS_DARK = "needs dark frames; baseline_e says what a movie alone tells"


def measure_camera(counts: Frames, dark: Frames | None = None, excess: float = 1.0) -> CameraFound:
    """What a movie in camera counts, and frames without light where given, say of the camera.

    Args:
        counts: Frames (n, H, W) in counts as they are stored (`calibrated(movie, None)`).
        dark: Frames of the same camera and settings with the shutter closed; of any size.
        excess: Excess of the noise: 1 without a gain register, 2 - 1 / gain (nearly 2) with one. Stated, never
            measured: a movie cannot tell a register from a larger gain.

    Returns:
        `e_per_adu` is photo-electrons per count, 1 / `Camera.adu_per_photon`: without a register the camera's own
        `e_per_adu`, with one `e_per_adu / em_gain`. `read_noise_e` and `baseline_e` are in the same photo-electrons.
        `facts` makes a study's `camera` of them.
    """
    known = None if dark is None else measure_dark(dark)
    doubts = () if known is None else known.doubts
    baseline, noise = _dark_numbers(known)
    look = look_at(counts)
    doubts += look.doubts
    line = look.why or line_of(look, None, excess)
    if isinstance(line, str):
        none = Number.unknown(line)
        return CameraFound(baseline, none, none, none, excess, doubts)
    if known is not None and (said := _not_dark(line.transfer, known)):
        doubts, known = (*doubts, said), None
        baseline = noise = Number.unknown("the dark frames are not this movie's")
    if known is None:
        gain, light = _without_dark(line, excess)
        if light.known:
            most = READ_NOISE[excess > 1][1]
            doubts = (*doubts, f"without dark frames baseline_e holds for a read noise up to {most:g} photo-electrons")
        return CameraFound(baseline, gain, Number.unknown(NEEDS_DARK), light, excess, doubts)
    through = line_of(look, (known.mean, known.variance), excess)
    gain = Number.unknown(through) if isinstance(through, str) else _gain(through, excess)
    read, light = (_times(number, gain) for number in (noise, baseline))
    return CameraFound(baseline, gain, read, light, excess, doubts + _disagreement(line, known))


def facts(found: CameraFound, em_gain: float | None = None) -> dict[str, object]:
    """A study's `camera` of what was found; {} where counts cannot be turned into photons.

    Where a register is used, only `e_per_adu / em_gain` is measured: `em_gain` is as stated, else that of the excess,
    else 300, and `e_per_adu` and `read_noise_e` follow it. Without dark frames the baseline is `baseline_e` in counts.
    """
    if not (found.e_per_adu.known and (found.baseline_adu.known or found.baseline_e.known)):
        return {}
    register = found.excess > 1
    gain = 1.0 if not register else em_gain or (1 / (2 - found.excess) if found.excess < 2 else NOMINAL_GAIN)
    value = found.e_per_adu.value
    baseline = found.baseline_adu.value if found.baseline_adu.known else found.baseline_e.value / value
    read = found.read_noise_e.value if found.read_noise_e.known else READ_NOISE[register][2]
    told: dict[str, object] = {
        "kind": "emccd" if register else "scmos",
        "baseline_adu": max(0.0, baseline),
        "e_per_adu": value * gain,
        "read_noise_e": read * gain,
    }
    return told | ({"em_gain": gain} if register else {})


def _gain(line: Line, excess: float) -> Number:
    half = line.half
    if not half < SURE:
        return Number.unknown("pixels are all about as bright, so noise over brightness has no slope; give dark frames")
    value = excess / line.slope
    return Number(value, value * math.exp(-half), value * math.exp(half))


def _without_dark(line: Line, excess: float) -> tuple[Number, Number]:
    """Electrons per count, and what a pixel without light holds: between no read noise and much of it."""
    gain = _gain(line, excess)
    if not gain.known:
        return gain, Number.unknown(gain.why)
    ends = line.at * gain.value
    spread = jackknifed(line.ats * excess / line.slopes, ends)
    half = math.hypot(spread, math.hypot(line.leak, SYSTEMATIC) * abs(ends))
    least, most, usual = (read**2 / excess for read in READ_NOISE[excess > 1])
    darkest = float(line.transfer.without()[1].min()) * gain.high
    high = max(ends, min(ends + most + half, darkest))
    return gain, Number(min(ends + usual, high), ends + least - half, high)


def _dark_numbers(dark: Dark | None) -> tuple[Number, Number]:
    """Baseline and read noise in counts."""
    if dark is None:
        none = Number.unknown(NEEDS_DARK)
        return none, none
    return dark.baseline, dark.noise


def _times(one: Number, other: Number) -> Number:
    """Product of two numbers >= 0 with independent errors."""
    if not (one.known and other.known):
        return Number.unknown(one.why or other.why)
    value = one.value * other.value
    down, up = (
        math.hypot((getattr(one, end) - one.value) * other.value, (getattr(other, end) - other.value) * one.value)
        for end in ("low", "high")
    )
    return Number(value, value - down, value + up)


def _not_dark(found: Transfer, dark: Dark) -> str:
    """Why dark frames are none of this movie, "" where they may be."""
    _, mean, variance = found.without()
    if mean[0] > dark.mean and variance[0] > dark.variance:
        return ""
    return (
        f"the dark frames ({dark.mean:.4g} counts, variance {dark.variance:.3g}) are brighter or noisier than the movie"
        f" where it is darkest ({mean[0]:.4g}, {variance[0]:.3g}): other settings, or light; they are not used"
    )


def _disagreement(line: Line, dark: Dark) -> tuple[str, ...]:
    """Whether the movie alone points elsewhere than its dark frames."""
    if not line.half < SURE:
        return ()
    here = line.slope * (dark.mean - line.at)
    half = jackknifed(line.slopes * (dark.mean - line.ats), here)
    light = line.slope * (float(line.transfer.without()[1][0]) - dark.mean)
    if abs(here - dark.variance) <= half + APART * light:
        return ()
    return (
        f"the movie's noise over its brightness points to a variance of {here:.3g} +- {half:.2g} at the level of the"
        f" dark frames, which have {dark.variance:.3g}: their settings or the stated excess may not be the movie's",
    )
