"""Evidence of parameters of crops: errors and bounds by name, and what ratios are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from smlmbench.predictions import Floats, Parameters
from smlmbench.truths.parameter_table import ParameterTable, wrapped

GROUPS = {
    "x": "x_nm",
    "y": "y_nm",
    "z": "z_nm",
    "photons": "photons",
    "background": "background_photons",
    "polar": "polar_deg",
    "azimuth": "azimuth_deg",
    "zernike": "zernike_",
    "width": "sigma_nm",
}
NO_BOUND = "no bound is known: the data state no psf or no camera"
NO_TRUTH = "there is no truth"


@dataclass(frozen=True, slots=True)
class Errors:
    """Answers about n crops held against the truth.

    Attributes:
        error: Answer minus truth by parameter, (n,) each; NaN where there is no answer. Periodic ones are wrapped.
        bound: By the same names; NaN where unknown.
        spread: Standard deviation of each true parameter over the crops.
        z_nm: True depth, None where it is not known.
    """

    error: Mapping[str, Floats]
    bound: Mapping[str, Floats]
    spread: Mapping[str, float]
    z_nm: Floats | None = None

    def of(self, group: str) -> list[str]:
        """Parameters of a group that are asked."""
        return [name for name in self.error if name.startswith(GROUPS[group])]


def errors_of(found: Parameters, truth: ParameterTable) -> Errors:
    """An answer beside the truth."""
    nothing, values = np.full(len(truth), np.nan), truth.values
    return Errors(
        {
            name: wrapped(np.asarray(found.values.get(name, nothing)) - true, truth.periods.get(name))
            for name, true in values.items()
        },
        dict(truth.bounds),
        {name: float(true.std()) for name, true in values.items()},
        values["z_nm"] if "z_nm" in values else truth.beside.get("z_nm"),
    )


def sums_of(errors: Sequence[Floats], bounds: Sequence[Floats]) -> Floats:
    """Squared error and squared bound of every parameter by turns, (n, 2 P).

    A crop without a finite bound has 0 in both; NaN where there is no answer.
    """
    columns = []
    for error, bound in zip(errors, bounds, strict=True):
        known = np.isfinite(bound)
        columns += [np.where(known, error**2, 0.0), np.where(known, bound, 0.0) ** 2]
    return np.stack(columns, axis=1)


def ratio_of(sums: Floats) -> Floats:
    """Geometric mean over parameters of RMSE over root mean squared bound, of sums (..., 2 P); NaN without bounds."""
    pairs = np.asarray(sums).reshape(*np.shape(sums)[:-1], -1, 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.sqrt(np.where(pairs[..., 1] > 0, pairs[..., 0] / pairs[..., 1], np.nan))
    return np.asarray(np.prod(ratios, axis=-1) ** (1 / ratios.shape[-1]))
