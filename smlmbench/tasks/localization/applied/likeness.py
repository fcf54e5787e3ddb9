"""Do the frames that rows were trained on look like those of a movie? The check of a calibration, with both at hand."""

import numpy as np
from numpy.typing import NDArray

from smlmbench.calibrate.check import ALONE, FEWEST_FRAMES, PIXELS, compared
from smlmbench.calibrate.molecules.seen import Detector
from smlmbench.calibrate.molecules.spots import sampled
from smlmbench.camera import Noise
from smlmbench.data.contracts import Condition
from smlmbench.figures.likeness import Picture, likeness, shown
from smlmbench.references.peaks_gaussian import START_SIGMA_PX
from smlmbench.tasks.contracts.applied import Untrue

TRAINING = "training"  # name of the picture
LEAST_PX = 8


def likeness_of(condition: Condition, taught: Condition) -> Untrue:
    """Distances of pixels, spectrum, widths and photons of spots, in words too, and the figure; or why there are none.

    `taught` is the validation set, which is like the training.
    """
    noise, nm = Noise.of(condition.told), condition.pixel_size_nm
    if noise is None or not (condition.calibrated and taught.calibrated) or nm != taught.pixel_size_nm:
        return Untrue(reasons={"like": "camera and pixel must be known, and the same in the training"})
    if any(one.frames.n_frames == 0 or one.frames.read(0, 1).ndim != 3 for one in (condition, taught)):
        return Untrue(reasons={"like": "frames of several channels are not compared"})
    side = min(size for one in (condition, taught) for size in (one.frames.height, one.frames.width))
    real, trained = (_frames(one, side) for one in (condition, taught))
    if side < LEAST_PX or min(len(real), len(trained)) < FEWEST_FRAMES:
        return Untrue(reasons={"like": f"{len(real)} and {len(trained)} frames of {side} px are too few to compare"})
    sigma_nm = condition.told.get("psf_sigma_nm", START_SIGMA_PX * nm)
    found = compared(real, trained, Detector(sigma_nm / nm, ALONE, noise), nm)
    said = "; ".join(found.differ)
    line = f"the movie clearly differs from the training: {said}" if said else "the movie looks like the training"
    ends = shown(found.real)
    pictures = [Picture("the movie (real)", found.real, ends), Picture("training (simulated)", found.simulated, ends)]
    image = likeness(pictures, found.curves, "The movie and what rows were trained on", pixel_nm=nm)
    return Untrue(pictures={TRAINING: image}, lines=(f"{line[0].upper()}{line[1:]}.",))


def _frames(one: Condition, side: int) -> NDArray[np.float32]:
    tiles = sampled(one.frames)[:, :, :side, :side]
    frames = tiles.reshape(-1, side, side)
    return frames[:: max(1, -(-frames.size // PIXELS))]
