"""Linking: which localizations of successive frames are one molecule that stays on, and its mean position."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from smlmbench.metrics.matching import NearPairs, assign, near_pairs
from smlmbench.predictions import Floats, Ints, Localizations

AXIAL_PER_LATERAL = 2.0  # axial errors are about twice the lateral ones


@dataclass(frozen=True, slots=True)
class Linking:
    """How localizations are linked.

    Attributes:
        radius_nm: Largest lateral distance of two successive ones, along z twice that. Where a table claims sigmas and
            `sigmas` times that of the difference of both is more, that holds, up to `most_nm`; beyond three of them
            lies 1 % of a molecule's own detections.
        dark_frames: Frames in between in which the molecule may be missing.
    """

    radius_nm: float = 50.0
    dark_frames: int = 1
    sigmas: float = 3.0
    most_nm: float = 250.0


DEFAULT = Linking()


def tracks(table: Localizations, linking: Linking = DEFAULT) -> Ints:
    """Number of the track of each row, int64 (n,), 0 .. count - 1.

    A row is linked with at most one row before and one after it: nearest first among all pairs of neighbouring frames,
    then, of the rows still without a successor or predecessor, among frames farther apart. Distances are between the
    two rows, not from the mean of the track. Where every row has a z, that is looked at too.
    """
    n = len(table)
    three_d = n > 0 and bool(np.isfinite(table.z_nm).all())
    first, last = np.ones(n, dtype=bool), np.ones(n, dtype=bool)  # without a predecessor, without a successor
    before: list[Ints] = []
    after: list[Ints] = []
    for gap in range(1, linking.dark_frames + 2):
        later = replace(table, frame=table.frame + gap)
        widest = linking.radius_nm if not _claims(table) else max(linking.radius_nm, linking.most_nm)
        near = near_pairs(
            later, table, lateral_nm=widest, axial_nm=AXIAL_PER_LATERAL * widest, three_d=three_d
        )  # `found` are the earlier rows, `truth` the later ones
        near = near.keep(last[near.found] & first[near.truth] & _inside(table, near, linking, three_d=three_d))
        chosen = assign(near)
        last[chosen.found], first[chosen.truth] = False, False
        before.append(chosen.found)
        after.append(chosen.truth)
    ends = np.concatenate(before), np.concatenate(after)
    graph = coo_array((np.ones(len(ends[0])), ends), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.int64) if n else np.empty(0, np.int64)


def averaged(table: Localizations, track: Ints) -> Localizations:
    """The table with every row moved to the mean position of its track.

    Rows are weighted by the inverse square of the claimed sigma where every row of the table claims one, else equally;
    claimed sigmas become those of the mean. Photons, background and probability stay those of the row.
    """
    count = int(track.max(initial=-1)) + 1
    columns: dict[str, Any] = dict(table.columns())
    for axis in ("x", "y", "z"):
        position, sigma = columns[f"{axis}_nm"], columns[f"sigma_{axis}_nm"]
        claimed = _positive(sigma)
        weight = sigma.min() ** 2 / sigma**2 if claimed else np.ones(len(table))  # relative, so that none overflows
        total = np.bincount(track, weight, count)
        columns[f"{axis}_nm"] = (np.bincount(track, weight * position, count) / total)[track]
        if claimed:
            columns[f"sigma_{axis}_nm"] = sigma.min() / np.sqrt(total)[track]
    fixed = {name: values for name, values in columns.items() if name not in table.more}
    return Localizations.of(fixed, n_frames=table.n_frames, field_nm=table.field_nm, more=table.more)


def _positive(sigma: Floats) -> bool:
    return bool(len(sigma) and np.isfinite(sigma).all() and (sigma > 0).all())


def _claims(table: Localizations) -> bool:
    return _positive(table.sigma_x_nm) and _positive(table.sigma_y_nm)


def _inside(table: Localizations, near: NearPairs, linking: Linking, *, three_d: bool) -> NDArray[np.bool_]:
    """Which pairs of rows are inside the radius of their own claims."""
    radius = np.full(len(near.found), linking.radius_nm)
    if _claims(table):
        variance = (table.sigma_x_nm**2 + table.sigma_y_nm**2) / 2  # per lateral axis
        own = linking.sigmas * np.sqrt(variance[near.found] + variance[near.truth])
        radius = np.clip(own, linking.radius_nm, max(linking.most_nm, linking.radius_nm))
    inside = near.lateral_nm <= radius
    if not three_d:
        return inside
    return inside & (np.abs(table.z_nm[near.found] - table.z_nm[near.truth]) <= AXIAL_PER_LATERAL * radius)
