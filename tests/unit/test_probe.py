"""Formats that are measured: a clock that is told what each step takes, and one real probe on a tiny network."""

import copy
from types import SimpleNamespace

import pytest
import torch
from test_training import CPU, Stream, Trial, interrupt_at, network, recipe, settings, without_seconds
from torch import nn

from smlmbench import training
from smlmbench.data.contracts import Batch
from smlmbench.inference import probe
from smlmbench.inference.probe import Resolved, example_format, race, training_format
from smlmbench.recipes.contracts import Move
from smlmbench.study.schema import Training

LONG = 10**9  # samples


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch):
    monkeypatch.setattr(probe, "_known", {})


class Fake:
    """A recipe whose steps take what a table says, on a clock of its own."""

    def __init__(self, fp32_s, bf16_s, *, warm_up_s=0.0, error=None, slope=1.0):
        self.now, self.steps, self.error, self.slope = 0.0, [], error, slope
        self.per_sample = {"fp32": fp32_s, "bf16": bf16_s}
        self.warm_up = {"fp32": warm_up_s, "bf16": warm_up_s}
        self.network = nn.Linear(1, 1)
        self.modules = {"network": self.network}

    def clock(self):
        return self.now

    def players(self):
        return {"network": list(self.network.parameters())}

    def step(self, batch):
        name = "bf16" if torch.is_autocast_enabled("cpu") else "fp32"
        if name == "bf16" and self.error is not None:
            raise self.error
        self.steps.append((name, len(batch.inputs)))
        self.now += self.warm_up[name] + self.per_sample[name] * len(batch.inputs)
        self.warm_up[name] = 0.0
        slope = self.slope if name == "bf16" else 1.0
        return [Move("network", slope * self.network.weight.sum(), [], {})]

    def resolved(self, samples=LONG, size=16, **more):
        asked = Training(samples=samples, batch_size=size, number_format="auto")
        return training_format(self, lambda count: Batch(torch.ones(count, 1), None), asked, CPU, self.clock, **more)


def test_what_is_faster_by_a_tenth_is_taken_and_told_with_both_times():
    found = Fake(0.002, 0.001, warm_up_s=0.1).resolved()
    assert found.number_format == "bf16"
    assert found.why == "measured, a step takes 16.0 ms in bf16 against 32.0 ms in fp32"
    assert found.step_ms == pytest.approx({"fp32": 32.0, "bf16": 16.0})
    for bf16_s, expected in ((0.00182, "fp32"), (0.00178, "bf16")):
        probe._known.clear()
        assert Fake(0.002, bf16_s).resolved().number_format == expected


def test_asked_formats_and_short_trainings_are_not_measured():
    fake = Fake(0.01, 0.001)
    plain = Training(samples=LONG, number_format="bf16")
    assert training_format(fake, None, plain, CPU, fake.clock) == Resolved("bf16")
    assert fake.steps == []
    short = fake.resolved(samples=912)
    assert (short.number_format, short.why) == ("fp32", "a short training: 9.1 s in fp32")
    assert set(fake.steps) == {("fp32", 2)}
    assert fake.resolved(samples=1_008).number_format == "bf16"


def test_a_short_training_that_warms_up_slowly_is_still_short():
    fake = Fake(0.001, 0.0001, warm_up_s=0.2)
    assert fake.resolved(samples=9_000).number_format == "fp32"
    assert {name for name, _ in fake.steps} == {"fp32"}


def test_networks_that_are_alike_are_measured_once():
    first, second, wider = Fake(0.002, 0.001), Fake(0.002, 0.001), Fake(0.002, 0.001)
    wider.network = wider.modules["network"] = nn.Linear(2, 1)
    assert first.resolved() == second.resolved() == wider.resolved()
    assert (len(first.steps) > 4, second.steps, len(wider.steps) > 4) == (True, [], True)
    second.resolved(size=8)
    assert second.steps


@pytest.mark.parametrize(("per_sample_s", "most_s"), [(0.05, 2.0), (0.2, 2.2), (3.0, 13.0)])
def test_long_steps_are_measured_on_fewer_samples(per_sample_s, most_s):
    fake = Fake(per_sample_s, per_sample_s / 2)
    found = fake.resolved()
    assert found.number_format == "bf16"
    counts = {count for _, count in fake.steps}
    assert f"a step of {max(counts)} of 16 samples takes" in found.why
    assert fake.now <= most_s
    if per_sample_s > 1:
        assert fake.steps == [("fp32", 2), ("bf16", 2)]


def test_a_network_without_bf16_stays_in_fp32_and_says_why():
    found = Fake(0.01, 0.001, error=RuntimeError("not implemented for 'BFloat16'")).resolved()
    assert (found.number_format, found.why) == ("fp32", "no step in bf16: not implemented for 'BFloat16'")
    with pytest.raises(RuntimeError, match="out of memory"):
        Fake(0.01, 0.001, error=RuntimeError("out of memory")).resolved(size=15)


