"""Whether a truth belongs to its frames: some of them are fitted and held against it."""

import numpy as np

from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.references import peaks_gaussian
from smlmbench.registry import Catalog
from smlmbench.tasks.localization.scoring import emitters_of
from smlmbench.truths.misfit import Misfit, misfit

MOST_FRAMES, LEAST_FRAMES = 200, 8
PIXELS = 8_000_000  # of all frames that are fitted, about a second


def doubt(condition: Condition, catalog: Catalog) -> Misfit | None:
    """Fit evenly spaced frames that have emitters near them; None where the truth fits, or is not of such frames."""
    true, frames = emitters_of(condition), condition.frames
    if true is None or not len(true) or not np.isfinite(condition.pixel_size_nm):
        return None
    count = int(np.clip(PIXELS // (frames.height * frames.width), LEAST_FRAMES, MOST_FRAMES))
    chosen = np.unique(np.linspace(0, frames.n_frames - 1, min(count, frames.n_frames)).astype(np.int64))
    values = np.concatenate([frames.read(int(at), int(at) + 1) for at in chosen])
    if values.ndim != 3:
        return None
    some = Condition("some frames", ArrayFrames(values), None, told=condition.told)
    settings = catalog.card("references", "peaks_gaussian").fill("peaks_gaussian", {})
    spots = peaks_gaussian.predict(some, settings, {}, 0).table
    if spots is None:
        return None
    columns = {**spots.columns(), "frame": chosen[spots.frame]}
    table = type(spots).of(columns, n_frames=frames.n_frames, field_nm=condition.field_nm)
    return misfit(table, true.table, condition.pixel_size_nm)
