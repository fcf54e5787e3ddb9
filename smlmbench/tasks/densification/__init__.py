"""Densification: what would a sparse image of a structure look like with many more localizations?

An answer is the images (n, K, H, W) of a set, in localizations per pixel. The primary is MS-SSIM (up), with a bootstrap
over images; numbers of several colours are their means, consistency with the widefield is that of their sum.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from smlmbench import statistics
from smlmbench.data.contracts import Condition
from smlmbench.data.rendered import BESIDE
from smlmbench.figures import Panels
from smlmbench.formats.tiff_image import write_plain
from smlmbench.metrics.hallucinated_mass import FAR_NM, far_from
from smlmbench.registry import Catalog
from smlmbench.study.schema import Scoring
from smlmbench.tasks.contracts import Chosen, Model, OnUnits, Scores, Task, Watch, mean_of_sums
from smlmbench.tasks.contracts.predicting import Predicted
from smlmbench.tasks.contracts.sections import Drawing, Section, Told
from smlmbench.tasks.densification import predicting, sweeps
from smlmbench.tasks.densification.scoring import Image, Scored, by_color, scored
from smlmbench.truths.dense_structure import DenseStructure

if TYPE_CHECKING:
    import pandas as pd

CARD = {
    "version": 1,
    "summary": "A dense image of a structure from a sparse one and, where there is one, its widefield",
    "facts": {
        "primary": "ms_ssim",
        "direction": "up",
        "most_lost": 0.01,
        "headline": ["ms_ssim", "hallucinated", "nrmse", "psnr", "rsp"],
        "truths": ["dense_structure"],
        "default_for": ["dense_structure"],
        "keeps_table": False,
        "predicts": ["_dense.tif", "_sparse.tif"],
    },
}

READING = (
    "MS-SSIM ranks, higher is better: both images are blurred by 1 render pixel, the answer is at its best gain and "
    "compared with the dense image; means and intervals are over images, of several colours over these too.",
    "Hallucinated is the share of an answer farther than 40 nm from any true point of the structure, lower is better: "
    "a row that invents structure has more, and the dense image itself has some from stray localizations. "
    "RSP is the agreement with the widefield, which is blind to what is finer than its blur.",
)
COLORS = ("crosstalk", "ssim")  # columns where there are several colours
NOTE = "Densification: a dense image is one draw of many localizations, so that no row but the truth reaches 1."


class Densification(Task):
    """See the file's first line; nothing is tuned."""

    def shown(self, value: float) -> str:
        """A fraction."""
        return f"{value:.3f}"

    def answer(
        self, model: Model, condition: Condition, tuned: Chosen = None, *, whole: bool = True, on_units: OnUnits = None
    ) -> Image:
        """The dense image of every sparse one."""
        return np.concatenate([model.decoded(raw) for raw in model.raw(condition.frames, on_units)])

    def watch(self, answer: Image, condition: Condition, scoring: Scoring) -> Watch:
        """The primary of all images, and output mass over dense mass; 0 where no image can be compared."""
        found = self.score(answer, condition, scoring)
        reached = found.values.get(self.primary, 0.0)
        drawn, wanted = float(answer.sum(dtype=np.float64)), float(truth_of(condition).dense.sum(dtype=np.float64))
        mass = drawn / wanted if wanted > 0 else 1.0
        return Watch(reached, mass, {self.primary: reached, "mass": mass})

    def score(
        self, answer: Image, condition: Condition, scoring: Scoring, extras: Mapping[str, Any] | None = None
    ) -> Scores:
        """Means over the images that have a number, the reason where none has."""
        if condition.truth is None:
            return Scores({}, dict.fromkeys(self.card.facts["headline"], "the condition has no dense images"))
        found: list[Scored] = []
        reasons: dict[str, str] = {}
        truth = truth_of(condition)
        for number, images in enumerate(answer):
            one = truth.part(number, number + 1)
            found.append(scored(images, one, condition.pixel_size_nm, scoring, self.measure))
            reasons |= found[-1].reasons
        names = dict.fromkeys(name for one in found for name in one.values)
        by_image = {name: [one.values.get(name, math.nan) for one in found] for name in names}
        means, intervals = {}, {}
        for name, numbers in by_image.items():
            known = np.array([value for value in numbers if math.isfinite(value)])
            table = np.column_stack([known, np.ones_like(known)])
            means[name] = float(mean_of_sums(table.sum(axis=0)))
            if name == self.primary and len(known) > 1:
                drawn = statistics.frame_bootstrap(mean_of_sums, table, seed=0)
                intervals[name] = drawn.low, drawn.high
        reasons = {name: reason for name, reason in reasons.items() if name not in means}
        return Scores(means, reasons, intervals, by_image, by_color(found))

    def panels(self, answer: Image, condition: Condition) -> Panels | None:
        """Sparse image, answer and dense image of the first unit, all colours added up."""
        if not condition.frames.n_frames:
            return None
        given, truth = condition.frames.read(0, 1)[0], condition.truth
        beyond, said = None, ""
        if isinstance(truth, DenseStructure) and truth.points:
            far = [far_from(given.shape[1:], points, condition.pixel_size_nm) for points in truth.points[0]]
            beyond, said = (answer[0] * np.stack(far)).sum(axis=0), f"farther than {FAR_NM:g} nm from the structure"
        return Panels(
            input_image=given[:-BESIDE].sum(axis=0),
            prediction=answer[0].sum(axis=0),
            truth=truth.dense[0].sum(axis=0) if isinstance(truth, DenseStructure) else None,
            pixel_nm=condition.pixel_size_nm,
            unit="localizations",
            fine_unit="localizations",
            marked=beyond,
            marked_said=said,
        )

    def section(self, frame: "pd.DataFrame", conditions: Mapping[str, Mapping[str, Any]]) -> Section:
        """Image numbers, and how to read them."""
        known = {name: sweeps.frames_of(facts) for name, facts in conditions.items()}
        beside = {name: f"{frames:g} frames" for name, frames in known.items() if frames is not None}
        several = len(frame) > 0 and bool(frame.loc[frame["metric"] == COLORS[0], "value"].notna().any())
        columns = (*self.card.facts["headline"], *(COLORS if several else ()))
        return Section(columns=columns, reading=READING, notes=(NOTE,), beside=beside)

    def across(self, boards: Sequence[Told]) -> Sequence[Drawing]:
        """What rows gain with frames."""
        return sweeps.drawings(boards)

    def work(self, condition: Condition) -> tuple[str, float] | None:
        """Square micrometres of an image."""
        wide, high = condition.field_nm
        return ("um2", wide * high / 1e6)

    def given_words(self, facts: Mapping[str, Any]) -> tuple[str, ...]:
        """A table of localizations."""
        return ("table.csv",)

    def predict(self, model: Model, asked: Predicted) -> list[Path]:
        """The dense image of a user's table, or of a sparse image; the rendered table beside it."""
        return predicting.predict(model, asked)

    def write(self, answer: Image, folder: Path, name: str, *, applied: bool = False) -> list[Path]:
        """The first image, its colours added up, unless everything is wanted."""
        path = folder / f"{name}_dense.tif"
        write_plain(path, answer[0].sum(axis=0))
        return [path]


def truth_of(condition: Condition) -> DenseStructure:
    """The dense images of a condition (ConfigError: it has none)."""
    return condition.known(DenseStructure, "dense images; give a source that renders some")


def build(name: str, catalog: Catalog) -> Densification:
    """The task."""
    return Densification(name, catalog)
