"""What a row learns from and is scored on, as MLflow's datasets: digest, facts, and the shapes of inputs and truth."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from smlmbench.data.contracts import Condition, TrainingSet
from smlmbench.data.targets import digest_of
from smlmbench.run.materials import Splits
from smlmbench.study.cells import Cell
from smlmbench.tracking.runs import Array, Run

FRAMES = "frames"


def log_training(run: Run, cell: Cell, stream: TrainingSet, splits: Splits) -> None:
    """Log the stream that a cell is trained on, and its validation set."""
    name, described = cell.data.name, cell.data.train_identity
    sample = {FRAMES: Array("float32", (-1, *stream.sample_shape))}
    run.log_input(f"{name}.train", digest_of(described, "train"), "train", inputs=sample)
    _log(run, name, splits.validation, "val")


def log_tests(run: Run, name: str, tests: Mapping[str, Condition]) -> None:
    """Log the test conditions of a data entry."""
    for condition_name, condition in tests.items():
        _log(run, f"{name}.{condition_name}", condition, condition_name)


def _log(run: Run, name: str, condition: Condition, context: str) -> None:
    inputs = {FRAMES: _of_frames(condition)}
    run.log_input(name, condition.digest, context, dict(condition.facts), inputs, _truth(condition.truth))


def _of_frames(condition: Condition) -> Array:
    first = condition.frames.read(0, 1)
    shape = first.shape[1:]
    if hasattr(condition.frames, "part"):  # those that are not of one size
        shape = (*shape[:-2], -1, -1)
    return Array(str(first.dtype), (-1, *shape))


def _truth(truth: Any) -> dict[str, Array]:
    """Arrays of what is known, by the names of its fields; images that are read one by one are of any size."""
    found = {} if truth is None else dict(_arrays(truth, len(truth)))
    if not found and truth is not None and len(truth) and hasattr(truth, "__getitem__"):
        first = np.asarray(truth[0])
        found = {"images": Array(str(first.dtype), (-1,) * (first.ndim + 1))}
    return found


def _arrays(held: Any, count: int, within: str = "") -> Iterator[tuple[str, Array]]:
    """Columns and stacks of `count` things below a field; none of a column of which nothing is known."""
    if isinstance(held, np.ndarray):
        known = held.dtype.kind != "f" or not np.isnan(held).all()
        if known and held.ndim and len(held) == count:
            yield within, Array(str(held.dtype), (-1, *held.shape[1:]))
        return
    inner: Iterable[tuple[str, Any]] = held.items() if isinstance(held, Mapping) else ()
    if is_dataclass(held):
        inner = ((each.name, getattr(held, each.name)) for each in fields(held))
    for name, part in inner:
        yield from _arrays(part, count, f"{within}.{name}" if within else str(name))
