"""How much of a PSF's light a round Gaussian of one width takes up, over the depths that the PSF knows."""

import math

import torch

from smlmbench.psf.contracts import Psf, Stand, Window

DEPTHS, DRAWS = 9, 16
REACH = 4.0  # standard deviations of the Gaussian, to each side


def gaussian_light(optics: Psf, sigma_nm: float, pixel_size_nm: float) -> tuple[float, float]:
    """Lowest and highest share of an emitter's photons, by depth, that a fit of a Gaussian of that width claims.

    By least squares at the true place, beside a flat background; of a PSF that varies from emitter to emitter the mean
    over a few. 1 where it is such a Gaussian at every depth.
    """
    half = math.ceil(REACH * sigma_nm / pixel_size_nm)
    window, low_high = Window(2 * half + 1, pixel_size_nm), optics.depth_nm or (0.0, 0.0)
    middle = torch.full((DEPTHS * DRAWS,), (half + 0.5) * pixel_size_nm, dtype=torch.float64)
    z_nm = torch.linspace(*low_high, DEPTHS, dtype=torch.float64).repeat_interleave(DRAWS)
    shapes = optics.shapes(len(z_nm), torch.Generator().manual_seed(0))
    light = optics.light(Stand(middle, middle, z_nm), shapes, window).sum(dim=1)
    edges = (torch.arange(window.side_px + 1, dtype=torch.float64) - half - 0.5) * pixel_size_nm
    along = torch.special.ndtr(edges / sigma_nm).diff()
    spot = torch.outer(along, along)
    above = spot - spot.mean()
    shares = (light * above).sum(dim=(1, 2)) / (above * spot).sum()
    means = shares.view(DEPTHS, DRAWS).mean(dim=1)
    return float(means.min()), float(means.max())
