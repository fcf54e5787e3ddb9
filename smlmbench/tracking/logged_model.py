"""A trained network as MLflow's LoggedModel: a graph that loads without this package."""

import copy
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import SizeError
from smlmbench.tracking.runs import Run

if TYPE_CHECKING:
    from torch import nn


def log_model(
    run: Run,
    model: "nn.Module",
    *,
    name: str,
    example: NDArray[np.float32],
    outputs: int = 1,
    requirements: Sequence[str] = ("torch", "numpy"),
    metrics: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
) -> str:
    """Log a copy of a network, in eval mode on the CPU, and link it to the run.

    The signature is explicit with batch, height and width open: one inferred from an example would fix the size
    of the frames. The run's params, and the last values of `metrics`, are put on the model too, so that MLflow's
    model search can rank it.

    Args:
        run: The run that trained it.
        model: Takes and gives (B, C, H, W) float32.
        name: Name shown in the UI.
        example: Frames (B, C, H, W) with B, H and W of at least 2 (a size of 1 would be fixed by the export).
        outputs: Channels that it gives.
        requirements: What loading needs; given, because MLflow would find it out by half a minute of imports.
        metrics: Keys of the run's metrics.
        tags: Tags of the model.

    Returns:
        The id for `models:/<id>`.

    Raises:
        SizeError: The example has another shape.
    """
    if example.ndim != 4 or min(example.shape[0], *example.shape[2:]) < 2:
        raise SizeError(f"example of shape {example.shape}; give (B, C, H, W) with B, H and W of at least 2")
    import mlflow.pytorch
    from mlflow.entities import LoggedModelOutput, Metric
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    single = np.dtype(np.float32)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(single, (-1, int(example.shape[1]), -1, -1), "frames")]),
        outputs=Schema([TensorSpec(single, (-1, outputs, -1, -1), "raw")]),
    )
    client = run.store.client
    params = {key: str(value) for key, value in client.get_run(run.run_id).data.params.items()}
    logged = client.create_logged_model(
        run.experiment_id, name=name, source_run_id=run.run_id, params=params, tags=dict(tags or {})
    )
    try:
        with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
            # Importing MLflow's serving code warns about its own type hints, in yellow, on every user's terminal.
            warnings.filterwarnings("ignore", module=r"mlflow\..*")
            folder = Path(scratch) / "model"
            mlflow.pytorch.save_model(
                copy.deepcopy(model).cpu().eval(),
                str(folder),
                mlflow_model=Model(model_uuid=logged.model_id, run_id=run.run_id, model_id=logged.model_id),
                signature=signature,
                input_example=np.ascontiguousarray(example, dtype=np.float32),
                pip_requirements=list(requirements),
                serialization_format="pt2",
            )
            client.log_model_artifacts(logged.model_id, str(folder))
    except BaseException:
        client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run.run_id, [LoggedModelOutput(logged.model_id, step=0)])
    # Same time and step as in the run: MLflow then sees one value, not a second point of a curve.
    linked = [
        Metric(each.key, each.value, each.timestamp, each.step, model_id=logged.model_id, run_id=run.run_id)
        for each in run.last_metrics(metrics)
    ]
    if linked:
        client.log_batch(run.run_id, metrics=linked)
    return str(logged.model_id)
