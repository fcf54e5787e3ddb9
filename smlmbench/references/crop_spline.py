"""Maximum-likelihood fit of the known PSF to each crop, as splines: `spline_mle` without a search.

Position, depth, photons and background, with the camera's noise, from several depths; the likeliest end stays.
"""

from typing import Any

import torch

from smlmbench.data.contracts import Condition, Settings
from smlmbench.errors import ConfigError
from smlmbench.predictions import Parameters
from smlmbench.references.crops import Start, best_of, pixels_of, windows_of
from smlmbench.references.splined import Splined, Spots, alike

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Maximum-likelihood fit of the known PSF, as splines, to each crop in 3-D",
    "settings": {
        "psf": {"default": "", "help": "YAML file of the PSF, as calibrate writes it; by default that of the data"},
        "starts": {"default": 7, "min": 1, "max": 41, "help": "depths that fits begin at"},
    },
    "paper": (
        "Li et al. 2018, Real-time 3D single-molecule localization using experimental point spread functions. "
        "Nature Methods"
    ),
    "doi": "10.1038/nmeth.4661",
    "fidelity": "reconstruction",
    "deviations": ["Splines over positions and depth of any PSF, a table of its own for every pixel size, on the CPU"],
    "facts": {
        "tasks": {"psf_regression": {"gives": "parameters", "knows": ["psf", "camera"]}},
        "optics": "psf",
        "default": False,
    },
}

NAMES = ("x_nm", "y_nm", "z_nm", "photons", "background_photons")


def predict(condition: Condition, settings: Settings, output_settings: Settings, seed: int) -> Parameters:
    """Fit every crop.

    Raises:
        ConfigError: No PSF, one without depth, of several detectors or that differs from crop to crop; no camera.
    """
    del output_settings, seed
    optics, pixel_nm = condition.optics, condition.pixel_size_nm
    if optics is None or optics.depth_nm is None:
        raise ConfigError("crop_spline fits a known PSF in 3-D; state one with depth, or take crop_mle")
    if not alike(optics):
        raise ConfigError("crop_spline fits one PSF, and this one differs from crop to crop; leave it out")
    pixels, start = windows_of(condition), Start.of(pixels_of(condition))
    model = Spots(Splined(optics, pixel_nm, pixels.values.shape[0]), pixel_nm, 1)
    low, high = optics.depth_nm
    depths = low + (torch.arange(settings["starts"], dtype=torch.float64) + 0.5) * (high - low) / settings["starts"]
    starts = [
        torch.stack([start.x_px, start.y_px, torch.full_like(start.x_px, float(z)), start.photons, start.background])
        for z in depths
    ]
    fits = best_of(model, pixels, starts)
    scale = torch.tensor([pixel_nm, pixel_nm, 1.0, 1.0, 1.0], dtype=torch.float64)[:, None]
    errors = fits.covariance.diagonal(dim1=0, dim2=1).T.sqrt() * scale
    values = fits.at * scale
    return Parameters(*(dict(zip(NAMES, each.numpy(), strict=True)) for each in (values, errors)))
