"""Scalar fields of an emitter: one wave with a flat amplitude over the pupil.

Light beyond the critical angle of the medium, which only an emitter at the coverslip sends, is left out.
Source: Goodman, Introduction to Fourier optics; phases as in Nehme et al. 2020, doi:10.1038/s41592-020-0853-5.
"""

from dataclasses import dataclass

import torch

from smlmbench.optics.pupil import Pupil


@dataclass(frozen=True, slots=True)
class Scalar:
    """An objective that is focused at `focus_nm` from the coverslip, as it were in its immersion."""

    pupil: Pupil
    medium_index: float
    focus_nm: float

    def fields(self, z_nm: torch.Tensor, phase: torch.Tensor) -> torch.Tensor:
        """Fields (n, 1, side, side) of emitters at depths (n,) behind a phase (side, side) or (n, side, side)."""
        pupil, medium = self.pupil, self.pupil.cosine(self.medium_index).real
        depth = self.medium_index * z_nm[:, None, None] * medium
        focus = pupil.immersion_index * self.focus_nm * pupil.cosine(pupil.immersion_index).real
        fields = pupil.aperture(self.medium_index) * torch.exp(1j * (pupil.wavenumber * (depth - focus) + phase))
        return fields[:, None]
