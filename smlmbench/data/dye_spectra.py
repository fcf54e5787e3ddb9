"""Emission spectra of single dye molecules, as spectroscopic localization microscopy records them.

A spectrum is a skew-normal distribution whose peak is that of its dye, in bins of one width between two wavelengths,
over a flat background, moved by what the calibration of wavelengths is off; some have a neighbour's light in them.
Photons are Poisson distributed. Units are (1, bins) photons.

Source:
    Zhang et al. 2019, Opt. Lett. 44:5864 names the task; the numbers here are a reconstruction, and peaks of dyes are
    remembered values that were not verified: give those of your own dyes.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special

from smlmbench.data.contracts import ArrayFrames, Asked, Condition, Identity, Scope, Settings
from smlmbench.data.numbered import Chunks, Stream, chunked, no_neighbours, seeds_of
from smlmbench.data.targets import digest_of
from smlmbench.errors import ConfigError
from smlmbench.predictions import Floats, Ints
from smlmbench.psf.draws import mean_of, quantile
from smlmbench.registry import Card, Catalog
from smlmbench.seeds import derive_seed
from smlmbench.study.sources import PluginSource
from smlmbench.truths.labels import STRANGER, Labelled, Labels

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Emission spectra of single dye molecules, simulated",
    "settings": {
        "dyes": {
            "default": {"AF647": 669.0, "CF660C": 685.0},
            "min": 300.0,
            "max": 1200.0,
            "help": "peak of each dye (nm), the classes; the default peaks are remembered, not verified (CF680: 698)",
        },
        "strangers": {
            "default": {},
            "min": 300.0,
            "max": 1200.0,
            "help": "peaks (nm) of what is no class and to be rejected; as many units of each as of a dye",
        },
        "width_nm": {"default": 25.0, "min": 1.0, "max": 200.0, "help": "scale of the skew-normal spectrum"},
        "skew": {"default": 2.0, "min": -20.0, "max": 20.0, "help": "its shape; above 0 the red side is longer"},
        "low_nm": {"default": 600.0, "min": 200.0, "max": 1500.0, "help": "where the first bin begins"},
        "high_nm": {"default": 800.0, "min": 200.0, "max": 1500.0, "help": "where the last bin ends"},
        "bins": {"default": 64, "min": 8, "max": 1024, "help": "number of bins"},
        "photons": {
            "default": None,
            "min": 1.0,
            "max": 1e6,
            "ranged": True,
            "help": "of the molecule in a spectrum; without it 300 to 3000, log-uniform",
        },
        "background_photons": {
            "default": None,
            "min": 0.0,
            "max": 1e4,
            "ranged": True,
            "help": "in each bin of a spectrum; without it 1 to 5",
        },
        "jitter_bins": {"default": 1.0, "min": 0.0, "max": 10.0, "help": "most that the calibration is off, in bins"},
        "overlap": {"default": 0.05, "min": 0.0, "max": 1.0, "help": "share of spectra with a neighbour's light"},
        "frames": {"default": 2000, "min": 2, "max": 1000000, "help": "spectra in a frozen set"},
    },
    "tiny": {"frames": 24},
    "facts": {"truth": "labels", "spectra": True, "knows": ["spectra"], "drawn_anew": True},
}

PHOTONS = {"min": 300.0, "max": 3000.0, "law": "log_uniform"}
BACKGROUND = {"min": 1.0, "max": 5.0}
BLOCK = 256  # samples that are drawn together
APART = 0.25  # of the window, by which a neighbour's spectrum is moved at most
MOST_OF_IT = 0.5  # of a neighbour's photons that fall into the window of a spectrum


class Spectra:
    """The law of spectra.

    Raises:
        ConfigError: Fewer than two dyes, a stranger of a dye's name, or a window that is none.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.dyes, strangers = dict(settings["dyes"]), dict(settings["strangers"])
        both = sorted(self.dyes.keys() & strangers.keys())
        if len(self.dyes) < 2 or both:
            said = f"{', '.join(both)} both a dye and a stranger" if both else f"{len(self.dyes)} dyes"
            raise ConfigError(f"dye_spectra: {said}; give at least two dyes, and strangers of other names")
        low, high = settings["low_nm"], settings["high_nm"]
        if not low < high:
            raise ConfigError(f"dye_spectra: low_nm {low:g} is not below high_nm {high:g}; give a window")
        self.classes = tuple(self.dyes)
        self.peaks_nm = np.array([*self.dyes.values(), *strangers.values()])
        self.edges_nm = np.linspace(low, high, settings["bins"] + 1)
        self.photons = PHOTONS if settings["photons"] is None else settings["photons"]
        self.background = BACKGROUND if settings["background_photons"] is None else settings["background_photons"]

    @property
    def bin_nm(self) -> float:
        """Width of a bin."""
        return float(self.edges_nm[1] - self.edges_nm[0])

    def light(self, peak_nm: Floats, moved_bins: Floats) -> Floats:
        """Share of a spectrum's light in each bin (n, bins), of what falls into the window, moved by some bins.

        Raises:
            ConfigError: None of the light of a dye falls into it.
        """
        width, skew = self.settings["width_nm"], self.settings["skew"]
        begin = peak_nm - mode_of(skew) * width + moved_bins * self.bin_nm
        at = (self.edges_nm - begin[:, None]) / width
        share = np.diff(special.ndtr(at) - 2 * special.owens_t(at, skew), axis=1)
        whole = share.sum(axis=1, keepdims=True)
        if not (whole > 1e-3).all():
            window = f"{self.edges_nm[0]:g} to {self.edges_nm[-1]:g} nm"
            raise ConfigError(f"dye_spectra: a dye has no light in the window {window}; change dyes or the window")
        return np.asarray(share / whole)

    def draw(self, n: int, seed: int) -> tuple[NDArray[np.float32], Ints, Floats]:
        """Spectra (n, 1, bins), their classes (n,), and the photons of their molecules (n,)."""
        draws = np.random.default_rng(seed)

        def of(law: float | Mapping[str, Any]) -> Floats:
            return np.asarray(quantile(law, torch.from_numpy(draws.random(n))).numpy())

        dye, other = (draws.integers(0, len(self.peaks_nm), n) for _ in range(2))
        photons, background = of(self.photons), of(self.background)
        jitter = self.settings["jitter_bins"] * draws.uniform(-1, 1, n)
        bins = len(self.edges_nm) - 1
        mean = photons[:, None] * self.light(self.peaks_nm[dye], jitter) + background[:, None]
        beside = draws.random(n) < self.settings["overlap"]
        light = of(self.photons) * draws.uniform(0, MOST_OF_IT, n) * beside
        away = jitter + APART * bins * draws.uniform(-1, 1, n)
        if beside.any():
            mean[beside] += light[beside, None] * self.light(self.peaks_nm[other], away)[beside]
        index = np.where(dye < len(self.classes), dye, STRANGER)
        return draws.poisson(mean).astype(np.float32)[:, None], index, photons

    @property
    def templates(self) -> Floats:
        """Expected light of each dye for one photon, (classes, 1, 1, bins)."""
        peaks = self.peaks_nm[: len(self.classes)]
        return self.light(peaks, np.zeros(len(peaks)))[:, None, None]


