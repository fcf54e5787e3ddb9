"""How well true emitters could be known: covariances that no unbiased estimate of their positions undercuts."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from smlmbench.predictions import Floats, Ints

RESOLVABLE_NM = 50.0  # lateral, both axes together (PROTOCOL section 3)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of the positions of emitters, beside all others of their frames; (n, d, d) nm^2 with d 2, or 3 with z.

    Attributes:
        free: Photons and background are unknown (`bound_free`).
        prior: What the simulator draws them from is known (`bound_prior`); None where a row cannot know it.
        frame: Of each emitter, (n,).
        molecule: Identity over frames, (n,); None where frames are independent.
    """

    free: Floats
    prior: Floats | None
    frame: Ints
    molecule: Ints | None = None

    @property
    def quoted(self) -> Floats:
        """The bound that numbers are quoted against: with the prior where there is one."""
        return self.free if self.prior is None else self.prior

    @property
    def resolvable(self) -> NDArray[np.bool_]:
        """Emitters (n,) whose quoted bound is below 50 nm."""
        return lateral_nm(self.quoted) < RESOLVABLE_NM

    def seen_in(self, context: int) -> "Bounds":
        """The bounds for who sees windows of `context` frames: what the frames tell of a molecule is summed.

        Of each frame's own photons, background and neighbours nothing is carried over to the next, which is a little
        pessimistic where the neighbours persist too. Without identities nothing changes.
        """
        if context == 1 or self.molecule is None:
            return self
        molecule = np.unique(self.molecule, return_inverse=True)[1].reshape(-1)
        free, *prior = (
            self._summed(each, molecule, context // 2) for each in (self.free, self.prior) if each is not None
        )
        return replace(self, free=free, prior=prior[0] if prior else None)

    def _summed(self, covariance: Floats, molecule: Ints, half: int) -> Floats:
        frame = self.frame
        span = int(frame.max(initial=0)) + 2 * half + 2
        key = molecule * span + frame + half
        order = np.argsort(key)
        told = information(covariance)
        total = told.copy()
        for shift in [step for step in range(-half, half + 1) if step]:
            place = np.searchsorted(key[order], key + shift).clip(max=len(key) - 1)
            there = order[place]
            on = key[there] == key + shift
            total[on] += told[there[on]]
        return _inverted(total)


def information(covariance: Floats) -> Floats:
    """Inverse of covariances (n, d, d); 0 where one is infinite."""
    known = np.isfinite(covariance).all(axis=(1, 2))
    found = np.zeros_like(covariance)
    found[known] = np.linalg.inv(covariance[known])
    return found


def _inverted(told: Floats) -> Floats:
    known = told.any(axis=(1, 2))
    found = np.full_like(told, np.inf)
    found[known] = np.linalg.inv(told[known])
    return found


def lateral_nm(covariance: Floats) -> Floats:
    """Radial standard deviation (n,): both lateral axes summed, as in a radial RMSE."""
    return np.asarray(np.sqrt(covariance[:, 0, 0] + covariance[:, 1, 1]))
