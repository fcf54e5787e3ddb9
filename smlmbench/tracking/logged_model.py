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
from smlmbench.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.models import Model
    from torch import nn

CHAMPION = "champion"


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

    It takes and gives (B, C, H, W) float32; batch, height and width stay open. Of networks of inputs of one size alone,
    such as spectra, which say so (`unit_sides`), only the batch does. The run's params, and the last values of
    `metrics`, are put on the model too, so that MLflow's model search can rank it.

    `example` has open sizes of at least 2 (a size of 1 would be fixed by the export), else a SizeError; `outputs` is
    the number of channels that a network of frames gives; `requirements` are what loading needs, given because MLflow
    would find them out by half a minute of imports.

    Returns:
        The id for `models:/<id>`.
    """
    sides = tuple(getattr(model, "unit_sides", ()))
    fits = example.shape[2:] == sides if sides else example.ndim == 4 and min(example.shape[2:]) >= 2
    if not fits or example.shape[0] < 2:
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


def crown(store: Store, name: str, model_id: str) -> str:
    """Give a logged model the alias `champion` of a registered model, for `models:/<name>@champion`.

    It becomes a version of it, once; the registered model is made if absent.

    Returns:
        The number of the version.
    """
    from mlflow.exceptions import MlflowException

    client, number = store.client, str(model_id)
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    logged = client.get_logged_model(number)
    known = client.search_model_versions(f"name='{name}'")  # without the ids of their models
    version = next((each for each in known if each.source == logged.artifact_location), None)
    if version is None:
        version = client.create_model_version(name, logged.artifact_location, logged.source_run_id, model_id=number)
    client.set_registered_model_alias(name, CHAMPION, version.version)
    return str(version.version)


def _save(
    model: "nn.Module", folder: str, example: NDArray[np.float32], outputs: int, identity: "Model", needs: Sequence[str]
) -> None:
    import mlflow.pytorch
    import torch
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    # The writer of the graph warns of weights that are not in the plain layout.
    plain = copy.deepcopy(model).cpu().eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    sides, given = tuple(getattr(model, "unit_sides", ())), (outputs, -1, -1)
    if sides:
        with torch.no_grad():
            given = tuple(plain(torch.from_numpy(example)).shape[1:])
    # A signature inferred from the example would fix the size of the frames.
    single = np.dtype(np.float32)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(single, (-1, int(example.shape[1]), *(sides or (-1, -1))), "frames")]),
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
