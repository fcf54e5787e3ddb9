"""A stranger's questions at the top of the page."""

import re
from pathlib import Path

import numpy as np
import pytest
from report_record import BOTH, Builder, frames, full_builder

from smlmbench.report.access import Access
from smlmbench.report.leaderboard import boards_of
from smlmbench.report.page import build_report
from smlmbench.report.questions import questions


def answers(made, access=None):
    rows, boards = boards_of(made.record)
    return {one.question: one for one in questions(boards, rows, access or Access())}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    return answers(full_builder(tmp_path_factory.mktemp("runs")))


def test_every_condition_has_its_best_and_whether_it_is_surely(tmp_path):
    made, first, second = Builder(tmp_path, BOTH), (0.9, 0.8, 0.9), (0.85, 0.85, 0.8)
    for model, low, high in (("near", first, (0.2,) * 3), ("same", second, first), ("far", (0.2,) * 3, second)):
        for repeat in range(3):
            sums = {"low": frames(low[repeat], 20), "high": frames(high[repeat], 20)}
            made.done(made.cell(model, repeat), sums, val=1.0)
    said = answers(made)["Which is best at each condition, and how surely?"].answers
    assert said[0].startswith("low · 0.5/µm²: near (l1l2, λ = 50), ")
    assert "; not surely better than same (+" in said[0]
    assert said[0].endswith("), n = 3 repeats × 40 frames.")
    assert "far" not in said[0]  # and so surely beaten
    assert said[1].startswith("high · 3/µm²: same")
    assert "not surely better than far (+" in said[1]
    assert said[-1].startswith("Surely: the difference, paired over the same frames and repeats, ")
    assert "All pairs of a condition count (Holm)." in said[-1]


def test_one_that_is_apart_is_said_to_be(told):
    said = told["Which is best at each condition, and how surely?"].answers
    assert all("good" in text and text.endswith("; surely better than all others.") for text in said[:2])


def test_one_repeat_is_never_sure(tmp_path):
    made = Builder(tmp_path, BOTH)
    for model, share in (("near", 0.9), ("far", 0.2)):
        made.trained(model, [share], conditions=("low", "high"))
    said = answers(made)["Which is best at each condition, and how surely?"].answers
    assert "; not surely better than far (+" in said[0]
    assert said[-1].startswith("Not surely: one repeat")


def test_where_it_breaks_is_its_worst_condition_also_where_less_is_better(tmp_path):
    made = Builder(tmp_path, BOTH, primary={"name": "rmse_nm", "direction": "down"})
    made.done(made.cell("net"), {"low": {"rmse_nm": 12.0}, "high": {"rmse_nm": 40.0}}, val=1.0)
    said = answers(made)["Where does it break?"].answers
    assert said == ("net (l1l2, λ = 50) goes from 12.0 at low to 40.0 at high.",)


def test_the_limit_is_a_row_that_was_told_the_truth(tmp_path, told):
    assert told["How far from the limit?"].answers[0].startswith("Not known: no row of this study says which")
    made = Builder(tmp_path)
    made.trained("net", [0.8])
    columns = made.plan["columns"]
    made.plan["columns"] = {**columns, "efficiency": {**columns["efficiency"], "high": 100.0}}
    made.reference("oracle", {"low": frames(0.95, 5.0)}, knows=["positions"], ceiling=True)
    made.reference("truth", {"low": frames(1.0, 0.0)}, knows=["positions"], ceiling=True)
    (said,) = answers(made)["How far from the limit?"].answers  # the truth itself is no limit
    assert said.startswith("oracle, which was told positions, reaches 92.9; net (l1l2, λ = 50) has ")
    assert said.endswith(" away.")


ASKED = "Is it better than fitting without training?"


def by_name(said):
    return {text.partition(" than ")[2].split()[0]: text for text in said if " than " in text}


