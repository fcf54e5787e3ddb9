"""From what was measured of a movie to what networks for it are trained on and tested on.

Training covers more than the movie shows: a network that was trained at one width and one background fails a fifth of
the width or five times the background away from it, and one that was trained on ranges hardly notices.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from smlmbench.calibrate.contracts import BackgroundFound, Measured, Number, SpotsFound
from smlmbench.errors import ConfigError

# How far training reaches beyond what was found, as factors. Photons and background are drawn on a logarithmic scale,
# on which a wide range takes little from its middle.
PHOTONS = (0.1, 5.0)  # of the 5th and of the 95th percentile: dimmer ones are there, and were not seen
BACKGROUND = (0.2, 5.0)  # of the darkest and of the brightest: other days and other places of the sample
SIGMA = 0.23  # share of the width up and down: focus, depth, colour
DENSITY = (0.5, 2.0)
# Sparse movies teach little: training goes up to this many emitters for each area of a spot (4 pi sigma^2), where a
# third overlaps, and begins at shares of that: not above the first, not below the second. All densities alike: drawn by
# their logarithm, 12,000 samples reached .3 less in the mean of the ten movies of robust-training.yaml.
CROWD, SPARSE, SPARSEST = 0.35, 0.05, 0.01
STRUCTURE = 1.5  # times what was found
SEEN_STRUCTURE = 0.05  # smaller shares of the background are not told apart from a flat one
# Gradient noise whose largest share is 1 differs by this from place to place (10 px) where its cells have 20 px.
STRUCTURE_OF_ONE, CELL_PX = 0.155, 20
LEAST_BACKGROUND = 0.1  # photons; a logarithmic range does not begin at 0
MIN_PHOTONS = 100.0  # the protocol's: dimmer emitters are not counted, unless the movie's own are dimmer
NORMAL_90 = 3.29  # standard deviations between the 5th and the 95th percentile

# A camera whose noise differs from the movie's own, by its kind: half of the frames are drawn with it.
OTHERS: dict[str, dict[str, Any]] = {
    "scmos": {"kind": "emccd", "baseline_adu": 100, "e_per_adu": 45, "em_gain": 300, "read_noise_e": 74.4},
    "emccd": {"kind": "scmos", "baseline_adu": 100, "e_per_adu": 0.5, "read_noise_e": 1.6},
}

# What is taken where a number could not be measured.
ASSUMED_SIGMA_PX, ASSUMED_SIGMA = 1.2, 0.35
ASSUMED_PHOTONS = (300.0, 10_000.0)
ASSUMED_BACKGROUND = (5.0, 300.0)
ASSUMED_CROWD = CROWD / 10

# Conditions beside `as-measured`, one step off each.
DIM, WIDE, BRIGHT = 0.4, 1.2, 3.0


@dataclass(frozen=True, slots=True)
class Ranges:
    """What a study draws.

    Attributes:
        train: Keys of `simulate` with their values, but for pixel size, camera and size of the frames.
        tests: Keys of `simulate` that differ from `train`, by condition.
        found: What was measured of each key of `train`, in words.
        assumed: What could not be measured, why, and what was taken, a sentence each.
    """

    train: dict[str, Any]
    tests: dict[str, dict[str, Any]]
    found: dict[str, str] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Scene:
    """Middle and range of each number, as measured or as assumed."""

    photons: tuple[float, float, float]  # 5th percentile, median, 95th percentile
    background: tuple[float, float, float]  # darkest, middle, brightest
    sigma_nm: float
    sigma_share: float
    density: float


def ranges_of(measured: Measured) -> Ranges:
    """Ranges of training around what was measured, and conditions to test on.

    Raises:
        ConfigError: No spots were found, or the background lies below zero.
    """
    assumed: list[str] = []
    scene = _scene(measured, assumed)
    spot_um2 = 4 * math.pi * (scene.sigma_nm / 1000) ** 2
    densest = max(DENSITY[1] * scene.density, CROWD / spot_um2)
    sparsest = min(max(DENSITY[0] * scene.density, SPARSEST * densest), SPARSE * densest)
    if not measured.spots.on_frames.known:
        assumed.append(_taken("on-times", measured.spots.on_frames, "emitters of single frames"))
    dimmest, median, brightest = scene.photons
    dark, level, bright = scene.background
    train = {
        "structure": "uniform",
        "density_per_um2": {"min": _rounded(sparsest), "max": _rounded(densest)},
        "photons": _log(PHOTONS[0] * dimmest, PHOTONS[1] * brightest),
        "min_photons": _rounded(min(MIN_PHOTONS, DIM * dimmest)),
        "background_photons": _log(BACKGROUND[0] * dark, BACKGROUND[1] * bright),
        **_structure(measured.background, measured.pixel_size_nm, STRUCTURE),
        "psf": _gaussian(
            {"min": (1 - scene.sigma_share) * scene.sigma_nm, "max": (1 + scene.sigma_share) * scene.sigma_nm}
        ),
    }
    spread = math.log(brightest / dimmest) / NORMAL_90
    as_measured = {
        "density_per_um2": _rounded(scene.density),
        "photons": _spread(median, spread),
        **_track(measured.spots),
        "background_photons": _rounded(level),
        **_structure(measured.background, measured.pixel_size_nm, 1.0),
        "psf": _gaussian(scene.sigma_nm),
    }
    tests = {
        "as-measured": as_measured,
        "dim": {**as_measured, "photons": _spread(DIM * median, spread)},
        "wide": {**as_measured, "psf": _gaussian(WIDE * scene.sigma_nm)},
        "bright-background": {**as_measured, "background_photons": _rounded(BRIGHT * level)},
    }
    return Ranges(train, tests, _found(measured), tuple(assumed))


def cameras(measured: Measured) -> tuple[dict[str, Any], ...]:
    """Facts of the cameras that training is drawn with, the movie's own first; with maps of pixels it alone."""
    facts = measured.camera_facts
    kind = str(facts.get("kind"))
    counted = {} if kind == "ideal" else {"baseline_adu": 0, "e_per_adu": 1}
    own = {"kind": kind, **counted, **facts}
    return (own,) if "maps" in facts or kind not in OTHERS else (own, dict(OTHERS[kind]))


