"""What a metric may look at: one prediction and its truth on one condition, matched once and pooled once."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import SizeError
from smlmbench.metrics.matching import Matches, NearPairs, assign, near_pairs
from smlmbench.metrics.pooling import SUMS, Roles, pairs_of, pool, roles, taking_part
from smlmbench.predictions import Floats, Ints, Localizations
from smlmbench.study.schema import Scoring
from smlmbench.truths.bounds import Bounds


@dataclass(frozen=True, slots=True)
class Facts:
    """How a condition is scored, and what is known of it.

    Attributes:
        scoring: Protocol, matcher, tolerances, border.
        three_d: True where z is scored too; `gather` makes it False where a table has no z at all.
        flat: Why there are no axial numbers where it is False.
        min_photons: Dimmer emitters are neutral; one number, or one per true emitter.
        frame_shift: Smallest cyclic frame shift for chance scores (1 where frames are independent).
        density_per_um2: Emitters of at least min_photons per frame and area, NaN where unknown.
        field_known: False for bare tables whose field was only taken from their extent: no border can be drawn.
    """

    scoring: Scoring = field(default_factory=Scoring)
    three_d: bool = False
    flat: str = "scored in 2-D"
    min_photons: float | Floats = 100.0
    frame_shift: int = 1
    density_per_um2: float = float("nan")
    field_known: bool = True


@dataclass(frozen=True, slots=True)
class Images:
    """Fine image of a prediction and of the truth on one grid; either may be absent.

    Attributes:
        image: Summed over all frames, float (H, W), any gain.
        truth: The same of the truth, rendered by the reference's kernel, float64 (H, W).
        fine_pixel_nm: Pitch of the grid.
        mean_frame: Mean of the frames that were looked at, in camera pixels, float (h, w), in their unit.
        others: True images (m, H, W) of the other colours of the field, which should not be seen in the image.
    """

    image: NDArray[np.floating] | None = None
    truth: NDArray[np.float64] | None = None
    fine_pixel_nm: float = float("nan")
    mean_frame: NDArray[np.floating] | None = None
    others: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class SignalFree:
    """What was found on the extra frames without emitters, and the area of one frame times their number."""

    found: Localizations | None = None
    area_um2: float = float("nan")


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a metric may look at; build with `gather`.

    Attributes:
        found, truth: The two tables, None where there is none.
        roles: Which rows take part and count under the headline protocol; None without both tables.
        near: All candidate pairs at the headline's tolerances; None without both tables.
        matches: Headline pairs, as row numbers of `found` and `truth`; None without both tables.
        sums: Per-frame sums (F, len(pooling.SUMS)), float64; None without both tables.
        image, truth_image, fine_pixel_nm, mean_frame, others: See `Images`.
        signal_free_found, signal_free_area_um2: See `SignalFree`.
        limit: Bounds of the true emitters, row by row.
        reasons: Why a part is missing, by its name: found, truth, image, truth_image, mean_frame, others, signal_free,
            limit.
    """

    found: Localizations | None
    truth: Localizations | None
    roles: Roles | None
    near: NearPairs | None
    matches: Matches | None
    sums: Floats | None
    facts: Facts = field(default_factory=Facts)
    image: NDArray[np.floating] | None = None
    truth_image: NDArray[np.float64] | None = None
    fine_pixel_nm: float = float("nan")
    signal_free_found: Localizations | None = None
    signal_free_area_um2: float = float("nan")
    mean_frame: NDArray[np.floating] | None = None
    limit: Bounds | None = None
    others: NDArray[np.float64] | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def density_per_um2(self) -> float:
        """Of the facts, for metrics of plug-ins."""
        return self.facts.density_per_um2

    @property
    def frame_shift(self) -> int:
        """Of the facts, for metrics of plug-ins."""
        return self.facts.frame_shift

    def missing(self, *parts: str) -> str | None:
        """Why the first absent one of these parts is absent, or None if all are there."""
        for part in parts:
            if getattr(self, "signal_free_found" if part == "signal_free" else part) is None:
                return self.reasons.get(part, DEFAULT_REASONS[part])
        return None


DEFAULT_REASONS = {
    "found": "this row gives no table of localizations",
    "truth": "the condition has no true positions",
    "image": "this row gives no image",
    "truth_image": "the condition has no true image",
    "mean_frame": "no frames were given",
    "others": "there is one colour alone",
    "signal_free": "the condition has no signal-free frames",
    "limit": "the bound of the true emitters is not known",
}


