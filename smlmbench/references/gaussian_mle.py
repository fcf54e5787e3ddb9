"""The fitter that experts use: a matched filter with a false-alarm level, maximum likelihood, neighbours taken off.

Maxima of a matched filter (`matched`) are fitted by a pixel-integrated Gaussian on a constant background with the noise
of the camera (`likelihood`), beside the light that is expected of the others; what is left is looked through again
(`beside`). Each row has the Cramér-Rao bound as its precision, the neighbours' places unknown too, and three further
columns: `llr`, twice the log-likelihood that a mean of its own for every pixel would add (Huang et al. 2011,
doi:10.1364/BOE.2.001377), `p_value`, how often noise alone puts it higher (`deviance`), and of round spots
`pair_p_value`, how often noise alone looks as much like a second emitter beside (`doubled`).
"""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.camera import Noise
from smlmbench.data.contracts import Condition, Settings
from smlmbench.errors import ConfigError, LossWarning, SizeError
from smlmbench.movies import blocks
from smlmbench.predictions import Floats, Localizations, Prediction, concatenate
from smlmbench.references.deviance import rank
from smlmbench.references.peaks_gaussian import pixel_noise

if TYPE_CHECKING:
    import torch

    from smlmbench.psf.contracts import Psf
    from smlmbench.references.beside import Crowd, Emitters, Exposed, Judged
    from smlmbench.references.likelihood import Spot

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Matched filter and maximum-likelihood Gaussian fits beside the light of neighbours, 2-D and astigmatic",
    "settings": {
        "sigma_nm": {
            "default": None,
            "min": 20.0,
            "max": 1000.0,
            "measured": True,
            "help": "Width of the PSF; by default the condition's, else 1.3 camera pixels",
        },
        "width": {
            "default": "fixed",
            "choices": ["fixed", "free", "elliptic"],
            "help": "Whether the width is fitted too, or one along x and one along y",
        },
        "psf": {
            "default": "",
            "help": "YAML file of an astigmatic or elliptic PSF (smlmbench calibrate writes it), instead of sigma_nm",
        },
        "false_per_1000um2": {
            "default": 0.1,
            "min": 1e-6,
            "max": 1000.0,
            "help": "Detections that noise alone may make in 1000 um2 of frames",
        },
        "passes": {
            "default": 2,
            "min": 0,
            "max": 10,
            "help": "How often emitters are looked for in the light that is left; 0 fits every maximum as if alone",
        },
        "shape_test": {
            "default": 0.0,
            "min": 0.0,
            "max": 0.5,
            "help": "Rows whose p_value or pair_p_value is below it are dropped; 0 keeps all. Needs the movie's own "
            "width: one a tenth too small makes four of ten bright emitters look like pairs",
        },
        "window_px": {
            "default": None,
            "min": 5.0,
            "max": 51.0,
            "help": "Side of the fitted window; by default 4.6 sigma, 7 px for a width of 1.3 px",
        },
        "device": {"default": "cpu", "choices": ["cpu", "cuda", "auto"], "help": "Where torch computes"},
    },
    "paper": (
        "Smith et al. 2010, Fast, single-molecule localization that achieves theoretically minimum uncertainty. "
        "Nature Methods"
    ),
    "doi": "10.1038/nmeth.1449",
    "facts": {
        "tasks": {"localization": {"gives": "table", "knows": ["psf", "camera"]}},
        "timed": True,
        "optics": "psf",
        "block_frames": 64,
    },
}

START_SIGMA_PX = 1.3
LEAST_WIDTH, MOST_WIDTH = 0.4, 2.5  # of the width that is started from
SMALLEST_PX = 5
PIXELS_AT_ONCE = 2**21
DEPTHS = 5  # at which an astigmatic PSF is looked for
DIM, DARK = 1.0, 0.01  # photo-electrons that a fit starts from at least
STEP_NM = 1.0  # of a derivative by depth
TOLD_FROM = 20  # spots of a block


