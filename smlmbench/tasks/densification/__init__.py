"""Densification: what would a sparse image of a structure look like with many more localizations?

An answer is the images (n, K, H, W) of a set, in localizations per pixel. The primary is MS-SSIM (up), with a bootstrap
over images; numbers of several colours are their means, consistency with the widefield is that of their sum.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smlmbench import statistics
from smlmbench.data.contracts import Condition
from smlmbench.errors import ConfigError
from smlmbench.figures import Panels
from smlmbench.metrics.evidence import Facts, Images, gather
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog
from smlmbench.study.schema import Scoring
from smlmbench.tasks.contracts import Chosen, Model, OnUnits, Scores, Task, Watch, mean_of_sums
from smlmbench.tasks.contracts.sections import Section
from smlmbench.truths.dense_structure import DenseStructure, Places

if TYPE_CHECKING:
    import pandas as pd

CARD = {
    "version": 1,
    "summary": "A dense image of a structure from a sparse one and, where there is one, its widefield",
    "facts": {
        "primary": "ms_ssim",
        "direction": "up",
        "headline": ["ms_ssim", "hallucinated", "nrmse", "psnr", "rsp"],
        "truths": ["dense_structure"],
        "default_for": ["dense_structure"],
        "keeps_table": False,
    },
}

WHY = {"truth": "the true structure is not known", "mean_frame": "the condition has no widefield"}

Image = NDArray[np.floating[Any]]


class Densification(Task):
    """See the file's first line; nothing is tuned."""

    def shown(self, value: float) -> str:
        """A fraction."""
        return f"{value:.3f}"

    def answer(
        self, model: Model, condition: Condition, tuned: Chosen = None, *, whole: bool = True, on_units: OnUnits = None
    ) -> Image:
        """The dense image of every sparse one."""
        del tuned, whole
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
        del extras
        if condition.truth is None:
            return Scores({}, dict.fromkeys(self.card.facts["headline"], "the condition has no dense images"))
        found: list[dict[str, float]] = []
        reasons: dict[str, str] = {}
        for number, images in enumerate(answer):
            values, absent = self._scored(images, condition, number, scoring)
            found.append(values)
            reasons |= absent
        names = dict.fromkeys(name for values in found for name in values)
        by_image = {name: [values.get(name, math.nan) for values in found] for name in names}
        means, intervals = {}, {}
        for name, numbers in by_image.items():
            known = np.array([value for value in numbers if math.isfinite(value)])
            table = np.column_stack([known, np.ones_like(known)])
            means[name] = float(mean_of_sums(table.sum(axis=0)))
            if name == self.primary and len(known) > 1:
                drawn = statistics.frame_bootstrap(mean_of_sums, table, seed=0)
                intervals[name] = drawn.low, drawn.high
        reasons = {name: reason for name, reason in reasons.items() if name not in means}
        return Scores(means, reasons, intervals, by_image)

    def _scored(
        self, images: Image, condition: Condition, number: int, scoring: Scoring
    ) -> tuple[dict[str, float], dict[str, str]]:
        """Numbers of one image: means over its colours, and those of their sum where only that has them."""
        truth, pixel_nm, facts = truth_of(condition), condition.pixel_size_nm, Facts(scoring)
        field_nm = (images.shape[2] * pixel_nm, images.shape[1] * pixel_nm)
        one_by_one = []
        for color, image in enumerate(images):
            points = table_of(truth.points[number][color], field_nm) if truth.points else None
            others = np.delete(truth.dense[number], color, axis=0).astype(np.float64) if len(images) > 1 else None
            pair = Images(image, truth.dense[number, color].astype(np.float64), pixel_nm, others=others)
            one_by_one.append(self.measure(gather(None, points, facts=facts, images=pair, reasons=WHY)))
        shared = set.intersection(*(set(values) for values, _ in one_by_one))
        numbers = {name: float(np.mean([values[name] for values, _ in one_by_one])) for name in shared}
        widefield = None if truth.widefield is None else truth.widefield[number]
        summed = Images(images.sum(axis=0), None, pixel_nm, widefield)
        values, absent = self.measure(gather(None, None, facts=facts, images=summed, reasons=WHY))
        values |= numbers
        alone = {name: reason for _, missing in one_by_one for name, reason in missing.items() if name not in values}
        of_sum = {name: absent[name] for name, reason in alone.items() if reason == WHY["mean_frame"]}
        return values, alone | of_sum

    def example(self, condition: Condition) -> int | None:
        """The first image."""
        return 0 if condition.truth is not None and condition.frames.n_frames else None

    def panels(self, answer: Image, condition: Condition) -> Panels | None:
        """Sparse image, answer and dense image of the first unit, all colours added up."""
        if not condition.frames.n_frames:
            return None
        given, truth = condition.frames.read(0, 1)[0], condition.truth
        return Panels(
            input_image=given[:-2].sum(axis=0),
            prediction=answer[0].sum(axis=0),
            truth=truth.dense[0].sum(axis=0) if isinstance(truth, DenseStructure) else None,
            pixel_nm=condition.pixel_size_nm,
            unit="localizations",
            fine_unit="localizations",
        )

    def section(self, frame: "pd.DataFrame", conditions: Mapping[str, Mapping[str, Any]]) -> Section:
        """Image numbers."""
        del frame, conditions
        return Section(columns=tuple(self.card.facts["headline"]))


def truth_of(condition: Condition) -> DenseStructure:
    """The dense images of a condition.

    Raises:
        ConfigError: It has none.
    """
    if not isinstance(condition.truth, DenseStructure):
        raise ConfigError(f"condition '{condition.name}' has no dense images; give a source that renders some")
    return condition.truth


def table_of(points: Places, field_nm: tuple[float, float]) -> Localizations:
    """True points as a table of one frame."""
    columns = {"frame": np.zeros(len(points), dtype=np.int64), "x_nm": points[:, 0], "y_nm": points[:, 1]}
    return Localizations.of(columns, n_frames=1, field_nm=field_nm)


def build(name: str, catalog: Catalog) -> Densification:
    """The task."""
    return Densification(name, catalog)
