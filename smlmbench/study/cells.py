"""What a plan is made of: cells, references, skipped rows. Values that travel to workers as plain JSON."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from smlmbench.registry.cards import Strict
from smlmbench.study.schema import Scoring, Training
from smlmbench.study.sources import Source

if TYPE_CHECKING:
    import pandas as pd


class Picked(Strict):
    """A registered thing with all its settings filled in."""

    name: str
    version: int
    settings: dict[str, Any] = {}
    plugin: str | None = None  # sha256 of the file where it comes from outside the package


class DataPlan(Strict):
    """Resolved sources of one data entry: val and test always present, parts of files cut.

    Attributes:
        train_identity: Descriptions (simulated), or file digests and description without paths, of train and val.
        test_identity: The same per condition.
    """

    name: str
    train: Source
    val: Source
    tests: dict[str, Source]
    apply: list[Path] = []
    train_identity: dict[str, Any]
    test_identity: dict[str, dict[str, Any]]


class Teaching(Strict):
    """Who teaches a student.

    Attributes:
        label: How the teacher is named in rows.
        cell_id: Its training in this study, which must be done before; empty for checkpoints and untrained ones.
        model: The network, where it is named in the study.
        untrained: Only built, as a control: frozen at its start.
        run, path: The checkpoint, where it is one; `sha256` is that of the file.
        loss: Its loss and lambda, for labels.
    """

    label: str
    cell_id: str = ""
    model: Picked | None = None
    untrained: bool = False
    run: str = ""
    path: Path | None = None
    sha256: str = ""
    loss: Picked | None = None


SUPERVISED = Picked(name="supervised", version=1)


class Cell(Strict):
    """One training; `cell_id` is its content, `eval_id` how it is scored (DESIGN section 7).

    Attributes:
        method: Recipe of the training.
        teaching: Who teaches it, None for supervised training.
        control: longer or random_teacher for rows that only stand beside a student; they do not compete.
        controls: cell_ids of what stands beside a student, by the name of the control.
    """

    study: str
    task: str
    root_seed: int
    repeat: int
    data: DataPlan
    model: Picked
    output: Picked
    loss: Picked
    training: Training
    scoring: Scoring
    plugins: list[Path] = []
    method: Picked = SUPERVISED
    teaching: Teaching | None = None
    control: str = ""
    controls: dict[str, str] = {}
    cell_id: str
    eval_id: str

    @property
    def teacher(self) -> str | None:
        """cell_id of the teacher's training, None where there is none or it is not part of the study."""
        return None if self.teaching is None or not self.teaching.cell_id else self.teaching.cell_id

    @property
    def needs(self) -> list[str]:
        """cell_ids that must be done before."""
        return [self.teacher] if self.teacher is not None else []

    @property
    def labels(self) -> dict[str, str]:
        """Flat labels with the same keys in every row."""
        return {
            "task": self.task,
            "data": self.data.name,
            "model": self.model.name,
            "loss": self.loss.name,
            "lambda": f"{self.loss.settings['weight']:g}" if "weight" in self.loss.settings else "none",
            "repeat": str(self.repeat),
            "method": self.control if self.control == "longer" else self.method.name,
            "teacher": "none" if self.teaching is None else self.teaching.label,
        }


class Reference(Strict):
    """A row that needs no training, scored on every condition of one data entry."""

    study: str
    task: str
    root_seed: int
    data: DataPlan
    output: Picked
    reference: Picked
    scoring: Scoring
    plugins: list[Path] = []
    reference_id: str
    eval_id: str


class Skipped(Strict):
    """A planned combination that makes no sense, with the reason; a visible row."""

    labels: dict[str, str]
    settings: dict[str, Any] = {}
    reason: str


class Pending(Strict):
    """A control `longer` whose number of samples is not known before it is measured.

    Attributes:
        key: What the measurement depends on; equal keys share it.
        teacher: The teacher's training.
        student: The plain student, which is the control with its own number of samples.
        students: cell_ids of the distilled students beside which the control stands.
        judged: Training samples that the teacher answers before the student begins, for its attention.
    """

    key: str
    teacher: Cell
    student: Cell
    students: list[str]
    judged: int = 0


class Longer(Strict):
    """A measured control `longer`: student's samples times `factor` (PROTOCOL section 4).

    Attributes:
        factor: (teacher_s + student_s + answers_s) / student_s, rounded up.
        teacher_s, student_s: Seconds of both trainings, from a few steps of each.
        answers_s: Seconds that the teacher's answers take before and during the student's training.
    """

    factor: int
    teacher_s: float
    student_s: float
    answers_s: float


class Plan(Strict):
    """Every row of a study before anything is trained; printable and hashable.

    Attributes:
        cells: Trainings, teachers before their students.
        pending: Trainings whose length is measured at the first run.
        longer: What was measured, by key.
    """

    study: str
    cells: list[Cell]
    references: list[Reference]
    skipped: list[Skipped]
    warnings: list[str] = []
    pending: list[Pending] = []
    longer: dict[str, Longer] = {}

    def find(self, cell_id: str) -> Cell:
        """The cell of an id."""
        return next(cell for cell in self.cells if cell.cell_id == cell_id)

    def to_pandas(self) -> "pd.DataFrame":
        """The table of `smlmbench plan`: a row for every cell, reference and skipped combination, all of it text."""
        import pandas as pd

        from smlmbench.study.planning.table import COLUMNS, plan_table

        return pd.DataFrame(plan_table(self), columns=list(COLUMNS))
