"""The block `distill`: what is refused, and the rows that it makes."""

import pytest
from tiny_study import write

from smlmbench.errors import ConfigError
from smlmbench.study.cells import Cell, Longer, plan_table
from smlmbench.study.identity import student_id
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan, plan_hash
from smlmbench.study.planning.students import with_longer

PAIR = {"teacher": "srcnn", "student": "fid_storm", "method": "hint"}


def planned(folder, *distill, sets=(), only=(), **blocks):
    path = write(folder, distill=list(distill), **blocks)
    return make_plan(load_study(path, sets=sets), only=only)


def said(cell):
    return cell.model.name, cell.labels["method"], cell.labels["teacher"]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("hint", r"distill: 'hint' is not a list; write \[{teacher: NAME"),
        (["hint"], r"distill\[0\]: 'hint' is not a pair"),
        ([{"teacher": "srcnn", "method": "hint"}], r"distill\[0\].student: required and not given"),
        ([PAIR | {"teacher": "srcn"}], r"distill\[0\].teacher: .*did you mean 'srcnn'"),
        ([PAIR | {"student": ["srcnn", "fid_strm"]}], r"distill\[0\].student\[1\]: .*did you mean 'fid_storm'"),
        ([PAIR | {"method": "hints"}], r"distill\[0\].method: 'hints' is not a method of .*did you mean 'hint'"),
        ([PAIR | {"method": "supervised"}], r"distill\[0\].method: 'supervised' has no teacher"),
        ([PAIR | {"alpa": 0.5}], r"distill\[0\].alpa: unknown setting, did you mean 'alpha'"),
        ([PAIR | {"alpha": [0.5, 2]}], r"distill\[0\].alpha\[1\]: 2.0 is out of range; accepted: 0 to 1"),
        ([PAIR | {"phi": "seed"}], r"distill\[0\].phi: unknown setting"),
        ([PAIR | {"controls": ["longr"]}], r"distill\[0\].controls\[0\]: 'longr' .*did you mean 'longer'"),
        ([PAIR | {"controls": 3}], r"distill\[0\].controls: 3 is not accepted; give true, false or a list"),
        ([PAIR | {"longer": 1}], r"distill\[0\].longer: 1 is not a whole number from 2"),
        ([PAIR | {"teacher": {"name": "srcnn", "widht": 1}}], r"teacher.widht: unknown setting, did you mean 'width'"),
        ([PAIR | {"teacher": {"name": "srcnn", "loss": "l1l3"}}], r"teacher.loss\[0\]: .*did you mean 'l1l2'"),
        ([PAIR | {"teacher": {"name": "srcnn", "lambda": -1}}], r"teacher.lambda: -1 is not a number of at least 0"),
        ([PAIR | {"teacher": {"path": "no.pt"}}], r"teacher.path: '.*no.pt' is not a file; give the path of a best.pt"),
        ([PAIR | {"teacher": {"run": "ab", "width": 1}}], r"teacher.width: a teacher from a run is taken as it is"),
    ],
)
def test_problems_name_their_place(tmp_path, block, message):
    with pytest.raises(ConfigError, match=message):
        load_study(write(tmp_path, distill=block))