@dataclass(frozen=True, slots=True)
class Plan:
    """What is fitted: the spot, widths in px and depths in nm that are looked for, and when a find counts.

    `height` is of the matched filter, `firm` what photons must be in standard errors beside neighbours.
    """

    spot: "Spot"
    looked_for: list[tuple[float, float]]
    depths_nm: "torch.Tensor"
    side: int
    height: float
    firm: float


def predict(condition: Condition, settings: Settings, output_settings: Settings, seed: int) -> Prediction:
    """Detect and fit; the probability column is the significance of an emitter, in standard deviations.

    Raises:
        SizeError: Frames below 5 x 5 px.
        ConfigError: A PSF without a Gaussian's widths along x and y, or no CUDA device where one is asked for.
    """
    del output_settings, seed
    import torch

    plan, device = _plan(condition, settings), _device(settings["device"])
    frames, field_nm = condition.frames, condition.field_nm
    tables = []
    with torch.inference_mode():
        for first, exposed, noise in _exposed(condition, device):
            found = _localized(exposed, plan, settings, noise, condition)
            tables.append(found.shifted(first, n_frames=frames.n_frames))
    return Prediction(concatenate(tables, n_frames=frames.n_frames, field_nm=field_nm))


def _device(name: str) -> "torch.device":
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: cuda: torch finds no CUDA device here; give cpu, or auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _plan(condition: Condition, settings: Settings) -> Plan:
    """What is asked of a condition; a width that is given stands before what is known of its optics."""
    import torch

    from smlmbench.references.likelihood import Spot
    from smlmbench.references.matched import height_for, window_side

    pixel_nm, frames = condition.pixel_size_nm, condition.frames
    if min(frames.height, frames.width) < SMALLEST_PX:
        raise SizeError(
            f"frames of {frames.width} x {frames.height} px are smaller than the window that is fitted, {SMALLEST_PX} "
            f"x {SMALLEST_PX} px; give a larger part of the movie, or leave this fitter out"
        )
    optics, depths = _optics(condition, settings), torch.zeros(1, dtype=torch.float64)
    if optics is None:
        told = settings["sigma_nm"] or condition.told.get("psf_sigma_nm") or START_SIGMA_PX * pixel_nm
        looked_for = [(told / pixel_nm, told / pixel_nm)]
    else:
        if optics.depth_nm is not None:
            depths = torch.linspace(*optics.depth_nm, DEPTHS, dtype=torch.float64)
        looked_for = list(zip(*(each.tolist() for each in widths_px(optics, depths, pixel_nm)), strict=True))
    if optics is not None and optics.depth_nm is not None:
        spot = Spot(curve=curve_of(optics, pixel_nm), depth=optics.depth_nm)
    else:
        widest = (LEAST_WIDTH * min(looked_for[0]), MOST_WIDTH * max(looked_for[0]))
        fixed = looked_for[0] if settings["width"] == "fixed" else None
        spot = Spot(fixed, elliptic=settings["width"] == "elliptic", widest=widest)
    side = int(settings["window_px"] or window_side(max(max(each) for each in looked_for)))
    side = min(side, frames.height, frames.width)
    rate = settings["false_per_1000um2"] / 1e9 * pixel_nm**2 / len(looked_for)
    height = max(height_for(rate, each) for each in looked_for)
    # an emitter beside others must tell more than the three numbers that it adds (Schwarz 1978)
    firm = math.sqrt(3 * math.log(side**2))
    return Plan(spot, looked_for, depths, side - (side + 1) % 2, height, firm)


