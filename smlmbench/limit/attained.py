"""What an estimate attains: all emitters of a frame and its background fitted together, from a start near the truth.

Most likely, or with a prior of photons and background the maximum a posteriori; by damped Fisher scoring with the joint
matrix of each frame (Smith et al. 2010, doi:10.1038/nmeth.1449, for one emitter).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from smlmbench.limit.fisher import fisher, mean_of, slopes_of
from smlmbench.limit.inverse import JITTER, together
from smlmbench.limit.scene import Known, Scene
from smlmbench.psf.contracts import Spots

ROUNDS, SETTLED = 60, 5e-3  # of the log-likelihood of a frame
DAMPING = (1e-3, 1e-7, 1e7)
FARTHEST = 0.5  # camera pixels that a place moves in one step
FAINTEST = 1e-3  # photo-electrons of an emitter, or of a pixel's background

# Log-likelihood of pixels and its slope, of frames (numbered by the first): readings and means (f, channels, h, w).
Tell = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True, slots=True)
class Prior:
    """Means of photons and background beforehand, and how well they are known."""

    known: Known
    photons: float = 0.0
    background: float = 0.0


@dataclass(frozen=True, slots=True)
class Attained:
    """What is found.

    Attributes:
        scene: With the places, photons and backgrounds that were found.
        covariance: Of places (nm) and photons, (n, p, p).
        mean: Expected photo-electrons (n_frames, channels, height, width), float32.
        settled: Which frames have, (n_frames,).
    """

    scene: Scene
    covariance: torch.Tensor
    mean: torch.Tensor
    settled: torch.Tensor


def attained(scene: Scene, readings: torch.Tensor, tell: Tell, prior: Prior, rounds: int = ROUNDS) -> Attained:
    """Fit the emitters of a scene and the level of its background to what a camera read.

    Args:
        scene: Where all is started; background (n_frames,).
        readings: Photo-electrons (n_frames, channels, height, width), or whatever `tell` takes of each frame.
        tell: The camera's likelihood.
        prior: What is known beforehand; nothing for the most likely.
        rounds: Steps at most.
    """
    each = torch.bincount(scene.spots.sample, minlength=scene.canvas.n_frames)
    first = each.cumsum(0) - each
    state = _state(scene)
    if math.isinf(prior.known.photons):
        state[0][:, -1] = prior.photons
    if math.isinf(prior.known.background):
        state[1][:] = prior.background
    p = scene.places + 1
    covariance = torch.zeros(len(scene.spots), p, p, dtype=torch.float64)
    canvas = scene.canvas
    mean = torch.empty(canvas.n_frames, scene.optics.channels, canvas.height, canvas.width)
    settled = torch.zeros(canvas.n_frames, dtype=torch.bool)
    for frames in together(scene, each):
        rows = _rows(first, each, frames)
        part = scene.part(frames, rows)
        fit = _Fit(part, readings[frames], tell, prior, state[0][rows], state[1][frames])
        settled[frames] = fit.run(rounds)
        state[0][rows], state[1][frames], covariance[rows] = fit.values, fit.level, fit.covariance()
        mean[frames] = fit.mean().float()
    return Attained(_moved(scene, *state), covariance, mean, settled)


def _rows(first: torch.Tensor, each: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    """Rows of the emitters of some frames, frame after frame."""
    owner = torch.repeat_interleave(torch.arange(len(frames)), each[frames])
    rank = torch.arange(len(owner)) - (each[frames].cumsum(0) - each[frames])[owner]
    return first[frames][owner] + rank


def _state(scene: Scene) -> tuple[torch.Tensor, torch.Tensor]:
    """What is unknown: (n, p) places and photons, (n_frames,) background."""
    spots = scene.spots
    places = (spots.x_nm, spots.y_nm, spots.z_nm)[: scene.places]
    return torch.stack([*(at.double() for at in places), spots.photons.double()], dim=1), scene.background.double()


def _moved(scene: Scene, values: torch.Tensor, level: torch.Tensor) -> Scene:
    spots = scene.spots
    z_nm = values[:, 2] if scene.deep else spots.z_nm
    moved = Spots(spots.sample, values[:, 0], values[:, 1], z_nm, values[:, -1])
    return replace(scene, spots=moved, background=level)


class _Fit:
    """Frames that are fitted together, each with a damping of its own."""

    def __init__(
        self, scene: Scene, readings: torch.Tensor, tell: Tell, prior: Prior, values: torch.Tensor, level: torch.Tensor
    ) -> None:
        self._scene, self._readings, self._tell, self._prior = scene, readings, tell, prior
        self.values, self.level = values.clone(), level.clone()
        self._each = torch.bincount(scene.spots.sample, minlength=len(level))
        self._first = self._each.cumsum(0) - self._each

    def run(self, rounds: int) -> torch.Tensor:
        """Which frames (n_frames,) have settled."""
        n_frames = len(self.level)
        damping = torch.full((n_frames,), DAMPING[0], dtype=torch.float64)
        open_ = torch.arange(n_frames)
        for _ in range(rounds):
            rows = _rows(self._first, self._each, open_)
            part, readings = self._scene.part(open_, rows), self._readings[open_]
            values, level = self.values[rows], self.level[open_]
            before, gradient, matrix = self._looked(part, readings, values, level)
            step, promised = self._step(gradient, matrix, damping[open_])
            trial, trial_level = self._tried(part, values, level, step)
            after = self._worth(part, readings, trial, trial_level)
            gained = after - before
            better = gained >= 0
            moves = better[part.spots.sample]
            self.values[rows[moves]], self.level[open_[better]] = trial[moves], trial_level[better]
            kept = (gained / promised.clamp_min(1e-12)).clamp(0, 1)  # of what the step promised
            factor = torch.where(better, (1 - (2 * kept - 1) ** 3).clamp_min(0.2), 4.0)
            damping[open_] = (damping[open_] * factor).clamp(*DAMPING[1:])
            done = (better & (gained < SETTLED)) | (damping[open_] >= DAMPING[2])
            open_ = open_[~done]
            if not len(open_):
                break
        return ~torch.isin(torch.arange(n_frames), open_)

    def mean(self) -> torch.Tensor:
        """Expected photo-electrons (n_frames, channels, height, width)."""
        scene = _moved(self._scene, self.values, self.level)
        return mean_of(scene, slopes_of(scene))

    def covariance(self) -> torch.Tensor:
        """Of places and photons, (n, p, p), from the information at what was found and beforehand."""
        scene = _moved(self._scene, self.values, self.level)
        matrix = self._with_prior(fisher(scene))
        scale = matrix.diagonal(dim1=1, dim2=2).rsqrt()
        scaled = self._free(matrix * scale[:, :, None] * scale[:, None, :])
        scaled.diagonal(dim1=1, dim2=2).add_(JITTER)
        inverse = torch.linalg.pinv(scaled, hermitian=True) * scale[:, :, None] * scale[:, None, :]
        p, n_frames = scene.places + 1, len(self.level)
        m = (matrix.shape[1] - 1) // p
        own = inverse[:, :-1, :-1].view(n_frames, m, p, m, p).diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)
        sample = scene.spots.sample
        rank = torch.arange(len(sample)) - self._first[sample]
        found: torch.Tensor = own[sample, rank]
        return found

    def _worth(self, part: Scene, readings: torch.Tensor, values: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        """Log-likelihood and log-prior of each frame."""
        scene = _moved(part, values, level)
        told = self._tell(readings, mean_of(scene, slopes_of(scene)))[0].sum(dim=(1, 2, 3))
        return told + self._before(part, values, level)

    def _before(self, part: Scene, values: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        photons, background = self._told()
        apart = photons * (values[:, -1] - self._prior.photons) ** 2
        found = torch.zeros_like(level).index_add_(0, part.spots.sample, apart)
        return -(found + background * (level - self._prior.background) ** 2) / 2

    def _told(self) -> tuple[float, float]:
        """Information of the prior about photons and background; what is known exactly is held and adds nothing."""
        known = self._prior.known
        photons, background = (0.0 if math.isinf(one) else one for one in (known.photons, known.background))
        return photons, background

    def _looked(
        self, part: Scene, readings: torch.Tensor, values: torch.Tensor, level: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Worth, gradient (n_frames, m p + 1) and information of frames."""
        scene = _moved(part, values, level)
        slopes = slopes_of(scene)
        told, score = self._tell(readings, mean_of(scene, slopes))
        at, inside = slopes.places(scene)
        on = score.reshape(-1)[at] * inside
        own = torch.einsum("npcij,ncij->np", slopes.values, on)
        photons, background = self._told()
        own[:, -1] -= photons * (values[:, -1] - self._prior.photons)
        matrix = fisher(scene, slopes)
        p = own.shape[1]
        each = torch.bincount(scene.spots.sample, minlength=len(level))
        rank = torch.arange(len(own)) - (each.cumsum(0) - each)[scene.spots.sample]
        gradient = torch.zeros(matrix.shape[:2], dtype=torch.float64)
        gradient[:, :-1].view(len(level), -1, p)[scene.spots.sample, rank] = own
        gradient[:, -1] = score.sum(dim=(1, 2, 3)) - background * (level - self._prior.background)
        worth = told.sum(dim=(1, 2, 3)) + self._before(part, values, level)
        return worth, gradient, self._with_prior(matrix)

    def _with_prior(self, matrix: torch.Tensor) -> torch.Tensor:
        photons, background = self._told()
        diagonal = matrix.diagonal(dim1=1, dim2=2)
        p = self._scene.places + 1
        diagonal[:, p - 1 : -1 : p] += photons
        diagonal[:, -1] += background
        diagonal.clamp_min_(torch.finfo(torch.float64).tiny)
        return matrix

    def _free(self, matrix: torch.Tensor) -> torch.Tensor:
        """Matrices of diagonal 1 without what is known exactly."""
        held = self._held(matrix.shape[1])
        matrix[:, held], matrix[:, :, held] = 0.0, 0.0
        matrix.diagonal(dim1=1, dim2=2)[:] = 1.0
        return matrix

    def _step(
        self, gradient: torch.Tensor, matrix: torch.Tensor, damping: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Where to go, and what each frame should gain by it."""
        scale = matrix.diagonal(dim1=1, dim2=2).rsqrt()
        scaled = self._free(matrix * scale[:, :, None] * scale[:, None, :])
        scaled.diagonal(dim1=1, dim2=2).add_(damping[:, None])
        slope = (gradient * scale).masked_fill(self._held(matrix.shape[1]), 0.0)
        step = torch.cholesky_solve(slope[:, :, None], torch.linalg.cholesky(scaled))[:, :, 0]
        return step * scale, (step * (slope + damping[:, None] * step)).sum(dim=1) / 2

    def _held(self, size: int) -> torch.Tensor:
        """Which parameters of a frame are known exactly."""
        known, p = self._prior.known, self._scene.places + 1
        held = torch.zeros(size, dtype=torch.bool)
        held[p - 1 : -1 : p], held[-1] = math.isinf(known.photons), math.isinf(known.background)
        return held

    def _tried(
        self, part: Scene, values: torch.Tensor, level: torch.Tensor, step: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        p, sample = values.shape[1], part.spots.sample
        each = torch.bincount(sample, minlength=len(level))
        rank = torch.arange(len(values)) - (each.cumsum(0) - each)[sample]
        own = step[:, :-1].view(len(level), -1, p)[sample, rank].clone()
        most = FARTHEST * part.canvas.pixel_size_nm
        own[:, :2] = own[:, :2].clamp(-most, most)
        trial = values + own
        trial[:, -1] = trial[:, -1].clamp_min(FAINTEST)
        if part.deep and part.optics.depth_nm is not None:
            trial[:, 2] = trial[:, 2].clamp(*part.optics.depth_nm)
        return trial, (level + step[:, -1]).clamp_min(FAINTEST)
