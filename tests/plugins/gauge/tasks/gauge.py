"""Gauge: where is the line of a spectrum? A reject level is tuned on validation."""

import numpy as np

from smlmbench import statistics
from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.figures import Panels
from smlmbench.tasks.contracts import Scores, Task, Tuned, Watch, mean_of_sums
from smlmbench.tasks.contracts.sections import Drawing, Section

CARD = {
    "version": 1,
    "summary": "Where is the line of a spectrum?",
    "facts": {
        "primary": "place_rmse",
        "direction": "down",
        "headline": ["place_rmse", "told", "dark_told"],
        "truths": ["line"],
        "default_for": ["line"],
        "extras": ["dark"],
        "whole_units": True,
        "predicts": ["_places.csv"],
    },
}

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><circle cx="5" cy="5" r="4"/></svg>'


class Gauge(Task):
    """Answers are (place, sureness), each (n,)."""

    def answer(self, model, condition, tuned=None, *, whole=True, on_units=None):
        """Decode every batch, drop what is not sure enough."""
        parts = [model.decoded(raw) for raw in model.raw(condition.frames, on_units)]
        place, sure = (np.concatenate(one) for one in zip(*parts, strict=True))
        return self.at((place, sure), tuned or {"reject": 0.0})

    def tune(self, answer, condition, scoring, extras=None):
        """The reject level with the least error that still tells half of the spectra."""
        levels = [0.0, *np.quantile(answer[1], [0.1, 0.2, 0.3, 0.4, 0.5])]
        reached = [self._rmse(self.at(answer, {"reject": level}), condition) for level in levels]
        best = int(np.argmin(reached))
        return Tuned({"reject": float(levels[best])}, reached[best], levels, reached)

    def at(self, answer, tuned):
        """NaN where it rejects."""
        place, sure = answer
        return np.where(sure >= tuned["reject"], place, np.nan), sure

    def _rmse(self, answer, condition):
        return float(np.sqrt(np.nanmean((answer[0] - condition.truth.place) ** 2)))

    def watch(self, answer, condition, scoring):
        """The error of all."""
        reached = self._rmse(answer, condition)
        return Watch(-reached, 1.0, {self.primary: reached})

    def score(self, answer, condition, scoring, extras=None):
        """RMSE with its interval over spectra."""
        place = answer[0]
        dark = None if not extras or "dark" not in extras else np.isfinite(extras["dark"][0])
        true = None if condition.truth is None else condition.truth.place
        values, reasons = self.measure((place, true, np.isfinite(place), dark))
        if true is None:
            return Scores(values, reasons)
        columns = {"square": ((place - true) ** 2).tolist(), "told": np.isfinite(place).astype(float).tolist()}
        sums = np.column_stack([np.nan_to_num(columns["square"]), columns["told"]])
        found = statistics.frame_bootstrap(self.statistic(self.primary, {}), sums, seed=0)
        return Scores(values, reasons, {self.primary: (found.low, found.high)}, columns)

    def sums(self, metric, per_unit):
        """Squared error and count of each spectrum; shares are means."""
        if metric == self.primary:
            return np.column_stack([np.nan_to_num(per_unit["square"]), per_unit["told"]])
        return super().sums(metric, per_unit)

    def statistic(self, metric, facts):
        """Root of the mean for the primary."""
        return (lambda sums: np.sqrt(mean_of_sums(sums))) if metric == self.primary else mean_of_sums

    def example(self, condition):
        """The first spectrum."""
        return None if condition.truth is None else 0

    def panels(self, answer, condition):
        """Spectrum, true place and answer as narrow images."""
        spectrum = condition.frames.read(0, 1)[0]
        rows = [np.zeros((1, spectrum.shape[1])) for _ in range(2)]
        for row, place in zip(rows, (condition.truth.place[0], np.nan_to_num(answer[0][0], nan=0.5)), strict=True):
            row[0, int(np.clip(place, 0, 0.999) * spectrum.shape[1])] = 1
        return Panels(spectrum, rows[1], rows[0], unit="counts", said=f"line at {condition.truth.place[0]:.2f}")

    def section(self, frame, conditions):
        """Its own sentence and figure."""
        return Section(
            columns=tuple(self.card.facts["headline"]),
            reading=("The place of a line runs from 0 to 1.",),
            notes=("Gauges tell places of lines.",),
            drawings=(Drawing("A gauge", "A black disc", SVG),),
        )

    def across(self, boards):
        """A figure of all its boards: which data and conditions they have."""
        said = "; ".join(f"{one.data} ({one.arm or 'no arm'}): {', '.join(one.conditions)}" for one in boards)
        return [Drawing(f"All gauges: {said}", "Black discs", SVG)]

    def work(self, condition):
        """One line in a spectrum."""
        return ("lines", 1.0)

    def predict(self, model, asked):
        """Places of the spectra (n, 1, 32) in a file of numpy."""
        spectra = np.load(asked.given.path, allow_pickle=False).astype(np.float32)
        answer = self.answer(model, Condition("given", ArrayFrames(spectra, axes=1), None), asked.tuned)
        asked.on_units(len(spectra), len(spectra))
        return [self.write(answer, asked.folder, f"{asked.stem}_places")[0]]

    def write(self, answer, folder, name, *, applied=False):
        """A csv of places."""
        path = folder / f"{name}.csv"
        path.write_text("place\n" + "".join(f"{value:.6g}\n" for value in answer[0]))
        return [path]


def build(name, catalog):
    """The task."""
    return Gauge(name, catalog)
