"""Maximum-likelihood fit of a Gaussian to each crop: x, y, photons and background, and depth behind a cylindrical lens.

The widths are those of the PSF where they follow from depth or are known, else one width. Fisher scoring with the
camera's noise (`likelihood`), from several depths. Source: Smith et al. 2010, doi:10.1038/nmeth.1449.
"""

from typing import Any

import torch

from smlmbench.data.contracts import Condition, Settings
from smlmbench.predictions import Parameters
from smlmbench.psf.contracts import Psf
from smlmbench.references.crops import Start, best_of, pixels_of, windows_of
from smlmbench.references.gaussian_mle import curve_of, has_widths, widths_px
from smlmbench.references.likelihood import Spot

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Maximum-likelihood Gaussian fit of each crop, in 3-D where the PSF's widths tell depth",
    "settings": {
        "sigma_nm": {
            "default": None,
            "min": 20.0,
            "max": 1000.0,
            "help": "one width instead of those of the PSF; by default as the data say",
        },
        "starts": {"default": 5, "min": 1, "max": 41, "help": "depths that fits begin at; the likeliest end stays"},
    },
    "paper": (
        "Smith et al. 2010, Fast, single-molecule localization that achieves theoretically minimum uncertainty. "
        "Nature Methods"
    ),
    "doi": "10.1038/nmeth.1449",
    "facts": {"tasks": {"psf_regression": {"gives": "parameters", "knows": ["psf", "camera"]}}},
}

NAMES = ("x_nm", "y_nm", "photons", "background_photons", "z_nm")


def predict(condition: Condition, settings: Settings, output_settings: Settings, seed: int) -> Parameters:
    """Fit every crop; what a Gaussian does not have (angles, aberrations, depth of a round one) is not told."""
    del output_settings, seed
    pixel_nm, optics = condition.pixel_size_nm, condition.optics
    start = Start.of(pixels_of(condition))
    shape = optics if settings["sigma_nm"] is None and optics is not None and has_widths(optics) else None
    spot, depths = _spot(shape, condition, settings)
    starts = [torch.stack([start.x_px, start.y_px, start.photons, start.background])]
    if depths is not None:
        starts = [torch.cat([starts[0], torch.full_like(starts[0][:1], float(z_nm))]) for z_nm in depths]
    fits = best_of(spot, windows_of(condition), starts)
    scale = torch.ones(len(fits.at), dtype=torch.float64)
    scale[:2] = pixel_nm
    values = (fits.at * scale[:, None]).numpy()
    errors = (fits.covariance.diagonal(dim1=0, dim2=1).T.sqrt() * scale[:, None]).numpy()
    named = NAMES[: len(values)]
    return Parameters(dict(zip(named, values, strict=True)), dict(zip(named, errors, strict=True)))


def _spot(optics: Psf | None, condition: Condition, settings: Settings) -> tuple[Spot, torch.Tensor | None]:
    """What is fitted, and the depths that it begins at."""
    pixel_nm = condition.pixel_size_nm
    if optics is None:
        sigma_px = (settings["sigma_nm"] or condition.told["psf_sigma_nm"]) / pixel_nm
        return Spot((sigma_px, sigma_px)), None
    if optics.depth_nm is None:
        x, y = widths_px(optics, torch.zeros(1, dtype=torch.float64), pixel_nm)
        return Spot((float(x), float(y))), None
    low, high = optics.depth_nm
    # the middles of equal parts
    depths = low + (torch.arange(settings["starts"], dtype=torch.float64) + 0.5) * (high - low) / settings["starts"]
    return Spot(curve=curve_of(optics, pixel_nm), depth=optics.depth_nm), depths
