"""Phasor localization of crops: places from the phases of the first Fourier coefficients, depth from their magnitudes.

A constant background has no part in either. The ratio of the magnitudes along x and y is read off a curve that the
known PSF gives without noise. Source: Martens et al. 2018, doi:10.1063/1.5005899.
"""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.data.contracts import Condition, Settings
from smlmbench.predictions import Floats, Parameters
from smlmbench.psf.contracts import Psf, Stand, Window
from smlmbench.references.crops import Start, pixels_of

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Phasors of each crop: x and y by phases, depth by the ratio of magnitudes, without a fit",
    "settings": {
        "window_px": {
            "default": 7,
            "min": 3,
            "max": 128,
            "help": "side of the middle of the crop that is looked at; larger ones take the whole crop",
        },
    },
    "paper": "Martens et al. 2018, Phasor based single-molecule localization microscopy in 3D (pSMLM-3D)",
    "doi": "10.1063/1.5005899",
    "fidelity": "reconstruction",
    "deviations": [
        "the calibration curve comes from the known PSF instead of a bead stack",
        "the window follows the brightest pixel of the smoothed crop, there that of a detection",
        "photons and background by the edge of the crop",
    ],
    "facts": {"tasks": {"psf_regression": {"gives": "parameters", "knows": ["psf"]}}},
}

DEPTHS = 801  # of the curve
LEAST = 1e-6  # change of the logarithm of the ratio over all depths that is one
AT_ONCE = 4096  # crops


def predict(condition: Condition, settings: Settings, output_settings: Settings, seed: int) -> Parameters:
    """Answer x, y, photons, background, and z where the PSF's phasors change with depth."""
    del output_settings, seed
    pixels, pixel_nm = pixels_of(condition), condition.pixel_size_nm
    rough, side = Start.of(pixels), min(int(settings["window_px"]), *pixels.shape[1:])
    left, top = (
        _first(at.numpy(), side, size) for at, size in ((rough.x_px, pixels.shape[2]), (rough.y_px, pixels.shape[1]))
    )
    steps, rows = np.arange(side), np.arange(len(pixels))[:, None, None]
    cut = pixels[rows, (top[:, None] + steps)[:, :, None], (left[:, None] + steps)[:, None]]
    along_x, along_y = _phasors(cut)
    found = {
        "x_nm": (left + _place(along_x, side)) * pixel_nm,
        "y_nm": (top + _place(along_y, side)) * pixel_nm,
        "photons": rough.photons.numpy(),
        "background_photons": rough.background.numpy(),
    }
    if condition.optics is not None and condition.optics.depth_nm is not None:
        found |= _depth(np.abs(along_x), np.abs(along_y), condition.optics, Window(side, pixel_nm))
    return Parameters(found)


def _first(at_px: Floats, side: int, size: int) -> NDArray[np.int64]:
    """First pixel of the window around a place, within the crop."""
    return np.clip(np.round(at_px - side / 2).astype(np.int64), 0, size - side)


def _phasors(pixels: Floats) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """First Fourier coefficients (n,) along x and y."""
    turn = np.exp(-2j * math.pi * np.arange(pixels.shape[-1]) / pixels.shape[-1])
    return pixels.sum(axis=1) @ turn, pixels.sum(axis=2) @ turn


def _place(phasor: NDArray[np.complex128], side: int) -> Floats:
    """Place in pixels from the outer corner of the window."""
    return np.asarray((-np.angle(phasor)) % (2 * math.pi) * side / (2 * math.pi) + 0.5)


def _depth(along_x: Floats, along_y: Floats, optics: Psf, window: Window) -> dict[str, Floats]:
    """Depths whose phasors are most alike in the ratio of their magnitudes; nothing where that is the same at all."""
    low, high = optics.depth_nm or (0.0, 0.0)
    z_nm = np.linspace(low, high, DEPTHS)
    middle = torch.full((DEPTHS,), window.side_px / 2 * window.pixel_size_nm, dtype=torch.float64)
    shapes = {name: values[:1].expand(DEPTHS) for name, values in optics.shapes(1, torch.Generator()).items()}
    light = optics.light(Stand(middle, middle, torch.from_numpy(z_nm)), shapes, window).sum(dim=1).numpy()
    known = np.log(np.divide(*(np.abs(each) for each in _phasors(light))))
    if np.ptp(known) < LEAST:
        return {}
    seen = np.log(np.maximum(along_x, 1e-9) / np.maximum(along_y, 1e-9))
    found = [
        z_nm[np.abs(seen[start : start + AT_ONCE, None] - known).argmin(axis=1)]
        for start in range(0, len(seen), AT_ONCE)
    ]
    return {"z_nm": np.concatenate(found)}
