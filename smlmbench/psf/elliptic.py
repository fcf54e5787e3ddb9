"""A Gaussian spot of two widths, integrated over pixels, that may be turned; z is ignored.

Turned by an angle the light in a pixel is no product of two axes: it comes from a table, summed by quadrature. Without
a turn it is the product of two error functions, as for a round one.
Source: Smith et al. 2010, doi:10.1038/nmeth.1449.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from smlmbench.psf.contracts import Psf, Shapes, Stand, Window
from smlmbench.psf.gaussian import REACH, share
from smlmbench.psf.tabled import Table, Tabled, square_light

CARD = {
    "version": 1,
    "summary": "Gaussian of two widths integrated over pixels, at any angle",
    "settings": {
        "sigma_x_nm": {"default": 150.0, "min": 20.0, "max": 1000.0, "help": "Width along its first axis"},
        "sigma_y_nm": {"default": 120.0, "min": 20.0, "max": 1000.0, "help": "Width along its second axis"},
        "angle_deg": {"default": 0.0, "min": -180.0, "max": 180.0, "help": "First axis from x towards y"},
    },
    "paper": (
        "Smith et al. 2010, Fast, single-molecule localization that achieves theoretically minimum uncertainty. "
        "Nature Methods"
    ),
    "doi": "10.1038/nmeth.1449",
}


class _Widths(Psf):
    """What both ways share."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._x_nm, self._y_nm = float(settings["sigma_x_nm"]), float(settings["sigma_y_nm"])
        self._angle = math.radians(settings["angle_deg"])

    @property
    def sigma_nm(self) -> float:
        """Geometric mean of both widths."""
        return math.sqrt(self._x_nm * self._y_nm)

    @property
    def reach_nm(self) -> float:
        """4.5 times the larger width."""
        return REACH * max(self._x_nm, self._y_nm)


class Elliptic(_Widths):
    """Along the camera's axes."""

    def widths(self, z_nm: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The same at every depth."""
        return torch.full_like(z_nm, self._x_nm), torch.full_like(z_nm, self._y_nm)

    def shapes(self, n: int, generator: torch.Generator) -> Shapes:
        """All emitters are alike."""
        del n, generator
        return {}

    def light(self, stand: Stand, shapes: Shapes, window: Window) -> torch.Tensor:
        """The product of both axes."""
        del shapes
        along_x, along_y = (
            share(at, torch.full_like(at, sigma), window)
            for at, sigma in ((stand.x_nm, self._x_nm), (stand.y_nm, self._y_nm))
        )
        return (along_y[:, :, None] * along_x[:, None, :])[:, None]


class Turned(_Widths, Tabled):
    """At an angle."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        _Widths.__init__(self, settings)
        Tabled.__init__(self)

    def tabulate(self, pixel_size_nm: float) -> Table:
        """By quadrature."""
        cosine, sine = math.cos(self._angle), math.sin(self._angle)

        def density(x_nm: np.ndarray[Any, Any], y_nm: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            first, second = x_nm * cosine + y_nm * sine, y_nm * cosine - x_nm * sine
            square = (first / self._x_nm) ** 2 + (second / self._y_nm) ** 2
            return np.exp(-square / 2) / (2 * math.pi * self._x_nm * self._y_nm)

        return Table(square_light(density, self.side_px(pixel_size_nm), pixel_size_nm)[None, None])


def build(settings: Mapping[str, Any]) -> Psf:
    """Build it from filled settings."""
    return Turned(settings) if settings["angle_deg"] % 90 else Elliptic(_upright(settings))


def _upright(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The same with an angle of 0."""
    x_nm, y_nm = settings["sigma_x_nm"], settings["sigma_y_nm"]
    if settings["angle_deg"] % 180:
        x_nm, y_nm = y_nm, x_nm
    return {"sigma_x_nm": x_nm, "sigma_y_nm": y_nm, "angle_deg": 0.0}
