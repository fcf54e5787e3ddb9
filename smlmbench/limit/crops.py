"""What a crop of one emitter allows: the standard deviation that no unbiased estimate of its parameters undercuts.

All parameters are unknown together: position (z where the PSF has depth), photons, a constant background and what of
the PSF's shape varies from crop to crop. The Fisher matrix is the one of `limit.fisher` for frames of many emitters.
Source: Smith et al. 2010, doi:10.1038/nmeth.1449; Ober et al. 2004, doi:10.1016/S0006-3495(04)74193-4.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

from smlmbench.camera import Camera
from smlmbench.camera.information import fisher_weights
from smlmbench.limit.fisher import DARK
from smlmbench.limit.inverse import JITTER
from smlmbench.psf.contracts import Psf, Shapes, Stand, Window

AT_ONCE = 4_000_000  # values of slopes held at a time


@dataclass(frozen=True, slots=True)
class Crops:
    """Crops (n,) of one emitter each, known to the last photon.

    Attributes:
        stand: Where each emitter stands in its crop.
        shapes: As the PSF draws them; `varied` names those that are unknown to whoever estimates, (n,) each.
        photons, background: Detected photo-electrons of the emitter, and per pixel, (n,) float64.
        window: The crop's pixels.
    """

    stand: Stand
    shapes: Shapes
    photons: torch.Tensor
    background: torch.Tensor
    window: Window
    varied: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.photons)

    def rows(self, which: slice) -> "Crops":
        """Some of them."""
        place = Stand(self.stand.x_nm[which], self.stand.y_nm[which], self.stand.z_nm[which])
        shapes = {name: values[which] for name, values in self.shapes.items()}
        return Crops(place, shapes, self.photons[which], self.background[which], self.window, self.varied)


def names_of(optics: Psf, varied: Iterable[str] = ()) -> tuple[str, ...]:
    """Parameters of a crop, in the order of the matrix."""
    places = ("x_nm", "y_nm") if optics.depth_nm is None else ("x_nm", "y_nm", "z_nm")
    return (*places, "photons", "background_photons", *varied)


def expected(crops: Crops, light: torch.Tensor) -> torch.Tensor:
    """Mean photo-electrons (n, channels, side, side) of light per photon."""
    photons, background = (each[:, None, None, None] for each in (crops.photons, crops.background))
    return photons * light + background


def bounds_of(optics: Psf, camera: Camera, crops: Crops) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
    """Light per photon (n, channels, side, side), and the bound of each parameter by name, (n,) float64.

    Infinite where a crop tells nothing of a parameter.
    """
    each = crops.window.side_px**2 * optics.channels * len(names_of(optics, crops.varied))
    size = max(1, AT_ONCE // each)
    lights, bounds = [], []
    for start in range(0, len(crops), size):
        light, covariance = _some(optics, camera, crops.rows(slice(start, start + size)))
        lights.append(light)
        bounds.append(covariance)
    found = torch.cat(bounds).T
    return torch.cat(lights), dict(zip(names_of(optics, crops.varied), found, strict=True))


def _some(optics: Psf, camera: Camera, crops: Crops) -> tuple[torch.Tensor, torch.Tensor]:
    light, along = optics.slopes(crops.stand, crops.shapes, crops.window)
    places = 2 if optics.depth_nm is None else 3
    photons = crops.photons[:, None, None, None]
    parts = [*(along[:, axis] * photons for axis in range(places)), light, torch.ones_like(light)]
    for name in crops.varied:
        parts.append(_slope(optics, crops, name) * photons)
    slopes = torch.stack([part.flatten(1) for part in parts], dim=1).double()
    mean = expected(crops, light).clamp_min(DARK)
    weights = torch.from_numpy(fisher_weights(camera, mean.numpy())).flatten(1)
    matrix = (slopes * weights[:, None]) @ slopes.transpose(1, 2)
    return light, _deviations(matrix)


def _slope(optics: Psf, crops: Crops, name: str) -> torch.Tensor:
    """Derivative of the light by one quantity of its shape."""
    values = crops.shapes[name]

    def lit(given: torch.Tensor) -> torch.Tensor:
        return optics.light(crops.stand, {**crops.shapes, name: given}, crops.window)

    found: torch.Tensor = torch.func.jvp(lit, (values,), (torch.ones_like(values),))[1]
    return found


def _deviations(matrix: torch.Tensor) -> torch.Tensor:
    """Roots of the diagonal of the inverse (n, p), infinite in crops where one parameter is told by nothing."""
    told = matrix.diagonal(dim1=1, dim2=2)
    scale = told.clamp_min(torch.finfo(told.dtype).tiny).rsqrt()
    scaled = matrix * scale[:, :, None] * scale[:, None, :]
    scaled.diagonal(dim1=1, dim2=2)[:] = 1.0 + JITTER
    found = torch.linalg.inv(scaled).diagonal(dim1=1, dim2=2).clamp_min(0.0).sqrt() * scale
    return torch.where((told > 0).all(dim=1, keepdim=True), found, torch.inf)
