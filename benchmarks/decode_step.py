"""DECODE's training step by this package and by a plain loop: seconds, and the difference of their losses.

python benchmarks/decode_step.py [--rounds 5] [--emitters 20] [--features 48]

16 windows of 3 frames of 40 x 40 px. Both sides have the same weights and see the same numbers, in float32. The plain
side is what published scripts do: every frame of every window through the network, the mixture as torch.distributions
write it, targets padded to 250 emitters, default memory layout and allocator settings. Ours computes frames that
windows share once, cuts targets to the batch and keeps layers channels last. `apart` are ours on windows that share
nothing. The sides take turns, round after round: read the ratios. They are of processor time, which other programs
disturb least.

Prints a table; the last line is one JSON object with `step_ratio`, `apart_ratio` and `loss_ratio` (plain / ours, above
1 is faster; medians over rounds) and `loss_difference` (relative).
"""

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, distributions, nn
from torch.nn import functional

from smlmbench.data.contracts import Batch, Given, Statistics
from smlmbench.inference.allocator import place
from smlmbench.models.unet import UNet
from smlmbench.outputs import gaussian_mixture
from smlmbench.registry import Catalog
from smlmbench.truths.emitters import Sampled

BATCH, CONTEXT, SIDE, PIXEL_NM, PADDED = 16, 3, 40, 100.0, 250
CPU = torch.device("cpu")
KNOWN = {"photons_high": 19000.0, "background_high": 150.0, "z_low_nm": -750.0, "z_high_nm": 750.0}
STATISTICS = Statistics(mean=250.0, std=200.0, low=80.0, high=2000.0)


def plain_unet(net: UNet, maps: Tensor) -> Tensor:
    kept = []
    for level, down in zip(net.encoder, net.down, strict=False):
        maps = level(maps)
        kept.append(maps)
        maps = down(maps)
    maps = net.encoder[-1](maps)
    for up, level in zip(reversed(net.up), reversed(net.decoder), strict=True):
        maps = up(functional.interpolate(maps, scale_factor=2.0))
        maps = level(torch.cat((kept.pop(), maps), dim=1))
    return net.out(maps)


def plain_answer(net: nn.Module, frames: Tensor) -> Tensor:
    frames = net.scaling(frames)
    seen = [plain_unet(net.frame_net, frames[:, at : at + 1]) for at in range(CONTEXT)]
    return net.heads(plain_unet(net.context_net, torch.cat(seen, dim=1)))


def plain_loss(raw: Tensor, targets: dict[str, Tensor]) -> Tensor:
    """As published: distributions over all pixels, for every place of the padded list."""
    p, present = raw[:, 0], targets["present"]
    number = distributions.Normal(p.sum((1, 2)), (p - p * p).sum((1, 2)).sqrt())
    count = number.log_prob(present.sum(1)) * present.sum(1)
    down, across = torch.meshgrid(torch.arange(SIDE) + 0.5, torch.arange(SIDE) + 0.5, indexing="ij")
    means = torch.stack((raw[:, 1], raw[:, 2] + across, raw[:, 3] + down, raw[:, 4]), dim=-1).flatten(1, 2)
    sigmas = raw[:, 5:9].movedim(1, -1).flatten(1, 2)
    weights = p.flatten(1) / p.flatten(1).sum(1, keepdim=True)
    pixels = distributions.Independent(distributions.Normal(means, sigmas), 1)
    mixture = distributions.MixtureSameFamily(distributions.Categorical(weights), pixels)
    located = mixture.log_prob(targets["emitters"].transpose(0, 1)).transpose(0, 1)
    background = (raw[:, 9] - targets["background"][:, None, None]).square().sum((1, 2))
    return (background - count - (located * present).sum(1)).mean()


