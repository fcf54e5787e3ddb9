"""Which detection belongs to which true emitter: nearest first, or the largest set of pairs (Hungarian).

Pairs are sought within a frame, one to one, inside a lateral and (in 3-D) an axial tolerance, both inclusive.
Source: Sage et al. 2019, doi:10.1038/s41592-019-0364-4, and the assessment code of the 2016 challenge.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from smlmbench.errors import ConfigError, UnitError, suggest
from smlmbench.predictions import Floats, Ints, Localizations

Matcher = Literal["greedy", "hungarian"]
MATCHERS = ("greedy", "hungarian")

# Decimal coordinates are not exact: 256.1 - 6.1 exceeds 250 by rounding, and the tolerance is inclusive.
ROUNDING_NM = 1e-6
QUICK_TREE: dict[str, Any] = {"balanced_tree": False, "compact_nodes": False}  # built once, asked once
FARTHEST_NM = 1e12  # beyond, and where a position is not finite, nothing is paired: distances there overflow


@dataclass(frozen=True, slots=True)
class NearPairs:
    """All candidate pairs inside the tolerance, nearest first.

    Attributes:
        found, truth: Row of each pair's detection and true emitter, int64 (p,), sorted by cost.
        cost_nm: Distance that decides: 3-D where scoring is 3-D, else lateral.
        n_found, n_truth: Rows of the two tables.
    """

    found: Ints
    truth: Ints
    lateral_nm: Floats
    cost_nm: Floats
    n_found: int
    n_truth: int

    def keep(self, which: NDArray[np.bool_] | Ints) -> "NearPairs":
        """The pairs that a mask (p,) names, or positions in their order."""
        lateral_nm, cost_nm = self.lateral_nm[which], self.cost_nm[which]
        return NearPairs(self.found[which], self.truth[which], lateral_nm, cost_nm, self.n_found, self.n_truth)

    def within(self, lateral_nm: float) -> "NearPairs":
        """The pairs inside a smaller lateral tolerance."""
        return self.keep(self.lateral_nm <= lateral_nm + ROUNDING_NM)


@dataclass(frozen=True, slots=True)
class Matches:
    """One-to-one pairs and what is left, as row numbers of the two tables.

    Attributes:
        found, truth: Rows of the pairs, int64 (n_matched,).
        unmatched_found, unmatched_truth: Rows without a partner.
    """

    found: Ints
    truth: Ints
    unmatched_found: Ints
    unmatched_truth: Ints

    @property
    def n_matched(self) -> int:
        """Number of pairs, for metrics of plug-ins."""
        return len(self.found)


def near_pairs(
    found: Localizations, truth: Localizations, *, lateral_nm: float, axial_nm: float, three_d: bool
) -> NearPairs:
    """List every pair of one frame inside the inclusive tolerances, nearest first (ties: in the order of the rows).

    The 2016 challenge used 250 and 500 nm. In 3-D the 3-D distance decides, the axial tolerance is checked too, and a
    row without z is in no pair; nor is one whose lateral position is not finite.

    Raises:
        UnitError: A tolerance that is not positive.
    """
    if not (lateral_nm > 0 and axial_nm > 0):
        raise UnitError(f"tolerances {lateral_nm:g} nm and {axial_nm:g} nm; give positive numbers such as 250 and 500")
    f, t = _candidates(found, truth, lateral_nm)
    lateral = np.hypot(found.x_nm[f] - truth.x_nm[t], found.y_nm[f] - truth.y_nm[t])
    cost = lateral
    inside = lateral <= lateral_nm + ROUNDING_NM
    if three_d:
        with np.errstate(invalid="ignore"):  # of two infinite depths the difference is no number
            axial = np.abs(found.z_nm[f] - truth.z_nm[t])
        cost = np.hypot(lateral, axial)
        inside &= axial <= axial_nm + ROUNDING_NM
    near = NearPairs(f, t, lateral, cost, len(found), len(truth)).keep(inside)
    return near.keep(np.lexsort((near.found, near.truth, near.cost_nm)))


def assign(pairs: NearPairs, matcher: Matcher = "greedy") -> Matches:
    """Choose one-to-one pairs: `greedy` (nearest first) or `hungarian` (most pairs, then the least total distance).

    Raises:
        ConfigError: An unknown matcher.
    """
    if matcher not in MATCHERS:
        raise ConfigError(f"matcher '{matcher}' is not accepted; {suggest(matcher, MATCHERS)}")
    chosen = _greedy(pairs) if matcher == "greedy" else _hungarian(pairs)
    f, t = pairs.found[chosen], pairs.truth[chosen]
    return Matches(f, t, _rest(f, pairs.n_found), _rest(t, pairs.n_truth))


def _rest(taken: Ints, n: int) -> Ints:
    free = np.ones(n, dtype=bool)
    free[taken] = False
    return np.flatnonzero(free)


def _candidates(found: Localizations, truth: Localizations, lateral_nm: float) -> tuple[Ints, Ints]:
    """Rows of all pairs of one frame about inside the lateral tolerance, in no particular order."""
    f, t = (np.flatnonzero(np.maximum(np.abs(each.x_nm), np.abs(each.y_nm)) < FARTHEST_NM) for each in (found, truth))
    f = f[(found.frame[f] >= truth.frame.min(initial=0)) & (found.frame[f] <= truth.frame.max(initial=0))]
    if len(f) == 0 or len(t) == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    # frames lie farther apart than the tolerance, so one tree serves the whole movie
    gap = 4 * lateral_nm
    ours, theirs = (
        KDTree(np.column_stack([table.x_nm[rows], table.y_nm[rows], table.frame[rows] * gap]), **QUICK_TREE)
        for table, rows in ((found, f), (truth, t))
    )
    near = ours.sparse_distance_matrix(theirs, lateral_nm + 2 * ROUNDING_NM, output_type="ndarray")
    return f[near["i"]], t[near["j"]]


def _greedy(pairs: NearPairs) -> Ints:
    """Positions of the pairs that nearest-first takes.

    A pair that is the first of all remaining ones at both its ends is taken by nearest-first whatever happens
    elsewhere, so all such pairs are taken at once and the rest is looked at again.
    """
    left = np.arange(len(pairs.found))
    taken: list[Ints] = []
    first_found, first_truth = np.full(pairs.n_found, -1), np.full(pairs.n_truth, -1)
    free_found, free_truth = np.ones(pairs.n_found, dtype=bool), np.ones(pairs.n_truth, dtype=bool)
    while len(left):
        f, t = pairs.found[left], pairs.truth[left]
        first_found[f[::-1]] = left[::-1]  # numpy keeps the last write: the nearest pair of each row
        first_truth[t[::-1]] = left[::-1]
        both = (first_found[f] == left) & (first_truth[t] == left)
        taken.append(left[both])
        free_found[f[both]] = False
        free_truth[t[both]] = False
        left = left[free_found[f] & free_truth[t]]
    return np.sort(np.concatenate(taken)) if taken else left


def _hungarian(pairs: NearPairs) -> Ints:
    """Positions of the pairs of a largest matching of least total cost, cluster by cluster."""
    if len(pairs.found) == 0:
        return np.empty(0, np.int64)
    nodes = pairs.n_found + pairs.n_truth
    graph = coo_array((np.ones(len(pairs.found)), (pairs.found, pairs.truth + pairs.n_found)), shape=(nodes, nodes))
    cluster = connected_components(graph, directed=False)[1][pairs.found].astype(np.int64)
    order = np.argsort(cluster, kind="stable")  # nearest first within a cluster
    starts = np.flatnonzero(np.diff(cluster[order], prepend=-1))
    sizes = np.diff(starts, append=len(order))
    row, column = (_numbered(order, cluster, ends) for ends in (pairs.found, pairs.truth))
    rows, columns = (np.maximum.reduceat(number, starts) + 1 for number in (row, column))
    one = np.minimum(rows, columns) == 1  # all pairs share an end, so the nearest is all there is
    cost = pairs.cost_nm[order]
    chosen = [starts[one]]
    for start, size, shape in zip(starts[~one], sizes[~one], zip(rows[~one], columns[~one], strict=True), strict=True):
        each = slice(start, start + size)
        chosen.append(start + _solve(row[each], column[each], cost[each], shape))
    return np.sort(order[np.concatenate(chosen)])


def _numbered(order: Ints, cluster: Ints, ends: Ints) -> Ints:
    """Number of each pair's end among the ends of its cluster, from 0; in the given order of pairs."""
    sort = np.lexsort((ends, cluster))
    new = np.diff(ends[sort], prepend=-1) != 0
    first = np.diff(cluster[sort], prepend=-1) != 0
    number = np.cumsum(new)
    ranked = np.empty(len(order), dtype=np.int64)
    ranked[sort] = number - np.maximum.accumulate(np.where(first, number, 0))
    return ranked[order]


def _solve(row: Ints, column: Ints, cost_nm: Floats, shape: tuple[int, int]) -> Ints:
    """Positions of the chosen among the pairs of one cluster."""
    # dearer than any set of real pairs, so as few forbidden entries as possible are used: most pairs first
    matrix = np.full(shape, (min(shape) + 1) * (cost_nm.max() + 1))
    matrix[row, column] = cost_nm
    partner = np.full(shape[0], -1)
    rows, columns = linear_sum_assignment(matrix)
    partner[rows] = columns
    return np.flatnonzero(partner[row] == column)
