"""What a movie says of itself: camera, spots, background and drift, each by its own file of this room."""

import math
from contextlib import ExitStack
from pathlib import Path

from smlmbench.calibrate.contracts import CameraFound, Measured
from smlmbench.calibrate.drift import find_drift
from smlmbench.calibrate.molecules.spots import measure_spots
from smlmbench.calibrate.pixels.background import measure_background
from smlmbench.calibrate.pixels.camera import facts as facts_of
from smlmbench.calibrate.pixels.camera import measure_camera
from smlmbench.camera import Camera
from smlmbench.data.contracts import Condition
from smlmbench.errors import ConfigError
from smlmbench.formats import open_movie
from smlmbench.movies import Frames, calibrated, window
from smlmbench.predictions import Localizations, concatenate
from smlmbench.references import peaks_gaussian
from smlmbench.registry import Catalog

USUAL_SIGMA_PX = 1.3  # where no spot tells its width
FITTED_PIXELS, STRETCHES = 2**25, 48  # of the movie, for its drift
ALWAYS = ("kind", "baseline_adu", "e_per_adu")  # facts of a camera that are told at their defaults too
FAR = 0.1  # share by which a stated camera must leave the interval that was measured


def measured(
    path: Path,
    pixel_size_nm: float,
    camera: Camera | None,
    dark: Path | None,
    catalog: Catalog,
    excess: float = 1.0,
    frames: tuple[int, int] | None = None,
) -> Measured:
    """Measure a movie of spots.

    Args:
        path: The movie, in camera counts.
        pixel_size_nm: Its camera pixel.
        camera: As stated; None: found in the counts.
        dark: Movie of frames without light of the same camera and settings.
        catalog: Where formats are looked up.
        excess: Of the noise by a gain register (2 - 1 / gain) where no camera is stated; 1 without one.
        frames: First frame and the one after the last; None takes all.

    Raises:
        ConfigError: No camera is stated, and the counts do not tell one.
        FormatError, SizeError: A file that cannot be read, or frames that it does not have.
    """
    with ExitStack() as opened:
        movie = open_movie(path, catalog=catalog)
        opened.callback(movie.close)
        counts = window(calibrated(movie, None), frames=frames)
        darkness = None
        if dark is not None:
            black = open_movie(dark, catalog=catalog)
            opened.callback(black.close)
            darkness = calibrated(black, None)
        known = excess if camera is None else camera.noise.excess
        found = measure_camera(counts, darkness, known)
        if camera is not None:
            camera.check((movie.height, movie.width))
            used, doubts = camera, _against(camera, found)
        else:
            used, doubts = _found(path, found, facts_of(found))
        photons = window(calibrated(movie, used), frames=frames)
        spots = measure_spots(photons, pixel_size_nm, used.noise)
        sigma_px = spots.sigma_nm.value / pixel_size_nm if spots.sigma_nm.known else USUAL_SIGMA_PX
        background = measure_background(photons, sigma_px)
        if background.level.value < 0:
            doubts += (f"the background is {background.level.value:.3g} photons: the baseline is too high",)
        drift = find_drift(localized(photons, pixel_size_nm, sigma_px, catalog))
    facts = used.model_dump(mode="json", exclude_defaults=True)
    facts = {key: getattr(used, key) for key in ALWAYS[: 1 if used.kind == "ideal" else None]} | facts
    size = (photons.n_frames, photons.height, photons.width)
    return Measured(path.name, *size, pixel_size_nm, facts, found, background, spots, drift, doubts)


def _found(path: Path, found: CameraFound, facts: dict[str, object]) -> tuple[Camera, tuple[str, ...]]:
    """The camera of what was found, and what had to be assumed."""
    if not facts:
        why = found.e_per_adu.why or found.baseline_e.why
        raise ConfigError(f"the camera of '{path.name}' cannot be told from its counts: {why}; state it with --camera")
    assumed = []
    if not found.baseline_adu.known:
        assumed.append("its baseline is that at which noise would end")
    if not found.read_noise_e.known:
        assumed.append(f"its read noise is taken to be {facts['read_noise_e']:.3g} electrons")
    if found.excess == 1:
        assumed.append("there is no gain register (state --em-gain where there is one: photons would be twice as many)")
    said = f"the camera is not stated: {'; '.join(assumed)}"
    return Camera.model_validate(facts), (said,) if assumed else ()


def _against(camera: Camera, found: CameraFound) -> tuple[str, ...]:
    """What the counts have against a stated camera."""
    stated, counted, doubts = 1 / camera.adu_per_photon, found.e_per_adu, []
    if counted.known and not counted.low * (1 - FAR) <= stated <= counted.high * (1 + FAR):
        doubts.append(
            f"the stated camera has {stated:.3g} photo-electrons a count, the movie's noise says {counted.value:.3g} "
            f"({counted.low:.3g} to {counted.high:.3g})"
        )
    baseline = found.baseline_adu
    if baseline.known and camera.maps is None and abs(baseline.value - camera.baseline_adu) * stated > 1:
        doubts.append(f"the stated baseline is {camera.baseline_adu:g} counts, dark frames have {baseline.value:.4g}")
    return tuple(doubts)


def localized(photons: Frames, pixel_size_nm: float, sigma_px: float, catalog: Catalog) -> Localizations:
    """Positions in frames spread over a movie, all where it is short; frames keep their numbers."""
    settings = catalog.card("references", "peaks_gaussian").fill("peaks_gaussian", {})
    told = {"pixel_size_nm": pixel_size_nm, "psf_sigma_nm": sigma_px * pixel_size_nm}
    n_frames, field_nm = photons.n_frames, (photons.width * pixel_size_nm, photons.height * pixel_size_nm)
    most = max(STRETCHES, FITTED_PIXELS // (photons.height * photons.width))
    parts = 1 if n_frames <= most else STRETCHES
    each = math.ceil(min(n_frames, most) / parts)
    tables = []
    for number in range(parts):
        start = number * (n_frames - each) // max(1, parts - 1)
        stop = min(start + each, n_frames)
        part = Condition("movie", window(photons, frames=(start, stop)), None, told=told)
        table = peaks_gaussian.predict(part, settings, {}, 0).table
        if table is not None:
            tables.append(table.shifted(start, n_frames=n_frames))
    return concatenate(tables, n_frames=n_frames, field_nm=field_nm)
