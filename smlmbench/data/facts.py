"""Facts of a truth table that a score must be read with: density, crowding, persistence."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from smlmbench.predictions import Localizations

LOCAL_NM = 250.0  # the matching radius: neighbours in it can be confused
ISOLATED_SIGMAS = 3.0
OVERLAP_SIGMAS = 6.0  # beyond, two spots share 1e-4 of their light
ROWS = 20_000  # facts are means: a sample of the frames is enough
SAME_PLACE_NM = 1.0
LEAST_SHIFT = 10


def facts(truth: Localizations, *, min_photons: float, psf_sigma_nm: float | None) -> dict[str, float]:
    """Measure how crowded a condition is; emitters below `min_photons` do not count, unknown photons do.

    Without the width of the PSF what needs it is left out. Distances are lateral, whatever the depths.

    Returns:
        `min_photons`; `density_per_um2`: emitters per frame and area; `density_local`: density in um^-2 in the 250 nm
        around an emitter, itself not counted; `isolated_fraction`: emitters without a neighbour within 3 sigma;
        `overlap`: mean over emitters of the sum over neighbours of exp(-d^2 / 4 sigma^2), the inner product of two unit
        spots; `three_d`: 1, where z differs among emitters, so that tables with a z are scored in 3-D.
    """
    bright = truth.select(~(truth.photons < min_photons))
    area_um2 = truth.field_nm[0] * truth.field_nm[1] / 1e6
    found = {"density_per_um2": len(bright) / (truth.n_frames * area_um2), "min_photons": float(min_photons)}
    if not len(bright):
        return found
    depths = bright.z_nm[np.isfinite(bright.z_nm)]
    if len(depths) and np.ptp(depths) > SAME_PLACE_NM:
        found["three_d"] = 1.0
    every = -(-len(bright) // ROWS)  # evenly spaced frames that hold about `ROWS` emitters
    sampled = bright if every == 1 else bright.select(bright.frame % every == 0)
    n = len(sampled)
    reach = LOCAL_NM if psf_sigma_nm is None else max(LOCAL_NM, OVERLAP_SIGMAS * psf_sigma_nm)
    pairs, distance = _pairs(sampled, reach)
    local_um2 = math.pi * (LOCAL_NM / 1000) ** 2
    found["density_local"] = 2 * float(np.count_nonzero(distance <= LOCAL_NM)) / n / local_um2
    if psf_sigma_nm is not None:
        crowded = np.unique(pairs[distance <= ISOLATED_SIGMAS * psf_sigma_nm])
        found["isolated_fraction"] = 1 - len(crowded) / n
        found["overlap"] = 2 * float(np.exp(-((distance / (2 * psf_sigma_nm)) ** 2)).sum()) / n
    return found


def frame_shift(truth: Localizations | None, *, iid: bool) -> int:
    """Smallest cyclic frame shift after which a prediction knows nothing of the truth.

    1 where frames are independent, else 10 times the mean on-time (at least 10), at most half of the movie. The on-time
    comes from molecule ids, else from emitters that keep their place to within 1 nm.
    """
    if iid or truth is None or truth.n_frames < 2:
        return 1
    return max(1, min(math.ceil(LEAST_SHIFT * on_time(truth)), truth.n_frames // 2))


def on_time(truth: Localizations) -> float:
    """Mean number of consecutive frames that an emitter is on, at least 1."""
    if not len(truth):
        return 1.0
    if truth.molecule is not None:
        keys = truth.molecule
    else:
        places = np.round(np.stack((truth.x_nm, truth.y_nm), axis=1) / SAME_PLACE_NM)
        keys = np.unique(places, axis=0, return_inverse=True)[1].reshape(-1)
    order = np.lexsort((truth.frame, keys))
    same = (np.diff(keys[order]) == 0) & (np.diff(truth.frame[order]) <= 1)
    return len(truth) / (len(truth) - int(np.count_nonzero(same)))


def _pairs(table: Localizations, reach_nm: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pairs (m, 2) of one frame nearer than the reach, and their distances."""
    # frames become layers of a third axis that no pair can bridge
    layer = table.frame.astype(np.float64) * 4 * reach_nm
    tree = cKDTree(np.stack((table.x_nm, table.y_nm, layer), axis=1))
    pairs = np.asarray(tree.query_pairs(reach_nm, output_type="ndarray"), dtype=np.int64).reshape(-1, 2)
    first, second = pairs[:, 0], pairs[:, 1]
    distance = np.hypot(table.x_nm[first] - table.x_nm[second], table.y_nm[first] - table.y_nm[second])
    return pairs, distance
