"""Whether a table of positions belongs to its frames as stated, or one frame, a mirror or half a pixel beside.

Spots that a fitter finds in the frames are held against the table under every reading that people mistake for one
another. Readings are compared by the spots that have an emitter under one of two and not under the other (McNemar):
molecules that stay for several frames then speak for their first and last frame alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.predictions import Floats, Localizations

FRAMES = (-3, -2, -1, 0, 1, 2, 3)
OFFSETS_PX = (-1.0, -0.5, 0.0, 0.5, 1.0)
NEAR_PX = 0.5
REACH_PX = NEAR_PX + 2**0.5 + 1e-6
LEAST_SPOTS, MOST_SPOTS = 30, 5000
SIGMAS = 5.0
CLEAR, SEEN = 0.2, 0.05  # of the spots, more than as stated
ASIDE_PX = 0.2
FARTHEST_NM = 1e12  # rows beyond are of no field
NORMAL_MAD = 1.4826


@dataclass(frozen=True, slots=True)
class Reading:
    """How a table is read: its axes swapped, then mirrored in its field, then moved by frames and camera pixels."""

    swapped: bool = False
    mirrored: tuple[bool, bool] = (False, False)  # x, y
    frames: int = 0
    x_px: float = 0.0
    y_px: float = 0.0

    def __str__(self) -> str:
        axes = " and ".join(axis for axis, is_so in zip("xy", self.mirrored, strict=True) if is_so)
        said = ["x and y swapped"] if self.swapped else []
        said += [f"{axes} mirrored"] if axes else []
        said += [f"{abs(self.frames)} frame{'s' * (abs(self.frames) > 1)} {'later' if self.frames > 0 else 'earlier'}"]
        said = said if self.frames else said[:-1]
        said += [f"moved by {self.x_px:+g} px in x and {self.y_px:+g} px in y"] if self.x_px or self.y_px else []
        return ", ".join(said) or "as stated"

    def certain(self, *, pixel_known: bool) -> bool:
        """Whether it is another reading, and says nothing of pixels where their size is not known."""
        return self != AS_STATED and (pixel_known or not (self.x_px or self.y_px))

    def settings(self, first_frame: int, origin: str) -> dict[str, Any]:
        """What reads a table so, given its first frame and its origin (corner or centre) as stated now."""
        moved: dict[str, Any] = {"first_frame": first_frame - self.frames} if self.frames else {}
        other = {"corner": ("centre", 0.5), "centre": ("corner", -0.5)}
        if self.x_px == self.y_px == other[origin][1]:
            moved["origin"] = other[origin][0]
        return moved

    def by_hand(self, origin: str) -> list[str]:
        """What no setting says, to be changed in the table."""
        axes = [axis for axis, is_so in zip("xy", self.mirrored, strict=True) if is_so]
        left = [f"mirror {' and '.join(axes)} in the table (extent of the field less {axes[0]})"] if axes else []
        if (self.x_px or self.y_px) and "origin" not in self.settings(0, origin):
            left.append(f"add {self.x_px:g} and {self.y_px:g} camera pixels to x and y of the table")
        return left


AS_STATED = Reading()


@dataclass(frozen=True, slots=True)
class Misfit:
    """A reading that fits better than the stated one.

    Attributes:
        reading: It; as stated where only the mean offset is off, or nothing fits.
        clear: At least a fifth of the spots and 5 standard deviations better.
        said: With the numbers: what was found, under which reading.
    """

    reading: Reading
    clear: bool
    said: str


def misfit(
    found: Localizations, truth: Localizations, pixel_nm: float, what: str = "spots that a fitter finds"
) -> Misfit | None:
    """Hold spots of some frames against a table of all; None where it fits as stated, or there is too little to say.

    Args:
        found: Spots, each within about a pixel of its place; frames without any are not looked at, and only as many
            frames as hold some thousand.
        truth: The table, with the field in which axes are mirrored.
        pixel_nm: Camera pixel, > 0.
        what: The spots in words.
    """
    found, truth = (each.select(np.hypot(each.x_nm, each.y_nm) < FARTHEST_NM) for each in (found, truth))
    every = max(1, -(-len(found) // MOST_SPOTS))
    found = found if every == 1 else found.select(np.isin(found.frame, np.unique(found.frame)[::every]))
    if len(found) < LEAST_SPOTS or not len(truth):
        return None
    nearness = dict(_nearness(found, truth, pixel_nm))
    best = max(nearness, key=lambda reading: (float(nearness[reading].sum()), reading == AS_STATED))
    hits, stated = nearness[best] > 0, nearness[AS_STATED] > 0
    more, less = int((hits & ~stated).sum()), int((stated & ~hits).sum())
    share, share_stated = float(hits.mean()), float(stated.mean())
    within = f"an emitter within {NEAR_PX * pixel_nm:.3g} nm"
    said = f"of {len(found)} {what} in {len(np.unique(found.frame))} frames {share_stated:.0%} have {within}"
    if more - less > SIGMAS * (more + less) ** 0.5 and share - share_stated > SEEN:
        otherwise = f"{share:.0%} with the table read otherwise: {best}"
        return Misfit(best, share - share_stated >= CLEAR, f"{said}, and {otherwise}")
    if share_stated < min(CLEAR, 2 * _by_chance(found, truth, pixel_nm) + SIGMAS / len(found)):
        return Misfit(AS_STATED, False, f"{said} as stated, and no other reading of it fits; is it of this movie?")
    return _aside(found.select(stated), truth, pixel_nm, what)


def _nearness(found: Localizations, truth: Localizations, pixel_nm: float) -> Iterator[tuple[Reading, Floats]]:
    """How near each spot (n,) has an emitter under each reading, from 1 (at its place) to 0 (half a pixel or more)."""
    rows = np.isin(truth.frame, np.unique(found.frame[:, None] - np.array(FRAMES)))
    around = truth.select(rows)
    for swapped, *mirrored in product((False, True), repeat=3):
        turned = _turned(around, swapped, mirrored)
        for frames in FRAMES:
            spot, dx, dy = _pairs(found, turned, frames, pixel_nm)
            for x_px, y_px in product(OFFSETS_PX, repeat=2):
                near = np.zeros(len(found))
                np.maximum.at(near, spot, 1 - np.hypot(dx - x_px, dy - y_px) / NEAR_PX)
                yield Reading(swapped, (mirrored[0], mirrored[1]), frames, x_px, y_px), near


def _turned(table: Localizations, swapped: bool, mirrored: list[bool]) -> Localizations:
    places = [table.y_nm, table.x_nm] if swapped else [table.x_nm, table.y_nm]
    x_nm, y_nm = (
        extent - place if is_so else place
        for place, extent, is_so in zip(places, table.field_nm, mirrored, strict=True)
    )
    return replace(table, x_nm=x_nm, y_nm=y_nm)


def _pairs(
    found: Localizations, truth: Localizations, frames: int, pixel_nm: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Rows of spots with an emitter in reach when the table is `frames` later, and how far right and below it (px)."""
    from scipy.spatial import KDTree

    gap = 4 * REACH_PX
    places = [
        np.column_stack((table.x_nm / pixel_nm, table.y_nm / pixel_nm, (table.frame + shift) * gap))
        for table, shift in ((found, 0), (truth, frames))
    ]
    if not min(map(len, places)):
        return np.empty(0, dtype=np.int64), np.empty(0), np.empty(0)
    near = KDTree(places[0]).sparse_distance_matrix(KDTree(places[1]), REACH_PX, output_type="ndarray")
    away = places[0][near["i"]] - places[1][near["j"]]
    return near["i"].astype(np.int64), away[:, 0], away[:, 1]


