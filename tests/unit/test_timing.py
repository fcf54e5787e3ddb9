import dataclasses
import time
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch

from smlmbench import timing
from smlmbench.errors import ConfigError
from smlmbench.registry import Catalog
from smlmbench.run.timing import untrained
from smlmbench.run.timing.measuring import Measured, Subject, measure
from smlmbench.timing import check_device, host_name, synchronise, threads, time_calls

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _no_long_warm_up(monkeypatch):
    monkeypatch.setattr(timing, "WARM_UP_S", 0.002)


def test_quantiles_are_in_order_and_every_call_is_counted():
    calls = {"nap": 0, "nothing": 0}

    def nap():
        calls["nap"] += 1
        time.sleep(0.001)

    def nothing():
        calls["nothing"] += 1

    found = time_calls({"nap": nap, "nothing": nothing}, CPU, budget_s=0.02, max_rounds=20)
    assert list(found) == ["nap", "nothing"]
    for label, latency in found.items():
        assert 0 <= latency.q1_ms <= latency.median_ms <= latency.q3_ms <= latency.p90_ms
        assert latency.first_ms > 0
        assert latency.cpu_ms >= 0
        assert timing.MIN_ROUNDS <= latency.rounds <= 20
        # The first call and the warm-up come before the rounds.
        assert calls[label] >= latency.rounds + 2
        assert latency.threads == torch.get_num_threads()
        assert 0 <= latency.others <= 1
    # A sleep never ends early; the rest is left to the machine.
    assert found["nap"].q1_ms >= 1.0
    assert found["nap"].first_ms >= 1.0
    assert found["nap"].rounds == found["nothing"].rounds


def test_candidates_take_turns_in_an_order_drawn_anew_each_round(monkeypatch):
    order = []
    monkeypatch.setattr(timing, "WARM_UP_S", 0.0)
    monkeypatch.setattr(timing, "SETTLE_S", 0.0)
    calls = {name: (lambda name=name: order.append(name)) for name in "abc"}
    time_calls(calls, CPU, budget_s=1.0, max_rounds=600)
    # In its turn each runs once untimed, then five times.
    turns = ["".join(order[at : at + 6]) for at in range(3, len(order), 6)]
    assert all(turn == 6 * turn[0] for turn in turns)
    firsts = [turn[0] for turn in turns]
    rounds = ["".join(firsts[at : at + 3]) for at in range(0, len(firsts), 3)]
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len(set(rounds)) == 6
    # Each comes first about as often, and follows itself as often, as any other.
    after_itself = [sum(x[2] == y[0] == name for x, y in pairwise(rounds)) for name in "abc"]
    assert max(sum(one[0] == name for one in rounds) for name in "abc") < len(rounds) / 2
    assert max(after_itself) < 2 * min(after_itself)


def test_each_settles_before_its_turn_and_one_alone_needs_no_settling(monkeypatch):
    monkeypatch.setattr(timing, "WARM_UP_S", 0.0)
    monkeypatch.setattr(timing, "SETTLE_S", 0.004)
    clock = {"now": 0.0}
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock["now"])
    monkeypatch.setattr(timing, "used_by_others", lambda: 0.0)
    made = {"fast": 0, "slow": 0}

    def call(name, seconds):
        clock["now"] += seconds
        made[name] += 1

    calls = {"fast": lambda: call("fast", 0.001), "slow": lambda: call("slow", 0.01)}
    found = time_calls(calls, CPU, budget_s=0.0, max_rounds=6)
    # The first call, then turns of five and of one timed call, each after 4 ms or one call that takes longer.
    assert made == {"fast": 1 + (4 + 5) + (4 + 1), "slow": 1 + (1 + 5) + (1 + 1)}
    assert (found["fast"].median_ms, found["slow"].median_ms) == (pytest.approx(1.0), pytest.approx(10.0))
    made["fast"] = 0
    time_calls({"fast": calls["fast"]}, CPU, budget_s=0.0, max_rounds=6)
    assert made["fast"] == 1 + 6


def test_the_budget_sets_the_rounds(monkeypatch):
    monkeypatch.setattr(timing, "_once", lambda call, device: (0.01, 0.02))
    for budget_s, most, expected in ((1.0, 200, 100), (0.05, 200, 15), (100.0, 200, 200), (1.0, 5, 5)):
        found = time_calls({"x": lambda: None}, CPU, budget_s=budget_s, max_rounds=most)["x"]
        assert found.rounds == expected
        assert found.median_ms == found.q1_ms == found.p90_ms == found.first_ms == pytest.approx(10.0)
        assert found.cpu_ms == pytest.approx(20.0)


