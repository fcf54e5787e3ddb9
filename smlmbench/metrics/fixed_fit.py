"""What one and the same fit makes of crops less their background: spread and bias of position and photons."""

from typing import Any

from smlmbench.metrics.corrected import Corrected, number

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Spread and bias of a fixed maximum-likelihood fit (PSF known) of the crops less their background.",
    "tasks": ["background"],
    "gives": {
        "fit_spread_nm": {
            "title": "Spread (nm)",
            "spoken": "spread of the fixed fit",
            "unit": "nm",
            "direction": "down",
            "low": 0.0,
            "help": "Standard deviation of the position per axis, x and y together.",
        },
        "fit_spread_ratio": {
            "title": "Spread / with true background",
            "direction": "down",
            "low": 0.0,
            "help": "That spread over the one of the same crops less their true background; 1 is what can be reached.",
        },
        "fit_spread_x_nm": {"unit": "nm", "direction": "down", "low": 0.0, "help": "Standard deviation of x."},
        "fit_spread_y_nm": {"unit": "nm", "direction": "down", "low": 0.0, "help": "Standard deviation of y."},
        "fit_bias_x_nm": {"unit": "nm", "direction": "none", "help": "Mean error of x; 0 is best."},
        "fit_bias_y_nm": {"unit": "nm", "direction": "none", "help": "Mean error of y; 0 is best."},
        "fit_photons_spread": {
            "title": "Photons: spread (%)",
            "unit": "%",
            "direction": "down",
            "low": 0.0,
            "help": "Standard deviation of the relative error of the photons.",
        },
        "fit_photons_bias": {
            "title": "Photons: bias (%)",
            "unit": "%",
            "direction": "none",
            "help": "Mean relative error of the photons; 0 is best.",
        },
        "fit_lost": {
            "title": "Fits that ran away",
            "direction": "down",
            "low": 0.0,
            "high": 1.0,
            "help": "Share of fits that end 3 px away or without photons; their errors count as they stand there.",
        },
    },
}


def measure(evidence: Corrected) -> dict[str, float | str]:
    """All of them."""
    reason = "no emitter was fitted: none is known, or the PSF is not"
    return {name: number(name, evidence.crops, reason) for name in CARD["gives"]}