def mode_of(skew: float) -> float:
    """Where a skew-normal density of scale 1 has its peak, to 0.01 (Azzalini and Capitanio 2014, section 2.1)."""
    if skew == 0:
        return 0.0
    mean = math.sqrt(2 / math.pi) * skew / math.sqrt(1 + skew**2)
    spread = math.sqrt(1 - mean**2)
    third = (4 - math.pi) / 2 * mean**3 / spread**3
    return mean - third * spread / 2 - math.copysign(math.exp(-2 * math.pi / abs(skew)) / 2, skew)


def training_set(description: PluginSource, identity: Identity, scope: Scope, catalog: Catalog) -> Stream:
    """The stream; the repeat moves it."""
    del catalog
    no_neighbours(scope, "spectra")
    spectra, seed_of = Spectra(description.settings), seeds_of(scope, identity)

    def draw(number: int) -> tuple[torch.Tensor, torch.Tensor]:
        units, index, _ = spectra.draw(BLOCK, seed_of(number))
        return torch.from_numpy(units), torch.from_numpy(index)

    told = {"classes": list(spectra.classes)}
    return chunked(Chunks(draw, BLOCK), Labelled, (1, len(spectra.edges_nm) - 1), told, 2 * BLOCK)


def condition(name: str, description: PluginSource, identity: Identity, asked: Asked, catalog: Catalog) -> Condition:
    """A frozen set."""
    del catalog
    spectra, digest = Spectra(description.settings), digest_of(identity, asked.role)
    units, index, photons = spectra.draw(description.settings["frames"], derive_seed(asked.root_seed, digest))
    background = mean_of(spectra.background)
    return Condition(
        name,
        ArrayFrames(units, axes=1),
        Labels(spectra.classes, index, photons, spectra.templates),
        digest,
        facts={"photons": mean_of(spectra.photons), "background_photons": background},
        told={"background_photons": background},
        truth_kind="simulated",
    )


def small(folder: Path) -> PluginSource:
    """A description for checks."""
    del folder
    card = Card(**CARD)
    return PluginSource(kind="dye_spectra", settings=card.fill("dye_spectra", card.tiny), facts=card.facts)
