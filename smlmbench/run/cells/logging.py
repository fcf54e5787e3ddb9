"""What a scored row writes to its run: numbers, reasons, tables, pictures."""

import csv
import io
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.data.contracts import Condition
from smlmbench.formats import write_image, write_table
from smlmbench.predictions import Prediction, Raster
from smlmbench.registry import Catalog
from smlmbench.run.cells.evaluation import Evaluation
from smlmbench.run.session import host, versions
from smlmbench.study.schema import Scoring
from smlmbench.tasks.contracts import Scores
from smlmbench.tasks.localization import mean_over_conditions
from smlmbench.tracking.runs import Run


def log_evaluation(
    run: Run,
    evaluation: Evaluation,
    conditions: Mapping[str, Condition],
    scoring: Scoring,
    catalog: Catalog,
    samples_seen: int = 0,
) -> None:
    """Log scores, per-frame sums, predictions, pictures and the environment of one row.

    Final validation scores get `samples_seen` as their step, so that they end the curve that training drew.
    """
    if evaluation.validation is not None:
        chosen = {f"val/{name}": value for name, value in evaluation.validation.values.items()}
        run.log_metrics(chosen, step=samples_seen)
    numbers: dict[str, float | str] = {}
    for name, value in mean_over_conditions(evaluation.tests).items():
        numbers[f"test/{name}"] = value
    for condition, scores in evaluation.tests.items():
        numbers |= {f"test.{condition}/{name}": value for name, value in scores.values.items()}
    run.log_metrics(numbers)
    run.log_dict(_metrics_json(evaluation, scoring, conditions), "metrics.json")
    run.log_dict({"versions": versions(), "host": host()}, "environment.json")
    for condition, scores in evaluation.tests.items():
        if scores.per_frame:
            run.log_text(_csv(scores.per_frame), f"per_frame/{condition}.csv")
        log_table(run, evaluation.predictions[condition], condition, catalog)
    for condition, drawn in evaluation.pictures.items():
        run.log_image(drawn, f"test_{condition}")
        run.log_bytes(_png(drawn), f"figures/{condition}.png")


def _metrics_json(evaluation: Evaluation, scoring: Scoring, conditions: Mapping[str, Condition]) -> dict[str, Any]:
    threshold = evaluation.threshold
    if threshold is not None and not math.isfinite(threshold.value):
        threshold = None
    return {
        "protocol": scoring.protocol,
        "matcher": scoring.matcher,
        "scoring": scoring.model_dump(),
        "threshold": None if threshold is None else threshold.value,
        "threshold_curve": None if threshold is None else {"tried": threshold.tried, "reached": threshold.curve},
        "val": {} if evaluation.validation is None else _block(evaluation.validation),
        "test": {name: _block(scores) for name, scores in evaluation.tests.items()},
        "facts": {
            name: {**condition.facts, "frame_shift": condition.frame_shift} for name, condition in conditions.items()
        },
    }


def _block(scores: Scores) -> dict[str, Any]:
    return {
        "values": dict(scores.values),
        "intervals": {name: list(ends) for name, ends in scores.intervals.items()},
        "reasons": dict(scores.reasons),
    }


def _csv(per_frame: Mapping[str, Any]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = list(per_frame)
    writer.writerow(["frame", *names])
    for frame, row in enumerate(zip(*per_frame.values(), strict=True)):
        writer.writerow([frame, *(f"{value:.10g}" for value in row)])
    return text.getvalue()


def log_table(run: Run, prediction: Prediction, name: str, catalog: Catalog, folder: str = "predictions") -> None:
    """Log the table of a prediction as `<folder>/<name>.csv`, in our own format; nothing where there is none."""
    if prediction.table is None:
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"{name}.csv"
        write_table(prediction.table, path, catalog=catalog, format="smlmbench_csv")
        run.log_artifact(path, folder)


def log_image_file(run: Run, prediction: Prediction, name: str, catalog: Catalog, folder: str) -> None:
    """Log the summed image of a prediction as `<folder>/<name>_sum.tif`; nothing where there is none."""
    if prediction.image is None:
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"{name}_sum.tif"
        write_raster(path, prediction.image, catalog)
        run.log_artifact(path, folder)


def write_raster(path: Path, raster: Raster, catalog: Catalog) -> None:
    """Write a summed image as TIFF, with its pixel size where that is known."""
    if math.isfinite(raster.pixel_nm):
        write_image(path, np.asarray(raster.values[0]), raster.pixel_nm, catalog=catalog, format="tiff_image")
    else:
        catalog.module("formats", "tiff_image").write_plain(path, np.asarray(raster.values[0]))


def _png(drawn: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    target = io.BytesIO()
    Image.fromarray(drawn).save(target, format="PNG", optimize=True)
    return target.getvalue()
