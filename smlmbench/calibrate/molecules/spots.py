"""Spots of a movie: width, photons, density.

The width comes from how pixels flicker together (`fluctuations`) and from bright spots that stand alone; photons and
density are those of the simple scene that a detector sees as it sees the movie (`matching`).
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_ndtr, ndtr

from smlmbench.calibrate.contracts import Number, SpotsFound
from smlmbench.calibrate.molecules.blinking import measure_blinking
from smlmbench.calibrate.molecules.fluctuations import Flicker, flicker
from smlmbench.calibrate.molecules.matching import FEW_WIDTHS, KEPT, Look, Match, Scene, Stage, match
from smlmbench.calibrate.molecules.seen import MOST_FITS, THRESHOLD, Detector, Seen, look
from smlmbench.camera import Noise
from smlmbench.movies import Frames

TILE_PX, TILES = 128, 8
PIXELS = 2**20  # that are looked at
READ_BYTES = 2**28
MOST_FRAMES = 512
ENOUGH_MAXIMA = 4000
ALONE = (5.5, 4.0, 3.0)
ENOUGH_ALONE, FEW_ALONE = 150, 30
SHARE_ALONE = 0.3  # of the maxima; fewer are no longer like the others
SEED = 20
Z = 1.96
# standard errors beyond counting, of logarithms
WIDTH_FLOOR, PHOTONS_FLOOR, DENSITY_FLOOR = 0.006, 0.03, 0.03
# of what is corrected for maxima that merge or hide, and where spots are as dim as the dimmest that are seen
PHOTONS, DENSITY = (0.2, 0.3), (0.12, 0.5)
CUT_REACH = 0.4
UNLIKE = 0.04  # widths of spots and of the flicker that differ by more are told
DARKEST = 0.1  # variance of a pixel
NEAR_LIMIT = 2.0
CROWDED = 0.6  # maxima per emitter
SPREAD = 0.08


def measure_spots(frames_in_photons: Frames, pixel_size_nm: float, noise: Noise) -> SpotsFound:
    """Measure spots of a movie in photo-electrons; a few seconds, whatever its length.

    Up to 2^20 pixels of frames spread evenly over the movie are looked at. `noise` is the camera's.
    """
    tiles = sampled(frames_in_photons)
    width = flicker(tiles)
    order = np.random.default_rng(SEED).permutation(tiles.shape[0] * tiles.shape[1])
    detector, seen = _looked(tiles.reshape(-1, *tiles.shape[2:])[order], width.sigma_px, noise)
    if len(seen.photons) < FEW_ALONE:
        return _nothing(seen)
    start = Scene(detector.sigma_px, seen.per_pixel, seen.level, Look.of(seen).logs)
    stage = Stage.of(tiles, width.sigma_px, noise).part(order[: seen.n_frames])
    found = match(seen, start, detector, stage, SEED)
    if found is None:
        return _nothing(seen)
    told = _told(seen, found, width, detector, pixel_size_nm)
    on, off = measure_blinking(frames_in_photons, pixel_size_nm, noise, told)
    return replace(told, on_frames=on, off_frames=off)


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
        if len(seen.photons) >= max(ENOUGH_ALONE, min(MOST_FITS, SHARE_ALONE * len(seen.frame))):
            break
    enough = math.ceil(len(stack) * ENOUGH_MAXIMA / max(len(seen.frame), 1))
    return detector, seen if enough >= len(stack) else look(stack[:enough], detector)


def _told(seen: Seen, found: Match, width: Flicker, detector: Detector, pixel_size_nm: float) -> SpotsFound:
    scene, got = found.scene, Look.of(seen)
    drawn = math.sqrt(1 + 1 / KEPT)  # scenes are as long as what was looked at
    per_frame = np.bincount(seen.frame, minlength=seen.n_frames)
    count = drawn * per_frame.std() / max(per_frame.mean(), 1e-9) / math.sqrt(seen.n_frames)
    middle = drawn * 1.25 * (got.logs[-2] - got.logs[1]) / 3.3 / math.sqrt(len(seen.photons))
    corrected = abs(math.log(seen.per_pixel / scene.per_pixel))
    limit = dimmest(detector, scene.level)
    cut = math.exp(-((max(math.log(np.median(seen.photons) / limit), 0) / CUT_REACH) ** 2))
    photons, density = (math.hypot(by_merging * corrected, by_cut * cut) for by_merging, by_cut in (PHOTONS, DENSITY))
    sigma, doubts = _width(seen, found, width)
    spread = _spread(seen, found)
    return SpotsFound(
        sigma_nm=Number(*(pixel_size_nm * np.array([sigma.value, sigma.low, sigma.high])).tolist()),
        sigma_spread=spread,
        photons=_number(float(scene.photons(np.array(0.5))), middle, PHOTONS_FLOOR, photons),
        photons_range=tuple(scene.photons(np.array([0.05, 0.95])).tolist()),
        density_per_um2=_number(float(scene.per_pixel) / (pixel_size_nm / 1000) ** 2, count, DENSITY_FLOOR, density),
        on_frames=Number.unknown("not looked at"),
        off_frames=Number.unknown("not looked at"),
        counted=len(seen.photons),
        doubts=(*doubts, *_spread_doubts(spread), *_missed(seen, limit), *_crowded(found.share)),
    )


def _number(value: float, *errors: float) -> Number:
    """A positive number whose logarithm has these errors."""
    by = math.exp(Z * math.hypot(*errors))
    return Number(value, value / by, value * by)


def _width(seen: Seen, found: Match, width: Flicker) -> tuple[Number, list[str]]:
    """Width in camera pixels from spots and from the flicker, each by its error, and whether they differ."""
    error = 1.25 * Look.of(seen).spread * math.sqrt((1 + 1 / KEPT) / max(len(seen.widths), 1))
    if not math.isfinite(error):
        return _number(width.sigma_px, width.error, WIDTH_FLOOR), []
    if not math.isfinite(width.error):
        return _number(found.scene.sigma_px, error, WIDTH_FLOOR), []
    weights = np.array([1 / (error**2 + WIDTH_FLOOR**2), 1 / (width.error**2 + WIDTH_FLOOR**2)])
    logs = np.log([found.scene.sigma_px, width.sigma_px])
    apart = float(np.ptp(logs))
    doubts = []
    if apart > max(UNLIKE, Z / math.sqrt(weights.min())):
        doubts.append(
            f"bright spots that stand alone are {found.scene.sigma_px:.2f} px wide, all light that flickers"
            f" {width.sigma_px:.2f} px: spots of different widths, or a background that flickers"
        )
    return _number(float(np.exp(weights @ logs / weights.sum())), weights.sum() ** -0.5, apart / 4), doubts


def _spread(seen: Seen, found: Match) -> Number:
    """Standard deviation of widths over their mean, beyond that of the simple scene."""
    own = Look.of(seen).spread
    if not (math.isfinite(own) and math.isfinite(found.spread)):
        return Number.unknown(f"{len(seen.widths)} bright spots that stand alone; {FEW_WIDTHS} are needed")
    square, error = own**2 - found.spread**2, Z * 2 * own**2 * 0.9 * math.sqrt((1 + 1 / KEPT) / len(seen.widths))
    return Number(*np.sqrt(np.maximum([square, square - error, square + error], 0)).tolist())


def _spread_doubts(spread: Number) -> list[str]:
    if not spread.low > SPREAD:
        return []
    return [f"widths of spots spread by {spread.value:.0%} beyond noise: a 3-D PSF, or emitters out of focus"]


def dimmest(detector: Detector, level: float) -> float:
    """Photons of a spot that is as high as the threshold on an even background."""
    noise = detector.noise
    variance = max(noise.excess * level + noise.added, DARKEST)
    return THRESHOLD * math.sqrt(4 * math.pi * detector.sigma_px**2 * variance)


def _crowded(share: float) -> list[str]:
    if share >= CROWDED:
        return []
    return [
        f"only {share:.0%} of the emitters make a spot of their own: photons and density are those of a simulated scene"
        " that looks like the movie, within wide bounds"
    ]


def _missed(seen: Seen, limit: float) -> list[str]:
    """What may be hidden below the limit: a log-normal law cut there, fitted to the photons above it."""
    lowest = 1.2 * limit
    logs = np.log(seen.photons[seen.photons > lowest])
    if np.quantile(seen.photons, 0.05) > NEAR_LIMIT * limit or len(logs) < FEW_ALONE:
        return []

    def loss(law: NDArray[np.float64]) -> float:
        spread = math.exp(law[1])
        away = (logs - law[0]) / spread
        return float((away**2 / 2 + law[1] + log_ndtr(-(math.log(lowest) - law[0]) / spread)).mean())

    start = np.array([np.median(logs), math.log(logs.std() + 0.05)])
    law = minimize(loss, start, method="Nelder-Mead").x
    hidden = float(ndtr((math.log(limit) - law[0]) / math.exp(law[1])))
    return [
        f"spots of fewer than about {limit:.0f} photons are not seen, and photons reach down to there: the density is"
        f" that of brighter ones; roughly {hidden:.0%} of all may be dimmer"
    ]


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
