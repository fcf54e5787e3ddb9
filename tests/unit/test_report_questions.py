"""A stranger's questions at the top of the page."""

import numpy as np
import pytest
from report_record import BOTH, Builder, frames, full_builder

from smlmbench.report.leaderboard import boards_of
from smlmbench.report.page import build_report
from smlmbench.report.questions import questions


def answers(made):
    rows, boards = boards_of(made.record)
    return {one.question: one for one in questions(boards, rows)}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    return answers(full_builder(tmp_path_factory.mktemp("runs")))


def test_every_condition_has_its_best_with_interval_and_what_overlaps_it(tmp_path):
    made = Builder(tmp_path, BOTH)
    for model, low, high in (("near", 0.9, 0.5), ("same", 0.85, 0.7), ("far", 0.2, 0.7)):
        for repeat in range(3):
            sums = {"low": frames(low - 0.05 * (repeat == 1), 20), "high": frames(high - 0.05 * (repeat == 1), 20)}
            made.done(made.cell(model, repeat), sums, val=1.0)
    said = answers(made)["Which is best at each condition, and how surely?"].answers
    assert said[0].startswith("low · 0.5/µm²: near (l1l2, λ = 50), ")
    assert said[0].endswith("]; its interval overlaps that of same.")
    assert said[1].startswith("high · 3/µm²: same")
    assert "its interval overlaps that of far" in said[1]
    assert said[-1] == "Means over repeats decide that alone; no pair of them was tested at one condition."


def test_one_that_is_apart_is_said_to_be(told):
    said = told["Which is best at each condition, and how surely?"].answers
    assert all("good" in text and text.endswith("no other interval overlaps it.") for text in said[:2])


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


def test_fitters_are_compared_by_their_intervals(tmp_path):
    made = Builder(tmp_path)
    rng = np.random.default_rng(1)

    def noisy(share):
        made_of = frames(share, 20.0)
        hits = rng.binomial(20, share, len(made_of))
        made_of[:, 0], made_of[:, 2] = hits, 20 - hits
        return made_of

    made.done(made.cell("net"), {"low": noisy(0.8)}, val=1.0, intervals={"low": [70.0, 80.0]})
    for name, ends in (("slow", [60.0, 69.0]), ("alike", [79.0, 90.0]), ("ahead", [81.0, 99.0])):
        made.done(made.reference(name), {"low": noisy({"slow": 0.6, "alike": 0.8, "ahead": 0.95}[name])},
                  role="reference", intervals={"low": ends})  # fmt: skip
    said = answers(made)["Is it better than fitting without training?"].answers[0]
    words = {part.split()[0]: part.split(": ")[1] for part in said.split(" against ")[1].split("; ")}
    assert words["slow"].startswith("better")
    assert words["ahead"].startswith("worse")
    assert words["alike"].startswith("intervals overlap")


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
    assert told["Which is best if a frame may take 10 or 30 ms?"].answers[0].startswith("10 ms: good (l1l2, λ = 50), ")


def test_lambda_is_told_by_its_ends(told):
    assert told["What does λ do?"].answers == ("good, l1l2: from 90.7 at λ = 50 down to 70.0 at λ = 9 on validation.",)


def test_every_answer_points_at_something_on_the_page(tmp_path):
    made = full_builder(tmp_path)
    text = build_report(made.record, tmp_path / "out").html.read_text(encoding="utf-8")
    places = {one.place for one in answers(made).values()}
    assert len(places) == 3
    assert all(text.count(f'id="{place}"') == 1 for place in places)
