"""Single-PSF regression: physical parameters of crops that show one emitter each, held to what the crops allow.

The primary is RMSE over the Cramér-Rao bound (down), with a bootstrap over crops. Nothing is tuned.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from smlmbench import statistics
from smlmbench.data.contracts import Condition
from smlmbench.errors import ConfigError, SizeError
from smlmbench.figures import Panels
from smlmbench.formats import write_table
from smlmbench.metrics import parameter_errors
from smlmbench.metrics.parameters import GROUPS, NO_TRUTH, Errors, errors_of, ratio_of, sums_of
from smlmbench.predictions import Floats, Parameters
from smlmbench.registry import Catalog
from smlmbench.statistics import Statistic
from smlmbench.study.schema import Scoring
from smlmbench.tasks.contracts import Chosen, Model, OnUnits, Scores, Task, Watch, mean_of_sums
from smlmbench.tasks.contracts.predicting import Predicted
from smlmbench.tasks.contracts.sections import Along, Drawing, Section
from smlmbench.tasks.psf_regression import pictures, predicting, section
from smlmbench.truths.parameter_table import ParameterTable

if TYPE_CHECKING:
    import pandas as pd

CARD = {
    "version": 1,
    "summary": "Physical parameters of crops of one emitter: position, depth, photons, angles, aberrations",
    "facts": {
        "primary": "crlb_ratio",
        "direction": "down",
        "most_lost": 0.05,
        "headline": ["crlb_ratio", "own_ratio", "relative_rmse"],
        "truths": ["parameter_table"],
        "default_for": ["parameter_table"],
        "keeps_table": False,
        "whole_units": True,
        "predicts": ["_parameters.csv"],
    },
}

ERROR, BOUND = " error", " bound"  # columns of what is stored for each crop, after the parameter's name


class PsfRegression(Task):
    """Answers are `Parameters` with one number for each crop."""

    def answer(
        self, model: Model, condition: Condition, tuned: Chosen = None, *, whole: bool = True, on_units: OnUnits = None
    ) -> Parameters:
        """Decode every batch; places are counted in pixels, so pixels of another size than in training are no error.

        Raises:
            SizeError: Crops of another size than the network learned.
            ConfigError: Counts, and it learned photons, or the other way round.
        """
        side, frames = model.settings.get("side_px"), condition.frames
        if model.settings.get("photons", condition.calibrated) != condition.calibrated:
            seen, learned = ("photons", "counts")[:: 1 if condition.calibrated else -1]
            raise ConfigError(
                f"condition '{condition.name}' has {seen} and the network learned {learned}; state the camera of both"
            )
        if side is not None and (frames.height, frames.width) != (side, side):
            raise SizeError(
                f"condition '{condition.name}' has crops of {frames.width} x {frames.height} px, the network learned "
                f"{side:g} x {side:g} px; give field_px: {side:g}"
            )
        found = joined([model.decoded(raw) for raw in model.raw(frames, on_units)])
        scale = condition.pixel_size_nm / float(model.settings.get("pixel_size_nm", condition.pixel_size_nm))
        if math.isclose(scale, 1.0):
            return found
        return Parameters({name: value * scale if name in ("x_nm", "y_nm") else value
                           for name, value in found.values.items()})  # fmt: skip

    def watch(self, answer: Parameters, condition: Condition, scoring: Scoring) -> Watch:
        """RMSE over the bound, or over the spread of the truth where no bound is known."""
        errors = errors_of(answer, table_of(condition))
        values, _ = self.measure(errors)
        reached = values.get(self.primary, values.get("relative_rmse", math.nan))
        numbers = {name: values[name] for name in self.card.facts["headline"] if name in values}
        finite = all(np.isfinite(error).all() for error in errors.error.values())
        return Watch(-reached if math.isfinite(reached) else -math.inf, 1.0 if finite else math.nan, {
            self.primary: reached, **numbers,
        })  # fmt: skip

    def score(
        self, answer: Parameters, condition: Condition, scoring: Scoring, extras: Mapping[str, Any] | None = None
    ) -> Scores:
        """All numbers of the parameters that are asked, with the interval of the primary over crops."""
        if condition.truth is None:
            return Scores({}, dict.fromkeys(self.card.facts["headline"], NO_TRUTH))
        errors = errors_of(answer, table_of(condition))
        values, reasons = self.measure(errors)
        reasons = {name: why for name, why in reasons.items() if _asked(name, errors)}
        per_unit: dict[str, Any] = {}
        for name, error in errors.error.items():
            per_unit |= {name + ERROR: error.tolist(), name + BOUND: errors.bound[name].tolist()}
        intervals = {}
        if self.primary in values:
            sums = sums_of(list(errors.error.values()), list(errors.bound.values()))
            found = statistics.frame_bootstrap(ratio_of, sums, block=condition.block, seed=0)
            intervals[self.primary] = (found.low, found.high)
        return Scores(values, reasons, intervals, per_unit, parameter_errors.profile(errors))

    def sums(self, metric: str, per_unit: "pd.DataFrame") -> Floats | None:
        """Squared errors and bounds for the primary."""
        if metric != self.primary:
            return super().sums(metric, per_unit)
        names = [column.removesuffix(ERROR) for column in per_unit.columns if column.endswith(ERROR)]
        if not names:
            return None
        sides = ([per_unit[name + end].to_numpy(dtype=np.float64) for name in names] for end in (ERROR, BOUND))
        return sums_of(*sides)

    def statistic(self, metric: str, facts: Mapping[str, Any]) -> Statistic | None:
        """The geometric mean of ratios for the primary."""
        return ratio_of if metric == self.primary else mean_of_sums

    def example(self, condition: Condition) -> int | None:
        """A typical crop."""
        return None if condition.truth is None else pictures.typical(table_of(condition))

    def panels(self, answer: Parameters, condition: Condition) -> Panels | None:
        """The crop, the PSF of the answer and that of the truth."""
        return None if condition.truth is None else pictures.panels(answer, condition, table_of(condition))

    def section(self, frame: "pd.DataFrame", conditions: Mapping[str, Mapping[str, Any]]) -> Section:
        """RMSE beside the bound of every parameter that is asked."""
        return section.section(tuple(self.card.facts["headline"]))

    def along(self, lines: Sequence[Along]) -> Sequence[Drawing]:
        """Bias and spread against the true depth."""
        return section.drawings(lines)

    def given_words(self, facts: Mapping[str, Any]) -> tuple[str, ...]:
        """A movie, and where its emitters are."""
        return (*super().given_words(facts), "--places", "places.csv")

    def predict(self, model: Model, asked: Predicted) -> list[Path]:
        """A table of what the network says of the crops of a movie (errors as `predicting.predicted`)."""
        path = asked.path("_parameters.csv")
        write_table(predicting.predicted(model, asked), path, catalog=self.catalog, format="smlmbench_csv")
        return [path]

    def write(self, answer: Parameters, folder: Path, name: str, *, applied: bool = False) -> list[Path]:
        """A csv with a line for each crop."""
        import pandas as pd

        path = folder / f"{name}.csv"
        pd.DataFrame(dict(answer.values)).to_csv(path, index_label="crop", float_format="%.8g", lineterminator="\n")
        return [path]

    def read(self, folder: Path, name: str) -> Parameters | None:
        """The same back."""
        import pandas as pd

        path = folder / f"{name}.csv"
        if not path.exists():
            return None
        table = pd.read_csv(path, index_col="crop")
        return Parameters({str(key): column.to_numpy(dtype=np.float64) for key, column in table.items()})

    def unit(self, answer: Parameters, number: int) -> Parameters:
        """One crop's."""
        return Parameters({name: column[number : number + 1] for name, column in answer.values.items()})


def _asked(metric: str, errors: Errors) -> bool:
    """Whether a number is about parameters that the data ask."""
    group = metric.partition("_")[2]
    return group not in GROUPS or bool(errors.of(group))


def joined(parts: list[Parameters]) -> Parameters:
    """Answers one after the other."""
    names = parts[0].values if parts else ()
    return Parameters({name: np.concatenate([part.values[name] for part in parts]) for name in names})


def table_of(condition: Condition) -> ParameterTable:
    """The true parameters of a condition (ConfigError: it has none)."""
    return condition.known(ParameterTable, "table of parameters; give crops such as psf_crops")


def build(name: str, catalog: Catalog) -> PsfRegression:
    """The task."""
    return PsfRegression(name, catalog)
