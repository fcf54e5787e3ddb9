"""The nearest rows of another table in the same frame, for all rows at once and without a tolerance."""

import numpy as np
from scipy.spatial import KDTree

from smlmbench.metrics.matching import FARTHEST_NM
from smlmbench.predictions import Floats, Ints, Localizations


def nearest_in_frame(
    ours: Localizations, theirs: Localizations, *, three_d: bool = False, count: int = 1
) -> tuple[Floats, Ints]:
    """Distances (nm) from each of our rows to the `count` nearest of theirs in its frame, and their row numbers.

    Returns:
        float64 and int64 (n, count), nearest first; inf and -1 where the frame has no more, and for rows whose position
        is not finite or beyond all fields.
    """
    axes = ("x_nm", "y_nm", "z_nm") if three_d else ("x_nm", "y_nm")
    here, there = (np.column_stack([getattr(table, axis) for axis in axes]) for table in (ours, theirs))
    distance, nearest = np.full((len(ours), count), np.inf), np.full((len(ours), count), -1)
    placed, able = (np.flatnonzero((np.abs(each) < FARTHEST_NM).all(axis=1)) for each in (here, there))
    if not len(placed) or not len(able):
        return distance, nearest
    # frames lie farther apart than any two rows of one frame, so those of the own frame come first
    gap = 4 * (1.0 + max(float(np.abs(each).max()) for each in (here[placed], there[able])))
    tree = KDTree(np.column_stack([there[able], theirs.frame[able] * gap]))
    found_nm, at = tree.query(np.column_stack([here[placed], ours.frame[placed] * gap]), k=np.arange(1, count + 1))
    rows = np.append(able, -1)[at]  # where the whole table has fewer, `at` is its length
    same = np.isfinite(found_nm) & (theirs.frame[rows] == ours.frame[placed][:, None])
    distance[placed] = np.where(same, found_nm, np.inf)
    nearest[placed] = np.where(same, rows, -1)
    return distance, nearest
