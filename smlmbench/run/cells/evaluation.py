"""Score a trained network, or a reference, on validation and on every test condition."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench import data
from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.data.images import one_pair
from smlmbench.errors import FormatError, SizeError
from smlmbench.inference.checkpoint import Trained
from smlmbench.inference.engine import predict
from smlmbench.predictions import Localizations, Prediction
from smlmbench.registry import Catalog
from smlmbench.run.cells.pictures import frame_picture, pair_images, row_picture
from smlmbench.run.materials import Splits
from smlmbench.seeds import derive_seed
from smlmbench.study.cells import Cell, Reference
from smlmbench.tasks.contracts import Scores, Task, Threshold
from smlmbench.tasks.localization import ImageRule

OnFrames = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All scores of one row.

    Attributes:
        threshold: Chosen on validation; None for references.
        validation: Scores on validation at that threshold; None for references.
        tests: Scores by condition.
        predictions: What was predicted, by condition.
        pictures: Input, truth, prediction and error of an example frame, by condition, where there is a truth.
    """

    threshold: Threshold | None
    validation: Scores | None
    tests: dict[str, Scores]
    predictions: dict[str, Prediction]
    pictures: dict[str, NDArray[np.uint8]]


def choose_on_validation(
    trained: Trained, cell: Cell, splits: Splits, catalog: Catalog, on_frames: OnFrames
) -> tuple[Threshold, Scores]:
    """Choose the threshold on the whole validation set, set it on the network, score validation there; fp32.

    Networks that learned from image pairs have none (NaN): their images are scored as they are.

    Args:
        trained: Network with output kind; its threshold is set here.
        cell: What was trained.
        splits: Frozen sets.
        catalog: Where task and metrics are registered.
        on_frames: Progress: condition, frames done, frames in all.
    """
    task = catalog.module("tasks", cell.task)
    device = next(trained.network.parameters()).device
    if splits.validation.pairs is not None:
        scores = _score_images(trained, cell, splits.validation, catalog, on_frames)
        reached = scores.values.get(Task(cell.task, catalog).primary, float("nan"))
        return Threshold(float("nan"), reached, [], []), scores
    candidates = _predict(trained, splits.validation, task.candidates_threshold(), device, on_frames)
    if candidates.table is None:
        raise FormatError(f"output kind '{cell.output.name}' gives no table; task '{cell.task}' needs one")
    chosen: Threshold = task.choose_threshold(candidates.table, splits.validation, cell.scoring)
    trained.threshold = chosen.value
    kept = candidates.table.select(candidates.table.probability > chosen.value)
    rule = ImageRule(_fine_pixel_nm(trained))
    found = Prediction(kept, candidates.image)
    return chosen, task.score(found, splits.validation, rule, cell.scoring, catalog, None)


def score_conditions(
    trained: Trained,
    cell: Cell,
    splits: Splits,
    catalog: Catalog,
    on_frames: OnFrames,
    on_validation: tuple[Threshold, Scores],
) -> Evaluation:
    """Score every test condition at the frozen threshold, image pairs each against its own target."""
    task = catalog.module("tasks", cell.task)
    device = next(trained.network.parameters()).device
    rule = ImageRule(_fine_pixel_nm(trained))
    tests, predictions, pictures = {}, {}, {}
    for name, condition in splits.tests.items():
        drawn = frame_picture(condition, trained.network, trained.read_out(), device)
        if drawn is not None:
            pictures[name] = drawn
        if condition.pairs is not None:
            tests[name] = _score_images(trained, cell, condition, catalog, on_frames)
            predictions[name] = Prediction()
            continue
        prediction = _predict(trained, condition, trained.threshold, device, on_frames)
        empty = _signal_free(trained, condition, trained.threshold, device)
        found = empty.table if empty is not None else None
        tests[name] = task.score(prediction, condition, rule, cell.scoring, catalog, found)
        predictions[name] = prediction
    return Evaluation(on_validation[0], on_validation[1], tests, predictions, pictures)


