"""What the physical limit says of a condition, whoever is scored on it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from smlmbench.data.contracts import Condition
from smlmbench.metrics.matching import near_pairs
from smlmbench.metrics.pooling import roles
from smlmbench.predictions import Floats, Localizations
from smlmbench.study.schema import Scoring
from smlmbench.tasks.localization.scoring import emitters_of
from smlmbench.truths.bounds import Bounds, lateral_nm

PRIOR, CLOSE, RESOLVABLE = "bound_prior", "closer_than_bound", "resolvable_fraction"
LEAST_SAID = 0.005
REACH_NM = 250.0


def facts_of(condition: Condition, scoring: Scoring) -> dict[str, Any]:
    """Facts of the emitters that count; where the limit is not known the reason, as `no_bound`.

    Returns:
        `resolvable_fraction`: those whose bound is below 50 nm; `bound_nm` and `bound_free_nm`: medians over them,
        radial, of the quoted bound and of the one that knows no prior; `bound_prior`: 1 where the quoted bound knows
        the simulator's prior; `closer_than_bound`: share of all that have a neighbour nearer than their own bound.
    """
    truth = emitters_of(condition)
    if truth is None:
        return {}
    if isinstance(bounds := truth.bounds, str):
        return {"no_bound": bounds}
    counted = roles(truth.table, truth.table, scoring=scoring, min_photons=truth.faintest()).truth_counted
    if not counted.any():
        return {}
    can = counted & bounds.resolvable
    found: dict[str, Any] = {RESOLVABLE: float(can.sum() / counted.sum()), PRIOR: float(bounds.prior is not None)}
    found[CLOSE] = float((_nearest_nm(truth.table, bounds) < _whole_nm(bounds.quoted))[counted].mean())
    if can.any():
        medians = (float(np.median(lateral_nm(each)[can])) for each in (bounds.quoted, bounds.free))
        found |= dict(zip(("bound_nm", "bound_free_nm"), medians, strict=True))
    return found


def _whole_nm(covariance: Floats) -> Floats:
    """Standard deviation over all coordinates that are unknown, (n,)."""
    return np.asarray(np.sqrt(np.einsum("nii->n", covariance)))


def _nearest_nm(table: Localizations, bounds: Bounds) -> Floats:
    """Distance to the nearest other emitter of the frame (n,), infinite beyond 250 nm."""
    deep = bounds.free.shape[1] == 3
    pairs = near_pairs(table, table, lateral_nm=REACH_NM, axial_nm=1e9, three_d=deep)
    others = pairs.found != pairs.truth
    nearest = np.full(len(table), np.inf)
    np.minimum.at(nearest, pairs.truth[others], pairs.cost_nm[others])
    return nearest


def said_of(conditions: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Sentences for the page: which bound is meant where, and where emitters are too close for anybody."""
    known = {name: facts for name, facts in conditions.items() if isinstance(facts.get(RESOLVABLE), int | float)}
    if not known:
        return ()
    prior = [name for name, facts in known.items() if facts.get(PRIOR)]
    free = [name for name in known if name not in prior]
    with_prior = f"bound_prior on {', '.join(prior)}, whose rows know what photons and background are drawn from"
    quoted = [with_prior] * bool(prior) + [f"bound_free on {', '.join(free)}"] * bool(free)
    said = [f"ρ_med, resolvable emitters and their bound are quoted against {'; '.join(quoted)}."]
    close = {name: facts.get(CLOSE, 0.0) for name, facts in known.items()}
    shares = [f"{100 * share:.1f} % on {name}" for name, share in close.items() if share >= LEAST_SAID]
    if shares:
        said.append(
            "Of the true emitters that count, some are closer to a neighbour than can be resolved (than their own "
            f"bound): {', '.join(shares)}. No unbiased estimate finds both of them; no model is to blame."
        )
    return tuple(said)
