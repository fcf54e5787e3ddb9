"""Scores of image pairs: each predicted image against its own target, averaged over the pairs.

There are no positions, so everything that needs them is n/a; the primary is NMSE* (down), with a bootstrap over pairs.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench import statistics
from smlmbench.data.contracts import Condition
from smlmbench.metrics.evidence import Evidence, Facts, Images, gather
from smlmbench.metrics.images import image_pair
from smlmbench.predictions import Floats
from smlmbench.study.schema import Scoring
from smlmbench.tasks.contracts import Scores

CARD = {
    "version": 1,
    "summary": "What does the target of each input look like? An image out, no positions",
    "facts": {
        "primary": "nmse_star",
        "direction": "down",
        "headline": ["nmse_star", "ssim", "ms_ssim", "psnr", "nmse"],
        "truths": ["target_images"],
        "default_for": ["target_images"],
        "known_as": "localization",
    },
}

PRIMARY = "nmse_star"
NO_POSITIONS = "image pairs have no positions"
REASONS = dict.fromkeys(("found", "truth", "signal_free"), NO_POSITIONS)

Image = NDArray[np.floating[Any]]
Measure = Callable[[Evidence], tuple[dict[str, float], dict[str, str]]]


def targets_of(condition: Condition) -> Iterable[NDArray[np.float32]]:
    """The target of each pair of a condition, one after the other."""
    pairs = condition.pairs
    return () if pairs is None else (pairs[number][1] for number in range(len(pairs)))


def score_pairs(predicted: Iterable[Image], condition: Condition, scoring: Scoring, measure: Measure) -> Scores:
    """Score one row on the pairs of a condition.

    Args:
        predicted: The image of each pair (U*H, U*W), in their order; taken one by one.
        condition: With pairs.
        scoring: Protocol of the study.
        measure: Runs every metric on one evidence: values, and reasons of what is not computable.

    Returns:
        Means over the pairs that have a number (a blank target has no NMSE), the reason where none has; the interval
        of NMSE* over pairs where there are two or more; the numbers of each pair (NaN where it has none).
    """
    pixel_nm = condition.pixel_size_nm
    found: list[dict[str, float]] = []
    reasons: dict[str, str] = {}
    for image, target in zip(predicted, targets_of(condition), strict=True):
        fine_nm = pixel_nm * image.shape[0] / target.shape[0]
        images = Images(image, np.asarray(target, dtype=np.float64), fine_nm)
        values, absent = measure(gather(None, None, facts=Facts(scoring), images=images, reasons=REASONS))
        found.append(values)
        reasons |= absent
    names = dict.fromkeys(name for values in found for name in values)
    by_pair = {name: [values.get(name, math.nan) for values in found] for name in names}
    means = {name: float(np.nanmean(numbers)) for name, numbers in by_pair.items()}
    interval = _interval(by_pair.get(PRIMARY, []))
    return Scores(
        values=means,
        reasons={name: reason for name, reason in reasons.items() if name not in means},
        intervals={} if interval is None else {PRIMARY: interval},
        per_frame=by_pair,
    )


def _interval(numbers: list[float]) -> tuple[float, float] | None:
    known = np.array([value for value in numbers if math.isfinite(value)])
    if len(known) < 2:
        return None
    table = np.column_stack([known, np.ones_like(known)])
    found = statistics.frame_bootstrap(mean_of_sums, table, seed=0)
    return found.low, found.high


def mean_of_sums(sums: Floats) -> Floats:
    """Mean over pairs from sums (..., 2): of the number, and of ones."""
    return np.asarray(sums[..., 0] / np.maximum(sums[..., 1], 1))


def validate_pairs(predicted: Iterable[Image], condition: Condition) -> Mapping[str, float]:
    """What picks the best step: mean NMSE* over the pairs (lower is better), and output mass over target mass.

    A target without light, or an answer that is not finite, has no NMSE*; where none has one it is 1, as a blank
    image's. The mass is NaN where an answer is not finite.
    """
    errors: list[float] = []
    drawn = wanted = 0.0
    for image, target in zip(predicted, targets_of(condition), strict=True):
        drawn += float(np.sum(image, dtype=np.float64))
        wanted += float(np.clip(target, 0, None).sum(dtype=np.float64))
        pair = image_pair(gather(None, None, images=Images(image, np.asarray(target, dtype=np.float64), math.nan)))
        if not isinstance(pair, str):
            errors.append(pair.scaled(pair.gain).error)
    mass = drawn / wanted if wanted > 0 else 1.0
    return {PRIMARY: float(np.mean(errors)) if errors else 1.0, "mass": mass}
