"""Renderings of simulated structures: few localizations of each, and many of the same one.

A sample is a field with a structure of its own for each colour. Localizations of a frame lie on it at random, blink for
a few frames, are moved by their precision, and some come from nowhere. The sparse image counts those of the first
frames, the dense one those of all; a widefield is the structure's own points, blurred, in camera pixels with noise.
Sample k is addressed by its number.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.data.contracts import Asked, Condition, Identity, Scope, Settings
from smlmbench.data.numbered import no_neighbours, seeds_of
from smlmbench.data.rendered import Image, Rendered, Stream, drawn, frozen, render, shown, sparse_facts
from smlmbench.data.targets import digest_of
from smlmbench.errors import ConfigError
from smlmbench.registry import Catalog
from smlmbench.render import blur, rasterise
from smlmbench.seeds import derive_seed
from smlmbench.simulate import places
from smlmbench.simulate.chance import Fast
from smlmbench.study.sources import PluginSource
from smlmbench.truths.dense_structure import Places

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
    "facts": {
        "truth": "dense_structure", "knows": ["structure"], "drawn_anew": True,
        "takes": {"structure": {"name": "microtubules"}},
    },
}  # fmt: skip

MARGIN_NM = 400.0  # around the field


class Renderer:
    """Draws samples from seeds.

    Raises:
        ConfigError: Settings that contradict each other, or an unknown structure.
    """

    def __init__(self, description: PluginSource, catalog: Catalog) -> None:
        self.settings: Settings = description.settings
        first = description.structure or CARD["facts"]["takes"]["structure"]
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
        light, times = None if blank else seen, int(settings["widefield_pixels"])
        given = shown([self._image(at) for at in sparse], light, times, settings["control"])
        return Rendered(given, np.stack(dense), tuple(points), seen)

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


def binned(image: NDArray[np.floating[Any]], times: int) -> NDArray[np.float64]:
    """Sums over blocks of `times` x `times` pixels."""
    height, width = (side // times for side in image.shape)
    blocks = image[: height * times, : width * times].reshape(height, times, width, times)
    return np.asarray(blocks.sum(axis=(1, 3)), dtype=np.float64)


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


def training_set(description: PluginSource, identity: Identity, scope: Scope, catalog: Catalog) -> Stream:
    """The stream; a ConfigError where the network wants neighbours in time, which renderings have none of."""
    no_neighbours(scope, "renderings")
    draw, seed_of = Renderer(description, catalog), seeds_of(scope, identity)
    share = description.settings["blank_share"]

    def sample(number: int) -> Rendered:
        return draw(seed_of(number), blank_share=share)

    return Stream(sample, (draw.colors, draw.side_px, draw.side_px), draw.pixel_nm, draw.settings)


def condition(name: str, description: PluginSource, identity: Identity, asked: Asked, catalog: Catalog) -> Condition:
    """A frozen set."""
    draw, digest = Renderer(description, catalog), digest_of(identity, asked.role)
    numbers = range(int(description.settings["frames"]))
    made = [draw(derive_seed(asked.root_seed, asked.role, digest, str(number))) for number in numbers]
    facts = sparse_facts(description.settings["sparse_frames"])
    return frozen(name, made, draw.pixel_nm, digest=digest, facts=facts, truth_kind="simulated")


def small(folder: Path) -> PluginSource:
    """A description for checks: two images that are large enough for all scales of MS-SSIM."""
    del folder
    card = Catalog().card("data", "renderings")
    settings = card.fill("renderings", {"frames": 2, "field_px": 192})
    return PluginSource(kind="renderings", settings=settings, facts=card.facts)