def _optics(condition: Condition, settings: Settings) -> "Psf | None":
    """The PSF by whose widths is fitted; None where one round width is all."""
    from smlmbench import psf
    from smlmbench.psf.reading import psf_of_file
    from smlmbench.registry import Catalog

    if settings["psf"]:
        catalog = Catalog()
        optics = psf.build(psf_of_file(Path(settings["psf"]).expanduser(), catalog), catalog)
        if has_widths(optics):
            return optics
        raise ConfigError(
            f"psf: '{settings['psf']}' is no Gaussian along the camera's axes; give an astigmatic or elliptic one, or "
            "sigma_nm"
        )
    known = condition.optics
    return known if settings["sigma_nm"] is None and known is not None and has_widths(known) else None


def has_widths(optics: "Psf") -> bool:
    """Whether it is a Gaussian along the camera's axes."""
    import torch

    return optics.widths(torch.zeros(1, dtype=torch.float64)) is not None


def widths_px(optics: "Psf", z_nm: "torch.Tensor", pixel_nm: float) -> "tuple[torch.Tensor, torch.Tensor]":
    """Along x and y in pixels."""
    found = optics.widths(z_nm)
    assert found is not None  # noqa: S101 (asked before)
    return found[0] / pixel_nm, found[1] / pixel_nm


def curve_of(optics: "Psf", pixel_nm: float) -> Any:
    """Widths in pixels and their derivatives at depths in nm."""

    def curve(z_nm: "torch.Tensor") -> tuple["torch.Tensor", ...]:
        here, low, high = (widths_px(optics, z_nm + step, pixel_nm) for step in (0.0, -STEP_NM, STEP_NM))
        by_depth = ((above - below) / (2 * STEP_NM) for below, above in zip(low, high, strict=True))
        return *here, *by_depth

    return curve