def test_every_problem_is_told_in_one_pass(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load_study(write(tmp_path, distill=[{"teacher": "srcn", "student": 4, "method": "hnt", "longer": 0}]))
    assert len(str(caught.value).splitlines()) == 4


def test_a_student_stands_with_its_teacher_its_twin_and_its_controls(tmp_path):
    plan = planned(tmp_path, PAIR | {"longer": 3})
    by_id = {cell.cell_id: cell for cell in plan.cells}
    assert [said(cell) for cell in plan.cells] == [
        ("fid_storm", "supervised", "none"),
        ("srcnn", "supervised", "none"),
        ("fid_storm", "longer", "none"),
        ("fid_storm", "hint", "srcnn"),
        ("fid_storm", "hint", "untrained srcnn"),
    ]
    student = plan.cells[3]
    assert (student.teacher, student.needs) == (plan.cells[1].cell_id, [plan.cells[1].cell_id])
    assert {name: by_id[number].control for name, number in student.controls.items()} == {
        "plain": "",
        "longer": "longer",
        "random_teacher": "random_teacher",
    }
    plain, longer = by_id[student.controls["plain"]], by_id[student.controls["longer"]]
    assert (plain.training.samples, longer.training.samples) == (80, 240)
    assert student.training == plain.training
    assert by_id[student.controls["random_teacher"]].needs == []


def test_a_bare_name_stands_for_the_studys_model_of_that_name(tmp_path):
    student = planned(tmp_path, PAIR | {"longer": 2}).cells[3]
    assert student.model.settings["width"] == 0.25
    assert student.teaching.model.settings["width"] == 0.25
    other = planned(tmp_path, PAIR | {"longer": 2, "student": {"name": "fid_storm", "blocks": 2}})
    assert [cell.model.settings["width"] for cell in other.cells if cell.needs] == [1.0]


def test_a_teacher_that_is_no_model_of_the_study_is_added_once(tmp_path):
    wide = {"name": "deep_storm", "width": 0.125}
    plan = planned(tmp_path, {"teacher": wide, "student": ["srcnn", "fid_storm"], "method": "hint", "controls": False})
    teachers = [cell for cell in plan.cells if cell.model.name == "deep_storm"]
    assert len(teachers) == 1
    students = [cell for cell in plan.cells if cell.needs]
    assert {cell.teacher for cell in students} == {teachers[0].cell_id}
    assert (teachers[0].loss, teachers[0].data) == (students[0].loss, students[0].data)
    assert len(plan.cells) == 2 + 1 + 2


def test_teachers_and_students_of_one_repeat_belong_together(tmp_path):
    plan = planned(tmp_path, PAIR | {"controls": ["plain"]}, repeats=3)
    by_id = {cell.cell_id: cell for cell in plan.cells}
    students = [cell for cell in plan.cells if cell.needs]
    assert [cell.repeat for cell in students] == [0, 1, 2]
    assert all(by_id[cell.teacher].repeat == cell.repeat for cell in students)


def test_a_teacher_stands_before_its_students(tmp_path):
    plan = planned(tmp_path, {"teacher": "u_storm", "student": "srcnn", "method": "attentive_imitation"})
    order = [cell.cell_id for cell in plan.cells]
    assert all(order.index(need) < order.index(cell.cell_id) for cell in plan.cells for need in cell.needs)


def test_lists_are_swept(tmp_path):
    entry = {
        "teacher": {"name": "srcnn", "lambda": [100, 400]},
        "student": {"name": "fid_storm", "blocks": [1, 2]},
        "method": ["attentive_imitation", "attentive_hint"],
        "alpha": [0.25, 0.5],
        "controls": False,
    }
    students = [cell for cell in planned(tmp_path, entry).cells if cell.needs]
    assert len({cell.cell_id for cell in students}) == len(students) == 16
    assert {cell.loss.settings["weight"] for cell in students} == {400.0}
    assert {cell.teaching.loss.settings["weight"] for cell in students} == {100.0, 400.0}


def test_a_swept_training_block_is_that_of_both_sides(tmp_path):
    plan = planned(tmp_path, PAIR | {"controls": False}, training={"samples": [80, 160], "batch_size": 8})
    by_id = {cell.cell_id: cell for cell in plan.cells}
    pairs = [(cell.training.samples, by_id[cell.teacher].training.samples) for cell in plan.cells if cell.needs]
    assert pairs == [(80, 80), (160, 160)]


def test_identity_has_method_settings_and_teacher(tmp_path):
    def identity(**changes):
        rows = planned(tmp_path, PAIR | {"controls": False} | changes).cells
        return next(cell.cell_id for cell in rows if cell.needs)

    ids = [
        identity(),
        identity(hint_weight=2.0),
        identity(method="attentive_hint"),
        identity(teacher={"name": "srcnn", "width": 0.5}),
        identity(teacher={"name": "srcnn", "lambda": 50}),
        identity(student={"name": "fid_storm", "blocks": 3}),
    ]
    assert len(set(ids)) == len(ids)
    assert identity() == ids[0]
    plain = "abc"
    method = planned(tmp_path, PAIR).cells[-1].method
    assert student_id(plain, method, {"cell_id": "x"}) != student_id(plain, method, {"sha256": "x"})


def test_rows_without_teachers_keep_their_identity(tmp_path):
    without = {cell.cell_id for cell in planned(tmp_path).cells}
    assert without <= {cell.cell_id for cell in planned(tmp_path, PAIR).cells}


def test_a_checkpoint_teaches_by_its_content(tmp_path):
    for name, text in (("a.pt", "1"), ("b.pt", "1"), ("c.pt", "2")):
        (tmp_path / name).write_text(text)

    def student(name):
        plan = planned(tmp_path, PAIR | {"teacher": {"path": name}})
        assert [row.labels["method"] for row in plan.skipped] == ["longer"]
        return next(cell for cell in plan.cells if cell.teaching is not None and not cell.teaching.untrained)

    first, same, other = (student(name) for name in ("a.pt", "b.pt", "c.pt"))
    assert first.needs == []
    assert first.labels["teacher"] == "a.pt"
    assert first.cell_id == same.cell_id != other.cell_id


def test_the_length_of_a_control_waits_for_its_measurement(tmp_path):
    plan = planned(tmp_path, PAIR, repeats=2)
    assert len({one.key for one in plan.pending}) == 1 < len(plan.pending)
    assert any(row["status"] == "pending" for row in plan_table(plan))
    found = Longer(factor=4, teacher_s=2, student_s=1, answers_s=0.5)
    done = with_longer(plan, {plan.pending[0].key: found, "other": found})
    assert done.pending == []
    controls = [cell for cell in done.cells if cell.control == "longer"]
    assert [cell.training.samples for cell in controls] == [320, 320]
    students = [cell for cell in done.cells if cell.needs]
    assert [cell.controls["longer"] for cell in students] == [cell.cell_id for cell in controls]
    assert "other" in done.longer
    assert plan_hash(done) != plan_hash(plan)
    assert with_longer(plan, {}).pending == plan.pending
    named = planned(tmp_path, PAIR | {"longer": 4}, repeats=2)
    assert {cell.cell_id for cell in named.cells} == {cell.cell_id for cell in done.cells}


@pytest.mark.parametrize(
    ("method", "judged"),
    [
        ({"method": "hint"}, 0),
        ({"method": "attentive_imitation"}, 80),
        ({"method": "attentive_imitation", "phi_samples": 30}, 30),
        ({"method": "attentive_imitation", "phi_samples": 300}, 80),
        ({"method": "attentive_imitation", "phi": "seed"}, 0),
        ({"method": "attentive_imitation", "alpha": 1.0}, 0),
        ({"method": "attentive_hint", "alpha": 1.0}, 80),
    ],
)
def test_the_control_counts_the_pass_that_measures_the_teacher(tmp_path, method, judged):
    plan = planned(tmp_path, PAIR | method)
    assert [one.judged for one in plan.pending] == [judged]
    hint = planned(tmp_path, PAIR | {"method": "hint"})
    assert (plan.pending[0].key == hint.pending[0].key) == (judged == 0)


def test_a_student_that_is_kept_keeps_its_teacher(tmp_path):
    entry = PAIR | {"teacher": {"name": "deep_storm", "width": 0.125}}
    plan = planned(tmp_path, entry, only=["teacher=deep_storm"])
    assert sorted(said(cell) for cell in plan.cells) == [
        ("deep_storm", "supervised", "none"),
        ("fid_storm", "hint", "deep_storm"),
    ]
    assert len(plan.pending) == 1


def test_what_cannot_be_taught_is_a_visible_row(tmp_path):
    net = tmp_path / "nameless.py"
    net.write_text(
        'CARD = {"version": 1, "summary": "A net", "output": "raster", "upsamples": "inside", "parameters": {}, '
        '"receptive_field_px": 3.0}\n'
    )
    plan = planned(tmp_path, PAIR | {"student": "nameless"}, plugins=[str(net)])
    reasons = {(row.labels["model"], row.labels["method"]): row.reason for row in plan.skipped}
    assert reasons == {("nameless", "hint"): "the card of nameless names no hint_layers; give student_layer"}
    named = planned(tmp_path, PAIR | {"student": "nameless", "student_layer": "0"}, plugins=[str(net)])
    assert named.skipped == []


def test_a_cell_travels_as_plain_json(tmp_path):
    student = next(cell for cell in planned(tmp_path, PAIR | {"longer": 2}).cells if cell.needs)
    again = Cell.model_validate(student.model_dump(mode="json"))
    assert (again.teacher, again.labels, again.method) == (student.teacher, student.labels, student.method)
