"""How long molecules are on, and dark until they come back, in frames.

On-times: how the number of pairs of localizations at one place falls with the frames between them. Exponential times
have no memory, so the fall is their mean, whatever share of a molecule's first and last frame is seen, however often
it is missed; others at that place by chance come as often after any time, and are the constant. Dark times: from the
end of an on-time to the next at that place; that some molecules never come back, that the movie ends, and that others
come by chance is all in the likelihood (a mixture cure model, Boag 1949).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.spatial import cKDTree
from scipy.stats import kstest

from smlmbench.calibrate.contracts import Number, SpotsFound
from smlmbench.camera import Noise
from smlmbench.data.contracts import Condition
from smlmbench.metrics.linking import Linking, tracks
from smlmbench.movies import Frames, window
from smlmbench.predictions import Floats, Ints, Localizations
from smlmbench.references import peaks_gaussian
from smlmbench.registry import Catalog

FITTER = "peaks_gaussian"
READ_BYTES, PIXELS, NARROWEST_PX = 2**28, 2**21, 32
MOST_FRAMES, MOST_ROWS, FEW_ROWS = 2000, 5000, 50
RADIUS = 4.5  # precisions of one localization along an axis: 1 % of pairs of them are farther apart
PRECISE = 0.75  # share of localizations that are at least as precise as that
LEAST = 0.5  # of the PSF's width: the radius for those of a frame's small part, or beside neighbours
DARK_FRAMES = 1  # in which a molecule that is on may be missed
CROWDED = 0.3  # emitters within the radius in a frame, beyond which a place is nobody's
LONGEST, FEW_LAGS = 300, 6
CELLS, DRAWS = 8, 60  # of the field along an axis, which are drawn anew for the error
SURE = 3.0  # standard errors of what falls, to be more than chance
NEIGHBOURS, MERGED = 1.8, 0.8  # in sigma: whose maxima are one; how many of them there may be
FEW_LINKS, MANY_LINKS = 0.03, 0.2  # links per localization that may be none, and that are beyond doubt
FEW_RETURNS = 15  # on-times that came back
AROUND = (2.0, 5.0)  # radii between which others are counted
Z, FLOOR = 1.96, 0.04  # standard error of the logarithm of a mean time beyond counting
VAGUE = 1.0  # the same from which it is not told
UNLIKE, CHANCE = 0.1, 1e-4  # distance of dark times from an exponential law, and the p value of no difference


@dataclass(frozen=True, slots=True)
class Places:
    """Localizations (n,) of some successive frames of a field: frame and place in nm; radius of one place."""

    frame: Ints
    xy_nm: Floats
    n_frames: int
    field_nm: tuple[float, float]
    radius_nm: float
    crowd: float  # what neighbours make of a logarithm, about

    @property
    def chance(self) -> float:
        """Localizations in a frame within the radius of any point."""
        area = self.field_nm[0] * self.field_nm[1] * self.n_frames
        return len(self.frame) * math.pi * self.radius_nm**2 / area


def measure_blinking(
    frames_in_photons: Frames, pixel_size_nm: float, noise: Noise, spots: SpotsFound
) -> tuple[Number, Number]:
    """Mean on-time and mean dark time in frames, of a stretch in the middle of the movie.

    Where localizations of successive frames have nothing to do with each other, molecules are on for 1 frame.
    """
    if not (spots.sigma_nm.known and spots.density_per_um2.known):
        none = Number.unknown("no spots whose width is known")
        return none, none
    found = _localized(frames_in_photons, pixel_size_nm, noise, spots)
    if found.n_frames <= FEW_LAGS or len(found.frame) < FEW_ROWS:
        said = f"{len(found.frame)} localizations in {found.n_frames} successive frames; more are needed"
        return Number.unknown(said), Number.unknown(said)
    if found.crowd > MERGED:
        said = f"{spots.density_per_um2.value:.1f} emitters per um2: most merge with others, and their times with them"
        return Number.unknown(said), Number.unknown(said)
    if found.chance > CROWDED:
        said = (
            f"{found.chance:.1f} localizations of a frame lie within {found.radius_nm:.0f} nm of any point, which is"
            " how far two of one molecule may be apart: whose they are is not known"
        )
        return Number.unknown(said), Number.unknown(said)
    on = on_time(found)
    if on.value == 1.0 and on.low == 1.0:
        return on, Number.unknown("molecules are seen in one frame and do not come back")
    return on, dark_time(found)


def _localized(frames: Frames, pixel_size_nm: float, noise: Noise, spots: SpotsFound) -> Places:
    """Fit every spot of a stretch that is long and narrow enough to be read and fitted in seconds."""
    height, width = frames.height, frames.width
    per_pixel = max(spots.density_per_um2.value * (pixel_size_nm / 1000) ** 2, 1e-9)
    pixels = min(PIXELS, MOST_ROWS / per_pixel)
    narrow = min(width, NARROWEST_PX)
    most = min(MOST_FRAMES, READ_BYTES // (4 * height * width), pixels / (height * narrow))
    count = max(1, min(frames.n_frames, int(most)))
    across = int(np.clip(pixels // (height * count), narrow, width))
    first, left = (frames.n_frames - count) // 2, (width - across) // 2
    part = window(frames, frames=(first, first + count), columns=(left, left + across))
    settings = (
        Catalog().card("references", FITTER).fill(FITTER, {"sigma_nm": spots.sigma_nm.value, "free_sigma": False})
    )
    condition = Condition("blinking", part, None, told={"pixel_size_nm": pixel_size_nm})
    table = peaks_gaussian.predict(condition, settings, {}, 0).table
    assert isinstance(table, Localizations)  # noqa: S101 (what this fitter gives)
    precision = math.sqrt(noise.excess) * table.sigma_x_nm
    radius = max(RADIUS * float(np.quantile(precision, PRECISE)), LEAST * spots.sigma_nm.value) if len(table) else 0.0
    crowd = spots.density_per_um2.value * math.pi * (NEIGHBOURS * spots.sigma_nm.value / 1000) ** 2
    return Places(table.frame, np.column_stack([table.x_nm, table.y_nm]), count, condition.field_nm, radius, crowd)


def on_time(found: Places) -> Number:
    """Mean on-time from the fall of pairs with the frames between them; 1 where nothing falls."""
    longest = min(LONGEST, found.n_frames // 2)
    pairs = cKDTree(found.xy_nm).query_pairs(found.radius_nm, output_type="ndarray")
    lag = np.abs(found.frame[pairs[:, 0]] - found.frame[pairs[:, 1]])
    kept = (lag >= 1) & (lag <= longest)
    cell = (found.xy_nm[pairs[kept, 0]] / np.array(found.field_nm) * CELLS).astype(np.int64).clip(0, CELLS - 1)
    counts = np.zeros((CELLS**2, longest))
    np.add.at(counts, (cell[:, 0] * CELLS + cell[:, 1], lag[kept] - 1), 1)
    counts *= found.n_frames / (found.n_frames - np.arange(1, longest + 1))
    others = found.chance * len(found.frame)
    more = counts[:, 0] - counts[:, longest // 2 :].mean(axis=1)  # in successive frames than far apart
    doubtful = min(SURE * CELLS * float(more.std()), MANY_LINKS * len(found.frame))
    if more.sum() < max(doubtful, FEW_LINKS * len(found.frame)):
        return Number(1.0, 1.0, 1.0)
    time = _fall(counts.sum(axis=0), others)
    if time > longest / 2:
        return Number.unknown(f"molecules are on for much of the {found.n_frames} successive frames looked at")
    draws = np.random.default_rng(0)
    again = [_fall(draws.multinomial(CELLS**2, [1 / CELLS**2] * CELLS**2) @ counts, others) for _ in range(DRAWS)]
    low, high = np.quantile(np.log(again), [0.159, 0.841]).tolist()
    return _number(time, (high - low) / 2, found.crowd)


def _fall(pairs: Floats, others: float) -> float:
    """Mean on-time from pairs by the frames between them, of which `others` come by chance.

    A molecule that is on now is on `lag` frames later with p + (1 - p) exp(-k lag), where k = 1 / on + 1 / off and p is
    the share of time that it is on; p shows in the constant.
    """
    reach = min(2 * FEW_LAGS, len(pairs))  # from short to long, so that a slow fall of the constant is none of it
    for _ in range(5):
        lag = np.arange(1, reach + 1)
        seen = pairs[:reach]
        root = 1 / np.sqrt(seen + 1 + seen.mean())

        def solved(log_time: float, lag: Ints = lag, seen: Floats = seen, root: Floats = root) -> tuple[float, Floats]:
            design = np.column_stack([np.exp((1 - lag) / math.exp(log_time)), np.ones(len(lag))]) * root[:, None]
            best, *_ = np.linalg.lstsq(design, seen * root, rcond=None)
            return float(((seen * root - design @ best) ** 2).sum()), np.asarray(best, dtype=np.float64)

        logs = np.arange(-2.0, math.log(2 * reach), 0.25)
        near = float(logs[np.argmin([solved(log)[0] for log in logs])])
        bounds = (near - 0.3, near + 0.3)
        fall = math.exp(minimize_scalar(lambda log: solved(log)[0], bounds=bounds, method="bounded").x)
        falling, constant = solved(math.log(fall))[1].tolist()
        wanted = int(np.clip(math.ceil(8 * fall), FEW_LAGS, len(pairs)))
        if wanted <= reach:
            break
        reach = wanted
    again = max(constant - others, 0.0)
    start = max(falling, 1e-9) * math.exp(min(1 / fall, 5.0))
    return float(fall * (1 + again / start))


def dark_time(found: Places) -> Number:
    """Mean time until a molecule that comes back is seen again."""
    columns = {"frame": found.frame, "x_nm": found.xy_nm[:, 0], "y_nm": found.xy_nm[:, 1]}
    table = Localizations.of(columns, n_frames=found.n_frames, field_nm=found.field_nm)
    run = tracks(table, Linking(found.radius_nm, DARK_FRAMES, most_nm=found.radius_nm))
    count = np.bincount(run)
    middle = np.column_stack([np.bincount(run, at) / count for at in found.xy_nm.T])
    first, last = np.full(len(count), found.n_frames), np.full(len(count), -1)
    np.minimum.at(first, run, found.frame)
    np.maximum.at(last, run, found.frame)
    tree = cKDTree(middle)
    near = tree.query_pairs(found.radius_nm, output_type="ndarray")
    near = np.concatenate([near, near[:, ::-1]])
    wait = first[near[:, 1]] - last[near[:, 0]] - DARK_FRAMES - 2
    waits = np.full(len(count), np.inf)
    np.minimum.at(waits, near[wait >= 0, 0], wait[wait >= 0])
    left = found.n_frames - 2 - last - DARK_FRAMES
    outer, inner = (tree.count_neighbors(tree, by * found.radius_nm) for by in AROUND[::-1])
    ring = AROUND[1] ** 2 - AROUND[0] ** 2
    chance = (outer - inner) / ring / len(count) / found.n_frames
    waits, left = waits[left > 0], left[left > 0].astype(float)
    return _dark(waits, left, chance, found.crowd)


def _dark(waits: Floats, left: Floats, chance: float, crowd: float) -> Number:
    """Mean of exponential waits (n,), inf where none ended in the frames that were left; others come at a rate."""
    came = np.isfinite(waits)
    by_chance = float((chance * np.where(came, waits, left)).sum())
    if came.sum() - by_chance < max(FEW_RETURNS, Z * math.sqrt(by_chance)):
        return Number.unknown(
            f"{came.sum()} of {len(waits)} on-times are followed by another at their place, {by_chance:.0f} of them by"
            " chance: molecules do not come back, or later than the frames looked at"
        )

    def loss(law: Floats) -> float:
        share, mean = 1 / (1 + math.exp(-law[0])), math.exp(law[1])
        ended, open_ = waits[came] + 0.5, left[~came]
        dark = share * np.exp(-ended / mean)
        density = chance * (1 - share + dark) + dark / mean
        still = np.log(1 - share + share * np.exp(-open_ / mean) + 1e-300)
        return float(-np.log(density + 1e-300).sum() + chance * (ended.sum() + open_.sum()) - still.sum())

    start = np.array([0.0, math.log(max(float(np.median(waits[came])), 1.0))])
    best = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-3}).x
    error = _error(loss, best)
    share, mean = 1 / (1 + math.exp(-best[0])), math.exp(best[1])
    if (away := _unlike(waits[came] + 0.5, left[came] + 0.5, (share, mean, chance))) > UNLIKE:
        return Number.unknown(
            f"dark times are not exponential (they lie up to {100 * away:.0f} % aside): half of those seen end within"
            f" {np.median(waits[came]):.0f} frames, so a mean would mislead"
        )
    if not error < VAGUE:
        return Number.unknown(
            f"{came.sum()} of {len(waits)} on-times are followed by another at their place, {by_chance:.0f} of them by"
            " chance: too few to tell how long it takes"
        )
    return _number(math.exp(best[1]), error, crowd)


def _unlike(waits: Floats, left: Floats, law: tuple[float, float, float]) -> float:
    """How far waits (n,) that ended in the frames left to them lie from the law; 0 where that may be chance."""
    share, mean, chance = law

    def ended(at: Floats) -> Floats:
        return np.asarray(1 - np.exp(-chance * at) * (1 - share + share * np.exp(-at / mean)))

    found = kstest(ended(waits) / np.maximum(ended(np.maximum(left, waits)), 1e-12), "uniform")
    return float(found.statistic) if found.pvalue < CHANCE else 0.0


def _error(loss: Callable[[Floats], float], best: Floats, step: float = 0.05) -> float:
    """Standard error of the second parameter, from the curvature of minus the logarithm of the likelihood."""
    steps = step * np.eye(2)
    curved = [
        [sum(i * j * loss(best + i * steps[a] + j * steps[b]) for i in (-1, 1) for j in (-1, 1)) for b in range(2)]
        for a in range(2)
    ]
    information = np.array(curved) / (4 * step**2)
    determinant = float(np.linalg.det(information))
    return math.sqrt(information[0, 0] / determinant) if determinant > 0 and information[0, 0] > 0 else math.inf


def _number(value: float, *errors: float) -> Number:
    by = math.exp(Z * math.hypot(FLOOR, *errors))
    return Number(value, value / by, value * by)
