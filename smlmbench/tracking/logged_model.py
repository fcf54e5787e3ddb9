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
    from mlflow.models import Model
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
    """Log a copy of a network, in eval mode on the CPU, and link it to the run that trained it.

    It takes and gives (B, C, H, W) float32; batch, height and width stay open. One that takes crops of one size
    (`unit_sides`) keeps that of the example, and gives what it gives for it, batch open. The run's params, and the last
    values of `metrics`, are put on the model too, so that MLflow's model search can rank it.

    `example` has B, H and W of at least 2 (a size of 1 would be fixed by the export), else a SizeError; `outputs` is
    the number of channels that the network gives; `requirements` are what loading needs, given because MLflow would
    find them out by half a minute of imports.

    Returns:
        The id for `models:/<id>`.
    """
    if example.ndim != 4 or min(example.shape[0], *example.shape[2:]) < 2:
        raise SizeError(f"example of shape {example.shape}; give (B, C, H, W) with B, H and W of at least 2")
    from mlflow.entities import LoggedModelOutput, Metric
    from mlflow.models import Model

    client = run.store.client
    params = {key: str(value) for key, value in client.get_run(run.run_id).data.params.items()}
    logged = client.create_logged_model(
        run.experiment_id, name=name, source_run_id=run.run_id, params=params, tags=dict(tags or {})
    )
    number = str(logged.model_id)
    identity = Model(model_uuid=number, run_id=run.run_id, model_id=number)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            folder = str(Path(scratch) / "model")
            _save(model, folder, example, outputs, identity, requirements)
            client.log_model_artifacts(number, folder)
    except BaseException:
        client.finalize_logged_model(number, "FAILED")
        raise
    client.finalize_logged_model(number, "READY")
    client.log_outputs(run.run_id, [LoggedModelOutput(number, step=0)])
    # Same time and step as in the run: MLflow then sees one value, not a second point of a curve.
    last = run.last_metrics(metrics)
    linked = [Metric(each.key, each.value, each.timestamp, each.step, model_id=number) for each in last]
    if linked:
        client.log_batch(run.run_id, metrics=linked)
    return number


def _save(
    model: "nn.Module", folder: str, example: NDArray[np.float32], outputs: int, identity: "Model", needs: Sequence[str]
) -> None:
    import mlflow.pytorch
    import torch
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    from smlmbench.export.graph import sides_of

    # The writer of the graph warns of weights that are not in the plain layout.
    plain = copy.deepcopy(model).cpu().eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    # A signature inferred from the example would fix the size of the frames.
    single, sides, given = np.dtype(np.float32), (-1, -1), (outputs, -1, -1)
    if sides_of(model):
        with torch.inference_mode():
            sides, given = example.shape[2:], tuple(plain(torch.from_numpy(example)).shape[1:])
    signature = ModelSignature(
        inputs=Schema([TensorSpec(single, (-1, int(example.shape[1]), *sides), "frames")]),
        outputs=Schema([TensorSpec(single, (-1, *given), "raw")]),
    )
    with warnings.catch_warnings():
        # Importing MLflow's serving code warns about its own type hints, in yellow, on every user's terminal.
        warnings.filterwarnings("ignore", module=r"mlflow\..*")
        mlflow.pytorch.save_model(
            plain,
            folder,
            mlflow_model=identity,
            signature=signature,
            input_example=np.ascontiguousarray(example, dtype=np.float32),
            pip_requirements=list(needs),
            serialization_format="pt2",
        )
