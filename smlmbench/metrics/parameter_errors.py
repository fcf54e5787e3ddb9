"""Errors of parameters of crops beside the least that the crops allow."""

from typing import Any

import numpy as np

from smlmbench.metrics.parameters import GROUPS, NO_BOUND, NO_TRUTH, Errors, ratio_of, sums_of
from smlmbench.metrics.strata import Profile, listed
from smlmbench.predictions import Floats

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "RMSE of each parameter over the bound of the crops (1: efficient), bias, and both against depth",
    "tasks": ["psf_regression"],
    "gives": {
        "crlb_ratio": {
            "title": "RMSE / CRLB", "spoken": "RMSE over the bound", "direction": "down", "low": 0.0,
            "help": "Geometric mean over the parameters of RMSE over the root mean squared bound; 1 is efficient.",
        },
        "own_ratio": {
            "title": "RMS of error / own CRLB", "direction": "down", "low": 0.0,
            "help": "Root mean square of errors over each crop's own bound; geometric mean over parameters.",
        },
        "relative_rmse": {
            "title": "RMSE / spread of the truth", "direction": "down", "low": 0.0,
            "help": "Geometric mean over the parameters; 1 is the answer that is always the mean.",
        },
        "ratio_x": {
            "title": "x RMSE/CRLB", "direction": "down", "low": 0.0,
            "help": "RMSE of x over the root mean squared bound.",
        },
        "rmse_x": {
            "title": "x RMSE (nm)", "unit": "nm", "direction": "down", "low": 0.0,
            "help": "Root mean squared error of x.",
        },
        "crlb_x": {
            "title": "x CRLB (nm)", "unit": "nm", "direction": "none", "low": 0.0,
            "help": "Root mean square of the bounds of x over the same crops.",
        },
        "bias_x": {
            "title": "x bias (nm)", "unit": "nm", "direction": "none",
            "help": "Mean error of x.",
        },
        "ratio_y": {
            "title": "y RMSE/CRLB", "direction": "down", "low": 0.0,
            "help": "RMSE of y over the root mean squared bound.",
        },
        "rmse_y": {
            "title": "y RMSE (nm)", "unit": "nm", "direction": "down", "low": 0.0,
            "help": "Root mean squared error of y.",
        },
        "crlb_y": {
            "title": "y CRLB (nm)", "unit": "nm", "direction": "none", "low": 0.0,
            "help": "Root mean square of the bounds of y over the same crops.",
        },
        "bias_y": {
            "title": "y bias (nm)", "unit": "nm", "direction": "none",
            "help": "Mean error of y.",
        },
        "ratio_z": {
            "title": "z RMSE/CRLB", "direction": "down", "low": 0.0,
            "help": "RMSE of z over the root mean squared bound.",
        },
        "rmse_z": {
            "title": "z RMSE (nm)", "unit": "nm", "direction": "down", "low": 0.0,
            "help": "Root mean squared error of z.",
        },
        "crlb_z": {
            "title": "z CRLB (nm)", "unit": "nm", "direction": "none", "low": 0.0,
            "help": "Root mean square of the bounds of z over the same crops.",
        },
        "bias_z": {
            "title": "z bias (nm)", "unit": "nm", "direction": "none",
            "help": "Mean error of z.",
        },
        "ratio_photons": {
            "title": "photons RMSE/CRLB", "direction": "down", "low": 0.0,
            "help": "RMSE of the photons over the root mean squared bound.",
        },
        "rmse_photons": {
            "title": "photons RMSE (photons)", "unit": "photons", "direction": "down", "low": 0.0,
            "help": "Root mean squared error of the photons.",
        },
        "crlb_photons": {
            "title": "photons CRLB (photons)", "unit": "photons", "direction": "none", "low": 0.0,
            "help": "Root mean square of the bounds of the photons over the same crops.",
        },
        "bias_photons": {
            "title": "photons bias (photons)", "unit": "photons", "direction": "none",
            "help": "Mean error of the photons.",
        },
        "ratio_background": {
            "title": "background RMSE/CRLB", "direction": "down", "low": 0.0,
            "help": "RMSE of the background per pixel over the root mean squared bound.",
        },
        "rmse_background": {
            "title": "background RMSE (photons)", "unit": "photons", "direction": "down", "low": 0.0,
            "help": "Root mean squared error of the background per pixel.",
        },
        "crlb_background": {
            "title": "background CRLB (photons)", "unit": "photons", "direction": "none", "low": 0.0,
            "help": "Root mean square of the bounds of the background per pixel over the same crops.",
        },
        "bias_background": {
            "title": "background bias (photons)", "unit": "photons", "direction": "none",
            "help": "Mean error of the background per pixel.",
        },
        "ratio_polar": {
            "title": "polar RMSE/CRLB", "direction": "down", "low": 0.0,
            "help": "RMSE of the polar angle over the root mean squared bound.",
        },
        "rmse_polar": {
            "title": "polar RMSE (deg)", "unit": "deg", "direction": "down", "low": 0.0,
            "help": "Root mean squared error of the polar angle.",
        },
        "crlb_polar": {
            "title": "polar CRLB (deg)", "unit": "deg", "direction": "none", "low": 0.0,
            "help": "Root mean square of the bounds of the polar angle over the same crops.",
        },
        "bias_polar": {
            "title": "polar bias (deg)", "unit": "deg", "direction": "none",
            "help": "Mean error of the polar angle.",
        },
        "ratio_azimuth": {
            "title": "azimuth RMSE/CRLB", "direction": "down", "low": 0.0,
            "help": "RMSE of the azimuth, around the circle over the root mean squared bound.",
        },
        "rmse_azimuth": {
            "title": "azimuth RMSE (deg)", "unit": "deg", "direction": "down", "low": 0.0,
            "help": "Root mean squared error of the azimuth, around the circle.",
        },
        "crlb_azimuth": {
            "title": "azimuth CRLB (deg)", "unit": "deg", "direction": "none", "low": 0.0,
            "help": "Root mean square of the bounds of the azimuth, around the circle over the same crops.",
        },
        "bias_azimuth": {
            "title": "azimuth bias (deg)", "unit": "deg", "direction": "none",
            "help": "Mean error of the azimuth, around the circle.",
        },
        "ratio_zernike": {
            "title": "zernike RMSE/CRLB", "direction": "down", "low": 0.0,
            "help": "RMSE of the Zernike amplitudes together over the root mean squared bound.",
        },
        "rmse_zernike": {
            "title": "zernike RMSE (mλ)", "unit": "mλ", "direction": "down", "low": 0.0,
            "help": "Root mean squared error of the Zernike amplitudes together.",
        },
        "crlb_zernike": {
            "title": "zernike CRLB (mλ)", "unit": "mλ", "direction": "none", "low": 0.0,
            "help": "Root mean square of the bounds of the Zernike amplitudes together over the same crops.",
        },
        "bias_zernike": {
            "title": "zernike bias (mλ)", "unit": "mλ", "direction": "none",
            "help": "Mean error of the Zernike amplitudes together.",
        },
        "ratio_width": {
            "title": "width RMSE/CRLB", "direction": "down", "low": 0.0,
            "help": "RMSE of the width over the root mean squared bound.",
        },
        "rmse_width": {
            "title": "width RMSE (nm)", "unit": "nm", "direction": "down", "low": 0.0,
            "help": "Root mean squared error of the width.",
        },
        "crlb_width": {
            "title": "width CRLB (nm)", "unit": "nm", "direction": "none", "low": 0.0,
            "help": "Root mean square of the bounds of the width over the same crops.",
        },
        "bias_width": {
            "title": "width bias (nm)", "unit": "nm", "direction": "none",
            "help": "Mean error of the width.",
        },
    },
}  # fmt: skip

