"""Small inputs that checks work on: a few emitters on a flat background, as a source would hand them over."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from smlmbench.data.contracts import Batch, Given, Statistics
from smlmbench.registry import Catalog, LossCard
from smlmbench.truths.emitters import Sampled

PIXEL_SIZE_NM = 100.0
PSF_SIGMA_PX = 1.3
PHOTONS = 1500.0
BACKGROUND_PHOTONS = 10.0
STATISTICS = Statistics(mean=18.0, std=22.0, low=2.0, high=160.0)


def given(upsampling: int, *, channels: int = 1, statistics: Statistics = STATISTICS) -> Given:
    """What a model is told when it is built."""
    return Given(channels, upsampling, PIXEL_SIZE_NM, statistics, context=channels)


def batch(*, frames: int = 2, side_px: int = 16, seed: int = 0, channels: int = 1) -> Batch:
    """Frames of side_px camera pixels with isolated emitters, one in every 8 x 8 pixels, at random sub-pixel places."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.arange(4, side_px, 8, dtype=torch.float32)
    y, x = (axis.reshape(-1).repeat(frames) for axis in torch.meshgrid(centres, centres, indexing="ij"))
    x, y = (at + torch.rand(at.shape, generator=generator) * 2 - 1 for at in (x, y))
    sample = torch.arange(frames).repeat_interleave(len(centres) ** 2)
    edges = torch.arange(side_px + 1, dtype=torch.float32)
    across, down = ((torch.special.ndtr((edges - at[:, None]) / PSF_SIGMA_PX)).diff(dim=1) for at in (x, y))
    spots = PHOTONS * down[:, :, None] * across[:, None, :]
    mean = torch.full((frames, side_px, side_px), BACKGROUND_PHOTONS).index_add_(0, sample, spots)
    pixels = torch.poisson(mean, generator=generator)[:, None]
    z_nm, photons = torch.zeros_like(x), torch.full_like(x, PHOTONS)
    truth = Sampled(sample, x * PIXEL_SIZE_NM, y * PIXEL_SIZE_NM, z_nm, photons, PIXEL_SIZE_NM)
    return Batch(pixels.repeat(1, channels, 1, 1), truth)


def upsamplings(catalog: Catalog, output: str) -> list[int]:
    """The upsamplings that an output kind knows; 1 alone where it has no such setting."""
    setting = catalog.card("outputs", output).settings.get("upsampling")
    if setting is None:
        return [1]
    choices = [setting.default] if setting.choices is None else setting.choices
    return [choice for choice in choices if isinstance(choice, int)]


def output_settings(catalog: Catalog, output: str, upsampling: int) -> dict[str, Any]:
    """Default settings of an output kind at one upsampling, with the camera pixel that decoding needs."""
    card = catalog.card("outputs", output)
    chosen = {"upsampling": upsampling} if "upsampling" in card.settings else {}
    return {**card.fill(output, chosen), "pixel_size_nm": PIXEL_SIZE_NM}


def perfect_raw(catalog: Catalog, output: str, targets: Mapping[str, Tensor]) -> Tensor | None:
    """The target that is itself a perfect raw output, where the card names one (fact `perfect_raw`)."""
    name = catalog.card("outputs", output).facts.get("perfect_raw")
    return targets[name] if name else None


def loss_for(catalog: Catalog, output: str, own: list[dict[str, Any]], settings: Mapping[str, Any]) -> Any:
    """A built one-player loss for an output kind: the model's own first, else the first that accepts it; or None."""
    candidates = [*own, *({"name": name} for name in catalog.names("losses"))]
    for choice in candidates:
        card = catalog.card("losses", choice["name"])
        if isinstance(card, LossCard) and output in card.accepts and card.players == 1:
            chosen = {key if key != "lambda" else "weight": value for key, value in choice.items() if key != "name"}
            return catalog.module("losses", choice["name"]).build(card.fill(choice["name"], chosen), settings)
    return None