def test_fitters_are_compared_in_pairs_of_the_same_frames_and_repeats(tmp_path):
    """Every frame of the network has one emitter of 20 more (or fewer) than those of the fitters."""
    made, rng = Builder(tmp_path), np.random.default_rng(1)
    base = rng.integers(8, 16, 40)

    def shifted(by):
        sums = frames(0.5, 20.0)
        sums[:, 0], sums[:, 2] = base + by, 20 - base - by
        return {"low": sums}

    for repeat in range(3):
        made.done(made.cell("net", repeat), shifted(1), val=1.0, intervals={"low": [30.0, 90.0]})
    for name, by in (("slow", 0), ("alike", 1), ("ahead", 2)):
        made.done(made.reference(name), shifted(by), role="reference", intervals={"low": [30.0, 90.0]})
    first, *said, last = answers(made)[ASKED].answers
    assert first.startswith("net (l1l2, λ = 50) has Efficiency ")
    found = by_name(said)  # although every interval overlaps every other
    assert found["slow"].startswith("Surely better than slow ")
    assert found["ahead"].startswith("Surely worse than ahead ")
    assert found["alike"].startswith("Not surely ")
    assert "difference 0.0 [0.0, 0.0]" in found["alike"]
    assert all(text.endswith(", n = 3 repeats × 40 frames.") for text in said)
    assert "difference +" in found["slow"]
    assert "difference −" in found["ahead"]
    assert last.endswith("Differences are its own less theirs.")


def test_one_repeat_beside_a_fitter_is_not_sure(tmp_path):
    made = Builder(tmp_path)
    made.trained("net", [0.9])
    made.reference("fitter", {"low": frames(0.5, 20)})
    _, said, last = answers(made)[ASKED].answers
    assert said.startswith("Not surely better than fitter ")
    assert said.endswith(", n = 1 repeat × 40 frames.")
    assert last.startswith("One repeat: what another training would give is not in the intervals.")


def test_without_pairs_intervals_are_compared_and_it_is_said(tmp_path):
    made = Builder(tmp_path)
    made.done(made.cell("net"), {"low": {"efficiency": 75.0}}, val=1.0, intervals={"low": [70.0, 80.0]})
    for name, value, ends in (("slow", 65.0, [60.0, 69.0]), ("alike", 84.0, [79.0, 90.0])):
        run = made.done(made.reference(name), {"low": {"efficiency": value}}, role="reference", intervals={"low": ends})
        assert run.status == "done"
    found = by_name(answers(made)[ASKED].answers)
    assert found["slow"] == "Better than slow 65.0 [60.0, 69.0], not paired: the intervals do not overlap."
    assert found["alike"] == "Worse than alike 84.0 [79.0, 90.0], not paired: the intervals overlap."


def test_repeats_alone_are_paired_where_frames_are_not_stored(tmp_path):
    made = Builder(tmp_path)
    for repeat, value in enumerate((75.0, 76.0, 77.0)):
        made.done(made.cell("net", repeat), {"low": {"efficiency": value}}, val=1.0)
    made.done(made.reference("slow"), {"low": {"efficiency": 60.0}}, role="reference")
    # 15, 16, 17: mean 16, standard error 1 / sqrt(3), t(2) at 0.975 is 4.303
    said = by_name(answers(made)[ASKED].answers)["slow"]
    assert said == "Surely better than slow 60.0: difference +16.0 [13.5, 18.5], n = 3 repeats."


def test_what_failed_is_counted_with_its_reasons(told):
    said = told["Did anything fail?"].answers
    assert said[0] == "11 of 14 planned rows are done; 1 failed, 1 planned and 1 skipped."
    assert "broken: DivergedError: nan at step 412" in said
    assert told["Did anything fail?"].place == "rows"


def test_nothing_failed_is_said_too(tmp_path):
    made = Builder(tmp_path)
    made.trained("net", [0.8])
    assert answers(made)["Did anything fail?"].answers == ("No: all 1 planned rows are done.",)


