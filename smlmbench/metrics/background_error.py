"""How far a background is from the true one."""

from typing import Any

from smlmbench.metrics.corrected import Corrected, number

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Error of the background of a crop, over all pixels, relative to the mean true background.",
    "tasks": ["background"],
    "gives": {
        "background_rmse": {
            "title": "Background RMSE / mean",
            "spoken": "background RMSE over its mean",
            "direction": "down",
            "low": 0.0,
            "help": "Root mean squared error per pixel over the mean true background; 0 is best.",
        },
        "background_rmse_photons": {
            "title": "Background RMSE (photons)",
            "unit": "photons/px",
            "direction": "down",
            "low": 0.0,
            "help": "Root mean squared error per pixel.",
        },
        "background_offset": {
            "title": "Background offset",
            "direction": "none",
            "help": "Mean found minus mean true background, over the mean true one; 0 is best.",
        },
        "free_background_rmse": {
            "title": "RMSE / mean, no emitter",
            "direction": "down",
            "low": 0.0,
            "help": "The same error on crops without an emitter, where the input is the background and its noise.",
        },
    },
}


def measure(evidence: Corrected) -> dict[str, float | str]:
    """All of the crops, and the primary of those without an emitter."""
    dark = "the mean background is 0"
    free = "there are no crops without an emitter"
    found = {name: number(name, evidence.crops, dark) for name in CARD["gives"] if not name.startswith("free")}
    dim = free if evidence.free is None else number("background_rmse", evidence.free, dark)
    return found | {"free_background_rmse": dim}
