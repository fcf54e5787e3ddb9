"""Checks of an output kind: what goes in as targets comes out as detections."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from smlmbench.conformance import examples
from smlmbench.conformance.checks import NotApplicable, Subject, a_card, require
from smlmbench.data.ahead import on_device
from smlmbench.data.contracts import Batch


def truth_comes_back(subject: Subject) -> str:
    """The perfect answer to isolated emitters is decoded to each of them, once, within half a fine pixel per axis."""
    for upsampling in _upsamplings(subject):
        batch = examples.batch(frames=2, side_px=24)
        settings, perfect = _perfect(subject, batch, upsampling)
        found = subject.module.decode(perfect, settings, 0.5)
        where, emitters = f"at upsampling {upsampling}", len(batch.truth.sample)
        require(len(found) == emitters, f"{emitters} emitters, {len(found)} detections {where}")
        half_nm = 0.5 * examples.PIXEL_SIZE_NM / upsampling + 1e-3
        truth = np.stack([batch.truth.sample, batch.truth.x_nm, batch.truth.y_nm], axis=1).astype(float)
        seen = np.stack([found.frame, found.x_nm, found.y_nm], axis=1)
        away = np.abs(truth[:, None] - seen[None])
        hit = (away[..., 0] == 0) & (away[..., 1:] <= half_nm).all(-1)
        require((hit.sum(1) == 1).all(), f"an emitter is off by more than {half_nm:.1f} nm {where}")
        require(found.n_frames == 2, f"n_frames is {found.n_frames} for a batch of 2")
        side_nm = 24 * examples.PIXEL_SIZE_NM
        require(found.field_nm == (side_nm, side_nm), f"field_nm is {found.field_nm}, expected {side_nm:g} nm each way")
    return "upsampling " + ", ".join(str(upsampling) for upsampling in _upsamplings(subject))


def threshold_only_selects(subject: Subject) -> str:
    """Decoding at a threshold gives the rows of a lower one whose probability is above it."""
    settings, perfect = _perfect(subject, examples.batch(), _upsamplings(subject)[-1])
    noise = torch.randn(perfect.shape, generator=torch.Generator().manual_seed(2))
    low, high = (subject.module.decode(perfect + noise, settings, threshold) for threshold in (0.0, 0.2))
    kept = low.select(low.probability > 0.2)
    require(np.array_equal(kept.x_nm, high.x_nm), f"{len(kept)} rows kept, {len(high)} decoded, or others")
    return f"{len(low)} rows, {len(high)} above 0.2"


def image_has_unit_mass(subject: Subject) -> str:
    """The image of the perfect answer is on the fine grid, sums to the number of emitters and is nowhere negative."""
    if not hasattr(subject.module, "image"):
        raise NotApplicable("it makes no image")
    for upsampling in _upsamplings(subject):
        batch = examples.batch()
        settings, perfect = _perfect(subject, batch, upsampling)
        image: Tensor = subject.module.image(perfect, settings)
        shape, wanted = tuple(image.shape), (2, 16 * upsampling, 16 * upsampling)
        require(shape == wanted, f"shape {shape} at upsampling {upsampling}, expected {wanted}")
        mass, emitters = float(image.sum()), len(batch.truth.sample)
        require(abs(mass - emitters) < 1e-3 * emitters, f"mass {mass:.4g} for {emitters} emitters")
        lowest = float(subject.module.image(-perfect, settings).min())
        require(lowest >= 0, "the image of a negative answer is negative")
    return "one per emitter"


def empty_is_empty(subject: Subject) -> str:
    """A batch without emitters has targets of the same shapes, and nothing is decoded from its perfect answer."""
    full = examples.batch()
    none = {name: getattr(full.truth, name)[:0] for name in ("sample", "x_nm", "y_nm", "z_nm", "photons")}
    batch = replace(full, truth=replace(full.truth, **none))
    upsampling = _upsamplings(subject)[0]
    settings, perfect = _perfect(subject, batch, upsampling)
    alike = perfect.shape == _perfect(subject, full, upsampling)[1].shape
    require(alike, "an empty batch has targets of another shape")
    found = subject.module.decode(perfect, settings, 0.0)
    require(len(found) == 0 and found.n_frames == 2, f"{len(found)} detections without emitters")
    return "no rows"


def same_on_a_card(subject: Subject) -> str:
    """Targets, detections and image of a card are those of the processor, for kinds of any device (fact any_device)."""
    if not subject.card.facts.get("any_device"):
        raise NotApplicable("it is given tensors of the processor (fact any_device)")
    card, batch, upsampling = a_card(), examples.batch(), _upsamplings(subject)[-1]
    settings, perfect = _perfect(subject, batch, upsampling)
    drawn = subject.module.targets(on_device(batch, card), settings)
    for name, target in subject.module.targets(batch, settings).items():
        require(torch.equal(target, drawn[name].cpu()), f"targets '{name}' differ on the card")
    raw = perfect + torch.randn(perfect.shape, generator=torch.Generator().manual_seed(3))
    here, there = (subject.module.decode(one, settings, 0.0) for one in (raw, raw.to(card)))
    require(np.array_equal(here.frame, there.frame), f"{len(here)} rows on the processor, {len(there)} on the card")
    away_nm = float(np.hypot(here.x_nm - there.x_nm, here.y_nm - there.y_nm).max(initial=0.0))
    require(away_nm < 0.01, f"detections are {away_nm:.3g} nm away on the card")
    if hasattr(subject.module, "image"):
        image, other = (subject.module.image(one, settings).cpu() for one in (raw, raw.to(card)))
        require(torch.allclose(image, other, atol=1e-6), "the image differs on the card")
    return f"{len(here)} rows within {away_nm:.1g} nm"


def _upsamplings(subject: Subject) -> list[int]:
    return examples.upsamplings(subject.catalog, subject.name)


def _perfect(subject: Subject, batch: Batch, upsampling: int) -> tuple[dict[str, Any], Tensor]:
    settings = examples.output_settings(subject.catalog, subject.name, upsampling)
    targets = subject.module.targets(batch, settings)
    raw = examples.perfect_raw(subject.catalog, subject.name, targets, settings, batch)
    if raw is None:
        raise NotApplicable("its card names no target that is a perfect answer (perfect_raw), nor does it make one")
    return settings, raw