def _by_chance(found: Localizations, truth: Localizations, pixel_nm: float) -> float:
    """Share of spots anywhere in the field that would have an emitter near them."""
    inside = truth.select(np.isin(truth.frame, found.frame))
    area = truth.field_nm[0] * truth.field_nm[1] * max(1, len(np.unique(found.frame)))
    return float(-np.expm1(-len(inside) * np.pi * (NEAR_PX * pixel_nm) ** 2 / area))


def _aside(found: Localizations, truth: Localizations, pixel_nm: float, what: str) -> Misfit | None:
    """A mean offset that is less than half a pixel and certain."""
    spot, dx, dy = _pairs(found, truth, 0, pixel_nm)
    nearest = np.lexsort((np.hypot(dx, dy), spot))
    first = nearest[np.unique(spot[nearest], return_index=True)[1]]
    if len(first) < LEAST_SPOTS:
        return None
    away = np.stack((dx[first], dy[first]))
    middle = np.median(away, axis=1)
    error = 1.25 * NORMAL_MAD * np.median(np.abs(away - middle[:, None]), axis=1) / len(first) ** 0.5
    off = (np.abs(middle) > ASIDE_PX) & (np.abs(middle) > SIGMAS * error)
    if not off.any():
        return None
    x_nm, y_nm = middle * pixel_nm
    said = f"{len(first)} {what} lie {x_nm:+.3g} nm in x and {y_nm:+.3g} nm in y from the table's"
    return Misfit(AS_STATED, False, f"{said} positions (median)")
