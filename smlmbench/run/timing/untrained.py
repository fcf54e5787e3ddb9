"""Timing outside a study: registered networks untrained, since latency depends on settings, and trained files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml

from smlmbench.data.contracts import Given, Statistics
from smlmbench.errors import ConfigError, suggest
from smlmbench.inference.allocator import keep_buffers
from smlmbench.inference.checkpoint import build_network, load_trained
from smlmbench.inference.engine import Network, frame_multiple
from smlmbench.inference.loading import load
from smlmbench.inference.running import NUMBER_FORMATS, prepare, runtime_of, why_not
from smlmbench.registry import Catalog, ModelCard
from smlmbench.report.devices import slower
from smlmbench.run.timing.measuring import Subject, measure
from smlmbench.timing import check_device, host_name, threads, time_calls
from smlmbench.tracking.runs import reason_of

PIXEL_SIZE_NM = 100.0
STATISTICS = Statistics(mean=12.0, std=10.0, low=2.0, high=120.0)
FRAMES = 4


@dataclass(frozen=True, slots=True)
class Where:
    """On what networks are timed: every combination; one that cannot run leaves a row with its reason."""

    devices: Sequence[str] = ("cpu",)
    runtimes: Sequence[str] = ("eager",)
    number_formats: Sequence[str] = ("fp32",)
    threads: int | None = None  # on the processor; None takes torch's own number
    full: bool = False  # also batches, end to end and work


class Shape(NamedTuple):
    """A network, the multiple that its frame sides are, the channels of its input, and the frames it sees at once."""

    network: torch.nn.Module
    multiple_px: int
    channels: int
    context: int


def time_untrained(
    models: Sequence[str], sizes: str, upsampling: int, where: Where, sets: Sequence[str], catalog: Catalog
) -> list[dict[str, Any]]:
    """Time registered networks: a row per model, size, device, runtime and number format.

    `sizes` are sides in px, comma separated; upsampling is 1, 2, 4 or 8; `sets` are settings as `model.setting=value`.
    int8 is calibrated on noise here, so its time counts and nothing is known of its quality.
    """
    for name in where.number_formats:
        if name not in NUMBER_FORMATS:
            raise ConfigError(f"--formats {name}: {suggest(name, NUMBER_FORMATS)}")
    chosen = _settings(models, sets, catalog)
    for name in models:
        kind = getattr(catalog.card("models", name), "output", "")
        setting = catalog.card("outputs", kind).settings.get("upsampling")
        if setting is not None:
            setting.check("--upsampling", upsampling)
    networks = {name: _untrained(name, settings, upsampling, catalog) for name, settings in chosen.items()}
    return list(_rows(networks, _sizes(sizes), upsampling, where, catalog))


def _untrained(name: str, settings: Mapping[str, Any], upsampling: int, catalog: Catalog) -> Shape:
    card = catalog.card("models", name)
    channels = card.frames_at_once(settings) if isinstance(card, ModelCard) else 1
    kind = catalog.card("outputs", getattr(card, "output", ""))
    chosen = {"upsampling": upsampling} if "upsampling" in kind.settings else {}
    given = Given(channels, upsampling, PIXEL_SIZE_NM, STATISTICS, channels, kind.fill("output", chosen))
    network = build_network(catalog, name, settings, given).eval()
    return Shape(network, frame_multiple(card.under(settings).facts, upsampling), channels, channels)


def time_file(path: Path, sizes: str, where: Where, catalog: Catalog) -> list[dict[str, Any]]:
    """Time a trained network: `best.pt` by every runtime, an exported file by its own; rows as `time_untrained`."""
    own = runtime_of(catalog, path)
    if own is None:
        trained = load_trained(path, catalog)
        name, upsampling = str(trained.facts["model"]["name"]), int(trained.output_settings.get("upsampling", 1))
        networks = {name: Shape(trained.network, trained.multiple_px, trained.channels, trained.context)}
        return list(_rows(networks, _sizes(sizes), upsampling, where, catalog))
    keep_buffers()
    rows = []
    with threads(where.threads):
        for size, device in product(_sizes(sizes), [check_device(name) for name in where.devices]):
            model = load(path, catalog, device)
            frames = _frames(size, int(model.facts["channels"]))
            waits = model.read_out.context // 2
            subject = Subject(torch.nn.Identity(), _same(model.network), frames, model.read_out, waits_frames=waits)
            found, failed = measure({path.name: subject}, device, time_calls, whole=where.full)
            if failed:
                raise failed[path.name]
            one, facts = found[path.name], {"model": path.name, "size_px": size, "device": device.type, "runtime": own}
            more = {"number_format": model.number_format, "host": host_name()}
            rows.append({**facts, **more, **asdict(one.latency), **one.numbers})
    return rows


def _same(network: Network) -> Any:
    return lambda: network


def _frames(size: int, channels: int) -> Any:
    return np.random.default_rng(0).poisson(STATISTICS.mean, (FRAMES, channels, size, size)).astype(np.float32)


def _rows(
    networks: Mapping[str, Shape], sizes: Sequence[int], upsampling: int, where: Where, catalog: Catalog
) -> Iterator[dict[str, Any]]:
    for name in where.runtimes:
        catalog.card("runtimes", name)
    devices = [check_device(name) for name in where.devices]
    keep_buffers()
    with threads(where.threads):
        for size, device in product(sizes, devices):
            subjects: dict[str, Subject] = {}
            rows: dict[str, dict[str, Any]] = {}
            reasons: dict[str, str] = {}
            for runtime, number_format, (name, one) in product(where.runtimes, where.number_formats, networks.items()):
                label = f"{name} {runtime} {number_format}"
                facts = {"size_px": size, "device": device.type, "host": host_name()}
                rows[label] = {"model": name, **facts, "runtime": runtime, "number_format": number_format}
                reasons[label] = why_not(catalog, runtime, device, number_format)
                if not reasons[label]:
                    call = _preparing(catalog, runtime, one, number_format, (size, device))
                    frames = _frames(size, one.channels)
                    waits = one.context // 2
                    subjects[label] = Subject(one.network, call, frames, None, None, upsampling, one.multiple_px, waits)
            found, failed = measure(subjects, device, time_calls, whole=where.full)
            reasons |= {label: reason_of(error) for label, error in failed.items()}
            timed: dict[str, dict[tuple[str, str], float]] = {}
            for label, measured in found.items():
                timed.setdefault(rows[label]["model"], {})[_way(rows[label])] = measured.latency.median_ms
            for label in sorted(rows, key=lambda label: label not in subjects):  # what cannot be tried comes last
                if label in found:
                    ways = timed[rows[label]["model"]]
                    why = slower(_way(rows[label]), found[label].latency.median_ms, ways)
                    more = {"slower": why} if why else {}
                    yield {**rows[label], **asdict(found[label].latency), **found[label].numbers, **more}
                else:
                    yield {**rows[label], "reason": reasons[label]}


def _way(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["runtime"], row["number_format"]


def _preparing(catalog: Catalog, runtime: str, one: Shape, number_format: str, where: tuple[int, torch.device]) -> Any:
    size, device = where
    side = size + -size % one.multiple_px
    example = torch.full((1, one.channels, side, side), STATISTICS.mean, device=device)
    noise = torch.poisson(torch.full((4, one.channels, side, side), STATISTICS.mean))
    return lambda: prepare(catalog, runtime, one.network.to(device), example, number_format, [noise])


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
