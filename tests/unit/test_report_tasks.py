"""Pages of several tasks, of a plug-in task and of one whose file is gone; plans of older versions."""

import numpy as np
import pytest
from report_record import COLUMNS, LOW, Builder, frames

from smlmbench.report.boards import make_boards
from smlmbench.report.boards.intervals import samples
from smlmbench.report.boards.planned import Planned
from smlmbench.report.boards.rows import join
from smlmbench.report.leaderboard import leaderboard_frame
from smlmbench.report.page import build_report

PLUG_IN = """\
'''A task from outside: the share of right answers, down for the sake of the test.'''

from smlmbench.tasks.contracts import Task
from smlmbench.tasks.contracts import Watch
from smlmbench.tasks.contracts.sections import Section

CARD = {"version": 1, "summary": "Errors", "room": "tasks",
        "facts": {"primary": "errors", "direction": "down", "headline": ["errors", "ties"], "truths": ["labels"]}}


class Sorting(Task):
    def answer(self, model, condition, tuned=None, *, whole=True, on_units=None):
        return None

    watch = score = answer

    def section(self, frame, conditions):
        assert {"row", "condition", "metric", "value"} <= set(frame.columns)
        return Section(columns=("errors", "ties"), reading=("Errors are shares of crops.",), notes=("No rejects.",),
                       protocols={"sorting-1": "Every crop counts once."})


def build(name, catalog):
    return Sorting(name, catalog)
"""
SORTING = {
    "version": 1,
    "primary": {"name": "errors", "direction": "down"},
    "headline": ["errors", "ties"],
    "columns": {
        "errors": {"title": "Errors", "unit": "", "direction": "down", "help": "Share of wrong answers"},
        "ties": {"unit": "", "direction": "none", "help": "Share of ties"},
    },
}
LOCALIZING = {
    "version": 1,
    "primary": {"name": "efficiency", "direction": "up"},
    "headline": list(COLUMNS),
    "columns": COLUMNS,
}


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "sorting.py"
    path.write_text(PLUG_IN, encoding="utf-8")
    return path


@pytest.fixture
def builder(tmp_path, plugin):
    """A study of two tasks, as plan.json states them now: positions on `sim`, sorting on `crops`."""
    folder = tmp_path / "runs"
    folder.mkdir()
    made = Builder(folder)
    made.plan["tasks"] = {"localization": LOCALIZING, "sorting": SORTING}
    made.plan["data"] = {"sim": {"task": "localization"}, "crops": {"task": "sorting"}}
    made.plan["plugins"] = [str(plugin)]
    made.plan["conditions"] = {"sim": LOW, "crops": {"a": {"truth_kind": "simulated"}}}
    for old in ("primary", "headline", "columns"):
        del made.plan[old]
    made.trained("net", [0.9, 0.9, 0.9])
    made.trained("other", [0.8, 0.8, 0.8])
    sort(made, "net", 0.0)
    sort(made, "other", 0.05)
    return made


def sort(builder, model, shift, count=40):
    """Three repeats on the crops; each crop is harder by `shift`, from repeat to repeat by a good deal more."""
    for repeat, level in enumerate((0.2, 0.4, 0.3)):
        numbers = np.random.default_rng(repeat).uniform(0, 0.2, count) + level + shift
        cell = builder.cell(model, repeat, data="crops", task="sorting")
        run = builder.done(cell, {"a": {"errors": float(numbers.mean()), "ties": 0.0}}, protocol="sorting-1")
        run.metrics["val/errors"] = level
        (run.folder / "per_frame").mkdir()
        lines = "".join(f"{k},{value:.12g}\n" for k, value in enumerate(numbers))
        (run.folder / "per_frame" / "a.csv").write_text(f"unit,errors\n{lines}")


def test_a_page_of_several_tasks_has_a_section_for_each(builder, tmp_path):
    files = build_report(builder.record, tmp_path / "out")
    html = files.html.read_text(encoding="utf-8")
    places = [html.index(text) for text in (
        "<h2>localization</h2>", "Jaccard, precision, recall and F1 run", "<h2>sim</h2>",
        "<h2>sorting</h2>", "Errors are shares of crops.", "<h2>crops</h2>", "<h2>All rows</h2>",
    )]  # fmt: skip
    assert places == sorted(places)
    for said in (
        "task <b>localization, sorting</b>", "<b>efficiency</b> on sim (higher is better)", "Every crop counts once.",
        "<b>errors</b> on crops (lower is better)", "Best on crops: net", "Best on sim: net", "No rejects.",
    ):  # fmt: skip
        assert said in html, said
    assert html.count("Errors are shares of crops.") == 1
    text = files.md.read_text(encoding="utf-8")
    assert text.index("## Task localization") < text.index("## sim") < text.index("## Task sorting")
    assert files.tex.read_text(encoding="utf-8").count(r"\begin{tabular}") == 2
    frame = leaderboard_frame(builder.record)
    assert frame.groupby("data")["task"].unique().str[0].to_dict() == {"sim": "localization", "crops": "sorting"}


