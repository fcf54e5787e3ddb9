"""A phase mask in numbers: what a lone emitter could be located to behind it, and how smooth it is."""

import math

import numpy as np

from smlmbench.metrics.masked import MaskSeen

CARD = {
    "version": 1,
    "summary": "Bounds of a lone emitter behind a mask (of the first colour) over the depths, and its smoothness.",
    "tasks": ["optics", "optics_colors"],
    "gives": {
        "bound_lateral_nm": {
            "title": "Bound of x, y (nm)",
            "unit": "nm",
            "direction": "down",
            "low": 0.0,
            "help": "Root mean square of the bounds of x and y of a lone emitter, median over the depths.",
        },
        "bound_axial_nm": {
            "title": "Bound of z (nm)",
            "unit": "nm",
            "direction": "down",
            "low": 0.0,
            "help": "Bound of z of a lone emitter, median over the depths.",
        },
        "bound_volume_nm": {
            "title": "Bound of x, y, z (nm)",
            "unit": "nm",
            "direction": "down",
            "low": 0.0,
            "help": "Geometric mean of the bounds of x, y and z and over the depths: the side of a cube as large.",
        },
        "mask_roughness_rad": {
            "title": "Roughness of the mask (rad)",
            "unit": "rad",
            "direction": "none",
            "low": 0.0,
            "help": "Root mean square step of the phase between neighbouring cells of the pupil, wraps aside.",
        },
        "mask_rms_rad": {
            "title": "Depth of the mask (rad)",
            "unit": "rad",
            "direction": "none",
            "low": 0.0,
            "help": "Standard deviation of the phase over the pupil.",
        },
    },
}

BLIND = "at some depth the image tells nothing of a coordinate"


def measure(evidence: MaskSeen) -> dict[str, float | str]:
    """All of them; `evidence` is a mask with its bounds."""
    bounds, phase = evidence.bounds_nm, evidence.phase
    lateral = np.sqrt((bounds[:, :2] ** 2).mean(axis=1))
    steps = [np.angle(np.exp(1j * np.diff(phase, axis=axis))) for axis in (0, 1)]
    known = np.concatenate([step[np.isfinite(step)] for step in steps])
    found = {
        "bound_lateral_nm": float(np.median(lateral)),
        "bound_axial_nm": float(np.median(bounds[:, 2])),
        "bound_volume_nm": float(np.exp(np.log(bounds).mean())),
        "mask_roughness_rad": math.sqrt(float(np.mean(known**2))),
        "mask_rms_rad": float(np.nanstd(phase)),
    }
    return {name: value if math.isfinite(value) else BLIND for name, value in found.items()}


def profile(evidence: MaskSeen) -> dict[str, dict[str, list[float | None]]]:
    """The bounds of x, y and z over depth."""
    columns = {"z_nm": evidence.z_nm}
    columns |= {f"bound_{name}_nm": evidence.bounds_nm[:, axis] for axis, name in enumerate("xyz")}
    told = {name: [float(one) if math.isfinite(one) else None for one in held] for name, held in columns.items()}
    return {"bounds": told}
