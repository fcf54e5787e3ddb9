"""Checks of a metric file: it gives what its card says, in range, nothing beats the truth, and n/a has a reason."""

import math
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from smlmbench.conformance.checks import Subject, require
from smlmbench.metrics.evidence import Evidence, Facts, Images, SignalFree, gather
from smlmbench.predictions import Localizations
from smlmbench.registry import MetricCard
from smlmbench.render import blur, rasterise, render_table

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
    """Numbers are finite and within the ends that the card states."""
    _require_numbers(subject, _cases())
    return "as the card says"


def nothing_to_score_has_a_reason(subject: Subject) -> str:
    """Where nothing counts on either side, or an image has no value, every number is n/a: not 0, nor an exception."""
    for what, evidence in _void().items():
        for name, value in subject.module.measure(evidence).items():
            require(isinstance(value, str), f"{what}: {name} is {value}; give a reason")
    return ", ".join(_void())


def odd_evidence_has_numbers_or_reasons(subject: Subject) -> str:
    """A side without rows, single rows, unknown values and constant images give numbers in range, or reasons."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _require_numbers(subject, _odd())
    return ", ".join(_odd())


def nothing_beats_the_truth(subject: Subject) -> str:
    """The truth scores at least as well as a blurred answer that misses some emitters, in the card's direction."""
    cases, told = _cases(), {}
    for duo in (("the truth", "a poor answer"), *((each, f"{each}, answered poorly") for each in _scenes())):
        best, worse = (subject.module.measure(cases[what]) for what in duo)
        for name, facts in _card(subject).gives.items():
            pair = best[name], worse[name]
            if facts.direction == "none" or any(isinstance(value, str) for value in pair):
                continue
            lead = (pair[0] - pair[1]) * (1 if facts.direction == "up" else -1)
            seen = f"{name}: {duo[0]} has {pair[0]:g}, {duo[1]} {pair[1]:g}"
            require(lead >= -NEAR, f"{seen}; the card says {facts.direction}")
            told[name] = seen
    return ", ".join(told) or "no number with a direction"


def profiles_are_columns(subject: Subject) -> str:
    """What a metric gives along an axis is columns of one length by name, of finite numbers or None."""
    along = getattr(subject.module, "profile", None)
    if along is None:
        return "no profile"
    told: set[str] = set()
    for what, evidence in {**_cases(), **_void(), **_odd()}.items():
        for name, columns in along(evidence).items():
            lengths = {len(values) for values in columns.values()}
            require(len(lengths) == 1, f"{what}: columns of {name} have lengths {sorted(lengths)}; give one")
            numbers = [value for values in columns.values() for value in values if value is not None]
            require(all(map(math.isfinite, numbers)), f"{what}: {name} has a number that is not finite; give None")
            told.add(name)
    return ", ".join(sorted(told))


def _require_numbers(subject: Subject, cases: Mapping[str, Evidence]) -> None:
    gives = _card(subject).gives
    for what, evidence in cases.items():
        for name, value in subject.module.measure(evidence).items():
            if isinstance(value, str):
                continue
            require(math.isfinite(value), f"{what}: {name} is {value}; give a reason instead")
            low, high = gives[name].low, gives[name].high
            fits = (low is None or low - NEAR <= value) and (high is None or value <= high + NEAR)
            require(fits, f"{what}: {name} is {value:g}, the card says {low} to {high}")


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
    seen = blur(picture, 6.0)[2::4, 2::4]
    empty = Localizations.empty(n_frames=FRAMES, field_nm=(FIELD_NM, FIELD_NM))

    def evidence(found: Localizations, image: NDArray[np.floating]) -> Evidence:
        facts = Facts(density_per_um2=EMITTERS / FRAMES / (FIELD_NM / 1e3) ** 2)
        images, dark = Images(image, picture, FINE_NM, seen), SignalFree(empty, 100.0)
        return gather(found, truth, facts=facts, images=images, signal_free=dark)

    return {
        "the truth": evidence(truth, picture),
        "a poor answer": evidence(poor, render_table(poor, (FIELD_NM, FIELD_NM), FINE_NM).values[0]),
        "an empty answer": evidence(empty, np.zeros_like(picture)),
        "no evidence": gather(None, None),
        **_duos(),
    }


