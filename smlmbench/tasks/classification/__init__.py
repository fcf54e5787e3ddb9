"""Classification: scores of the classes of each crop or spectrum, with a level below which it is rejected.

Everything is scored at full acceptance but for what says otherwise; strangers, units of no class, are left out there.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from smlmbench import statistics
from smlmbench.data.contracts import Condition
from smlmbench.errors import FormatError
from smlmbench.figures import Panels
from smlmbench.metrics.classified import counts_of, macro_f1
from smlmbench.predictions import ClassScores, Floats
from smlmbench.registry import Catalog
from smlmbench.statistics import Statistic
from smlmbench.study.schema import Scoring
from smlmbench.tasks.classification import pictures, predicting, rejecting
from smlmbench.tasks.classification.answers import Answer, evidence_of, joined, log_loss, read_answer, write_answer
from smlmbench.tasks.classification.section import READING, confusion, photon_curves
from smlmbench.tasks.contracts import Chosen, Model, OnUnits, Referee, Scores, Task, Tuned, Watch, mean_of_sums
from smlmbench.tasks.contracts.predicting import Predicted
from smlmbench.tasks.contracts.sections import Along, Drawing, Section

if TYPE_CHECKING:
    import pandas as pd

CARD = {
    "version": 1,
    "summary": "Which class does each crop or spectrum belong to, and which are better rejected? Scores out",
    "facts": {
        "primary": "macro_f1",
        "direction": "up",
        "most_lost": 0.5,
        "keeps_table": False,
        "headline": ["macro_f1", "accuracy", "utilisation_at_1", "accuracy_at_90", "coverage", "accuracy_kept",
                     "strangers_kept", "ece"],
        "truths": ["labels"],
        "default_for": ["labels"],
        "whole_units": True,
        "predicts": ["_classes.csv"],
    },
}  # fmt: skip

TIE = 0.01  # points of macro-F1 that a unit of log loss is worth: few units are often all right


class Classification(Task):
    """See the file's first line; the reject level is tuned on validation."""

    def answer(
        self, model: Model, condition: Condition, tuned: Chosen = None, *, whole: bool = True, on_units: OnUnits = None
    ) -> Answer:
        """Scores of every unit."""
        parts: list[ClassScores] = [model.decoded(raw) for raw in model.raw(condition.frames, on_units)]
        if not parts:
            raise FormatError(f"condition '{condition.name}' has no units; give at least one")
        stated = model.settings.get("reject")
        found = Answer(joined(parts), stated=None if stated is None else float(stated))
        return found if tuned is None else self.at(found, tuned)

    def refer(self, reference: Referee, condition: Condition) -> Answer:
        """The scores of a reference, which rejects nothing."""
        return Answer(reference(condition))

    def tune(
        self, answer: Answer, condition: Condition, scoring: Scoring, extras: Mapping[str, Any] | None = None
    ) -> Tuned:
        """The reject level, by the rule of `rejecting`."""
        return rejecting.choose(answer, condition)

    def at(self, answer: Answer, tuned: Mapping[str, float]) -> Answer:
        """The same scores with the level, where one was chosen."""
        return answer.rejecting(tuned.get(rejecting.NAME, math.nan))

    def watch(self, answer: Answer, condition: Condition, scoring: Scoring) -> Watch:
        """Macro-F1 of all, of equal ones the smaller log loss; the mass is NaN where a score is not finite."""
        evidence = evidence_of(answer, condition)
        if evidence is None:
            raise FormatError(f"condition '{condition.name}' has no labels to be watched on; give a labelled one")
        reached = float(macro_f1(evidence.counts.sum(axis=0)))
        finite = bool(np.isfinite(answer.scores.scores).all())
        loss = log_loss(answer, condition)
        numbers = {self.primary: reached, "log_loss": loss}
        return Watch(reached - TIE * loss, 1.0 if finite else math.nan, numbers)

    def score(
        self, answer: Answer, condition: Condition, scoring: Scoring, extras: Mapping[str, Any] | None = None
    ) -> Scores:
        """Every registered number, the interval of macro-F1 over units, what is known of each unit."""
        evidence = evidence_of(answer, condition)
        values, reasons = self.measure(evidence)
        if evidence is None:
            return Scores(values, reasons)
        found = statistics.frame_bootstrap(macro_f1, evidence.counts, block=condition.block, seed=0)
        known = math.isfinite(found.low) and math.isfinite(found.high)
        intervals = {self.primary: (found.low, found.high)} if known else {}
        return Scores(values, reasons, intervals, rejecting.per_unit(evidence), rejecting.profiles(evidence))

    def sums(self, metric: str, per_unit: "pd.DataFrame") -> Floats | None:
        """Counts by class for macro-F1 (units, 3 classes); shares are means."""
        if metric != self.primary:
            return super().sums(metric, per_unit)
        if not {"true", "said", "classes"} <= set(per_unit.columns) or not len(per_unit):
            return None
        true, said = (per_unit[name].to_numpy(dtype=np.int64) for name in ("true", "said"))
        return counts_of(true, said, int(per_unit["classes"].iloc[0]))

    def statistic(self, metric: str, facts: Mapping[str, Any]) -> Statistic | None:
        """Macro-F1 of counts; shares are means."""
        return macro_f1 if metric == self.primary else mean_of_sums

    def facts(self, condition: Condition, scoring: Scoring) -> dict[str, Any]:
        """The names of the classes, for the page."""
        return pictures.names(condition)

    def shown_of(self, condition: Condition) -> Condition | None:
        """The first units, as many as a grid holds."""
        if condition.truth is None or not condition.frames.n_frames:
            return None
        return condition.part(0, min(pictures.MOST, condition.frames.n_frames))

    def shown_also(self, condition: Condition) -> Sequence[Condition]:
        """None: a grid holds many."""
        return ()

    def panels(self, answer: Answer, condition: Condition) -> Panels | None:
        """Units in a grid, the said and the true class of each."""
        return pictures.panels(answer, condition)

    def section(self, frame: "pd.DataFrame", conditions: Mapping[str, Mapping[str, Any]]) -> Section:
        """What the numbers mean."""
        return Section(columns=tuple(self.card.facts["headline"]), reading=READING)

    def along(self, lines: Sequence[Along]) -> Sequence[Drawing]:
        """Accuracy against photons, and confusion matrices."""
        return [*photon_curves(lines), *confusion(lines)]

    def given_words(self, facts: Mapping[str, Any]) -> tuple[str, ...]:
        """A table of spectra, or a movie and where its emitters are."""
        kind = str(facts.get("kind", ""))
        if kind in self.catalog.names("data") and self.catalog.card("data", kind).facts.get("spectra"):
            return ("spectra.csv",)
        return (*super().given_words(facts), "--places", "places.csv")

    def predict(self, model: Model, asked: Predicted) -> list[Path]:
        """A table of classes and scores; the level is that of the study, else the one chosen on validation."""
        stated = model.settings.get("reject")
        level = asked.tuned.get(rejecting.NAME, math.nan) if stated is None else float(stated)
        return predicting.predict(model, asked, level)

    def work(self, condition: Condition) -> tuple[str, float] | None:
        """One thing in each unit."""
        return ("units", 1.0)

    def write(self, answer: Answer, folder: Path, name: str, *, applied: bool = False) -> list[Path]:
        """A table with the class and the scores of each unit."""
        return [write_answer(answer, folder / f"{name}.csv")]

    def read(self, folder: Path, name: str) -> Answer | None:
        """The table that was written."""
        path = folder / f"{name}.csv"
        return read_answer(path) if path.is_file() else None

    def unit(self, answer: Answer, number: int) -> Answer:
        """The scores of one unit."""
        return answer.part(number, number + 1)


def build(name: str, catalog: Catalog) -> Classification:
    """The task."""
    return Classification(name, catalog)
