"""Deep-STORM on a device by a plain fp32 loop and by this package, at equal weights: the sides of `card.py`."""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile
import torch
from reference_loop import AMPLITUDE, LAMBDA, LEARNING_RATE, Patches, PlainDeepStorm, build, gaussian, plain_frame
from torch.nn import functional

from smlmbench.data.ahead import ahead
from smlmbench.formats import open_movie
from smlmbench.inference import allocator
from smlmbench.inference.devices import synchronise
from smlmbench.inference.engine import ReadOut, predict
from smlmbench.inference.runtimes import eager
from smlmbench.movies import calibrated
from smlmbench.outputs import raster
from smlmbench.registry import Catalog
from smlmbench.study.schema import Training
from smlmbench.training import Validation, fit

CARD_SETTINGS = ("allow_tf32", "deterministic")


@contextmanager
def settings_of_torch(device: torch.device) -> Iterator[None]:
    """What a plain script runs with."""
    before = {name: getattr(torch.backends.cudnn, name) for name in CARD_SETTINGS}
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = True, False
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(torch.backends.cudnn, name, value)
        synchronise(device)


class Pair:
    """Deep-STORM by a plain fp32 loop and by this package, at equal weights."""

    def __init__(
        self, catalog: Catalog, device: torch.device, *, width: float, batch: int, crop_px: int, upsampling: int
    ) -> None:
        self.catalog, self.device, self.batch = catalog, device, batch
        self.patches = Patches(batch, crop_px, upsampling)
        asked = argparse.Namespace(width=width, upsampling=upsampling)
        self.network = allocator.place(build(catalog, asked, "published"), device)
        self.plain = PlainDeepStorm(width)
        self.plain.take(self.network)
        self.plain.to(device)
        self.settings = {
            **catalog.card("outputs", "raster").fill("raster", self.patches.output),
            "pixel_size_nm": 100.0,
        }

    def plain_steps(self, steps: int) -> tuple[float, float]:
        """Seconds of a step, and the first loss."""
        kernel = gaussian().to(self.device)
        frames, heatmaps = (each.to(self.device) for each in self.patches.plain())
        optimiser = torch.optim.Adam(self.plain.parameters(), lr=LEARNING_RATE)
        losses, began = [], 0.0
        self.plain.train()
        for number in range(steps + 2):
            if number == 2:
                synchronise(self.device)
                began = time.perf_counter()
            optimiser.zero_grad()
            raw = self.plain(frames)
            fidelity = functional.mse_loss(functional.conv2d(raw, kernel, padding=3), heatmaps)
            loss = 0.5 * LAMBDA / AMPLITUDE * fidelity + raw.abs().mean()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        return (time.perf_counter() - began) / steps, losses[0]

    def our_steps(self, steps: int, number_format: str) -> tuple[float, float]:
        """The same by `fit`."""
        loss = self.catalog.module("losses", "l1l2").build({"weight": LAMBDA, "kernel": "unit"}, self.settings)
        recipe = self.catalog.module("recipes", "supervised").build(
            self.network, loss, lambda batch: raster.targets(batch, self.settings), self.device, {}
        )
        losses: list[float] = []
        how = {"batch_size": self.batch, "lr": LEARNING_RATE, "schedule": "constant", "clip": None, "validations": 1}
        seconds = []
        for count in (1, steps):  # the first step apart: it warms up, and its loss is compared
            settings = Training(samples=count * self.batch, number_format=number_format, **how)
            with (
                tempfile.TemporaryDirectory() as scratch,
                ahead(self.patches, self.device, settings.samples, moves=True) as stream,
            ):
                progress = fit(
                    recipe, stream, settings, lambda: Validation(0.0, 1.0, {}),
                    lambda _, numbers: losses.append(numbers["train/loss"]), folder=Path(scratch), device=self.device,
                )  # fmt: skip
            seconds.append(progress.train_s / count)
        return seconds[-1], losses[0]

    def plain_movie(self, folder: Path) -> tuple[float, np.ndarray]:
        """Seconds of reading files one by one, running and adding up; the summed image."""
        self.plain.eval()
        began, total = time.perf_counter(), 0.0
        with torch.no_grad():
            for path in sorted(folder.iterdir()):
                frame = plain_frame(tifffile.imread(path), int(self.settings["upsampling"])).to(self.device)
                total = total + functional.relu(self.plain(frame))[0, 0].cpu().numpy()
        return time.perf_counter() - began, total / AMPLITUDE

    def our_movie(self, folder: Path, number_format: str, *, table: bool) -> tuple[float, np.ndarray]:
        """The same by the engine."""
        began = time.perf_counter()
        movie = open_movie(folder, catalog=self.catalog)
        network = eager.prepare(self.network.eval(), torch.zeros(1, device=self.device), number_format)
        read_out = ReadOut(raster, self.settings, 0.5, keep_table=table)
        made = predict(calibrated(movie, None), network, read_out, device=self.device)
        movie.close()
        return time.perf_counter() - began, made.image.values[0]
