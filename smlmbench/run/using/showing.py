"""One unit of one row: what it was given, what it answered, what was true."""

import math
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from smlmbench import tasks
from smlmbench.data.contracts import Condition
from smlmbench.errors import ConfigError, SizeError, UnlikeWarning
from smlmbench.figures import ImageFormat, triplet
from smlmbench.inference.answering import answering
from smlmbench.inference.checkpoint import load_trained
from smlmbench.inference.devices import resolve_device
from smlmbench.registry import Catalog
from smlmbench.run.fits import fitting
from smlmbench.run.using.finding import describe
from smlmbench.tasks import Task
from smlmbench.tracking.records import RunRecord


@dataclass(frozen=True, slots=True)
class Look:
    """What to show."""

    frame: int | None = None  # of the condition, counted from 1; None takes the one that shows most
    threshold: float | None = None  # instead of the one chosen on validation
    device: str = "auto"  # or cpu, cuda, mps
    histogram: bool = True  # whether pixel histograms are drawn
    image_format: ImageFormat = "png"


@dataclass(frozen=True, slots=True)
class Shown:
    """A drawn frame: its number counted from 1, what it shows, and how much was found (None: not read out)."""

    picture: bytes
    frame: int
    frames: int
    found: int | None
    true: int | None


def show(record: RunRecord, condition: Condition, look: Look, catalog: Catalog) -> Shown:
    """Draw one frame of a trained cell or of a reference.

    Raises:
        SizeError: No such frame.
        ConfigError: A row that says nothing about single frames.
    """
    task, total = tasks.load(record.params["task"], catalog), condition.frames.n_frames
    path = record.artifact("best.pt")
    trained = None if path is None else load_trained(path, catalog, resolve_device(look.device))
    if trained is not None:
        task = tasks.load(trained.facts["task"], catalog)
        if look.threshold is not None:
            trained.tuned["threshold"] = look.threshold
    number = _number(condition, look.frame, task)
    one = condition.unit(number)
    if trained is not None:
        answer, tuned = task.answer(answering(trained), one, trained.tuned), trained.tuned
        fit = fitting(trained.facts, condition.frames, catalog, task)
        for line in () if fit is None else fit.lines:
            warnings.warn(f"'{condition.name}': {line}", UnlikeWarning, stacklevel=2)
    else:
        answer, tuned = _stored(record, condition.name, number, task), {}
    panels = task.panels(answer, one)
    if panels is None:
        raise ConfigError(f"task {task.name} draws no pictures of single frames")
    said = [panels.said, *(f"{name} {value:.3g}" for name, value in tuned.items() if math.isfinite(value))]
    title = f"{describe(record)} on {condition.name}, frame {number + 1} of {total}"
    panels = replace(panels, said=", ".join(text for text in said if text))
    picture = triplet(panels, title, histogram=look.histogram, image_format=look.image_format)
    return Shown(picture, number + 1, total, _count(panels.found_nm), _count(panels.truth_nm))


def _count(places: Any) -> int | None:
    return None if places is None else len(np.asarray(places))


def _number(condition: Condition, frame: int | None, task: Task) -> int:
    total = condition.frames.n_frames
    if frame is None:
        return task.example(condition) or 0
    if not 1 <= frame <= total:
        raise SizeError(f"condition '{condition.name}' has no frame {frame}; give 1 ... {total}")
    return frame - 1


def _stored(record: RunRecord, condition: str, number: int, task: Task) -> Any:
    """What a row without a network said about one frame."""
    folder = record.artifact("predictions")
    answer = None if folder is None else task.read(folder, condition)
    one = None if answer is None else task.unit(answer, number)
    if one is None:
        raise ConfigError(
            f"run {record.run_id[:12]} ({record.name}, {record.status}) has neither a network nor answers for single "
            f"frames of '{condition}'; give a trained cell, or a reference that has them"
        )
    return one
