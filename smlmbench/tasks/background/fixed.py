"""The fixed fit: one maximum-likelihood fit of position and photons after a background was subtracted.

It is the same for every row: the PSF is known (its width, its shape, the emitter's depth), and so is the noise that a
subtracted background leaves, that of a flat one as bright as the true one is on average in the crop. With n the crop
less its background and v that level (with the camera's own variance), n + v is taken as Poisson numbers of mean
photons * psf(x, y) + v. Nothing is left for a background that was not subtracted: it goes into photons and position.
The fit starts at the truth, so what a search would lose is in no number.
Source of the likelihood: Smith et al. 2010, doi:10.1038/nmeth.1449; of the added variance: Huang et al. 2013,
doi:10.1038/nmeth.2488.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.camera import Noise
from smlmbench.predictions import Floats
from smlmbench.psf.contracts import Psf, Shapes, Stand, Window
from smlmbench.truths.background_maps import BackgroundMaps

STEPS = 30
BOX_PX = 3.0  # from the start; what ends there ran away
LEAST_PHOTONS = 1.0
LEAST_LEVEL = 0.05  # photons per pixel
DAMPING = 1e-3
DAMPING_RANGE = (1e-7, 1e7)
STILL_PX, STILL_PART = 1e-4, 1e-5


@dataclass(frozen=True, slots=True)
class Fitted:
    """Errors (n,) of position in nm and of photons in percent, and which fits ran away; NaN where nothing is fitted."""

    x_nm: Floats
    y_nm: Floats
    photons: Floats
    lost: Floats


def fitted(corrected: NDArray[np.float32], truth: BackgroundMaps, pixel_nm: float, noise: Noise) -> Fitted:
    """Fit crops (n, H, W) less their background; without PSF or emitter there are NaN."""
    known = np.isfinite(truth.x_nm) & (truth.photons > 0)
    found = Fitted(*(np.full(len(truth), np.nan) for _ in range(4)))
    if truth.optics is None or not known.any():
        return found
    rows = torch.from_numpy(known)
    level = truth.maps.mean(axis=(1, 2), dtype=np.float64) + noise.added / noise.excess
    problem = _Problem(
        optics=truth.optics,
        shapes={name: values[rows] for name, values in truth.shapes.items()},
        window=Window(int(corrected.shape[-1]), pixel_nm),
        z_nm=torch.from_numpy(truth.z_nm[known]),
        level=torch.from_numpy(level[known]).clamp_min(LEAST_LEVEL)[:, None],
        counts=torch.from_numpy(corrected[known].astype(np.float64)).flatten(1),
    )
    true = torch.from_numpy(np.stack([truth.x_nm[known], truth.y_nm[known], truth.photons[known]], axis=1))
    at, lost = problem.solved(true)
    away = (at - true).numpy()
    for column, values in zip(
        (found.x_nm, found.y_nm, found.photons, found.lost),
        (away[:, 0], away[:, 1], 100 * away[:, 2] / true[:, 2].numpy(), lost.numpy()),
        strict=True,
    ):
        column[known] = values
    return found


@dataclass(frozen=True, slots=True)
class _Problem:
    """Crops to be fitted, pixels (n, P) in a row."""

    optics: Psf
    shapes: Shapes
    window: Window
    z_nm: torch.Tensor
    level: torch.Tensor  # (n, 1)
    counts: torch.Tensor  # less the background

    def solved(self, start: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The best x, y (nm) and photons (n, 3) near a start, by damped Fisher scoring, and which ran away."""
        at, damping = start.clone(), torch.full((len(start),), DAMPING, dtype=torch.float64)
        likelihood, slope, information = self._at(at)
        for _ in range(STEPS):
            diagonal = information.diagonal(dim1=1, dim2=2)
            damped = information + torch.diag_embed(damping[:, None] * diagonal + 1e-12)
            tried = self._kept(at, at + torch.linalg.solve(damped, slope), start)
            found = self._at(tried)
            better = found[0] >= likelihood
            moved = (tried - at).abs()
            likelihood, slope, information = (
                torch.where(better.view(-1, *[1] * (new.ndim - 1)), new, old)
                for new, old in zip(found, (likelihood, slope, information), strict=True)
            )
            at = torch.where(better[:, None], tried, at)
            damping = torch.where(better, damping / 10, damping * 10).clamp(*DAMPING_RANGE)
            near = (moved[:, :2] < STILL_PX * self.window.pixel_size_nm).all(1)
            if bool((near & (moved[:, 2] < STILL_PART * at[:, 2])).all()):
                break
        box_nm = BOX_PX * self.window.pixel_size_nm
        beyond = ((at - start).abs()[:, :2] >= box_nm * (1 - 1e-9)).any(1)
        return at, (beyond | (at[:, 2] <= LEAST_PHOTONS)).double()

    def _kept(self, at: torch.Tensor, tried: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """A step of at most half a pixel that stays in the box and has photons."""
        half, box = self.window.pixel_size_nm / 2, BOX_PX * self.window.pixel_size_nm
        places = at[:, :2] + (tried - at)[:, :2].clamp(-half, half)
        places = torch.minimum(torch.maximum(places, start[:, :2] - box), start[:, :2] + box)
        photons = torch.minimum(torch.maximum(tried[:, 2], at[:, 2] / 3), at[:, 2] * 3).clamp_min(LEAST_PHOTONS)
        return torch.cat([places, photons[:, None]], dim=1)

    def _at(self, at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Log-likelihood (n,), its slope (n, 3) and the Fisher information (n, 3, 3)."""
        light, slopes = self.optics.slopes(Stand(at[:, 0], at[:, 1], self.z_nm), self.shapes, self.window)
        light, photons = light.flatten(1), at[:, 2:]
        by = torch.cat([photons[:, :, None] * slopes[:, :2].flatten(2), light[:, None]], dim=1)
        mean = (photons * light).clamp_min(0) + self.level
        seen = self.counts + self.level
        likelihood = (seen * mean.log() - mean).sum(1)
        slope = torch.einsum("np,nkp->nk", (seen - mean) / mean, by)
        return likelihood, slope, torch.einsum("nkp,nlp,np->nkl", by, by, 1 / mean)
