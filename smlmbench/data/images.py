"""Samples of image pairs: what a network sees, and the image that it is to make of it.

A sample is a random crop of a pair, at the same place of both images, turned and mirrored alike; sample k is addressed
by its number. Only pairs used last are held in memory. Networks learn targets in unit mass: divided by `target_scale`,
which brings a typical brightest pixel to 1; predictions come back in the targets' own unit.
"""

from collections import OrderedDict
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.data.contracts import Asked, Batch, Condition, Identity, Scope, Statistics
from smlmbench.data.crops import SYMMETRIES, Place, turn_crop
from smlmbench.data.targets import digest_of, statistics_of
from smlmbench.errors import ConfigError, FormatError, SizeError
from smlmbench.formats.pages import open_pages
from smlmbench.movies import Movie, check_block, check_finite
from smlmbench.registry import Catalog
from smlmbench.seeds import derive_seed
from smlmbench.study.sources import ImagesSource
from smlmbench.study.sources.pairs import Page
from smlmbench.truths.target_images import TargetImages, Taught

CARD = {
    "version": 1,
    "summary": "Two folders of images, inputs and targets, paired by name",
    "facts": {"truth": "target_images"},
}

HELD_BYTES = 200_000_000
HELD_SCORED_BYTES = 50_000_000  # of each scored part, which is read in order
OPEN_FILES = 16
SAMPLED_PAGES = 64  # looked at for statistics and scale
SAMPLED_PIXELS = 1 << 14
PERCENTILE = 99.9

Image = NDArray[np.float32]


class Held(NamedTuple):
    """A decoded pair with the lowest and highest value of its input."""

    given: Image
    wanted: Image
    low: float
    high: float

    @property
    def n_bytes(self) -> int:
        """Memory of both images."""
        return self.given.nbytes + self.wanted.nbytes


class PairFiles:
    """The pairs of a source's part; those used last stay decoded, up to `held_bytes`, and a few files open.

    Raises:
        UserError: Folders that are no pairs, or too few of them.
    """

    def __init__(self, source: ImagesSource, held_bytes: int = HELD_BYTES) -> None:
        self.pages: tuple[Page, ...] = source.pages
        self._camera = None if source.camera == "uncalibrated" else source.camera
        self._room = held_bytes
        self._used = 0
        self._held: OrderedDict[int, Held] = OrderedDict()
        self._open: OrderedDict[Path, Movie] = OrderedDict()

    def __len__(self) -> int:
        return len(self.pages)

    def __getitem__(self, number: int) -> Held:
        """A decoded pair: input (H, W) in photons or counts, target (U*H, U*W) in its own unit."""
        if number not in self._held:
            page = self.pages[number]
            counts = self._read(page, page.input)
            given = counts.astype(np.float32) if self._camera is None else self._camera.to_photons(counts)
            wanted = self._read(page, page.target).astype(np.float32)
            self._held[number] = Held(given, wanted, float(given.min()), float(given.max()))
            self._used += self._held[number].n_bytes
            while self._used > self._room and len(self._held) > 1:
                self._used -= self._held.popitem(last=False)[1].n_bytes
        self._held.move_to_end(number)
        return self._held[number]

    def _read(self, page: Page, path: Path) -> NDArray[np.generic]:
        if path not in self._open:
            self._open[path] = open_pages(path)
            while len(self._open) > OPEN_FILES:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(path)
        found = self._open[path].read(page.number, page.number + 1)
        check_finite(path.name, page.number, found)
        return np.asarray(found[0])

    def __del__(self) -> None:
        for movie in getattr(self, "_open", {}).values():
            movie.close()


class InputFrames:
    """The inputs of pairs as frames; they may differ in size, and are then read one by one."""

    def __init__(self, pairs: PairFiles, start: int = 0, stop: int | None = None) -> None:
        self._pairs, self._start = pairs, start
        self.n_frames = (len(pairs) if stop is None else stop) - start
        self.height, self.width = pairs.pages[start].height, pairs.pages[start].width

    def read(self, start: int, stop: int) -> Image:
        """Inputs start .. stop - 1 as (n, height, width).

        Raises:
            SizeError: Outside the pairs, or inputs of several sizes.
        """
        check_block(start, stop, self.n_frames)
        images = [self._pairs[self._start + number].given for number in range(start, stop)]
        if len({image.shape for image in images}) > 1:
            raise SizeError("inputs of several sizes make no block of frames; read them one by one")
        return np.stack(images) if images else np.empty((0, self.height, self.width), dtype=np.float32)

    def part(self, start: int, stop: int) -> "InputFrames":
        """Some of them, still in their files."""
        return InputFrames(self._pairs, self._start + start, self._start + stop)


class Wanted:
    """The targets of pairs, by number."""

    def __init__(self, pairs: PairFiles) -> None:
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, number: int) -> Image:
        """A target in its own unit."""
        return self._pairs[number].wanted


