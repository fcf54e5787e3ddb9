"""Every crop is fitted by the PSF of every class, with place, depth, photons and background free; the likeliest wins.

It knows what the simulation knows: the PSF at each wavelength, the depths, the camera's noise. A class is worth its
likelihood times the volume of parameters that serve as well (Laplace's approximation of its evidence), from fits that
begin at several depths, so that neither side of the focus is missed.
"""

import math
from typing import Any

import numpy as np
import torch

from smlmbench.camera import Noise
from smlmbench.data.contracts import Condition, Settings
from smlmbench.errors import ConfigError
from smlmbench.movies import blocks
from smlmbench.predictions import ClassScores
from smlmbench.psf.coloured import Coloured
from smlmbench.references.likelihood import Pixels, climb
from smlmbench.references.splined import Splined, Spots

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Maximum-likelihood fits of each class's PSF at several depths; the likeliest class",
    "settings": {
        "depths": {"default": 5, "min": 1, "max": 41, "help": "At which fits begin, evenly over those of the PSF"},
    },
    "facts": {
        "tasks": {"classification": {"gives": "classes", "knows": ["psf", "camera"]}},
        "needs": ["psf"],
        "default": False,
    },
}

BLOCK = 2048  # fits at once
FAINTEST = 10.0  # photons at which a fit begins, at least


def predict(condition: Condition, settings: Settings, output_settings: Settings, seed: int) -> ClassScores:
    """Chances of the classes, (n, classes).

    Raises:
        ConfigError: No PSF for each class, or no camera.
    """
    del output_settings, seed
    optics, noise = _known(condition)
    side, pixel_nm = condition.frames.width, condition.pixel_size_nm
    models = [Spots(Splined(part, pixel_nm, side), pixel_nm, 1) for part in optics.parts.values()]
    depths = torch.linspace(*(optics.depth_nm or (0.0, 0.0)), settings["depths"] + 2, dtype=torch.float64)[1:-1]
    found = []
    for _, block in blocks(condition.frames, max(1, BLOCK // len(depths))):
        crops = torch.from_numpy(np.ascontiguousarray(block, dtype=np.float64)).view(len(block), side, side)
        found.append(torch.stack([_worth(model, crops, depths, noise) for model in models], dim=1))
    scores = torch.cat(found).softmax(dim=1)
    return ClassScores(scores.float().numpy(), tuple(optics.parts))


def _worth(model: Spots, crops: torch.Tensor, depths: torch.Tensor, noise: Noise) -> torch.Tensor:
    """Logarithm of how well a class explains crops (n, side, side), (n,) but for a constant of each crop."""
    n, side = crops.shape[:2]
    values = crops.permute(1, 2, 0).repeat(1, 1, len(depths))
    excess = torch.full((values.shape[-1],), noise.excess, dtype=torch.float64)
    zero = torch.zeros((), dtype=torch.float64)
    pixels = Pixels(values, excess, zero + noise.added / noise.excess, zero)
    edge = torch.cat([values[0], values[-1], values[1:-1, 0], values[1:-1, -1]]).mean(dim=0).clamp_min(0.0)
    light = (values.sum(dim=(0, 1)) - edge * side**2).clamp_min(FAINTEST)
    middle = torch.full_like(edge, side / 2)
    start = torch.stack([middle, middle, depths.repeat_interleave(n), light, edge])
    fits = climb(model, pixels, start)
    volume = torch.linalg.slogdet(fits.covariance.permute(2, 0, 1)).logabsdet / 2
    worth: torch.Tensor = volume - pixels.deviance(fits.mean).sum(dim=(0, 1)) / 2
    return worth.nan_to_num(nan=-math.inf).view(len(depths), n).amax(dim=0)


def _known(condition: Condition) -> tuple[Coloured, Noise]:
    noise = Noise.of(condition.told)
    if not isinstance(condition.optics, Coloured):
        said = "is told no PSF for each class; take data such as color_crops, or nearest_template"
    elif noise is None or not condition.calibrated:
        said = "needs photo-electrons and their noise; state the camera"
    else:
        return condition.optics, noise
    raise ConfigError(f"template_likelihood {said}")
