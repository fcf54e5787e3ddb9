"""What every source shares: digests, positions inside the field, statistics of training pixels."""

import hashlib
import json

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.data.contracts import Identity, Statistics

STATISTICS_VALUES = 1 << 20
DEEPER = 0.02


def digest_of(identity: Identity, role: str) -> str:
    """sha256 (hex) over canonical JSON of a description (or of file digests) and a role."""
    text = json.dumps({"identity": identity, "role": role}, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def within(places_nm: NDArray[np.float64], extent_nm: float) -> torch.Tensor:
    """Positions as float32 that stay below the far edge of the field (rounding and mirroring can reach it)."""
    last = np.nextafter(np.float32(extent_nm), np.float32(0))
    return torch.from_numpy(np.clip(places_nm.astype(np.float32), 0, last))


def spread_of(
    photons: NDArray[np.float64], z_nm: NDArray[np.float64], background: NDArray[np.float64]
) -> dict[str, float]:
    """How far the numbers of taught emitters go, those that are known: see `TrainingSet`."""
    photons, z_nm, background = (of[np.isfinite(of)] for of in (photons, z_nm, background))
    found = {"photons_high": float(np.quantile(photons, 0.999))} if len(photons) else {}
    if len(background):
        found["background_high"] = float(background.max())
    if len(z_nm):
        low, high = float(z_nm.min()), float(z_nm.max())
        beyond = DEEPER * (high - low)  # some emitters tell about where the others end
        found |= {"z_low_nm": low - beyond, "z_high_nm": high + beyond}
    return found


def statistics_of(frames: NDArray[np.float32]) -> Statistics:
    """Statistics of frames (F, H, W).

    Constant frames (dropped or never written) are left out unless there are no others; the standard deviation and
    the span of the percentiles are never 0.
    """
    flat = frames.reshape(len(frames), -1)
    varied = flat[flat.min(axis=1) < flat.max(axis=1)]
    values = (varied if len(varied) else flat).reshape(-1)
    low, high = np.percentile(values[:: -(-values.size // STATISTICS_VALUES)], [0.1, 99.9])
    mean, std = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    return Statistics(mean, std if std > 0 else 1.0, float(low), float(high if high > low else low + 1))