def test_a_page_of_one_task_has_no_heading_for_it(builder, tmp_path):
    del builder.plan["conditions"]["crops"]
    builder.plan["cells"] = [cell for cell in builder.plan["cells"] if cell["labels"]["data"] == "sim"]
    html = build_report(builder.record, tmp_path / "out").html.read_text(encoding="utf-8")
    assert "<h2>localization</h2>" not in html
    assert "Errors" not in html
    assert (
        html.index("Differences are paired") < html.index("Jaccard, precision, recall") < html.index("Latency is the")
    )


def crops(builder):
    return next(board for board in make_boards(builder.plan, join(builder.record)) if board.data == "crops")


def test_a_plug_in_task_is_compared_over_its_units(builder):
    board = crops(builder)
    assert (board.primary, board.direction, board.columns) == ("errors", "down", ["ties"])
    assert board.title("errors") == "Errors"
    first, second = board.entries
    assert (first.name, first.verdict, second.verdict) == ("net", "best", "behind the best")
    assert second.gap.value == pytest.approx(-0.05)
    assert second.gap.high < -0.049  # crop by crop there is no spread at all
    assert samples([second], board, "errors", ["a"])[0][0].shape == (40, 2)


def test_a_task_whose_file_is_gone_is_compared_over_repeats_and_the_page_says_so(builder, plugin, tmp_path):
    plugin.unlink()
    builder.plan["cells"][-1]["labels"]["repeat"] = "2"
    for run in builder.runs:
        if "test.a/errors" in run.metrics and run.run_id.startswith("run-c011"):
            run.metrics["test.a/errors"] += 0.01
    board = crops(builder)
    assert board.asked.task is None
    (said,) = [note for note in board.notes if "sorting.py" in note]
    assert said == (
        "The file of task sorting is not here (not found: sorting.py), so numbers are compared over repeats alone."
    )
    assert (board.primary, board.columns) == ("errors", ["ties"])
    gap = board.entries[1].gap
    # differences -0.05, -0.05, -0.06: the t-interval of the three
    assert gap.value == pytest.approx(-0.16 / 3)
    assert gap.value - gap.low == pytest.approx(4.302653 * 0.01 / 3**0.5 / 3**0.5, rel=1e-4)
    html = build_report(builder.record, tmp_path / "out").html.read_text(encoding="utf-8")
    assert "compared over repeats alone" in html


def test_an_older_plan_is_completed_by_cards(tmp_path):
    older = Planned(Builder(tmp_path).plan)
    asked = older.asked("sim")
    assert (asked.name, asked.primary, asked.direction) == ("localization", "efficiency", "up")
    assert asked.title("rmse_nm") == "RMSE (nm)"
    assert asked.spoken("nmse_star") == "NMSE*"
    assert asked.measured["jaccard"]["help"] == "TP / (TP + FP + FN)"  # what the plan states stands
    assert asked.measured["efficiency"]["high"] == 100.0


def test_an_older_plan_knows_image_pairs_by_what_ranks_them(tmp_path):
    plan = Builder(tmp_path).plan | {"ranked_by": {"pairs": {"name": "nmse_star", "direction": "down"}}}
    assert Planned(plan).asked("pairs").name == "image_pairs"
    assert Planned(plan).asked("sim").name == "localization"
    assert Planned(plan | {"task": "sorting"}).asked("pairs").name == "sorting"


def test_whether_a_reference_is_a_ceiling_is_stated_or_on_its_card(tmp_path):
    builder = Builder(tmp_path)
    builder.reference("truth", {"low": frames(1.0, 0)})
    builder.reference("blank", {"low": {"efficiency": 0.0}})
    builder.reference("plugged", {"low": {"efficiency": 0.0}}, knows=["truth"])
    builder.reference("other", {"low": {"efficiency": 0.0}}, ceiling=True)
    assert [row.ceiling for row in join(builder.record)] == [True, False, False, True]
