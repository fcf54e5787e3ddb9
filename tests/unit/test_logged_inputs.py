"""Data sets of a run in MLflow: our digest, and the shapes of inputs and truth, for every kind of truth."""

import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
from mlflow.data.schema import TensorDatasetSchema

from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.predictions import Localizations
from smlmbench.run.cells.inputs import log_tests, log_training
from smlmbench.tracking.runs import open_run
from smlmbench.truths.dense_structure import DenseStructure
from smlmbench.truths.emitters import Emitters
from smlmbench.truths.labels import Labels
from smlmbench.truths.parameter_table import ParameterTable
from smlmbench.truths.target_images import TargetImages

TABLE = {"frame": [0, 0, 1], "x_nm": [1.0, 2.0, 3.0], "y_nm": [1.0, 2.0, 3.0], "photons": [9.0, np.nan, 8.0]}
ROWS = np.zeros((4, 5), np.float32)


@pytest.fixture
def run(store):
    with open_run(store, store.ensure_experiment("s"), role="cell", name="c") as made:
        yield made


def logged(run):
    """Of each context the data set, and arrays by name of inputs and truth, as MLflow's own reader has them."""
    found = {}
    for each in run.store.client.get_run(run.run_id).inputs.dataset_inputs:
        schema = TensorDatasetSchema.from_dict(json.loads(each.dataset.schema))
        parts = [
            {one.name: (str(one.type), one.shape) for one in part or ()} for part in (schema.features, schema.targets)
        ]
        found[each.tags[0].value] = (each.dataset, *parts)
    return found


def one(truth, values, **more):
    return {"low": Condition("low", ArrayFrames(values), truth, digest="d" * 64, **more)}


def test_emitters_are_columns_but_for_those_of_which_nothing_is_known(run):
    table = Localizations.of(TABLE, n_frames=2, field_nm=(500.0, 400.0))
    log_tests(run, "sim", one(Emitters(table), ROWS.reshape(1, 4, 5).repeat(2, 0), facts={"density_per_um2": 1.5}))
    data, inputs, truth = logged(run)["low"]
    assert (data.name, data.digest) == ("sim.low", "d" * 36)
    assert json.loads(data.profile) == {"density_per_um2": "1.5"}
    assert inputs == {"frames": ("float32", (-1, 4, 5))}
    floats = dict.fromkeys(("table.x_nm", "table.y_nm", "table.photons"), ("float64", (-1,)))
    known = {name: kind for name, kind in truth.items() if name != "table.z_nm"}
    assert known == {"table.frame": ("int64", (-1,)), **floats}


@pytest.mark.parametrize(
    ("truth", "expected"),
    [
        (
            Labels(("a", "b"), np.array([0, 1, 1]), np.array([5.0, np.nan, 6.0]), np.ones((2, 1, 4))),
            {"index": ("int64", (-1,)), "photons": ("float64", (-1,))},
        ),
        (
            ParameterTable.of(("x_nm",), {"x_nm": np.zeros(2), "z_nm": np.zeros(2)}),
            {"values.x_nm": ("float64", (-1,)), "beside.z_nm": ("float64", (-1,))},
        ),
        (DenseStructure(np.zeros((2, 3, 8, 8), np.float32)), {"dense": ("float32", (-1, 3, 8, 8))}),
        (TargetImages([np.zeros((8, 9), np.float32)] * 2), {"images": ("float32", (-1, -1, -1))}),
        (None, {}),
    ],
    ids=["labels", "parameters", "dense", "images", "none"],
)
def test_every_kind_of_truth_has_its_arrays(run, truth, expected):
    log_tests(run, "d", one(truth, np.zeros((2, 1, 4, 5), np.float32)))
    _, inputs, found = logged(run)["low"]
    assert inputs == {"frames": ("float32", (-1, 1, 4, 5))}
    assert found == expected


def test_frames_that_differ_in_size_have_open_sides(run):
    frames = SimpleNamespace(n_frames=2, height=4, width=5, read=lambda a, b: ROWS[None], part=lambda a, b: None)
    log_tests(run, "d", {"low": Condition("low", frames, None)})
    assert logged(run)["low"][1] == {"frames": ("float32", (-1, -1, -1))}


def test_the_training_stream_has_the_digest_of_its_description(run):
    described = {"density": 1.0}
    cell = SimpleNamespace(data=SimpleNamespace(name="sim", train_identity=described))
    splits = SimpleNamespace(validation=one(None, ROWS[None])["low"])
    log_training(run, cell, SimpleNamespace(sample_shape=(2, 16, 17)), splits)
    found = logged(run)
    text = json.dumps({"identity": described, "role": "train"}, separators=(",", ":"))
    assert found["train"][0].digest == hashlib.sha256(text.encode()).hexdigest()[:36]
    assert (found["train"][0].name, found["val"][0].name) == ("sim.train", "sim")
    assert found["train"][1:] == ({"frames": ("float32", (-1, 2, 16, 17))}, {})
