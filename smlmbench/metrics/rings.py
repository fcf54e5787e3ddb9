"""Correlation of two images ring by ring of spatial frequency, and the resolution that it states (Fourier rings)."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.signal import windows

from smlmbench.predictions import Floats

Image = NDArray[np.floating[Any]]
Spectrum = NDArray[np.complexfloating[Any, Any]]

TAPERED = 0.25  # share of each side over which the window rises and falls
THRESHOLD = 1 / 7
SMOOTHED_RINGS = 0.02  # share of all rings that are averaged, at least 5
FEWEST_RINGS = 10  # that must correlate: noise alone reaches 1/7 in fewer
ROUNDING = 1e-6  # of an image's own brightness: what varies less is constant


def spectrum(image: Image) -> Spectrum | str:
    """Half of the spectrum (N, N // 2 + 1) of an image without its mean, tapered and padded with zeros to N x N.

    Linear in the image. Without the mean, brightness common to any two images is no correlation. A constant image has
    none, which is the reason that is given.
    """
    rows, columns = (windows.tukey(side, TAPERED).astype(image.dtype) for side in image.shape)
    varied = image - image.mean(dtype=np.float64).astype(image.dtype)
    if not np.abs(varied).max(initial=0.0) > ROUNDING * np.abs(image).max(initial=0.0):
        return "an image is constant: it has no structure"
    varied *= rows[:, None]
    varied *= columns
    side = fft.next_fast_len(max(image.shape), real=True)
    found: Spectrum = fft.rfft2(varied, s=(side, side), overwrite_x=True)
    return found


def ring_correlation(first: Spectrum, second: Spectrum) -> Floats:
    """Correlation of two spectra in rings 1 ... N // 2, float64; ring k holds the frequencies that round to k / N px.

    It is sum Re(A B*) / sqrt(sum |A|^2 sum |B|^2) over the ring of the whole plane, 0 where one is dark.
    """
    return correlated(ring_products(first, second), ring_products(first, first), ring_products(second, second))


def correlated(shared: Floats, first: Floats, second: Floats) -> Floats:
    """The correlation from products of two spectra in rings (..., R): of both, and of each with itself."""
    power = np.sqrt(first) * np.sqrt(second)
    found: Floats = np.divide(shared, power, out=np.zeros_like(shared), where=power > 0)
    return found


def ring_products(first: Spectrum, second: Spectrum) -> Floats:
    """Sums of Re(A B*) over the rings; those of sums of spectra are sums of these."""
    side, across = len(first), np.arange(len(first) // 2 + 1)
    twice = np.where((across == 0) | (2 * across == side), 1.0, 2.0)  # the other half of the plane has the same
    terms = np.abs(first) ** 2 if first is second else (first * second.conj()).real
    return np.asarray(np.bincount(_rings(side), weights=(terms * twice).ravel())[1 : side // 2 + 1])


@lru_cache(maxsize=1)
def _rings(side: int) -> NDArray[np.int32]:
    """The ring of each place of a spectrum."""
    down, across = np.fft.fftfreq(side, 1 / side)[:, None], np.arange(side // 2 + 1.0)
    found: NDArray[np.int32] = np.rint(np.hypot(down, across)).astype(np.int32).ravel()
    return found


def resolution_nm(correlation: Floats, side_nm: float) -> float | str:
    """1 / q at the first fall of the smoothed curve below 1/7, in nm, or why there is none.

    Args:
        correlation: In rings 1 ... of images padded to side_nm.
        side_nm: Side of the padded image, so that ring k is the frequency k / side_nm.

    Returns:
        Where the curve never falls, that of the last ring (two pixels): the grid resolves no more.
    """
    reach = max(2, round(SMOOTHED_RINGS * len(correlation)) // 2)
    ones = np.ones(2 * reach + 1)
    smooth = np.convolve(correlation, ones)[reach:-reach] / np.convolve(np.ones(len(correlation)), ones)[reach:-reach]
    below = np.flatnonzero(smooth < THRESHOLD)
    first = int(below[0]) if len(below) else len(smooth)
    if first < FEWEST_RINGS:
        return f"nothing in common that is finer than {side_nm / FEWEST_RINGS:.3g} nm"
    if first == len(smooth):
        return side_nm / first
    fall = (smooth[first - 1] - THRESHOLD) / (smooth[first - 1] - smooth[first])
    return side_nm / (first + float(fall))  # smooth[k] is ring k + 1
