"""Image pairs: each input's image against its own target, averaged over the pairs; nothing is known of positions.

The primary is NMSE* (down), with a bootstrap over pairs. Answers are made one by one, so that no part is held whole.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smlmbench import statistics
from smlmbench.data.contracts import Condition
from smlmbench.errors import ConfigError, FormatError, SizeError
from smlmbench.figures import Panels
from smlmbench.formats.tiff_image import write_raster
from smlmbench.metrics.evidence import Facts, Images, gather
from smlmbench.metrics.images import image_pair
from smlmbench.predictions import Prediction
from smlmbench.registry import Catalog
from smlmbench.study.schema import Scoring
from smlmbench.tasks.contracts import Chosen, Model, OnUnits, Referee, Scores, Task, Watch, mean_of_sums
from smlmbench.tasks.contracts.sections import Section
from smlmbench.truths.target_images import TargetImages

if TYPE_CHECKING:
    import pandas as pd

CARD = {
    "version": 1,
    "summary": "An image of each input, held to its target; no positions are needed, and none are scored",
    "facts": {
        "primary": "nmse_star",
        "direction": "down",
        "most_lost": 0.01,
        "headline": ["nmse_star", "ssim", "ms_ssim", "psnr", "nmse"],
        "truths": ["target_images"],
        "default_for": ["target_images"],
        "known_as": "localization",
        "adopts": "image_scale",
        "keeps_table": False,
    },
}

SHOWN_PX = 128  # of an input, along each side
NOTE = (
    "Image pairs: every image is held to its own target and the numbers are means over the pairs; there are no "
    "positions, so nothing is said of them."
)
READING = (
    "Image pairs are ranked by NMSE*, lower is better: each predicted image is brought to its best gain and compared "
    "with its own target; means and intervals are over the pairs. SSIM, MS-SSIM and PSNR take the maximum of each "
    "blurred target as their range and are read beside the blank row.",
)
NO_IMAGE = "the output kind makes no image, which image pairs need; choose another model"

Image = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Drawn:
    """Images by number, each made when it is asked for."""

    make: Callable[[int], Prediction]
    count: int
    on_units: OnUnits = None

    def __getitem__(self, number: int) -> Prediction:
        return self.make(number)

    def __iter__(self) -> Iterator[Image]:
        for number in range(self.count):
            image = self.make(number).image
            if image is None:
                raise SizeError(NO_IMAGE)
            if self.on_units is not None:
                self.on_units(number + 1)
            yield image.values[0]


class ImagePairs(Task):
    """See the file's first line; nothing is tuned."""

    def answer(
        self, model: Model, condition: Condition, tuned: Chosen = None, *, whole: bool = True, on_units: OnUnits = None
    ) -> Drawn:
        """The image of each input; of frames without targets (`apply`) their sum."""
        del tuned, whole
        frames = condition.frames
        if condition.truth is None:
            summed = model.movie(frames, math.nan, keep_table=False, on_frames=on_units)
            return Drawn(lambda _: summed, 1)

        def made(number: int) -> Prediction:
            found: Prediction = model.movie(condition.part(number, number + 1).frames, math.nan, keep_table=False)
            return found

        return Drawn(made, frames.n_frames, on_units)

    def refer(self, reference: Referee, condition: Condition) -> Drawn:
        """A reference sees one pair at a time."""

        def made(number: int) -> Prediction:
            one = replace(condition.part(number, number + 1), digest=f"{condition.digest}:{number}")
            found: Prediction = reference(one)
            if found.image is None:
                raise FormatError(f"this reference gives no image; its card must not state task {self.name}")
            return found

        return Drawn(made, condition.frames.n_frames)

    def watch(self, answer: Drawn, condition: Condition, scoring: Scoring) -> Watch:
        """Mean NMSE* over the pairs, and output mass over target mass.

        A target without light, or an answer that is not finite, has no NMSE*; where none has one it is 1, as a blank
        image's. The mass is NaN where an answer is not finite.
        """
        del scoring
        errors: list[float] = []
        drawn = wanted = 0.0
        for image, target in zip(answer, targets_of(condition), strict=True):
            drawn += float(np.sum(image, dtype=np.float64))
            wanted += float(np.clip(target, 0, None).sum(dtype=np.float64))
            pair = image_pair(gather(None, None, images=Images(image, np.asarray(target, dtype=np.float64), math.nan)))
            if not isinstance(pair, str):
                errors.append(pair.scaled(pair.gain).error)
        mass = drawn / wanted if wanted > 0 else 1.0
        reached = float(np.mean(errors)) if errors else 1.0
        return Watch(-reached, mass, {self.primary: reached, "mass": mass})

    def score(
        self, answer: Drawn, condition: Condition, scoring: Scoring, extras: Mapping[str, Any] | None = None
    ) -> Scores:
        """Means over the pairs that have a number (a blank target has no NMSE), the reason where none has."""
        del extras
        if condition.truth is None:
            return Scores({}, dict.fromkeys(self.card.facts["headline"], "the condition has no target images"))
        found: list[dict[str, float]] = []
        reasons: dict[str, str] = {}
        for image, target in zip(answer, targets_of(condition), strict=True):
            fine_nm = condition.pixel_size_nm * image.shape[0] / target.shape[0]
            images = Images(image, np.asarray(target, dtype=np.float64), fine_nm)
            values, absent = self.measure(gather(None, None, facts=Facts(scoring), images=images))
            found.append(values)
            reasons |= absent
        names = dict.fromkeys(name for values in found for name in values)
        by_pair = {name: [values.get(name, math.nan) for values in found] for name in names}
        means = {name: float(np.nanmean(numbers)) for name, numbers in by_pair.items()}
        reasons = {name: reason for name, reason in reasons.items() if name not in means}
        interval = _interval(by_pair.get(self.primary, []))
        return Scores(means, reasons, {} if interval is None else {self.primary: interval}, by_pair)

    def example(self, condition: Condition) -> int | None:
        """The first pair."""
        return 0 if condition.truth is not None and condition.frames.n_frames else None

    def panels(self, answer: Drawn, condition: Condition) -> Panels | None:
        """The middle of the first pair."""
        if condition.frames.n_frames == 0:
            return None
        frame, image = _plain(condition.frames.read(0, 1)[0]), answer[0].image
        if image is None:
            raise ConfigError(NO_IMAGE)
        ratio = image.values.shape[1] // frame.shape[0]
        top, left = ((size - min(size, SHOWN_PX)) // 2 for size in frame.shape)

        def middle(whole: Image, ratio: int) -> Image:
            return whole[top * ratio : (top + SHOWN_PX) * ratio, left * ratio : (left + SHOWN_PX) * ratio]

        return Panels(
            input_image=middle(frame, 1),
            prediction=middle(image.values[0], ratio),
            truth=None if condition.truth is None else middle(targets_of(condition)[0], ratio),
            pixel_nm=condition.pixel_size_nm,
            unit="photons" if condition.calibrated else "counts",
        )

    def section(self, frame: "pd.DataFrame", conditions: Mapping[str, Mapping[str, Any]]) -> Section:
        """Image metrics, and why nothing is said of positions."""
        del frame, conditions
        return Section(columns=tuple(self.card.facts["headline"]), reading=READING, notes=(NOTE,))

    def write(self, answer: Drawn, folder: Path, name: str, *, applied: bool = False) -> list[Path]:
        """The summed image of a movie without targets."""
        image = answer[0].image if applied else None
        if image is None:
            return []
        path = folder / f"{name}_sum.tif"
        write_raster(path, image)
        return [path]


def targets_of(condition: Condition) -> TargetImages:
    """The targets of a condition.

    Raises:
        ConfigError: It has none.
    """
    if not isinstance(condition.truth, TargetImages):
        raise ConfigError(f"condition '{condition.name}' has no target images; give two folders of images")
    return condition.truth


def _plain(image: Image) -> Image:
    """One image of an input; its channels are summed."""
    return image if image.ndim == 2 else np.asarray(image.sum(axis=0))


def _interval(numbers: list[float]) -> tuple[float, float] | None:
    known = np.array([value for value in numbers if math.isfinite(value)])
    if len(known) < 2:
        return None
    table = np.column_stack([known, np.ones_like(known)])
    found = statistics.frame_bootstrap(mean_of_sums, table, seed=0)
    return found.low, found.high


def build(name: str, catalog: Catalog) -> ImagePairs:
    """The task."""
    return ImagePairs(name, catalog)
