"""What the metrics of localization look at: table, image and signal-free frames of one row on one condition."""

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from smlmbench.data.contracts import Condition
from smlmbench.errors import ConfigError
from smlmbench.metrics.evidence import Evidence, Facts, Images, SignalFree, gather
from smlmbench.metrics.strata import Profile
from smlmbench.movies import BLOCK_BYTES, Frames
from smlmbench.predictions import Floats, Localizations, Prediction
from smlmbench.render import fine_shape, rasterise, render_table
from smlmbench.study.schema import Scoring
from smlmbench.tasks.contracts import Task
from smlmbench.truths.bounds import Bounds
from smlmbench.truths.emitters import Emitters

NO_TABLE = "this row gives no table of localizations"
SIGNAL_FREE = "signal_free"
WIDEFIELD = "widefield"  # frames that stand for those of the condition where none are at hand

_means: WeakKeyDictionary[Frames, Floats] = WeakKeyDictionary()  # every row of a condition is scored on the same ones


def emitters_of(condition: Condition) -> Emitters | None:
    """The true emitters of a condition, None where there is no truth.

    Raises:
        ConfigError: The condition has a truth of another kind.
    """
    truth = condition.truth
    if truth is None or isinstance(truth, Emitters):
        return truth
    raise ConfigError(f"condition '{condition.name}' has {truth.kind}, localization is scored against emitters")


def limit_of(condition: Condition, context: int = 1) -> Bounds | str | None:
    """Bounds of the true emitters for who sees so many frames at once, or why there are none; None without a truth."""
    truth = emitters_of(condition)
    if truth is None:
        return None
    return truth.bounds if isinstance(truth.bounds, str) else truth.bounds.seen_in(context)


def evidence_of(found: Localizations | None, condition: Condition, scoring: Scoring, **more: Any) -> Evidence:
    """Match a table with the truth of a condition; `more` as in `gather`."""
    truth = emitters_of(condition)
    facts = Facts(
        scoring=scoring,
        three_d=bool(condition.facts.get("three_d")),
        min_photons=100.0 if truth is None else truth.faintest(),
        frame_shift=condition.block,
        field_known=bool(condition.facts.get("field_known", True)),
        density_per_um2=float(condition.facts.get("density_per_um2", float("nan"))),
    )
    return gather(found, None if truth is None else truth.table, facts=facts, **more)


def whole_evidence(
    answer: Prediction, condition: Condition, scoring: Scoring, extras: Mapping[str, Prediction]
) -> Evidence:
    """Everything that metrics look at."""
    signal_free = None
    empty, found = condition.extras.get(SIGNAL_FREE), extras.get(SIGNAL_FREE)
    if empty is not None and found is not None and found.table is not None:
        width_nm, height_nm = condition.field_nm
        signal_free = SignalFree(found.table, empty.frames.n_frames * width_nm * height_nm / 1e6)
    reasons = {SIGNAL_FREE: NO_TABLE} if answer.table is None else {}
    limit = limit_of(condition, answer.context)
    if isinstance(limit, str):
        reasons, limit = reasons | {"limit": limit}, None
    images = images_of(answer, condition)
    return evidence_of(
        answer.table, condition, scoring, images=images, signal_free=signal_free, limit=limit, reasons=reasons
    )


def profiles(task: Task, evidence: Evidence) -> dict[str, Profile]:
    """What the task's metrics give along an axis, where one has a `profile(evidence)` beside its numbers."""
    found: dict[str, Profile] = {}
    for name in task.metric_files():
        along = getattr(task.catalog.module("metrics", name), "profile", None)
        found |= {} if along is None else along(evidence)
    return found


def images_of(answer: Prediction, condition: Condition) -> Images:
    """The row's image, or its table drawn on the row's grid; the truth by the row's own label rule (PROTOCOL)."""
    raster = answer.image
    if raster is None and answer.table is not None:
        raster = render_table(answer.table, condition.field_nm, answer.grid_nm)
    drawn, pixel_nm = (None, answer.grid_nm) if raster is None else (raster.values[0], raster.pixel_nm)
    truth, known = None, emitters_of(condition)
    if known is not None:
        label: Any = answer.label_rule
        shape: Any = drawn.shape if drawn is not None else fine_shape(condition.field_nm, pixel_nm)
        truth = rasterise(known.table.x_nm, known.table.y_nm, shape, pixel_nm, label)
    seen = condition.extras[WIDEFIELD].frames if WIDEFIELD in condition.extras else condition.frames
    unseen = seen is condition.frames and not condition.facts.get("frames_known", True)
    return Images(drawn, truth, pixel_nm, None if unseen else mean_frame(seen))


def mean_frame(frames: Frames) -> Floats:
    """Mean of all frames (h, w), the channels of a frame summed; read in blocks, once for the same frames."""
    if frames in _means:
        return _means[frames]
    total, size = np.zeros((frames.height, frames.width)), max(1, BLOCK_BYTES // (4 * frames.height * frames.width))
    for start in range(0, frames.n_frames, size):
        block = frames.read(start, min(start + size, frames.n_frames))
        total += block.sum(axis=tuple(range(block.ndim - 2)), dtype=np.float64)
    _means[frames] = total / max(1, frames.n_frames)
    return _means[frames]
