"""Phase masks in the pupil, in radians.

`tetrapod` (reconstruction): vertical astigmatism Z(2, 2) with its next two orders Z(4, 2) and Z(6, 2), the modes that
carry the masks of Shechtman et al. 2015 (doi:10.1021/acs.nanolett.5b01396). The coefficients are our own: they minimise
the mean of the bounds of x, y and z from -2 to 2 um at NA 1.45, 670 nm, in water (3,000 photons, 10 of background in
pixels of 110 nm, scalar pupil).

`double_helix` (reconstruction): equal-area rings, the l-th of L with a vortex of charge 2 l - 1, after the rotating
PSF of Prasad 2013 (doi:10.1364/OL.38.000585) whose rings have charge l. All charges being odd, the image is the same
after half a turn: two lobes, which turn with depth.

`file`: a square array of phases in radians, .npy, .mat or .tif; taken at its nearest value.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.errors import ConfigError
from smlmbench.optics.pupil import Pupil
from smlmbench.optics.zernike import polynomial

MASKS = ("flat", "tetrapod", "double_helix", "file")
ASTIGMATISMS = (6, 12, 24)  # Noll's indices of Z(2, 2), Z(4, 2), Z(6, 2)
TETRAPOD_RAD = (1.35, 3.12, 0.31)  # root mean squares
RINGS = 3

Array = NDArray[Any]


def mask(kind: str, pupil: Pupil, *, strength: float = 1.0, path: str = "", radius_px: float = 0.0) -> torch.Tensor:
    """Phase of a mask on the cells of a pupil, (side, side) radians.

    Args:
        kind: `flat`, `tetrapod`, `double_helix` or `file`.
        pupil: Where it lies.
        strength: Factor of its phase: a deeper tetrapod spans more depth (the charges of vortices stay as they are).
        path: Of `file`.
        radius_px: Radius of the pupil in pixels of the file; 0: half its side.

    Raises:
        ConfigError: Not one of the masks, no file, or one that holds no square array of finite numbers.
    """
    if kind == "tetrapod":
        parts = (
            rad * polynomial(index, pupil.radius, pupil.angle)
            for rad, index in zip(TETRAPOD_RAD, ASTIGMATISMS, strict=True)
        )
        return strength * sum(parts, torch.zeros_like(pupil.radius))
    if kind == "double_helix":
        ring = (RINGS * pupil.radius**2).ceil().clamp(1, RINGS)
        return (2 * ring - 1) * pupil.angle
    if kind == "file":
        return strength * _sampled(_read(Path(path)), pupil, radius_px)
    if kind != "flat":
        raise ConfigError(f"psf.mask: {kind!r} is not accepted; choose one of {', '.join(MASKS)}")
    return torch.zeros_like(pupil.radius)


def _sampled(phase: torch.Tensor, pupil: Pupil, radius_px: float) -> torch.Tensor:
    """The nearest value of each cell, 0 beyond the array: phases are wrapped, so nothing between them is known."""
    side, (x, y) = len(phase), pupil.places
    radius = radius_px or side / 2
    column, row = ((side / 2 + radius * at).floor().long() for at in (x, y))
    inside = (column >= 0) & (column < side) & (row >= 0) & (row < side)
    return phase[row.clamp(0, side - 1), column.clamp(0, side - 1)] * inside


def _read(path: Path) -> torch.Tensor:
    """A square array of a file in float64."""
    if not path.is_file():
        raise ConfigError(f"psf.mask_path: '{path}' is no file; give a square array of radians (.npy, .mat, .tif)")
    try:
        found = READERS[path.suffix.lower()](path)
    except KeyError:
        raise ConfigError(f"psf.mask_path: '{path.name}' is not read; give {', '.join(READERS)}") from None
    except Exception as error:  # a cut file makes its reader fail in many ways
        raise ConfigError(f"psf.mask_path: '{path.name}' cannot be read ({error}); save it again") from None
    square = found.ndim == 2 and found.shape[0] == found.shape[1] and found.shape[0] > 1
    if not (square and found.dtype.kind in "fiu" and np.isfinite(found).all()):
        told = f"shape {found.shape}, {found.dtype}"
        raise ConfigError(f"psf.mask_path: '{path.name}' holds {told}; give one square array of finite radians")
    return torch.from_numpy(found.astype(np.float64))


def _read_npy(path: Path) -> Array:
    return np.asarray(np.load(path, allow_pickle=False))


def _read_mat(path: Path) -> Array:
    from scipy import io

    names = [name for name, shape, _ in io.whosmat(path) if len(shape) == 2 and min(shape) > 1]
    if len(names) != 1:
        raise ValueError(f"it has {len(names)} 2-D arrays where one is wanted")
    return np.asarray(io.loadmat(path, variable_names=names)[names[0]])


def _read_tif(path: Path) -> Array:
    import tifffile

    return np.asarray(tifffile.imread(path))


READERS: dict[str, Callable[[Path], Array]] = {".npy": _read_npy, ".mat": _read_mat, ".tif": _read_tif}
