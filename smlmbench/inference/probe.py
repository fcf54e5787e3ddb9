"""What is faster here, measured on the work at hand: the number format of a training, in about two seconds at most.

A rule by the name of a processor is wrong on the next one, and wrong for the next network. A probe leaves nothing
behind: weights, statistics, gradients and random numbers are those from before, so that a training for which it chose
fp32 is bit for bit the one that was told fp32.
"""

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import nn

from smlmbench.data.contracts import Batch
from smlmbench.errors import one_line
from smlmbench.inference.allocator import place
from smlmbench.inference.devices import lacks_memory
from smlmbench.models.recalled import recalled
from smlmbench.recipes.contracts import Move, Recipe
from smlmbench.recipes.supervised import build
from smlmbench.study.schema import Training

BOUND_S = 2.0
GAIN = 0.1  # share of the time; for less nothing leaves fp32, or the plain loop
SHORT_S = 10.0  # a training in fp32 that is shorter stays there: bf16 saves hardly more than the probe costs
FEW = 2  # samples of the first look; normalisation over the batch takes no fewer
TURNS = 6  # what the bound should hold of the longest step: a warm-up and two turns of both formats
MOST_TURNS = 5
SINGLE, HALF = "fp32", "bf16"

Clock = Callable[[], float]
Draw = Callable[[int], Batch]


@dataclass(frozen=True, slots=True)
class Resolved:
    """A number format, and why `auto` took it."""

    number_format: str
    why: str = ""  # empty where it was asked for
    step_ms: Mapping[str, float] = field(default_factory=dict)  # of what was measured, by number format


@dataclass(frozen=True, slots=True)
class _Seen:
    """Seconds of a step with some of a batch's samples, by number format."""

    size: int
    count: int
    step_s: dict[str, float]
    failure: str = ""  # why there is nothing of bf16

    def whole_s(self, samples: int) -> float:
        """Of a training in fp32."""
        return self.step_s[SINGLE] / self.count * samples

    def answers(self, samples: int) -> bool:
        """Whether nothing has to be measured any more."""
        return HALF in self.step_s or bool(self.failure) or self.whole_s(samples) < SHORT_S


_known: dict[object, _Seen] = {}  # of this process


def moves_of(recipe: Recipe, batch: Batch, device: torch.device, number_format: str) -> Iterator[Move]:
    """The moves of a training step in a number format, each made when it is asked for."""
    moves: Iterator[Move] | None = None
    while True:
        half = torch.autocast(device.type, torch.bfloat16, enabled=number_format == HALF)
        with half, recalled(recipe.network):
            moves = iter(recipe.step(batch)) if moves is None else moves
            move = next(moves, None)
        if move is None:
            return
        yield move


def race(
    ways: Mapping[str, Callable[[], object]], clock: Clock = time.perf_counter, bound_s: float = BOUND_S
) -> dict[str, float]:
    """Seconds of each way: they take turns for as long as the bound allows, at least one each.

    The least counts: what a first call prepares and other programs do only adds.
    """
    spent: dict[str, list[float]] = {name: [] for name in ways}
    used, turns = 0.0, 0
    while turns == 0 or (turns <= MOST_TURNS and used + used / turns <= bound_s):
        for name, work in ways.items():
            spent[name].append(_seconds(work, clock))
            used += spent[name][-1]
        turns += 1
    return {name: min(found) for name, found in spent.items()}


def training_format(
    recipe: Recipe, draw: Draw, training: Training, device: torch.device, clock: Clock = time.perf_counter
) -> Resolved:
    """The number format of a training; `auto` on a processor is measured, once per process for networks that are alike.

    Args:
        recipe: On the device; it comes back as it was given.
        draw: Makes a batch of so many samples of the stream, always from the same one on.
        training: With the number format that is asked for, and the batch size whose step counts.
        device: Where it trains; CUDA takes bf16 where the card multiplies it.
        clock: Seconds.

    Raises:
        RuntimeError: No memory for a step in fp32.
    """
    if training.number_format != "auto":
        return Resolved(training.number_format)
    if device.type != "cpu":
        half = device.type == "cuda" and torch.cuda.is_bf16_supported()
        return Resolved(HALF if half else SINGLE, f"{device.type} {'has' if half else 'has no'} bf16")
    samples = training.steps * training.batch_size
    with _untouched(recipe):
        first = draw(min(FEW, training.batch_size))
        key = _key(recipe, first, training.batch_size)
        seen = _known.get(key)
        if seen is None or not seen.answers(samples):
            seen = _known[key] = _measured(recipe, first, draw, training, clock)
    return _decided(seen, samples)


