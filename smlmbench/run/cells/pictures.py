"""Pictures of a row: input, truth, prediction and error, of its fullest frame or of the whole condition."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.data.images import one_pair
from smlmbench.errors import SizeError
from smlmbench.figures import uint8_panel
from smlmbench.inference.checkpoint import Trained
from smlmbench.inference.engine import Network, ReadOut, predict
from smlmbench.predictions import Localizations, Prediction
from smlmbench.render import rasterise, render_table

MEAN_OF_FRAMES = 16
TABLE_GRID = 4
SHOWN_PX = 128  # of the input of a pair, along each side


def fullest_frame(condition: Condition) -> int | None:
    """The frame with most true emitters; None without truth or emitters."""
    if condition.truth is None or len(condition.truth) == 0:
        return None
    return int(np.bincount(condition.truth.frame).argmax())


def frame_picture(
    condition: Condition, network: Network, read_out: ReadOut, device: torch.device
) -> NDArray[np.uint8] | None:
    """A network's answer to the fullest frame, or to the first pair; None without truth or without an image."""
    if condition.pairs is not None and hasattr(read_out.output, "image"):
        return pair_picture(one_pair(condition, 0), network, read_out, device)
    number = fullest_frame(condition)
    if number is None or not hasattr(read_out.output, "image"):
        return None
    frame = np.ascontiguousarray(condition.frames.read(number, number + 1))
    prediction = predict(ArrayFrames(frame), network, read_out, device=device)
    return picture(condition, number, frame[0], prediction)


def pair_images(condition: Condition, trained: Trained, device: torch.device) -> Iterator[NDArray[np.float32]]:
    """A network's image of each pair of a condition, in the unit of the targets, one after the other."""
    pairs = condition.pairs
    for number in range(0 if pairs is None else len(pairs)):
        one = one_pair(condition, number)
        image = predict(one.frames, trained.network, trained.read_out(), device=device).image
        if image is None:
            raise SizeError("the output kind makes no image, which image pairs need; choose another model")
        yield image.values[0]


def pair_picture(
    condition: Condition, network: Network, read_out: ReadOut, device: torch.device
) -> NDArray[np.uint8] | None:
    """A network's answer to a condition of one pair, in the middle of large images."""
    prediction = predict(condition.frames, network, read_out, device=device)
    return None if prediction.image is None else image_picture(condition, prediction.image.values[0])


def image_picture(condition: Condition, image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Draw an image beside input and target of a condition of one pair, in the middle of large ones."""
    if condition.truth_image is None:
        raise SizeError(f"condition '{condition.name}' has no target to draw")
    frame = condition.frames.read(0, 1)[0]
    ratio = condition.truth_image.shape[0] // frame.shape[0]
    top, left = ((size - min(size, SHOWN_PX)) // 2 for size in frame.shape)
    known = math.isfinite(condition.pixel_size_nm)

    def middle(whole: NDArray[np.float32], ratio: int) -> NDArray[np.float32]:
        return whole[top * ratio : (top + SHOWN_PX) * ratio, left * ratio : (left + SHOWN_PX) * ratio]

    return uint8_panel(
        middle(frame, 1),
        middle(condition.truth_image, ratio),
        middle(image, ratio),
        camera_pixel_nm=condition.pixel_size_nm if known else None,
    )


def row_picture(condition: Condition, prediction: Prediction) -> NDArray[np.uint8] | None:
    """A reference's table in the fullest frame, or its image of the whole condition or pair; None without truth."""
    if condition.truth_image is not None and prediction.image is not None:
        return image_picture(condition, prediction.image.values[0])
    number = fullest_frame(condition)
    if number is None:
        return None
    if prediction.table is None:
        shown = condition.frames.read(0, min(MEAN_OF_FRAMES, condition.frames.n_frames)).mean(axis=0)
        return None if prediction.image is None else picture(condition, None, shown, prediction)
    table = prediction.table.select(prediction.table.frame == number)
    frame = condition.frames.read(number, number + 1)[0]
    return picture(condition, number, frame, Prediction(table=table))


def picture(
    condition: Condition, number: int | None, frame: NDArray[np.float32], prediction: Prediction
) -> NDArray[np.uint8]:
    """Draw a prediction beside the truth: of one frame, or (number None) of the whole condition.

    Rows without an image are drawn from their table, on a grid of a quarter of a camera pixel.
    """
    truth = condition.truth
    if truth is None:
        raise SizeError(f"condition '{condition.name}' has no truth to draw")
    if number is not None:
        truth = truth.select(truth.frame == number)
    found = prediction.table
    if prediction.image is not None:
        drawn, pixel_nm = prediction.image.values[0], prediction.image.pixel_nm
    else:
        pixel_nm = condition.pixel_size_nm / TABLE_GRID
        table = found if found is not None else Localizations.empty(n_frames=1, field_nm=condition.field_nm)
        drawn = render_table(table, condition.field_nm, pixel_nm).values[0]
    whole = number is None
    return uint8_panel(
        frame,
        rasterise(truth.x_nm, truth.y_nm, (drawn.shape[0], drawn.shape[1]), pixel_nm),
        drawn,
        camera_pixel_nm=condition.pixel_size_nm,
        truth_nm=None if whole else np.column_stack([truth.x_nm, truth.y_nm]),
        found_nm=None if found is None or whole else np.column_stack([found.x_nm, found.y_nm]),
    )
