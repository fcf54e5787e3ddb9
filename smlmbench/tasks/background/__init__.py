"""Background: what lies beneath the emitter of a crop; scored by its error and by a fixed fit after subtraction."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from smlmbench import statistics
from smlmbench.camera import Noise
from smlmbench.data.contracts import Condition
from smlmbench.errors import ConfigError
from smlmbench.figures import Panels
from smlmbench.formats.tiff_image import write_raster
from smlmbench.metrics import corrected
from smlmbench.metrics.corrected import Corrected
from smlmbench.predictions import Floats, Raster
from smlmbench.registry import Catalog
from smlmbench.statistics import Statistic
from smlmbench.study.schema import Scoring
from smlmbench.tasks.background import subtracting, sweeps
from smlmbench.tasks.background.fixed import Fitted, fitted
from smlmbench.tasks.background.subtracting import side_of
from smlmbench.tasks.contracts import Chosen, Model, OnUnits, Scores, Task, Watch
from smlmbench.tasks.contracts.predicting import Predicted
from smlmbench.tasks.contracts.sections import Drawing, Section, Told
from smlmbench.truths.background_maps import BackgroundMaps

if TYPE_CHECKING:
    import pandas as pd

CARD = {
    "version": 1,
    "summary": "The background beneath the emitter of a crop, and what a fixed fit gains when it is subtracted",
    "facts": {
        "primary": "background_rmse",
        "direction": "down",
        "most_lost": 0.01,
        "headline": [
            "background_rmse",
            "fit_spread_nm",
            "fit_spread_ratio",
            "fit_photons_bias",
            "fit_photons_spread",
            "free_background_rmse",
        ],
        "truths": ["background_maps"],
        "default_for": ["background_maps"],
        "extras": ["emitter_free"],
        "keeps_table": False,
        "whole_units": True,
        "predicts": ["_background.tif", "_less_background.tif"],
    },
}

READING = (
    "Backgrounds are ranked by their root mean squared error per pixel over the mean true background, lower is better; "
    "0 is the truth.",
    "The spread is that of one and the same maximum-likelihood fit (PSF and depth known, started at the truth, no "
    "background of its own) of every crop less its background: true_background is what it reaches at best, "
    "no_background what it makes of uncorrected crops, edge_median what a constant does.",
)

BEST: WeakKeyDictionary[Any, Fitted] = WeakKeyDictionary()


class Background(Task):
    """See the file's first line; nothing is tuned."""

    def answer(
        self, model: Model, condition: Condition, tuned: Chosen = None, *, whole: bool = True, on_units: OnUnits = None
    ) -> Raster:
        """The background of every crop; of a movie without truth the mean one, from crops that overlap."""
        del tuned, whole
        side = side_of(model)
        if condition.truth is None:
            return subtracting.mean_background(model, condition.frames, on_units)
        subtracting.check_side(condition.name, condition.frames, side)
        parts = [model.decoded(raw) for raw in model.raw(condition.frames, on_units)]
        return Raster(np.concatenate([part.values for part in parts]), parts[0].pixel_nm)

    def watch(self, answer: Raster, condition: Condition, scoring: Scoring) -> Watch:
        """The primary; its mass is 1 unless an answer is not finite."""
        del scoring
        sums = corrected.sums_of(self.primary, _errors(answer, truth_of(condition)))
        assert sums is not None  # noqa: S101 (of errors there always are)
        reached = float(corrected.relative_rmse(sums.sum(axis=0)))
        return Watch(-reached, 1.0 if np.isfinite(answer.values).all() else float("nan"), {self.primary: reached})

    def score(
        self, answer: Raster, condition: Condition, scoring: Scoring, extras: Mapping[str, Any] | None = None
    ) -> Scores:
        """Errors of the background, and of the fixed fit after it was subtracted."""
        del scoring
        if condition.truth is None:
            values, reasons = self.measure(Corrected(None))
            return Scores(values, reasons)
        crops = _errors(answer, truth_of(condition)) | _fits(answer, condition)
        free = None
        if extras and "emitter_free" in extras:
            free = _errors(extras["emitter_free"], truth_of(condition.extras["emitter_free"]))
        values, reasons = self.measure(Corrected(crops, free))
        sums = corrected.sums_of(self.primary, crops)
        intervals = {}
        if self.primary in values and sums is not None and len(sums) > 1:
            found = statistics.frame_bootstrap(corrected.relative_rmse, sums, seed=0)
            intervals = {self.primary: (found.low, found.high)}
        return Scores(values, reasons, intervals, {name: column.tolist() for name, column in crops.items()})

    def sums(self, metric: str, per_unit: "pd.DataFrame") -> Floats | None:
        """As the metrics sum them."""
        return corrected.sums_of(metric, {name: per_unit[name].to_numpy(np.float64) for name in per_unit.columns})

    def statistic(self, metric: str, facts: Mapping[str, Any]) -> Statistic | None:
        """As the metrics pool them."""
        del facts
        return corrected.STATISTICS.get(metric)

    def example(self, condition: Condition) -> int | None:
        """The first crop."""
        return 0 if condition.truth is not None and condition.frames.n_frames else None

    def panels(self, answer: Raster, condition: Condition) -> Panels | None:
        """The first crop, its background, what was found and the difference."""
        if condition.frames.n_frames == 0:
            return None
        truth = condition.truth
        where = None
        if isinstance(truth, BackgroundMaps) and np.isfinite(truth.x_nm[0]):
            where = np.array([[truth.x_nm[0], truth.y_nm[0]]])
        return Panels(
            input_image=condition.frames.read(0, 1)[0],
            prediction=answer.values[0],
            truth=truth.maps[0] if isinstance(truth, BackgroundMaps) else None,
            pixel_nm=condition.pixel_size_nm,
            fine_unit="photons",
            truth_nm=where,
        )

    def section(self, frame: "pd.DataFrame", conditions: Mapping[str, Mapping[str, Any]]) -> Section:
        """Errors, and how to read the fixed fit."""
        del frame
        octaves = {name: facts.get("octaves") for name, facts in conditions.items()}
        return Section(
            columns=tuple(self.card.facts["headline"]),
            reading=READING,
            beside={name: f"{count:g} oct." for name, count in octaves.items() if isinstance(count, int | float)},
        )

    def across(self, boards: Sequence[Told]) -> Sequence[Drawing]:
        """Error and spread against the complexity of the background, a figure for each data entry."""
        return sweeps.drawings(boards)

    def predict(self, model: Model, asked: Predicted) -> list[Path]:
        """Write the background of every frame of a movie, and the movie less it; see `subtracting`."""
        return subtracting.subtract(model, asked)

    def write(self, answer: Raster, folder: Path, name: str, *, applied: bool = False) -> list[Path]:
        """The mean background of a movie without truth."""
        if not applied:
            return []
        path = folder / f"{name}_mean_background.tif"
        write_raster(path, answer)
        return [path]

    def work(self, condition: Condition) -> tuple[str, float] | None:
        """One crop."""
        del condition
        return ("crops", 1.0)

    def unit(self, answer: Raster, number: int) -> Raster:
        """That of one crop."""
        return Raster(answer.values[number : number + 1], answer.pixel_nm)