def _exposed(condition: Condition, device: "torch.device") -> "Iterator[tuple[int, Exposed, Noise | None]]":
    """Frames with their noise, some at a time, and the number of the first.

    Counts of an unknown camera get the variance that their second differences tell, proportional to the counts.
    """
    import torch

    from smlmbench.references.beside import Exposed

    frames, known = condition.frames, Noise.of(condition.told)
    noise = known or (Noise() if condition.calibrated else None)
    each = max(1, PIXELS_AT_ONCE // (frames.height * frames.width))
    for first, block in blocks(frames, CARD["facts"]["block_frames"]):
        values = block.astype(np.float64)
        excess, added = np.ones((1, 1, 1)), np.zeros((1, 1, 1))
        if noise is None:
            level = np.median(values, axis=(1, 2))
            excess = (pixel_noise(values) ** 2 / np.maximum(level, 1.0) + 1e-9)[:, None, None]
        else:
            excess *= noise.excess
            added = added + noise.added if condition.noise_map is None else condition.noise_map[None]
        for start in range(0, len(values), each):
            part = slice(start, start + each)
            own = excess[part] if len(excess) > 1 else excess
            yield (
                first + start,
                Exposed(*(torch.tensor(one, device=device) for one in (values[part], own, added))),
                noise,
            )


def _localized(
    exposed: "Exposed", plan: Plan, settings: Settings, noise: Noise | None, condition: Condition
) -> Localizations:
    """Rows of some frames."""
    from smlmbench.references.beside import Crowd

    middle = plan.looked_for[len(plan.looked_for) // 2]
    crowd = Crowd(exposed, plan.spot, plan.side, math.sqrt(middle[0] * middle[1]))
    emitters = crowd.first(_candidates(exposed, plan, None))
    if settings["passes"]:
        emitters = crowd.refined(emitters)
    for _ in range(settings["passes"]):
        more = _candidates(exposed, plan, crowd.light(emitters))
        emitters = crowd.pruned(crowd.refined(emitters.joined(more)) if len(more) else emitters, plan.firm)
    if settings["passes"]:
        emitters = crowd.pruned(crowd.together(emitters), plan.firm)
    return _table(crowd, emitters, plan, settings, noise, condition)


def _candidates(exposed: "Exposed", plan: Plan, known: "torch.Tensor | None") -> "Emitters":
    """What the matched filter finds beside known light, as spots to start from."""
    import torch

    from smlmbench.references.beside import Emitters
    from smlmbench.references.matched import detect

    seen = detect(exposed.frames, plan.looked_for, exposed.excess, exposed.added, plan.height, known)
    start = [seen.column + 0.5, seen.row + 0.5, seen.photons.clamp_min(DIM), seen.background.clamp_min(DARK)]
    if "depth" in plan.spot.names:
        start.append(plan.depths_nm.to(exposed.frames)[seen.width])
    elif "sigma_x" in plan.spot.names:
        start += [torch.full_like(start[2], sigma) for sigma in plan.looked_for[0]]
    elif "sigma" in plan.spot.names:
        start.append(torch.full_like(start[2], math.sqrt(math.prod(plan.looked_for[0]))))
    return Emitters(seen.frame, torch.stack([one.to(exposed.frames) for one in start]))


def _table(
    crowd: "Crowd", emitters: "Emitters", plan: Plan, settings: Settings, noise: Noise | None, condition: Condition
) -> Localizations:
    """Those that are sure enough."""
    import torch

    count, height, width = crowd.exposed.size
    found = crowd.judged(emitters)
    at, errors = emitters.at, found.covariance.diagonal(dim1=0, dim2=1).T.sqrt()
    # what neighbours may explain as well counts by its photons, if others were taken into account at all
    firm = at[2] / errors[2]
    free = found.alone if settings["passes"] else torch.ones_like(found.alone)
    sure = (found.likely > plan.height) & ~found.spike & (free | (firm > plan.firm))
    sure &= (at[0] >= 0) & (at[0] < width) & (at[1] >= 0) & (at[1] < height)
    score = torch.where(free, found.likely, found.likely.minimum(firm))
    llr, p_value = _shape(found, len(at), noise)
    pair = found.stretched.cpu().numpy() if noise is not None else np.full(len(llr), np.nan)
    known, odd = sure.cpu().numpy(), (p_value < settings["shape_test"]) | (pair < settings["shape_test"])
    kept = known & ~odd
    if 2 * kept.sum() < known.sum() and known.sum() >= TOLD_FROM:
        warnings.warn(
            f"shape_test: {settings['shape_test']:g} drops more than half of the spots of some frames; a width that "
            "is not the movie's makes lone emitters look like pairs; give sigma_nm: auto, or a lower shape_test",
            LossWarning,
            stacklevel=2,
        )
    pixel_nm = condition.pixel_size_nm
    rows = {
        "frame": emitters.frame, "x_nm": at[0] * pixel_nm, "y_nm": at[1] * pixel_nm, "photons": at[2],
        "background_photons": at[3], "probability": score, "sigma_x_nm": errors[0] * pixel_nm,
        "sigma_y_nm": errors[1] * pixel_nm,
    }  # fmt: skip
    if "depth" in plan.spot.names:
        rows |= {"z_nm": at[4], "sigma_z_nm": errors[3]}
    more = {"llr": llr[kept], "p_value": p_value[kept], "pair_p_value": pair[kept]}
    columns: dict[str, NDArray[Any]] = {name: values.cpu().numpy()[kept] for name, values in rows.items()}
    return Localizations.of(columns, n_frames=count, field_nm=condition.field_nm, more=more)


def _shape(found: "Judged", free: int, noise: Noise | None) -> tuple[Floats, Floats]:
    """Deviance of each fit, and the chance of a higher one; unknown where the camera is."""
    pixels = found.pixels
    llr = pixels.deviance(found.mean).sum(dim=(0, 1)).cpu().numpy()
    if noise is None or not len(llr):
        return np.full(len(llr), np.nan), np.full(len(llr), np.nan)
    mean = (found.mean + pixels.beside).permute(2, 0, 1).cpu().numpy()
    mapped = pixels.shift.shape[0] > 1
    added = (pixels.shift * pixels.excess).permute(2, 0, 1).cpu().numpy() if mapped else None
    return llr, 1 - rank(llr, mean, noise, free, added)