def drawn(emitters: int) -> tuple[Tensor, Tensor, Batch]:
    """16 windows of one movie, 16 that share no frame, and emitters of their middle frames."""
    generator = torch.Generator().manual_seed(0)
    movie = torch.poisson(torch.rand(BATCH * CONTEXT, SIDE, SIDE, generator=generator) * 300, generator)
    following = torch.stack([movie[at : at + CONTEXT] for at in range(BATCH)])
    counts = torch.poisson(torch.full((BATCH,), float(emitters)), generator).long()
    sample = torch.arange(BATCH).repeat_interleave(counts)
    x, y = (torch.rand(len(sample), generator=generator) * SIDE * PIXEL_NM for _ in range(2))
    z = (torch.rand(len(sample), generator=generator) - 0.5) * 1500
    photons = (torch.randn(len(sample), generator=generator) * 3000 + 10000).clamp_min(100)
    truth = Sampled(sample, x, y, z, photons, PIXEL_NM, torch.full((BATCH,), 120.0))
    return following, movie.view(BATCH, CONTEXT, SIDE, SIDE), Batch(following, truth)


def padded(targets: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same lists, as long as the published ones."""
    more = PADDED - targets["present"].shape[1]
    emitters = functional.pad(targets["emitters"], (0, 0, 0, more))
    return {**targets, "emitters": emitters, "present": functional.pad(targets["present"], (0, more))}


def step(net: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], float]:
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-7, weight_decay=0.0)

    def once() -> float:
        value = loss()
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.03)
        optimiser.step()
        return value.item()

    return once


def slope(raw: Tensor, loss: Callable[[Tensor], Tensor]) -> None:
    loss(raw.clone().requires_grad_()).backward()


def seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--emitters", type=int, default=20, help="mean number in a frame")
    parser.add_argument("--features", type=int, default=48)
    asked = parser.parse_args()
    catalog = Catalog()
    output = {**catalog.card("outputs", "gaussian_mixture").fill("output", {}), "pixel_size_nm": PIXEL_NM, **KNOWN}
    settings = catalog.card("models", "decode").fill("decode", {"features": asked.features})
    torch.manual_seed(0)
    given = Given(CONTEXT, 1, PIXEL_NM, STATISTICS, CONTEXT, output)
    plain = catalog.module("models", "decode").build(settings, given)
    ours = place(copy.deepcopy(plain), CPU)
    loss = catalog.module("losses", "decode_nll").build({"count": "times_n"}, output)
    following, apart, batch = drawn(asked.emitters)
    targets = gaussian_mixture.targets(batch, output)
    long = padded(targets)
    sides = {
        "plain": step(plain, lambda: plain_loss(plain_answer(plain, following), long)),
        "ours": step(ours, lambda: loss(ours(following), gaussian_mixture.targets(batch, output))["loss"]),
        "apart": step(ours, lambda: loss(ours(apart), gaussian_mixture.targets(batch, output))["loss"]),
    }
    with torch.no_grad():
        one, other = plain_loss(plain_answer(plain, following), long), loss(ours(following), targets)["loss"]
    raw = ours(following).detach()
    losses = {
        "loss plain": partial(slope, raw, lambda maps: plain_loss(maps, long)),
        "loss ours": partial(slope, raw, lambda maps: loss(maps, targets)["loss"]),
    }
    spent: dict[str, list[float]] = {name: [] for name in (*sides, *losses)}
    for turn in range(asked.rounds + 1):
        for name, work in {**sides, **losses}.items():
            took = seconds(work)
            if turn:  # the first warms up
                spent[name].append(took)
    medians = {name: statistics.median(values) for name, values in spent.items()}
    print(f"{BATCH} x {CONTEXT} x {SIDE} x {SIDE}, {targets['present'].shape[1]} emitters at most, not {PADDED}")
    for name, value in medians.items():
        print(f"{name:12s} {value * 1e3:8.0f} ms   ({min(spent[name]) * 1e3:.0f} to {max(spent[name]) * 1e3:.0f})")
    print(f"losses {one.item():.7g} and {other.item():.7g}")
    ratios = {
        "step_ratio": medians["plain"] / medians["ours"],
        "apart_ratio": medians["plain"] / medians["apart"],
        "loss_ratio": medians["loss plain"] / medians["loss ours"],
    }
    told = {name: round(value, 3) for name, value in ratios.items()}
    print(json.dumps({**told, "loss_difference": abs(one.item() - other.item()) / abs(one.item())}))


if __name__ == "__main__":
    main()
