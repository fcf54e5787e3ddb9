"""What is measured of a row's answer to a movie without truth while the movie is at hand, and stored."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.calibrate.drift import find_drift
from smlmbench.camera import Noise
from smlmbench.data.contracts import Condition
from smlmbench.figures import Tile, strip
from smlmbench.metrics import squirrel
from smlmbench.metrics.linking import Linking, tracks
from smlmbench.metrics.splits import splits
from smlmbench.predictions import Localizations, Prediction
from smlmbench.references.peaks_gaussian import START_SIGMA_PX
from smlmbench.references.photometry import Places
from smlmbench.references.shape import shapes
from smlmbench.tasks.contracts.applied import Untrue
from smlmbench.tasks.localization.applied.spreads import over_time, spreads
from smlmbench.tasks.localization.scoring import images_of

BEYOND, OTHER_WIDTH, FAINT = 0.95, 3.841, 3.0  # rank, deviance (95 % of like ones are below), errors of the light
BARS = 20
SHOWN_PX = 512
ERRORS = "errors"  # name of the picture
MOST_LINKED, MOST_DRIFTING = 500_000, 200_000
POINTS = 50  # of a drift


def alone(answer: Prediction, condition: Condition) -> Untrue:
    """Resolution of its own parts, shapes of its spots, counts and brightness over the movie, and the error map."""
    found = Untrue(pictures=_errors(answer, condition))
    table = answer.table
    if table is None:
        return found
    for part in (over_time(table), spreads(table), _parts(table), _drift(table), _shapes(table, condition)):
        found = found.joined(part)
    return found


def _parts(table: Localizations) -> Untrue:
    """Resolutions of odd and even frames, blocks, halves and of sections by their distance; the length of tracks."""
    some = table.select(np.arange(len(table)) < MOST_LINKED)
    linked = tracks(some, Linking(dark_frames=0))
    staying = {"on_frames": len(some) / (int(linked.max()) + 1)} if len(some) else {}
    made = splits(table)
    if isinstance(made, str):
        return Untrue(staying, {"blocks_nm": made})
    named = {"odd_even_nm": made.interleaved_nm, "blocks_nm": made.blocks_nm, "halves_nm": made.halves_nm}
    values = {name: value for name, value in named.items() if not isinstance(value, str)}
    values |= staying | {"section_frames": made.section_frames, "splits": float(len(made.others_nm))}
    values["frc_limit_nm"] = made.limit_nm
    if len(made.others_nm):
        low, high = np.quantile(made.others_nm, [0.05, 0.95])
        values |= {"splits_low_nm": float(low), "splits_high_nm": float(high)}
        values["splits_least_nm"] = float(made.others_nm.min())
    known = [(lag + 1, one) for lag, one in enumerate(made.apart_nm) if len(one)]
    profile: dict[str, list[float | None]] = {
        "apart_frames": [lag * made.section_frames for lag, _ in known],
        "frc_nm": [float(np.median(one)) for _, one in known],
        "low_nm": [float(one.min()) if len(one) > 1 else None for _, one in known],
        "high_nm": [float(one.max()) if len(one) > 1 else None for _, one in known],
    }
    return Untrue(values, {k: v for k, v in named.items() if isinstance(v, str)}, {"sections": profile})


def _drift(table: Localizations) -> Untrue:
    """The way of the sample as the row's own table tells it."""
    found = find_drift(table.select(np.arange(0, len(table), max(1, -(-len(table) // MOST_DRIFTING)))))
    if not len(found.frame):
        return Untrue(reasons={"drift_nm": found.error_nm.why})
    values = {"drift_nm": float(np.hypot(found.x_nm, found.y_nm).max())}
    values |= {"drift_error_nm": found.error_nm.value} if found.error_nm.known else {}
    some = np.unique(np.linspace(0, len(found.frame) - 1, POINTS).astype(np.int64))
    way = {name: getattr(found, name)[some].tolist() for name in ("frame", "x_nm", "y_nm")}
    return Untrue(values, profiles={"drift": way})


def _shapes(table: Localizations, condition: Condition) -> Untrue:
    """Share of spots beyond what noise makes of the movie's shape, and how their ranks are spread."""
    noise, nm = Noise.of(condition.told), condition.pixel_size_nm
    why = ""
    if noise is None or not condition.calibrated:
        why = "no camera is given, so counts are no photons"
    elif not np.isfinite(nm):
        why = "the camera pixel is unknown"
    elif condition.frames.n_frames and condition.frames.read(0, 1).ndim != 3:
        why = "frames of several channels are not fitted"
    if why or noise is None:
        return Untrue(reasons={"shape_beyond": why})
    places = Places(table.frame, table.x_nm / nm, table.y_nm / nm)
    told_nm = condition.told.get("psf_sigma_nm")
    made = shapes(condition.frames, places, START_SIGMA_PX if told_nm is None else told_nm / nm, noise)
    if isinstance(made, str):
        return Untrue(reasons={"shape_beyond": made})
    counts, edges = np.histogram(made.rank, BARS, (0.0, 1.0))
    values = {
        "shape_beyond": float((made.rank > BEYOND).mean()),
        "shape_width": float((made.narrower > OTHER_WIDTH).mean()),
        "shape_faint": float((made.light < FAINT).mean()),
        "shape_tested": float(len(made.rank)),
        "shape_alone": float(made.alone),
        "shape_sigma_nm": made.sigma_px * nm,
        "shape_sigma_error_nm": made.sigma_error_px * nm,
    }
    middles = ((edges[1:] + edges[:-1]) / 2).tolist()
    return Untrue(values, profiles={"shape": {"rank": middles, "share": (counts / counts.sum()).tolist()}})


def _errors(answer: Prediction, condition: Condition) -> dict[str, bytes]:
    """The mean frame, what the row draws, and where they differ after the blur that fits best."""
    images = images_of(answer, condition)
    if images.image is None or images.mean_frame is None:
        return {}
    found = squirrel.match(images.image, images.mean_frame)
    if isinstance(found, str):
        return {}
    unit = "photons" if condition.calibrated else "counts"
    tiles = (
        Tile("Mean of the frames", images.mean_frame, f"{unit} per pixel", "gray"),
        Tile("Drawn by the row", _shrunk(images.image, np.sum), "", sparse=True),
        Tile("Error after the best blur", _shrunk(found.error, np.mean), f"{unit} per pixel", "viridis"),
    )
    return {ERRORS: strip(tiles, condition.field_nm)}


def _shrunk(image: NDArray[np.floating], of: Callable[..., Any]) -> NDArray[np.floating]:
    """An image of at most some 512 px along each side, from whole blocks of pixels."""
    times = -(-max(image.shape) // SHOWN_PX)
    height, width = (size // times for size in image.shape)
    blocks = image[: height * times, : width * times].reshape(height, times, width, times)
    return np.asarray(of(blocks, axis=(1, 3)))
