"""Spectra: a line of Gaussian shape at the place that is to be told, with Poisson noise; inputs (1, 32)."""

import hashlib
import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from smlmbench.data.contracts import ArrayFrames, Batch, Condition
from smlmbench.data.targets import statistics_of

CARD = {
    "version": 1,
    "summary": "Spectra with one line",
    "settings": {
        "counts": {"default": 500.0, "min": 1.0, "max": 1e6, "help": "photons in the line"},
        "frames": {"default": 40, "min": 2, "max": 10000, "help": "spectra in a frozen set"},
    },
    "tiny": {"frames": 12},
    "facts": {"truth": "line", "knows": ["line shape"], "drawn_anew": True},
}

LENGTH = 32


@dataclass(frozen=True)
class Lines:
    """Places of the lines (n,), 0 .. 1."""

    kind: ClassVar[str] = "line"
    place: np.ndarray

    def __len__(self):
        return len(self.place)

    def part(self, start, stop):
        """Those of some spectra."""
        return Lines(self.place[start:stop])


def drawn(counts, seed, n):
    """Spectra (n, 1, 32) and the places of their lines."""
    draws = np.random.default_rng(seed)
    place = draws.uniform(0.2, 0.8, n)
    line = np.exp(-((np.arange(LENGTH) + 0.5 - place[:, None] * LENGTH) ** 2) / 8)
    mean = counts * line / line.sum(axis=1, keepdims=True) + 1
    return draws.poisson(mean)[:, None].astype(np.float32), place


def _seed(*parts):
    return int.from_bytes(hashlib.sha256(json.dumps(parts, default=str).encode()).digest()[:8], "big")


class Stream:
    """Sample k depends on its number alone."""

    output_settings = {}
    sample_shape = (1, LENGTH)

    def __init__(self, counts, scope, digest):
        self._counts, self._scope, self._digest = counts, scope, digest

    @property
    def statistics(self):
        """Of the first spectra."""
        return statistics_of(self.batch(0, 64).inputs.numpy())

    def batch(self, first, count):
        """Samples by number."""
        made = [
            drawn(self._counts, _seed(self._scope.root_seed, self._scope.repeat, self._digest, first + k), 1)
            for k in range(count)
        ]
        inputs, places = (np.concatenate(parts) for parts in zip(*made, strict=True))
        return Batch(torch.from_numpy(inputs), Lines(places.astype(np.float32)), first)


def training_set(description, identity, scope, catalog):
    """The stream."""
    return Stream(description.settings["counts"], scope, json.dumps(identity, sort_keys=True))


def condition(name, description, identity, asked, catalog):
    """A frozen set, and an empty one where it is asked for."""
    counts, n = description.settings["counts"], description.settings["frames"]
    digest = hashlib.sha256(json.dumps([identity, asked.role], sort_keys=True, default=str).encode()).hexdigest()
    spectra, place = drawn(counts, _seed(asked.root_seed, digest), n)
    dark = np.random.default_rng(0).poisson(1.0, (8, 1, LENGTH)).astype(np.float32)
    extras = {"dark": Condition(name, ArrayFrames(dark, axes=1), None, digest)} if "dark" in asked.extras else {}
    return Condition(
        name,
        ArrayFrames(spectra, axes=1),
        Lines(place),
        digest,
        facts={"counts": float(counts)},
        truth_kind="simulated",
        extras=extras,
    )
