"""What fitters of crops share: their pixels, where fits begin, and the likeliest end of several."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from smlmbench.camera import Noise
from smlmbench.data.contracts import Condition
from smlmbench.errors import ConfigError
from smlmbench.predictions import Floats
from smlmbench.references.likelihood import Fits, Model, Pixels, climb

FAINTEST = 1.0  # photons that a fit begins with at least
DARKEST = 0.01


def pixels_of(condition: Condition) -> Floats:
    """All crops of a condition (n, side, side) float64; channels are summed."""
    values = np.asarray(condition.frames.read(0, condition.frames.n_frames), dtype=np.float64)
    return values if values.ndim == 3 else values.sum(axis=1)


def windows_of(condition: Condition) -> Pixels:
    """The crops as fits take them, with the camera's noise.

    Raises:
        ConfigError: No photo-electrons, several detectors, or crops that are not square.
    """
    frames, noise = condition.frames, Noise.of(condition.told)
    if noise is None or not condition.calibrated:
        raise ConfigError(f"fits of crops need photo-electrons and their noise; state the camera of {condition.name}")
    if frames.height != frames.width:
        raise ConfigError(f"crops of {frames.width} x {frames.height} px are not square; cut square ones")
    if np.ndim(frames.read(0, 1)) == 4:
        raise ConfigError("fits of crops take one detector, and these have several; leave this fitter out")
    values = torch.from_numpy(pixels_of(condition)).permute(1, 2, 0).contiguous()
    excess, dark = (torch.tensor(number, dtype=torch.float64) for number in (noise.excess, 0.0))
    added = noise.added if condition.noise_map is None else torch.from_numpy(condition.noise_map)[..., None]
    return Pixels(values, excess, added / excess, dark)


@dataclass(frozen=True, slots=True)
class Start:
    """Where fits of crops begin, (n,) each: the centroid of the light above the median of the edge."""

    x_px: torch.Tensor
    y_px: torch.Tensor
    photons: torch.Tensor
    background: torch.Tensor

    @classmethod
    def of(cls, pixels: Floats) -> "Start":
        """Of crops (n, side, side)."""
        side = pixels.shape[-1]
        rim = np.concatenate([pixels[:, 0], pixels[:, -1], pixels[:, 1:-1, 0], pixels[:, 1:-1, -1]], axis=1)
        background = np.clip(np.median(rim, axis=1), DARKEST, None)
        photons = np.clip((pixels - background[:, None, None]).sum(axis=(1, 2)), FAINTEST, None)
        # what stands out of the background's own noise
        light = np.clip(pixels - (background + 2 * np.sqrt(background))[:, None, None], 0.0, None)
        mass, at = light.sum(axis=(1, 2)), np.arange(side) + 0.5
        lost = mass <= 0
        x, y = (np.where(lost, side / 2, (light.sum(axis=axis) @ at) / np.where(lost, 1.0, mass)) for axis in (1, 2))
        return cls(*(torch.from_numpy(each) for each in (x, y, photons, background)))


def best_of(model: Model, pixels: Pixels, starts: Sequence[torch.Tensor]) -> Fits:
    """Fits from several starts (p, n), of each window the likeliest."""
    every = [climb(model, pixels, start) for start in starts]
    misfits = torch.stack([model.look(fits.at, pixels).misfit for fits in every])
    best = misfits.argmin(dim=0)
    rows = torch.arange(len(pixels))
    return Fits(
        torch.stack([fits.at for fits in every])[best, :, rows].T,
        torch.stack([fits.covariance for fits in every])[best, :, :, rows].permute(1, 2, 0),
        torch.stack([fits.mean for fits in every])[best, :, :, rows].permute(1, 2, 0),
        torch.stack([fits.settled for fits in every])[best, rows],
    )
