"""Whether the uncertainties that a table claims are true: spread of errors over sigma, coverage, likelihood."""

import math
from typing import Any

import numpy as np

from smlmbench.metrics.evidence import Evidence, Tables, tables_of
from smlmbench.metrics.reasons import why_not
from smlmbench.predictions import Floats

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Errors of matched pairs over the claimed sigma: spread, coverage of 68 and 95 %, mean NLL.",
    "tasks": ["localization"],
    "gives": {
        "sigma_spread": {
            "direction": "none", "low": 0.0,
            "help": "Root mean square of lateral error over claimed sigma, x and y together; 1 is best, above: "
            "overconfident. Chance pairs within the tolerance raise it.",
        },
        "sigma_spread_robust": {
            "direction": "none", "low": 0.0,
            "help": "The same by 1.4826 times the median of its absolute value, which few wrong pairs do not move.",
        },
        "sigma_spread_axial": {
            "direction": "none", "low": 0.0, "help": "Root mean square of axial error over claimed sigma (3-D only).",
        },
        "sigma_coverage_68": {
            "direction": "none", "low": 0.0, "high": 1.0,
            "help": "Share of lateral errors within one claimed sigma; 0.683 is best.",
        },
        "sigma_coverage_95": {
            "direction": "none", "low": 0.0, "high": 1.0,
            "help": "Share of lateral errors within 1.96 claimed sigma; 0.95 is best.",
        },
        "sigma_nll": {
            "direction": "down",
            "help": "Mean negative log likelihood, per axis in nm, of lateral errors under the claimed Gaussian.",
        },
    },
}  # fmt: skip

MAD_TO_SIGMA = 1.4826022185056018  # of a Gaussian
SIDE_95 = 1.959963984540054
AXIAL = "sigma_spread_axial"
LEAST_NM = 1e-6  # a smaller claim is none: programs write 0 for unknown
MOST = 1e150  # squares of more overflow


def measure(evidence: Evidence) -> dict[str, float | str]:
    """Over the pairs that count and claim a sigma; one that is not positive and finite claims nothing."""
    tables = tables_of(evidence)
    if isinstance(tables, str):
        return dict.fromkeys(CARD["gives"], tables)
    if not len(tables.hits[0]):
        lacks: dict[str, float | str] = dict.fromkeys(CARD["gives"], why_not(tables, "rmse_nm"))
        return lacks if tables.facts.three_d else lacks | {AXIAL: tables.facts.flat}
    answers: dict[str, float | str] = dict.fromkeys(CARD["gives"], "the found table claims no sigma of its positions")
    answers[AXIAL] = _axial(tables)
    error, sigma = (np.concatenate(parts) for parts in zip(_claims(tables, "x"), _claims(tables, "y"), strict=True))
    if not len(error):
        return answers
    z = np.minimum(np.abs(error) / sigma, MOST)
    return answers | {
        "sigma_spread": _rms(z),
        "sigma_spread_robust": MAD_TO_SIGMA * float(np.median(z)),
        "sigma_coverage_68": float(np.mean(z <= 1)),
        "sigma_coverage_95": float(np.mean(z <= SIDE_95)),
        "sigma_nll": float(np.mean(0.5 * z**2 + np.log(sigma))) + 0.5 * math.log(2 * math.pi),
    }


def _axial(tables: Tables) -> float | str:
    if not tables.facts.three_d:
        return tables.facts.flat
    error, sigma = _claims(tables, "z")
    return _rms(np.minimum(np.abs(error) / sigma, MOST)) if len(error) else "the found table claims no sigma of z"


def _rms(z: Floats) -> float:
    most = max(float(z.max()), 1.0)
    return most * float(np.sqrt(np.mean((z / most) ** 2)))


def _claims(tables: Tables, axis: str) -> tuple[Floats, Floats]:
    """Error and claimed sigma in nm, (n,) each, of the pairs that claim one along an axis."""
    f, t = tables.hits
    sigma = getattr(tables.found, f"sigma_{axis}_nm")[f]
    error = getattr(tables.found, f"{axis}_nm")[f] - getattr(tables.truth, f"{axis}_nm")[t]
    claimed = np.isfinite(sigma) & (sigma > LEAST_NM) & np.isfinite(error)
    return error[claimed], sigma[claimed]
