"""Each emitter's own block of the inverse of its frame's Fisher matrix."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from smlmbench.limit.fisher import fisher, window_of
from smlmbench.limit.scene import Known, Scene

JITTER = 1e-12  # of what a parameter tells of itself: two emitters at one place
MATRIX_VALUES, WINDOW_VALUES = 4_000_000, 8_000_000  # held at a time
MOST_FRAMES = 64


@dataclass(frozen=True, slots=True)
class Inverse:
    """Covariances that no unbiased estimate undercuts; infinite where nothing is told.

    Attributes:
        own: Of each emitter's x, y (z) and photons in nm and photo-electrons, (n, p, p); photons that are known
            beforehand are left out.
        background: Variance of each frame's level, (n_frames,); 0 where it is known beforehand.
    """

    own: torch.Tensor
    background: torch.Tensor


def inverses(scene: Scene, known: Sequence[Known] = (Known(),)) -> list[Inverse]:
    """Bounds of every emitter beside all others of its frame, for each state of knowledge, in the order of `spots`.

    All frames are looked at, those that hold about as many emitters at a time.
    """
    each = torch.bincount(scene.spots.sample, minlength=scene.canvas.n_frames)
    first, many = each.cumsum(0) - each, [scene.places + (not math.isinf(told.photons)) for told in known]
    found = [Inverse(_nothing(len(scene.spots), size, size), _nothing(scene.canvas.n_frames)) for size in many]
    for frames in together(scene, each):
        owner = torch.repeat_interleave(torch.arange(len(frames)), each[frames])
        rank = torch.arange(len(owner)) - (each[frames].cumsum(0) - each[frames])[owner]
        rows = first[frames][owner] + rank
        matrix = fisher(scene.part(frames, rows))
        for told, into in zip(known, found, strict=True):
            own, level = _inverse(matrix, scene.places, told)
            into.own[rows], into.background[frames] = own[owner, rank], level
    return found


def _nothing(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.float64)


def together(scene: Scene, each: torch.Tensor) -> Iterator[torch.Tensor]:
    """Numbers of frames that are looked at together."""
    order = each.argsort()
    p, start = scene.places + 1, 0
    pixels = p * scene.optics.channels * window_of(scene).side_px ** 2
    while start < len(order):
        stop, emitters = start, 0
        while stop < len(order) and stop - start < MOST_FRAMES:
            more = int(each[order[stop]])
            emitters += more
            matrices = (stop - start + 1) * (more * p + 1) ** 2
            if stop > start and (matrices > MATRIX_VALUES or emitters * pixels > WINDOW_VALUES):
                break
            stop += 1
        yield order[start:stop]
        start = stop


def _inverse(matrix: torch.Tensor, places: int, known: Known) -> tuple[torch.Tensor, torch.Tensor]:
    """Own blocks (frames, m, q, q) of the emitters of each frame, and the variance of its background (frames,)."""
    frames, p = len(matrix), places + 1
    m = (matrix.shape[1] - 1) // p
    q = places if math.isinf(known.photons) else p
    asked = torch.arange(m * p).view(m, p)[:, :q].reshape(-1)
    if not (level_known := math.isinf(known.background)):
        asked = torch.cat([asked, torch.tensor([m * p])])
    whole = matrix if len(asked) == matrix.shape[1] else matrix[:, asked][:, :, asked]
    beforehand = torch.zeros(len(asked), dtype=torch.float64)
    if q == p:
        beforehand[places : m * q : p] = known.photons
    if not level_known:
        beforehand[-1] = known.background
    told = whole.diagonal(dim1=1, dim2=2) + beforehand
    scale = told.clamp_min(torch.finfo(told.dtype).tiny).rsqrt()
    scaled = whole * scale[:, :, None] * scale[:, None, :]
    scaled.diagonal(dim1=1, dim2=2)[:] = 1.0 + JITTER
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(scaled))
    inverse = inverse * scale[:, :, None] * scale[:, None, :]
    own = inverse[:, : m * q, : m * q].view(frames, m, q, m, q).diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)
    own = torch.where((told[:, : m * q].view(frames, m, q) > 0).all(dim=2)[:, :, None, None], own, math.inf)
    return own, _nothing(frames) if level_known else inverse[:, -1, -1]
