"""One frame of one row: what it was given, what it answered, what was true."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.errors import ConfigError, SizeError
from smlmbench.figures import ImageFormat, Triplet, triplet
from smlmbench.formats import read_table
from smlmbench.formats.options import TableOptions
from smlmbench.inference.checkpoint import load_trained
from smlmbench.inference.devices import resolve_device
from smlmbench.inference.engine import predict
from smlmbench.predictions import Localizations, Prediction
from smlmbench.registry import Catalog
from smlmbench.render import rasterise, render_table
from smlmbench.run.cells.pictures import TABLE_GRID, fullest_frame
from smlmbench.run.using.finding import describe
from smlmbench.tracking.records import RunRecord


@dataclass(frozen=True, slots=True)
class Look:
    """What to show.

    Attributes:
        frame: Frame of the condition, counted from 1; None takes the one with most true emitters.
        threshold: Instead of the one chosen on validation.
        device: auto, cpu, cuda or mps.
        histogram: Whether pixel histograms are drawn.
        image_format: png, svg or pdf.
    """

    frame: int | None = None
    threshold: float | None = None
    device: str = "auto"
    histogram: bool = True
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

    Args:
        record: The row.
        condition: What it is shown on.
        look: Which frame, and how.
        catalog: Registered things.

    Raises:
        SizeError: No such frame.
        ConfigError: A row that says nothing about single frames.
    """
    number = _number(condition, look.frame)
    frame, target = _pixels(condition, number)
    prediction, threshold = _prediction(record, condition, number, frame, look, catalog)
    truth = None if condition.truth is None else condition.truth.select(condition.truth.frame == number)
    fine, fine_nm = _fine(prediction, condition)
    true_image: NDArray[np.floating] | None = target
    if truth is not None:
        true_image = rasterise(truth.x_nm, truth.y_nm, (fine.shape[0], fine.shape[1]), fine_nm)
    found = prediction.table
    counts = [f"{len(truth)} true" if truth is not None else "", f"{len(found)} found" if found is not None else ""]
    said = ", ".join(part for part in (*counts, f"threshold {threshold:.3g}" if threshold is not None else "") if part)
    total = condition.frames.n_frames if condition.pairs is None else len(condition.pairs)
    drawn = Triplet(
        title=f"{describe(record)} on {condition.name}, frame {number + 1} of {total}{': ' if said else ''}{said}",
        input_image=frame,
        prediction=fine,
        truth=true_image,
        pixel_nm=condition.pixel_size_nm,
        unit="photons" if condition.calibrated else "counts",
        fine_unit="value" if condition.pairs is not None else "emitters per fine pixel",
        found_nm=_places(found),
        truth_nm=_places(truth),
    )
    picture = triplet(drawn, histogram=look.histogram, image_format=look.image_format)
    return Shown(
        picture,
        number + 1,
        total,
        None if found is None else len(found),
        None if truth is None else len(truth),
    )


def _number(condition: Condition, frame: int | None) -> int:
    total = condition.frames.n_frames if condition.pairs is None else len(condition.pairs)
    if frame is None:
        return fullest_frame(condition) or 0
    if not 1 <= frame <= total:
        raise SizeError(f"condition '{condition.name}' has no frame {frame}; give 1 ... {total}")
    return frame - 1


def _pixels(condition: Condition, number: int) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """The frame, and the image that is its truth where it has one."""
    if condition.pairs is not None:
        return condition.pairs[number]
    return condition.frames.read(number, number + 1)[0], condition.truth_image


def _prediction(
    record: RunRecord, condition: Condition, number: int, frame: NDArray[np.float32], look: Look, catalog: Catalog
) -> tuple[Prediction, float | None]:
    """What the row says about the frame, and the threshold where it has one."""
    path = record.artifact("best.pt")
    if path is not None:
        device = resolve_device(look.device)
        trained = load_trained(path, catalog, device)
        read_out = trained.read_out(look.threshold)
        pixels = ArrayFrames(np.ascontiguousarray(frame[None]))
        prediction = predict(pixels, trained.network, read_out, device=device)
        return prediction, None if prediction.table is None else read_out.threshold
    table = record.artifact(f"predictions/{condition.name}.csv")
    if table is None:
        raise ConfigError(
            f"run {record.run_id[:12]} ({record.name}, {record.status}) has neither a network nor a table of"
            f" '{condition.name}'; give a trained cell, or a reference that finds positions"
        )
    locs = read_table(table, catalog=catalog, format="smlmbench_csv", options=TableOptions())
    return Prediction(table=replace(locs.select(locs.frame == number), field_nm=condition.field_nm)), None


def _fine(prediction: Prediction, condition: Condition) -> tuple[NDArray[np.float32], float]:
    """The fine image and its pixel; tables are drawn on a grid of a quarter of a camera pixel."""
    if prediction.image is not None:
        return prediction.image.values[0], prediction.image.pixel_nm
    if prediction.table is None:
        raise ConfigError("this row makes neither positions nor an image of a frame; give another one")
    pixel_nm = condition.pixel_size_nm / TABLE_GRID
    return render_table(prediction.table, condition.field_nm, pixel_nm).values[0], pixel_nm


def _places(table: Localizations | None) -> NDArray[np.float64] | None:
    return None if table is None else np.column_stack([table.x_nm, table.y_nm])
