"""From pairs to per-frame sums: what is found, missed, false or neutral under each protocol (PROTOCOL section 1).

A protocol is two masks per table: which rows may be paired, and which count. A pair counts by its true emitter, an
unmatched row by itself; whatever does not count is neutral.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import gcd

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import SizeError, UnitError
from smlmbench.metrics.matching import Matches, NearPairs, near_pairs
from smlmbench.predictions import Floats, Localizations
from smlmbench.study.schema import Scoring

Mask = NDArray[np.bool_]

SUMS = ("tp", "fp", "fn", "neutral", "lateral_sq", "axial_sq", "dx", "dy", "dz")
"""Columns of the per-frame sums: counts (`neutral`: detections that do not count), squared errors in nm2, and signed
errors (found - true) in nm; axial ones are 0 where the z of a pair is unknown, all NaN where a 3-D condition is scored
in 2-D because a table has none (`evidence.gather`)."""


@dataclass(frozen=True, slots=True)
class Roles:
    """Which rows of both tables take part and which count; boolean masks.

    Attributes:
        found_present, truth_present: May be paired.
        found_counted: Is a false positive where unmatched.
        truth_counted: Is a true positive where paired, a miss where not.
        facts: What was decided on the way (the brightness threshold).
    """

    found_present: Mask
    found_counted: Mask
    truth_present: Mask
    truth_counted: Mask
    facts: Mapping[str, float] = field(default_factory=dict)


def inside(table: Localizations, field_nm: tuple[float, float], border_nm: float) -> Mask:
    """Rows strictly inside a border of the field; a border of 0 keeps every row, also those outside the field."""
    if border_nm == 0:
        return np.ones(len(table), dtype=bool)
    x_nm, y_nm, (width, height) = table.x_nm, table.y_nm, field_nm
    return (x_nm > border_nm) & (x_nm < width - border_nm) & (y_nm > border_nm) & (y_nm < height - border_nm)


def challenge_roles(found: Localizations, truth: Localizations, *, border_nm: float, quantile: float = 0.0) -> Roles:
    """Roles under `challenge-2016`: both tables are cut at the border (450 nm) of the truth's field, then matched.

    Emitters with at most T photons are dim, T = floor(quantile of the photons inside the border), or 0 at quantile 0.
    Unknown photons are bright.

    Raises:
        UnitError: A quantile of photons that are unknown.

    Source:
        The challenge's Matlab assessment; its quantile interpolates between (k - 0.5) / n, which numpy calls hazen.
    """
    found_inside, truth_inside = (inside(table, truth.field_nm, border_nm) for table in (found, truth))
    threshold = 0.0
    if quantile > 0 and truth_inside.any():
        photons = truth.photons[truth_inside]
        if np.isnan(photons).any():
            raise UnitError("the brightness threshold needs the photons of every true emitter; give them, or use T = 0")
        threshold = float(np.floor(np.quantile(photons, quantile, method="hazen")))
    bright = ~(truth.photons <= threshold)
    return Roles(found_inside, found_inside, truth_inside, truth_inside & bright, {"photon_threshold": threshold})


def roles(found: Localizations, truth: Localizations, *, scoring: Scoring, min_photons: float | Floats) -> Roles:
    """Roles under the protocol that a scoring names: `challenge-2016` with T = 0, or `smlmbench-1`.

    Under that everything is matched, the inside (of the truth's field) and the bright count; emitters dimmer than
    `min_photons` (strictly; one number or one each) are neutral. Unknown photons are bright.
    """
    if scoring.protocol == "challenge-2016":
        return challenge_roles(found, truth, border_nm=scoring.border_nm)
    bright = ~(truth.photons < min_photons)
    everything_found, everything_true = np.ones(len(found), dtype=bool), np.ones(len(truth), dtype=bool)
    found_inside, truth_inside = (inside(table, truth.field_nm, scoring.border_nm) for table in (found, truth))
    return Roles(everything_found, found_inside, everything_true, truth_inside & bright)


def pairs_of(found: Localizations, truth: Localizations, who: Roles, *, scoring: Scoring, three_d: bool) -> NearPairs:
    """Candidate pairs among the rows that take part, at the tolerances of a scoring."""
    near = near_pairs(found, truth, lateral_nm=scoring.lateral_nm, axial_nm=scoring.axial_nm, three_d=three_d)
    return taking_part(near, who)


def taking_part(near: NearPairs, who: Roles) -> NearPairs:
    """The candidate pairs of which both ends take part."""
    if who.found_present.all() and who.truth_present.all():
        return near
    return near.keep(who.found_present[near.found] & who.truth_present[near.truth])


def pool(found: Localizations, truth: Localizations, matches: Matches, who: Roles) -> Floats:
    """Sum the outcome of every frame.

    Detections in frames that the truth does not have are counted in the nearest frame it has, so that every row of a
    condition has the same number of frames.

    Returns:
        (F, len(SUMS)) with F the truth's number of frames.

    Raises:
        SizeError: True emitters outside the truth's own frames.
    """
    n_frames = truth.n_frames
    if len(truth) and (truth.frame.min() < 0 or truth.frame.max() >= n_frames):
        first, last = int(truth.frame.min()), int(truth.frame.max())
        raise SizeError(f"true emitters in frames {first} to {last} of a movie of {n_frames}; frames count from 0")
    if n_frames == 0:
        return np.zeros((0, len(SUMS)))
    frame_found = np.clip(found.frame, 0, n_frames - 1)
    hit = who.truth_counted[matches.truth]
    f, t = matches.found[hit], matches.truth[hit]
    false = matches.unmatched_found[who.found_counted[matches.unmatched_found]]
    missed = matches.unmatched_truth[who.truth_counted[matches.unmatched_truth]]
    with np.errstate(invalid="ignore"):  # depths may be infinite
        dx, dy, dz = (getattr(found, axis)[f] - getattr(truth, axis)[t] for axis in ("x_nm", "y_nm", "z_nm"))
    dz = np.where(np.isfinite(dz), dz, 0.0)
    neutral = np.setdiff1d(np.arange(len(found)), np.concatenate([f, false]), assume_unique=True)
    where = frame_found[f]
    # in the order of SUMS
    counted = (where, frame_found[false], truth.frame[missed], frame_found[neutral])
    summed = (dx**2 + dy**2, dz**2, dx, dy, dz)
    counts = [np.bincount(frames, minlength=n_frames) for frames in counted]
    return np.column_stack([*counts, *(np.bincount(where, weights, n_frames) for weights in summed)]).astype(np.float64)


def chance_shift(n_frames: int, at_least: int) -> int | None:
    """Smallest cyclic shift that is coprime with the number of frames and keeps frames `at_least` apart both ways.

    None where the movie is too short for one.
    """
    least = max(1, at_least)
    return next((shift for shift in range(least, n_frames - least + 1) if gcd(shift, n_frames) == 1), None)
