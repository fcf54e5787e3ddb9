"""Runs of MLflow that stand for repeats: numbers of the report, their children, and nothing counts them as a row."""

from collections import Counter
from dataclasses import replace

import pytest
from report_record import BOTH, LOW, Builder, fill

from smlmbench.report.files import fingerprint
from smlmbench.report.leaderboard import leaderboard_frame
from smlmbench.report.opening import headline_view
from smlmbench.report.publish import report_study
from smlmbench.report.studies.repeats import parents_of
from smlmbench.run.using.finding import find_row
from smlmbench.tracking.claims import reap
from smlmbench.tracking.parents import ROLE, write_parents
from smlmbench.tracking.records import find_run, read_study
from smlmbench.tracking.store import Store
from smlmbench.tracking.tags import PARENT

LEVELS = {"unet": 0.5, "old": 0.4}


@pytest.fixture
def study(store, tmp_path):
    """Two networks of three repeats each, and one of a single training."""
    builder = Builder(tmp_path, LOW)
    for model, level in LEVELS.items():
        builder.trained(model, [level, level - 0.1, level + 0.05], ms=2.0)
    builder.done(builder.cell("once"), {"low": {"efficiency": 40.0}}, val=30.0)
    builder.reference("blank", {"low": {"efficiency": 0.0}})
    labels = {cell["cell_id"]: cell["labels"] for cell in builder.plan["cells"]}
    for run in builder.runs:
        run.params |= labels.get(run.tags["smlmbench.cell_id"], {})
    return store, fill(store, builder, "demo", "set-1"), builder


def written(store):
    record = read_study(store, "demo")
    write_parents(store, record, parents_of(record))
    return read_study(store, "demo")


def summaries(record):
    return {run.params["model"]: run for run in record.rows(ROLE)}


def test_a_parent_says_what_the_leaderboard_says_and_its_repeats_are_its_children(study):
    store, before, _ = study
    record = written(store)
    found = summaries(record)
    assert set(found) == set(LEVELS), "one training is no mean, a reference needs none"
    frame = leaderboard_frame(before)
    for model, run in found.items():
        chosen = frame[(frame["label"] == model) & (frame["condition"] == "")].set_index("metric")
        for name in ("efficiency", "jaccard"):
            for end, column in (("", "value"), ("_low", "low"), ("_high", "high")):
                assert run.metrics[f"mean/{name}{end}"] == pytest.approx(chosen.loc[name, column], rel=1e-12)
        assert (run.metrics["mean/repeats"], run.metrics["mean/latency_ms"]) == (3, 2)
        assert (run.status, run.params["lambda"], run.name[: len(model) + 1]) == ("done", "50", f"{model}-")
        assert "repeat" not in run.params
        assert not any(name.startswith(("test", "val")) for name in run.metrics)
        children = [each for each in record.rows("cell") if each.tags.get(PARENT) == run.run_id]
        assert [each.params["protocol"] for each in children] == ["smlmbench-1"] * 3
    assert sum(PARENT in run.tags for run in record.runs) == 6


def test_each_condition_has_its_mean_where_there_are_several(store, tmp_path):
    builder = Builder(tmp_path, BOTH)
    for repeat, value in enumerate((40.0, 50.0, 60.0)):
        builder.done(builder.cell("net", repeat), {"low": {"efficiency": value}, "high": {"efficiency": value - 30}})
    fill(store, builder, "demo", "d")
    (run,) = written(store).rows(ROLE)
    numbers = [run.metrics[name] for name in ("mean/efficiency", "mean.low/efficiency", "mean.high/efficiency")]
    assert numbers == pytest.approx([35, 50, 20])
    half = 4.302653 * 10 / 3**0.5  # t of 95 % and two degrees of freedom, standard deviation 10
    assert run.metrics["mean/efficiency_high"] == pytest.approx(35 + half, rel=1e-6)
    assert run.metrics["mean/efficiency_low"] == pytest.approx(35 - half, rel=1e-6)


def test_the_same_parents_again_write_nothing(study, monkeypatch):
    store, _, _ = study
    written(store)
    record, calls = read_study(store, "demo"), Counter()
    wanted = parents_of(record)

    class Counting:
        def __getattr__(self, name):
            calls[name] += 1
            return getattr(real, name)

    real = store.client
    monkeypatch.setattr(Store, "client", Counting())
    write_parents(store, record, wanted)
    assert calls == {}


def test_a_parent_costs_one_batch(study, monkeypatch):
    from mlflow import MlflowClient

    store, _, _ = study
    record, calls, kept = read_study(store, "demo"), [], MlflowClient.log_batch
    monkeypatch.setattr(MlflowClient, "log_batch", lambda *a, **k: (calls.append(a), kept(*a, **k))[1])
    write_parents(store, record, parents_of(record))
    assert len(calls) == len(LEVELS)


