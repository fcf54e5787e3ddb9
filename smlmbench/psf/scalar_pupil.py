"""A scalar pupil: one wave behind a circular pupil, with aberrations and a phase mask.

The light at x is |sum over the pupil of exp(i [mask + aberrations + k n z cos(theta) - k n_oil f cos(theta_oil)
+ 2 pi NA / lambda u x])|^2, over the pixel, see `smlmbench/optics/scalar.py`.
"""

from collections.abc import Mapping
from typing import Any

from smlmbench.optics.scalar import Scalar
from smlmbench.psf.pupil import PupilPsf, pupil_of

CARD = {
    "version": 1,
    "summary": "Scalar pupil with defocus in a medium, Zernike aberrations and a phase mask",
    "settings": {
        "wavelength_nm": {"default": 670.0, "min": 300.0, "max": 1200.0, "help": "Of the emission, in vacuum"},
        "na": {"default": 1.4, "min": 0.1, "max": 1.7, "help": "Numerical aperture, below immersion_index"},
        "immersion_index": {"default": 1.518, "min": 1.0, "max": 1.8, "help": "Refractive index of oil, water or air"},
        "medium_index": {"default": 1.33, "min": 1.0, "max": 1.8, "help": "Refractive index around the emitters"},
        "focus_nm": {"default": 0.0, "min": -10000.0, "max": 10000.0, "help": "Focal plane as it were in immersion"},
        "z_min_nm": {"default": -750.0, "min": -10000.0, "max": 10000.0, "help": "Lowest depth"},
        "z_max_nm": {"default": 750.0, "min": -10000.0, "max": 10000.0, "help": "Highest depth"},
        "reach_nm": {
            "default": 2000.0,
            "min": 300.0,
            "max": 10000.0,
            "help": "Half the side of a spot; photons are those within it",
        },
        "blur_nm": {"default": 0.0, "min": 0.0, "max": 500.0, "help": "Standard deviation of a further Gaussian blur"},
        "zernike_mlambda": {"default": {}, "help": "Aberrations {Noll's index: mlambda rms}, such as {6: 80, 11: -30}"},
        "mask": {
            "default": "flat",
            "choices": ["flat", "tetrapod", "double_helix", "file"],
            "help": "Phase mask; tetrapod and double_helix are reconstructions",
        },
        "mask_strength": {"default": 1.0, "min": -10.0, "max": 10.0, "help": "Factor of tetrapod's or a file's phase"},
        "mask_path": {"default": "", "help": "Square array of radians (.npy, .mat, .tif) of mask: file"},
        "mask_radius_px": {"default": 0.0, "min": 0.0, "max": 1e5, "help": "Pupil in the file; 0: half its side"},
    },
    "paper": (
        "Nehme et al. 2020, DeepSTORM3D: dense 3D localization microscopy and PSF design by deep learning. Nature"
        " Methods 17:734"
    ),
    "doi": "10.1038/s41592-020-0853-5",
    "facts": {"depth": ["z_min_nm", "z_max_nm"], "files": {"mask_path": "phase mask"}},
    "tiny": {"reach_nm": 1500.0, "z_min_nm": -100.0, "z_max_nm": 100.0},
}


def build(settings: Mapping[str, Any]) -> PupilPsf:
    """Build it from filled settings.

    Raises:
        ConfigError: An aperture that the immersion cannot have, aberrations or a mask that are none.
    """
    return PupilPsf(settings, Scalar(pupil_of(settings), settings["medium_index"], settings["focus_nm"]))
