"""What runs a long movie for which no timing is stored: a few of its frames' sizes by each way that can be had soon.

In fp32 alone: reduced formats count after their quality gate only.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

from smlmbench.inference.allocator import keep_buffers
from smlmbench.inference.devices import synchronise
from smlmbench.inference.engine import frames_per_batch
from smlmbench.inference.loading import Runnable, load
from smlmbench.inference.probe import GAIN, Clock, race
from smlmbench.inference.running import takes_range, why_not
from smlmbench.registry import Catalog
from smlmbench.report.devices import PLAIN, SINGLE
from smlmbench.run.timing.gated import Choice

LONG_S = 20.0  # a movie that the plain loop does sooner is not worth a look
MOST_PX = 128**2  # of the frames that are timed


def probed(
    checkpoint: Path,
    device: torch.device,
    movie: tuple[int, int, int],
    catalog: Catalog,
    clock: Clock = time.perf_counter,
) -> Choice:
    """What predicts a movie (frames, height, width) soonest, by measurement; no reason stands where none was worth it.

    Runtimes whose card says how long they take to prepare (`prepares_s`) are tried while that is less than a tenth of
    the movie's time in the plain loop; timing them takes two seconds at most.
    """
    keep_buffers()
    plain = load(checkpoint, catalog, device, PLAIN)
    example = _example(plain, movie, device)
    ways, unmeasured = {PLAIN: plain}, Choice(PLAIN, SINGLE, None, "", plain)
    once = {PLAIN: _calling(plain, example, device)}
    share = movie[0] * movie[1] * movie[2] / (len(example) * example[0, 0].numel())
    whole_s = share * race(once, clock, 0.0)[PLAIN]
    if whole_s >= LONG_S:  # a first call takes longer than all others
        whole_s = share * race(once, clock, 0.0)[PLAIN]
    if whole_s < LONG_S:
        return unmeasured
    left_s = GAIN * whole_s
    for name in catalog.names("runtimes"):
        seconds = catalog.card("runtimes", name).facts.get("prepares_s")
        if seconds is None or seconds > left_s or why_not(catalog, name, device, SINGLE):
            continue
        if plain.read_out.frame_range and not takes_range(catalog, name):
            continue  # it would forbid tiles, and with them the bound on memory
        began = clock()
        with suppress(Exception):  # what cannot translate this network is no way; the plain loop is one
            ways[name] = load(checkpoint, catalog, device, name)
        left_s -= clock() - began
    if len(ways) == 1:
        return unmeasured
    took_s = race({name: _calling(one, example, device) for name, one in ways.items()}, clock)
    best = min(took_s, key=lambda name: took_s[name])
    best = best if took_s[best] <= (1 - GAIN) * took_s[PLAIN] else PLAIN
    side = "x".join(str(size) for size in example.shape[2:])
    told = ", ".join(f"{name} {1e3 * seconds / len(example):.2f} ms" for name, seconds in took_s.items())
    return Choice(best, SINGLE, None, f"no timings stored, so measured now for {side} px: {told}", ways[best])


def _example(plain: Runnable, movie: tuple[int, int, int], device: torch.device) -> torch.Tensor:
    """Frames of the movie's size, or what of it is timed, as many as the engine takes at once."""
    multiple, _, *sides = plain.read_out.multiple_px, *movie
    most = int(MOST_PX**0.5) // multiple * multiple or multiple
    height, width = (min(side + -side % multiple, most) for side in sides)
    count = frames_per_batch(height, width, plain.read_out.upsampling, card=device.type != "cpu")
    count = max(1, min(count, MOST_PX // (height * width)))
    drawn = torch.Generator().manual_seed(0)
    shape = (count, int(plain.facts["channels"]), height, width)
    return 10 + 5 * torch.rand(shape, generator=drawn).to(device)


def _calling(one: Runnable, example: torch.Tensor, device: torch.device) -> Callable[[], None]:
    def call() -> None:
        with torch.inference_mode():
            one.network(example)
        synchronise(device)

    return call