def _scene(measured: Measured, assumed: list[str]) -> _Scene:
    spots, background = measured.spots, measured.background
    if not spots.sigma_nm.known and not spots.photons.known:
        why = spots.sigma_nm.why or spots.photons.why or "no spots"
        said = f"'{measured.name}' says neither the width of its spots nor their photons ({why})"
        raise ConfigError(f"{said}; give another movie or camera, or adapt experiments/own-optics.yaml by hand")
    sigma_nm, share = spots.sigma_nm.value, SIGMA
    if not spots.sigma_nm.known:
        sigma_nm, share = ASSUMED_SIGMA_PX * measured.pixel_size_nm, ASSUMED_SIGMA
        assumed.append(_taken("width of the PSF", spots.sigma_nm, f"{sigma_nm:.3g} nm, and {share:.0%} up and down"))
    density = spots.density_per_um2.value
    if not (spots.density_per_um2.known and density > 0):
        density = ASSUMED_CROWD / (4 * math.pi * (sigma_nm / 1000) ** 2)
        assumed.append(_taken("density", spots.density_per_um2, f"{density:.2g} emitters per um2"))
    return _Scene(_photons(spots, assumed), _background(measured.name, background, assumed), sigma_nm, share, density)


def _photons(spots: SpotsFound, assumed: list[str]) -> tuple[float, float, float]:
    low, high = spots.photons_range
    if not (spots.photons.known and 0 < low <= high):
        low, high = ASSUMED_PHOTONS
        assumed.append(_taken("photons of a spot", spots.photons, f"{low:g} to {high:g}"))
        return low, math.sqrt(low * high), high
    return low, spots.photons.value, high


def _background(name: str, found: BackgroundFound, assumed: list[str]) -> tuple[float, float, float]:
    level = found.level
    if not level.known:
        low, high = ASSUMED_BACKGROUND
        assumed.append(_taken("background", level, f"{low:g} to {high:g} photons a pixel"))
        return low / BACKGROUND[0], math.sqrt(low * high), high / BACKGROUND[1]
    if level.high < 0:
        said = f"'{name}' has a background of {level.value:.3g} photons a pixel: the camera's baseline is too high"
        raise ConfigError(f"{said}; state a lower one, or measure it with --dark FRAMES")
    around = [value for value in (*found.over_frames, *found.over_field, level.value) if math.isfinite(value)]
    least, most = max(min(around), LEAST_BACKGROUND), max(*around, LEAST_BACKGROUND)
    return least, max(level.value, LEAST_BACKGROUND), most


def _track(spots: SpotsFound) -> dict[str, Any]:
    """Molecules that blink in the conditions, where their on-times are known.

    Training draws frames one by one: these networks see one at a time, and new places in each teach more.
    """
    if not spots.on_frames.known:
        return {}
    off = {"off_frames": _rounded(spots.off_frames.value)} if spots.off_frames.known else {}
    return {"track": {"name": "blinking", "on_frames": _rounded(spots.on_frames.value), **off}}


