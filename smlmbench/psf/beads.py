"""Measured from a stack of a bead, one plane for each depth: what the optics do, without a model of them.

Of each plane the median of its border is taken away, what is below zero then is set to it, and its sum made 1; nothing
but the spline smooths. The centre is that of the plane in focus. The stack holds light of whole pixels at one position
of the bead: between them a cubic spline runs through its pixels, whose blur stays, so the camera's pixels must be those
of the stack or whole multiples. Light beyond the stack's border is lost.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from smlmbench.errors import ConfigError, unreadable
from smlmbench.psf.tabled import LEAST, Table, Tabled, offsets_nm

CARD = {
    "version": 1,
    "summary": "Measured from a z-stack of a bead, a spline through its pixels",
    "settings": {
        "path": {"default": "", "help": "TIFF stack (planes, rows, columns) with one bead in it"},
        "step_nm": {"default": 50.0, "min": -2000.0, "max": 2000.0, "help": "From plane to plane; below 0: downwards"},
        "pixel_size_nm": {"default": 100.0, "min": 10.0, "max": 1000.0, "help": "Of the stack"},
        "focus_plane": {"default": -1, "min": -1, "max": 100000, "help": "Plane at z = 0, from 0; -1: the sharpest"},
        "wobble": {"default": "keep", "choices": ["keep", "remove"], "help": "Lateral shift of planes against focus"},
        "range_nm": {"default": 500.0, "min": 1.0, "max": 10000.0, "help": "Depths run from minus this to this"},
    },
    "facts": {"depth": "range_nm", "files": {"path": "TIFF stack of a bead"}, "needs": ["path"]},
}

FLOOR = 0.2  # of a plane's highest pixel: what is above it has the centre
WHOLE = 1e-6


class Beads(Tabled):
    """The PSF with its stack.

    Attributes:
        planes: (planes, rows, columns), each with a sum of 1, from the lowest depth.
        z_nm: Depth of each plane.
        wobble_nm: Centre of each plane against that in focus, x and y (planes, 2).
    """

    def __init__(self, stack: npt.NDArray[np.float64], settings: Mapping[str, Any]) -> None:
        super().__init__()
        step_nm, self._pixel_nm = float(settings["step_nm"]), float(settings["pixel_size_nm"])
        focus = int(settings["focus_plane"])
        self.planes = _cleaned(stack)
        if focus == -1:
            focus = int((self.planes**2).sum((1, 2)).argmax())
        if step_nm == 0 or focus >= len(stack):
            said = f"step_nm {step_nm:g} and focus_plane {focus} of {len(stack)} planes"
            raise ConfigError(f"psf beads: {said}; give a step that is not 0, and a plane from 0 to {len(stack) - 1}")
        self.z_nm = (np.arange(len(stack)) - focus) * step_nm
        centres = np.array([_centre(plane) for plane in self.planes])
        if step_nm < 0:
            self.planes, self.z_nm, centres, focus = self.planes[::-1], self.z_nm[::-1], centres[::-1], -1 - focus
        self._focus, self._step_nm = self.planes[focus], abs(step_nm)
        self.wobble_nm = (centres - centres[focus]) * self._pixel_nm
        self._centres = centres if settings["wobble"] == "remove" else np.tile(centres[focus], (len(stack), 1))
        most = float(settings["range_nm"])
        self.depth_nm = (-most, most)
        if self.z_nm[0] > -most or self.z_nm[-1] < most:
            said = f"the planes are at {self.z_nm[0]:g} to {self.z_nm[-1]:g} nm"
            raise ConfigError(f"psf beads: {said}; give a range_nm of at most {min(-self.z_nm[0], self.z_nm[-1]):g}")

    @property
    def sigma_nm(self) -> float:
        """Of the Gaussian whose pixels have the same sum of squares in focus."""
        square = 1 / (4 * np.pi * (self._focus**2).sum()) - 1 / 12
        return float(np.sqrt(max(square, 0.01)) * self._pixel_nm)

    @property
    def reach_nm(self) -> float:
        """From the centre to the farther border of the stack."""
        size = np.array(self.planes.shape[:0:-1])
        return float(np.maximum(self._centres + 0.5, size - 0.5 - self._centres).max() * self._pixel_nm)

    def tabulate(self, pixel_size_nm: float) -> Table:
        """The spline at four places a pixel, summed over the stack's pixels in one of the camera."""
        from scipy.ndimage import map_coordinates, spline_filter

        ratio = pixel_size_nm / self._pixel_nm
        times = max(1, round(ratio))
        if abs(ratio - times) > WHOLE * times:
            said = f"a camera pixel of {pixel_size_nm:g} nm is no whole multiple of the stack's {self._pixel_nm:g} nm"
            raise ConfigError(f"psf beads: {said}; give pixel_size_nm {self._pixel_nm:g}, or measure beads at yours")
        offsets = offsets_nm(self.side_px(pixel_size_nm), pixel_size_nm) / self._pixel_nm
        inner = np.arange(times) - (times - 1) / 2
        light = np.zeros((len(self.planes), 1, len(offsets), len(offsets)))
        for at, (plane, (x, y)) in enumerate(zip(self.planes, self._centres, strict=True)):
            coefficients = spline_filter(np.pad(plane, 4), order=3, mode="mirror")
            for down in inner + y + 4:
                for right in inner + x + 4:
                    places = np.meshgrid(offsets + down, offsets + right, indexing="ij")
                    light[at, 0] += map_coordinates(coefficients, places, order=3, mode="constant", prefilter=False)
        return Table(light, float(self.z_nm[0]), self._step_nm)