def example_format(device: torch.device) -> Resolved:
    """What `auto` gives for a long training of a small network of convolutions, as `smlmbench doctor` tells it."""
    layers = [nn.Sequential(nn.Conv2d(*maps, 3, padding=1), nn.ReLU()) for maps in ((1, 32), (32, 64), (64, 32))]
    network = place(nn.Sequential(*layers, nn.Conv2d(32, 1, 1)), device)
    recipe = build(network, lambda raw, _: {"loss": raw.square().mean()}, lambda _: {}, device, {})
    long = Training(samples=10**9, batch_size=4, number_format="auto")
    return training_format(recipe, lambda count: Batch(torch.ones(count, 1, 48, 48), None, 0), long, device)


def _seconds(work: Callable[[], object], clock: Clock) -> float:
    began = clock()
    work()
    return clock() - began


def _measured(recipe: Recipe, first: Batch, draw: Draw, training: Training, clock: Clock) -> _Seen:
    """Steps of a few samples first; of as many as fit into the bound then, unless the training is short."""
    device, began, few = torch.device("cpu"), clock(), len(first.inputs)
    size = training.batch_size

    def work(number_format: str, batch: Batch) -> Callable[[], None]:
        def step() -> None:
            for move in moves_of(recipe, batch, device, number_format):
                move.loss.backward()  # type: ignore[no-untyped-call]

        return step

    def look(number_format: str) -> float:
        step = work(number_format, first)
        once = _seconds(step, clock)
        return once if once > BOUND_S / TURNS else min(once, _seconds(step, clock))

    seen = _Seen(size, few, {SINGLE: look(SINGLE)})
    if seen.answers(training.steps * size):
        return seen
    try:
        seen.step_s[HALF] = look(HALF)
        left = BOUND_S - (clock() - began)
        count = min(size, int(few * left / TURNS / max(seen.step_s.values())))
        if count >= few:
            batch = draw(count)
            ways = {name: work(name, batch) for name in (SINGLE, HALF)}
            seen = _Seen(size, count, race(ways, clock, left))
        if _finite(recipe.network):
            return seen
        return _Seen(size, few, {SINGLE: seen.step_s[SINGLE]}, "its gradients are not finite")
    except RuntimeError as error:  # an operation of a plug-in that has no bf16
        if lacks_memory(error):
            raise
        return _Seen(size, few, {SINGLE: seen.step_s[SINGLE]}, one_line(error))


def _finite(network: nn.Module) -> bool:
    """Whether all gradients are numbers: those of dilated kernels in bf16 are not, of channels-last maps in oneDNN."""
    return all(bool(each.grad.isfinite().all()) for each in network.parameters() if each.grad is not None)


def _decided(seen: _Seen, samples: int) -> Resolved:
    step_ms = {name: round(1e3 * seconds, 3) for name, seconds in seen.step_s.items()}
    if seen.whole_s(samples) < SHORT_S:
        return Resolved(SINGLE, f"a short training: {seen.whole_s(samples):.2g} s in fp32", step_ms)
    if seen.failure:
        return Resolved(SINGLE, f"no step in bf16: {seen.failure}"[:200], step_ms)
    faster = seen.step_s[HALF] <= (1 - GAIN) * seen.step_s[SINGLE]
    part = "" if seen.count == seen.size else f" of {seen.count} of {seen.size} samples"
    told = " against ".join(f"{step_ms[name]:.1f} ms in {name}" for name in (HALF, SINGLE))
    return Resolved(HALF if faster else SINGLE, f"measured, a step{part} takes {told}", step_ms)


def _key(recipe: Recipe, batch: Batch, size: int) -> object:
    """What the time of a step depends on."""
    held = {**vars(recipe), **recipe.modules} if hasattr(recipe, "__dict__") else recipe.modules
    parts = {repr(one) for one in held.values() if isinstance(one, nn.Module)}
    shapes = tuple(tuple(each.shape) for each in recipe.network.parameters())
    return type(recipe), frozenset(parts), shapes, tuple(batch.inputs.shape[1:]), size, torch.get_num_threads()


@contextmanager
def _untouched(recipe: Recipe) -> Iterator[None]:
    """Steps within the block leave no trace: weights, statistics and random numbers come back, gradients go."""
    states = {name: copy.deepcopy(module.state_dict()) for name, module in recipe.modules.items()}
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        for name, module in recipe.modules.items():
            module.load_state_dict(states[name])
            module.zero_grad(set_to_none=True)
