"""Localization: 1 frame in, a table (and where there is one, a fine image) out; scored against true positions.

Image pairs have target images instead: an image out, scored against its target (`image_pairs`).

Every metric file of the room `metrics` that names this task is measured; the interval belongs to the primary alone.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench import statistics
from smlmbench.data.contracts import Condition
from smlmbench.data.targets import faintest_photons
from smlmbench.metrics.evidence import Evidence, Facts, Images, SignalFree, gather
from smlmbench.metrics.pooling import SUMS
from smlmbench.metrics.ratios import efficiency, ratio
from smlmbench.predictions import Localizations, Prediction
from smlmbench.registry import Catalog
from smlmbench.render import fine_shape, rasterise, render_table
from smlmbench.study.schema import Scoring
from smlmbench.tasks.contracts import Scores, Threshold
from smlmbench.tasks.image_pairs import score_pairs, validate_pairs

__all__ = [
    "ImageRule",
    "candidates_threshold",
    "choose_threshold",
    "mass_ratio",
    "mean_over_conditions",
    "measure",
    "metric_files",
    "score",
    "score_images",
    "validate_pairs",
]

CARD = {
    "version": 1,
    "summary": "Where are the emitters of each frame? Table out, and a fine image where the network makes one",
    "facts": {
        "primary": "efficiency",
        "direction": "up",
        "headline": [
            "efficiency",
            "jaccard",
            "rmse_nm",
            "mjac_c",
            "recall",
            "precision",
            "false_per_1000um2",
            "nmse_star",
        ],
        "truths": ["emitters"],
        "default_for": ["emitters"],
    },
}

THRESHOLDS = 50
PLATEAU_POINTS = 0.2
LOWEST_SCORE = 0.02
NO_TABLE = "this row gives no table of localizations"


@dataclass(frozen=True, slots=True)
class ImageRule:
    """How a row's image is compared.

    Attributes:
        fine_pixel_nm: Grid on which table rows are drawn; an image keeps its own grid.
        label_rule: Rule by which the truth is rasterised for this row (PROTOCOL: each against its own).
    """

    fine_pixel_nm: float
    label_rule: str = "floor"


def candidates_threshold() -> float:
    """Score at which candidates are read out before a threshold is chosen."""
    return LOWEST_SCORE


def choose_threshold(
    candidates: Localizations, condition: Condition, scoring: Scoring, steps: int = THRESHOLDS
) -> Threshold:
    """Choose the one threshold of a trained model on its validation set: the middle of the plateau, not the peak.

    Args:
        candidates: Read out at `candidates_threshold()`; `probability` is the score.
        condition: Validation, with truth.
        scoring: Protocol of the study.
        steps: Quantiles of the scores that are tried; half as many more are tried evenly across the plateau, since
            quantiles leave the gap between well separated scores unseen.

    Returns:
        The threshold with the primary metric there. The plateau is every threshold around the best one that loses at
        most 0.2 points of efficiency without interruption.
    """
    scores = candidates.probability
    if condition.truth is None or len(scores) == 0:
        return Threshold(LOWEST_SCORE, 0.0, [], [])

    def reach(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([_efficiency(candidates.select(scores > value), condition, scoring) for value in values])

    tried = np.unique(np.concatenate([[LOWEST_SCORE], np.quantile(scores, np.linspace(0, 0.98, steps - 1))]))
    reached = reach(tried)
    low, high = _plateau(reached)
    ends = tried[max(low - 1, 0)], tried[min(high + 1, len(tried) - 1)]
    between = np.linspace(*ends, steps // 2 + 2)[1:-1]
    tried, first = np.unique(np.concatenate([tried, between]), return_index=True)
    reached = np.concatenate([reached, reach(between)])[first]
    low, high = _plateau(reached)
    middle, best = 0.5 * (tried[low] + tried[high]), int(np.argmax(reached))
    value = float(reach(np.array([middle]))[0])
    if value < reached[best] - PLATEAU_POINTS:
        middle, value = tried[best], reached[best]
    return Threshold(float(middle), float(value), tried.tolist(), reached.tolist())


def _plateau(reached: NDArray[np.float64]) -> tuple[int, int]:
    """First and last number of the values around the best one that are as good without interruption."""
    low = high = int(np.argmax(reached))
    good = reached >= reached[low] - PLATEAU_POINTS
    while low > 0 and good[low - 1]:
        low -= 1
    while high + 1 < len(reached) and good[high + 1]:
        high += 1
    return low, high


def _efficiency(found: Localizations, condition: Condition, scoring: Scoring) -> float:
    evidence = gather(found, condition.truth, facts=_facts(condition, scoring))
    if evidence.sums is None:
        return 0.0
    value = float(efficiency(evidence.sums.sum(axis=0)))
    return 0.0 if math.isnan(value) else value


def _facts(condition: Condition, scoring: Scoring) -> Facts:
    return Facts(
        scoring=scoring,
        min_photons=_faintest(condition),
        frame_shift=condition.frame_shift,
        density_per_um2=float(condition.facts.get("density_per_um2", float("nan"))),
    )


def _faintest(condition: Condition) -> NDArray[np.float64] | float:
    """Photons below which each true emitter is neutral; rises with its local background where that is known."""
    if condition.truth is None or condition.psf_sigma_nm is None:
        return condition.min_photons
    sigma_px = condition.psf_sigma_nm / condition.pixel_size_nm
    return faintest_photons(condition.min_photons, condition.truth.background_photons, sigma_px)


def score(
    prediction: Prediction,
    condition: Condition,
    rule: ImageRule,
    scoring: Scoring,
    catalog: Catalog,
    signal_free_found: Localizations | None = None,
) -> Scores:
    """Score one row on one condition.

    Args:
        prediction: Table, image or both.
        condition: Frozen source with or without truth.
        rule: How images are compared.
        scoring: Protocol of the study.
        catalog: Where the metrics are registered.
        signal_free_found: What the same row found on the condition's signal-free frames.

    Returns:
        Values, reasons of what is not computable, the interval of the primary, per-frame sums.
    """
    evidence = _evidence(prediction, condition, rule, scoring, signal_free_found)
    values, reasons = measure(evidence, catalog)
    intervals: dict[str, tuple[float, float]] = {}
    per_frame: dict[str, list[float]] = {}
    if evidence.sums is not None and len(evidence.sums):
        block = condition.frame_shift
        interval = statistics.frame_bootstrap(ratio("efficiency"), evidence.sums, block=block, seed=0)
        if math.isfinite(interval.low) and math.isfinite(interval.high):
            intervals["efficiency"] = (interval.low, interval.high)
        per_frame = {name: evidence.sums[:, k].tolist() for k, name in enumerate(SUMS)}
    return Scores(values=values, reasons=reasons, intervals=intervals, per_frame=per_frame)


def score_images(
    predicted: Iterable[NDArray[np.floating]], condition: Condition, scoring: Scoring, catalog: Catalog
) -> Scores:
    """Score the images of one row against the targets of a condition of image pairs; see `image_pairs.score_pairs`."""
    return score_pairs(predicted, condition, scoring, lambda evidence: measure(evidence, catalog))


def measure(evidence: Evidence, catalog: Catalog) -> tuple[dict[str, float], dict[str, str]]:
    """Run every metric of this task; non-finite numbers become reasons."""
    values: dict[str, float] = {}
    reasons: dict[str, str] = {}
    for name in metric_files(catalog):
        for key, value in catalog.module("metrics", name).measure(evidence).items():
            if isinstance(value, str):
                reasons[key] = value
            elif math.isfinite(value):
                values[key] = float(value)
            else:
                reasons[key] = "the number is not finite"
    return values, reasons


def metric_files(catalog: Catalog) -> list[str]:
    """Registered metric files of this task."""
    return [
        name
        for name in catalog.names("metrics")
        if "localization" in getattr(catalog.card("metrics", name), "tasks", [])
    ]


def _evidence(
    prediction: Prediction,
    condition: Condition,
    rule: ImageRule,
    scoring: Scoring,
    signal_free_found: Localizations | None,
) -> Evidence:
    signal_free = None
    if condition.signal_free is not None and signal_free_found is not None:
        width_nm, height_nm = condition.field_nm
        signal_free = SignalFree(signal_free_found, len(condition.signal_free) * width_nm * height_nm / 1e6)
    return gather(
        prediction.table,
        condition.truth,
        facts=_facts(condition, scoring),
        images=_images(prediction, condition, rule),
        signal_free=signal_free,
        reasons={"signal_free": NO_TABLE} if prediction.table is None else {},
    )


def _images(prediction: Prediction, condition: Condition, rule: ImageRule) -> Images:
    if prediction.image is not None:
        drawn: NDArray[np.floating] | None = prediction.image.values[0]
        pixel_nm = prediction.image.pixel_nm
    else:
        pixel_nm = rule.fine_pixel_nm
        drawn = None
        if prediction.table is not None:
            drawn = render_table(prediction.table, condition.field_nm, pixel_nm).values[0]
    truth = None
    if condition.truth is not None:
        label: Any = rule.label_rule
        shape = drawn.shape if drawn is not None else fine_shape(condition.field_nm, pixel_nm)
        truth = rasterise(condition.truth.x_nm, condition.truth.y_nm, (shape[0], shape[1]), pixel_nm, label)
    return Images(drawn, truth, pixel_nm)


def mean_over_conditions(by_condition: Mapping[str, Scores], names: Sequence[str] | None = None) -> dict[str, float]:
    """Plain mean of each number over the conditions; a number that one condition lacks has no mean."""
    scores = list(by_condition.values())
    if not scores:
        return {}
    shared = set.intersection(*(set(one.values) for one in scores))
    return {
        name: float(np.mean([one.values[name] for one in scores]))
        for name in sorted(shared if names is None else shared & set(names))
    }


def mass_ratio(image_sum: float, condition: Condition) -> float:
    """Output mass over true mass, for the collapse guard; 1 where there is no truth."""
    count = 0 if condition.truth is None else len(condition.truth)
    return image_sum / count if count else 1.0
