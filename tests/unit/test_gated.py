"""What the stored timings of a run say about number formats, and which one runs a movie."""

import json
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import torch

from smlmbench.registry import Catalog
from smlmbench.run.timing import gated
from smlmbench.run.timing.gated import fastest, judged, verdict
from smlmbench.timing import host_name

CATALOG = Catalog()
CPU = torch.device("cpu")


@dataclass
class Record:
    """As much of a run as is looked at."""

    metrics: dict
    tags: dict = field(default_factory=lambda: {gated.TIMED_ON: host_name()})
    params: dict = field(default_factory=dict)
    store: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(place="a store"))

    def artifact(self, _):
        return None


def timing(runtime, number_format, latency_ms, size=64, **more):
    stem = f"device/cpu_{runtime}_{number_format}_{size}px"
    return {f"{stem}_{name}": value for name, value in {"latency_ms": latency_ms, **more}.items()}


SINGLE = timing("eager", "fp32", 10.0, load_ms=5.0)
PASSED = timing("eager", "bf16", 2.0, load_ms=5.0, efficiency=70.5, efficiency_fp32=71.0)


def test_the_soonest_that_passed_is_taken_and_said():
    chosen = fastest(Record(SINGLE | PASSED), CPU, (100, 64, 64), CATALOG)
    assert (chosen.runtime, chosen.number_format, chosen.file) == ("eager", "bf16", None)
    assert "2.00 ms for 64 px" in chosen.why
    assert "efficiency 70.50, fp32 71.00" in chosen.why


def test_a_reduced_format_without_its_gate_is_never_taken():
    chosen = fastest(Record(SINGLE | timing("eager", "bf16", 2.0)), CPU, (100, 64, 64), CATALOG)
    assert (chosen.runtime, chosen.number_format) == ("eager", "fp32")
    reasons = {
        gated.TIMED_ON: host_name(),
        gated.NOT_TIMED: json.dumps({"device/cpu_eager_bf16_64px": "it may lose 3"}),
    }
    found = judged(Record(SINGLE, reasons))
    assert not verdict(found, "eager bf16").passed
    assert verdict(found, "eager bf16").text == "it may lose 3"
    assert not verdict(found, "openvino int8").passed
    assert verdict(found, "openvino fp32").passed


def test_int8_without_its_file_and_other_computers_do_not_count():
    numbers = SINGLE | timing("onnxruntime", "int8", 1.0, efficiency=70.0, efficiency_fp32=70.0)
    assert fastest(Record(numbers), CPU, (100, 64, 64), CATALOG).runtime == "eager"
    elsewhere = Record(SINGLE | PASSED, {gated.TIMED_ON: "another processor"})
    assert fastest(elsewhere, CPU, (100, 64, 64), CATALOG) is None
    assert fastest(Record({}), CPU, (100, 64, 64), CATALOG) is None


def test_what_a_simpler_way_does_faster_is_never_taken():
    slow = timing("eager", "bf16", 12.0, efficiency=70.0, efficiency_fp32=70.0)  # nothing to load, and yet
    late = timing("eager", "fp32", 10.0, load_ms=1e6)
    chosen = fastest(Record(late | slow), CPU, (100, 64, 64), CATALOG)
    assert (chosen.runtime, chosen.number_format) == ("eager", "fp32")
    assert "soonest of 2 timed here" in chosen.why


def test_a_slow_start_is_worth_it_on_long_movies_only():
    slow = timing("eager", "bf16", 1.0, load_ms=60_000.0, efficiency=70.0, efficiency_fp32=70.0)
    formats = [fastest(Record(SINGLE | slow), CPU, (n, 64, 64), CATALOG).number_format for n in (10, 100_000)]
    assert formats == ["fp32", "bf16"]


def test_the_size_nearest_to_the_movie_decides_and_a_busy_computer_is_said():
    large = timing("eager", "fp32", 100.0, 256) | timing(
        "eager", "bf16", 200.0, 256, efficiency=70.0, efficiency_fp32=70.0
    )
    record = Record(SINGLE | PASSED | large)
    assert fastest(record, CPU, (9, 60, 80), CATALOG).number_format == "bf16"
    assert fastest(record, CPU, (9, 250, 300), CATALOG).number_format == "fp32"
    busy = Record(SINGLE | timing("eager", "bf16", 2.0, efficiency=70.0, efficiency_fp32=70.0, others=0.9))
    assert "other programs were busy" in fastest(busy, CPU, (9, 64, 64), CATALOG).why


@pytest.mark.skipif("onnxruntime" not in CATALOG.names("runtimes"), reason="no such runtime")
def test_frame_statistics_stay_with_runtimes_that_can_be_told_the_range():
    numbers = SINGLE | timing("onnxruntime", "fp32", 1.0)
    assert fastest(
        Record(numbers, params={"model.normalisation": "frame_minmax"}), CPU, (99, 64, 64), CATALOG
    ).runtime == ("eager")
