"""Spots of a movie: width, photons, density.

The width comes from how pixels flicker together (`fluctuations`) and from bright spots that stand alone; photons and
density are those of the simple scene that a detector sees as it sees the movie (`matching`).
"""

import math

import numpy as np
from numpy.typing import NDArray

from smlmbench.calibrate.contracts import Number, SpotsFound
from smlmbench.calibrate.fluctuations import flicker
from smlmbench.calibrate.matching import Look, Match, Scene, match
from smlmbench.calibrate.seen import Detector, Seen, look
from smlmbench.camera import Noise
from smlmbench.movies import Frames

TILE_PX, TILES = 128, 8
PIXELS = 2**20  # that are looked at
READ_BYTES = 2**28
MOST_FRAMES = 512
ENOUGH_MAXIMA = 4000
ALONE = (5.5, 4.0, 3.0)
ENOUGH_ALONE, FEW_ALONE = 150, 30
PARTS = 8  # of the frames, that tell an error
SEED = 20
Z = 1.96
# what is in doubt beyond counting, as shares: of the width, of photons, of density, and of what is corrected in it
FLOORS = {"sigma": 0.006, "photons": 0.03, "density": 0.03, "corrected": 0.12}


def measure_spots(frames_in_photons: Frames, pixel_size_nm: float, noise: Noise) -> SpotsFound:
    """Measure spots of a movie in photo-electrons; a few seconds, whatever its length.

    Up to 2^20 pixels of frames spread evenly over the movie are looked at. `noise` is the camera's.
    """
    tiles = sampled(frames_in_photons)
    width = flicker(tiles)
    stack = np.random.default_rng(SEED).permutation(tiles.reshape(-1, *tiles.shape[2:]))
    detector, seen = _looked(stack, width.sigma_px, noise)
    if len(seen.photons) < FEW_ALONE:
        return _nothing(seen)
    logs = np.sort(np.log(seen.photons))
    middle = float(np.median(logs))
    start = Scene(detector.sigma_px, seen.per_pixel, seen.level, middle, 1.0, 1.0, logs - middle)
    found = match(seen, start, detector, stack.shape[1:], SEED)
    if found is None:
        return _nothing(seen)
    return _told(seen, found, pixel_size_nm)


def _nothing(seen: Seen) -> SpotsFound:
    why = (
        f"{len(seen.photons)} spots that stand alone in the {seen.n_frames} frames looked at; {FEW_ALONE} are needed"
        if len(seen.frame)
        else f"no spot above the noise in the {seen.n_frames} frames looked at"
    )
    none = Number.unknown(why)
    return SpotsFound(none, none, none, (math.nan, math.nan), none, none, none)


def _looked(stack: NDArray[np.float32], sigma_px: float, noise: Noise) -> tuple[Detector, Seen]:
    """The detector that leaves enough spots alone, and what it sees in as many frames as hold enough."""
    for alone in ALONE:
        detector = Detector(sigma_px, alone, noise)
        seen = look(stack, detector)
        if len(seen.photons) >= ENOUGH_ALONE:
            break
    enough = math.ceil(len(stack) * ENOUGH_MAXIMA / max(len(seen.frame), 1))
    return detector, seen if enough >= len(stack) else look(stack[:enough], detector)


def _told(seen: Seen, found: Match, pixel_size_nm: float) -> SpotsFound:
    scene, got = found.scene, Look.of(seen)
    area = (pixel_size_nm / 1000) ** 2
    per_frame = np.bincount(seen.frame, minlength=seen.n_frames)
    fits = len(seen.photons)
    # what two thirds of the spots hold, over the root of their number; the scene's own draws add a third of it
    middle = 1.25 * (got.high - got.low) / 3.3 / math.sqrt(fits) * math.sqrt(4 / 3)
    count = per_frame.std() / max(per_frame.mean(), 1e-9) / math.sqrt(seen.n_frames) * math.sqrt(4 / 3)
    width = 1.25 * got.spread / math.sqrt(max(len(seen.widths), 1)) * math.sqrt(4 / 3)
    corrected = FLOORS["corrected"] * abs(math.log(seen.per_pixel / scene.per_pixel))
    spread = math.sqrt(max(got.spread**2 - found.spread**2, 0.0))
    return SpotsFound(
        sigma_nm=_number(scene.sigma_px * pixel_size_nm, width, FLOORS["sigma"]),
        sigma_spread=Number(spread, max(0.0, spread - 0.05), spread + 0.05),
        photons=_number(math.exp(scene.middle), middle, FLOORS["photons"]),
        photons_range=tuple(scene.photons(np.array([0.05, 0.95])).tolist()),
        density_per_um2=_number(scene.per_pixel / area, count, math.hypot(FLOORS["density"], corrected)),
        on_frames=Number.unknown("not measured"),
        off_frames=Number.unknown("not measured"),
        counted=fits,
    )


def _number(value: float, *errors: float) -> Number:
    """A positive number whose logarithm has these errors."""
    by = math.exp(Z * math.hypot(*errors))
    return Number(value, value / by, value * by)


def sampled(frames: Frames) -> NDArray[np.float32]:
    """Up to 8 tiles of the field in frames spread evenly over the movie, (T, F, H, W)."""
    height, width = min(TILE_PX, frames.height), min(TILE_PX, frames.width)
    down, across = frames.height // height, frames.width // width
    tiles = min(TILES, down * across)
    most = min(PIXELS // (tiles * height * width), READ_BYTES // (4 * frames.height * frames.width), MOST_FRAMES)
    count = max(1, min(frames.n_frames, most))
    numbers = np.unique(np.linspace(0, frames.n_frames - 1, count).round().astype(int))
    chosen = np.unique(np.linspace(0, down * across - 1, tiles).round().astype(int))
    found = np.empty((len(chosen), len(numbers), height, width), dtype=np.float32)
    for at, number in enumerate(numbers.tolist()):
        frame = frames.read(number, number + 1)[0]
        for tile, place in enumerate(chosen.tolist()):
            top, left = (place // across) * height, (place % across) * width
            found[tile, at] = frame[top : top + height, left : left + width]
    return found
