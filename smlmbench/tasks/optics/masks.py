"""The mask of a network as it is scored and shown: its phase, its bounds over depth, its images of one emitter."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.data.contracts import Condition
from smlmbench.errors import ConfigError
from smlmbench.formats.tiff_image import write_plain
from smlmbench.metrics.masked import MaskSeen
from smlmbench.models.designed import Designed
from smlmbench.models.masks import FIXED, fixed_bounds
from smlmbench.models.microscope import Light, Microscope, depth_bounds
from smlmbench.movies import Frames
from smlmbench.optics.imaging import Pixels
from smlmbench.optics.pupil import Pupil
from smlmbench.optics.scenes import CHANNELS

AT_ONCE = 32  # scenes drawn together
SHOWN = 7  # depths
SPOT_PX = 33


@dataclass(frozen=True)
class Masked:
    """A mask with the microscope that it lies in, and the light at which it is judged."""

    arms: tuple[tuple[str, Microscope, torch.Tensor], ...]  # of every colour its name, and the phase, (side, side) rad
    light: Light
    name: str = "this mask"

    @property
    def microscope(self) -> Microscope:
        """That of the first colour, as is the phase."""
        return self.arms[0][1]

    @property
    def phase(self) -> torch.Tensor:
        """(side, side) radians, on the processor."""
        return self.arms[0][2]

    @cached_property
    def seen(self) -> MaskSeen:
        """For metrics."""
        z_nm, bounds = depth_bounds(self.microscope, self.phase, self.light)
        return MaskSeen(self.plain, z_nm.numpy(), bounds.numpy())

    @property
    def plain(self) -> NDArray[np.float64]:
        """The phase, NaN outside the pupil."""
        inside = self.microscope.pupil.radius <= 1
        return np.where(inside.cpu().numpy(), self.phase.numpy(), math.nan)

    @cached_property
    def beside(self) -> Mapping[str, NDArray[np.float64]]:
        """Bounds (n, 3) of the masks that stay as they are, each at its best strength."""
        return {kind: fixed_bounds(kind, self.microscope, self.light).numpy() for kind in FIXED}

    def spots(self) -> dict[str, NDArray[np.float64]]:
        """Images of one emitter over the depths, in camera pixels, of every colour."""
        low, high = self.microscope.depth_nm
        z_nm = torch.linspace(low, high, max(2, SHOWN // len(self.arms)), dtype=torch.float64)
        found: dict[str, NDArray[np.float64]] = {}
        pixel_nm = self.light.pixel_size_nm
        at = (torch.arange(SPOT_PX, dtype=torch.float64) - SPOT_PX // 2) * pixel_nm
        for colour, microscope, phase in self.arms:
            images = microscope.light(z_nm, phase, Pixels(at, at, pixel_nm, microscope.blur_nm))
            told = (f"{colour} {depth / 1000:+.2f} µm".strip() for depth in z_nm.tolist())
            found |= dict(zip(told, images.numpy(), strict=True))
        return found

    def write(self, folder: Path, name: str) -> list[Path]:
        """Write the phase as a TIFF in radians, of every colour; the description states where the pupil lies in it.

        It can be read as `mask_path` of a PSF with a pupil.
        """
        made = []
        for colour, microscope, phase in self.arms:
            made.append(folder / f"{name}_mask{'_' * bool(colour)}{colour}.tif")
            _write(made[-1], microscope.pupil, phase)
        return made


def _write(path: Path, pupil: Pupil, phase: torch.Tensor) -> None:
    stated = {
        "unit": "rad",
        "what": "phase of a mask in the pupil, row 0 at the lowest y",
        "pupil_diameter_px": pupil.side,
        "pixel_pitch_na": 2 * pupil.na / pupil.side,
        "na": pupil.na,
        "wavelength_nm": pupil.wavelength_nm,
    }
    write_plain(path, phase.numpy(), metadata=stated)


def masked(network: Any, condition: Condition) -> Masked | None:
    """The mask of a network, None where it has none; judged at the mean light of a condition's emitters."""
    if not isinstance(network, Designed) or network.mask is None:
        return None
    told: Any = getattr(condition.truth, "table", condition.truth)
    photons = float(np.mean(told.photons)) if told is not None and len(told) else math.nan
    background = float(condition.told.get("background_photons", math.nan))
    if not (photons > 0 and math.isfinite(background)):
        return None
    light = Light(photons, max(background, 1e-3), condition.pixel_size_nm)
    with torch.no_grad():
        phases = [phase.detach().cpu() for phase in network.phases()]
    arms = [copy.deepcopy(one).cpu() for one in network.arms]
    return Masked(tuple(zip(network.colours, arms, phases, strict=True)), light)


def drawn(network: Any, scenes: Frames) -> NDArray[np.float32]:
    """Frames (n, H, W) of scenes through the mask of a network.

    Raises:
        ConfigError: It has none, such as one that a runtime made of the network alone.
    """
    if not isinstance(network, Designed):
        raise ConfigError("scenes are drawn by the network's own mask, which this runtime has not; run it eagerly")
    device = next(network.parameters()).device
    parts = []
    for start in range(0, scenes.n_frames, AT_ONCE):
        block = np.ascontiguousarray(scenes.read(start, min(start + AT_ONCE, scenes.n_frames)))
        with torch.inference_mode():
            parts.append(network.drawn(torch.from_numpy(block).to(device))[:, 0].cpu().numpy())
    return np.concatenate(parts)


def is_scene(condition: Condition) -> bool:
    """Whether its inputs are scenes, not frames of a camera."""
    first = condition.frames.read(0, 1) if condition.frames.n_frames else np.empty((0,))
    return first.ndim == 4 and first.shape[1] == CHANNELS