BINS = 10
LEAST_RANGE_NM = 1.0
FEW = 2


def measure(evidence: Errors | None) -> dict[str, float | str]:
    """All numbers; those of a parameter that is not asked say so."""
    if evidence is None:
        return dict.fromkeys(CARD["gives"], NO_TRUTH)
    found: dict[str, float | str] = {}
    for group in GROUPS:
        names = evidence.of(group)
        found |= {f"{kind}_{group}": value for kind, value in _one(evidence, names).items()}
    silent = [name for name, error in evidence.error.items() if not np.isfinite(error).all()]
    if silent:
        return found | dict.fromkeys(("crlb_ratio", "own_ratio", "relative_rmse"), _silent(silent))
    errors, bounds = list(evidence.error.values()), list(evidence.bound.values())
    ratio = float(ratio_of(sums_of(errors, bounds).sum(axis=0)))
    found["crlb_ratio"] = ratio if np.isfinite(ratio) else NO_BOUND
    own = [_own(error, bound) for error, bound in zip(errors, bounds, strict=True)]
    found["own_ratio"] = _geometric(own) if np.isfinite(own).all() else NO_BOUND
    spreads = list(evidence.spread.values())
    relative = [_rms(error) / spread for error, spread in zip(errors, spreads, strict=True) if spread > 0]
    found["relative_rmse"] = _geometric(relative) if relative else "no parameter varies"
    return found


