"""A vectorial pupil at high aperture: a dipole in a medium behind a coverslip, with the index mismatch of Gibson-Lanni.

See `smlmbench/optics/vectorial.py`. Depth counts from the coverslip: waves beyond the critical angle are in it.
"""

import math
from collections.abc import Mapping
from typing import Any

from smlmbench.errors import ConfigError
from smlmbench.optics.vectorial import Layer, Vectorial
from smlmbench.psf.pupil import PupilPsf, pupil_of

CARD = {
    "version": 1,
    "summary": "Vectorial pupil of a free or fixed dipole behind a coverslip, with index mismatch and a phase mask",
    "settings": {
        "dipole": {"default": "free", "choices": ["free", "fixed"], "help": "Whether the emitter turns freely"},
        "polar_deg": {"default": 0.0, "min": 0.0, "max": 180.0, "help": "Of a fixed dipole, from the optical axis"},
        "azimuth_deg": {"default": 0.0, "min": -360.0, "max": 360.0, "help": "Of a fixed dipole, from x towards y"},
        "na": {"default": 1.4, "min": 0.1, "max": 1.7, "help": "Numerical aperture, below both indices beneath"},
        "wavelength_nm": {"default": 670.0, "min": 300.0, "max": 1200.0, "help": "Of the emission, in vacuum"},
        "medium_index": {"default": 1.33, "min": 1.0, "max": 1.8, "help": "Refractive index around the emitters"},
        "cover_index": {"default": 1.518, "min": 1.0, "max": 1.8, "help": "Refractive index of the coverslip"},
        "cover_design_index": {"default": 1.518, "min": 1.0, "max": 1.8, "help": "The one the objective is made for"},
        "cover_um": {"default": 170.0, "min": 0.0, "max": 1000.0, "help": "Thickness of the coverslip"},
        "cover_design_um": {"default": 170.0, "min": 0.0, "max": 1000.0, "help": "The one the objective is made for"},
        "immersion_index": {"default": 1.518, "min": 1.0, "max": 1.8, "help": "Refractive index of oil, water or air"},
        "immersion_design_index": {"default": 1.518, "min": 1.0, "max": 1.8, "help": "As the objective is made for"},
        "working_distance_um": {"default": 100.0, "min": 1.0, "max": 5000.0, "help": "Immersion in front, as designed"},
        "z_min_nm": {"default": 0.0, "min": 0.0, "max": 10000.0, "help": "Lowest depth, from the coverslip"},
        "z_max_nm": {"default": 750.0, "min": 0.0, "max": 10000.0, "help": "Highest depth, from the coverslip"},
        "focus_nm": {"default": 0.0, "min": -10000.0, "max": 10000.0, "help": "Focal plane as it were in immersion"},
        "mask": {
            "default": "flat",
            "choices": ["flat", "tetrapod", "double_helix", "file"],
            "help": "Phase mask; tetrapod and double_helix are reconstructions",
        },
        "mask_path": {"default": "", "help": "Square array of radians (.npy, .mat, .tif) of mask: file"},
        "mask_radius_px": {"default": 0.0, "min": 0.0, "max": 1e5, "help": "Pupil in the file; 0: half its side"},
        "mask_strength": {"default": 1.0, "min": -10.0, "max": 10.0, "help": "Factor of tetrapod's or a file's phase"},
        "zernike_mlambda": {"default": {}, "help": "Aberrations {Noll's index: mlambda rms}, such as {6: 80, 11: -30}"},
        "blur_nm": {"default": 0.0, "min": 0.0, "max": 500.0, "help": "Standard deviation of a further Gaussian blur"},
        "reach_nm": {"default": 2500.0, "min": 300.0, "max": 10000.0, "help": "Half a spot; photons are those in it"},
    },
    "paper": "Mortensen et al. 2010, Optimized localization analysis for single-molecule tracking. Nature Methods",
    "doi": "10.1038/nmeth.1447",
    "facts": {"depth": ["z_min_nm", "z_max_nm"], "files": {"mask_path": "phase mask"}},
    "tiny": {"reach_nm": 1500.0, "z_max_nm": 200.0},
    "variants": {"dipole=free": {"ignores": ["polar_deg", "azimuth_deg"]}},
}


def build(settings: Mapping[str, Any]) -> PupilPsf:
    """Build it from filled settings.

    Raises:
        ConfigError: An aperture that coverslip or immersion cannot have, aberrations or a mask that are none.
    """
    pupil = pupil_of(settings)
    if pupil.na >= (cover := min(settings["cover_index"], settings["cover_design_index"])):
        raise ConfigError(f"psf: na {pupil.na:g} is not below the coverslip's index {cover:g}; give another coverslip")
    if pupil.na >= (oil := settings["immersion_design_index"]):
        raise ConfigError(f"psf: na {pupil.na:g} is not below immersion_design_index {oil:g}; give that of its oil")
    polar, azimuth = (math.radians(settings[name]) for name in ("polar_deg", "azimuth_deg"))
    across = math.sin(polar)
    fixed = (across * math.cos(azimuth), across * math.sin(azimuth), math.cos(polar))
    cover = Layer(
        settings["cover_index"],
        1000 * settings["cover_um"],
        settings["cover_design_index"],
        1000 * settings["cover_design_um"],
    )
    distance_nm = 1000 * settings["working_distance_um"]
    oil = Layer(settings["immersion_index"], distance_nm, settings["immersion_design_index"], distance_nm)
    dipole = fixed if settings["dipole"] == "fixed" else None
    return PupilPsf(settings, Vectorial(pupil, settings["medium_index"], settings["focus_nm"], cover, oil, dipole))
