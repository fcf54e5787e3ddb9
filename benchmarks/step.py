"""Seconds of one training step: allocator, memory layout and number format, each against the plain one.

python benchmarks/step.py [--model deep_storm] [--batch 16] [--rounds 3]

Every variant runs in processes of its own (the allocator's thresholds are per process), in turn, round after round.
Prints a table; the last line is one JSON object with the ratios plain / variant (above 1 is faster).
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

VARIANTS = {
    "plain": "",
    "allocator": "keep",
    "channels_last": "last",
    "allocator+channels_last": "keep last",
    "allocator+channels_last+bf16": "keep last bf16",
}
WARM_UP, STEPS = 2, 6


def measure(model: str, batch: int, flags: str) -> float:
    import torch

    from smlmbench.data.contracts import Given, Statistics
    from smlmbench.inference.allocator import keep_buffers
    from smlmbench.registry import Catalog

    if "keep" in flags:
        keep_buffers()
    torch.manual_seed(0)
    catalog = Catalog()
    settings = catalog.card("models", model).fill(model, {})
    network = catalog.module("models", model).build(settings, Given(1, 4, 100.0, Statistics(12, 10, 2, 120)))
    if "last" in flags:
        network = network.to(memory_format=torch.channels_last)
    loss = catalog.module("losses", "l1l2").build({"weight": 200.0, "kernel": "unit"}, {"amplitude": 100.0})
    frames = torch.rand(batch, 1, 32, 32) * 100
    targets = {"spikes": (torch.rand(batch, 1, 128, 128) > 0.999).float() * 100}
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4)
    seconds = []
    for _ in range(WARM_UP + STEPS):
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled="bf16" in flags):
            value = loss(network(frames), targets)["loss"]
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        optimiser.step()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[WARM_UP:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="deep_storm")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one is not None:
        print(measure(asked.model, asked.batch, VARIANTS[asked.one]))
        return
    seen: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(asked.rounds):
        for name in VARIANTS:
            command = [sys.executable, __file__, "--model", asked.model, "--batch", str(asked.batch), "--one", name]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            seen[name].append(float(done.stdout.split()[-1]))
    medians = {name: statistics.median(values) for name, values in seen.items()}
    ratios = {name: medians["plain"] / value for name, value in medians.items()}
    print(f"{asked.model}, batch {asked.batch} of 32 x 32 px at upsampling 4")
    for name, value in medians.items():
        spread = f"{min(seen[name]) * 1e3:.0f} to {max(seen[name]) * 1e3:.0f}"
        print(f"{name:32s} {value * 1e3:8.0f} ms   ({spread})   {ratios[name]:5.2f} x")
    print(json.dumps({"model": asked.model, "ratios": {name: round(value, 3) for name, value in ratios.items()}}))


if __name__ == "__main__":
    main()
