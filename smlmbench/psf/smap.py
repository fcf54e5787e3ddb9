"""A spline PSF that SMAP measured from beads (`*_3dcal.mat`), by its own coefficients.

Read is `cspline` of the file or of its struct `SXY`: `coeff` (rows, columns, planes, 64), `dz` in nm and `z0`. Between
knots the light of a pixel is the sum of coefficient 16 i + 4 j + k times z^i b^j a^k, each of 0 to 1, with a along the
first axis and b along the second. The files do not say, and it is assumed, that the first axis is the camera's x unless
`first_axis: y`, that the middle of both lateral axes is the centre, that z0 counts knots from 0, and that z grows with
the planes unless `upward` is false. The camera's pixels are those of the beads. The plane with the most light is given
a sum of 1; what the others have less lies outside the calibrated region.
Source: Li et al. 2018, doi:10.1038/nmeth.4661. MATLAB files up to 7 and 7.3 are read; nothing in them is executed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from smlmbench.errors import ConfigError, FormatError, unreadable
from smlmbench.psf.tabled import FINE, Table, Tabled, offsets_nm

CARD = {
    "version": 1,
    "summary": "Spline of a calibration by SMAP (_3dcal.mat)",
    "settings": {
        "path": {"default": "", "help": "File that SMAP's calibration wrote"},
        "pixel_size_nm": {"default": 100.0, "min": 10.0, "max": 1000.0, "help": "Of the beads and of the camera"},
        "first_axis": {"default": "x", "choices": ["x", "y"], "help": "What the first axis of the coefficients is"},
        "upward": {"default": True, "help": "Whether z grows with the planes"},
        "range_nm": {"default": 500.0, "min": 1.0, "max": 10000.0, "help": "Depths run from minus this to this"},
    },
    "paper": (
        "Li et al. 2018, Real-time 3D single-molecule localization using experimental point spread functions. "
        "Nature Methods"
    ),
    "doi": "10.1038/nmeth.4661",
    "facts": {"depth": "range_nm", "files": {"path": "calibration of SMAP"}, "needs": ["path"]},
}

POWERS = 4
HDF5 = b"\x89HDF\r\n\x1a\n"
HDF5_AT = 512  # where MATLAB puts it
MOST_VALUES = 1 << 28


class Smap(Tabled):
    """The PSF with coefficients (y, x, planes, i of z, j of y, k of x)."""

    def __init__(self, coefficients: npt.NDArray[np.float64], dz_nm: float, z0: float, settings: Mapping[str, Any]):
        super().__init__()
        self._pixel_nm, self._dz_nm = float(settings["pixel_size_nm"]), abs(dz_nm)
        first, second, planes = coefficients.shape[:3]
        light = coefficients.reshape(first, second, planes, POWERS, POWERS, POWERS)
        # the powers of the first axis come last, and of ours those of x
        self._light = light.swapaxes(0, 1) if settings["first_axis"] == "x" else light.swapaxes(4, 5)
        knots = self._planes(0.0, 0.0)
        z_nm = (np.arange(len(knots)) - z0) * self._dz_nm
        self._upward = bool(settings["upward"]) == (dz_nm > 0)
        self._first_nm = float(z_nm[0] if self._upward else -z_nm[-1])
        self._total = float(knots.sum((1, 2)).max())
        self._focus = knots[min(max(round(z0), 0), len(knots) - 1)]
        most = float(settings["range_nm"])
        self.depth_nm = (-most, most)
        last = self._first_nm + z_nm[-1] - z_nm[0]
        if self._first_nm > -most or last < most or self._total <= 0:
            said = f"the spline has depths from {self._first_nm:g} to {last:g} nm"
            raise ConfigError(f"psf smap: {said}; give a range_nm of at most {min(-self._first_nm, last):g}")

    @property
    def sigma_nm(self) -> float:
        """Of the Gaussian whose pixels have the same sum of squares in focus."""
        square = self._focus.sum() ** 2 / (4 * np.pi * (self._focus**2).sum()) - 1 / 12
        return float(np.sqrt(max(square, 0.01)) * self._pixel_nm)

    @property
    def reach_nm(self) -> float:
        """Half the side of the calibrated region."""
        return float(max(self._light.shape[:2]) / 2 * self._pixel_nm)

    def _planes(self, down: float, right: float) -> npt.NDArray[np.float64]:
        """Light at all knots of z, that far (0 to 1) behind each knot of y and x: (planes + 1, rows, columns)."""
        y, x = down ** np.arange(POWERS), right ** np.arange(POWERS)
        along_z = np.einsum("rcpijk,j,k->prci", self._light, y, x)
        return np.concatenate([along_z[..., 0], along_z[-1:].sum(-1)])

    def tabulate(self, pixel_size_nm: float) -> Table:
        """Its values at the offsets and knots of z."""
        if abs(pixel_size_nm - self._pixel_nm) > 1e-6 * self._pixel_nm:
            said = f"camera pixels of {pixel_size_nm:g} nm are not those of the calibration, {self._pixel_nm:g} nm"
            raise ConfigError(f"psf smap: {said}; give pixel_size_nm as it was calibrated, or calibrate for yours")
        rows, columns, planes = self._light.shape[:3]
        offsets = offsets_nm(self.side_px(pixel_size_nm), pixel_size_nm) / pixel_size_nm
        down, right = offsets + rows / 2, offsets + columns / 2
        values = np.zeros((planes + 1, 1, len(offsets), len(offsets)))
        for one in range(FINE):
            lines = np.arange(one, len(offsets), FINE)
            y = np.floor(down[lines] + 1e-9).astype(int)
            for two in range(FINE):
                across = np.arange(two, len(offsets), FINE)
                x = np.floor(right[across] + 1e-9).astype(int)
                found = self._planes(abs(down[lines[0]] - y[0]), abs(right[across[0]] - x[0]))
                inside = ((y >= 0) & (y < rows))[:, None] & ((x >= 0) & (x < columns))
                taken = found[:, y.clip(0, rows - 1)[:, None], x.clip(0, columns - 1)]
                values[:, 0, lines[:, None], across] = taken * inside / self._total
        return Table(values if self._upward else values[::-1], self._first_nm, self._dz_nm)


def build(settings: Mapping[str, Any]) -> Smap:
    """Build it from filled settings.

    Raises:
        ConfigError: No file is named, or depths that it does not hold.
        FormatError: The file cannot be read, or has no spline.
    """
    if not settings["path"]:
        raise ConfigError("psf smap: path names no file; give the path of a *_3dcal.mat of SMAP")
    path = Path(settings["path"])
    try:
        with path.open("rb") as file:
            file.seek(HDF5_AT)
            found = _of_hdf5(path) if file.read(len(HDF5)) == HDF5 else _of_matlab(path)
    except Exception as error:
        raise unreadable(path, "calibration of SMAP", error, "save it with SMAP again") from None
    if not {"coeff", "dz", "z0"} <= set(found):
        missing = ", ".join(sorted({"coeff", "dz", "z0"} - set(found)))
        raise FormatError(f"'{path.name}' has no cspline with {missing}; calibrate a spline with SMAP")
    coefficients, dz_nm, z0 = found["coeff"], float(found["dz"].ravel()[0]), float(found["z0"].ravel()[0])
    whole = coefficients.ndim == 4 and coefficients.shape[3] == POWERS**3 and coefficients.shape[2] >= POWERS
    if not whole or not np.isfinite(coefficients).all() or not np.isfinite([dz_nm, z0]).all() or dz_nm == 0:
        said = f"coeff {coefficients.shape}, dz {dz_nm:g}, z0 {z0:g}"
        raise FormatError(f"'{path.name}' has {said}; a spline has (rows, columns, planes, 64) finite coefficients")
    return Smap(coefficients, dz_nm, z0, settings)


def _of_matlab(path: Path) -> dict[str, npt.NDArray[np.float64]]:
    from scipy import io

    held = io.loadmat(path, variable_names=["cspline", "SXY"])
    inner = held.get("cspline")
    if inner is None and "SXY" in held:
        inner = held["SXY"].ravel()[0]["cspline"]
    if inner is None:
        return {}
    struct = inner.ravel()[0]
    found = {name: struct[name] for name in ("coeff", "dz", "z0") if name in (struct.dtype.names or ())}
    return {name: _numbers(value.ravel()[0] if value.dtype == object else value) for name, value in found.items()}


def _of_hdf5(path: Path) -> dict[str, npt.NDArray[np.float64]]:
    import h5py

    def target(item: Any) -> Any:
        """What stands behind a cell or the first element of an array of structs."""
        return file[item[()].ravel()[0]] if isinstance(item, h5py.Dataset) and item.dtype.kind == "O" else item

    with h5py.File(path, "r") as file:
        inner = file.get("cspline")
        if inner is None and "SXY" in file:
            inner = target(file["SXY"]["cspline"])
        if inner is None:
            return {}
        inner = target(inner)
        held = {name: target(inner[name]) for name in ("coeff", "dz", "z0") if name in inner}
        # MATLAB's first axis is the last one here
        return {name: _numbers(value).T for name, value in held.items()}


def _numbers(value: Any) -> npt.NDArray[np.float64]:
    size = int(np.prod(value.shape))
    if value.dtype.kind not in "iuf" or size > MOST_VALUES:
        raise ValueError(f"{size} values of type {value.dtype}")
    return np.asarray(value[()], dtype=np.float64)


def small(folder: Path) -> dict[str, Any]:
    """Settings with the file of a small spline, for checks: a Gaussian that widens with depth."""
    from scipy import io

    side, dz_nm, z = 26, 50.0, np.arange(25)
    axis, sigma = np.arange(side + 1) - side / 2, 1.3 * np.sqrt(1 + ((z - 12) * dz_nm / 500) ** 2)
    line = np.exp(-((axis / sigma[:, None]) ** 2) / 2) / sigma[:, None]
    coefficients = of_values(np.einsum("zy,zx->yxz", line, line))
    cell = np.empty((1,), dtype=object)
    cell[0] = coefficients.astype(np.float32)
    io.savemat(folder / "small_3dcal.mat", {"cspline": {"coeff": cell, "dz": dz_nm, "z0": 12.0}})
    return {"path": str(folder / "small_3dcal.mat"), "first_axis": "x"}


def of_values(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Coefficients (a, b, c, 64) of the spline through values at knots (a + 1, b + 1, c + 1)."""
    from scipy.interpolate import CubicSpline

    found = values
    for axis in range(3):
        # powers from the highest, knots of the axis, then the other axes; each power becomes a last axis
        held = CubicSpline(np.arange(found.shape[axis]), found, axis=axis, bc_type="not-a-knot").c
        found = np.moveaxis(np.moveaxis(held[::-1], 0, -1), 0, axis)
    # axes: first, second, z knots, then powers of first, second, z
    a, b, c = found.shape[:3]
    return np.ascontiguousarray(found.transpose(0, 1, 2, 5, 4, 3)).reshape(a, b, c, POWERS**3)