@pytest.mark.parametrize("bf16_s", [0.001, 1.0])  # measured on whole batches, and on a few samples alone
def test_a_network_whose_gradients_are_no_numbers_in_bf16_stays_in_fp32_and_says_why(bf16_s):
    found = Fake(2 * bf16_s, bf16_s, slope=float("nan")).resolved()
    assert (found.number_format, found.why) == ("fp32", "no step in bf16: its gradients are not finite")
    assert Fake(2 * bf16_s, bf16_s, slope=3.0).resolved().number_format == "fp32", "known from before"
    probe._known.clear()
    assert Fake(2 * bf16_s, bf16_s, slope=3.0).resolved().number_format == "bf16"


def test_a_card_takes_bf16_where_it_has_it(monkeypatch):
    asked = Training(number_format="auto")
    for has, expected in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has=has: has)
        assert training_format(Fake(1, 1), None, asked, torch.device("cuda")).number_format == expected
    assert training_format(Fake(1, 1), None, asked, torch.device("mps")).number_format == "fp32"


def test_ways_take_turns_and_the_least_disturbed_one_counts():
    fake, order = SimpleNamespace(now=0.0), []
    takes = {"slow": [9.0, 3.0, 2.0, 4.0], "fast": [1.0, 2.0, 1.0, 1.0]}

    def way(name):
        def work():
            fake.now += takes[name][order.count(name)]
            order.append(name)

        return work

    assert race({name: way(name) for name in takes}, lambda: fake.now, 26.0) == {"slow": 2.0, "fast": 1.0}
    assert order == ["slow", "fast"] * 4
    order.clear()
    assert race({name: way(name) for name in takes}, lambda: fake.now, 5.0) == {"slow": 9.0, "fast": 1.0}


def probed(monkeypatch, number_format):
    """Let the loop measure for real and then be told the outcome."""
    real = training.training_format

    def told(*given):
        found = real(*given)
        return Resolved(number_format, "told", found.step_ms)

    monkeypatch.setattr(probe, "SHORT_S", 0.0)
    monkeypatch.setattr(training, "training_format", told)


def test_a_probe_that_keeps_fp32_changes_no_bit_of_a_training(tmp_path, monkeypatch):
    plain = Trial(tmp_path / "plain", settings(number_format="fp32"))
    plain.run()
    probed(monkeypatch, "fp32")
    found = Trial(tmp_path / "auto", settings(number_format="auto"))
    progress = found.run()
    assert set(progress.step_ms) == {"fp32", "bf16"}
    assert without_seconds(found.told) == without_seconds(plain.told)
    for ours, theirs in zip(found.states, plain.states, strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert [asked for asked in found.stream.asked if asked[1] == 4] == plain.stream.asked  # a few more for the probe
    assert {asked for asked in found.stream.asked if asked[1] != 4} == {(0, 2)}


def test_a_probe_that_takes_bf16_trains_as_if_told(tmp_path, monkeypatch):
    plain = Trial(tmp_path / "plain", settings(number_format="bf16"))
    plain.run()
    probed(monkeypatch, "bf16")
    found = Trial(tmp_path / "auto", settings(number_format="auto"))
    assert found.run().number_format == "bf16"
    assert without_seconds(found.told) == without_seconds(plain.told)
    single = Trial(tmp_path / "fp32", settings(number_format="fp32"))
    monkeypatch.undo()
    single.run()
    assert without_seconds(found.told) != without_seconds(single.told)


def test_a_probe_leaves_no_trace_even_where_it_fails(monkeypatch):
    monkeypatch.setattr(probe, "SHORT_S", 0.0)
    net = network()
    made = recipe(net)
    before, numbers = copy.deepcopy(net.state_dict()), torch.get_rng_state()

    def step(batch):
        moves = type(made).step(made, batch)
        if torch.is_autocast_enabled("cpu"):
            moves[0].loss.backward()
            raise RuntimeError("out of memory")
        return moves

    monkeypatch.setattr(made, "step", step)
    with pytest.raises(RuntimeError, match="out of memory"):
        training_format(made, lambda count: Stream().batch(0, count), settings(number_format="auto"), CPU)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), numbers)
    assert all(parameter.grad is None for parameter in net.parameters())


def test_a_resumed_training_keeps_the_format_that_it_began_with(tmp_path, monkeypatch):
    probed(monkeypatch, "bf16")
    whole = Trial(tmp_path / "whole", settings(number_format="auto"))
    whole.run()
    with pytest.raises(KeyboardInterrupt):
        Trial(tmp_path / "cut", settings(number_format="auto"), on_batch=interrupt_at(12)).run()
    monkeypatch.setattr(training, "training_format", lambda *_: pytest.fail("measured again"))
    again = Trial(tmp_path / "cut", settings(number_format="auto"))
    progress = again.run()
    assert (progress.number_format, progress.format_why) == ("bf16", "told")
    assert without_seconds(progress.history) == without_seconds(whole.told)


def test_a_real_probe_of_a_small_network_says_both_times():
    found = example_format(CPU)
    assert found.number_format in ("fp32", "bf16")
    assert "in fp32" in found.why
    assert all(ms > 0 for ms in found.step_ms.values())
    assert "fp32" in found.step_ms
