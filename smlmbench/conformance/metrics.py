"""Checks of a metric file: it gives what its card says, in range, and nothing beats the truth."""

import math
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from smlmbench.conformance.checks import Subject, require
from smlmbench.metrics.evidence import Evidence, Facts, Images, SignalFree, gather
from smlmbench.predictions import Localizations
from smlmbench.registry import MetricCard
from smlmbench.render import rasterise, render_table

FIELD_NM = 6400.0
FINE_NM = 25.0
EMITTERS = 400
FRAMES = 20
NEAR = 1e-6


def names_are_those_of_the_card(subject: Subject) -> str:
    """Whatever the evidence, even none at all, each number of the card is given, or one line why not, and no other."""
    wanted = set(_card(subject).gives)
    for what, evidence in _cases().items():
        given = subject.module.measure(evidence)
        require(set(given) == wanted, f"{what}: gives {', '.join(sorted(given))}; the card {', '.join(sorted(wanted))}")
        for name, value in given.items():
            if isinstance(value, str):
                require(len(value) > 0 and "\n" not in value, f"{what}: {name} has no reason of one line")
    return ", ".join(sorted(wanted))


def numbers_are_in_range(subject: Subject) -> str:
    """Numbers are within the ends that the card states."""
    gives = _card(subject).gives
    for what, evidence in _cases().items():
        for name, value in subject.module.measure(evidence).items():
            if isinstance(value, str) or not math.isfinite(value):
                continue
            low, high = gives[name].low, gives[name].high
            fits = (low is None or low - NEAR <= value) and (high is None or value <= high + NEAR)
            require(fits, f"{what}: {name} is {value:g}, the card says {low} to {high}")
    return "as the card says"


def nothing_beats_the_truth(subject: Subject) -> str:
    """The truth scores at least as well as a blurred answer that misses some emitters, in the card's direction."""
    cases, told = _cases(), []
    best, worse = (subject.module.measure(cases[what]) for what in ("the truth", "a poor answer"))
    for name, facts in _card(subject).gives.items():
        pair = best[name], worse[name]
        if facts.direction == "none" or any(isinstance(value, str) or not math.isfinite(value) for value in pair):
            continue
        lead = (pair[0] - pair[1]) * (1 if facts.direction == "up" else -1)
        seen = f"{name}: the truth has {pair[0]:g}, a poor answer {pair[1]:g}"
        require(lead >= -NEAR, f"{seen}; the card says {facts.direction}")
        told.append(name)
    return ", ".join(told) or "no number with a direction"


def _card(subject: Subject) -> MetricCard:
    return cast("MetricCard", subject.card)


def _table(columns: dict[str, NDArray[Any]]) -> Localizations:
    return Localizations.of(columns, n_frames=FRAMES, field_nm=(FIELD_NM, FIELD_NM))


def _cases() -> dict[str, Evidence]:
    """Evidence of the truth itself, of a poor answer, of an empty one, and none."""
    draws = np.random.default_rng(8)
    columns: dict[str, NDArray[Any]] = {
        "frame": np.sort(draws.integers(0, FRAMES, EMITTERS)),
        "x_nm": draws.uniform(0, FIELD_NM, EMITTERS),
        "y_nm": draws.uniform(0, FIELD_NM, EMITTERS),
        "photons": draws.uniform(500, 2000, EMITTERS),
        "probability": np.ones(EMITTERS),
    }
    truth = _table(columns)
    kept = draws.random(EMITTERS) < 0.7
    moved = {name: columns[name] + draws.normal(0, 60, EMITTERS) for name in ("x_nm", "y_nm")}
    poor = _table({name: value[kept] for name, value in (columns | moved).items()})
    side = round(FIELD_NM / FINE_NM)
    picture = rasterise(truth.x_nm, truth.y_nm, (side, side), FINE_NM)
    empty = Localizations.empty(n_frames=FRAMES, field_nm=(FIELD_NM, FIELD_NM))

    def evidence(found: Localizations, image: NDArray[np.floating]) -> Evidence:
        facts = Facts(density_per_um2=EMITTERS / FRAMES / (FIELD_NM / 1e3) ** 2)
        images, dark = Images(image, picture, FINE_NM), SignalFree(empty, 100.0)
        return gather(found, truth, facts=facts, images=images, signal_free=dark)

    return {
        "the truth": evidence(truth, picture),
        "a poor answer": evidence(poor, render_table(poor, (FIELD_NM, FIELD_NM), FINE_NM).values[0]),
        "an empty answer": evidence(empty, np.zeros_like(picture)),
        "no evidence": gather(None, None),
    }
