"""The reject level, and what is kept of each unit.

The rule: the lowest level at which at most 1 % of the units of validation that are kept are wrong (kept strangers are).
Where no level is so clean, the cleanest of those that keep at least a tenth. A level that the study states is kept.
"""

from collections.abc import Mapping

import numpy as np

from smlmbench.data.contracts import Condition
from smlmbench.metrics.classified import Classified, kept_by_wrong, macro_f1
from smlmbench.metrics.strata import Profile, listed
from smlmbench.predictions import Floats
from smlmbench.tasks.classification.answers import Answer, evidence_of
from smlmbench.tasks.contracts import Tuned

NAME = "reject"
WRONG, LEAST_KEPT = 0.01, 0.1
BINS = 8


def choose(answer: Answer, condition: Condition) -> Tuned:
    """The level and the rule that gave it."""
    evidence = evidence_of(answer, condition)
    reached = float("nan") if evidence is None else float(macro_f1(evidence.counts.sum(axis=0)))
    if answer.stated is not None:
        return Tuned({NAME: answer.stated}, reached, how={f"{NAME}_rule": "stated by the study"})
    if evidence is None or not len(evidence.true):
        return Tuned({NAME: 0.0}, reached, how={f"{NAME}_rule": "no labels on validation: nothing is rejected"})
    levels, kept, wrong = kept_by_wrong(evidence.right, evidence.scores)
    clean = np.flatnonzero(wrong <= WRONG)
    if len(clean):
        level, said = float(levels[clean[-1]]), f"at most {100 * WRONG:g} % of the kept are wrong"
    else:
        enough = np.flatnonzero(kept >= LEAST_KEPT)
        level = float(levels[enough[np.argmin(wrong[enough])]])
        said = f"cleanest that keeps {100 * LEAST_KEPT:g} % (nowhere {100 * WRONG:g} % wrong)"
    return Tuned({NAME: level}, reached, how={f"{NAME}_rule": said})


def per_unit(evidence: Classified) -> dict[str, list[float]]:
    """What is stored of each unit: true and said class, score, photons, and what shares are means of, in percent."""
    known, kept = evidence.known, evidence.kept
    chosen = np.isfinite(evidence.level)
    columns: Mapping[str, Floats] = {
        "true": evidence.true.astype(np.float64),
        "said": evidence.said.astype(np.float64),
        "classes": np.full(len(known), float(evidence.classes)),
        "score": evidence.scores,
        "photons": evidence.photons,
        "accuracy": np.where(known, 100.0 * evidence.right, np.nan),
    }
    if chosen:
        columns = {
            **columns,
            "coverage": np.where(known, 100.0 * kept, np.nan),
            "accuracy_kept": np.where(known & kept, 100.0 * evidence.right, np.nan),
            "strangers_kept": np.where(known, np.nan, 100.0 * kept),
        }
    return {name: values.tolist() for name, values in columns.items()}


def profiles(evidence: Classified) -> dict[str, Profile]:
    """Accuracy in bins of photons with alike many units, and the confusion matrix as a list of its cells."""
    found: dict[str, Profile] = {}
    known = evidence.known & np.isfinite(evidence.photons)
    photons, right = evidence.photons[known], evidence.right[known]
    edges = np.unique(np.quantile(photons, np.linspace(0, 1, BINS + 1))) if len(photons) else np.zeros(0)
    if len(edges) > 1:
        place = np.clip(np.searchsorted(edges, photons, side="right") - 1, 0, len(edges) - 2)
        units = np.bincount(place, minlength=len(edges) - 1)
        hits = np.bincount(place, right, len(edges) - 1)
        found["by_photons"] = {
            "photons_from": listed(edges[:-1]),
            "photons_to": listed(edges[1:]),
            "units": listed(units.astype(np.float64)),
            "accuracy": listed(100 * hits / np.maximum(units, 1)),
        }
    numbers = np.arange(-1.0, evidence.classes)
    true, said = (axis.ravel() for axis in np.meshgrid(numbers, numbers, indexing="ij"))
    shown = np.where(evidence.kept | ~np.isfinite(evidence.level), evidence.said, -1)
    whole = [(evidence.true[:, None] == true) & (each[:, None] == said) for each in (evidence.said, shown)]
    found["confusion"] = {
        "true": listed(true),
        "said": listed(said),
        "units": listed(np.asarray(whole[0].sum(axis=0), dtype=np.float64)),
        "kept": listed(np.asarray(whole[1].sum(axis=0), dtype=np.float64)),
    }
    return found
