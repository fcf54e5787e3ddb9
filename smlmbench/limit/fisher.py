"""The joint Fisher matrix of frames: x, y (and z) and photons of every emitter, one level of background.

I_mn = sum over pixels of w d_m mu d_n mu with w the information of a pixel per squared photo-electron (1 / mu for
Poisson). A frame is cut into tiles; emitters that share no tile have no common entry.
Source: Smith et al. 2010, doi:10.1038/nmeth.1449; with neighbours Ram et al. 2006, doi:10.1073/pnas.0508047103.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from smlmbench.limit.scene import Scene
from smlmbench.psf.contracts import Stand, Window

DARK = 1e-6  # photo-electrons that a pixel has at least: none at all would be certain of everything
TILES_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Tiles:
    """Square tiles of frames; those that hold about as many emitters stand together.

    Attributes:
        side: In pixels, at least that of a window, so that an emitter touches four tiles at most.
        down, across: Number of tiles of a frame.
        count: Emitters that touch each tile, (n_frames * down * across,).
        slot: Which place each emitter has in the tiles that it touches, (n, 2, 2), -1 where it touches none.
        tile: Their number, (n, 2, 2).
    """

    side: int
    down: int
    across: int
    count: torch.Tensor
    slot: torch.Tensor
    tile: torch.Tensor


@dataclass(frozen=True, slots=True)
class Slopes:
    """Derivatives of the mean by every parameter of every emitter, on its window.

    `values` (n, p, channels, side, side), the light per photon last of p; `left` and `top` are the window's first
    column and line, (n,).
    """

    values: torch.Tensor
    left: torch.Tensor
    top: torch.Tensor

    @property
    def side(self) -> int:
        """Of the window in pixels."""
        return int(self.values.shape[-1])

    def places(self, scene: Scene) -> tuple[torch.Tensor, torch.Tensor]:
        """Where the pixels of windows stand in all frames of a scene, one after the other, and which are in them.

        Both (n, channels, side, side); those that are not in the field stand at its edge.
        """
        canvas, channels = scene.canvas, self.values.shape[2]
        steps = torch.arange(self.side)
        lines, columns = self.top[:, None] + steps, self.left[:, None] + steps
        inside = ((lines >= 0) & (lines < canvas.height))[:, :, None]
        inside = inside & ((columns >= 0) & (columns < canvas.width))[:, None, :]
        lines, columns = lines.clamp(0, canvas.height - 1), columns.clamp(0, canvas.width - 1)
        layer = scene.spots.sample[:, None] * channels + torch.arange(channels)
        at = (layer[:, :, None, None] * canvas.height + lines[:, None, :, None]) * canvas.width
        return at + columns[:, None, None, :], inside[:, None].expand(at.shape[:2] + inside.shape[1:])


def fisher(scene: Scene, slopes: Slopes | None = None) -> torch.Tensor:
    """The matrices (n_frames, m p + 1, m p + 1) float64, m the most emitters of a frame.

    The parameters of an emitter (x, y, z where the scene is deep, photons) stand together, emitters in their order in
    the frame, the level of the background last. Where a frame has fewer emitters the matrix is 1 on the diagonal.
    `slopes` are those of the scene, where they are at hand.
    """
    slopes = slopes or slopes_of(scene)
    tiles = _tiles(scene, slopes)
    sample, n_frames = scene.spots.sample, scene.canvas.n_frames
    each = torch.bincount(sample, minlength=n_frames)
    rank = torch.arange(len(sample)) - (each.cumsum(0) - each)[sample]
    p = slopes.values.shape[1]
    size = int(each.max()) * p + 1
    where = sample * size**2 + rank * p  # of an emitter's first parameter in the first line of its frame
    weights = _weights(scene, slopes, tiles)
    matrix = torch.zeros(n_frames * size**2, dtype=torch.float64)
    cut = _cut(weights, tiles)
    for derivative, at, those in _filled(slopes, tiles, where):
        weighed = derivative * cut[those, None]
        block = weighed @ derivative.transpose(1, 2)
        line = at % size**2
        matrix.index_add_(0, (at[:, None, :] + line[:, :, None] * size).reshape(-1), block.reshape(-1))
        matrix.index_add_(0, (at + (size - 1) * size).reshape(-1), weighed.sum(dim=2).reshape(-1))
    matrix = matrix.view(n_frames, size, size)
    matrix[:, :, -1] = matrix[:, -1, :]
    matrix[:, -1, -1] = weights.sum(dim=(1, 2, 3))
    empty = torch.arange(size - 1) >= (each * p)[:, None]
    matrix.diagonal(dim1=1, dim2=2)[:, :-1][empty] = 1.0
    return matrix


def window_of(scene: Scene) -> Window:
    """The window on which an emitter leaves light; the emitter stands in its middle pixel."""
    pixel_nm = scene.canvas.pixel_size_nm
    return Window(2 * math.ceil(scene.optics.reach_nm / pixel_nm) + 1, pixel_nm)


def slopes_of(scene: Scene) -> Slopes:
    """Those of a scene's emitters on their windows."""
    spots, window = scene.spots, window_of(scene)
    pixel_nm, half = window.pixel_size_nm, window.side_px // 2
    left, top = ((at / pixel_nm).floor().long() - half for at in (spots.x_nm, spots.y_nm))
    stand = Stand(spots.x_nm - left * pixel_nm, spots.y_nm - top * pixel_nm, spots.z_nm)
    light, along = scene.optics.slopes(stand, scene.shapes, window)
    along = along[:, : scene.places] * spots.photons.double()[:, None, None, None, None]
    return Slopes(torch.cat([along, light[:, None]], dim=1), left, top)


