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


TAUGHT = {"photons_high": 3000.0, "background_high": 20.0, "z_low_nm": -500.0, "z_high_nm": 500.0}


def given(
    upsampling: int,
    *,
    channels: int = 1,
    statistics: Statistics = STATISTICS,
    output: Mapping[str, Any] | None = None,
) -> Given:
    """What a model is told when it is built."""
    return Given(channels, upsampling, PIXEL_SIZE_NM, statistics, context=channels, output=output or {})


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
    background = torch.full((frames,), BACKGROUND_PHOTONS)
    truth = Sampled(sample, x * PIXEL_SIZE_NM, y * PIXEL_SIZE_NM, z_nm, photons, PIXEL_SIZE_NM, background)
    return Batch(pixels.repeat(1, channels, 1, 1), truth)


def answering(catalog: Catalog, output: str) -> list[str]:
    """The models that answer in an output kind."""
    return [name for name in catalog.names("models") if getattr(catalog.card("models", name), "output", "") == output]


def upsamplings(catalog: Catalog, output: str) -> list[int]:
    """The upsamplings that an output kind knows; 1 alone where it has no such setting."""
    setting = catalog.card("outputs", output).settings.get("upsampling")
    if setting is None:
        return [1]
    choices = [setting.default] if setting.choices is None else setting.choices
    return [choice for choice in choices if isinstance(choice, int)]


def output_settings(catalog: Catalog, output: str, upsampling: int) -> dict[str, Any]:
    """Default settings of an output kind (tiny where its card says so) at one upsampling, with what the data add."""
    card = catalog.card("outputs", output)
    chosen = {"upsampling": upsampling} if "upsampling" in card.settings else {}
    asked = {name: TAUGHT[name] for name in card.facts.get("asks", ())}
    return {**card.fill(output, {**card.tiny, **chosen}), "pixel_size_nm": PIXEL_SIZE_NM, **asked}


def perfect_raw(
    catalog: Catalog, output: str, targets: Mapping[str, Tensor], settings: Mapping[str, Any], like: Batch
) -> Tensor | None:
    """A perfect raw output: the target that the card names (fact `perfect_raw`), or what the kind's `perfect` makes.

    `perfect(targets, settings, height, width)` is written by a kind whose targets are no raw output; None without both.
    """
    if (name := catalog.card("outputs", output).facts.get("perfect_raw")) is not None:
        return targets[name]
    made = getattr(catalog.module("outputs", output), "perfect", None)
    return None if made is None else made(targets, settings, *like.inputs.shape[-2:])


def silent_raw(catalog: Catalog, output: str, perfect: Tensor, settings: Mapping[str, Any]) -> Tensor:
    """A raw output that says that nothing is there: zeros, or what the kind's `silent(raw, settings)` makes."""
    made = getattr(catalog.module("outputs", output), "silent", None)
    return torch.zeros_like(perfect) if made is None else made(perfect, settings)


def loss_for(catalog: Catalog, output: str, own: list[dict[str, Any]], settings: Mapping[str, Any]) -> Any:
    """A built one-player loss for an output kind: the model's own first, else the first that accepts it; or None."""
    candidates = [*own, *({"name": name} for name in catalog.names("losses"))]
    for choice in candidates:
        card = catalog.card("losses", choice["name"])
        if isinstance(card, LossCard) and output in card.accepts and card.players == 1:
            chosen = {key if key != "lambda" else "weight": value for key, value in choice.items() if key != "name"}
            return catalog.module("losses", choice["name"]).build(card.fill(choice["name"], chosen), settings)
    return None
