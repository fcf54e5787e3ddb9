"""Frames whose emitters are known, and what whoever estimates them knows beforehand."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from smlmbench.psf.contracts import Canvas, Psf, Shapes, Spots

# Information per squared photo-electron of pixels of these means, (frames, channels, height, width): 1 / mean for
# Poisson numbers.
Weigh = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Scene:
    """Emitters of frames, with their optics and camera.

    Attributes:
        spots: In ascending order of `sample`; those outside the field count where they leave light in it.
        shapes: Of each of them, as the PSF draws them; known to whoever estimates.
        canvas: The camera's pixels.
        background: Photo-electrons per pixel, (n_frames,) or (n_frames, height, width); its level is unknown.
        optics: The PSF, known.
        weigh: What a pixel tells.
        deep: Whether z is unknown too.
    """

    spots: Spots
    shapes: Shapes
    canvas: Canvas
    background: torch.Tensor
    optics: Psf
    weigh: Weigh
    deep: bool = False

    @property
    def places(self) -> int:
        """Number of coordinates of an emitter that are unknown: x, y and z where it is deep."""
        return 3 if self.deep else 2

    def part(self, frames: torch.Tensor, rows: torch.Tensor) -> "Scene":
        """Some frames, counted anew in the order given, and the emitters in them, frame after frame."""
        spots, background = self.spots, self.background[frames]
        number = torch.empty(self.canvas.n_frames, dtype=torch.int64)
        number[frames] = torch.arange(len(frames))
        columns = (spots.x_nm, spots.y_nm, spots.z_nm, spots.photons)
        kept = Spots(number[spots.sample[rows]], *(column[rows] for column in columns))
        shapes = {name: values[rows] for name, values in self.shapes.items()}
        canvas = replace(self.canvas, n_frames=len(frames))
        return replace(self, spots=kept, shapes=shapes, canvas=canvas, background=background)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known beforehand, as information (1 / variance): nothing by default, everything where it is infinite."""

    photons: float = 0.0
    background: float = 0.0
