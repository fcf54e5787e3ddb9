"""Crops of beads in a z-scan, the stage's z being the truth."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from smlmbench import formats, movies
from smlmbench.camera import Camera
from smlmbench.data.contracts import Asked, Condition, Identity, Scope
from smlmbench.data.cropped import Held, HeldStream, bounded, condition_of, contiguous, pixel_of
from smlmbench.data.cutouts import Boxes
from smlmbench.data.parameters import asked_of
from smlmbench.data.targets import digest_of
from smlmbench.errors import ConfigError, SizeError
from smlmbench.predictions import Floats, Ints
from smlmbench.psf.contracts import Psf
from smlmbench.registry import Catalog
from smlmbench.seeds import derive_seed
from smlmbench.study.sources import PluginSource

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Crops of beads in a z-scan; the truth is the z of the stage",
    "settings": {
        "stack": {"default": "", "help": "movie of a z-scan"},
        "z_step_nm": {
            "default": 50.0,
            "min": -5000.0,
            "max": 5000.0,
            "help": "from plane to plane; below 0: downwards",
        },
        "frames_per_plane": {"default": 1, "min": 1, "max": 10000, "help": "frames in a row at one z"},
        "focus_nm": {
            "default": None,
            "min": -100000.0,
            "max": 100000.0,
            "help": "way of the stage from the first plane to z = 0; by default to the middle of the scan",
        },
        "z_range_nm": {"default": None, "min": 1.0, "max": 20000.0, "help": "planes farther from z = 0 are left out"},
        "field_px": {"default": 16, "min": 5, "max": 128, "help": "side of a crop in camera pixels"},
        "shift_px": {"default": 1, "min": 0, "max": 32, "help": "how far crops are moved at random by whole pixels"},
        "crops_per_frame": {"default": 1, "min": 1, "max": 10000, "help": "of each bead, moved and thinned anew"},
        "photons": {
            "default": None,
            "min": 1.0,
            "max": 1e7,
            "help": "light of a crop is thinned at random to so many photons, as of a molecule; by default all stays",
        },
        "background_photons": {"default": 0.0, "min": 0.0, "max": 1e5, "help": "added at random, per pixel"},
    },
    "tiny": {"field_px": 9},
    "facts": {
        "truth": "parameter_table",
        "truth_kind": "designed",
        "knows": [],
        "takes": {"pixel_size_nm": None, "psf": None, "camera": "uncalibrated"},
        "files": {"stack": "z-scan of beads"},
        "needs": ["stack"],
        "cut": True,
    },
}

BRIGHT, DIM = 8.0, 0.15  # standard deviations of the mean's noise, and share of the brightest
SMOOTH_PX = 1.5


def _held(description: PluginSource, identity: Identity, catalog: Catalog) -> tuple[Held, Psf | None]:
    settings, pixel_nm = description.settings, pixel_of(description)
    side, camera = int(settings["field_px"]), description.camera
    with closing(formats.open_movie(Path(settings["stack"]), catalog=catalog)) as movie:
        frames = movies.calibrated(movie, camera if isinstance(camera, Camera) else None)
        beads = _beads(frames, side + 2 * int(settings["shift_px"]), Path(settings["stack"]).name)
        first, stop = contiguous(description.part, len(beads), "beads")
        z_nm, used = _depths(frames.n_frames, settings)
        frames_of_bead = np.repeat(used, int(settings["crops_per_frame"]))
        frame = np.tile(frames_of_bead, stop - first)
        at_px = np.repeat(beads[first:stop], len(frames_of_bead), axis=0)
        draws = np.random.default_rng(derive_seed(0, "crops", digest_of(identity, "crops"), str(first)))
        reach = int(settings["shift_px"])
        moved = draws.integers(-reach, reach + 1, (2, len(frame)))
        boxes = Boxes.nearest(frame, at_px[:, 1], at_px[:, 0], side, moved)
        pixels = boxes.cut(frames)
    pixels, measured = _dimmed(pixels, settings, draws, calibrated=isinstance(camera, Camera))
    known = {
        "x_nm": (at_px[:, 1] - boxes.left) * pixel_nm,
        "y_nm": (at_px[:, 0] - boxes.top) * pixel_nm,
        "z_nm": z_nm[frame],
        "photons": measured[0],
        "background_photons": measured[1],
    }
    asked = asked_of("z_nm", list(known), "bead_crops")
    truth, optics = bounded(known, asked, description, side, catalog, within=True)
    return Held(pixels, truth, pixel_nm, isinstance(camera, Camera)), optics


def _beads(frames: movies.Frames, side: int, name: str) -> Floats:
    """Places (n, 2), row and column in pixels from the outer corner, of beads that stand alone in their crop.

    Raises:
        SizeError: There are none.
    """
    total, count = np.zeros((frames.height, frames.width)), 0
    for _, block in movies.blocks(frames, 64):
        total, count = total + block.sum(axis=0, dtype=np.float64), count + len(block)
    light = total / max(count, 1)
    light -= np.median(light)
    smooth = ndimage.gaussian_filter(light, SMOOTH_PX)
    noise = 1.4826 * float(np.median(np.abs(smooth - np.median(smooth)))) + 1e-12
    seen = (smooth == ndimage.maximum_filter(smooth, size=side | 1)) & (smooth > BRIGHT * noise)
    seen &= smooth > DIM * smooth.max()
    half = side // 2
    found = []
    for row, column in np.argwhere(seen):
        top, left = row - half, column - half
        if min(top, left) < 0 or row + half >= frames.height or column + half >= frames.width:
            continue
        part = np.clip(light[top : row + half + 1, left : column + half + 1], 0.0, None)
        found.append(
            [place + 0.5 + begin for place, begin in zip(ndimage.center_of_mass(part), (top, left), strict=True)]
        )
    if not found:
        raise SizeError(
            f"'{name}': no bead stands alone in {side} x {side} px within the frame; give a smaller field_px"
        )
    return np.array(found)


def _depths(n_frames: int, settings: dict[str, Any]) -> tuple[Floats, Ints]:
    """Depth of every frame, and the frames that are used.

    Raises:
        SizeError: The range holds none.
    """
    plane = np.arange(n_frames) // int(settings["frames_per_plane"])
    way = plane * float(settings["z_step_nm"])
    focus = (way[0] + way[-1]) / 2 if settings["focus_nm"] is None else float(settings["focus_nm"])
    z_nm = way - focus
    reach = np.inf if settings["z_range_nm"] is None else float(settings["z_range_nm"])
    used = np.flatnonzero(np.abs(z_nm) <= reach)
    if not len(used):
        raise SizeError(f"bead_crops: no plane lies within {reach:g} nm of z = 0; give another focus_nm or z_range_nm")
    return z_nm, used


def _measured(pixels: Any) -> tuple[Floats, Floats]:
    """Photons and background of crops by their edge, for their bounds."""
    rim = np.concatenate([pixels[:, 0], pixels[:, -1], pixels[:, 1:-1, 0], pixels[:, 1:-1, -1]], axis=1)
    background = np.median(rim, axis=1).astype(np.float64)
    return (pixels - background[:, None, None]).sum(axis=(1, 2), dtype=np.float64), background


def _dimmed(
    pixels: NDArray[np.float32], settings: dict[str, Any], draws: np.random.Generator, *, calibrated: bool
) -> tuple[NDArray[np.float32], tuple[Floats, Floats]]:
    """Crops as of a dimmer emitter on more background, and their photons and background as expected.

    Every photo-electron is kept or lost by itself, so that a Poisson law stays one.

    Raises:
        ConfigError: Pixels are counts, or a crop has less light than is asked.
    """
    wanted, added = settings["photons"], float(settings["background_photons"])
    photons, background = _measured(pixels)
    if wanted is None and not added:
        return pixels, (photons, background)
    if not calibrated:
        raise ConfigError("bead_crops: photons and background_photons are photo-electrons; give the camera, too")
    if wanted is not None and photons.min() < wanted:
        raise ConfigError(f"bead_crops: photons: the dimmest crop has {photons.min():.0f}, less than {wanted:g}")
    share = np.ones(len(pixels)) if wanted is None else wanted / photons
    kept = draws.binomial(np.round(pixels.clip(0)).astype(np.int64), share[:, None, None])
    dim = (kept + draws.poisson(added, pixels.shape)).astype(np.float32)
    return dim, (photons * share, background * share + added)


def training_set(description: PluginSource, identity: Identity, scope: Scope, catalog: Catalog) -> HeldStream:
    """The crops of the beads that are trained on, over and over."""
    held, _ = _held(description, identity, catalog)
    return HeldStream(held, (derive_seed(scope.root_seed, "train"), f"{digest_of(identity, 'train')}:{scope.repeat}"))


def condition(name: str, description: PluginSource, identity: Identity, asked: Asked, catalog: Catalog) -> Condition:
    """The crops of a part of the beads."""
    held, optics = _held(description, identity, catalog)
    made = condition_of(name, held, digest_of(identity, asked.role), description, optics)
    return replace(made, block=int(description.settings["crops_per_frame"]))