def truth_of(condition: Condition) -> BackgroundMaps:
    """The true backgrounds of a condition.

    Raises:
        ConfigError: It has none.
    """
    if not isinstance(condition.truth, BackgroundMaps):
        raise ConfigError(
            f"condition '{condition.name}' has no true backgrounds; take a source such as background_crops"
        )
    return condition.truth


def _errors(answer: Raster, truth: BackgroundMaps) -> dict[str, Floats]:
    """Means over the pixels of each crop: squared error, error and true background."""
    true = truth.maps.astype(np.float64)
    away = answer.values.astype(np.float64) - true
    return {
        "square": (away**2).mean(axis=(1, 2)),
        "offset": away.mean(axis=(1, 2)),
        "level": true.mean(axis=(1, 2)),
    }


def _fits(answer: Raster, condition: Condition) -> dict[str, Floats]:
    """Errors of the fixed fit less the row's background and, as `best_`, less the true one."""
    own, best = _fitted(condition, answer.values), _best(condition)
    found = {"x_nm": own.x_nm, "y_nm": own.y_nm, "photons": own.photons, "lost": own.lost}
    return found | {"best_x_nm": best.x_nm, "best_y_nm": best.y_nm}


def _fitted(condition: Condition, maps: NDArray[np.float32]) -> Fitted:
    frames, noise = condition.frames, Noise.of(condition.told) or Noise()
    rest = frames.read(0, frames.n_frames) - maps
    return fitted(rest, truth_of(condition), condition.pixel_size_nm, noise)


def _best(condition: Condition) -> Fitted:
    """The fit less the true background, the same for every row: it is kept as long as the frames are."""
    if condition.frames not in BEST:
        BEST[condition.frames] = _fitted(condition, truth_of(condition).maps)
    return BEST[condition.frames]


def build(name: str, catalog: Catalog) -> Background:
    """The task."""
    return Background(name, catalog)
