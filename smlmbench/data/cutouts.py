"""Crops around the positions of a table, cut from its movie."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from smlmbench.movies import Frames, blocks
from smlmbench.predictions import Localizations

BLOCK = 256  # frames that are read at once


@dataclass(frozen=True, slots=True)
class Cutouts:
    """Crops (n, side, side) float32, and the rows (n,) of the table that stand in their middle pixels."""

    crops: NDArray[np.float32]
    rows: NDArray[np.int64]


def cut_out(frames: Frames, table: Localizations, side: int, pixel_nm: float) -> Cutouts:
    """Crops of a side around every position that is alone in its crop and whose crop lies within the field.

    The position stands in the middle pixel of an odd side, right and below of the middle of an even one. Alone is what
    has no other position of the table in its own crop, half a pixel around it included.
    """
    column, line = (np.floor(at / pixel_nm).astype(np.int64) - side // 2 for at in (table.x_nm, table.y_nm))
    inside = (column >= 0) & (column + side <= frames.width) & (line >= 0) & (line + side <= frames.height)
    inside &= (table.frame >= 0) & (table.frame < frames.n_frames)
    rows = np.flatnonzero(inside & ~_crowded(table, (side + 1) / 2 * pixel_nm))
    rows = rows[np.argsort(table.frame[rows], kind="stable")]
    crops = np.empty((len(rows), side, side), dtype=np.float32)
    steps, place = np.arange(side), np.searchsorted(table.frame[rows], np.arange(0, frames.n_frames + BLOCK, BLOCK))
    for number, (start, block) in enumerate(blocks(frames, BLOCK)):
        own = slice(place[number], place[number + 1])
        down, across = (first[rows[own]][:, None] + steps for first in (line, column))
        crops[own] = block[(table.frame[rows[own]] - start)[:, None, None], down[:, :, None], across[:, None]]
    return Cutouts(crops, rows)


def _crowded(table: Localizations, reach_nm: float) -> NDArray[np.bool_]:
    """Which positions (n,) have another one of their frame nearer than the reach along both axes."""
    layer = table.frame.astype(np.float64) * 4 * reach_nm  # frames that no pair can bridge
    tree = cKDTree(np.stack((table.x_nm, table.y_nm, layer), axis=1))
    crowded = np.zeros(len(table), dtype=bool)
    crowded[tree.query_pairs(reach_nm, p=np.inf, output_type="ndarray").reshape(-1)] = True
    return crowded
