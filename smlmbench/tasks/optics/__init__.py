"""Optics design: how well is an inner task done on frames that are drawn through the mask that was learned with it?

The frozen sets are scenes: every network draws them through its own mask, the same emitters with the same noise, and
is scored on its frames by the inner task (fact `inner`). A mask that is learned is held against masks that stay as
they are, whose networks are trained alike.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smlmbench import tasks
from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.figures import Panels
from smlmbench.figures.optics import Design, design
from smlmbench.predictions import Floats
from smlmbench.registry import Catalog
from smlmbench.statistics import Statistic
from smlmbench.study.schema import Scoring
from smlmbench.tasks.contracts import Chosen, Model, OnUnits, Referee, Scores, Task, Tuned, Watch
from smlmbench.tasks.contracts.gating import Answers, Gate
from smlmbench.tasks.contracts.predicting import Predicted
from smlmbench.tasks.contracts.sections import Along, Drawing, Section, Told
from smlmbench.tasks.optics import gain
from smlmbench.tasks.optics.masks import Masked, drawn, is_scene, masked

if TYPE_CHECKING:
    import pandas as pd

CARD = {
    "version": 1,
    "summary": "Which phase mask lets a network find emitters best? Scenes in, the mask and a table out",
    "facts": {
        "primary": "efficiency",
        "direction": "up",
        "headline": ["efficiency", "jaccard", "rmse_nm", "rmse_axial_nm", "bound_volume_nm", "mask_roughness_rad"],
        "truths": ["scenes"],
        "default_for": ["scenes"],
        "inner": "localization",
    },
}

NO_MASK = "this row has no mask"
READING = (
    "Every row draws the same scenes, with the same noise, through its own phase mask, and a network of the same size "
    "that was trained for as long reads the frames; what is learned is the mask. Bounds are the least standard "
    "deviations that an unbiased estimate of a lone emitter can have behind the mask, at the mean photons and "
    "background of the condition; they know nothing of neighbours and of depths that look alike."
)
PICTURED = (
    "the phase of the mask, a frame through it, bounds over depth beside those of masks that stay as they are, and one "
    "emitter over depth; of a row without a mask the inner task's picture"
)
OWN = ("bound_volume_nm", "mask_roughness_rad")


@dataclass(frozen=True, slots=True)
class Seen:
    """What the inner task answers about the frames that were drawn, and the mask; frames None: of a reference."""

    inner: Any
    frames: NDArray[np.float32] | None = None
    mask: Masked | None = None


class Optics(Task):
    """See the file's first lines; whatever is not about the mask is the inner task's."""

    def __init__(self, name: str, catalog: Catalog) -> None:
        super().__init__(name, catalog)
        self.inner = tasks.load(str(self.card.facts["inner"]), catalog)
        own = [file for file in self.metric_files() if name in catalog.metrics_of(name)[file].tasks]
        self._own = [catalog.module("metrics", file) for file in own]

    def answer(
        self, model: Model, condition: Condition, tuned: Chosen = None, *, whole: bool = True, on_units: OnUnits = None
    ) -> Seen:
        """Draw the scenes through the network's mask and answer the frames; frames of a camera as they are."""
        ask: Callable[[Condition], Any] = lambda one: self.inner.answer(  # noqa: E731
            model, one, tuned, whole=whole, on_units=on_units
        )
        if not is_scene(condition):
            return Seen(ask(condition))
        frames = drawn(model.network, condition.frames)
        return Seen(ask(_shown(condition, frames)), frames, masked(model.network, condition))

    def seen_by(self, network: Callable[..., Any], condition: Condition) -> Condition:
        """Scenes as frames that are drawn through the network's mask."""
        return _shown(condition, drawn(network, condition.frames)) if is_scene(condition) else condition

    def refer(self, reference: Referee, condition: Condition) -> Seen:
        """A reference's answer, which has no mask."""
        return Seen(self.inner.refer(reference, _shown(condition, None)))

    def tune(
        self, answer: Seen, condition: Condition, scoring: Scoring, extras: Mapping[str, Any] | None = None
    ) -> Tuned:
        """As the inner task."""
        return self.inner.tune(answer.inner, _shown(condition, answer.frames), scoring)

    def at(self, answer: Seen, tuned: Mapping[str, float]) -> Seen:
        """As the inner task."""
        return replace(answer, inner=self.inner.at(answer.inner, tuned))

    def watch(self, answer: Seen, condition: Condition, scoring: Scoring) -> Watch:
        """As the inner task."""
        return self.inner.watch(answer.inner, _shown(condition, answer.frames), scoring)

    def score(
        self, answer: Seen, condition: Condition, scoring: Scoring, extras: Mapping[str, Any] | None = None
    ) -> Scores:
        """The inner task's scores, and what is said of the mask."""
        found = self.inner.score(answer.inner, _shown(condition, answer.frames), scoring)
        if answer.mask is None:
            absent = {name: NO_MASK for one in self._own for name in one.CARD["gives"]}
            return replace(found, reasons={**found.reasons, **absent})
        told: dict[str, Any] = {}
        profiles: dict[str, Any] = {}
        for one in self._own:
            told |= one.measure(answer.mask.seen)
            profiles |= one.profile(answer.mask.seen)
        reasons = {name: said for name, said in told.items() if isinstance(said, str)}
        values = {name: value for name, value in told.items() if name not in reasons}
        return replace(
            found,
            values={**found.values, **values},
            reasons={**found.reasons, **reasons},
            profiles={**found.profiles, **profiles},
        )

    def sums(self, metric: str, per_unit: "pd.DataFrame") -> Floats | None:
        """As the inner task."""
        return self.inner.sums(metric, per_unit)

    def statistic(self, metric: str, facts: Mapping[str, Any]) -> Statistic | None:
        """As the inner task."""
        return self.inner.statistic(metric, facts)

    def facts(self, condition: Condition, scoring: Scoring) -> Mapping[str, Any]:
        """As the inner task."""
        return self.inner.facts(condition, scoring)

    def gate(
        self, pairs: Iterable[tuple[Answers, Answers, Condition]], scoring: Scoring, most_lost: float | None = None
    ) -> Gate:
        """As the inner task."""
        inside = (
            (Answers(one.own.inner), Answers(other.own.inner), _shown(condition, other.own.frames))
            for one, other, condition in pairs
        )
        return self.inner.gate(inside, scoring, most_lost)

    def shown_of(self, condition: Condition) -> Condition | None:
        """As the inner task."""
        return self.inner.shown_of(condition)

    def shown_also(self, condition: Condition) -> Sequence[Condition]:
        """None: the mask is the same."""
        return ()

    def example(self, condition: Condition) -> int | None:
        """As the inner task."""
        return self.inner.example(condition)

    def panels(self, answer: Seen, condition: Condition) -> Panels | None:
        """As the inner task, of the frame that was drawn; the background alone where none was."""
        return self.inner.panels(answer.inner, _shown(condition, answer.frames))

    def picture(self, answer: Seen, condition: Condition) -> NDArray[np.uint8] | None:
        """The mask, its PSF over depth, a frame through it, and its bounds beside those of other masks."""
        shown, mask = self.panels(answer, condition), answer.mask
        if shown is None or mask is None:
            return super().picture(answer, condition)
        own, beside = mask.seen.bounds_nm, mask.beside
        bounds = {
            f"Bound of {name}": {mask.name: own[:, axis], **{kind: held[:, axis] for kind, held in beside.items()}}
            for axis, name in ((0, "x"), (2, "z"))
        }
        return design(
            Design(
                mask.plain,
                mask.spots(),
                shown.input_image,
                shown.pixel_nm,
                mask.seen.z_nm,
                bounds,
                shown.truth_nm,
                shown.found_nm,
                shown.said,
            )
        )

    def section(self, frame: "pd.DataFrame", conditions: Mapping[str, Mapping[str, Any]]) -> Section:
        """That of the inner task, with what is said of masks."""
        made = self.inner.section(frame, conditions)
        return replace(
            made,
            columns=tuple(self.card.facts["headline"]),
            reading=(READING, *made.reading),
            on_each=(*made.on_each, *OWN),
            against="",
            pictured=PICTURED,
            pictured_whole="",
            pictured_of="the same scene of a condition through the mask of every row",
        )

    def along(self, lines: Sequence[Along]) -> Sequence[Drawing]:
        """Bounds over depth, mask by mask."""
        return [*gain.bounds(lines)]

    def across(self, boards: Sequence[Told]) -> Sequence[Drawing]:
        """What the learned mask gains over the best that stays as it is."""
        return [*gain.drawings(boards, self.primary, self.sign)]

    def given_words(self, facts: Mapping[str, Any]) -> tuple[str, ...]:
        """As the inner task."""
        return self.inner.given_words(facts)

    def predict(self, model: Model, asked: Predicted) -> list[Path]:
        """As the inner task, of the network alone: the user's frames were drawn by his own microscope."""
        return self.inner.predict(model, asked)

    def work(self, condition: Condition) -> tuple[str, float] | None:
        """As the inner task."""
        return self.inner.work(condition)

    def write(self, answer: Seen, folder: Path, name: str, *, applied: bool = False) -> list[Path]:
        """The inner task's files, and the mask as `<name>_mask.tif` in radians."""
        made = self.inner.write(answer.inner, folder, name, applied=applied)
        if answer.mask is None:
            return made
        return [*made, *answer.mask.write(folder, name)]

    def read(self, folder: Path, name: str) -> Seen | None:
        """What the inner task can read of it."""
        found = self.inner.read(folder, name)
        return None if found is None else Seen(found)

    def unit(self, answer: Seen, number: int) -> Seen | None:
        """The inner task's part about one unit."""
        one = self.inner.unit(answer.inner, number)
        return None if one is None else Seen(one)


def _shown(condition: Condition, frames: NDArray[np.float32] | None) -> Condition:
    """A condition as the inner task sees it: with the frames that were drawn, else the background of its scenes."""
    if not is_scene(condition):
        return condition
    if frames is None:
        frames = condition.frames.read(0, condition.frames.n_frames)[:, 1]
    return replace(condition, frames=ArrayFrames(frames))


def build(name: str, catalog: Catalog) -> Optics:
    """The task."""
    return Optics(name, catalog)
