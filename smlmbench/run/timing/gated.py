"""What a run's stored timings say: which number formats passed the quality gate, and what is fastest for a movie."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from smlmbench.errors import SmlmBenchError
from smlmbench.inference.loading import Runnable
from smlmbench.inference.running import takes_range, why_not
from smlmbench.registry import Catalog
from smlmbench.report.devices import PLAIN, SINGLE, slower
from smlmbench.run.timing.reduced import file_of
from smlmbench.timing import BUSY, host_name
from smlmbench.tracking.records import RunRecord
from smlmbench.tracking.tags import NOT_TIMED, TIMED_ON

STORED = re.compile(
    r"^device/(?P<device>[a-z]+)_(?P<runtime>.+)_(?P<number_format>fp32|bf16|int8)_(?P<size>\d+)px(_(?P<what>\w+))?$"
)
PER_FRAME = "frame_"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate said of a runtime and number format of one network."""

    passed: bool  # whether it counts
    text: str  # scores, or the reason why it does not count


@dataclass(frozen=True, slots=True)
class Choice:
    """What runs a movie, and why."""

    runtime: str | None  # None leaves it to the file
    number_format: str  # fp32, bf16 or int8
    file: Path | None  # stored, of a reduced format; None runs the checkpoint
    why: str  # for people
    ready: Runnable | None = None  # where it was loaded to be tried


def judged(record: RunRecord, device: str = "cpu") -> dict[str, Verdict]:
    """Verdicts on the reduced number formats of a run, by `runtime format`; those never tried are absent."""
    found: dict[str, Verdict] = {}
    for metric, reason in json.loads(record.tags.get(NOT_TIMED, "{}")).items():
        parts = STORED.match(metric)
        if parts is not None and parts["device"] == device and parts["number_format"] != "fp32":
            found[f"{parts['runtime']} {parts['number_format']}"] = Verdict(False, str(reason))
    for (runtime, number_format, _), numbers in _stored(record, device):
        name = next((name for name in sorted(numbers) if f"{name}_fp32" in numbers), None)
        if number_format != "fp32" and name is not None:
            text = f"{name} {numbers[name]:.2f}, fp32 {numbers[f'{name}_fp32']:.2f}"
            found[f"{runtime} {number_format}"] = Verdict(True, text)
    return found


def verdict(gates: Mapping[str, Verdict], label: str) -> Verdict:
    """The verdict on `runtime format`: fp32 needs none, and what was never tried does not count."""
    if label.endswith("fp32"):
        return Verdict(True, "fp32")
    return gates.get(label, Verdict(False, "not judged"))


def fastest(record: RunRecord, device: torch.device, movie: tuple[int, int, int], catalog: Catalog) -> Choice | None:
    """What predicts a movie (frames, height, width) soonest, of all timed here with this run that passed the gate.

    A way that takes longer for a frame than a simpler one (`slower`) is left out. The first call counts (a runtime that
    translates the network first is worth it on long movies only); None where nothing is stored of this computer.
    """
    if record.tags.get(TIMED_ON) != host_name():
        return None
    frames, height, width = movie
    timed = [(key, numbers) for key, numbers in _stored(record, device.type) if "latency_ms" in numbers]
    sizes = {size for (_, _, size), _ in timed}
    if not sizes:
        return None
    nearest = min(sizes, key=lambda size: (abs(size**2 - height * width), size))
    verdicts = judged(record, device.type)
    possible: list[tuple[float, float, Choice, bool]] = []
    passed = {
        (runtime, number_format): numbers
        for (runtime, number_format, size), numbers in timed
        if size == nearest and verdict(verdicts, f"{runtime} {number_format}").passed
    }
    ways = {way: numbers["latency_ms"] for way, numbers in passed.items()}
    for way, numbers in passed.items():
        choice = usable(record, *way, device, catalog)
        if choice is not None and not slower(way, ways[way], ways):
            latency = ways[way]
            whole = numbers.get("load_ms", 0.0) + frames * latency * height * width / nearest**2
            possible.append((whole, latency, choice, numbers.get("others", 0.0) > BUSY))
    if not possible:
        return None
    _, latency, best, busy = min(possible, key=lambda one: one[0])
    single = next((ms for _, ms, one, _ in possible if (one.runtime, one.number_format) == (PLAIN, SINGLE)), None)
    beside = f", eager fp32 {single:.2f} ms" if single is not None and best.runtime != PLAIN else ""
    reduced = best.number_format != "fp32"
    gate = f"; gate passed: {verdicts[f'{best.runtime} {best.number_format}'].text}" if reduced else ""
    marked = "; timed while other programs were busy" if busy else ""
    why = f"soonest of {len(passed)} timed here: {latency:.2f} ms for {nearest} px{beside}{gate}{marked}"
    return Choice(best.runtime, best.number_format, best.file, why)


def usable(
    record: RunRecord | None, runtime: str, number_format: str, device: torch.device, catalog: Catalog
) -> Choice | None:
    """The choice, or None where it cannot be made again here; without a run its checkpoint is run."""
    try:
        if why_not(catalog, runtime, device, number_format):
            return None
    except SmlmBenchError:  # a runtime of a plug-in that is not given
        return None
    normalisation = "" if record is None else record.params.get("model.normalisation", "")
    if normalisation.startswith(PER_FRAME) and not takes_range(catalog, runtime):
        return None  # it would forbid tiles, and with them the bound on memory
    file = None if record is None else file_of(record, runtime, number_format)
    return None if number_format == "int8" and file is None else Choice(runtime, number_format, file, "")


def _stored(record: RunRecord, device: str) -> Iterator[tuple[tuple[str, str, int], dict[str, float]]]:
    """Numbers of every timing of a device by runtime, number format and size."""
    found: dict[tuple[str, str, int], dict[str, float]] = {}
    for name, value in record.metrics.items():
        parts = STORED.match(name)
        if parts is not None and parts["device"] == device and parts["what"]:
            key = (parts["runtime"], parts["number_format"], int(parts["size"]))
            found.setdefault(key, {})[parts["what"]] = value
    yield from sorted(found.items())
