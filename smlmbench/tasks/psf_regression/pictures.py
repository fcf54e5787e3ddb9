"""A crop beside the PSF of the answer and that of the truth, both with their background."""

from collections.abc import Mapping

import numpy as np
import torch

from smlmbench.data.contracts import Condition
from smlmbench.figures import Panels
from smlmbench.predictions import Floats, Parameters
from smlmbench.psf.contracts import Psf, Stand, Window
from smlmbench.psf.gaussian import Gaussian
from smlmbench.truths.parameter_table import ParameterTable, unit_of

SIGMA_PX = 1.3  # of the spot that is drawn where no PSF is known
MOST_SAID = 3


def typical(truth: ParameterTable) -> int:
    """The crop whose first parameter has the median bound; the first one where no bound is known."""
    bound = next(iter(truth.bounds.values()))
    known = np.flatnonzero(np.isfinite(bound))
    return int(known[np.argsort(bound[known])[len(known) // 2]]) if len(known) else 0


def panels(answer: Parameters, condition: Condition, truth: ParameterTable) -> Panels:
    """Of one crop; what a row does not tell is drawn as it truly is."""
    number = typical(truth)
    crop = condition.frames.read(number, number + 1)[0]
    image = crop if crop.ndim == 2 else np.asarray(crop.sum(axis=0))
    true = {name: float(column[number]) for name, column in (*truth.beside.items(), *truth.values.items())}
    told = {name: float(column[number]) for name, column in answer.values.items() if name in truth.values}
    drawn = [_spot(known, condition, image.shape[-1]) for known in (true | told, true)]
    shown = list(truth.values)[:MOST_SAID]
    said = ", ".join(
        f"{name} {told[name]:.4g} (true {true[name]:.4g}) {unit_of(name)}" for name in shown if name in told
    )
    return Panels(
        input_image=image,
        prediction=drawn[0],
        truth=drawn[1],
        pixel_nm=condition.pixel_size_nm,
        unit="photons" if condition.calibrated else "counts",
        fine_unit="expected photons",
        found_nm=_place(true | told),
        truth_nm=_place(true),
        said=said,
    )


def _place(known: Mapping[str, float]) -> Floats | None:
    return np.array([[known["x_nm"], known["y_nm"]]]) if {"x_nm", "y_nm"} <= set(known) else None


def _spot(known: Mapping[str, float], condition: Condition, side: int) -> Floats:
    """Expected photons of an emitter, within the depths of the PSF."""
    pixel_nm, middle_nm = condition.pixel_size_nm, side / 2 * condition.pixel_size_nm
    optics: Psf = condition.optics or Gaussian(condition.told.get("psf_sigma_nm", SIGMA_PX * pixel_nm))
    low, high = optics.depth_nm or (-np.inf, np.inf)
    at = (known.get("x_nm", middle_nm), known.get("y_nm", middle_nm), min(max(known.get("z_nm", 0.0), low), high))
    stand = Stand(*(torch.tensor([place], dtype=torch.float64) for place in at))
    shapes = {
        name: torch.full_like(values, known[name]) if name in known else values
        for name, values in optics.shapes(1, torch.Generator().manual_seed(0)).items()
    }
    light = optics.light(stand, shapes, Window(side, pixel_nm))[0].sum(dim=0).numpy()
    return np.asarray(known.get("photons", 1.0) * light + known.get("background_photons", 0.0), dtype=np.float64)
