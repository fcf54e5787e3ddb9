"""Two emitters side by side: how near they may be and still be told apart, and how their distance is distorted."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.metrics.evidence import Evidence, Tables, tables_of
from smlmbench.metrics.nearest import nearest_in_frame
from smlmbench.metrics.reasons import NO_EMITTER, NOTHING
from smlmbench.metrics.strata import Profile, listed
from smlmbench.predictions import Floats, Ints

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Share of emitter pairs that are resolved, and the bias of their distance, against the true distance.",
    "tasks": ["localization"],
    "gives": {
        "half_resolved_nm": {
            "title": "Half resolved (nm)", "unit": "nm", "direction": "down", "low": 0.0,
            "help": "Distance at which half of the pairs are resolved: each emitter has a detection nearer than half "
            "their distance.",
        },
        "pairs_resolved_100nm": {
            "direction": "up", "low": 0.0, "high": 1.0, "help": "Share of pairs resolved that are 50 to 150 nm apart.",
        },
        "pairs_resolved_200nm": {
            "direction": "up", "low": 0.0, "high": 1.0, "help": "Share of pairs resolved that are 150 to 250 nm apart.",
        },
        "pairs_resolved_300nm": {
            "direction": "up", "low": 0.0, "high": 1.0, "help": "Share of pairs resolved that are 250 to 350 nm apart.",
        },
        "pair_distance_bias_100nm": {
            "unit": "nm", "direction": "none",
            "help": "Mean found minus true distance of pairs 50 to 150 nm apart of which both are matched; 0 is best.",
        },
        "pair_distance_bias_200nm": {
            "unit": "nm", "direction": "none", "help": "The same of pairs 150 to 250 nm apart.",
        },
        "pair_distance_bias_300nm": {
            "unit": "nm", "direction": "none", "help": "The same of pairs 250 to 350 nm apart.",
        },
    },
}  # fmt: skip

NEIGHBOURHOOD_NM = 600.0
EDGES_NM = np.arange(50.0, 601.0, 50.0)
CENTRES_NM, WIDTH_NM = (100, 200, 300), 100.0
LEAST_SHARE = 0.9  # of the true emitters in pairs, else the truth is not of pairs
LEAST_PAIRS = 10


@dataclass(frozen=True, slots=True)
class EmitterPairs:
    """The pairs of a truth and what was found of them, (p,) each.

    Attributes:
        distance_nm: True lateral distance.
        resolved: Each emitter has a detection in its frame nearer than half of the distance, so not the same one.
        bias_nm: Found minus true distance of the two detections matched with them, NaN where not both are.
    """

    distance_nm: Floats
    resolved: NDArray[np.bool_]
    bias_nm: Floats

    def within(self, low_nm: float, high_nm: float) -> "EmitterPairs":
        """Those of which the distance is from `low_nm` to below `high_nm`."""
        which = (self.distance_nm >= low_nm) & (self.distance_nm < high_nm)
        return EmitterPairs(self.distance_nm[which], self.resolved[which], self.bias_nm[which])

    @property
    def share(self) -> float:
        """Share that is resolved, NaN of too few pairs."""
        return float(self.resolved.mean()) if len(self.resolved) >= LEAST_PAIRS else float("nan")

    @property
    def bias(self) -> float:
        """Mean distortion of the distance in nm, NaN of too few pairs that are both matched."""
        known = np.isfinite(self.bias_nm)
        return float(self.bias_nm[known].mean()) if known.sum() >= LEAST_PAIRS else float("nan")


def measure(evidence: Evidence) -> dict[str, float | str]:
    """Of a truth of pairs: 90 % of the emitters have exactly one neighbour within 600 nm, which has no other."""
    tables = tables_of(evidence)
    if isinstance(tables, str):
        return dict.fromkeys(CARD["gives"], tables)
    pairs = _pairs(tables)
    if isinstance(pairs, str):
        return dict.fromkeys(CARD["gives"], pairs)
    answers: dict[str, float | str] = {"half_resolved_nm": _half_resolved(pairs)}
    near = {centre: pairs.within(centre - WIDTH_NM / 2, centre + WIDTH_NM / 2) for centre in CENTRES_NM}
    few = f"fewer than {LEAST_PAIRS} pairs are this far apart"
    for centre, some in near.items():
        answers[f"pairs_resolved_{centre}nm"] = few if np.isnan(some.share) else some.share
    few = f"fewer than {LEAST_PAIRS} pairs this far apart are both matched"
    for centre, some in near.items():
        answers[f"pair_distance_bias_{centre}nm"] = few if np.isnan(some.bias) else some.bias
    return answers


def profile(evidence: Evidence) -> dict[str, Profile]:
    """Share and bias in bins of 50 nm from 50 to 600 nm."""
    tables = tables_of(evidence)
    pairs = tables if isinstance(tables, str) else _pairs(tables)
    if isinstance(pairs, str):
        return {}
    bins = _bins(pairs)
    columns = {
        "distance_nm_from": EDGES_NM[:-1],
        "distance_nm_to": EDGES_NM[1:],
        "pairs": np.array([float(len(some.resolved)) for some in bins]),
        "resolved": np.array([some.share for some in bins]),
        "distance_bias_nm": np.array([some.bias for some in bins]),
    }
    return {"pairs": {name: listed(values) for name, values in columns.items()}}


def _bins(pairs: EmitterPairs) -> list[EmitterPairs]:
    return [pairs.within(low, high) for low, high in pairwise(EDGES_NM)]


def _half_resolved(pairs: EmitterPairs) -> float | str:
    """Where the share falls below one half as the distance shrinks, straight between the middles of the bins."""
    shares, middles = np.array([some.share for some in _bins(pairs)]), (EDGES_NM[:-1] + EDGES_NM[1:]) / 2
    known = np.isfinite(shares)
    shares, middles = shares[known], middles[known]
    if not len(shares):
        return f"no distance from 50 to 600 nm has {LEAST_PAIRS} pairs"
    below = np.flatnonzero(shares < 0.5)
    if not len(below):
        return f"half of the pairs and more are resolved at every distance, down to {middles[0]:g} nm"
    at = int(below[-1])
    if at + 1 == len(shares):
        return f"fewer than half of the pairs are resolved even {middles[-1]:g} nm apart"
    return float(np.interp(0.5, shares[at : at + 2], middles[at : at + 2]))


def _pairs(tables: Tables) -> EmitterPairs | str:
    """The pairs of which both emitters count, or why there are none."""
    truth, counted = tables.truth, tables.roles.truth_counted
    if not counted.any():
        return NO_EMITTER if tables.roles.found_counted.any() else NOTHING
    first, second, share = _partners(tables)
    if share < LEAST_SHARE:
        return f"the truth is not of pairs: {share:.0%} of its emitters have one neighbour alone within 600 nm"
    both = counted[first] & counted[second]
    first, second = first[both], second[both]
    distance_nm = np.hypot(truth.x_nm[first] - truth.x_nm[second], truth.y_nm[first] - truth.y_nm[second])
    detections = tables.found.select(tables.roles.found_present)
    reach = nearest_in_frame(truth, detections)[0][:, 0]
    resolved = np.maximum(reach[first], reach[second]) < distance_nm / 2
    partner = np.full(len(truth), -1)
    partner[tables.matches.truth] = tables.matches.found
    ends = partner[first], partner[second]
    bias_nm = np.full(len(first), np.nan)
    two = (ends[0] >= 0) & (ends[1] >= 0)
    f, g = ends[0][two], ends[1][two]
    bias_nm[two] = np.hypot(
        *(getattr(tables.found, axis)[f] - getattr(tables.found, axis)[g] for axis in ("x_nm", "y_nm"))
    )
    return EmitterPairs(distance_nm, resolved, bias_nm - distance_nm)


def _partners(tables: Tables) -> tuple[Ints, Ints, float]:
    """Rows of the two emitters of each pair, and the share of all emitters that are in one."""
    truth = tables.truth
    distance, rows = nearest_in_frame(truth, truth, count=3)  # the row itself is one of the three
    own = np.arange(len(truth))
    near = (distance <= NEIGHBOURHOOD_NM) & (rows != own[:, None])
    one = near.sum(axis=1) == 1
    other = np.where(one, rows[own, near.argmax(axis=1)], -1)
    mutual = one & one[other] & (other[other] == own)
    first = np.flatnonzero(mutual & (other > own))
    return first, other[first], float(mutual.mean())
