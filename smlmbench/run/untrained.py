"""Timing of registered networks without training: latency depends on settings, not on weights."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
import yaml

from smlmbench.data.contracts import Given, Statistics
from smlmbench.errors import ConfigError, suggest
from smlmbench.inference.allocator import keep_buffers
from smlmbench.inference.checkpoint import build_network
from smlmbench.inference.engine import frame_multiple
from smlmbench.registry import Catalog
from smlmbench.timing import check_device, host_name, threads, time_calls

PIXEL_SIZE_NM = 100.0
STATISTICS = Statistics(mean=12.0, std=10.0, low=2.0, high=120.0)


def time_untrained(
    models: Sequence[str],
    sizes: str,
    upsampling: int,
    where: tuple[str, int | None],
    sets: Sequence[str],
    catalog: Catalog,
) -> list[dict[str, Any]]:
    """Time networks at several frame sizes.

    Args:
        models: Registered names.
        sizes: Sides in px, comma separated.
        upsampling: 2, 4 or 8.
        where: Device, and threads or None.
        sets: Settings as `model.setting=value`.
        catalog: Registered things.

    Returns:
        One row per model and size.
    """
    device = check_device(where[0])
    given = Given(1, upsampling, PIXEL_SIZE_NM, STATISTICS)
    chosen = _settings(models, sets, catalog)
    for name in models:
        _check_upsampling(name, upsampling, catalog)
    keep_buffers()
    rows: list[dict[str, Any]] = []
    with threads(where[1]):
        for size in _sizes(sizes):
            calls = {name: _call(name, chosen[name], given, size, device, catalog) for name in chosen}
            for name, latency in time_calls(calls, device).items():
                rows.append({"model": name, "size_px": size, "host": host_name(), **asdict(latency)})
    return rows


def _call(
    name: str, settings: Mapping[str, Any], given: Given, size: int, device: torch.device, catalog: Catalog
) -> Callable[[], Any]:
    side = size + -size % frame_multiple(catalog.card("models", name).facts, given.upsampling)
    frames = torch.full((1, given.channels, side, side), STATISTICS.mean, device=device)
    network = build_network(catalog, name, settings, given)
    prepared = catalog.module("runtimes", "eager").prepare(network, frames, "fp32")
    return lambda: prepared(frames)


def _check_upsampling(name: str, upsampling: int, catalog: Catalog) -> None:
    kind = getattr(catalog.card("models", name), "output", "")
    setting = catalog.card("outputs", kind).settings.get("upsampling")
    if setting is not None:
        setting.check("--upsampling", upsampling)


def _sizes(text: str) -> list[int]:
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or not all(8 <= size <= 4096 for size in sizes):
        raise ConfigError(f"--sizes {text}: not frame sides; give whole numbers from 8 to 4096 such as 64,128")
    return sizes


def _settings(models: Sequence[str], sets: Sequence[str], catalog: Catalog) -> dict[str, dict[str, Any]]:
    """All settings of every model, with those of `--set` put in."""
    found: dict[str, dict[str, Any]] = {name: {} for name in models}
    for text in sets:
        key, equals, value = text.partition("=")
        model, dot, setting = key.partition(".")
        if not equals or not dot:
            raise ConfigError(f"--set {text}: not MODEL.SETTING=VALUE; write for example fid_storm.blocks=5")
        if model not in found:
            raise ConfigError(f"--set {text}: '{model}' is not timed here; {suggest(model, found)}")
        try:
            found[model][setting] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ConfigError(f"--set {text}: the value is not YAML; write for example fid_storm.blocks=5") from None
    return {name: catalog.card("models", name).fill(name, given) for name, given in found.items()}
