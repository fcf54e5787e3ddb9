"""A PSF given as a table of pixel-integrated light, interpolated by cubic B-splines in x, y and z.

The table has `FINE` offsets per camera pixel. The next pixel is a whole number of offsets away, so all of a window
have the same 4 x 4 x 4 spline weights: a window is a weighted sum of 64 tiles that lie ready in memory.
Source of the splines: Unser 1999, doi:10.1109/79.799930.
"""

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from smlmbench.errors import ConfigError
from smlmbench.psf.contracts import Psf, Shapes, Stand, Window

FINE = 4  # offsets per camera pixel, even
PHASES = FINE + 3  # offsets of a tile's first pixel, so that four neighbours always are of one tile
LEAST = 4  # planes of a spline
NOTHING = 1e-30  # light that would be slow to add up, as float32 has no proper digits for it
HAIR = 1e-6  # planes by which a depth may lie outside by rounding


class Table(NamedTuple):
    """Light in a camera pixel by its centre's offset from the emitter, and by the emitter's depth.

    The values are (planes, channels, FINE side, FINE side), y along the third axis; element i of an axis is the offset
    of (i - FINE side / 2) / FINE pixels. One plane alone is the same at every depth.
    """

    values: npt.NDArray[np.float64]
    first_z_nm: float = 0.0
    pitch_nm: float = 1.0


@dataclass(frozen=True, slots=True)
class _Tiles:
    """Spline coefficients by plane and phases of both axes (rows, channels side side)."""

    rows: torch.Tensor
    planes: int
    channels: int
    side: int
    first_z_nm: float
    pitch_nm: float


