"""Two detectors that see an emitter at once, each focused at a depth of its own.

sigma_k(z) = sigma_0 sqrt(1 + ((z - f_k) / d)^2), with f_k = -separation / 2 on the first detector and + on the second;
each has its share of the photons.
Source: Juette et al. 2008, doi:10.1038/nmeth.1211.
"""

from collections.abc import Mapping
from typing import Any

import torch

from smlmbench.psf.astigmatic import Astigmatic
from smlmbench.psf.contracts import Psf, Shapes, Stand, Window

CARD = {
    "version": 1,
    "summary": "Two planes of focus on two detectors, a Gaussian that widens with depth",
    "settings": {
        "sigma_nm": {"default": 130.0, "min": 20.0, "max": 1000.0, "help": "Width in focus"},
        "depth_of_focus_nm": {"default": 400.0, "min": 20.0, "max": 5000.0, "help": "d"},
        "separation_nm": {"default": 500.0, "min": 0.0, "max": 5000.0, "help": "Between the two planes of focus"},
        "first_share": {"default": 0.5, "min": 0.0, "max": 1.0, "help": "Share of photons on the first detector"},
        "range_nm": {"default": 500.0, "min": 1.0, "max": 5000.0, "help": "Depths run from minus this to this"},
    },
    "paper": (
        "Juette et al. 2008, Three-dimensional sub-100 nm resolution fluorescence microscopy of thick samples. "
        "Nature Methods"
    ),
    "doi": "10.1038/nmeth.1211",
    "facts": {"depth": "range_nm"},
}


class Biplane(Psf):
    """Any PSF of one channel that knows depth, seen in focus at two."""

    channels = 2

    def __init__(self, inner: Psf, separation_nm: float, first_share: float, most_nm: float) -> None:
        self._inner, self._most_nm = inner, most_nm
        self._focus_nm = (-separation_nm / 2, separation_nm / 2)
        self._shares = (first_share, 1 - first_share)
        self.depth_nm = (-most_nm, most_nm)

    @property
    def sigma_nm(self) -> float:
        """Of either channel in its focus."""
        return self._inner.sigma_nm

    @property
    def reach_nm(self) -> float:
        """Of the inner one over all its depths."""
        return self._inner.reach_nm

    def shapes(self, n: int, generator: torch.Generator) -> Shapes:
        """Those of the inner one, the same on both detectors."""
        return self._inner.shapes(n, generator)

    def light(self, stand: Stand, shapes: Shapes, window: Window) -> torch.Tensor:
        """The inner one on each detector."""
        seen = [
            share * self._inner.light(Stand(stand.x_nm, stand.y_nm, stand.z_nm - focus_nm), shapes, window)
            for focus_nm, share in zip(self._focus_nm, self._shares, strict=True)
        ]
        return torch.cat(seen, dim=1)


def build(settings: Mapping[str, Any]) -> Biplane:
    """Build it from filled settings."""
    separation, most = float(settings["separation_nm"]), float(settings["range_nm"])
    zero = dict.fromkeys(("cubic_x", "cubic_y", "quartic_x", "quartic_y", "focus_nm"), 0.0)
    widths = dict.fromkeys(("sigma_x_nm", "sigma_y_nm"), settings["sigma_nm"])
    deep = {"depth_of_focus_nm": settings["depth_of_focus_nm"], "range_nm": most + separation / 2}
    return Biplane(Astigmatic({**zero, **widths, **deep}), separation, float(settings["first_share"]), most)
