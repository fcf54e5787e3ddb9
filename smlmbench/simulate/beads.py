"""A z-scan of bright beads through a PSF, as it is recorded to calibrate one."""

import math
from dataclasses import dataclass

import torch

from smlmbench.errors import ConfigError
from smlmbench.psf.contracts import Psf
from smlmbench.psf.draws import mean_of
from smlmbench.simulate.emitters import Emitters, plain
from smlmbench.simulate.exposure import exposed
from smlmbench.simulate.scene import Scene, chance_of, rounded
from smlmbench.study.sources import SimulateSource

MOST = 9
CALM = {"background": None, "hot_pixels": 0.0, "empty_frames": 0.0}


@dataclass(frozen=True, slots=True)
class Beads:
    """How beads are scanned: at most `number` of them, from -range to range in steps; None: all depths of the PSF."""

    number: int = MOST
    step_nm: float = 50.0
    range_nm: float | None = None
    photons: float = 20_000.0


def bead_stack(source: SimulateSource, psf: Psf, beads: Beads, seed: int) -> tuple[torch.Tensor, Emitters]:
    """Draw a stack, one frame per depth from below, and its truth; `molecule` is the bead, `z_nm` the depth scanned.

    Beads stand on a square grid, each somewhere in the pixel or two around its node, as many as do not overlap, one at
    least. Field, pixel, camera and mean background are those of the description; its structured background is left out.

    Raises:
        ConfigError: A PSF that does not change with depth, or depths that it does not know.
    """
    depths = _depths(psf, beads)
    chance = chance_of(source, seed)
    field_nm = source.field_px * source.pixel_size_nm
    side = max(1, min(math.isqrt(max(1, beads.number)), int(field_nm // (2 * psf.reach_nm))))
    node = (torch.arange(side, dtype=torch.float64) + 0.5) * field_nm / side
    jitter = (chance.uniform(2, side * side) - 0.5) * 2 * source.pixel_size_nm
    x_nm, y_nm = node.repeat(side) + jitter[0], node.repeat_interleave(side) + jitter[1]
    n, steps = side * side, len(depths)
    bead, frame = torch.arange(n).repeat(steps), torch.arange(steps).repeat_interleave(n)
    photons = torch.full((n * steps,), beads.photons, dtype=torch.float64)
    places = rounded(source, x_nm[bead], y_nm[bead], depths[frame], photons)
    shapes = {name: values[bead] for name, values in psf.shapes(n, chance).items()}
    level = torch.full((steps,), mean_of(plain(source.background_photons)), dtype=torch.float64)
    scene = Scene(frame, *places, shapes, level, bead)
    return exposed(source.model_copy(update=CALM), psf, scene, chance, seed)


def _depths(psf: Psf, beads: Beads) -> torch.Tensor:
    if psf.depth_nm is None:
        raise ConfigError("beads: the PSF is the same at every depth; choose another PSF")
    low, high = psf.depth_nm
    if beads.range_nm is not None:
        if beads.range_nm > min(-low, high):
            said = f"range {beads.range_nm:g} nm leaves the depths of the PSF, {low:g} to {high:g} nm"
            raise ConfigError(f"beads: {said}; give a smaller range")
        low, high = -beads.range_nm, beads.range_nm
    steps = int((high - low) / beads.step_nm + 1e-9) + 1
    # what does not fit into whole steps is left out on both sides alike
    return (low + high) / 2 + (torch.arange(steps, dtype=torch.float64) - (steps - 1) / 2) * beads.step_nm
