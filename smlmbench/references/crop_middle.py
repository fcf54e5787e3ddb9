"""The middle of each crop: what a score says about a row that does not look where its emitter is."""

import numpy as np

from smlmbench.data.contracts import Condition, Settings
from smlmbench.predictions import Parameters
from smlmbench.references.crops import Start, pixels_of

CARD = {
    "version": 1,
    "summary": "The middle of each crop, in focus; photons and background by its edge",
    "facts": {"tasks": {"psf_regression": {"gives": "parameters", "knows": []}}},
}


def predict(condition: Condition, settings: Settings, output_settings: Settings, seed: int) -> Parameters:
    """Answer without a fit; what else the data ask (angles, aberrations) is 0."""
    del settings, output_settings, seed
    rough, asked = Start.of(pixels_of(condition)), getattr(condition.truth, "values", {})
    n, middle_nm = len(rough.x_px), condition.frames.width / 2 * condition.pixel_size_nm
    found = {name: np.zeros(n) for name in asked} | {
        "x_nm": np.full(n, middle_nm),
        "y_nm": np.full(n, middle_nm),
        "z_nm": np.zeros(n),
        "photons": rough.photons.numpy(),
        "background_photons": rough.background.numpy(),
    }
    return Parameters(found)
