"""From a scene to frames: its light on the pixels, background, hot pixels, the camera."""

import torch

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
    truth = Emitters(frame, x_nm, y_nm, scene.z_nm[inside], scene.photons[inside], background, molecule)
    return seen(source, expected, chance), truth


def seen(source: SimulateSource, expected: torch.Tensor, chance: Chance) -> torch.Tensor:
    """Frames float32 that the camera makes of expected photo-electrons, through its inverse."""
    if source.draws == "frozen":
        expected = (expected * EXPECTED_GRID).round() / EXPECTED_GRID
    return source.camera.photons_of(_exposed(source.camera, expected, chance)).float()


def _exposed(camera: Camera, expected: torch.Tensor, chance: Chance) -> torch.Tensor:
    """ADU; the chain of `Camera.expose`, with numbers of any stream."""
    if isinstance(chance, Fast):
        return camera.expose(expected, chance.generator)
    signal = chance.poisson(expected + camera.spurious_e)
    if camera.kind == "emccd":
        signal = torch.where(signal > 0, chance.gamma(signal.clamp_min(1e-6)), 0.0) * camera.gain
    if camera.kind != "ideal":
        signal = signal + camera.read_noise_e * chance.normal(*signal.shape)
    return (torch.round(signal / camera.e_per_adu) + camera.baseline_adu).clamp(0, camera.max_adu)
