"""Renderings of simulated structures: few localizations of each, and many of the same one.

A sample is a field with a structure of its own for each colour. Localizations of a frame lie on it at random, blink for
a few frames, are moved by their precision, and some come from nowhere. The sparse image counts those of the first
frames, the dense one those of all; a widefield is the structure's own points, blurred, in camera pixels with noise.
Sample k is addressed by its number.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.data.contracts import ArrayFrames, Asked, Batch, Condition, Identity, Scope, Settings, Statistics
from smlmbench.data.targets import digest_of, statistics_of
from smlmbench.errors import ConfigError
from smlmbench.registry import Catalog
from smlmbench.render import blur, rasterise
from smlmbench.seeds import derive_seed
from smlmbench.simulate import places
from smlmbench.simulate.chance import Fast
from smlmbench.study.sources import PluginSource
from smlmbench.truths.dense_structure import DenseStructure, Places, Taught

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Simulated structures rendered from few and from many localizations, with or without a widefield",
    "settings": {
        "frames": {"default": 24, "min": 1, "max": 100000, "help": "images in a frozen set"},
        "field_px": {"default": 128, "min": 16, "max": 4096, "help": "side of an image, render pixels"},
        "render_pixel_nm": {"default": 20.0, "min": 1.0, "max": 200.0, "help": "of the sparse and the dense image"},
        "sparse_frames": {
            "default": 300.0, "min": 1.0, "max": 1e6, "ranged": True, "help": "frames in the sparse image",
        },
        "dense_frames": {"default": 10000.0, "min": 2.0, "max": 1e7, "help": "frames in the dense image, these too"},
        "rate_per_um2": {
            "default": 0.03, "min": 1e-6, "max": 100.0, "ranged": True,
            "help": "localizations per um2 of the field and frame, of each colour",
        },
        "on_frames": {"default": 2.0, "min": 1.0, "max": 100.0, "help": "localizations of one molecule, on average"},
        "precision_nm": {
            "default": 10.0, "min": 0.0, "max": 200.0, "ranged": True, "help": "standard deviation along an axis",
        },
        "stray_share": {"default": 0.03, "min": 0.0, "max": 0.9, "help": "of the localizations that come from nowhere"},
        "render_sigma_nm": {"default": 0.0, "min": 0.0, "max": 200.0, "help": "0: counts; else Gaussians so wide"},
        "others": {"default": [], "help": "structures of further colours, by their registered names"},
        "misassigned": {
            "default": 0.0, "min": 0.0, "max": 0.9, "ranged": True,
            "help": "share of the sparse localizations that are given a wrong colour; the dense images have none",
        },
        "widefield": {"default": True, "help": "false: the widefield channel is blank"},
        "widefield_pixels": {"default": 4, "min": 1, "max": 50, "help": "render pixels along one camera pixel"},
        "widefield_sigma_nm": {"default": 130.0, "min": 0.0, "max": 1000.0, "help": "of its PSF"},
        "widefield_photons": {"default": 500.0, "min": 1.0, "max": 1e6, "help": "of its brightest pixel"},
        "widefield_background": {"default": 50.0, "min": 0.0, "max": 1e6, "help": "photons of every pixel"},
        "blank_share": {
            "default": 0.0, "min": 0.0, "max": 1.0, "help": "of the training samples whose widefield is left out",
        },
        "control": {"default": 0.0, "min": -1.0, "max": 100.0, "help": "code of the structure, last channel"},
    },
    "tiny": {"frames": 3, "field_px": 32},
    "facts": {"truth": "dense_structure", "knows": ["structure"], "drawn_anew": True},
}  # fmt: skip

STRUCTURE = {"name": "microtubules"}
MARGIN_NM = 400.0
SAMPLED = 16  # training samples that statistics and scale are taken from
PERCENTILE = 99.9

Image = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A sample: what a network is given (K + 2, H, W), dense images (K, H, W), true points and the widefield."""

    given: Image
    dense: Image
    points: tuple[Places, ...]
    widefield: Image | None


