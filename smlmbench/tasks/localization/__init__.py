"""Localization: frames in, a table (and where there is one, a fine image) out; scored against true positions."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smlmbench import statistics
from smlmbench.data.contracts import Condition
from smlmbench.errors import FormatError, UnknownNameError
from smlmbench.figures import Panels
from smlmbench.formats import read_table, write_table
from smlmbench.formats.options import TableOptions
from smlmbench.formats.tiff_image import write_raster
from smlmbench.metrics.pooling import SUMS
from smlmbench.metrics.ratios import ratio
from smlmbench.movies import Frames
from smlmbench.predictions import Floats, Prediction
from smlmbench.registry import Catalog
from smlmbench.render import LABEL_RULES
from smlmbench.statistics import Statistic
from smlmbench.study.schema import Scoring
from smlmbench.tasks.contracts import (
    Chosen,
    Model,
    OnUnits,
    Referee,
    Scores,
    Task,
    Tuned,
    Watch,
)
from smlmbench.tasks.contracts.applied import AppliedRow, MoviePart, Untrue
from smlmbench.tasks.contracts.gating import MOST_LOST, Answers, Gate
from smlmbench.tasks.contracts.sections import Drawing, Section, Told
from smlmbench.tasks.localization import comparing, fits, gate, limits, pairing, pictures, sheet, sweeps, tuning
from smlmbench.tasks.localization.applied import alone
from smlmbench.tasks.localization.applied.likeness import likeness_of
from smlmbench.tasks.localization.applied.page import movie_part
from smlmbench.tasks.localization.photometry import Photometry, measured
from smlmbench.tasks.localization.scoring import SIGNAL_FREE, emitters_of, profiles, whole_evidence
from smlmbench.tasks.localization.section import section
from smlmbench.tasks.localization.tuning import LOWEST_SCORE, MIDDLE, QUICK_THRESHOLDS, choose_threshold
from smlmbench.truths.misfit import Misfit

if TYPE_CHECKING:
    import pandas as pd

CARD = {
    "version": 2,
    "summary": "Where are the emitters of each frame? Table out, and a fine image where the network makes one",
    "facts": {
        "primary": "efficiency",
        "direction": "up",
        "headline": ["efficiency", "jaccard", "rmse_nm", "mjac_c", "recall", "precision", "false_per_1000um2",
                     "nmse_star", "resolvable_fraction", "resolvable_recall", "rho_med", "efficiency_linked"],
        "truths": ["emitters"],
        "default_for": ["emitters"],
        "extras": ["signal_free"],
        "compares": True,
        "fits": True,
        "doubts": True,
    },
}  # fmt: skip

# Names that older stores use for some of the sums.
ALIASES = {"sse_lateral": "lateral_sq", "sse_axial": "axial_sq"}


class Localization(Task):
    """See the file's first line; the threshold of detections is tuned on validation."""

    def answer(
        self, model: Model, condition: Condition, tuned: Chosen = None, *, whole: bool = True, on_units: OnUnits = None
    ) -> Prediction:
        """Table of all frames and their summed image; before tuning every candidate."""
        threshold = LOWEST_SCORE if tuned is None else tuned[tuning.NAME]
        found: Prediction = model.movie(condition.frames, threshold, keep_image=whole, on_frames=on_units)
        if found.table is None:
            raise FormatError(f"this output kind gives no table; task '{self.name}' needs one")
        rule = str(model.settings.get("label_rule", "floor"))
        drawn = rule if rule in LABEL_RULES else "floor"  # others are of labels alone
        return replace(found, grid_nm=_grid_nm(condition, model.settings), label_rule=drawn)

    def refer(self, reference: Referee, condition: Condition) -> Prediction:
        """A reference's answer, drawn on the grid of the output settings."""
        found: Prediction = reference(condition)
        rule = str(reference.settings.get("label_rule", "floor"))
        return replace(found, grid_nm=_grid_nm(condition, reference.output), label_rule=rule)

    def tune(
        self, answer: Prediction, condition: Condition, scoring: Scoring, extras: Mapping[str, Any] | None = None
    ) -> Tuned:
        """The threshold, by the rule of the protocol."""
        assert answer.table is not None  # noqa: S101 (`answer` gives one)
        empty = (extras or {}).get(SIGNAL_FREE)
        return choose_threshold(answer.table, condition, scoring, empty=None if empty is None else empty.table)

    def at(self, answer: Prediction, tuned: Mapping[str, float]) -> Prediction:
        """The candidates above the threshold."""
        assert answer.table is not None  # noqa: S101 (`answer` gives one)
        return replace(answer, table=answer.table.select(answer.table.probability > tuned[tuning.NAME]))

    def doubts(self, condition: Condition) -> Misfit | None:
        """A classical fitter's spots against the table."""
        return pairing.doubt(condition, self.catalog)

    def finish(self, answer: Prediction, condition: Condition) -> Prediction:
        """Photons, background and uncertainty of the positions, where the table has none."""
        if answer.table is None:
            return answer
        return replace(answer, table=measured(Photometry(condition.told, {}), condition.frames, answer.table))

    def measuring(self, known: Mapping[str, float], stated: Mapping[str, float]) -> Photometry:
        """Photons, background and uncertainty."""
        return Photometry(known, stated)

    def seen(self, inputs: Iterable[NDArray[np.float32]], known: Mapping[str, float]) -> dict[str, Any]:
        """How its frames and spots look."""
        return fits.seen(inputs, known)

    def fits(self, seen: Mapping[str, Any], frames: Frames) -> fits.Fits | None:
        """How those of a movie look, and how many spots a fitter sees there."""
        return fits.Fits(seen, frames) if fits.comparable(seen, frames) else None

    def watch(self, answer: Prediction, condition: Condition, scoring: Scoring) -> Watch:
        """Efficiency in the middle of its plateau, found quickly, and the image's mass over the number of emitters.

        Whatever the protocol: how a network was trained must not depend on how it is scored.
        """
        assert answer.table is not None  # noqa: S101 (`answer` gives one)
        chosen = choose_threshold(answer.table, condition, scoring, QUICK_THRESHOLDS, rule=MIDDLE)
        mass, true = 1.0, emitters_of(condition)
        if answer.image is not None and true is not None and len(true):
            mass = float(answer.image.values.sum()) / len(true)
        numbers = {self.primary: chosen.reached, **chosen.settings, "mass": mass}
        return Watch(chosen.reached, mass, numbers, chosen.settings)

    def score(
        self, answer: Prediction, condition: Condition, scoring: Scoring, extras: Mapping[str, Any] | None = None
    ) -> Scores:
        """Every registered number, the interval of the primary over frames, sums of each frame."""
        evidence = whole_evidence(answer, condition, scoring, extras or {})
        values, reasons = self.measure(evidence)
        intervals: dict[str, tuple[float, float]] = {}
        per_unit: dict[str, list[float]] = {}
        if evidence.sums is not None and len(evidence.sums):
            statistic = ratio(self.primary, three_d=evidence.facts.three_d)
            found = statistics.frame_bootstrap(statistic, evidence.sums, block=condition.block, seed=0)
            if math.isfinite(found.low) and math.isfinite(found.high):
                intervals[self.primary] = (found.low, found.high)
            per_unit = {name: evidence.sums[:, k].tolist() for k, name in enumerate(SUMS)}
        return Scores(values, reasons, intervals, per_unit, profiles(self, evidence))

    def sums(self, metric: str, per_unit: "pd.DataFrame") -> Floats | None:
        """Counts and squared errors of each frame (frames, len(SUMS))."""
        del metric
        frame = per_unit.rename(columns=ALIASES)
        if not {"tp", "fp", "fn"} <= set(frame.columns):
            return None
        sums = frame.reindex(columns=list(SUMS), fill_value=0.0).to_numpy(dtype=np.float64)
        # a table without z has no axial sums; elsewhere a NaN is a frame without pairs, in older stores
        unknown = np.isnan(sums).all(axis=0) & np.isin(SUMS, ("axial_sq", "dz"))
        return np.where(unknown, np.nan, np.nan_to_num(sums))

    def statistic(self, metric: str, facts: Mapping[str, Any]) -> Statistic | None:
        """The ratio of pooled sums behind a number; None where it is none."""
        try:
            return ratio(metric, three_d=bool(facts.get("three_d")))
        except UnknownNameError:
            return None

    def gate(
        self, pairs: Iterable[tuple[Answers, Answers, Condition]], scoring: Scoring, most_lost: float | None = None
    ) -> Gate:
        """At most one point of efficiency and 2 % of rho_med lost, and no more false detections."""
        return gate.judge(pairs, scoring, MOST_LOST if most_lost is None else most_lost)

    def facts(self, condition: Condition, scoring: Scoring) -> dict[str, Any]:
        """What the physical limit says of it."""
        return limits.facts_of(condition, scoring)

    def example(self, condition: Condition) -> int | None:
        """The fullest frame."""
        return pictures.fullest_frame(condition)

    def panels(self, answer: Prediction, condition: Condition) -> Panels | None:
        """A frame with its positions."""
        return pictures.panels(answer, condition)

    def section(self, frame: "pd.DataFrame", conditions: Mapping[str, Mapping[str, Any]]) -> Section:
        """The headline pair above 1 emitter/um2, the protocols, the robustness sheet."""
        return section(tuple(self.card.facts["headline"]), frame, conditions)

    def across(self, boards: Sequence[Told]) -> Sequence[Drawing]:
        """Robustness sheets, and a sweep over densities with the physical limit."""
        return [*sheet.drawings(boards), *sweeps.drawings(boards)]

    def applied(self, answer: Prediction, condition: Condition, taught: Condition) -> Untrue:
        """Resolution of its own parts, shapes of spots, counts and brightness over the movie, drift, the error map."""
        return alone(answer, condition).joined(likeness_of(condition, taught))

    def movie(self, rows: Sequence[AppliedRow]) -> MoviePart:
        """All of that, and how rows agree."""
        return movie_part(rows)

    def work(self, condition: Condition) -> tuple[str, float] | None:
        """Emitters in a frame."""
        true = emitters_of(condition)
        return None if true is None else ("emitters", len(true) / condition.frames.n_frames)

    def write(self, answer: Prediction, folder: Path, name: str, *, applied: bool = False) -> list[Path]:
        """The table in our own format; of a movie without truth the summed image where there is no table."""
        table, image = folder / f"{name}.csv", folder / f"{name}_sum.tif"
        if answer.table is not None:
            write_table(answer.table, table, catalog=self.catalog, format="smlmbench_csv")
            return [table]
        if applied and answer.image is not None:
            write_raster(image, answer.image)
            return [image]
        return []

    def read(self, folder: Path, name: str) -> Prediction | None:
        """The table that was written."""
        path = folder / f"{name}.csv"
        if not path.is_file():
            return None
        return Prediction(read_table(path, catalog=self.catalog, format="smlmbench_csv", options=TableOptions()))

    def unit(self, answer: Prediction, number: int) -> Prediction | None:
        """The rows of one frame."""
        if answer.table is None:
            return None
        table = answer.table.select(answer.table.frame == number).shifted(-number, n_frames=1)
        return Prediction(table, None, answer.grid_nm, answer.label_rule)

    def compare(self, found: Any, truth: Any, options: Mapping[str, Any]) -> Scores:
        """Score a table, or an image, against a table of true emitters; options as `comparing.Comparison`."""
        asked = comparing.Comparison(found, truth, **options)
        answer, condition = comparing.opened(asked, self.catalog)
        if asked.error_map is not None:
            comparing.write_errors(asked.error_map, answer, condition)
        return self.score(answer, condition, asked.scoring)


def _grid_nm(condition: Condition, output: Mapping[str, Any]) -> float:
    """Pitch of the grid that a row's table is drawn on."""
    return condition.pixel_size_nm / int(output.get("upsampling", 1))


def build(name: str, catalog: Catalog) -> Localization:
    """The task."""
    return Localization(name, catalog)