def test_the_command_runs_the_best_row_and_latency_has_a_budget(told):
    assert (
        told["How do I run it on my movie?"].command
        == "smlmbench predict run-c000-0 movie.tif --camera camera.yaml -o results"
    )
    assert told["How do I run it on my movie?"].answers == (
        "With the camera's settings in camera.yaml (smlmbench calibrate writes them):",
    )
    assert told["Which is best if a frame may take 10 or 30 ms?"].answers[0].startswith("10 ms: good (l1l2, λ = 50), ")


def test_the_command_names_the_store_where_it_is_not_the_usual_one(tmp_path):
    made = full_builder(tmp_path)
    asked = answers(made, Access(("--store", "my store")))["How do I run it on my movie?"]
    assert asked.command.endswith(" -o results --store 'my store'")


@pytest.mark.parametrize(
    ("task", "kind", "given"),
    [
        ("psf_regression", "psf_crops", "movie.tif --camera camera.yaml --places places.csv"),
        ("classification", "color_crops", "movie.tif --camera camera.yaml --places places.csv"),
        ("classification", "dye_spectra", "spectra.csv"),
        ("densification", "renderings", "table.csv"),
        ("background", "background_crops", "movie.tif --camera camera.yaml"),
        ("optics_colors", "color_scenes", "movie.tif --camera camera.yaml --places places.csv"),
        ("optics", "scenes", "movie.tif --camera camera.yaml"),
    ],
)
def test_the_command_gives_what_the_task_takes(tmp_path, task, kind, given):
    made = Builder(tmp_path, {"low": {"kind": kind}}, task=task)
    made.done(made.cell("net", task=task), {"low": {"efficiency": 75.0}}, val=1.0)
    asked = answers(made)["How do I run it on my movie?"]
    assert asked.command == f"smlmbench predict run-c000-0 {given} -o results"
    assert ("places.csv" in asked.answers[0]) == ("--places" in given)
    assert ("camera.yaml" in asked.answers[0]) == ("--camera" in given)


def test_how_fast_the_best_is_on_a_cpu_is_its_soonest_way_at_each_size(tmp_path, told):
    made = Builder(tmp_path)
    for model, share in (("net", 0.9), ("quick", 0.5)):
        run = made.done(made.cell(model), {"low": frames(share, 20)}, val=100 * share)
        run.tags |= {"smlmbench.timed_on": "two cores"}
        for way, ms in {"eager_fp32_64": 4.0, "onnxruntime_fp32_64": 2.0, "eager_fp32_256": 60.0}.items():
            run.metrics[f"device/cpu_{way}px_latency_ms"] = ms * share
    asked = "How fast is the best on a CPU?"
    assert answers(made)[asked].answers == (
        "net (l1l2, λ = 50) on two cores: 1.8 ms for a frame of 64 px with onnxruntime in fp32; "
        "54 ms for a frame of 256 px with eager in fp32.",
    )
    assert answers(made)[asked].place == "board-0-timings"
    page = build_report(made.record, tmp_path / "out").html.read_text(encoding="utf-8")
    assert page.count('id="board-0-timings"') == 1
    assert told[asked].answers == ("good (l1l2, λ = 50) was not timed on a CPU.",)
    assert told[asked].place == "board-0"


def test_lambda_is_told_by_its_ends(told):
    assert told["What does λ do?"].answers == ("good, l1l2: from 90.7 at λ = 50 down to 70.0 at λ = 9 on validation.",)


def test_the_documentation_says_where_a_strangers_questions_are_answered(told):
    page = (Path(__file__).parents[2] / "docs" / "reading.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:3] for line in page.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == 8
    named = {name for _, place in rows for name in re.findall(r"\*([^*]+\?)\*", place)}
    assert named
    assert named <= told.keys()


def test_every_answer_points_at_something_on_the_page(tmp_path):
    made = full_builder(tmp_path)
    text = build_report(made.record, tmp_path / "out").html.read_text(encoding="utf-8")
    places = {one.place for one in answers(made).values()}
    assert len(places) == 3
    assert all(text.count(f'id="{place}"') == 1 for place in places)
