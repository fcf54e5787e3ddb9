"""Whether frames that are simulated with what was measured look like the real ones: in numbers and curves."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench import psf
from smlmbench.calibrate.contracts import Measured
from smlmbench.calibrate.molecules.seen import Detector, Seen, look
from smlmbench.calibrate.molecules.spots import sampled
from smlmbench.calibrate.scan.beads import BeadsFound
from smlmbench.camera import Camera
from smlmbench.figures.likeness import Curve, Picture, likeness, shown
from smlmbench.formats import open_movie
from smlmbench.movies import calibrated, window
from smlmbench.predictions import Floats
from smlmbench.registry import Catalog
from smlmbench.simulate import draw
from smlmbench.study.sources import SimulateSource

PIXELS = 2**19  # of real frames, and as many simulated ones
RINGS, FEWEST_FRAMES = 16, 4
MOST_BEADS = 5  # drawn
ALONE = 4.0  # sigma from one spot to the next
SEED = 7
CLEAR = {"pixel values": 0.06, "power spectrum": 0.35, "spot width": 0.15, "spot photons": 0.15}
SURE = 1.95  # of a Kolmogorov distance between samples of one law, p = 0.001
NORMAL_90 = 3.29  # standard deviations between the 5th and the 95th percentile
FLAT = 0.05  # share of the background that is not told from a flat one
PERLIN_OF_STRUCTURE = 6.0  # gradient noise of change 1 has places that differ by 0.16


@dataclass(frozen=True, slots=True)
class Check:
    """How alike both are.

    Attributes:
        distances: Kolmogorov distance of pixel values, spot widths and spot photons, and the largest relative
            difference of the radial power spectrum; NaN where there are too few spots.
        differ: Where they clearly differ, in words; empty where nowhere.
        real, simulated: A frame of each, photons.
        curves: For the figure.
    """

    distances: dict[str, float]
    differ: tuple[str, ...]
    real: NDArray[np.float32]
    simulated: NDArray[np.float32]
    curves: tuple[Curve, ...]

    @property
    def said(self) -> str:
        """The result in a line."""
        if self.differ:
            return f"simulated and real frames clearly differ: {'; '.join(self.differ)}"
        known = [f"{name} {value:.2g}" for name, value in self.distances.items() if math.isfinite(value)]
        return f"simulated frames look like the real ones ({', '.join(known)})"


def scene_of(measured: Measured) -> SimulateSource | None:
    """A description of what was measured, of fields as `check_frames` takes them; None where no spots were."""
    spots, background = measured.spots, measured.background
    if not (spots.sigma_nm.known and spots.photons.known and spots.density_per_um2.known):
        return None
    width = spots.sigma_nm.value
    spread = math.sqrt(3) * spots.sigma_spread.value if spots.sigma_spread.known else 0.0
    dark, bright = (max(0.0, each) for each in background.over_frames)
    level = max(background.level.value, 0.0)
    even = not (math.isfinite(bright) and bright - dark > FLAT * level)
    described: dict[str, Any] = {
        "density_per_um2": max(spots.density_per_um2.value, 1e-6),
        "photons": _law(spots.photons.value, *spots.photons_range),
        "background_photons": level if even else {"min": dark, "max": bright},
        "pixel_size_nm": measured.pixel_size_nm,
        "psf": {"name": "gaussian", "sigma_nm": width},
        "camera": dict(measured.camera_facts),
    }
    if spread > FLAT:
        described["psf"]["sigma_nm"] = {"min": width * (1 - min(spread, 0.8)), "max": width * (1 + spread)}
    if background.structure.known and background.structure.value > FLAT:
        change = min(1.0, PERLIN_OF_STRUCTURE * background.structure.value)
        described["background"] = {"name": "perlin", "change": change, "cell_um": 0.02 * measured.pixel_size_nm}
    return SimulateSource.model_validate(described)


def _law(median: float, low: float, high: float) -> Any:
    """The law with these percentiles (50th, 5th, 95th): log-normal, or uniform where that has their middle rather."""
    if not 0 < low < high:
        return median
    beyond = (high - low) / 18
    if abs(math.log(median / math.sqrt(low * high))) > abs(math.log(2 * median / (low + high))):
        return {"min": max(low - beyond, 1.0), "max": high + beyond}
    return {"median": median, "sigma": min(math.log(high / low) / NORMAL_90, 3.0), "law": "log_normal"}


def check_movie(measured: Measured, path: Path, catalog: Catalog, frames: tuple[int, int] | None = None) -> Check | str:
    """Compare a movie with frames drawn of what was measured in it; why not, where that cannot be drawn."""
    source = scene_of(measured)
    if source is None:
        return "nothing is simulated: the movie does not say width, photons and density of its spots"
    movie = open_movie(path, catalog=catalog)
    try:
        tiles = sampled(window(calibrated(movie, source.camera), frames=frames))
    finally:
        movie.close()
    side = min(tiles.shape[2:])
    real = tiles[:, :, :side, :side].reshape(-1, side, side)
    real = real[:: max(1, -(-real.size // PIXELS))]
    if len(real) < FEWEST_FRAMES or side < 8:
        return f"nothing is compared: {len(real)} frames of {side} px are too few"
    source = source.model_copy(update={"field_px": side, "camera": _plain(source.camera)})
    optics = psf.build(catalog.card("psf", "gaussian").fill("psf", _settings(source)) | {"name": "gaussian"}, catalog)
    drawn = draw(source, optics, SEED, len(real), catalog=catalog)[0].numpy()
    sigma_px = measured.spots.sigma_nm.value / measured.pixel_size_nm
    return compared(real, drawn, Detector(sigma_px, ALONE, source.camera.noise), measured.pixel_size_nm)


def _settings(source: SimulateSource) -> Mapping[str, Any]:
    return {key: value for key, value in source.psf.items() if key != "name"}


def _plain(camera: Camera) -> Camera:
    """A camera without maps, which are of whole frames."""
    return camera if camera.maps is None else camera.model_copy(update={"maps": None})


def compared(
    real: NDArray[np.float32], simulated: NDArray[np.float32], detector: Detector, pixel_size_nm: float
) -> Check:
    """Compare frames (n, side, side) in photons with others of their size."""
    seen = {"real": look(real, detector), "simulated": look(simulated, detector)}
    frequency, power = _spectra(real, simulated, pixel_size_nm)
    away = power["simulated"] / power["real"] - 1
    worst = int(np.abs(away).argmax())
    own, other = (np.sort(each.ravel()) for each in (real, simulated))
    distances = {
        "pixel values": kolmogorov(own, other),
        "power spectrum": float(np.abs(away[worst])),
        "spot width": kolmogorov(*(each.widths for each in seen.values())),
        "spot photons": kolmogorov(*(each.photons for each in seen.values())),
    }
    told = {
        "pixel values": f"{np.median(own):.3g} photons in the median, simulated {np.median(other):.3g}",
        "power spectrum": f"{100 * away[worst]:+.0f} % at periods of {1000 / frequency[worst]:.0f} nm",
        "spot width": _medians(seen, "widths", pixel_size_nm, "nm"),
        "spot photons": _medians(seen, "photons", 1.0, "photons"),
    }
    least = {
        "spot width": _chance(*(len(each.widths) for each in seen.values())),
        "spot photons": _chance(*(len(each.photons) for each in seen.values())),
    }
    clear = [name for name, value in distances.items() if value > max(CLEAR[name], least.get(name, 0.0))]
    differ = tuple(f"{name} ({distances[name]:.2g}; {told[name]})" for name in clear)
    curves = _curves(own, other, seen, (frequency, power), pixel_size_nm)
    return Check(distances, differ, _usual(real, seen["real"]), _usual(simulated, seen["simulated"]), curves)


def kolmogorov(one: Floats | NDArray[np.float32], other: Floats | NDArray[np.float32]) -> float:
    """Largest difference of two distribution functions; NaN where one has no values."""
    if not (len(one) and len(other)):
        return math.nan
    both = np.concatenate([one, other])
    below = [np.searchsorted(np.sort(each), both, side="right") / len(each) for each in (one, other)]
    return float(np.abs(below[0] - below[1]).max())


def _usual(frames: NDArray[np.float32], seen: Seen) -> NDArray[np.float32]:
    """A frame that is as crowded as most, with a spot in it."""
    counts = np.bincount(seen.frame, minlength=len(frames))
    shown: NDArray[np.float32] = frames[int(np.abs(counts - max(counts.mean(), 1)).argmin())]
    return shown


def _chance(one: int, other: int) -> float:
    return SURE * math.sqrt((one + other) / (one * other)) if one and other else math.inf


def _medians(seen: Mapping[str, Seen], name: str, scale: float, unit: str) -> str:
    real, simulated = (scale * np.median(values) if len(values := getattr(each, name)) else math.nan
                       for each in seen.values())  # fmt: skip
    return f"median {real:.4g} {unit}, simulated {simulated:.4g}"


def _spectra(
    real: NDArray[np.float32], simulated: NDArray[np.float32], pixel_size_nm: float
) -> tuple[Floats, dict[str, Floats]]:
    """Spatial frequency (rings,) per um and mean power of frames in each ring."""
    side = real.shape[-1]
    taper = np.hanning(side + 2)[1:-1]
    at = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    rings = min(RINGS, side // 4)
    number = np.floor(at / 0.5 * rings).astype(int)
    inside = (number < rings) & (at > 1.5 / side)
    counts = np.bincount(number[inside], minlength=rings)
    power = {}
    for name, frames in (("real", real), ("simulated", simulated)):
        flat = (frames - frames.mean(axis=(1, 2), keepdims=True)) * (taper[:, None] * taper)
        square = np.mean(np.abs(np.fft.rfft2(flat)) ** 2, axis=0)
        power[name] = np.bincount(number[inside], square[inside], minlength=rings) / np.maximum(counts, 1)
    middle = np.bincount(number[inside], at[inside], minlength=rings) / np.maximum(counts, 1)
    kept = counts > 0
    return middle[kept] * 1000 / pixel_size_nm, {name: values[kept] for name, values in power.items()}


def _curves(
    own: NDArray[np.float32],
    other: NDArray[np.float32],
    seen: Mapping[str, Seen],
    spectra: tuple[Floats, dict[str, Floats]],
    pixel_size_nm: float,
) -> tuple[Curve, ...]:
    low, high = np.quantile(own, [1e-4, 1 - 1e-4])
    pixels = _histogram("pixel values", "photons", {"real": own, "simulated": other}, (low, high), log_y=True)
    widths = {name: each.widths * pixel_size_nm for name, each in seen.items()}
    photons = {name: np.log10(each.photons) for name, each in seen.items()}
    frequency, power = spectra
    lines: dict[str, Any] = dict(power)
    return (
        pixels,
        Curve("power spectrum", "spatial frequency (1/um)", frequency, lines, log_y=True),
        _histogram("width of spots alone", "sigma (nm)", widths, _ends(widths)),
        _histogram("photons of spots alone", "log10 photons", photons, _ends(photons)),
    )


def _ends(values: Mapping[str, Floats]) -> tuple[float, float]:
    every = np.concatenate(list(values.values()))
    return (float(every.min()), float(every.max())) if len(every) else (0.0, 1.0)


def _histogram(
    title: str, x_label: str, values: Mapping[str, Any], ends: tuple[float, float], *, log_y: bool = False
) -> Curve:
    edges = np.linspace(ends[0], max(ends[1], ends[0] + 1e-9), 51)
    lines: dict[str, Any] = {name: np.histogram(each, edges)[0] / max(len(each), 1) for name, each in values.items()}
    if log_y:
        lines = {name: np.where(line > 0, line, np.nan) for name, line in lines.items()}
    return Curve(title, x_label, (edges[:-1] + edges[1:]) / 2, lines, log_y=log_y)


def figure_of(measured: Measured, check: Check) -> bytes:
    """The check as a PNG, with the drift where it is known."""
    curves = list(check.curves)
    if (drift := measured.drift) is not None and len(drift.frame):
        curves.append(Curve("drift", "frame", drift.frame, {"x (nm)": drift.x_nm, "y (nm)": drift.y_nm}))
    ends = shown(check.real)
    pictures = [Picture("real", check.real, ends), Picture("simulated", check.simulated, ends)]
    return likeness(pictures, curves, f"{measured.name}: real and simulated", pixel_nm=measured.pixel_size_nm)


def figure_of_beads(found: BeadsFound) -> bytes:
    """Planes of the mean bead and the widths of all of them by depth, as a PNG."""
    step = max(1, len(found.stack) // 8)
    planes = [max(found.focus - 2 * step, 0), found.focus, min(found.focus + 2 * step, len(found.stack) - 1)]
    pictures = [Picture(f"z {(at - found.focus) * found.step_nm:+.0f} nm", found.stack[at]) for at in planes]
    curves = []
    for number, one in enumerate(found.widths[:MOST_BEADS]):
        lines = {name: at * found.pixel_size_nm for name, at in (("x", one.x_px), ("y", one.y_px))}
        curves.append(Curve(f"widths of bead {number + 1} (nm)", "depth from the first plane (nm)", one.z_nm, lines))
    return likeness(pictures, curves, f"{found.name}: mean bead and widths", pixel_nm=found.pixel_size_nm, unit="")