def test_quantiles_are_those_of_all_rounds():
    samples = np.column_stack([np.arange(1.0, 102.0), np.arange(101.0)])
    found = timing._latency(samples, 500.0, 0.5)
    quartiles = (found.q1_ms, found.median_ms, found.q3_ms, found.p90_ms)
    assert quartiles == (26.0, 51.0, 76.0, 91.0)
    assert (found.cpu_ms, found.first_ms, found.rounds, found.others) == (50.0, 500.0, 101, 0.5)
    assert dataclasses.asdict(found)["threads"] == torch.get_num_threads()


def test_a_call_that_fails_is_not_hidden():
    def broken():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        time_calls({"x": broken}, CPU)


def test_threads_are_set_for_a_block_alone():
    before = torch.get_num_threads()
    with threads(before + 1) as inside:
        assert inside == torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(ValueError, match="no"), threads(before + 2):
        raise ValueError("no")
    assert torch.get_num_threads() == before
    with threads(None) as inside:
        assert inside == before


def test_a_device_is_checked_by_name(monkeypatch):
    monkeypatch.setattr(timing, "present_devices", lambda: ["cpu"])
    assert check_device("cpu") == CPU
    for name in ("cuda", "auto", "tpu"):
        with pytest.raises(ConfigError, match=f"device '{name}' cannot be timed on this machine; accepted: cpu"):
            check_device(name)
    monkeypatch.setattr(timing, "present_devices", lambda: ["cpu", "mps"])
    assert check_device("mps").type == "mps"


def test_every_device_has_its_own_wait(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: waited.append(str(device)))
    monkeypatch.setattr(torch.mps, "synchronize", lambda: waited.append("mps"))
    for name in ("cpu", "cuda", "mps"):
        synchronise(torch.device(name))
    assert waited == ["cuda", "mps"]


def test_the_host_is_named_with_its_cores():
    assert host_name().endswith(" cores")
    assert "\n" not in host_name()


def test_a_busy_machine_is_refused_where_asked(monkeypatch):
    monkeypatch.setattr(timing, "used_by_others", lambda: 0.1)
    timing.refuse_busy()
    monkeypatch.setattr(timing, "used_by_others", lambda: 0.55)
    with pytest.raises(ConfigError, match="other programs use 55 % of the processor, at most 20 %"):
        timing.refuse_busy()


def test_a_way_that_eager_outruns_says_so(monkeypatch):
    takes = {"fp32": 5.0, "bf16": 6.0}

    def measure(subjects, *_, **__):
        times = {label: takes[label.split()[-1]] for label in subjects}
        return {label: Measured(timing.Latency(ms, ms, ms, ms, ms, ms, 15, 1, 0.0)) for label, ms in times.items()}, {}

    monkeypatch.setattr(untrained, "measure", measure)
    where = untrained.Where(number_formats=tuple(takes))
    one, other = untrained.time_untrained(["srcnn"], "16", 2, where, (), Catalog())
    assert (one["number_format"], one.get("slower")) == ("fp32", None)
    assert other["slower"] == "slower than eager in fp32 here (6 ms against 5 ms)"


def test_what_can_be_made_and_not_called_is_left_out_of_the_measurement():
    def breaks(frames):
        raise RuntimeError("no such operator")

    frames = np.zeros((1, 1, 8, 8), np.float32)
    calls = {"good": torch.nn.Identity(), "bad": breaks}
    subjects = {name: Subject(torch.nn.Identity(), lambda call=call: call, frames) for name, call in calls.items()}
    found, failed = measure(subjects, CPU, partial(time_calls, budget_s=0.01), whole=False)
    assert list(found) == ["good"]
    assert {name: str(error) for name, error in failed.items()} == {"bad": "no such operator"}


def test_frames_that_a_network_awaits_are_told():
    frames = np.zeros((1, 3, 8, 8), np.float32)
    subjects = {str(n): Subject(torch.nn.Identity(), torch.nn.Identity, frames, waits_frames=n) for n in (0, 1)}
    found, _ = measure(subjects, CPU, partial(time_calls, budget_s=0.01), whole=False)
    assert {name: one.numbers.get("waits_frames") for name, one in found.items()} == {"0": None, "1": 1.0}


def test_a_network_that_is_timed_untrained_says_how_many_frames_it_awaits(monkeypatch):
    given = {}
    monkeypatch.setattr(untrained, "measure", lambda subjects, *_, **__: given.update(subjects) or ({}, {}))
    where = untrained.Where(("cpu",), ("eager",), ("fp32",), 1)
    sets = ["fid_storm.context=3", "fid_storm.blocks=1"]
    untrained.time_untrained(["fid_storm", "srcnn"], "8", 2, where, sets, Catalog())
    waits = {label.split()[0]: (subject.waits_frames, subject.frames.shape[1]) for label, subject in given.items()}
    assert waits == {"fid_storm": (1, 3), "srcnn": (0, 1)}