def _scenes() -> dict[str, Localizations]:
    """Truths with all columns: molecules in depth that stay on for some frames, and pairs."""
    draws = np.random.default_rng(9)
    first, length = draws.integers(0, FRAMES - 4, EMITTERS), 4
    who = np.repeat(np.arange(EMITTERS), length)
    place = {name: draws.uniform(0, FIELD_NM, EMITTERS)[who] for name in ("x_nm", "y_nm")}
    place["z_nm"] = draws.uniform(-400, 400, EMITTERS)[who]
    molecules = {"frame": first[who] + np.tile(np.arange(length), EMITTERS), "molecule": who, **place}
    middles = np.arange(1000.0, FIELD_NM - 1000.0, 1500.0)
    x_nm, y_nm, frame = (each.ravel() for each in np.meshgrid(middles, middles, np.arange(FRAMES)))
    half, angle = draws.uniform(25, 250, len(frame)), draws.uniform(0, 2 * math.pi, len(frame))
    dx, dy = half * np.cos(angle), half * np.sin(angle)
    pairs = {
        "frame": np.tile(frame, 2),
        "x_nm": np.concatenate([x_nm - dx, x_nm + dx]),
        "y_nm": np.concatenate([y_nm - dy, y_nm + dy]),
    }
    scenes: dict[str, dict[str, Any]] = {"molecules in depth": molecules, "pairs": pairs}
    return {what: _table(columns | _claims(columns, draws)) for what, columns in scenes.items()}


def _claims(columns: dict[str, Any], draws: np.random.Generator) -> dict[str, Any]:
    """Brightness, score and claimed precision of every row."""
    n = len(columns["frame"])
    sigmas = {f"sigma_{axis}_nm": draws.uniform(10, 30, n) for axis in "xyz"}
    ranges = {"photons": (500, 3000), "background_photons": (5, 20), "probability": (0.2, 1.0)}
    return {name: draws.uniform(*ends, n) for name, ends in ranges.items()} | sigmas


