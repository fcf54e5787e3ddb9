"""What could be attained: a joint fit of all true emitters of each real frame, started at the truth.

The fit knows how many emitters there are, the PSF and the camera, and starts at the truth; informed it also knows mean
and variance of what photons and background are drawn from. Positions have no prior, so that the start does not hold
them: what a frame does not tell runs away from the truth by as much as it is uncertain. Only where several places are
likely does the start pick the one that is nearest to the truth, which nobody could know.

Emitters that cannot be resolved would be found a hundred nm off. An estimator may be silent about them, so this one is:
those are left out whose uncertainty, as the information at the fit states it, is above a limit. No error and no true
place is looked at: of all limits that one is taken from which the stated uncertainties promise most efficiency,
100 - sqrt((100 - J)^2 + RMSE^2), with J the share that is kept (%) and RMSE that of the kept ones (nm).
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from smlmbench.camera import Camera
from smlmbench.camera.likelihood import log_likelihood
from smlmbench.data.contracts import Condition, Settings
from smlmbench.errors import UnansweredError
from smlmbench.limit.attained import Attained, Prior, attained
from smlmbench.limit.bounds import Limit, drawn_from
from smlmbench.limit.scene import Known
from smlmbench.predictions import Floats, Localizations, Prediction
from smlmbench.truths.bounds import lateral_nm
from smlmbench.truths.emitters import Emitters

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Joint fit of all true emitters of a frame, started at the truth: what could be attained",
    "settings": {
        "form": {
            "default": "informed",
            "choices": ["informed", "uninformed"],
            "help": "informed knows what photons and background are drawn from; uninformed is the maximum likelihood",
        },
        "leave_out_nm": {
            "default": None,
            "min": 1.0,
            "max": 1e6,
            "help": "Emitters whose uncertainty (lateral, both axes, as the fit states it) is above are left out; by "
            "default the number from which that promises most efficiency",
        },
    },
    "facts": {
        "tasks": {
            "localization": {
                "gives": "table",
                "knows": ["number of emitters", "psf", "camera", "photon prior", "background prior"],
            }
        },
        "ceiling": True,
        "default": False,
    },
}


MOST_APART = 0.2  # of the noise: frames that are not what the truth says


def predict(condition: Condition, settings: Settings, output_settings: Settings, seed: int) -> Prediction:
    """Fit the frames of a condition whose truth has a limit; nothing where no frame has an emitter.

    Raises:
        UnansweredError: There is no truth, or no limit of it is known, or the frames are not what it says.
    """
    del output_settings, seed
    truth = condition.truth
    if isinstance(truth, Emitters) and not len(truth):
        return Prediction(truth.table)
    limit = truth.limit if isinstance(truth, Emitters) else "the true emitters are not known"
    if not isinstance(limit, Limit):
        raise _refusal(condition, str(limit))
    assert isinstance(truth, Emitters)  # noqa: S101 (it has a limit)
    made = limit.scene(truth.table, truth.around)
    if isinstance(made, str):
        raise _refusal(condition, made)
    scene, order = made
    pixels = torch.from_numpy(condition.frames.read(0, condition.frames.n_frames))
    readings = pixels if pixels.ndim == 4 else pixels[:, None]
    shape = (condition.frames.height, condition.frames.width)
    told = torch.from_numpy(limit.camera.variance_map(shape) if limit.variance_e2 is None else limit.variance_e2)
    prior = _prior(truth.table) if settings["form"] == "informed" else Prior(Known())
    found = attained(scene, readings, lambda seen, mean: log_likelihood(limit.camera, seen, mean, told), prior)
    if (off := _apart(found, readings, limit.camera)) > MOST_APART:
        seen = f"pixels are {off:.0%} off the noise that the truth and the camera leave"
        raise _refusal(condition, f"the fit is not known: {seen} (uneven background, hot pixels, another camera)")
    spots, own = found.scene.spots, np.empty((len(order), scene.places, scene.places))
    values = np.stack([spots.x_nm, spots.y_nm, spots.z_nm, spots.photons, found.scene.background[spots.sample]])
    columns = np.empty_like(values)
    columns[:, order], own[order] = values, found.covariance[:, : scene.places, : scene.places]
    return Prediction(_table(truth, columns[:, : len(truth)], own[: len(truth)], settings["leave_out_nm"]))


def _refusal(condition: Condition, why: str) -> UnansweredError:
    return UnansweredError(f"reference 'oracle_map' fits what is known, and of '{condition.name}' {why}; leave it out")


def _apart(found: Attained, readings: torch.Tensor, camera: Camera) -> float:
    """How far the mean square of the residuals, in units of the noise, is from 1 less what the fit takes up."""
    scene = found.scene
    added = torch.from_numpy(camera.noise_map((scene.canvas.height, scene.canvas.width))).float()
    square = float(((readings - found.mean) ** 2 / (camera.noise.excess * found.mean + added)).mean())
    free = (scene.places + 1) * len(scene.spots) + scene.canvas.n_frames
    return abs(square - 1 + free / readings.numel())


def _prior(table: Localizations) -> Prior:
    return Prior(drawn_from(table), float(table.photons.mean()), float(table.background_photons.mean()))


def _table(truth: Emitters, columns: Any, own: Any, most_nm: float | None) -> Localizations:
    x_nm, y_nm, z_nm, photons, background = columns
    table, sigma, spread_nm = truth.table, np.sqrt(np.einsum("nii->ni", own)), lateral_nm(own)
    deep = own.shape[1] == 3
    found = replace(
        table,
        x_nm=x_nm,
        y_nm=y_nm,
        z_nm=z_nm if deep else table.z_nm,
        photons=photons,
        background_photons=background,
        probability=np.ones(len(table)),
        sigma_x_nm=sigma[:, 0],
        sigma_y_nm=sigma[:, 1],
        sigma_z_nm=sigma[:, 2] if deep else table.sigma_z_nm,
    )
    counted = ~(table.photons < truth.faintest())
    most_nm = _best_limit(spread_nm[counted]) if most_nm is None else most_nm
    wide, high = table.field_nm
    inside = (x_nm >= 0) & (x_nm < wide) & (y_nm >= 0) & (y_nm < high)
    return found.select(inside & (spread_nm <= most_nm))


def _best_limit(spread_nm: Floats) -> float:
    """The uncertainty up to which keeping emitters of these promises most efficiency."""
    kept = np.sort(spread_nm)
    many = np.arange(1, len(kept) + 1)
    lost = np.hypot(100 - 100 * many / max(1, len(kept)), np.sqrt(np.cumsum(kept**2) / many))
    return float(kept[lost.argmin()]) if len(kept) else np.inf
