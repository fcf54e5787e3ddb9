"""One microscope at several wavelengths: a PSF for each colour, which an emitter has one of.

What is stated of the optics holds at the wavelength that is stated there. Aberrations, and masks by their strength, are
paths in nm, so that their phase at another wavelength is smaller as that is longer.
"""

from collections.abc import Mapping
from typing import Any

import torch

from smlmbench import psf
from smlmbench.errors import ConfigError
from smlmbench.psf.contracts import Psf, Shapes, Stand, Window
from smlmbench.psf.draws import drawn
from smlmbench.registry import Catalog

WAVELENGTH, COLOUR = "wavelength_nm", "colour"
PHASES = ("zernike_mlambda", "mask_strength")


class Coloured(Psf):
    """PSFs by the name of their colour; `shapes` has the number of each emitter's, `colour` (n,) int64."""

    def __init__(self, parts: Mapping[str, Psf]) -> None:
        self.parts = dict(parts)
        first, *others = self.parts.values()
        if any((one.channels, one.depth_nm) != (first.channels, first.depth_nm) for one in others):
            raise ConfigError("the PSFs of several colours have other depths or detectors; give them the same")
        self.channels, self.depth_nm = first.channels, first.depth_nm

    @property
    def sigma_nm(self) -> float:
        """Mean over the colours."""
        return sum(part.sigma_nm for part in self.parts.values()) / len(self.parts)

    @property
    def reach_nm(self) -> float:
        """Of the widest."""
        return max(part.reach_nm for part in self.parts.values())

    def shapes(self, n: int, generator: Any) -> Shapes:
        """Every colour as likely as any other."""
        unit = drawn({"min": 0.0, "max": 1.0}, n, generator)
        return {COLOUR: (unit * len(self.parts)).long()}

    def light(self, stand: Stand, shapes: Shapes, window: Window) -> torch.Tensor:
        """Each emitter by the PSF of its colour."""
        return self._each(stand, shapes, window, torch.float64)

    def drawn(self, stand: Stand, shapes: Shapes, window: Window, dtype: torch.dtype) -> torch.Tensor:
        """The same in another type."""
        return self._each(stand, shapes, window, dtype)

    def _each(self, stand: Stand, shapes: Shapes, window: Window, dtype: torch.dtype) -> torch.Tensor:
        colour = shapes[COLOUR]
        found = torch.zeros(len(stand), self.channels, window.side_px, window.side_px, dtype=dtype)
        for number, part in enumerate(self.parts.values()):
            rows = (colour == number).nonzero()[:, 0]
            own = Stand(stand.x_nm[rows], stand.y_nm[rows], stand.z_nm[rows])
            lit = part.light(own, {}, window) if dtype == torch.float64 else part.drawn(own, {}, window, dtype)
            found = found.index_copy(0, rows, lit)
        return found


def coloured(
    described: Mapping[str, Any], wavelengths_nm: Mapping[str, float], depths_nm: tuple[float, float], catalog: Catalog
) -> Coloured:
    """The PSF of a description at the wavelength of each colour, made for depths from lowest to highest.

    Raises:
        ConfigError: A PSF without a wavelength or depth, no colour, or depths that it cannot have.
    """
    name = str(described["name"])
    card = catalog.card("psf", name)
    bounds = card.facts.get("depth", ())
    if WAVELENGTH not in card.settings or len(bounds) != 2:
        known = (other for other in catalog.names("psf") if WAVELENGTH in catalog.card("psf", other).settings)
        able = ", ".join(other for other in known if len(catalog.card("psf", other).facts.get("depth", ())) == 2)
        raise ConfigError(f"psf: '{name}' is not computed from a wavelength at every depth; choose one of {able}")
    if not wavelengths_nm:
        raise ConfigError("wavelengths_nm names no colour; give for example {CF568: 590, AF647: 670}")
    stated = {**{key: setting.default for key, setting in card.settings.items()}, **described}
    stated |= dict(zip(bounds, depths_nm, strict=True))
    parts = {}
    for colour, wavelength_nm in wavelengths_nm.items():
        share = stated[WAVELENGTH] / wavelength_nm
        phases = {key: _times(stated[key], share) for key in PHASES if key in stated}
        parts[colour] = psf.build({**stated, **phases, WAVELENGTH: wavelength_nm}, catalog)
    return Coloured(parts)


def _times(value: Any, share: float) -> Any:
    if isinstance(value, Mapping):
        return {key: number * share for key, number in value.items()}
    return value * share
