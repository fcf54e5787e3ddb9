"""The Airy disc of a circular pupil without aberrations, integrated over pixels; z is ignored.

h(r) = J1(k r)^2 / (pi r^2) with k = 2 pi NA / wavelength; beyond a radius r lies J0(k r)^2 + J1(k r)^2 of the light.
Its tail is long (2 / (pi k r)): the table is cut at the radius where `beyond` is left, and that light is lost.
Sources: Born & Wolf, Principles of Optics, 8.5.2; the width of its Gaussian, 0.21 wavelength / NA, is from Zhang et al.
2007, doi:10.1364/AO.46.001819.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from smlmbench.psf.tabled import Table, Tabled, square_light

CARD = {
    "version": 1,
    "summary": "Airy disc integrated over pixels",
    "settings": {
        "wavelength_nm": {"default": 670.0, "min": 200.0, "max": 2000.0, "help": "Of the emission"},
        "numerical_aperture": {"default": 1.4, "min": 0.05, "max": 2.0, "help": "Of the objective"},
        "beyond": {"default": 0.01, "min": 0.003, "max": 0.1, "help": "Share of light far outside that is left out"},
    },
    "paper": (
        "Zhang et al. 2007, Gaussian approximations of fluorescence microscope point-spread function models. "
        "Applied Optics 46:1819"
    ),
    "doi": "10.1364/AO.46.001819",
}

WIDTH = 0.21  # of the wavelength by the aperture


class Airy(Tabled):
    """The PSF with its wavelength and aperture."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self._length_nm = settings["wavelength_nm"] / settings["numerical_aperture"]
        self._beyond = float(settings["beyond"])

    @property
    def sigma_nm(self) -> float:
        """Of the Gaussian that is nearest to it."""
        return WIDTH * float(self._length_nm)

    @property
    def reach_nm(self) -> float:
        """Radius beyond which `beyond` of the light lies, by the tail's mean."""
        return float(self._length_nm / (math.pi**2 * self._beyond))

    def tabulate(self, pixel_size_nm: float) -> Table:
        """By quadrature."""
        from scipy.special import j1

        scale = 2 * math.pi / self._length_nm

        def density(x_nm: np.ndarray[Any, Any], y_nm: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            r = np.maximum(np.hypot(x_nm, y_nm), 1e-3)
            return np.asarray(j1(scale * r) ** 2 / (math.pi * r**2))

        return Table(square_light(density, self.side_px(pixel_size_nm), pixel_size_nm)[None, None])


def build(settings: Mapping[str, Any]) -> Airy:
    """Build it from filled settings."""
    return Airy(settings)
