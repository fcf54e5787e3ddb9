"""Molecules that stay for a while, seen by two detectors whose shares of the light tell their height."""

import hashlib
import json

import numpy as np
import torch

from smlmbench.data.contracts import ArrayFrames, Batch, Condition
from smlmbench.data.targets import statistics_of
from smlmbench.movies import windows
from smlmbench.predictions import Localizations
from smlmbench.truths.emitters import Emitters, Sampled

CARD = {
    "version": 1,
    "summary": "Two detectors, molecules with a height",
    "settings": {"frames": {"default": 24, "min": 4, "max": 10000, "help": "frames in a frozen set"}},
    "facts": {"truth": "emitters", "drawn_anew": True},
}

SIDE, PIXEL_NM, MARGIN = 16, 100.0, 4


def movie(seed, n):
    """Frames (n, 2, SIDE, SIDE) and columns of their emitters: one molecule, on for three frames."""
    draws = np.random.default_rng(seed)
    at = draws.uniform(MARGIN, SIDE - MARGIN, (2, n // 3 + 1))
    height = draws.uniform(-400, 400, n // 3 + 1)
    which = np.arange(n) // 3
    x, y, z = at[0][which], at[1][which], height[which]
    pixels = np.arange(SIDE) + 0.5
    spot = np.exp(-((pixels[None, None] - x[:, None, None]) ** 2 + (pixels[None, :, None] - y[:, None, None]) ** 2) / 3)
    share = 0.5 + z / 1000
    mean = 5 + 400 * np.stack([share, 1 - share], axis=1)[:, :, None, None] * spot[:, None]
    columns = {"frame": np.arange(n), "x_nm": x * PIXEL_NM, "y_nm": y * PIXEL_NM, "z_nm": z, "photons": np.full(n, 1e3)}
    return draws.poisson(mean).astype(np.float32), columns


def _seed(*parts):
    return int.from_bytes(hashlib.sha256(json.dumps(parts, default=str).encode()).digest()[:8], "big")


class Stream:
    """Sample k is the middle of a movie of its own."""

    output_settings = {"pixel_size_nm": PIXEL_NM}
    sample_shape = (2, SIDE, SIDE)

    def __init__(self, scope, digest):
        self._scope, self._digest = scope, digest

    @property
    def statistics(self):
        """Of the first samples."""
        return statistics_of(self.batch(0, 16).inputs.numpy().reshape(-1, SIDE, SIDE))

    def batch(self, first, count):
        """Windows and the emitters of their middle frames."""
        inputs, rows = [], []
        for k in range(count):
            frames, columns = movie(_seed(self._scope.root_seed, self._scope.repeat, self._digest, first + k), 9)
            inputs.append(windows(frames, np.array([4]), self._scope.context))
            rows.append([columns[name][4] for name in ("x_nm", "y_nm", "z_nm", "photons")])
        x, y, z, photons = torch.tensor(np.array(rows), dtype=torch.float32).T
        truth = Sampled(torch.arange(count), x, y, z, photons, PIXEL_NM)
        return Batch(torch.from_numpy(np.concatenate(inputs)), truth, first)


def training_set(description, identity, scope, catalog):
    """The stream."""
    return Stream(scope, json.dumps(identity, sort_keys=True))


def condition(name, description, identity, asked, catalog):
    """A movie."""
    n = description.settings["frames"]
    frames, columns = movie(_seed(asked.root_seed, asked.role, json.dumps(identity, sort_keys=True)), n)
    table = Localizations.of(columns, n_frames=n, field_nm=(SIDE * PIXEL_NM, SIDE * PIXEL_NM))
    return Condition(
        name,
        ArrayFrames(frames),
        Emitters(table, 100.0),
        f"{asked.role}{n}",
        facts={"three_d": 1.0, "density_per_um2": 1 / (SIDE * PIXEL_NM / 1e3) ** 2},
        told={"pixel_size_nm": PIXEL_NM},
        block=3,
        truth_kind="simulated",
    )
