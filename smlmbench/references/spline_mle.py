"""A classical 3-D fitter: emitters are found by filters for every depth and fitted together with their neighbours.

The PSF is known: that of the data, or of a file such as `smlmbench calibrate BEADS` writes. Positions, depths, photons
and a background are those of the highest likelihood (Fisher scoring) for the camera's noise, whose pixels may differ.
What the emitters that were found leave over is searched again; an emitter stays where its photons are above their own
bound by the height that noise seldom reaches.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.camera import Noise
from smlmbench.data.contracts import Condition, Settings
from smlmbench.errors import SizeError, UnansweredError
from smlmbench.movies import blocks
from smlmbench.predictions import Floats, Ints, Localizations, Prediction, concatenate
from smlmbench.psf.contracts import Psf
from smlmbench.references.bank import bank_of, height_for
from smlmbench.references.crowds import Plan, localized
from smlmbench.references.splined import Splined, alike, sides_for

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Maximum-likelihood fits of a known PSF in 3-D, neighbours together",
    "settings": {
        "psf": {"default": "", "help": "YAML file of the PSF, as calibrate writes it; by default that of the data"},
        "false_per_1000um2": {
            "default": 1.0,
            "min": 1e-6,
            "max": 1000.0,
            "help": "Detections that noise alone may make in 1000 um2 of frames",
        },
        "together": {"default": 5, "min": 1, "max": 8, "help": "Emitters that are fitted jointly; 1: each alone"},
        "rounds": {"default": 3, "min": 1, "max": 6, "help": "How often emitters are searched in what is left over"},
        "depths": {"default": 9, "min": 3, "max": 41, "help": "Filters, evenly over the depths of the PSF"},
        "window_px": {
            "default": None,
            "min": 5.0,
            "max": 61.0,
            "help": "Side of the fitted window; by default what tells depth nearly as well as any larger, 7 to 31 px",
        },
    },
    "paper": (
        "Li et al. 2018, Real-time 3D single-molecule localization using experimental point spread functions. "
        "Nature Methods"
    ),
    "doi": "10.1038/nmeth.4661",
    "fidelity": "reconstruction",
    "deviations": [
        "Detection by filters for every depth with a false-alarm level, and joint fits of neighbours on residuals",
        "Splines over positions and depth of any PSF, a table of its own for every pixel size, on the CPU",
    ],
    "facts": {
        "tasks": {"localization": {"gives": "table", "knows": ["psf", "camera"]}},
        "timed": True,
        "block_frames": 64,
        "default": False,
        "needs": ["psf"],
        "optics": "psf",
    },
}

SMALLEST_PX = 5


def predict(condition: Condition, settings: Settings, output_settings: Settings, seed: int) -> Prediction:
    """Find and fit; the probability column is an emitter's photons over their standard error.

    Raises:
        UnansweredError: No PSF, one without depth, of several detectors or that differs among emitters; no camera.
        SizeError: Frames below 5 x 5 px.
    """
    del output_settings, seed
    plan = plan_of(condition, settings)
    n_frames, field_nm = condition.frames.n_frames, condition.field_nm
    tables = []
    for first, block in blocks(condition.frames, CARD["facts"]["block_frames"]):
        table = Localizations.of(_localize(block, plan), n_frames=len(block), field_nm=field_nm)
        tables.append(table.shifted(first, n_frames=n_frames))
    return Prediction(concatenate(tables, n_frames=n_frames, field_nm=field_nm))


def plan_of(condition: Condition, settings: Settings) -> Plan:
    """How frames of a condition are fitted (errors as of `predict`)."""
    optics, noise = _known(condition)
    frames, pixel_nm = condition.frames, condition.pixel_size_nm
    if min(frames.height, frames.width) < SMALLEST_PX:
        raise SizeError(f"frames of {frames.width} x {frames.height} px are smaller than 5 x 5 px; give a larger part")
    near, side = sides_for(optics, pixel_nm)
    if settings["window_px"]:
        side = 2 * (int(settings["window_px"]) // 2) + 1
    bank = bank_of(optics, pixel_nm, min(near, side), settings["depths"])
    added = np.full((1, 1), noise.added) if condition.noise_map is None else condition.noise_map
    added = np.broadcast_to(added, (frames.height, frames.width))[None]
    return Plan(
        excess=noise.excess,
        added=torch.tensor(added, dtype=torch.float32),
        pixel_nm=pixel_nm,
        optics=Splined(optics, pixel_nm, side),
        side=side,
        bank=bank,
        height=height_for(bank, settings["false_per_1000um2"] * pixel_nm**2 * 1e-9),
        together=settings["together"],
        rounds=settings["rounds"],
    )


def _known(condition: Condition) -> tuple[Psf, Noise]:
    """The PSF and the noise, after seeing that both serve."""
    optics, noise = condition.optics, Noise.of(condition.told)
    if optics is None:
        said = "is told no PSF; state it with the data, or give psf=optics.yaml, which smlmbench calibrate BEADS writes"
    elif optics.depth_nm is None:
        said = "fits in 3-D, and this PSF is the same at every depth; give one with depth, or take gaussian_mle"
    elif optics.channels > 1:
        said = f"fits one detector, and this PSF has {optics.channels}; give the PSF and the frames of one"
    elif not alike(optics):
        said = "fits one PSF, and this one differs from emitter to emitter; give numbers instead of ranges"
    elif noise is None or not condition.calibrated:
        said = "needs photo-electrons and their noise; state the camera"
    else:
        return optics, noise
    raise UnansweredError(f"spline_mle {said}")


def _localize(block: NDArray[np.float32], plan: Plan) -> dict[str, Floats | Ints]:
    """Columns of one block of frames (F, H, W)."""
    frames = torch.from_numpy(np.ascontiguousarray(block, dtype=np.float32))
    found, nm = localized(frames, plan), plan.pixel_nm
    _, tall, wide = frames.shape
    inside = (found.x_px >= 0) & (found.x_px < wide) & (found.y_px >= 0) & (found.y_px < tall)
    columns = {
        "frame": found.frame,
        "x_nm": found.x_px * nm,
        "y_nm": found.y_px * nm,
        "z_nm": found.z_nm,
        "photons": found.photons,
        "background_photons": found.background,
        "probability": found.photons / found.photons_error,
        "sigma_x_nm": found.x_error_px * nm,
        "sigma_y_nm": found.y_error_px * nm,
        "sigma_z_nm": found.z_error_nm,
    }
    return {name: values[inside].numpy() for name, values in columns.items()}
