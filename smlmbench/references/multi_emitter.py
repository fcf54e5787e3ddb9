"""The classical fitter for crowded frames: emitters that overlap are fitted together, as many as the light asks for.

The idea of DAOSTORM (Holden et al. 2011, doi:10.1038/nmeth0411-279) and of multi-emitter fitting (Huang et al. 2011,
doi:10.1364/BOE.2.001377): find emitters, fit up to five whose light overlaps by maximum likelihood while the others are
held, look for more in what they leave, and keep the number that the penalised likelihood prefers. Claimed precision:
the bound of an emitter beside its neighbours.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.camera import Noise
from smlmbench.data.contracts import Condition, Settings
from smlmbench.movies import blocks
from smlmbench.predictions import Floats, Ints, Localizations, Prediction, concatenate
from smlmbench.references import joint
from smlmbench.references.choosing import beside, by_number, divided, grown, pruned
from smlmbench.references.crowded import REACH, TOGETHER, Crowd, parted
from smlmbench.references.peaks_gaussian import pixel_noise
from smlmbench.references.surface import Surface

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Overlapping emitters fitted together by maximum likelihood, their number by BIC (DAOSTORM's idea)",
    "settings": {
        "sigma_nm": {
            "default": None,
            "min": 20.0,
            "max": 1000.0,
            "measured": True,
            "help": "Width of the PSF; by default the condition's, else 1.3 camera pixels",
        },
        "false_per_1000um2": {
            "default": 0.1,
            "min": 1e-6,
            "max": 100.0,
            "help": "False detections that the noise of an empty frame may give, where no other emitter is near",
        },
    },
    "paper": "Holden et al. 2011, DAOSTORM: an algorithm for high-density super-resolution microscopy. Nature Methods",
    "doi": "10.1038/nmeth0411-279",
    "facts": {
        "tasks": {"localization": {"gives": "table", "knows": ["psf", "camera"]}},
        "timed": True,
        "block_frames": 64,
    },
}

START_SIGMA_PX = 1.3
BLOCK: int = CARD["facts"]["block_frames"]
PIXELS_AT_ONCE = 2**21
ROUNDS = 12  # of adding, dividing and removing; frames in which nothing happens are done
STEPS = 2  # of a group's fit in a sweep, whose neighbours move too
# standard deviations by which a pixel is too bright for the background: while no emitters are taken off, and later
DARK, BRIGHT = (*6 * (2.0,), 3.0, 3.0), 4.0
SWEEPS, LAST_STEPS = 4, 8  # in the end


def predict(condition: Condition, settings: Settings, output_settings: Settings, seed: int) -> Prediction:
    """Find and fit; the probability column is the photons over their standard error.

    Counts of an unknown camera get the variance that their second differences tell, proportional to the counts.
    """
    del output_settings, seed
    pixel_nm, n_frames, field_nm = condition.pixel_size_nm, condition.frames.n_frames, condition.field_nm
    sigma_px = (settings["sigma_nm"] or condition.told.get("psf_sigma_nm") or START_SIGMA_PX * pixel_nm) / pixel_nm
    known = Noise.of(condition.told) or (Noise() if condition.calibrated else None)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    each = max(1, min(BLOCK, PIXELS_AT_ONCE // (condition.frames.height * condition.frames.width)))
    false_per_px = settings["false_per_1000um2"] * pixel_nm**2 * 1e-9
    tables = []
    for first, block in blocks(condition.frames, BLOCK):
        for start in range(0, len(block), each):
            frames = block[start : start + each]
            noise = known or _proportional(frames)
            added = noise.added if condition.noise_map is None else condition.noise_map
            crowd = _empty(frames, sigma_px, noise.excess, added, device)
            resolve(crowd, false_per_px)
            table = Localizations.of(_columns(crowd, pixel_nm), n_frames=len(frames), field_nm=field_nm)
            tables.append(table.shifted(first + start, n_frames=n_frames))
    return Prediction(concatenate(tables, n_frames=n_frames, field_nm=field_nm))


def _proportional(frames: NDArray[np.float32]) -> Noise:
    """Of counts whose variance is a multiple of themselves."""
    level = np.median(frames, axis=(1, 2))
    return Noise(float(np.median(pixel_noise(frames.astype(np.float64)) ** 2 / np.maximum(level, 1.0))) + 1e-9)


def _empty(
    frames: NDArray[np.float32], sigma_px: float, excess: float, added: float | Floats, device: torch.device
) -> Crowd:
    """Frames without emitters yet."""
    pad = 2 * int(np.ceil(2 * REACH * sigma_px)) + 1
    one = np.broadcast_to(np.asarray(added / excess, dtype=np.float32), frames.shape[1:])
    shift, trust = (torch.from_numpy(np.pad(each, pad)).to(device) for each in (one, np.full_like(one, 1 / excess)))
    seen = torch.from_numpy(np.pad(frames, ((0, 0), (pad, pad), (pad, pad)))).to(device) + shift
    level = torch.from_numpy(np.median(frames, axis=(1, 2)).astype(np.float32)).to(device)
    background = level[:, None, None].repeat(1, *seen.shape[1:])
    nobody = torch.zeros(0, dtype=torch.long, device=device), torch.zeros(0, 3, device=device)
    return Crowd(*nobody, seen, background, shift, trust, sigma_px, pad)


def resolve(crowd: Crowd, false_per_px: float) -> None:
    """Find the emitters of all frames."""
    surface = Surface(*crowd.size, crowd.sigma_px, crowd.seen.device)
    for brightest in DARK:
        level(crowd, surface, brightest)
    frames = torch.arange(len(crowd.seen), device=crowd.seen.device)
    for _ in range(ROUNDS):
        part = crowd.part(frames)
        changed = [grown(part, part.total(), false_per_px)]
        _settle(part, surface)
        changed.append(divided(part, part.total()))
        _settle(part, surface)
        changed.append(pruned(part, part.total()))
        _settle(part, surface)
        crowd.put(frames, part)
        frames = frames[torch.bincount(torch.cat(changed), minlength=len(frames)) > 0]
        if not len(frames):
            break
    for _ in range(SWEEPS):
        _settle(crowd, surface, LAST_STEPS)


def _settle(crowd: Crowd, surface: Surface, steps: int = STEPS) -> None:
    sweep(crowd, steps)
    level(crowd, surface)


def level(crowd: Crowd, surface: Surface, brightest: float = BRIGHT) -> None:
    """Fit the background to what emitters leave, pixels left out that are far too bright for it."""
    inside = (..., slice(crowd.pad, -crowd.pad), slice(crowd.pad, -crowd.pad))
    left, weight = crowd.surplus(crowd.total())
    weight = weight * (left * weight.sqrt() < brightest)
    crowd.background[inside] += surface.fitted(left, weight)


def sweep(crowd: Crowd, steps: int) -> None:
    """Fit every group of overlapping emitters once, all others held."""
    total, values = crowd.total(), crowd.values.clone()
    for group in parted(crowd.places(), crowd.sigma_px):
        rows = torch.as_tensor(group, device=values.device)
        free = crowd.values[rows]
        corner = crowd.corners((free[..., :2].amin(dim=1) + free[..., :2].amax(dim=1)) / 2)
        windows, inner = crowd.windows(total, crowd.frame[rows[:, 0]], corner, free)
        values[rows] = joint.fit(windows, inner, crowd.sigma_px, steps).values
        values[rows, :2] += corner[:, None, [1, 0]]
    crowd.values = values
    crowd.confine()


def bounds(crowd: Crowd) -> torch.Tensor:
    """Standard errors of x, y (pixels) and photons of every emitter beside four neighbours (n, 3)."""
    total, found = crowd.total(), torch.empty_like(crowd.values)
    own = torch.arange(len(crowd), device=found.device)
    near = beside(crowd, crowd.frame, crowd.values[:, :2], own[:, None], TOGETHER - 1)
    for rows, others in by_number(near):
        here = torch.as_tensor(rows, device=found.device)
        who = torch.cat([here[:, None], torch.as_tensor(others, device=found.device)], dim=1)
        corner = crowd.corners(crowd.values[here, :2])
        windows, inner = crowd.windows(total, crowd.frame[here], corner, crowd.values[who])
        found[here] = joint.variances(windows, inner, crowd.sigma_px)[:, 0].sqrt()
    return found


def _columns(crowd: Crowd, pixel_nm: float) -> dict[str, Floats | Ints]:
    """Of the emitters in the frames, in the order of frames and lines."""
    tall, wide = crowd.size
    x_px, y_px, photons = crowd.values.cpu().double().numpy().T
    error_x, error_y, error = bounds(crowd).cpu().double().numpy().T
    inside = (x_px >= 0) & (x_px < wide) & (y_px >= 0) & (y_px < tall)
    rows = np.flatnonzero(inside)
    frame, line, column = (at[rows].astype(np.int64) for at in (crowd.frame.cpu().numpy(), y_px, x_px))
    background = crowd.background.cpu().double().numpy()[frame, line + crowd.pad, column + crowd.pad]
    columns = {
        "frame": frame,
        "x_nm": x_px[rows] * pixel_nm,
        "y_nm": y_px[rows] * pixel_nm,
        "photons": photons[rows],
        "background_photons": background,
        "probability": (photons / error)[rows],
        "sigma_x_nm": error_x[rows] * pixel_nm,
        "sigma_y_nm": error_y[rows] * pixel_nm,
    }
    order = np.lexsort((columns["x_nm"], columns["y_nm"], frame))
    return {name: values[order] for name, values in columns.items()}
