"""Timing of registered networks without training: latency depends on settings, not on weights."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch

from smlmbench.data.contracts import Given, Statistics
from smlmbench.errors import ConfigError
from smlmbench.inference.allocator import keep_buffers
from smlmbench.inference.checkpoint import build_network
from smlmbench.registry import Catalog
from smlmbench.timing import check_device, host_name, time_calls

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
    keep_buffers()
    device = check_device(where[0])
    if where[1] is not None:
        torch.set_num_threads(where[1])
    settings = {name: catalog.card("models", name).fill(name, _given(name, sets)) for name in models}
    catalog.card("outputs", "raster").settings["upsampling"].check("--upsampling", upsampling)
    runtime = catalog.module("runtimes", "eager")
    rows: list[dict[str, Any]] = []
    for size in _sizes(sizes):
        calls = {}
        for name in models:
            given = Given(1, upsampling, 100.0, STATISTICS)
            frames = torch.full((1, 1, size, size), STATISTICS.mean, device=device)
            prepared = runtime.prepare(build_network(catalog, name, settings[name], given), frames, "fp32")
            calls[name] = lambda prepared=prepared, frames=frames: prepared(frames)
        for name, latency in time_calls(calls, device).items():
            rows.append({"model": name, "size_px": size, "host": host_name(), **asdict(latency)})
    return rows


def _sizes(text: str) -> list[int]:
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or not all(8 <= size <= 4096 for size in sizes):
        raise ConfigError(f"--sizes {text}: not frame sides; give whole numbers from 8 to 4096 such as 64,128")
    return sizes


def _given(name: str, sets: Sequence[str]) -> dict[str, Any]:
    import yaml

    found: dict[str, Any] = {}
    for text in sets:
        key, equals, value = text.partition("=")
        model, dot, setting = key.partition(".")
        if not equals or not dot:
            raise ConfigError(f"--set {text}: not MODEL.SETTING=VALUE; write for example fid_storm.blocks=5")
        if model == name:
            found[setting] = yaml.safe_load(value)
    return found
