"""Crops of a user's frames: cut, held in memory, bounded where the optics are known, served by number."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench import psf
from smlmbench.camera import Camera
from smlmbench.data.contracts import ArrayFrames, Batch, Condition, Statistics
from smlmbench.data.parameters import told_of
from smlmbench.data.targets import statistics_of
from smlmbench.errors import ConfigError, SizeError
from smlmbench.limit.crops import Crops, bounds_of
from smlmbench.predictions import Floats, Ints
from smlmbench.psf.contracts import Psf, Stand, Window
from smlmbench.registry import Catalog
from smlmbench.seeds import derive_seed
from smlmbench.study.sources import PluginSource
from smlmbench.study.sources.description import Share
from smlmbench.truths.parameter_table import ParameterTable, unit_of

LEAST_SHARE = 0.1  # of an emitter's light that its crop holds
NEEDED = ("x_nm", "y_nm", "photons", "background_photons")


@dataclass(frozen=True, slots=True)
class Held:
    """Crops (n, side, side) float32 with their parameters and camera pixel, and whether they are in photo-electrons."""

    pixels: NDArray[np.float32]
    table: ParameterTable
    pixel_nm: float
    photons: bool

    def rows(self, which: Ints) -> "Held":
        """Some of them, in the order given."""
        columns = (self.table.values, self.table.bounds, self.table.beside)
        values, bounds, beside = ({name: one[which] for name, one in each.items()} for each in columns)
        return replace(
            self, pixels=self.pixels[which], table=replace(self.table, values=values, bounds=bounds, beside=beside)
        )


class HeldStream:
    """An addressable stream of crops that are held: every one of them once, in an order drawn anew each time."""

    def __init__(self, held: Held, seeds: tuple[int, str]) -> None:
        self._held, self._seeds = held, seeds
        self._orders: dict[int, Ints] = {}
        side = held.pixels.shape[-1]
        self.sample_shape: tuple[int, ...] = (1, side, side)

    @cached_property
    def statistics(self) -> Statistics:
        """Of all crops."""
        return statistics_of(self._held.pixels)

    @cached_property
    def output_settings(self) -> Mapping[str, Any]:
        """Camera pixel, and what is told of the parameters: see `data.parameters`."""
        held = self._held
        told = told_of(held.table, held.pixels.shape[-1], photons=held.photons)
        return {"pixel_size_nm": held.pixel_nm, **told}

    def batch(self, first: int, count: int) -> Batch:
        """Samples first .. first + count - 1."""
        n = len(self._held.pixels)
        numbers = np.arange(first, first + count)
        rows = np.array([self._order(number // n)[number % n] for number in numbers.tolist()])
        some = self._held.rows(rows)
        return Batch(torch.from_numpy(some.pixels)[:, None], some.table, first)

    def _order(self, time: int) -> Ints:
        if time not in self._orders:
            if len(self._orders) > 1:
                self._orders.pop(min(self._orders))
            draws = np.random.default_rng(derive_seed(self._seeds[0], self._seeds[1], str(time)))
            self._orders[time] = draws.permutation(len(self._held.pixels))
        return self._orders[time]


def contiguous(part: Share | None, n: int, what: str, gap: int = 0) -> tuple[int, int]:
    """First and one after the last of n things that a part keeps: train first, then validation, then test.

    Raises:
        SizeError: There are too few of them.
    """
    if part is None:
        return 0, n
    gaps = gap * ((part.val > 0) + (part.test > 0))
    val, test = (max(1, round(share * (n - gaps))) if share > 0 else 0 for share in (part.val, part.test))
    train = n - gaps - val - test
    if train < 1:
        raise SizeError(f"{n} {what} cannot be cut into train, val and test; give val and test files of their own")
    ends = {"train": (0, train), "val": (train + gap, train + gap + val), "test": (n - test, n)}
    return ends[part.role]


def bounded(
    known: Mapping[str, Floats],
    asked: tuple[str, ...],
    description: PluginSource,
    side: int,
    catalog: Catalog,
    *,
    within: bool = False,
) -> tuple[ParameterTable, Psf | None]:
    """The truth of crops, with their bounds where a psf and a camera are stated and all that they need is known.

    Photons are those of the whole emitter, or (`within`) those that its crop holds.
    """
    optics = None if description.psf is None else psf.build(description.psf, catalog)
    needed = (*NEEDED, *(("z_nm",) if optics is not None and optics.depth_nm is not None else ()))
    camera, pixel_nm = description.camera, description.pixel_size_nm
    if optics is None or not isinstance(camera, Camera) or pixel_nm is None or not set(needed) <= set(known):
        return ParameterTable.of(asked, known), optics
    x, y, z, photons, background = (
        torch.from_numpy(known.get(name, np.zeros(len(known["x_nm"]))))
        for name in ("x_nm", "y_nm", "z_nm", "photons", "background_photons")
    )
    if optics.depth_nm is not None:
        z = z.clamp(*optics.depth_nm)
    shapes, stand = optics.shapes(len(x), torch.Generator().manual_seed(0)), Stand(x, y, z)
    window = Window(side, pixel_nm)
    if within:
        photons = photons / optics.light(stand, shapes, window).flatten(1).sum(dim=1).clamp_min(LEAST_SHARE)
    crops = Crops(stand, shapes, photons.clamp_min(1.0), background.clamp_min(0.0), window)
    bounds = {name: values.numpy() for name, values in bounds_of(optics, camera, crops)[1].items()}
    return ParameterTable.of(asked, known, bounds), optics


def condition_of(name: str, held: Held, digest: str, description: PluginSource, optics: Psf | None) -> Condition:
    """A frozen set of crops that are held."""
    camera, known = description.camera, {**held.table.values, **held.table.beside}
    told = {"pixel_size_nm": held.pixel_nm}
    if optics is not None:
        told["psf_sigma_nm"] = optics.sigma_nm
    if "background_photons" in known:
        told["background_photons"] = float(known["background_photons"].mean())
    if isinstance(camera, Camera):
        told |= camera.noise.told()
    return Condition(
        name,
        ArrayFrames(held.pixels),
        held.table,
        digest,
        told=told,
        truth_kind=str(description.facts.get("truth_kind", "unstated")),
        calibrated=isinstance(camera, Camera),
        optics=optics,
    )


def finite(columns: Mapping[str, Floats]) -> dict[str, Floats]:
    """Columns that are parameters, by the unit in their name, and have a number for every crop."""
    return {
        name: np.asarray(values, dtype=np.float64)
        for name, values in columns.items()
        if unit_of(name) and len(values) and np.isfinite(values).all()
    }


def pixel_of(description: PluginSource) -> float:
    """Camera pixel.

    Raises:
        ConfigError: It is not stated.
    """
    if description.pixel_size_nm is None:
        raise ConfigError(f"{description.kind}: the camera pixel is not stated; give pixel_size_nm")
    return float(description.pixel_size_nm)