class PairTraining:
    """Square crops of pairs; addressable by sample number."""

    def __init__(self, pairs: PairFiles, source: ImagesSource, scope: Scope, seeds: tuple[str, ...]) -> None:
        """Take crops of the whole of every pair of the train part, cut to the shortest side of the inputs.

        The scope tells the seed of the study and whether samples are turned and mirrored; seeds are role, digest and
        repeat.
        """
        self._pairs = pairs
        self._ratio = int(pairs[0].wanted.shape[0] // pairs[0].given.shape[0])
        self._pixel_size_nm = float("nan") if source.pixel_size_nm is None else source.pixel_size_nm
        self._side = min(source.crop_px, *(min(page.height, page.width) for page in pairs.pages))
        self._root_seed, self._seeds = scope.root_seed, seeds
        self._symmetries = SYMMETRIES if scope.augment else 1
        self.sample_shape: tuple[int, ...] = (1, self._side, self._side)

    @property
    def output_settings(self) -> Mapping[str, float]:
        """Pixel of the inputs (NaN where it is unknown), and what brings answers to the unit of the targets."""
        return {"pixel_size_nm": self._pixel_size_nm, "image_scale": self.target_scale}

    @cached_property
    def statistics(self) -> Statistics:
        """Statistics of up to 64 evenly spaced inputs, of as many pixels of each."""
        images = [self._pairs[number].given.reshape(-1) for number in self._sampled()]
        count = min(SAMPLED_PIXELS, *[image.size for image in images])
        rows = [image[:: image.size // count][:count] for image in images]
        return statistics_of(np.stack(rows)[:, None, :])

    @cached_property
    def target_scale(self) -> float:
        """What a target is divided by: the mean over up to 64 targets of their 99.9 percentile of lit pixels.

        Pixels at or below 0 do not count, so that a few spikes on a dark image are brought to 1, and pictures too.

        Raises:
            FormatError: All of these targets are blank.
        """
        targets = (self._pairs[number].wanted for number in self._sampled())
        peaks = [float(np.percentile(wanted[wanted > 0], PERCENTILE)) for wanted in targets if (wanted > 0).any()]
        if not peaks:
            raise FormatError("all target images of the training part are blank; check the folder of targets")
        return float(np.mean(peaks))

    def _sampled(self) -> list[int]:
        count = min(len(self._pairs), SAMPLED_PAGES)
        return [int(number) for number in np.linspace(0, len(self._pairs) - 1, count).round()]

    def place(self, sample: int) -> Place:
        """Where sample k is taken: pair, upper left pixel of the input, symmetry."""
        number = derive_seed(self._root_seed, *self._seeds, str(sample))
        number, pair = divmod(number, len(self._pairs))
        page = self._pairs.pages[pair]
        number, row = divmod(number, page.height - self._side + 1)
        number, column = divmod(number, page.width - self._side + 1)
        return Place(pair, row, column, number % self._symmetries)

    def batch(self, first: int, count: int) -> Batch:
        """Samples first .. first + count - 1."""
        side, ratio = self._side, self._ratio
        frames = np.empty((count, 1, side, side), dtype=np.float32)
        images = np.empty((count, 1, side * ratio, side * ratio), dtype=np.float32)
        ranges = np.empty((count, 2), dtype=np.float32)
        for number in range(count):
            pair, row, column, symmetry = self.place(first + number)
            held = self._pairs[pair]
            frames[number, 0] = turn_crop(held.given[row : row + side, column : column + side], symmetry)
            rows, columns = (slice(start * ratio, (start + side) * ratio) for start in (row, column))
            images[number, 0] = turn_crop(held.wanted[rows, columns], symmetry)
            ranges[number] = held.low, held.high
        truth = Taught(torch.from_numpy(images / np.float32(self.target_scale)))
        return Batch(torch.from_numpy(frames), truth, first, torch.from_numpy(ranges))


def training_set(train: ImagesSource, identity: Identity, scope: Scope, catalog: Catalog) -> PairTraining:
    """Random crops of the train part; the repeat moves their places.

    Raises:
        UserError: Folders that are no pairs, or too few of them; or a network that wants several frames.
    """
    del catalog
    if scope.context > 1:
        raise ConfigError("image pairs have no neighbours in time; choose a network that sees one frame")
    seeds = ("train", digest_of(identity, "train"), str(scope.repeat))
    return PairTraining(PairFiles(train), train, scope, seeds)


def condition(name: str, source: ImagesSource, identity: Identity, asked: Asked, catalog: Catalog) -> Condition:
    """The pairs of a part that are scored; nothing is drawn, and the cut does not depend on a seed."""
    del catalog
    pairs = PairFiles(source, HELD_SCORED_BYTES)
    return Condition(
        name=name,
        frames=InputFrames(pairs),
        truth=TargetImages(Wanted(pairs)),
        digest=digest_of(identity, asked.role),
        truth_kind=source.truth_kind,
        calibrated=source.camera != "uncalibrated",
        facts={"pairs": float(len(pairs))},
        told={} if source.pixel_size_nm is None else {"pixel_size_nm": source.pixel_size_nm},
    )


def small(folder: Path) -> ImagesSource:
    """A description for checks: a few pairs, written into a folder."""
    import tifffile

    draws = np.random.default_rng(0)
    for number in range(4):
        wanted = (draws.random((48, 48)) < 0.02).astype(np.float32)
        given = wanted.reshape(24, 2, 24, 2).sum(axis=(1, 3)) * 100 + draws.poisson(5, (24, 24))
        for name, image in (("input", given.astype(np.float32)), ("target", wanted)):
            (folder / name).mkdir(exist_ok=True)
            tifffile.imwrite(folder / name / f"{number}.tif", image)
    return ImagesSource(input=folder / "input", target=folder / "target", crop_px=16)