def _cleaned(stack: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Planes without background and with a sum of 1."""
    border = np.concatenate([stack[:, 0], stack[:, -1], stack[:, 1:-1, 0], stack[:, 1:-1, -1]], axis=1)
    clean = (stack - np.median(border, axis=1)[:, None, None]).clip(0)
    total = clean.sum((1, 2))
    if not (total > 0).all():
        raise ConfigError(f"psf beads: plane {int(total.argmin())} has no light above its border; leave it out")
    return np.asarray(clean / total[:, None, None])


def _centre(plane: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Column and row of the centre of what is bright."""
    bright = (plane - FLOOR * plane.max()).clip(0)
    rows, columns = np.indices(plane.shape)
    return float((columns * bright).sum() / bright.sum()), float((rows * bright).sum() / bright.sum())


def build(settings: Mapping[str, Any]) -> Beads:
    """Build it from filled settings.

    Raises:
        ConfigError: No stack is named, a step of 0, no light in a plane, or depths that it does not hold.
        FormatError: The file cannot be read.
    """
    import tifffile

    if not settings["path"]:
        raise ConfigError("psf beads: path names no file; give the path of a TIFF stack with one bead")
    path = Path(settings["path"])
    try:
        stack = np.asarray(tifffile.imread(path), dtype=np.float64)
    except Exception as error:
        raise unreadable(path, "TIFF stack", error) from None
    if stack.ndim != 3 or len(stack) < LEAST or min(stack.shape[1:]) < 5 or not np.isfinite(stack).all():
        said = f"'{path.name}' has the shape {stack.shape}, or pixels that are no numbers"
        raise ConfigError(f"psf beads: {said}; give a stack of at least {LEAST} planes of at least 5 x 5 px")
    return Beads(stack, settings)


def small(folder: Path) -> dict[str, Any]:
    """Settings with a small stack, for checks."""
    import tifffile

    axis, z = np.arange(25) - 12.3, np.linspace(-600, 600, 13)
    sigma = 1.3 * np.sqrt(1 + (z / 500) ** 2)[:, None]
    line = np.exp(-((axis / sigma) ** 2) / 2)
    tifffile.imwrite(folder / "bead.tif", (5e4 * line[:, :, None] * line[:, None] + 100).astype(np.float32))
    return {"path": str(folder / "bead.tif"), "step_nm": 100.0}