def profile(evidence: Errors | None) -> dict[str, Profile]:
    """Bias, spread and bound of every parameter in ten equal bins of the true depth."""
    z_nm = None if evidence is None else evidence.z_nm
    if evidence is None or z_nm is None or not np.ptp(z_nm) >= LEAST_RANGE_NM:
        return {}
    edges = np.linspace(z_nm.min(), z_nm.max(), BINS + 1)
    own = np.searchsorted(edges[1:-1], z_nm, side="right")
    found = {}
    for name, error in evidence.error.items():
        if not np.isfinite(error).any():
            continue
        parts = [(error[own == k], evidence.bound[name][own == k]) for k in range(BINS)]
        columns = {
            "z_nm": (edges[1:] + edges[:-1]) / 2,
            "bias": np.array([part.mean() if len(part) >= FEW else np.nan for part, _ in parts]),
            "spread": np.array([part.std(ddof=1) if len(part) >= FEW else np.nan for part, _ in parts]),
            "crlb": np.array([_rms(bound) if len(bound) >= FEW else np.nan for _, bound in parts]),
        }
        found[name] = {key: listed(values) for key, values in columns.items()}
    return found


def _one(evidence: Errors, names: list[str]) -> dict[str, float | str]:
    if not names:
        return dict.fromkeys(("ratio", "rmse", "crlb", "bias"), "it is not asked")
    errors, bounds = [evidence.error[name] for name in names], [evidence.bound[name] for name in names]
    if not np.isfinite(errors).all():
        return dict.fromkeys(("ratio", "rmse", "crlb", "bias"), _silent(names))
    ratio, bound = float(ratio_of(sums_of(errors, bounds).sum(axis=0))), _rms(np.concatenate(bounds))
    return {
        "ratio": ratio if np.isfinite(ratio) else NO_BOUND,
        "rmse": _rms(np.concatenate(errors)),
        "crlb": bound if np.isfinite(bound) else NO_BOUND,
        "bias": float(np.mean(errors)),
    }


def _rms(values: Floats) -> float:
    """Of those that are finite; NaN where none is."""
    known = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(known**2))) if len(known) else float("nan")


def _own(error: Floats, bound: Floats) -> float:
    known = np.isfinite(bound) & (bound > 0)
    return _rms(error[known] / bound[known])


def _geometric(values: list[float]) -> float:
    return float(np.prod(values) ** (1 / len(values)))


def _silent(names: list[str]) -> str:
    return f"the row does not tell {', '.join(names)} of every crop"
