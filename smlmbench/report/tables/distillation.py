"""What a teacher gains: each student beside its plain twin, a longer training and a random teacher (PROTOCOL 4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from smlmbench.report.boards.intervals import gap
from smlmbench.report.model import Board, Entry, Gap
from smlmbench.report.tables import Cell, Column, Table, changed, loss_of, tabulate
from smlmbench.report.words import decimals, interval, number, recipe

CONTROLS = {
    "plain": ("plain twin", "the same student without a teacher, on the same samples"),
    "longer": ("longer", "the plain student on as many more samples as teacher and student together took time"),
    "random_teacher": ("random teacher", "the same student under an untrained teacher"),
}
Verdict = Literal["gain", "worse", "no difference shown", "not compared"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A student against one control: paired difference student - control of the primary, mean over conditions.

    The verdict is gain or worse where the interval excludes 0 with one sign in every repeat.
    """

    control: Entry
    change: Gap
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Student:
    """A taught line, its teacher's line where the board has it, and what it is compared with, by control."""

    entry: Entry
    teacher: Entry | None
    against: Mapping[str, Comparison]


def students(board: Board) -> list[Student]:
    """Every scored line of a board that had a teacher, controls left out."""
    by_id, found = board.by_row, []
    for entry in board.everything:
        first = entry.rows[0]
        if not first.control and first.method and entry.scored_rows:
            controls = {name: by_id.get(first.controls.get(name, "")) for name in CONTROLS}
            against = {name: _compared(entry, line, board) for name, line in controls.items() if line is not None}
            teacher = next((by_id[need] for need in first.needs if need in by_id), None)
            found.append(Student(entry, teacher, against))
    return found


def _compared(student: Entry, control: Entry, board: Board) -> Comparison:
    change = gap(student, control, board, board.primary, board.conditions)
    verdicts: dict[str, Verdict] = {"unknown": "not compared", "win": "gain", "tie": "no difference shown"}
    return Comparison(control, change, "worse" if change.worse else verdicts[change.verdict])


def distillation_table(board: Board) -> Table | None:
    """Students beside their controls; None where nothing was taught."""
    taught = students(board)
    if not taught:
        return None
    heading = board.heading
    places = decimals(board.score(one.entry) for one in taught)

    def against(name: str) -> Column:
        said, hint = CONTROLS[name]

        def read(one: Student) -> Cell:
            found = one.against.get(name)
            if found is None or found.change.value is None:
                return Cell("–", "not compared")
            return changed(found.change, places, found.verdict, signed=True)

        return Column(f"against {said}", read, f"{hint}; paired difference, its interval")

    def score(one: Student) -> Cell:
        found = one.entry.get(None, board.primary)
        return Cell(number(found.value, places), interval(found, places), sort=f"{found.value}")

    def teacher(one: Student) -> Cell:
        found = None if one.teacher is None else one.teacher.get(None, board.primary).value
        return Cell(number(found, places), one.entry.rows[0].labels.get("teacher", ""))

    def student(one: Student) -> Cell:
        return Cell(one.entry.label, loss_of(one.entry))

    columns = [
        Column("Student", student, "learned from its teacher, with its loss and λ", numeric=False),
        Column(heading, score, "of the student, mean over conditions and repeats"),
        *(against(name) for name in CONTROLS if any(name in one.against for one in taught)),
        Column("Teacher", teacher, f"its {heading}"),
        Column("Parameters", lambda one: _both(one, "n_params"), "of the student; of its teacher"),
        Column("Training (s)", lambda one: _both(one, "train_s"), "of one repeat of the student; of its teacher"),
    ]
    return tabulate(f"What teachers gain on {board.data}", columns, taught, lambda _: "")


def _both(one: Student, param: str) -> Cell:
    theirs = one.entry.mean_param(f"teacher_{param}")
    return Cell(number(one.entry.mean_param(param), 0), "" if theirs is None else f"teacher {number(theirs, 0)}")


def findings(board: Board) -> list[str]:
    """One sentence per student: what its teacher gained, or that no gain was shown."""
    said = []
    for one in students(board):
        parts = []
        for name, found in one.against.items():
            if found.change.value is not None:
                cell = changed(found.change, decimals([board.score(found.control)]), signed=True)
                parts.append(f"{cell.text} {cell.small} ({found.verdict}) against the {CONTROLS[name][0]}")
        if parts:
            said.append(f"{recipe(one.entry)}: {'; '.join(parts)}. {_conclusion(one)}")
    return said


def _conclusion(one: Student) -> str:
    verdicts = {name: found.verdict for name, found in one.against.items()}
    if verdicts.get("plain", "not compared") == "not compared":
        return "Whether the teacher gains is not known."
    if verdicts["plain"] != "gain":
        return "The teacher gains nothing that could be shown."
    trainings = {"longer": "a longer training", "random_teacher": "an untrained teacher"}
    doubts = [f"{text} does as well" for name, text in trainings.items() if verdicts.get(name, "gain") != "gain"]
    return f"The teacher gains, but {' and '.join(doubts)}." if doubts else "The teacher gains."