class Tabled(Psf):
    """A PSF that gives its table; light, slopes and gradients are interpolated from it."""

    def __init__(self) -> None:
        self._held: dict[tuple[float, torch.dtype], _Tiles] = {}

    @abstractmethod
    def tabulate(self, pixel_size_nm: float) -> Table:
        """The table for camera pixels of a size; its side is `side_px`, its planes hold all of `depth_nm`."""

    def side_px(self, pixel_size_nm: float) -> int:
        """Odd number of camera pixels along the side of the table, by the reach."""
        return 2 * math.ceil(self.reach_nm / pixel_size_nm) + 1

    def shapes(self, n: int, generator: torch.Generator) -> Shapes:
        """All emitters are alike."""
        del n, generator
        return {}

    def light(self, stand: Stand, shapes: Shapes, window: Window) -> torch.Tensor:
        """From the table in float64; a ConfigError for depths outside `depth_nm`."""
        del shapes
        return self._of(stand, window, torch.float64)

    def drawn(self, stand: Stand, shapes: Shapes, window: Window, dtype: torch.dtype) -> torch.Tensor:
        """From a table of that type."""
        del shapes
        return self._of(stand, window, dtype)

    def slopes(self, stand: Stand, shapes: Shapes, window: Window) -> tuple[torch.Tensor, torch.Tensor]:
        """By the splines' own derivatives, to the digits of float32: far below what the table itself is off."""
        del shapes
        light, *along = (self._of(stand, window, torch.float32, axis).double() for axis in (None, 0, 1, 2))
        step_nm = [window.pixel_size_nm / -FINE] * 2 + [self._tiles(window.pixel_size_nm, torch.float32).pitch_nm]
        return light, torch.stack(along, dim=1) / torch.tensor(step_nm, dtype=torch.float64).view(1, 3, 1, 1, 1)

    def _of(self, stand: Stand, window: Window, dtype: torch.dtype, slope: int | None = None) -> torch.Tensor:
        """Light on windows, or its derivative along x, y or z (0, 1, 2) by one step of the table."""
        tiles = self._tiles(window.pixel_size_nm, dtype)
        weights, places, shifts = [], [], []
        for axis, at in enumerate((stand.x_nm, stand.y_nm)):
            # of the window's first pixel, in steps of the table, whose coefficients begin one step further out
            step = FINE * (0.5 - at / window.pixel_size_nm + tiles.side / 2) + 1
            before = step.detach().ceil().long() - 1
            weights.append((_slopes if slope == axis else _weights)(step - before))
            shifts.append((before - 1).div(FINE, rounding_mode="floor"))
            places.append((before - 1).remainder(FINE))
        rows = torch.arange(4) + places[0][:, None]
        rows = ((torch.arange(4) + places[1][:, None]) * PHASES)[:, :, None] + rows[:, None]
        share = weights[1][:, :, None] * weights[0][:, None]
        if tiles.planes > 1:
            deep, low = self._depths(stand.z_nm, tiles, _slopes if slope == 2 else _weights)
            rows = ((torch.arange(4) + low[:, None]) * PHASES**2)[:, :, None, None] + rows[:, None]
            share = deep[:, :, None, None] * share[:, None]
        elif slope == 2:
            share = share * 0.0
        found = torch.nn.functional.embedding_bag(
            rows.flatten(1), tiles.rows, per_sample_weights=share.flatten(1).to(dtype), mode="sum"
        )
        return _placed(found.view(-1, tiles.channels, tiles.side, tiles.side), shifts[0], shifts[1], window.side_px)

    def _depths(
        self, z_nm: torch.Tensor, tiles: _Tiles, law: Callable[[torch.Tensor], torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights (n, 4) along z and the first plane of each."""
        step = (z_nm - tiles.first_z_nm) / tiles.pitch_nm
        low, high = self.depth_nm or (tiles.first_z_nm, tiles.first_z_nm + tiles.pitch_nm * (tiles.planes - 1))
        least, most = (float(f(z_nm.detach())) if len(z_nm) else low for f in (torch.min, torch.max))
        if least < low - HAIR * tiles.pitch_nm or most > high + HAIR * tiles.pitch_nm:
            said = f"depths of {least:g} to {most:g} nm leave those of the PSF, {low:g} to {high:g} nm"
            raise ConfigError(f"{said}; give z_nm within them")
        before = step.detach().floor().long().clamp(0, tiles.planes - 2)
        return law(step - before), before

    def _tiles(self, pixel_size_nm: float, dtype: torch.dtype) -> _Tiles:
        key = (float(pixel_size_nm), dtype)
        if key not in self._held:
            if dtype == torch.float64:
                self._held[key] = _cut(self.tabulate(pixel_size_nm))
            else:
                exact = self._tiles(pixel_size_nm, torch.float64)
                rest = (exact.planes, exact.channels, exact.side, exact.first_z_nm, exact.pitch_nm)
                self._held[key] = _Tiles(exact.rows.to(dtype), *rest)
        return self._held[key]


def offsets_nm(side_px: int, pixel_size_nm: float) -> npt.NDArray[np.float64]:
    """Offsets of pixel centres from the emitter along one axis of a table, (FINE side,)."""
    return (np.arange(FINE * side_px) / FINE - side_px / 2) * pixel_size_nm


def squares_nm(side_px: int, pixel_size_nm: float) -> npt.NDArray[np.float64]:
    """Edges along one axis of the fine squares that `summed` takes, as offsets from the emitter, (FINE (side + 1),)."""
    return (np.arange(FINE * (side_px + 1)) / FINE - (side_px + 1) / 2) * pixel_size_nm


def summed(light: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Values of a table from light in fine squares (..., FINE side + FINE - 1, the same): a pixel has FINE^2."""
    for axis in (-2, -1):
        windows = np.lib.stride_tricks.sliding_window_view(light, FINE, axis=axis)
        light = windows.sum(axis=-1)
    return light


def _cut(table: Table) -> _Tiles:
    from scipy.ndimage import spline_filter1d

    values = np.asarray(table.values, dtype=np.float64)
    planes, channels, size = values.shape[:3]
    if 1 < planes < LEAST:
        raise ConfigError(f"{planes} planes of depth are too few for a spline; give 1, or at least {LEAST}")
    for axis in (2, 3):  # there is next to no light at these borders, whatever is beyond
        values = spline_filter1d(values, order=3, axis=axis, mode="mirror")
    values = np.pad(values, [(0, 0), (0, 0), (1, 2), (1, 2)], mode="reflect")
    if planes > 1:
        values = _along_z(values)
    side = size // FINE
    steps = np.arange(side) * FINE
    cut = np.stack(
        [np.stack([values[:, :, y + steps[:, None], x + steps] for x in range(PHASES)], axis=1) for y in range(PHASES)],
        axis=1,
    )
    rows = torch.from_numpy(np.ascontiguousarray(cut.reshape(-1, channels * side * side)))
    rows[rows.abs() < NOTHING] = 0.0
    return _Tiles(rows, planes, channels, side, table.first_z_nm, table.pitch_nm)


def _along_z(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Coefficients of planes, with one more at each end, so that the slope at the ends is free ("not a knot")."""
    planes = len(values)
    system = np.eye(planes + 2) * 2 / 3 + (np.eye(planes + 2, k=1) + np.eye(planes + 2, k=-1)) / 6
    system[0, :5] = system[-1, -5:] = (1.0, -4.0, 6.0, -4.0, 1.0)
    wanted = np.pad(values, [(1, 1), (0, 0), (0, 0), (0, 0)])
    solved = np.linalg.solve(system, wanted.reshape(planes + 2, -1)).astype(np.float64, copy=False)
    return solved.reshape(wanted.shape)


def _weights(past: torch.Tensor) -> torch.Tensor:
    """Of four neighbours (n, 4), the place being `past` steps (0 to 1) behind the second."""
    less = 1 - past
    first, last = less**3 / 6, past**3 / 6
    second, third = 2 / 3 - past**2 * (1 - past / 2), 2 / 3 - less**2 * (1 - less / 2)
    return torch.stack([first, second, third, last], dim=-1)


def _slopes(past: torch.Tensor) -> torch.Tensor:
    """Derivatives of those by one step."""
    less = 1 - past
    return torch.stack([-(less**2), past * (3 * past - 4), -less * (3 * less - 4), past**2], dim=-1) / 2


def _placed(tiles: torch.Tensor, right: torch.Tensor, down: torch.Tensor, side_px: int) -> torch.Tensor:
    """Tiles on windows: pixel (y, x) of a window is (y + down, x + right) of its tile, 0 outside it."""
    n, channels, side = tiles.shape[:3]
    if n and side == side_px and not bool(right.any() or down.any()):
        return tiles
    lines, columns = (torch.arange(side_px) + shift[:, None] for shift in (down, right))
    inside = ((lines >= 0) & (lines < side))[:, :, None] & ((columns >= 0) & (columns < side))[:, None]
    at = lines.clamp(0, side - 1)[:, :, None] * side + columns.clamp(0, side - 1)[:, None]
    at = at.view(n, 1, side_px**2).expand(n, channels, side_px**2)
    return tiles.reshape(n, channels, side**2).gather(2, at).view(n, channels, side_px, side_px) * inside[:, None]