def _duos() -> dict[str, Evidence]:
    """The scenes found perfectly, and with some rows missing, all moved and some of nothing."""
    draws, cases = np.random.default_rng(10), {}
    for what, truth in _scenes().items():
        three_d = bool(np.isfinite(truth.z_nm).any())
        facts = Facts(three_d=three_d, frame_shift=5 if three_d else 1)
        poor = dict(truth.select(draws.random(len(truth)) < 0.6).columns())
        poor.pop("molecule", None)
        for name in ("x_nm", "y_nm", "z_nm"):
            poor[name] = poor[name] + draws.normal(0, 60, len(poor["frame"]))
        n = len(poor["frame"])
        stray = {name: draws.permutation(values) for name, values in poor.items()}
        more = {name: np.concatenate([values, stray[name][: n // 5]]) for name, values in poor.items()}
        cases[what] = gather(truth, truth, facts=facts)
        cases[f"{what}, answered poorly"] = gather(_table(more), truth, facts=facts)
    truth = _scenes()["molecules in depth"]
    flat = replace(truth, z_nm=np.full(len(truth), math.nan))
    cases["a table without depth"] = gather(flat, truth, facts=Facts(three_d=True, frame_shift=5))
    return cases


def _rows(count: int, **columns: float) -> Localizations:
    """Rows apart from each other, in frames of their own, inside all borders."""
    place = 1000.0 + 600.0 * np.arange(count)
    known = {"frame": np.arange(count), "x_nm": place, "y_nm": place, "photons": 500.0 + place}
    return _table(known | {name: np.full(count, value) for name, value in columns.items()})


def _picture(image: NDArray[np.float64], truth: NDArray[np.float64]) -> Evidence:
    return gather(None, None, images=Images(image, truth, FINE_NM))


def _void() -> dict[str, Evidence]:
    """Evidence in which nothing counts."""
    none, picture = _rows(0), np.pad(np.ones((4, 4)), 90)
    nowhere = Localizations.empty(n_frames=0, field_nm=(0.0, 0.0))
    return {
        "no frames": gather(nowhere, nowhere),
        "no rows": gather(none, none),
        "all too dim": gather(_rows(5), _rows(5, photons=0.0)),
        "all in the border": gather(_rows(5, x_nm=100.0), _rows(5, x_nm=100.0)),
        "no position": gather(_rows(5, x_nm=math.nan), _rows(5, x_nm=math.nan)),
        "a blank truth": _picture(picture, np.zeros_like(picture)),
        "a truth below 0": _picture(picture, -picture),
        "an image that is no number": _picture(picture * math.nan, picture),
        "a truth that is no number": _picture(picture, picture * math.nan),
        "an infinite pixel": _picture(np.where(picture > 0, math.inf, 0.0), picture),
        "no pixels": _picture(np.zeros((0, 0)), np.zeros((0, 0))),
        "one pixel": _picture(np.full((1, 1), 2.0), np.ones((1, 1))),
        "signal-free frames without area": gather(None, None, signal_free=SignalFree(none, 0.0)),
        "signal-free frames without end": gather(None, None, signal_free=SignalFree(none, math.inf)),
    }


def _odd() -> dict[str, Evidence]:
    """Evidence with little in it."""
    none, one, two, five, picture = _rows(0), _rows(1), _rows(2), _rows(5), np.pad(np.ones((4, 4)), 90)
    flat, dark = np.ones_like(picture), np.zeros_like(picture)
    single = {name: values[:1] for name, values in one.columns().items()}
    alone = Localizations.of(single, n_frames=1, field_nm=(FIELD_NM, FIELD_NM))
    pictures = {
        "constant images": (7 * flat, 3 * flat),
        "a constant image": (flat, picture),
        "a constant truth": (picture, flat),
        "a blank image": (dark, picture),
        "an inverted image": (-picture, picture),
        "an image that sums to 0": (picture - picture.mean(), picture),
        "one row of pixels": (picture[92:93], picture[92:93] * 2),
        "one lit pixel in the dark": (
            picture,
            np.where(np.arange(picture.size).reshape(picture.shape) == 17000, 1, -9.0),
        ),
        "tiny images": (2e-200 * picture, 1e-200 * picture),
        "huge images": (2e200 * picture, 1e200 * picture),
        "a tiny image": (1e-200 * picture, picture),
        "a huge image": (1e200 * picture, picture),
    }
    return {
        "no detection": gather(none, five),
        "no emitter": gather(five, none),
        "one each": gather(one, one),
        "one each, far apart": gather(one, _rows(1, x_nm=3000.0)),
        "two each": gather(two, two),
        "one frame": gather(alone, alone),
        "detections without a position": gather(_rows(5, x_nm=math.nan), five),
        "detections out of all fields": gather(_rows(5, x_nm=1e12), five),
        "photons unknown": gather(_rows(5, photons=math.nan), _rows(5, photons=math.nan)),
        "photons all alike": gather(_rows(5, photons=800.0), _rows(5, photons=800.0)),
        "photons below 0": gather(_rows(5, photons=-800.0), five),
        "photons of nothing": gather(_rows(5, photons=1e-200), five, facts=Facts(min_photons=0.0)),
        "photons without end": gather(_rows(5, photons=1e300), five),
        "claims of 0": gather(_rows(5, sigma_x_nm=0.0, sigma_y_nm=0.0), five),
        "claims without end": gather(_rows(5, sigma_x_nm=math.inf, sigma_y_nm=1e-300), five),
        "one molecule": gather(five, _rows(5, molecule=7)),
        "a score for each": gather(replace(five, probability=np.arange(5.0)), five),
        "an infinite depth": gather(_rows(5, z_nm=math.inf), _rows(5, z_nm=0.0)),
        "infinite depths": gather(_rows(5, z_nm=math.inf), _rows(5, z_nm=math.inf), facts=Facts(three_d=True)),
        "depths unknown": gather(five, five, facts=Facts(three_d=True)),
        "all neutral but one": gather(five, five, facts=Facts(min_photons=np.where(np.arange(5) == 2, 100.0, 1e9))),
        **{what: _picture(*pair) for what, pair in pictures.items()},
    }