def test_a_further_repeat_changes_the_same_run_and_what_is_gone_is_deleted(study):
    store, record, builder = study
    first = summaries(written(store))
    builder.runs.clear()
    builder.done(builder.cell("unet", 3), {"low": {"efficiency": 99.0, "jaccard": 1.0}}, val=50.0, ms=2.0)
    builder.plan["cells"] = [cell for cell in builder.plan["cells"] if cell["labels"]["model"] != "old"]
    fill(store, builder, "demo", "set-1")
    record = written(store)
    (again,) = record.rows(ROLE)
    assert again.run_id == first["unet"].run_id
    assert again.metrics["mean/repeats"] == 4
    assert again.metrics["mean/efficiency"] > first["unet"].metrics["mean/efficiency"] + 5
    assert sum(run.tags.get(PARENT) == again.run_id for run in record.runs) == 4
    assert sum(PARENT in run.tags for run in record.runs) == 4, "those of the deleted parent are none's"


def test_a_number_that_is_gone_is_not_shown_any_more(study):
    store, record, _ = study
    (unet, _) = parents_of(record)
    write_parents(store, record, [unet])
    fewer = {name: value for name, value in unet.metrics.items() if "jaccard" not in name}
    record = read_study(store, "demo")
    write_parents(store, record, [replace(unet, metrics=fewer)])
    (run,) = read_study(store, "demo").rows(ROLE)
    assert run.metrics.keys() == fewer.keys()


def test_a_parent_whose_writing_was_cut_off_is_completed(study):
    store, record, _ = study
    (unet, _) = parents_of(record)
    tags = {"smlmbench.role": ROLE, "smlmbench.combination": unet.key}
    number = store.client.create_run(record.experiment_id, tags=tags).info.run_id
    assert reap(store, record.experiment_id) == [], "it has no process that could have died"
    record = written(store)
    run = summaries(record)["unet"]
    assert (run.run_id, run.status, run.metrics) == (number, "done", unet.metrics)


def test_two_commands_at_once_leave_one_parent_each(study):
    store, record, _ = study
    for _ in range(2):
        write_parents(store, record, parents_of(record))  # both read before either wrote
    assert len(read_study(store, "demo").rows(ROLE)) == 2 * len(LEVELS)
    once = written(store)
    assert len(once.rows(ROLE)) == len(LEVELS)
    stale = [run for run in read_study(store, "demo").runs if run.role == ROLE]
    for run in stale:
        store.client.delete_run(run.run_id)
    for _ in range(2):
        write_parents(store, once, [])  # another command was faster with the same
    assert [PARENT in run.tags for run in read_study(store, "demo").runs].count(True) == 0


def test_a_run_that_a_user_has_put_under_another_stays_there(study):
    store, record, _ = study
    cell, own = record.rows("cell")[-1], record.rows("study")[0]
    store.client.set_tag(cell.run_id, PARENT, own.run_id)
    record = written(store)
    assert next(run for run in record.runs if run.run_id == cell.run_id).tags[PARENT] == own.run_id


def test_nothing_that_reads_cells_sees_a_parent(study):
    store, before, _ = study
    after = written(store)
    assert len(after.runs) == len(before.runs) + 2
    assert fingerprint(after, "u") == fingerprint(before, "u"), "else every report would be built anew"
    assert leaderboard_frame(after).equals(leaderboard_frame(before))
    assert leaderboard_frame(after, "runs").equals(leaderboard_frame(before, "runs"))
    found, _ = find_row(store, "unet")
    assert found.role == "cell"
    assert find_run(store, summaries(after)["unet"].name).role == ROLE, "named, it is what was meant"


def test_the_page_of_mlflow_begins_with_the_means(study):
    store, _, _ = study
    report_study(store, "demo")
    record = read_study(store, "demo")
    assert set(summaries(record)) == set(LEVELS)
    view = headline_view(record)
    assert [chart["type"] for chart in view.charts["Headline"]][:2] == ["BAR", "BAR"]
    assert view.charts["Headline"][0]["selectedMetricKeys"] == ["mean/efficiency"]
    assert {f"metrics.`mean/efficiency{end}`" for end in ("", "_low", "_high")} <= set(view.columns)
    assert "mean" in view.folded
    listed = store.client.search_runs([record.experiment_id], view.condition)
    assert Counter(run.data.tags["smlmbench.role"] for run in listed) == {"cell": 7, "summary": 2, "reference": 1}