class Renderer:
    """Draws samples from seeds.

    Raises:
        ConfigError: Settings that contradict each other, or an unknown structure.
    """

    def __init__(self, description: PluginSource, catalog: Catalog) -> None:
        self.settings: Settings = description.settings
        first = getattr(description, "structure", None) or STRUCTURE
        self._place = [places.build(one, catalog) for one in (first, *map(_named, self.settings["others"]))]
        self.side_px, self.pixel_nm = int(self.settings["field_px"]), float(self.settings["render_pixel_nm"])
        self._region = places.Region(self.side_px * self.pixel_nm, MARGIN_NM)
        _check(self.settings)

    @property
    def colors(self) -> int:
        """Number of colours."""
        return len(self._place)

    def __call__(self, seed: int, *, blank_share: float = 0.0) -> Rendered:
        """The sample of a seed."""
        chance, structure = Fast.of(seed), Fast.of(derive_seed(seed, "structure"))
        settings = self.settings
        few, rate, noise_nm = (
            drawn(settings[key], chance) for key in ("sparse_frames", "rate_per_um2", "precision_nm")
        )
        rest = max(0.0, settings["dense_frames"] - few)
        sparse: list[Places] = []
        dense, points = [], []
        for place in self._place:
            expected = torch.tensor([few, rest], dtype=torch.float64) * rate * self._region.area_um2
            of_few, at, true = self._localizations(place, expected, noise_nm, chance, structure)
            sparse.append(at[of_few])
            dense.append(self._image(at))
            points.append(true)
        sparse = _mixed(sparse, drawn(settings["misassigned"], chance), chance)
        seen = self._widefield(points, chance)
        blank = seen is None or float(chance.uniform(1)) < blank_share
        channels = [*map(self._image, sparse), self._enlarged(None if blank else seen)]
        channels.append(np.full_like(channels[0], settings["control"]))
        return Rendered(np.stack(channels), np.stack(dense), tuple(points), seen)

    def _localizations(
        self, place: places.Place, expected: torch.Tensor, noise_nm: float, chance: Fast, structure: Fast
    ) -> tuple[NDArray[np.bool_], Places, Places]:
        """Which localizations are of the first frames, where they are found, and the true points on the structure."""
        on, stray = self.settings["on_frames"], self.settings["stray_share"]
        placed = place(self._region, expected * (1 - stray) / on, chance, structure)
        times = 1 + chance.poisson(torch.full((len(placed.sample),), on - 1, dtype=torch.float64)).long()
        sample, true = placed.sample, torch.stack((placed.x_nm, placed.y_nm), dim=1)
        found = true.repeat_interleave(times, dim=0)
        found = found + chance.normal(*found.shape) * noise_nm
        strays = places.per_sample(expected * stray * self._region.ratio, chance)
        nowhere = chance.uniform(len(strays), 2) * self._region.side_nm - MARGIN_NM
        early = torch.cat((sample.repeat_interleave(times), strays)) == 0
        return early.numpy(), torch.cat((found, nowhere)).numpy(), true.numpy()

    def _image(self, at: Places) -> Image:
        return render(at, (self.side_px, self.side_px), self.pixel_nm, self.settings["render_sigma_nm"])

    def _widefield(self, points: Sequence[Places], chance: Fast) -> Image | None:
        """Camera pixels (h, w) in photons, with Poisson noise; None where none is wanted."""
        settings = self.settings
        if not settings["widefield"]:
            return None
        around = math.ceil(MARGIN_NM / self.pixel_nm)
        wide = self.side_px + 2 * around
        at = np.concatenate(points) + around * self.pixel_nm
        light = blur(
            rasterise(at[:, 0], at[:, 1], (wide, wide), self.pixel_nm), settings["widefield_sigma_nm"] / self.pixel_nm
        )
        light = binned(light[around:-around, around:-around], int(settings["widefield_pixels"]))
        light = (
            light * settings["widefield_photons"] / max(float(light.max()), 1e-12) + settings["widefield_background"]
        )
        return np.asarray(chance.poisson(torch.from_numpy(light)).numpy(), dtype=np.float32)

    def _enlarged(self, widefield: Image | None) -> Image:
        if widefield is None:
            return np.zeros((self.side_px, self.side_px), dtype=np.float32)
        return enlarged(widefield, int(self.settings["widefield_pixels"]))


def render(at: Places, shape_px: tuple[int, int], pixel_nm: float, sigma_nm: float) -> Image:
    """Places (m, 2) counted on a grid (H, W), or each drawn as a Gaussian."""
    counts = rasterise(at[:, 0], at[:, 1], shape_px, pixel_nm)
    return np.asarray(blur(counts, sigma_nm / pixel_nm), dtype=np.float32)


