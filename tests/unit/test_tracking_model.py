import shutil

import numpy as np
import pytest

from smlmbench.errors import SizeError
from smlmbench.tracking.logged_model import crown, log_model
from smlmbench.tracking.runs import Run, open_run
from smlmbench.tracking.store import open_store

torch = pytest.importorskip("torch")


def test_a_model_is_logged_in_eval_mode_for_frames_of_any_size(store):
    import mlflow.pytorch

    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3, padding=1), torch.nn.Dropout(0.9), torch.nn.Upsample(scale_factor=2)
    )
    model.train()
    number = store.ensure_experiment("fish")
    with open_run(store, number, role="cell", name="row") as run:
        run.log_params({"model": "tiny"})
        run.log_metrics({"test/efficiency": 61.5, "val/efficiency": 60.0})
        run.flush()
        later = Run(store, run.run_id, experiment_id=number, heartbeat=False)
        model_id = log_model(
            later,
            model,
            name="tiny",
            example=np.zeros((2, 1, 8, 8), np.float32),
            outputs=2,
            metrics=["test/efficiency"],
        )
    assert model.training
    (found,) = store.client.search_logged_models([number], filter_string="metrics.`test/efficiency` > 61")
    assert (found.model_id, found.name, found.params["model"], str(found.status)) == (model_id, "tiny", "tiny", "READY")
    assert {metric.key for metric in found.metrics} == {"test/efficiency"}
    assert len(store.client.get_metric_history(run.run_id, "test/efficiency")) == 1
    again = store.client.get_run(run.run_id)
    assert [output.model_id for output in again.outputs.model_outputs] == [model_id]
    loaded = mlflow.pytorch.load_model(found.artifact_location)
    frames = torch.rand(3, 1, 12, 20)
    with torch.no_grad():
        assert torch.allclose(loaded(frames), model.eval()(frames), atol=1e-6)
    requirements = (store.artifacts / "fish" / "models" / model_id / "artifacts" / "requirements.txt").read_text()
    assert "torch" in requirements
    assert "+" not in requirements


def test_a_model_of_one_size_of_input_keeps_its_batch_open(store):
    import mlflow.pytorch

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
    model.unit_sides = (12,)
    number = store.ensure_experiment("spectra")
    with open_run(store, number, role="cell", name="row") as run:
        log_model(run, model, name="dense", example=np.zeros((2, 1, 12), np.float32))
        with pytest.raises(SizeError, match=r"shape \(2, 1, 13\)"):
            log_model(run, model, name="dense", example=np.zeros((2, 1, 13), np.float32))
    (found,) = store.client.search_logged_models([number])
    loaded, spectra = mlflow.pytorch.load_model(found.artifact_location), torch.rand(5, 1, 12)
    with torch.no_grad():
        assert torch.allclose(loaded(spectra), model.eval()(spectra), atol=1e-6)


def test_an_example_that_would_fix_a_size_is_refused(store):
    run = open_run(store, store.ensure_experiment("fish"), role="cell", name="row")
    with run, pytest.raises(SizeError, match="B, H and W of at least 2"):
        log_model(run, torch.nn.Identity(), name="x", example=np.zeros((1, 1, 8, 8), np.float32))


def test_a_model_of_crops_of_one_size_is_logged_for_that_size(store):
    import mlflow.pytorch

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(35, 3))
    model.__dict__["unit_sides"] = (5, 7)
    number = store.ensure_experiment("fish")
    with open_run(store, number, role="cell", name="row") as run:
        model_id = log_model(run, model, name="dense", example=np.zeros((2, 1, 5, 7), np.float32))
    (found,) = store.client.search_logged_models([number])
    assert found.model_id == model_id
    shapes = mlflow.models.Model.load(
        store.artifacts / "fish" / "models" / model_id / "artifacts" / "MLmodel"
    ).signature
    assert shapes.inputs.inputs[0].shape == (-1, 1, 5, 7)
    assert shapes.outputs.inputs[0].shape == (-1, 3)
    crops = torch.rand(4, 1, 5, 7)
    with torch.no_grad():
        assert torch.allclose(mlflow.pytorch.load_model(found.artifact_location)(crops), model(crops), atol=1e-6)


def test_the_champion_is_one_version_and_moves_with_the_store(store, tmp_path):
    number = store.ensure_experiment("fish")
    with open_run(store, number, role="cell", name="row") as run:
        logged = [store.client.create_logged_model(number, name=name, source_run_id=run.run_id) for name in "ab"]
    first, second = (each.model_id for each in logged)
    assert [crown(store, "fish", model_id) for model_id in (first, first, second)] == ["1", "1", "2"]
    champion = store.client.get_model_version_by_alias("fish", "champion")
    assert (str(champion.version), champion.run_id, champion.source) == ("2", run.run_id, logged[1].artifact_location)
    assert crown(store, "fish", first) == "1", "the alias goes back without a third version"
    copy = open_store(shutil.copytree(store.home, tmp_path / "copy"))
    assert copy.client.get_model_version_download_uri("fish", "1").startswith(copy.artifacts.as_uri())
    assert copy.client.get_model_version_by_alias("fish", "champion").source.startswith(copy.artifacts.as_uri())
