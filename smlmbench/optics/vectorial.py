"""Vectorial fields of a dipole behind an interface, with the index mismatch of Gibson and Lanni.

A dipole sends plane waves (Weyl); the p and s parts of each pass from the medium into the coverslip and from there into
the immersion with the coefficients of Fresnel, and the objective turns them straight. Waves beyond the critical angle
reach it from emitters near the coverslip only, and die away with depth.
Sources: Mortensen et al. 2010, doi:10.1038/nmeth.1447; Stallinga and Rieger 2010, doi:10.1364/OE.18.024461; the phases
of Gibson and Lanni 1992, doi:10.1364/JOSAA.9.000154, the stage being where the paraxial focus is `focus_nm` deep.
"""

import math
from dataclasses import dataclass

import torch

from smlmbench.optics.pupil import Pupil


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer as it is and as the objective is made for it."""

    index: float
    thickness_nm: float
    design_index: float
    design_thickness_nm: float


@dataclass(frozen=True, slots=True)
class Vectorial:
    """An objective that is focused at `focus_nm` from the coverslip, as it were in its immersion.

    The thickness of the immersion is the working distance as designed; focusing changes it.
    """

    pupil: Pupil
    medium_index: float
    focus_nm: float
    cover: Layer
    immersion: Layer
    dipole: tuple[float, float, float] | None = None  # its direction; None: it turns freely

    def fields(self, z_nm: torch.Tensor, phase: torch.Tensor) -> torch.Tensor:
        """Fields (n, m, side, side) of emitters at depths (n,); m = 2 (x and y), or 6 of a dipole that turns freely."""
        pupil = self.pupil
        along_z = pupil.cosine(self.medium_index)
        depth = torch.exp(1j * pupil.wavenumber * self.medium_index * z_nm[:, None, None] * along_z)
        wave = depth * torch.exp(1j * (pupil.wavenumber * self._mismatch() + phase))
        return self._polarised() * wave[:, None]

    def _mismatch(self) -> torch.Tensor:
        """Optical path in nm by which immersion and coverslip differ from the design, and by which focus moves."""
        cover, oil = self.cover, self.immersion
        thickness_nm = (
            oil.index * (oil.design_thickness_nm / oil.design_index)
            + oil.index * (cover.design_thickness_nm / cover.design_index - cover.thickness_nm / cover.index)
            - self.focus_nm
        )
        actual = self._path(cover.index, cover.thickness_nm) + self._path(oil.index, thickness_nm)
        design = self._path(cover.design_index, cover.design_thickness_nm)
        return actual - design - self._path(oil.design_index, oil.design_thickness_nm)

    def _path(self, index: float, thickness_nm: float) -> torch.Tensor:
        return index * thickness_nm * self.pupil.cosine(index).real

    def _polarised(self) -> torch.Tensor:
        """Amplitudes (m, side, side) of x and y in the pupil for each dipole."""
        pupil = self.pupil
        medium, cover, oil = self.medium_index, self.cover.index, self.immersion.index
        one, two, three = (pupil.cosine(index) for index in (medium, cover, oil))
        # over the cosine in the medium, which every amplitude of a dipole has below it
        through_p = 4 * medium * cover * two / ((cover * one + medium * two) * (oil * two + cover * three))
        through_s = 4 * medium * cover * two / ((medium * one + cover * two) * (cover * two + oil * three))
        size = pupil.aperture(math.inf) * torch.sqrt(three)
        cos, sin = torch.cos(pupil.angle), torch.sin(pupil.angle)
        sine = pupil.na / medium * pupil.radius
        along_p, along_s = (one * cos, one * sin, -sine), (-sin, cos, torch.zeros_like(sin))
        made = [
            torch.stack(
                [
                    size * (through_p * cos * p - through_s * sin * s),
                    size * (through_p * sin * p + through_s * cos * s),
                ]
            )
            for p, s in zip(along_p, along_s, strict=True)
        ]
        if self.dipole is None:
            return torch.cat(made)
        return sum((share * field for share, field in zip(self.dipole, made, strict=True)), torch.zeros_like(made[0]))
