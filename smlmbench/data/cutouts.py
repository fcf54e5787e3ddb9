"""Crops around positions, cut from a movie: where they lie, which fit and stand alone, and their pixels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from smlmbench.movies import Extent, Frames, blocks
from smlmbench.predictions import Floats, Ints, Localizations

BLOCK_VALUES = 1 << 23  # of the frames that are read at once


@dataclass(frozen=True, slots=True)
class Boxes:
    """Where crops of `tall` x `wide` pixels lie: their frames and upper left pixels (n,)."""

    frame: Ints
    left: Ints
    top: Ints
    tall: int
    wide: int

    @classmethod
    def around(cls, table: Localizations, pixel_nm: float, tall: int, wide: int) -> Self:
        """Around the pixel of each position: the middle one of an odd side, right and below of that of an even one."""
        left, top = (
            np.floor(at / pixel_nm).astype(np.int64) - side // 2
            for at, side in ((table.x_nm, wide), (table.y_nm, tall))
        )
        return cls(table.frame, left, top, tall, wide)

    @classmethod
    def nearest(cls, frame: Ints, x_px: Floats, y_px: Floats, side: int, moved: Sequence[Any] | Ints = (0, 0)) -> Self:
        """Square ones whose middles are nearest to positions in pixels, moved by whole pixels along x and y."""
        left, top = (np.round(at - side / 2).astype(np.int64) + by for at, by in zip((x_px, y_px), moved, strict=True))
        return cls(frame, left, top, side, side)

    def rows(self, which: Ints) -> "Boxes":
        """Some of them."""
        return Boxes(self.frame[which], self.left[which], self.top[which], self.tall, self.wide)

    def within(self, frames: Extent) -> NDArray[np.bool_]:
        """Which lie in a movie."""
        inside = (self.left >= 0) & (self.left + self.wide <= frames.width)
        inside &= (self.top >= 0) & (self.top + self.tall <= frames.height)
        return inside & (self.frame >= 0) & (self.frame < frames.n_frames)

    def pieces(self, frames: Frames, which: Ints) -> Iterator[tuple[Ints, NDArray[np.float32], int]]:
        """Some of them, block by block of a movie: which, their pixels (n, tall, wide), and the frames done."""
        order = which[np.argsort(self.frame[which], kind="stable")]
        frame, down, across = self.frame[order], np.arange(self.tall), np.arange(self.wide)
        for start, block in blocks(frames, max(1, BLOCK_VALUES // (frames.height * frames.width))):
            stop = start + len(block)
            rows = order[slice(*np.searchsorted(frame, (start, stop)))]
            lines, columns = self.top[rows, None] + down, self.left[rows, None] + across
            yield rows, block[(self.frame[rows] - start)[:, None, None], lines[:, :, None], columns[:, None]], stop

    def cut(self, frames: Frames) -> NDArray[np.float32]:
        """The pixels of all, (n, tall, wide); all must lie in the movie."""
        found = np.empty((len(self.frame), self.tall, self.wide), dtype=np.float32)
        for rows, crops, _ in self.pieces(frames, np.arange(len(self.frame))):
            found[rows] = crops
        return found


@dataclass(frozen=True, slots=True)
class Cutouts:
    """Crops (n, side, side) float32, and the rows (n,) of the table that stand in their middle pixels."""

    crops: NDArray[np.float32]
    rows: Ints


def cut_out(frames: Frames, table: Localizations, side: int, pixel_nm: float) -> Cutouts:
    """Crops of a side around every position that is alone in its crop and whose crop lies within the field.

    Alone is what has no other position of the table in its own crop, half a pixel around it included.
    """
    boxes = Boxes.around(table, pixel_nm, side, side)
    rows = np.flatnonzero(boxes.within(frames) & ~crowded(table, (side + 1) / 2 * pixel_nm))
    rows = rows[np.argsort(table.frame[rows], kind="stable")]
    return Cutouts(boxes.rows(rows).cut(frames), rows)


def crowded(table: Localizations, reach_nm: float) -> NDArray[np.bool_]:
    """Which positions (n,) have another one of their frame within the reach along both axes."""
    layer = table.frame.astype(np.float64) * 4 * reach_nm  # frames that no pair can bridge
    tree = cKDTree(np.stack((table.x_nm, table.y_nm, layer), axis=1))
    found = np.zeros(len(table), dtype=bool)
    found[tree.query_pairs(reach_nm, p=np.inf, output_type="ndarray").reshape(-1)] = True
    return found
