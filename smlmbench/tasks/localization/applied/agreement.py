"""Do rows find the same? Pairs within 250 nm of each frame, between every two tables of one movie."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from smlmbench.metrics.matching import assign, near_pairs
from smlmbench.predictions import Localizations
from smlmbench.tasks.contracts.applied import Grid

WITHIN_NM = 250.0
MOST_ROWS = 400_000  # of both tables of a pair; of longer ones the first frames


@dataclass(frozen=True, slots=True)
class Agreement:
    """Jaccard index (0 ... 1), root mean square distance of the pairs in nm (NaN without any), what chance makes."""

    jaccard: float
    rms_nm: float
    chance: float


def agreement(one: Localizations, other: Localizations) -> Agreement | None:
    """Of two tables of the same movie, nearest pairs first, laterally; None where neither has a row."""
    if not len(one) and not len(other):
        return None
    jaccard, rms_nm = _paired(one, other)
    frames = max(1, one.n_frames, other.n_frames)
    turned = replace(other, frame=(other.frame + frames // 2) % frames)  # other frames of the same sample
    return Agreement(jaccard, rms_nm, _paired(one, turned)[0])


def _paired(one: Localizations, other: Localizations) -> tuple[float, float]:
    near = near_pairs(one, other, lateral_nm=WITHIN_NM, axial_nm=WITHIN_NM, three_d=False)
    pairs = assign(near)
    at = (getattr(table, axis)[rows] for axis in ("x_nm", "y_nm")
          for table, rows in ((one, pairs.found), (other, pairs.truth)))  # fmt: skip
    x, x_other, y, y_other = at
    rms_nm = float(np.sqrt(np.mean((x - x_other) ** 2 + (y - y_other) ** 2))) if pairs.n_matched else float("nan")
    return pairs.n_matched / (len(one) + len(other) - pairs.n_matched), rms_nm


def matrix(tables: Mapping[str, Localizations]) -> Grid | None:
    """Every row against every other; None with fewer than two tables."""
    if len(tables) < 2:
        return None
    shown, frames = _stretch(tables)
    found = {pair: agreement(shown[pair[0]], shown[pair[1]]) for pair in combinations(shown, 2)}
    every = found | {(other, one): value for (one, other), value in found.items()}
    rows = tuple((one, *("–" if one == other else _said(every[one, other]) for other in shown)) for one in shown)
    chance = max((value.chance for value in found.values() if value is not None), default=0.0)
    part = f" of the first {frames} frames" if frames else ""
    caption = (
        f"Agreement{part}: Jaccard index of the pairs within {WITHIN_NM:g} nm, and their root mean square distance."
        f" Tables shifted by half the movie reach at most {chance:.2f} (the structure alone)."
    )
    return Grid(caption, ("Row", *shown), rows)


def _said(found: Agreement | None) -> str:
    if found is None:
        return "both found nothing"
    return f"{found.jaccard:.2f}" + ("" if np.isnan(found.rms_nm) else f", {found.rms_nm:.3g} nm")


def _stretch(tables: Mapping[str, Localizations]) -> tuple[dict[str, Localizations], int]:
    """The tables, cut to the frames that two of them may have rows in; how many these are, 0 for all."""
    fullest = max(len(table) for table in tables.values())
    if 2 * fullest <= MOST_ROWS:
        return dict(tables), 0
    frames = min(int(np.sort(table.frame)[MOST_ROWS // 2]) for table in tables.values() if 2 * len(table) > MOST_ROWS)
    frames = max(1, frames)
    cut = {name: replace(table.select(table.frame < frames), n_frames=frames) for name, table in tables.items()}
    return cut, frames