def _tiles(scene: Scene, slopes: Slopes) -> Tiles:
    side, canvas = slopes.side, scene.canvas
    down, across = -(-canvas.height // side), -(-canvas.width // side)
    line, column = ((start[:, None] // side + torch.arange(2)) for start in (slopes.top, slopes.left))
    reached_down = (line >= 0) & (line < down) & (line * side < (slopes.top + side)[:, None])
    reached_across = (column >= 0) & (column < across) & (column * side < (slopes.left + side)[:, None])
    touched = reached_down[:, :, None] & reached_across[:, None, :]
    tile = (scene.spots.sample[:, None, None] * down + line[:, :, None]) * across + column[:, None, :]
    flat = tile[touched]
    order = flat.argsort(stable=True)
    count = torch.bincount(flat, minlength=canvas.n_frames * down * across)
    place = torch.empty_like(flat)
    place[order] = torch.arange(len(flat)) - (count.cumsum(0) - count)[flat[order]]
    slot = torch.full_like(tile, -1)
    slot[touched] = place
    return Tiles(side, down, across, count, slot, tile)


def mean_of(scene: Scene, slopes: Slopes) -> torch.Tensor:
    """Expected photo-electrons (n_frames, channels, height, width), at least `DARK`."""
    canvas, channels = scene.canvas, slopes.values.shape[2]
    mean = torch.zeros(canvas.n_frames, channels, canvas.height, canvas.width, dtype=torch.float64)
    at, inside = slopes.places(scene)
    light = slopes.values[:, -1] * scene.spots.photons.double()[:, None, None, None] * inside
    mean.view(-1).index_add_(0, at.reshape(-1), light.reshape(-1))
    level = scene.background.double()
    level = level[:, None, None, None] if level.ndim == 1 else level[:, None]
    return (mean + level).clamp_min(DARK)


def _weights(scene: Scene, slopes: Slopes, tiles: Tiles) -> torch.Tensor:
    """What each pixel tells (n_frames, channels, height, width) up to whole tiles; 0 outside the field."""
    mean, canvas = mean_of(scene, slopes), scene.canvas
    weights = torch.zeros(*mean.shape[:2], tiles.down * tiles.side, tiles.across * tiles.side, dtype=torch.float64)
    weights[..., : canvas.height, : canvas.width] = scene.weigh(mean)
    return weights


def _cut(image: torch.Tensor, tiles: Tiles) -> torch.Tensor:
    """Tiles (all, channels * side * side) of images (n_frames, channels, height, width) of whole tiles."""
    n_frames, channels, side = *image.shape[:2], tiles.side
    apart = image.view(n_frames, channels, tiles.down, side, tiles.across, side)
    return apart.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels * side**2)


def _filled(
    slopes: Slopes, tiles: Tiles, where: torch.Tensor
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Derivatives on tiles (g, m p, pixels), where each belongs in the matrices (g, m p), and which tiles those are.

    Places that no emitter takes hold zeros.
    """
    n, p, channels, side, _ = slopes.values.shape
    order = tiles.count.argsort()
    order = order[tiles.count[order] > 0]
    pixels = channels * side**2
    room = torch.zeros_like(tiles.count)  # places in the tile's group
    begin = torch.zeros_like(tiles.count)  # of the tile in the flat values
    groups = [order[start : start + TILES_AT_ONCE] for start in range(0, len(order), TILES_AT_ONCE)]
    total = 0
    for group in groups:
        room[group] = most = int(tiles.count[group[-1]])
        begin[group] = total + torch.arange(len(group)) * (most * p * pixels)
        total += len(group) * most * p * pixels
    flat = torch.zeros(total + p * pixels, dtype=torch.float64)  # the last places are for pixels outside the field
    owner = torch.zeros(total // pixels, dtype=torch.int64)
    taken = tiles.slot >= 0
    tile = torch.where(taken, tiles.tile, 0)
    first = torch.where(taken, begin[tile] + tiles.slot * p * pixels, total)  # of an emitter's values in a tile
    owner_at = (first // pixels)[taken]
    place = where[:, None, None].expand_as(first)[taken]
    for k in range(p):
        owner[owner_at + k] = place + k
    steps = torch.arange(side)
    across, down = ((start % side)[:, None] + steps for start in (slopes.left, slopes.top))
    base = first[torch.arange(n)[:, None, None], (down // side)[:, :, None], (across // side)[:, None, :]]
    inside = (down % side)[:, :, None] * side + (across % side)[:, None, :]
    layers = torch.arange(p * channels)[:, None, None] * side**2
    at = (base + inside)[:, None] + layers
    flat.scatter_(0, at.view(-1), slopes.values.reshape(-1))
    start = 0
    for group in groups:
        most = int(room[group[-1]]) * p
        stop = start + len(group) * most * pixels
        values = flat[start:stop].view(len(group), most, pixels)
        yield values, owner[start // pixels : stop // pixels].view(len(group), most), group
        start = stop
