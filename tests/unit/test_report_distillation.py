"""What a teacher gains, in a table and in words, from fabricated runs."""

import pytest
from report_record import LOW, Builder, frames

from smlmbench.report.boards import make_boards
from smlmbench.report.boards.rows import join
from smlmbench.report.page import build_report
from smlmbench.report.tables.distillation import distillation_table, findings, students
from smlmbench.report.tables.rows import rows_table

LEVELS = (0.0, 0.05, -0.05)


class Taught(Builder):
    """Three repeats of a plain twin, a student and its controls at given shares of found emitters."""

    def three(self, share, **more):
        labels = {key: more.pop(key) for key in ("method", "teacher") if key in more}
        numbers = []
        for repeat, change in enumerate(LEVELS):
            number = self.cell(more.get("model", "small"), repeat, **labels)
            run = self.done(number, {"low": frames(share + change, 20.0)}, val=50.0)
            run.params |= {"teacher_n_params": "5000", "teacher_train_s": "90"} if "teacher" in labels else {}
            self.plan["cells"][-1] |= {key: value for key, value in more.items() if key == "control"}
            numbers.append(number)
        return numbers

    def student(self, share, controls, teachers):
        numbers = self.three(share, method="hint", teacher="big")
        for at, number in enumerate(numbers):
            cell = next(item for item in self.plan["cells"] if item["cell_id"] == number)
            cell |= {
                "method_settings": {"alpha": 0.5},
                "needs": [teachers[at]],
                "controls": {name: held[at] for name, held in controls.items()},
            }
        return numbers


def board_of(builder):
    (board,) = make_boards(builder.record.plan, join(builder.record))
    return board


@pytest.fixture
def made(tmp_path):
    def make(student, plain=0.5, longer=0.5, random=0.5):
        builder = Taught(tmp_path, conditions=LOW)
        teachers = builder.three(0.8, model="big")
        controls = {
            "plain": builder.three(plain),
            "longer": builder.three(longer, method="longer", control="longer"),
            "random_teacher": builder.three(random, method="hint", teacher="untrained big", control="random_teacher"),
        }
        builder.student(student, controls, teachers)
        return builder

    return make


@pytest.mark.parametrize(
    ("shares", "verdicts", "conclusion"),
    [
        ((0.7, 0.5, 0.5, 0.5), ("gain", "gain", "gain"), "The teacher gains."),
        ((0.5, 0.5, 0.5, 0.5), ("no difference shown",) * 3, "The teacher gains nothing that could be shown."),
        ((0.3, 0.5, 0.5, 0.5), ("worse",) * 3, "The teacher gains nothing that could be shown."),
        (
            (0.7, 0.5, 0.7, 0.8),
            ("gain", "no difference shown", "worse"),
            "The teacher gains, but a longer training does as well and an untrained teacher does as well.",
        ),
    ],
)
def test_a_student_is_held_to_its_controls(made, shares, verdicts, conclusion):
    board = board_of(made(*shares))
    (one,) = students(board)
    assert tuple(found.verdict for found in one.against.values()) == verdicts
    assert one.teacher.name == "big"
    (said,) = findings(board)
    assert said.endswith(conclusion)
    assert said.startswith("small ← big (hint)")


def test_the_table_has_differences_and_what_the_teacher_cost(made):
    table = distillation_table(board_of(made(0.7)))
    titles = [column.title for column in table.columns]
    assert titles[2:5] == ["against plain twin", "against longer", "against random teacher"]
    ((_, cells),) = table.rows
    by_title = dict(zip(titles, cells, strict=True))
    assert by_title["against plain twin"].text.startswith("+")
    assert "gain" in by_title["against plain twin"].small
    assert (by_title["Parameters"].text, by_title["Parameters"].small) == ("1,000", "teacher 5,000")
    assert (by_title["Training (s)"].text, by_title["Training (s)"].small) == ("60", "teacher 90")


def test_controls_do_not_compete(made):
    board = board_of(made(0.6, longer=0.95))
    assert {entry.rows[0].labels["method"] for entry in board.competitors} == {"supervised", "hint"}
    assert all(not entry.rows[0].control for entry in board.entries)


def test_students_with_other_settings_are_lines_of_their_own(made):
    builder = made(0.7)
    teachers = [item["cell_id"] for item in builder.plan["cells"][:3]]
    for number in builder.student(0.6, {}, teachers):
        next(item for item in builder.plan["cells"] if item["cell_id"] == number)["method_settings"] = {"alpha": 0.9}
    labels = {one.entry.label for one in students(board_of(builder))}
    assert labels == {"small ← big (hint) [alpha=0.5]", "small ← big (hint) [alpha=0.9]"}


def test_a_board_without_students_has_no_such_table(tmp_path):
    builder = Taught(tmp_path, conditions=LOW)
    builder.three(0.5)
    assert distillation_table(board_of(builder)) is None
    assert findings(board_of(builder)) == []


def test_a_student_without_its_teacher_is_skipped_with_the_reason(tmp_path):
    builder = Taught(tmp_path, conditions=LOW)
    teacher = builder.cell("big")
    builder.run(teacher, "collapsed", reason="answers nothing")
    builder.cell("small", method="hint", teacher="big")
    builder.plan["cells"][-1] |= {"needs": [teacher], "method_settings": {"alpha": 0.5}}
    row = join(builder.record)[-1]
    assert (row.status, row.reason) == ("skipped", f"its teacher big ({teacher}) ended as collapsed")


def test_the_page_and_its_text_say_it(made, tmp_path):
    files = build_report(made(0.7).record, tmp_path / "out")
    for path in (files.html, files.md):
        assert "The teacher gains." in path.read_text(encoding="utf-8")
    assert ",random_teacher," in files.csv.read_text(encoding="utf-8")


def test_all_rows_tell_controls_and_settings_apart(made):
    builder = made(0.6)
    rows = join(builder.record)
    table = rows_table(rows, make_boards(builder.record.plan, rows))
    titles = [column.title for column in table.columns]
    said = {(cells[titles.index("Row")].text, cells[titles.index("Remark")].text) for _, cells in table.rows}
    assert ("small ← big (hint)", "pick") in said
    assert any(text.startswith("control: a longer training") for _, text in said)
    assert any(text.startswith("control: an untrained teacher") for _, text in said)
