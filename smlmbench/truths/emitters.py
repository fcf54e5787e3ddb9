"""Emitters: where they truly are, in a frozen set and in a training batch."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smlmbench.predictions import Localizations
from smlmbench.truths.bounds import Bounds

if TYPE_CHECKING:
    import torch

KIND = "emitters"


NO_OPTICS = "the bound needs the PSF, the camera, and the photons of the true emitters"


@dataclass(frozen=True)
class Emitters:
    """True emitters of a frozen set, dim ones included.

    Those dimmer than `min_photons` are neutral in scoring, NaN photons count as bright. `sigma_px` is the width of the
    PSF in camera pixels, which the local background rule needs; None where unknown. `limit` bounds a table's rows, or
    says why it cannot; `around` are emitters outside the field that shine into it, known of simulations alone.
    """

    kind: ClassVar[str] = KIND
    table: Localizations
    min_photons: float = 0.0
    sigma_px: float | None = None
    limit: Callable[[Localizations, Localizations | None], Bounds | str] | str = NO_OPTICS
    around: Localizations | None = None

    @cached_property
    def bounds(self) -> Bounds | str:
        """Bounds of all rows, computed when they are first asked for, or why there are none."""
        return self.limit if isinstance(self.limit, str) else self.limit(self.table, self.around)

    def __len__(self) -> int:
        return len(self.table)

    def part(self, start: int, stop: int) -> Self:
        """Those of frames start .. stop - 1, counted from 0 there."""
        around = None if self.around is None else _cut(self.around, start, stop)
        return replace(self, table=_cut(self.table, start, stop), around=around)

    def faintest(self) -> NDArray[np.float64] | float:
        """Photons below which each emitter is neutral; rises with its local background where that is known."""
        if self.sigma_px is None:
            return self.min_photons
        return faintest_photons(self.min_photons, self.table.background_photons, self.sigma_px)


@dataclass(frozen=True, slots=True)
class Sampled:
    """Emitters of a training batch: targets only (of at least min_photons, inside the field).

    `sample` is (n,) int64, which sample of the batch each is in; the others are (n,) float32, with the origin at the
    outer corner of the sample and z 0 in focus. `background_photons` (samples,) is the mean expected background of a
    pixel in each sample, hot pixels aside; `channel` (n,) int64 the colour of each, from 0; None where unknown.
    """

    kind: ClassVar[str] = KIND
    sample: "torch.Tensor"
    x_nm: "torch.Tensor"
    y_nm: "torch.Tensor"
    z_nm: "torch.Tensor"
    photons: "torch.Tensor"
    pixel_size_nm: float
    background_photons: "torch.Tensor | None" = None
    channel: "torch.Tensor | None" = None


def _cut(table: Localizations, start: int, stop: int) -> Localizations:
    inside = (table.frame >= start) & (table.frame < stop)
    return table.select(inside).shifted(-start, n_frames=stop - start)


def faintest_photons(min_photons: float, background: ArrayLike, sigma_px: float | None) -> NDArray[np.float64]:
    """Photons below which an emitter is no target: `min_photons`, or 2 sigma of the local background if greater.

    The sigma is that of the background under a Gaussian spot, sqrt(b 4 pi sigma_px^2); where b (NaN) or the width
    (None) is unknown, `min_photons` alone decides. Of the shape of `background`, float64.
    """
    local = np.asarray(background, dtype=np.float64)
    if sigma_px is None:
        return np.full(local.shape, float(min_photons))
    under_spot = np.sqrt(np.clip(local, 0, None) * 4 * math.pi) * sigma_px
    return np.fmax(2 * under_spot, min_photons)


def is_target(
    photons: NDArray[np.float64], background: NDArray[np.float64], min_photons: float, sigma_px: float | None
) -> NDArray[np.bool_]:
    """Which emitters (n,) are bright enough; unknown (NaN) photons are."""
    return ~(photons < faintest_photons(min_photons, background, sigma_px))
