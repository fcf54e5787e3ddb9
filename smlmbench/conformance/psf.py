"""Checks of a PSF: light is kept, moves with the emitter, and stays within its reach."""

import math
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from smlmbench.conformance.checks import NotApplicable, Subject, require
from smlmbench.psf.contracts import Canvas, Psf, Shapes, Spots, Stand, Window

PIXEL_NM = 100.0
PHOTONS = 1000.0
SMALL = 1e-3  # of the photons of an emitter
STEP_NM = 0.05
LEAST_SLOPE = 1e-9  # per nm, where depth changes nothing


def light_is_kept(subject: Subject) -> str:
    """An emitter far from the edges leaves its photons on its own frame, nowhere below zero, as float32."""
    optics, side = _built(subject)
    centre = (side / 2 + 0.3) * PIXEL_NM
    image = _drawn(optics, side, [(0, centre, centre), (2, centre, centre - 120.0)])
    wanted = (3, side, side) if optics.channels == 1 else (3, optics.channels, side, side)
    require(tuple(image.shape) == wanted, f"shape {tuple(image.shape)}, expected {wanted}")
    require(image.dtype == torch.float32, f"{image.dtype}, expected torch.float32")
    require((image >= -SMALL).all() and image.isfinite().all(), "light below zero, or not finite")
    for frame, photons in enumerate((PHOTONS, 0.0, PHOTONS)):
        seen = float(image[frame].sum())
        require(abs(seen - photons) <= 0.01 * PHOTONS, f"frame {frame} has {seen:.1f} of {photons:g} photons")
    return f"{side} x {side} px"


def light_moves_with_the_emitter(subject: Subject) -> str:
    """An emitter one pixel further on leaves the same light one pixel further on, x along the last axis."""
    optics, side = _built(subject)
    centre = (side / 2 + 0.3) * PIXEL_NM
    image = _drawn(optics, side, [(0, centre, centre), (1, centre + PIXEL_NM, centre), (2, centre, centre + PIXEL_NM)])
    for frame, axis in ((1, -1), (2, -2)):
        away = float((image[frame].roll(-1, axis) - image[0]).abs().max())
        require(away <= SMALL * PHOTONS, f"moved along axis {axis} the light differs by {away:.3g} photons")
    return "by one pixel"


def light_adds_up(subject: Subject) -> str:
    """Two emitters on a frame leave the sum of their light."""
    optics, side = _built(subject)
    one, two = ((0, (side / 2 + at) * PIXEL_NM, side / 2 * PIXEL_NM) for at in (-0.8, 0.9))
    both = _drawn(optics, side, [one, two])
    away = float((both - _drawn(optics, side, [one]) - _drawn(optics, side, [two])).abs().max())
    require(away <= SMALL * PHOTONS, f"the sum differs by {away:.3g} photons")
    return "of two emitters"


def reach_is_true(subject: Subject) -> str:
    """Outside the field by more than `reach_nm` an emitter leaves no light, and `sigma_nm` is shorter than that."""
    optics, side = _built(subject)
    outside = -(optics.reach_nm + PIXEL_NM)
    left = float(_drawn(optics, side, [(0, outside, side / 2 * PIXEL_NM)]).sum())
    require(left <= SMALL * PHOTONS, f"an emitter {-outside:.0f} nm outside leaves {left:.3g} photons")
    require(0 < optics.sigma_nm < optics.reach_nm, f"sigma {optics.sigma_nm:g} nm, reach {optics.reach_nm:g} nm")
    return f"{optics.reach_nm:g} nm"


def slopes_agree_with_differences(subject: Subject) -> str:
    """The derivatives along x, y and z are those of the light, also near the ends of the depths."""
    optics, side = _built(subject)
    window, deep = Window(side, PIXEL_NM), _depths(optics)
    places = [torch.full_like(deep, (side / 2 + at) * PIXEL_NM) for at in (0.23, -0.31)]
    places.append(deep[1] + 0.98 * (deep - deep[1]))
    shapes = _alike(optics, len(deep))
    _, slopes = optics.slopes(Stand(*places), shapes, window)
    wanted = (len(deep), 3, optics.channels, side, side)
    require(tuple(slopes.shape) == wanted, f"shape {tuple(slopes.shape)}, expected {wanted}")
    for axis, name in enumerate("xyz"):
        sides = [[at + step * (k == axis) for k, at in enumerate(places)] for step in (STEP_NM, -STEP_NM)]
        ahead, behind = (optics.light(Stand(*one), shapes, window) for one in sides)
        differences = (ahead - behind) / (2 * STEP_NM)
        away, peak = float((slopes[:, axis] - differences).abs().max()), float(differences.abs().max())
        require(away <= SMALL * peak + LEAST_SLOPE, f"along {name} off by {away:.3g} per nm, the largest is {peak:.3g}")
    return "x, y and z"


def light_is_kept_at_every_depth(subject: Subject) -> str:
    """At both ends of the depths that it knows an emitter has its photons, and another light than in the middle."""
    optics, side = _built(subject)
    if optics.depth_nm is None:
        raise NotApplicable("it is the same at every depth")
    deep = _depths(optics)
    place = torch.full_like(deep, (side / 2 + 0.3) * PIXEL_NM)
    light = optics.light(Stand(place, place, deep), _alike(optics, len(deep)), Window(side, PIXEL_NM))
    for z_nm, share in zip(deep.tolist(), light.sum((1, 2, 3)).tolist(), strict=True):
        require(abs(share - 1) <= 0.01, f"at {z_nm:g} nm {share:.4f} of the light is seen")
    away = float((light - light[1]).abs().amax((1, 2, 3)).max())
    require(away > SMALL * float(light[1].max()), "its depths all have the same light; leave depth_nm at None")
    return f"{optics.depth_nm[0]:g} to {optics.depth_nm[1]:g} nm"


def _depths(optics: Psf) -> torch.Tensor:
    """Lowest, middle and highest."""
    low, high = optics.depth_nm or (0.0, 0.0)
    return torch.tensor([low, (low + high) / 2, high], dtype=torch.float64)


def _alike(optics: Psf, n: int) -> Shapes:
    """All of the same shape."""
    shapes = optics.shapes(1, torch.Generator().manual_seed(0))
    return {name: value.expand(n, *value.shape[1:]) for name, value in shapes.items()}


def _built(subject: Subject) -> tuple[Psf, int]:
    """The PSF by its defaults, and a side in pixels that holds all its light; `small(folder)` makes files it needs."""
    made = getattr(subject.module, "small", None)
    with TemporaryDirectory() as folder:
        own = made(Path(folder)) if made is not None else {}
        optics: Psf = subject.module.build(subject.settings({**subject.card.tiny, **own}))
    return optics, 2 * math.ceil(optics.reach_nm / PIXEL_NM) + 7


def _drawn(optics: Psf, side: int, places: list[tuple[int, float, float]]) -> torch.Tensor:
    """Emitters (frame, x, y) of `PHOTONS` each, all of the same shape, on three frames."""
    n, (frame, x, y) = len(places), torch.tensor(places, dtype=torch.float64).T
    spots = Spots(frame.long(), x, y, torch.zeros(n, dtype=torch.float64), torch.full((n,), PHOTONS))
    return optics.render(spots, _alike(optics, n), Canvas(3, side, side, PIXEL_NM))
