"""Parameters of crops: what is asked of each crop that shows one emitter, and the least error that it allows.

Names end in their unit: x_nm, y_nm, z_nm, photons, background_photons (per pixel), polar_deg, azimuth_deg,
zernike_6_mlambda. Positions count from the outer corner of the crop's first pixel.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from smlmbench.predictions import Floats

KIND = "parameter_table"
UNITS = {"nm": "nm", "photons": "photons", "deg": "deg", "mlambda": "mλ"}


@dataclass(frozen=True, slots=True)
class ParameterTable:
    """Parameters of n crops; build with `of`.

    Attributes:
        values: Those that are asked, (n,) each, in their order.
        bounds: Standard deviation that no unbiased estimate of a crop's parameter undercuts, by the same names; NaN
            where it is not known, infinite where a crop tells nothing of it.
        periods: Of those that are periodic.
        beside: Further parameters that are known and not asked, such as the depth, (n,) each.
    """

    kind: ClassVar[str] = KIND
    values: Mapping[str, Floats]
    bounds: Mapping[str, Floats]
    periods: Mapping[str, float] = field(default_factory=dict)
    beside: Mapping[str, Floats] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        asked: tuple[str, ...],
        known: Mapping[str, Floats],
        bounds: Mapping[str, Floats] | None = None,
        periods: Mapping[str, float] | None = None,
    ) -> "ParameterTable":
        """Those asked among all that is known; a parameter without a bound has NaN."""
        bounds, periods = bounds or {}, periods or {}
        return cls(
            {name: known[name] for name in asked},
            {name: bounds.get(name, np.full(len(known[name]), np.nan)) for name in asked},
            {name: periods[name] for name in asked if name in periods},
            {name: column for name, column in known.items() if name not in asked},
        )

    def __len__(self) -> int:
        return len(next(iter(self.values.values()), ()))

    def part(self, start: int, stop: int) -> "ParameterTable":
        """Those of crops start .. stop - 1."""
        values, bounds, beside = (
            {name: column[start:stop] for name, column in columns.items()}
            for columns in (self.values, self.bounds, self.beside)
        )
        return replace(self, values=values, bounds=bounds, beside=beside)


def unit_of(name: str) -> str:
    """Unit of a parameter, by the end of its name; empty where it has none."""
    return UNITS.get(name.rpartition("_")[2], "")


def wrapped(difference: Floats, period: float | None) -> Floats:
    """Differences of a periodic parameter within half a period to both sides; others as they are."""
    return difference if period is None else (difference + period / 2) % period - period / 2
