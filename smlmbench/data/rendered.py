"""What sources of sparse and dense images share: a sample, their stream, frozen sets, and how places are drawn."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.data.contracts import ArrayFrames, Batch, Condition, Settings, Statistics
from smlmbench.data.targets import statistics_of
from smlmbench.errors import ConfigError
from smlmbench.render import blur, rasterise
from smlmbench.simulate.chance import Chance
from smlmbench.truths.dense_structure import DenseStructure, Places, Taught

SAMPLED = 16  # training samples that statistics and scale are taken from
PERCENTILE = 99.9
BESIDE = 2  # channels behind those of the colours: widefield and code

Image = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A sample.

    Attributes:
        given: What a network sees, (K + 2, H, W): sparse image of each colour, widefield, code of the structure.
        dense: (K, H, W), localizations per pixel.
        points: Where the structure truly is, for each colour; empty where that is not known.
        widefield: Camera pixels (h, w); None for none.
    """

    given: Image
    dense: Image
    points: tuple[Places, ...] = ()
    widefield: Image | None = None


class Stream:
    """Training samples of a function of their numbers, of `shape` (K, H, W), drawn by settings of their source."""

    def __init__(
        self, sample: Callable[[int], Rendered], shape: tuple[int, int, int], pixel_nm: float, settings: Settings
    ) -> None:
        self._sample, self._pixel_nm = sample, pixel_nm
        self._code, self._sigma_nm = float(settings["control"]), float(settings["render_sigma_nm"])
        self.sample_shape: tuple[int, ...] = (shape[0] + BESIDE, *shape[1:])

    @cached_property
    def _first(self) -> list[Rendered]:
        return [self._sample(number) for number in range(SAMPLED)]

    @property
    def statistics(self) -> Statistics:
        """Of the sparse images."""
        return statistics_of(np.concatenate([one.given[:-BESIDE] for one in self._first]))

    @cached_property
    def image_scale(self) -> float:
        """Mean 99.9 percentile of the lit pixels of dense images: a typical brightest pixel.

        Raises:
            ConfigError: All of these are dark.
        """
        lit = [one.dense[one.dense > 0] for one in self._first]
        peaks = [float(np.percentile(values, PERCENTILE)) for values in lit if len(values)]
        if not peaks:
            raise ConfigError("no dense image of the training has a localization; give more frames or a higher rate")
        return float(np.mean(peaks))

    @property
    def output_settings(self) -> Mapping[str, float]:
        """Render pixel and width, the typical brightest pixel, the number of colours, the code of the structure."""
        pixel_nm, colors = self._pixel_nm, self.sample_shape[0] - BESIDE
        return {
            "pixel_size_nm": pixel_nm, "render_pixel_nm": pixel_nm, "image_scale": self.image_scale, "colors": colors,
            "control": self._code, "render_sigma_nm": self._sigma_nm,
        }  # fmt: skip

    def batch(self, first: int, count: int) -> Batch:
        """Samples first .. first + count - 1."""
        made = [self._sample(first + number) for number in range(count)]
        given, dense = np.stack([one.given for one in made]), np.stack([one.dense for one in made])
        return Batch(torch.from_numpy(given), Taught(torch.from_numpy(dense)), first)


def frozen(name: str, made: Sequence[Rendered], pixel_nm: float, **facts: Any) -> Condition:
    """A frozen set of samples; further fields of the condition are given by name."""
    seen = [one.widefield for one in made if one.widefield is not None]
    points = [one.points for one in made] if made[0].points else []
    truth = DenseStructure(np.stack([one.dense for one in made]), points, np.stack(seen) if seen else None)
    frames = ArrayFrames(np.stack([one.given for one in made]))
    return Condition(name, frames, truth, told={"pixel_size_nm": pixel_nm}, calibrated=False, **facts)


def shown(sparse: Sequence[Image], widefield: Image | None, times: int, code: float) -> Image:
    """What a network sees (K + 2, H, W); without a widefield its channel is zeros."""
    light = np.zeros_like(sparse[0]) if widefield is None else enlarged(widefield, times)
    return np.stack([*sparse, light, np.full_like(sparse[0], code)])


def render(at: Places, shape_px: tuple[int, int], pixel_nm: float, sigma_nm: float) -> Image:
    """Places (m, 2) counted on a grid (H, W), or each drawn as a Gaussian of unit sum."""
    counts = rasterise(at[:, 0], at[:, 1], shape_px, pixel_nm)
    return np.asarray(blur(counts, sigma_nm / pixel_nm), dtype=np.float32)


def enlarged(widefield: Image, times: int) -> Image:
    """A widefield on the render grid, between its pixels' middles linearly."""
    given = torch.from_numpy(np.ascontiguousarray(widefield, dtype=np.float32))[None, None]
    fine = torch.nn.functional.interpolate(given, scale_factor=times, mode="bilinear", align_corners=False)
    return np.asarray(fine[0, 0].numpy(), dtype=np.float32)


def drawn(value: Any, chance: Chance) -> float:
    """A setting, drawn where it is a range."""
    if not isinstance(value, Mapping):
        return float(value)
    unit, low, high = float(chance.uniform(1)), float(value["min"]), float(value["max"])
    if value.get("law") == "log_uniform":
        return float(low * (high / low) ** unit)
    return low + unit * (high - low)


def sparse_facts(sparse_frames: Any) -> dict[str, float]:
    """The number of frames as a fact of a condition, where all images of it have the same."""
    return {} if isinstance(sparse_frames, Mapping) else {"sparse_frames": float(sparse_frames)}