def evaluate_reference(
    reference: Reference, conditions: dict[str, Condition], catalog: Catalog, on_frames: OnFrames
) -> Evaluation:
    """Score a row that needs no training on every condition."""
    task = catalog.module("tasks", reference.task)
    module = catalog.module("references", reference.reference.name)
    one_movie = bool(catalog.card("references", reference.reference.name).facts.get("one_movie"))
    settings, output = reference.reference.settings, dict(reference.output.settings)
    tests, predictions, pictures = {}, {}, {}
    for name, condition in conditions.items():
        on_frames(name, 0, condition.frames.n_frames)
        if condition.pairs is not None:
            answers = _Answers(reference, module, condition)
            tests[name] = task.score_images(answers, condition, reference.scoring, catalog)
            predictions[name] = Prediction()
            if answers.picture is not None:
                pictures[name] = answers.picture
            continue
        seed = derive_seed(reference.root_seed, "reference", reference.reference.name, condition.digest)
        output["pixel_size_nm"] = condition.pixel_size_nm
        prediction = module.predict(condition, settings, output, seed)
        rule = ImageRule(
            condition.pixel_size_nm / int(output.get("upsampling", 1)), str(settings.get("label_rule", "floor"))
        )
        found = None
        if condition.signal_free is not None and prediction.table is not None and not one_movie:
            empty = signal_free_condition(condition)
            found = module.predict(empty, settings, output, seed).table
        tests[name] = task.score(prediction, condition, rule, reference.scoring, catalog, found)
        predictions[name] = prediction
        drawn = row_picture(condition, prediction)
        if drawn is not None:
            pictures[name] = drawn
    return Evaluation(None, None, tests, predictions, pictures)


class _Answers:
    """The images of a reference for the pairs of a condition, one after the other.

    Attributes:
        picture: Of the first pair, once it was answered.
    """

    def __init__(self, reference: Reference, module: ModuleType, condition: Condition) -> None:
        self._reference, self._module, self._condition = reference, module, condition
        self.picture: NDArray[np.uint8] | None = None

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        chosen, condition = self._reference.reference, self._condition
        output = {**self._reference.output.settings, "pixel_size_nm": condition.pixel_size_nm}
        for number in range(condition.frames.n_frames):
            seed = derive_seed(self._reference.root_seed, "reference", chosen.name, condition.digest, str(number))
            one = one_pair(condition, number)
            prediction = self._module.predict(one, chosen.settings, output, seed)
            if prediction.image is None:
                raise FormatError(f"reference '{chosen.name}' gives no image; its card must not state images: true")
            if number == 0:
                self.picture = row_picture(one, prediction)
            yield prediction.image.values[0]


def _score_images(trained: Trained, cell: Cell, condition: Condition, catalog: Catalog, on_frames: OnFrames) -> Scores:
    device = next(trained.network.parameters()).device
    total = condition.frames.n_frames

    def images() -> Iterator[NDArray[np.float32]]:
        for number, image in enumerate(pair_images(condition, trained, device)):
            on_frames(condition.name, number + 1, total)
            yield image

    scores: Scores = catalog.module("tasks", cell.task).score_images(images(), condition, cell.scoring, catalog)
    return scores


def predict_applied(
    trained: Trained, cell: Cell, catalog: Catalog, on_frames: OnFrames
) -> dict[str, tuple[Condition, Prediction]]:
    """Predict the movies without truth of a cell's data entry, by their file name."""
    device = next(trained.network.parameters()).device
    return {
        condition.name: (condition, _predict(trained, condition, trained.threshold, device, on_frames))
        for condition in data.applied(cell.data, cell.root_seed, catalog).values()
    }


def signal_free_condition(condition: Condition) -> Condition:
    """The signal-free frames of a condition as a condition without emitters."""
    if condition.signal_free is None:
        raise SizeError(f"condition '{condition.name}' has no signal-free frames")
    frames = ArrayFrames(condition.signal_free)
    truth = Localizations.empty(n_frames=frames.n_frames, field_nm=condition.field_nm)
    return replace(condition, frames=frames, truth=truth, signal_free=None)


def _fine_pixel_nm(trained: Trained) -> float:
    settings = trained.output_settings
    return float(settings["pixel_size_nm"]) / int(settings.get("upsampling", 1))


def _predict(
    trained: Trained, condition: Condition, threshold: float, device: torch.device, on_frames: OnFrames
) -> Prediction:
    read_out = trained.read_out(threshold)
    total = condition.frames.n_frames
    return predict(
        condition.frames,
        trained.network,
        read_out,
        device=device,
        on_frames=lambda done: on_frames(condition.name, done, total),
    )


def _signal_free(trained: Trained, condition: Condition, threshold: float, device: torch.device) -> Prediction | None:
    if condition.signal_free is None:
        return None
    read_out = trained.read_out(threshold, keep_image=False)
    return predict(ArrayFrames(condition.signal_free), trained.network, read_out, device=device)
