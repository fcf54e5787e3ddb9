"""Chance: uniform positions, as many in each frame as there are true emitters."""

import numpy as np

from smlmbench.data.contracts import Condition, Settings
from smlmbench.predictions import Localizations, Prediction
from smlmbench.truths.emitters import Emitters

CARD = {
    "version": 1,
    "summary": "Uniform positions with the true number of emitters in each frame",
    "facts": {"tasks": {"localization": {"gives": "table", "knows": ["density"]}}},
}

DENSITY_PER_UM2 = 1.0  # where nothing is known


def predict(condition: Condition, settings: Settings, output_settings: Settings, seed: int) -> Prediction:
    """Draw uniform positions.

    Each frame has as many as it has true emitters of at least min_photons; where there are none at all (no truth, or
    signal-free frames) their number is Poisson with the condition's density, 1 per um2 where that is unknown.
    """
    del settings, output_settings
    generator = np.random.default_rng(seed)
    n_frames = condition.frames.n_frames
    wide, high = condition.field_nm
    truth = condition.truth
    if isinstance(truth, Emitters) and len(truth):
        bright = ~(truth.table.photons < truth.min_photons)
        counts = np.bincount(truth.table.frame[bright], minlength=n_frames)
    else:
        density = condition.facts.get("density_per_um2", DENSITY_PER_UM2)
        counts = generator.poisson(density * wide * high / 1e6, size=n_frames)
    frame = np.repeat(np.arange(n_frames), counts)
    columns = {
        "frame": frame,
        "x_nm": generator.uniform(0, wide, len(frame)),
        "y_nm": generator.uniform(0, high, len(frame)),
        "probability": np.ones(len(frame)),
    }
    return Prediction(Localizations.of(columns, n_frames=n_frames, field_nm=condition.field_nm))
