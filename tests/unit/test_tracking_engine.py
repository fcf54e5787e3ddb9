import pytest

from smlmbench.engine import map_cells
from smlmbench.errors import TrainingError


def test_results_come_in_order_and_specs_are_taken_one_at_a_time():
    log = []

    def specs():
        for n in range(3):
            log.append(f"spec {n}")
            yield {"n": n}

    results = map_cells(
        lambda spec: {"status": "done", "n": spec["n"]}, specs(), on_result=lambda spec, result: log.append(result["n"])
    )
    assert [result["n"] for result in results] == [0, 1, 2]
    assert log == ["spec 0", 0, "spec 1", 1, "spec 2", 2]


def test_a_cell_that_raises_does_not_stop_the_others():
    def run_cell(spec):
        if spec["error"]:
            raise spec["error"]
        return {"status": "done"}

    seen = []
    specs = [{"error": error} for error in (TrainingError("no\nmodel"), RuntimeError("bug"), None)]
    results = map_cells(run_cell, specs, on_result=lambda spec, result: seen.append(result["status"]))
    assert seen == ["failed", "failed", "done"]
    assert [result.get("reason") for result in results] == ["no model", "RuntimeError: bug", None]


def test_ctrl_c_begins_no_other_cell():
    begun, seen = [], []

    def run_cell(spec):
        begun.append(spec["n"])
        if spec["n"] == 1:
            raise KeyboardInterrupt
        return {"status": "done"}

    with pytest.raises(KeyboardInterrupt):
        map_cells(run_cell, [{"n": n} for n in range(4)], on_result=lambda spec, result: seen.append(spec["n"]))
    assert (begun, seen) == ([0, 1], [0])