def _structure(found: BackgroundFound, pixel_size_nm: float, factor: float) -> dict[str, Any]:
    if not (found.structure.known and found.structure.value >= SEEN_STRUCTURE):
        return {}
    change = min(1.0, factor * found.structure.value / STRUCTURE_OF_ONE)
    cell_um = CELL_PX * pixel_size_nm / 1000
    return {"background": {"name": "perlin", "change": _rounded(change), "cell_um": _rounded(cell_um)}}


def _found(measured: Measured) -> dict[str, str]:
    """What was measured of each key, in words; what is not known has none."""
    spots, background = measured.spots, measured.background
    on, off = spots.on_frames, spots.off_frames
    said = {
        "density_per_um2": (spots.density_per_um2, " emitters per um2 and frame", ""),
        "photons": (
            spots.photons,
            " photons a frame",
            f"; 90 % of the spots {_span(spots.photons_range)}",
        ),
        "track": (on, " frames on", f"; {said_of(off)} frames off" if off.known else ""),  # of the conditions
        "background_photons": (
            background.level,
            " photons a pixel",
            f"; {_span(background.over_frames)} over frames, {_span(background.over_field)} over the field",
        ),
        "background": (background.structure, " of the background from place to place", ""),
        "psf": (spots.sigma_nm, " nm, standard deviation", ""),
    }
    return {key: f"{said_of(number)}{unit}{more}" for key, (number, unit, more) in said.items() if number.known}


REACH = {
    "density_per_um2": f"{DENSITY[0]:g} to {DENSITY[1]:g} times; sparse movies denser, to learn more from",
    "photons": f"from {PHOTONS[0]:g} of the 5th percentile to {PHOTONS[1]:g} times the 95th",
    "background_photons": f"from {BACKGROUND[0]:g} of the darkest to {BACKGROUND[1]:g} times the brightest",
    "background": f"{STRUCTURE:g} times as strong",
    "psf": f"{SIGMA:.0%} up and down, a width for each emitter",
}


WORDS = {
    "density_per_um2": "density",
    "photons": "photons of a spot",
    "background_photons": "background",
    "background": "its structure",
    "psf": "width of the PSF",
}


def rows_of(ranges: Ranges) -> list[tuple[str, str, str]]:
    """What each number is, as it was measured, and what is drawn, in words."""
    drawn = {**ranges.train, "psf": ranges.train["psf"]["sigma_nm"]}
    return [
        (words, ranges.found.get(key, "not measured"), _drawn(drawn[key]))
        for key, words in WORDS.items()
        if key in drawn
    ]


def _drawn(value: Any) -> str:
    if isinstance(value, Mapping) and "min" in value:
        return _span((value["min"], value["max"]))
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {part}" for key, part in value.items() if key != "name")
    return str(value)


def said_of(number: Number) -> str:
    """A number and its interval in words, or why there is none."""
    if not number.known:
        return f"not measured ({number.why})" if number.why else "not measured"
    known = math.isfinite(number.low) and math.isfinite(number.high)
    return _told(number.value) + (f" ({_span((number.low, number.high))})" if known else "")


def _told(value: float) -> str:
    return f"{_rounded(value):,}"


def _span(ends: tuple[float, float]) -> str:
    return f"{_told(ends[0])} to {_told(ends[1])}"


def _taken(what: str, number: Number, taken: str) -> str:
    why = f" ({number.why})" if number.why not in ("", "not measured") else ""
    return f"{what} not measured{why}; {taken} assumed"


def _log(low: float, high: float) -> dict[str, Any]:
    return {"min": _rounded(low), "max": _rounded(high), "law": "log_uniform"}


def _spread(median: float, sigma: float) -> Any:
    """Photons whose logarithm has a spread; a number where there is none to speak of."""
    sigma = min(_rounded(sigma), 3.0)
    return _rounded(median) if sigma < 0.01 else {"median": _rounded(median), "sigma": sigma, "law": "log_normal"}


def _gaussian(sigma_nm: float | Mapping[str, float]) -> dict[str, Any]:
    plain = _rounded(sigma_nm) if isinstance(sigma_nm, float) else {key: _rounded(sigma_nm[key]) for key in sigma_nm}
    return {"name": "gaussian", "sigma_nm": plain}


def _rounded(value: float) -> float:
    """Three digits; whole numbers without a point."""
    if not math.isfinite(value):
        return value
    rounded = float(f"{value:.3g}")
    return int(rounded) if rounded.is_integer() else rounded
