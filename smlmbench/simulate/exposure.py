"""From a scene to frames: its light on the pixels, background, hot pixels, the camera."""

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from smlmbench.camera import Camera
from smlmbench.psf.contracts import Canvas, Psf, Spots
from smlmbench.simulate.background import hot_pixels, structured
from smlmbench.simulate.chance import Chance, Fast
from smlmbench.simulate.emitters import Emitters
from smlmbench.simulate.places import Region
from smlmbench.simulate.scene import PHOTON_GRID, Scene, chance_of
from smlmbench.study.sources import SimulateSource

EXPECTED_GRID = 2**16  # frozen expected photons are whole parts of it


def exposed(
    source: SimulateSource, psf: Psf, scene: Scene, chance: Chance, fixed_seed: int
) -> tuple[torch.Tensor, Emitters]:
    """Draw the frames of a scene, and say who is in the field; `fixed_seed` is that of what a camera keeps.

    Returns:
        Frames (F, H, W), or (F, C, H, W) of a PSF with channels, float32 photo-electrons after the camera and its
        inverse (may be negative); and the truth, with the background at each emitter.
    """
    side, pixel_nm, frozen = source.field_px, source.pixel_size_nm, source.draws == "frozen"
    canvas = Canvas(len(scene.level), side, side, pixel_nm, torch.float64 if frozen else torch.float32)
    photons = scene.photons.to(canvas.dtype)
    spots = Spots(scene.frame, scene.x_nm, scene.y_nm, scene.z_nm, photons)
    expected = psf.render(spots, scene.shapes, canvas)
    light = structured(source.background, scene.level, side, pixel_nm, chance)
    flat = scene.level[:, None, None]
    extra = flat if light is None else light
    if source.hot_pixels:
        hot = hot_pixels(extra.expand(-1, side, side), source.hot_pixels, chance_of(source, fixed_seed))
        extra = extra + hot
    extra = extra.to(canvas.dtype)
    expected += extra if psf.channels == 1 else extra[:, None]
    inside = Region(side * pixel_nm, 0.0).inside(scene.x_nm, scene.y_nm)
    frame, x_nm, y_nm = scene.frame[inside], scene.x_nm[inside], scene.y_nm[inside]
    if light is None:
        background = scene.level[frame]
    else:
        background = light[frame, (y_nm / pixel_nm).long(), (x_nm / pixel_nm).long()]
    if frozen:
        background = (background * PHOTON_GRID).round() / PHOTON_GRID
    molecule = None if scene.molecule is None else scene.molecule[inside]
    level = scene.level if light is None else light.mean(dim=(1, 2))
    truth = Emitters(frame, x_nm, y_nm, scene.z_nm[inside], scene.photons[inside], background, molecule, level)
    return seen(source, expected, chance), truth


def seen(source: SimulateSource, expected: torch.Tensor, chance: Chance) -> torch.Tensor:
    """Frames float32 that the cameras make of expected photo-electrons, each of one of them, as they are read back."""
    if source.draws == "frozen":
        expected = (expected * EXPECTED_GRID).round() / EXPECTED_GRID
    if not source.more_cameras:
        return source.read_by(source.camera).photons_of(_exposed(source.camera, expected, chance)).float()
    found = torch.empty(expected.shape)
    own = (chance.uniform(len(expected)) * len(source.cameras)).long()
    for number in sorted(set(own.tolist())):
        camera = source.cameras[number]
        adu = _exposed(camera, expected[own == number], chance)
        found[own == number] = source.read_by(camera).photons_of(adu).float()
    return found


class _Answered(TorchFunctionMode):
    """Where a camera asks torch for random numbers, another stream answers: one chain serves fast and frozen draws."""

    def __init__(self, chance: Chance) -> None:
        super().__init__()
        self._chance = chance

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        if func is torch.poisson:
            return self._chance.poisson(args[0])
        if func is torch._standard_gamma:
            return self._chance.gamma(args[0])
        if func is torch.randn:
            return self._chance.normal(*args[0], dtype=kwargs["dtype"])
        if kwargs and isinstance(kwargs.get("generator"), torch.Generator):
            raise TypeError(f"a frozen draw knows nothing of {func}; answer it here")
        return func(*args, **(kwargs or {}))


def _exposed(camera: Camera, expected: torch.Tensor, chance: Chance) -> torch.Tensor:
    if isinstance(chance, Fast):
        return camera.expose(expected, chance.generator)
    with _Answered(chance):
        return camera.expose(expected, torch.Generator())
