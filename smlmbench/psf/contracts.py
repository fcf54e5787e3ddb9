"""What a PSF is asked: shapes for emitters, their light on windows with its derivatives, their sum on camera pixels."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

Shapes = Mapping[str, torch.Tensor]  # what varies from emitter to emitter: one tensor (n, ...) per quantity

BLOCK_VALUES = 4_000_000  # pixels of windows held at a time


@dataclass(frozen=True, slots=True)
class Spots:
    """Emitters to be rendered, all (n,); positions are float64 from the outer corner and may lie outside the field."""

    sample: torch.Tensor  # int64, which frame each emitter is in
    x_nm: torch.Tensor
    y_nm: torch.Tensor
    z_nm: torch.Tensor
    photons: torch.Tensor  # float32 detected photo-electrons, >= 0

    def __len__(self) -> int:
        return len(self.sample)


@dataclass(frozen=True, slots=True)
class Canvas:
    """Camera pixels to render on: number of frames, rows, columns, pixel size; in float32, or exactly in float64."""

    n_frames: int
    height: int
    width: int
    pixel_size_nm: float
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True, slots=True)
class Window:
    """A square window of camera pixels around each emitter."""

    side_px: int
    pixel_size_nm: float


@dataclass(frozen=True, slots=True)
class Stand:
    """Where emitters stand in windows of their own, (n,) float64: nm from the window's outer corner, and their depth.

    The gradient of the light flows back to all three.
    """

    x_nm: torch.Tensor
    y_nm: torch.Tensor
    z_nm: torch.Tensor

    def __len__(self) -> int:
        return len(self.x_nm)


class Psf(ABC):
    """A point spread function with its settings; `light` is all that one must write."""

    channels = 1  # detectors that see an emitter at once, such as the two planes of a biplane
    depth_nm: tuple[float, float] | None = None  # depths that it knows; None where depth changes nothing
    periods: Mapping[str, float] = {}  # of quantities of its shapes that are periodic

    @property
    @abstractmethod
    def sigma_nm(self) -> float:
        """Mean lateral standard deviation in focus, as classical rows are told."""

    @property
    @abstractmethod
    def reach_nm(self) -> float:
        """Lateral distance beyond which an emitter leaves no light."""

    def widths(self, z_nm: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Standard deviations along x and y in nm at depths (n,), of a PSF that is a Gaussian along these axes."""
        del z_nm
        return None

    @abstractmethod
    def shapes(self, n: int, generator: Any) -> Shapes:
        """Draw what varies from emitter to emitter: one tensor (n, ...) per quantity.

        Numbers are asked of `psf.draws.drawn`, to which the generator is handed: torch's, or any `psf.draws.Units`.
        """

    @abstractmethod
    def light(self, stand: Stand, shapes: Shapes, window: Window) -> torch.Tensor:
        """Share of an emitter's photons in each pixel, (n, channels, side, side) float64; y along the third axis.

        All channels together have at most 1.
        """

    def drawn(self, stand: Stand, shapes: Shapes, window: Window, dtype: torch.dtype) -> torch.Tensor:
        """The light in another type, for frames that need no more digits."""
        return self.light(stand, shapes, window).to(dtype)

    def slopes(self, stand: Stand, shapes: Shapes, window: Window) -> tuple[torch.Tensor, torch.Tensor]:
        """The light, and its derivatives by x, y and z per nm, (n, 3, channels, side, side)."""
        places = (stand.x_nm, stand.y_nm, stand.z_nm)

        def lit(*at: torch.Tensor) -> torch.Tensor:
            return self.light(Stand(*at), shapes, window)

        found, zero = [], [torch.zeros_like(place) for place in places]
        light = lit(*places)
        for axis in range(3):
            along = tuple(torch.ones_like(zero[k]) if k == axis else zero[k] for k in range(3))
            found.append(torch.func.jvp(lit, places, along)[1])
        return light, torch.stack(found, dim=1)

    def render(self, spots: Spots, shapes: Shapes, canvas: Canvas) -> torch.Tensor:
        """Expected photo-electrons per pixel without background, (n_frames, height, width) of the canvas' dtype.

        More than one channel: (n_frames, channels, height, width).
        """
        size = canvas.n_frames, self.channels, canvas.height, canvas.width
        image = torch.zeros(math.prod(size), dtype=canvas.dtype)
        pixel_nm = canvas.pixel_size_nm
        half = math.ceil(self.reach_nm / pixel_nm)
        window = Window(2 * half + 1, pixel_nm)
        steps = torch.arange(window.side_px)
        layers = torch.arange(self.channels)[:, None, None]
        for rows, own in self._blocks(spots, shapes, window):
            left, top = ((at[rows] / pixel_nm).floor().long() - half for at in (spots.x_nm, spots.y_nm))
            x_nm, y_nm = spots.x_nm[rows] - left * pixel_nm, spots.y_nm[rows] - top * pixel_nm
            light = self.drawn(Stand(x_nm, y_nm, spots.z_nm[rows]), own, window, canvas.dtype)
            light = light * spots.photons[rows, None, None, None].to(canvas.dtype)
            columns, lines = left[:, None] + steps, top[:, None] + steps
            seen = ((columns >= 0) & (columns < canvas.width))[:, None, :]
            seen = seen & ((lines >= 0) & (lines < canvas.height))[:, :, None]
            columns, lines = columns.clamp(0, canvas.width - 1), lines.clamp(0, canvas.height - 1)
            frame = (spots.sample[rows, None, None, None] * self.channels + layers) * canvas.height
            at = (frame + lines[:, None, :, None]) * canvas.width + columns[:, None, None, :]
            image.scatter_add_(0, at.reshape(-1), (light * seen[:, None]).reshape(-1))
        return image.view(size if self.channels > 1 else (size[0], *size[2:]))

    def _blocks(self, spots: Spots, shapes: Shapes, window: Window) -> Iterator[tuple[slice, Shapes]]:
        each = max(1, BLOCK_VALUES // (window.side_px**2 * self.channels))
        for start in range(0, len(spots), each):
            rows = slice(start, start + each)
            yield rows, {name: values[rows] for name, values in shapes.items()}
