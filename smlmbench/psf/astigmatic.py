"""A Gaussian spot whose widths along x and y change with depth in opposite ways, as behind a cylindrical lens.

sigma_x(z) = sigma_x0 sqrt(1 + u^2 + A_x u^3 + B_x u^4) with u = (z - c) / d, sigma_y(z) the same with u = (z + c) / d.
Source: Huang et al. 2008, doi:10.1126/science.1153529 (the defocusing curve with its higher orders).
"""

from collections.abc import Mapping
from typing import Any

import torch

from smlmbench.errors import ConfigError
from smlmbench.psf.contracts import Psf, Shapes, Stand, Window
from smlmbench.psf.gaussian import REACH, share

CARD = {
    "version": 1,
    "summary": "Astigmatic Gaussian integrated over pixels, with a cubic and quartic term of defocus",
    "settings": {
        "sigma_x_nm": {"default": 130.0, "min": 20.0, "max": 1000.0, "help": "Width along x in its own focus"},
        "sigma_y_nm": {"default": 130.0, "min": 20.0, "max": 1000.0, "help": "Width along y in its own focus"},
        "focus_nm": {"default": 200.0, "min": -2000.0, "max": 2000.0, "help": "c: x is in focus at z = c, y at z = -c"},
        "depth_of_focus_nm": {"default": 400.0, "min": 20.0, "max": 5000.0, "help": "d"},
        "cubic_x": {"default": 0.0, "min": -1.0, "max": 1.0, "help": "A along x"},
        "cubic_y": {"default": 0.0, "min": -1.0, "max": 1.0, "help": "A along y"},
        "quartic_x": {"default": 0.0, "min": 0.0, "max": 1.0, "help": "B along x"},
        "quartic_y": {"default": 0.0, "min": 0.0, "max": 1.0, "help": "B along y"},
        "range_nm": {"default": 750.0, "min": 1.0, "max": 5000.0, "help": "Depths run from minus this to this"},
    },
    "paper": (
        "Huang et al. 2008, Three-dimensional super-resolution imaging by stochastic optical reconstruction. Science"
    ),
    "doi": "10.1126/science.1153529",
    "facts": {"depth": "range_nm"},
}

STEPS = 201  # depths at which the largest width is looked for


class Astigmatic(Psf):
    """The PSF with its curve."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._most_nm = float(settings["range_nm"])
        self.depth_nm = (-self._most_nm, self._most_nm)

    def widths(self, z_nm: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """By the curve of each."""
        told = self._settings
        found = []
        for axis, sign in (("x", -1), ("y", 1)):
            u = (z_nm + sign * told["focus_nm"]) / told["depth_of_focus_nm"]
            square = 1 + u**2 + told[f"cubic_{axis}"] * u**3 + told[f"quartic_{axis}"] * u**4
            found.append(told[f"sigma_{axis}_nm"] * square.sqrt())
        return found[0], found[1]

    def all_widths(self) -> torch.Tensor:
        """Widths along both axes (2, steps) from the lowest to the highest depth."""
        return torch.stack(self.widths(torch.linspace(-self._most_nm, self._most_nm, STEPS, dtype=torch.float64)))

    @property
    def sigma_nm(self) -> float:
        """Geometric mean of both widths at z = 0."""
        x, y = self.widths(torch.zeros(1, dtype=torch.float64))
        return float((x * y).sqrt())

    @property
    def reach_nm(self) -> float:
        """4.5 times the largest width of all depths."""
        return REACH * float(self.all_widths().max())

    def shapes(self, n: int, generator: Any) -> Shapes:
        """All emitters are alike."""
        del n, generator
        return {}

    def light(self, stand: Stand, shapes: Shapes, window: Window) -> torch.Tensor:
        """The product of both axes at each depth."""
        del shapes
        sigma_x, sigma_y = self.widths(stand.z_nm)
        along_x, along_y = share(stand.x_nm, sigma_x, window), share(stand.y_nm, sigma_y, window)
        return (along_y[:, :, None] * along_x[:, None, :])[:, None]


def build(settings: Mapping[str, Any]) -> Astigmatic:
    """Build it from filled settings.

    Raises:
        ConfigError: A curve that is not above zero at every depth.
    """
    optics = Astigmatic(settings)
    if not bool((optics.all_widths() > 0).all()):
        raise ConfigError(
            f"psf astigmatic: its widths are not above 0 at every depth from {-settings['range_nm']:g} to "
            f"{settings['range_nm']:g} nm; give a smaller cubic term or range_nm"
        )
    return optics
