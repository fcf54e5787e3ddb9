import queue
from types import SimpleNamespace

import pytest

from smlmbench.engine import Hooks, map_cells
from smlmbench.engine.dask import Workers
from smlmbench.engine.slots import gpu_of, stop_of, thread_environment
from smlmbench.errors import StoreLostError, TrainingError


def ran(specs, run_cell=None, **hooks):
    """Ids in the order they were run, and the results by id."""
    begun = []

    def run(spec):
        begun.append(spec["id"])
        return {"status": "done"} if run_cell is None else run_cell(spec)

    ended = []
    results = map_cells(run, specs, on_result=lambda spec, result: ended.append(spec["id"]), hooks=Hooks(**hooks))
    assert sorted(ended) == sorted(spec["id"] for spec in specs)
    return begun, dict(zip([spec["id"] for spec in specs], results, strict=True))


def test_results_come_in_order_and_each_is_told_before_the_next_cell_begins():
    log = []
    results = map_cells(
        lambda spec: log.append(f"begins {spec['n']}") or {"status": "done", "n": spec["n"]},
        [{"n": n} for n in range(3)],
        on_result=lambda spec, result: log.append(result["n"]),
    )
    assert [result["n"] for result in results] == [0, 1, 2]
    assert log == ["begins 0", 0, "begins 1", 1, "begins 2", 2]


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


@pytest.mark.parametrize("error", [KeyboardInterrupt, StoreLostError])
def test_ctrl_c_and_a_lost_store_begin_no_other_cell(error):
    begun, seen = [], []

    def run_cell(spec):
        begun.append(spec["n"])
        if spec["n"] == 1:
            raise error
        return {"status": "done"}

    with pytest.raises(error):
        map_cells(run_cell, [{"n": n} for n in range(4)], on_result=lambda spec, result: seen.append(spec["n"]))
    assert (begun, seen) == ([0, 1], [0])


def test_teachers_come_first_and_otherwise_the_order_of_the_plan_stays():
    specs = [{"id": "a"}, {"id": "pupil", "needs": ["t1", "t2"]}, {"id": "b"}, {"id": "t1"}, {"id": "t2"}]
    begun, results = ran(specs)
    assert begun == ["t1", "t2", "a", "pupil", "b"]
    assert {result["status"] for result in results.values()} == {"done"}


def test_what_is_needed_and_not_in_the_plan_is_taken_as_there():
    assert ran([{"id": "pupil", "needs": ["elsewhere"]}])[0] == ["pupil"]


@pytest.mark.parametrize(
    ("status", "outcome"), [("done", "done"), ("failed", "blocked"), ("collapsed", "blocked"), ("left", "planned")]
)
def test_a_teacher_that_ended_before_counts_by_how_it_ended(status, outcome):
    begun, results = ran([{"id": "pupil", "needs": ["t"]}, {"id": "b"}], settled={"t": status})
    assert results["pupil"]["status"] == outcome
    assert ("pupil" in begun) == (outcome == "done")
    if outcome != "done":
        assert results["pupil"]["reason"] == f"needs cell t, which is {status}"


def test_a_failed_teacher_blocks_its_students_and_theirs_with_the_reason():
    def run_cell(spec):
        if spec["id"] == "t":
            raise TrainingError("the loss is not finite")
        return {"status": "done"}

    specs = [{"id": "grandchild", "needs": ["child"]}, {"id": "child", "needs": ["t"]}, {"id": "t"}, {"id": "free"}]
    begun, results = ran(specs, run_cell)
    assert begun == ["t", "free"]
    assert results["child"] == {
        "status": "blocked",
        "reason": "needs cell t, which is failed (the loss is not finite)",
    }
    assert results["grandchild"] == {"status": "blocked", "reason": "needs cell child, which is blocked"}


def test_a_circle_is_named_instead_of_run():
    begun, results = ran([{"id": "a", "needs": ["b"]}, {"id": "b", "needs": ["a"]}, {"id": "c"}])
    assert begun == ["c"]
    assert results["a"] == {"status": "blocked", "reason": "needs cells that need it: b"}


def test_when_the_time_is_over_the_rest_is_planned():
    left = iter([True, True, False])
    begun, results = ran(
        [{"id": "t"}, {"id": "pupil", "needs": ["t"]}, {"id": "b"}, {"id": "c", "needs": ["b"]}],
        may_begin=lambda: next(left, False),
    )
    assert begun == ["t", "b"]
    assert [results[name]["status"] for name in ("pupil", "c")] == ["planned", "planned"]


def test_each_worker_has_one_gpu_in_turn_and_what_the_user_hid_stays_hidden():
    assert [gpu_of(slot, None, 2) for slot in range(3)] == ["0", "1", "0"]
    assert [gpu_of(slot, "3,5", 8) for slot in range(2)] == ["3", "5"]
    assert gpu_of(0, None, 1) is None
    assert gpu_of(0, "1", 4) is None
    assert gpu_of(0, None, 0) is None


def test_threads_are_set_for_every_library_that_reads_them_while_it_is_loaded():
    assert thread_environment(3) == dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "3")


def test_stopping_one_job_leaves_the_cells_of_another():
    stop_of("one").set()
    assert stop_of("one").is_set()
    assert not stop_of("another").is_set()


def test_an_empty_queue_of_a_hook_is_no_empty_inbox():
    def hook(event):
        raise queue.Empty

    client = SimpleNamespace(
        status="closed",
        nthreads=lambda: {"worker": 1},
        subscribe_topic=lambda topic, heard: heard((0.0, {"kind": "told"})),
        submit=lambda *_, **__: SimpleNamespace(add_done_callback=lambda call: None),
    )
    workers = Workers(client, ours=True)
    with pytest.raises(queue.Empty):
        workers.map_cells(print, [{"id": "a"}], on_result=print, hooks=Hooks(on_event=hook))
