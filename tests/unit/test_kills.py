"""What the benchmark of kills takes for a training that was made twice."""

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "kills.py"


@pytest.fixture(scope="module")
def kills():
    spec = importlib.util.spec_from_file_location("kills", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_training_that_was_made_twice_is_seen(kills):
    once, lost = kills.STEPS, kills.STEPS // kills.VALIDATIONS
    assert not kills.is_doubled([1] * once, 0, 0)
    assert not kills.is_doubled([1] * 2 * lost + [2] * (once - lost), 1, 0)  # went on from its last state
    assert not kills.is_doubled([1] * 2 * lost + [2] * once, 2, 1)  # given up once, then begun anew
    assert kills.is_doubled([1] * 2 * lost + [2] * once, 1, 0)  # begun anew although it had a state
    assert kills.is_doubled([1] * once + [2] * once, 0, 0)
    assert kills.is_doubled([1, 2] * (once // 2), 0, 0)  # two at the same time
    assert kills.is_doubled([1] * once + [2], 0, 0)


def test_steps_are_read_in_the_order_in_which_they_were_made(kills, tmp_path):
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps" / "100").write_text("7 10.500\n7 12.000\n8 11.000\n")
    assert kills.steps_of(tmp_path) == {"100": [7, 8, 7]}
    assert kills.is_training(tmp_path, {8})
    assert not kills.is_training(tmp_path, {7})
    (tmp_path / "steps" / "100").write_text("7 10.500\n" * kills.STEPS)
    assert not kills.is_training(tmp_path, {7})
