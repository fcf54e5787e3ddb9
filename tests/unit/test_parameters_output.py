"""Parameters as raw output: what is standardised comes back; angles as they are or as sine and cosine; their loss."""

import numpy as np
import pytest
import torch

from smlmbench.data.contracts import Batch
from smlmbench.errors import ConfigError
from smlmbench.losses import crlb_mse
from smlmbench.outputs import parameters
from smlmbench.truths.parameter_table import ParameterTable

KNOWN = {"x_nm": np.array([700.0, 800.0, 950.0]), "azimuth_deg": np.array([1.0, 180.0, 359.0])}
BOUNDS = {"x_nm": np.array([5.0, 10.0, 20.0]), "azimuth_deg": np.array([2.0, 4.0, 8.0])}
TRUTH = ParameterTable.of(("x_nm", "azimuth_deg"), KNOWN, BOUNDS, {"azimuth_deg": 360.0})
BATCH = Batch(torch.zeros(3, 1, 9, 9), TRUTH)
TOLD = {
    "parameter_mean": {"x_nm": 800.0, "azimuth_deg": 180.0},
    "parameter_sd": {"x_nm": 50.0, "azimuth_deg": 100.0},
    "parameter_period": {"azimuth_deg": 360.0},
}


@pytest.mark.parametrize(("periodic", "count"), [("direct", 2), ("sine_cosine", 3)])
def test_the_truth_comes_back(periodic, count):
    settings = {"periodic": periodic, **TOLD}
    targets = parameters.targets(BATCH, settings)
    assert targets["values"].shape == targets["weights"].shape == (3, count)
    found = parameters.decode(targets["values"], settings, 0.0).values
    for name, values in KNOWN.items():
        assert np.allclose(found[name], values, atol=1e-3), name


def test_angles_that_overshoot_stay_on_the_circle():
    settings = {"periodic": "direct", **TOLD}
    raw = torch.tensor([[0.0, 2.0], [0.0, -2.0]])
    assert np.allclose(parameters.decode(raw, settings, 0.0).values["azimuth_deg"], [20, 340])
    settings = {"periodic": "sine_cosine", **TOLD}
    raw = torch.tensor([[0.0, -0.2, 3.0]])  # not on the unit circle
    assert np.allclose(
        parameters.decode(raw, settings, 0.0).values["azimuth_deg"], [360 - np.degrees(np.arctan(0.2 / 3))]
    )


def test_one_bound_off_costs_one():
    settings = {"periodic": "direct", **TOLD}
    targets, loss = parameters.targets(BATCH, settings), crlb_mse.build({"weighting": "crlb"}, settings)
    off = np.stack([BOUNDS["x_nm"] / 50, BOUNDS["azimuth_deg"] / 100], axis=1).astype(np.float32)
    parts = loss(targets["values"] + torch.from_numpy(off), targets)
    assert float(parts["loss"]) == pytest.approx(1.0, rel=1e-4)
    plain = crlb_mse.build({"weighting": "none"}, settings)
    assert float(plain(targets["values"] + 0.5, targets)["loss"]) == pytest.approx(0.25, rel=1e-4)


def test_an_angle_told_by_two_numbers_costs_as_much_as_one():
    settings = {"periodic": "sine_cosine", **TOLD, "parameter_mean": {"azimuth_deg": 180.0}}
    moved = ParameterTable.of(("azimuth_deg",), {"azimuth_deg": KNOWN["azimuth_deg"] + BOUNDS["azimuth_deg"]})
    targets = parameters.targets(BATCH, settings)
    raw = parameters.targets(Batch(BATCH.inputs, moved), settings)["values"]
    loss = crlb_mse.build({"weighting": "crlb"}, settings)(raw, targets)["loss"]
    assert float(loss) == pytest.approx(1.0, rel=0.01)


def test_without_a_bound_the_weighted_loss_is_refused():
    bare = Batch(BATCH.inputs, ParameterTable.of(("x_nm", "azimuth_deg"), KNOWN))
    targets = parameters.targets(bare, {"periodic": "direct", **TOLD})
    with pytest.raises(ConfigError, match="weighting: none"):
        crlb_mse.build({"weighting": "crlb"}, {})(targets["values"], targets)
    assert float(crlb_mse.build({"weighting": "none"}, {})(targets["values"], targets)["loss"]) == 0


def test_other_truths_are_refused():
    with pytest.raises(ConfigError, match="table of them"):
        parameters.targets(Batch(BATCH.inputs, None), {"periodic": "direct", **TOLD})