@dataclass(frozen=True, slots=True)
class Tables:
    """Both tables of one scoring, all parts present: what metrics of positions work on."""

    found: Localizations
    truth: Localizations
    roles: Roles
    near: NearPairs
    matches: Matches
    sums: Floats
    facts: Facts

    def pairs(self, who: Roles, scoring: Scoring) -> NearPairs:
        """Candidate pairs among the rows that take part; the headline's serve where no tolerance is wider."""
        own = self.facts.scoring
        if scoring.lateral_nm > own.lateral_nm or (self.facts.three_d and scoring.axial_nm != own.axial_nm):
            return pairs_of(self.found, self.truth, who, scoring=scoring, three_d=self.facts.three_d)
        near = self.near if scoring.lateral_nm == own.lateral_nm else self.near.within(scoring.lateral_nm)
        return taking_part(near, who)

    def score(self, who: Roles, scoring: Scoring) -> Floats:
        """Per-frame sums (F, len(pooling.SUMS)) under other roles or another scoring."""
        return pool(self.found, self.truth, assign(self.pairs(who, scoring), scoring.matcher), who)

    @property
    def hits(self) -> tuple[Ints, Ints]:
        """Rows of `found` and of `truth` of the pairs that count, int64 (tp,) each."""
        counted = self.roles.truth_counted[self.matches.truth]
        return self.matches.found[counted], self.matches.truth[counted]

    @property
    def pooled(self) -> Floats:
        """Sums over all frames, (len(pooling.SUMS),)."""
        total: Floats = self.sums.sum(axis=0)
        return total


def tables_of(evidence: Evidence) -> Tables | str:
    """The tables of an evidence with their matches, or the reason why there are none."""
    reason = evidence.missing("found", "truth")
    e = evidence
    if reason or e.found is None or e.truth is None:
        return reason or "the tables were not matched"
    if e.roles is None or e.near is None or e.matches is None or e.sums is None:
        return "the tables were not matched"
    return Tables(e.found, e.truth, e.roles, e.near, e.matches, e.sums, e.facts)


def gather(
    found: Localizations | None,
    truth: Localizations | None,
    *,
    facts: Facts | None = None,
    images: Images | None = None,
    signal_free: SignalFree | None = None,
    limit: Bounds | None = None,
    reasons: Mapping[str, str] | None = None,
) -> Evidence:
    """Match once, pool once, and put together what the metrics look at; see `Evidence`.

    The truth is all true emitters, dim ones included. By default it is scored by the headline protocol in 2-D, and in
    any case where the found or the true table has rows but no z.

    Raises:
        SizeError: Images that are not (H, W) of one shape, thresholds that are not one per emitter, or true emitters
            outside the movie.
    """
    facts, images, signal_free = facts or Facts(), images or Images(), signal_free or SignalFree()
    shapes = [image.shape for image in (images.image, images.truth) if image is not None]
    if any(len(shape) != 2 for shape in shapes) or len(set(shapes)) > 1:
        raise SizeError(f"images of shape {' and '.join(map(str, shapes))}; give (H, W) on one grid for both")
    who, near, matches, sums = None, None, None, None
    if found is not None and truth is not None:
        asked, facts = facts, _seen_in(found, truth, facts)
        if np.ndim(facts.min_photons) and np.shape(facts.min_photons) != (len(truth),):
            shape = np.shape(facts.min_photons)
            raise SizeError(f"min_photons of shape {shape} for {len(truth)} emitters; give one each or one number")
        who = roles(found, truth, scoring=facts.scoring, min_photons=facts.min_photons)
        axial_nm, three_d = facts.scoring.axial_nm, facts.three_d
        near = near_pairs(found, truth, lateral_nm=facts.scoring.lateral_nm, axial_nm=axial_nm, three_d=three_d)
        matches = assign(taking_part(near, who), facts.scoring.matcher)
        sums = pool(found, truth, matches, who)
        if asked.three_d and not facts.three_d:
            sums[:, [SUMS.index("axial_sq"), SUMS.index("dz")]] = np.nan
    seen = (images.image, images.truth, images.fine_pixel_nm, signal_free.found, signal_free.area_um2)
    tables, why = (found, truth, who, near, matches, sums), dict(reasons or {})
    return Evidence(*tables, facts, *seen, mean_frame=images.mean_frame, limit=limit, others=images.others, reasons=why)


def _seen_in(found: Localizations, truth: Localizations, facts: Facts) -> Facts:
    """The facts, in 2-D where a table has rows but no z: neither all missed nor a depth error of 0 would be true.

    Its axial sums are NaN then, so that all that is made of stored sums (intervals, differences) knows it too.
    """
    if not facts.three_d:
        return facts
    for said, table in (("the found table", found), ("the true table", truth)):
        if len(table) and np.isnan(table.z_nm).all():
            return replace(facts, three_d=False, flat=f"{said} has no z: scored in 2-D")
    return facts
