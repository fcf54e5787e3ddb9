"""Whether a trained network suits a movie: what its training saw is stored with it, and held against the frames."""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench import tasks
from smlmbench.data.contracts import TrainingSet
from smlmbench.errors import UnlikeWarning
from smlmbench.movies import Frames
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog
from smlmbench.run.materials import Materials
from smlmbench.study.cells import Cell
from smlmbench.tasks import Task
from smlmbench.tasks.contracts.fits import Fitting

SEEN = "seen"  # the fact of a checkpoint
SAMPLES, PIXELS, AT_ONCE = 512, 2**21, 64


def seen_in_training(cell: Cell, materials: Materials) -> dict[str, Any]:
    """What the task of a cell says of the first samples of its training; empty where it says nothing."""
    training, told = materials.training(cell), materials.splits(cell).validation.told
    if len(training.sample_shape) != 3 or training.sample_shape[0] != 1:
        return {}  # spectra, or frames of several channels
    return tasks.load(cell.task, materials.catalog).seen(_samples(training), told)


def _samples(training: TrainingSet) -> Iterator[NDArray[np.float32]]:
    """Blocks of samples (n, H, W), of windows the frame in the middle."""
    _, height, width = training.sample_shape
    count = max(1, min(SAMPLES, PIXELS // (height * width)))
    for first in range(0, count, AT_ONCE):
        inputs = training.batch(first, min(AT_ONCE, count - first)).inputs
        yield np.ascontiguousarray(inputs[:, inputs.shape[1] // 2].numpy(), dtype=np.float32)


def fitting(facts: Mapping[str, Any], frames: Frames, catalog: Catalog, task: Task | None = None) -> Fitting | None:
    """A movie beside what the network of a checkpoint was trained on; None where its task says nothing.

    Warns (UnlikeWarning) where the checkpoint is older than this.
    """
    if task is None and "task" not in facts:
        return None
    asked = task or tasks.load(facts["task"], catalog)
    if not asked.card.facts.get("fits"):
        return None
    if SEEN not in facts:
        said = (
            "what the network was trained on was not stored when it was trained: the movie cannot be compared with it"
        )
        warnings.warn(said, UnlikeWarning, stacklevel=2)
        return None
    return asked.fits(facts[SEEN], frames) if facts[SEEN] else None


def compared(task: Task, facts: Mapping[str, Any], frames: Frames, answer: Any) -> Mapping[str, Any] | None:
    """What is stored of a whole movie, its answer among it; None where nothing is compared."""
    fit = fitting(facts, frames, task.catalog, task)
    if fit is None:
        return None
    if isinstance(table := getattr(answer, "table", None), Localizations):
        fit.found(0, frames.n_frames, table)
    return fit.facts