def binned(image: NDArray[np.floating[Any]], times: int) -> NDArray[np.float64]:
    """Sums over blocks of `times` x `times` pixels."""
    height, width = (side // times for side in image.shape)
    blocks = image[: height * times, : width * times].reshape(height, times, width, times)
    return np.asarray(blocks.sum(axis=(1, 3)), dtype=np.float64)


def enlarged(widefield: Image, times: int) -> Image:
    """A widefield on the render grid, between its pixels' middles linearly."""
    given = torch.from_numpy(np.ascontiguousarray(widefield, dtype=np.float32))[None, None]
    fine = torch.nn.functional.interpolate(given, scale_factor=times, mode="bilinear", align_corners=False)
    return np.asarray(fine[0, 0].numpy(), dtype=np.float32)


def drawn(value: Any, chance: Fast) -> float:
    """A setting, drawn where it is a range."""
    if not isinstance(value, Mapping):
        return float(value)
    unit, low, high = float(chance.uniform(1)), float(value["min"]), float(value["max"])
    if value.get("law") == "log_uniform":
        return float(low * (high / low) ** unit)
    return low + unit * (high - low)


def _mixed(colors: list[Places], share: float, chance: Fast) -> list[Places]:
    """Localizations of each colour, some of which go to another one."""
    if len(colors) == 1 or share == 0:
        return colors
    taken: list[list[Places]] = [[] for _ in colors]
    for number, at in enumerate(colors):
        wrong = (chance.uniform(len(at)) < share).numpy()
        step = 1 + (chance.uniform(len(at)) * (len(colors) - 1)).long().numpy()
        goes = np.where(wrong, (number + step) % len(colors), number)
        for to, places_there in enumerate(taken):
            places_there.append(at[goes == to])
    return [np.concatenate(parts) for parts in taken]


def _named(name: Any) -> dict[str, Any]:
    return {"name": str(name)}


def _check(settings: Settings) -> None:
    few = settings["sparse_frames"]
    most = few["max"] if isinstance(few, Mapping) else few
    if most >= settings["dense_frames"]:
        said = f"sparse_frames {most:g} are not fewer than dense_frames {settings['dense_frames']:g}"
        raise ConfigError(f"renderings: {said}; give fewer sparse ones")
    if settings["field_px"] % settings["widefield_pixels"]:
        said = f"field_px {settings['field_px']} is no multiple of widefield_pixels {settings['widefield_pixels']}"
        raise ConfigError(f"renderings: {said}; give a multiple")
    if settings["misassigned"] and not settings["others"]:
        raise ConfigError("renderings: misassigned needs a second colour; name its structure in others")


class Renderings:
    """The training stream."""

    def __init__(self, draw: Renderer, root_seed: int, seeds: tuple[str, ...]) -> None:
        self._draw, self._root_seed, self._seeds = draw, root_seed, seeds
        self.sample_shape: tuple[int, ...] = (draw.colors + 2, draw.side_px, draw.side_px)

    def _sample(self, number: int) -> Rendered:
        share = self._draw.settings["blank_share"]
        return self._draw(derive_seed(self._root_seed, *self._seeds, str(number)), blank_share=share)

    @cached_property
    def _first(self) -> list[Rendered]:
        return [self._sample(number) for number in range(SAMPLED)]

    @property
    def statistics(self) -> Statistics:
        """Of the sparse images."""
        return statistics_of(np.concatenate([one.given[:-2] for one in self._first]))

    @cached_property
    def image_scale(self) -> float:
        """Mean 99.9 percentile of the lit pixels of dense images: a typical brightest pixel.

        Raises:
            ConfigError: All of these are dark.
        """
        return scale_of([one.dense for one in self._first])

    @property
    def output_settings(self) -> Mapping[str, float]:
        """The render pixel, the typical brightest pixel, the number of colours."""
        return {"pixel_size_nm": self._draw.pixel_nm, "image_scale": self.image_scale, "colors": self._draw.colors}

    def batch(self, first: int, count: int) -> Batch:
        """Samples first .. first + count - 1."""
        made = [self._sample(first + number) for number in range(count)]
        given, dense = (
            torch.from_numpy(np.stack(each)) for each in ([one.given for one in made], [one.dense for one in made])
        )
        return Batch(given, Taught(dense), first)


def scale_of(images: Sequence[Image]) -> float:
    """Mean 99.9 percentile of the lit pixels of each image that has any.

    Raises:
        ConfigError: None has.
    """
    peaks = [float(np.percentile(dense[dense > 0], PERCENTILE)) for dense in images if (dense > 0).any()]
    if not peaks:
        raise ConfigError("no dense image of the training has a localization; give more frames or a higher rate")
    return float(np.mean(peaks))


def training_set(description: PluginSource, identity: Identity, scope: Scope, catalog: Catalog) -> Renderings:
    """The stream; a ConfigError where the network wants neighbours in time, which renderings have none of."""
    if scope.context > 1:
        raise ConfigError("renderings have no neighbours in time; choose a network that sees one frame")
    seeds = ("train", digest_of(identity, "train"), str(scope.repeat))
    return Renderings(Renderer(description, catalog), scope.root_seed, seeds)


def condition(name: str, description: PluginSource, identity: Identity, asked: Asked, catalog: Catalog) -> Condition:
    """A frozen set."""
    draw, digest = Renderer(description, catalog), digest_of(identity, asked.role)
    count = int(description.settings["frames"])
    made = [draw(derive_seed(asked.root_seed, asked.role, digest, str(number))) for number in range(count)]
    seen = [one.widefield for one in made if one.widefield is not None]
    few = description.settings["sparse_frames"]
    return Condition(
        name=name,
        frames=ArrayFrames(np.stack([one.given for one in made])),
        truth=DenseStructure(
            np.stack([one.dense for one in made]), [one.points for one in made], np.stack(seen) if seen else None
        ),
        digest=digest,
        facts={} if isinstance(few, Mapping) else {"sparse_frames": float(few)},
        told={"pixel_size_nm": draw.pixel_nm},
        truth_kind="simulated",
    )


def small(folder: Path) -> PluginSource:
    """A description for checks: two images that are large enough for all scales of MS-SSIM."""
    del folder
    card = Catalog().card("data", "renderings")
    settings = card.fill("renderings", {"frames": 2, "field_px": 192})
    return PluginSource(kind="renderings", settings=settings, facts=card.facts)
