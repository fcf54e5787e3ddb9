"""What a plan is made of, values that travel to workers as plain JSON: cells, references, skipped rows; its table."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smlmbench.registry import Catalog, ModelCard
from smlmbench.registry.cards import Strict
from smlmbench.study.reading.choices import WEIGHT
from smlmbench.study.schema import Scoring, Sheet, Training
from smlmbench.study.sources import Source

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "id",
    "status",
    "task",
    "data",
    "model",
    "method",
    "teacher",
    "loss",
    "lambda",
    "repeat",
    "settings",
    "reason",
)
PLAIN = ("supervised", "reference", "none")  # methods and teachers that say nothing


class Picked(Strict):
    """A registered thing with all its settings filled in."""

    name: str
    version: int
    settings: dict[str, Any] = {}
    plugin: str | None = None  # sha256 of the file where it comes from outside the package
    silent: list[str] = []  # settings that name nothing, being as they were before there was a choice

    @property
    def named_by(self) -> dict[str, Any]:
        """The settings that tell it from others of its name."""
        return {name: value for name, value in self.settings.items() if name not in self.silent}


def context_of(model: Picked, catalog: Catalog) -> int:
    """Consecutive frames that a model sees at once."""
    card = catalog.card("models", model.name)
    return card.frames_at_once(model.settings) if isinstance(card, ModelCard) else 1


class DataPlan(Strict):
    """Resolved sources of one data entry: val and test always present, parts of files cut.

    `train_identity` (of train and val) and `test_identity` (per condition) are descriptions of what is simulated, or
    file digests and descriptions without paths.
    """

    name: str
    arm: str = ""  # of a sweep
    train: Source
    val: Source
    tests: dict[str, Source]
    sheet: Sheet | None = None
    apply: list[Path] = []
    train_identity: dict[str, Any]
    test_identity: dict[str, dict[str, Any]]


class Teaching(Strict):
    """Who teaches a student: a training of the study, a network that is only built, or a checkpoint (run or path)."""

    label: str  # as rows name it
    cell_id: str = ""  # its training in this study, which must be done before
    model: Picked | None = None  # where the study names it
    untrained: bool = False  # as a control: frozen at its start
    run: str = ""
    path: Path | None = None
    sha256: str = ""  # of the file at `path`
    loss: Picked | None = None  # with lambda, for labels


SUPERVISED = Picked(name="supervised", version=1)


class Cell(Strict):
    """One training; `cell_id` is its content, `eval_id` how it is scored (DESIGN section 7).

    `control` is longer or random_teacher for rows that only stand beside a student and do not compete; `controls` are
    the cell_ids of what stands beside a student, by the name of the control.
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
        return (self.teaching.cell_id or None) if self.teaching is not None else None

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
    """A control `longer` whose number of samples is not known before it is measured."""

    key: str  # what the measurement depends on; equal keys share it
    teacher: Cell
    student: Cell  # plain: the control with its own number of samples
    students: list[str]  # cell_ids of the distilled ones beside which the control stands
    judged: int = 0  # training samples that the teacher answers before the student begins, for its attention


class Longer(Strict):
    """A measured control `longer`: student's samples times `factor` (PROTOCOL section 4).

    The factor is (teacher_s + student_s + answers_s) / student_s, rounded up: seconds of both trainings, from a few
    steps of each, and those that the teacher's answers take before and during the student's training.
    """

    factor: int
    teacher_s: float
    student_s: float
    answers_s: float


class Plan(Strict):
    """Every row of a study before anything is trained; printable and hashable."""

    study: str
    cells: list[Cell]  # teachers before their students
    references: list[Reference]
    skipped: list[Skipped]
    warnings: list[str] = []
    pending: list[Pending] = []  # trainings whose length is measured at the first run
    longer: dict[str, Longer] = {}  # what was measured, by key

    def to_pandas(self) -> "pd.DataFrame":
        """The table of `smlmbench plan`: a row for every cell, reference and skipped combination, all of it text."""
        import pandas as pd

        return pd.DataFrame(plan_table(self), columns=list(COLUMNS))


def plan_table(plan: Plan) -> list[dict[str, str]]:
    """One row for every cell, reference and skipped combination; the keys are `COLUMNS`.

    Under `settings` stands what differs from the defaults of the cards.
    """
    plugins = [row.plugins for row in plan.cells[:1]] or [row.plugins for row in plan.references[:1]]
    catalog = Catalog(plugins[0] if plugins else ())
    controls = [one.student.model_copy(update={"control": "longer"}) for one in plan.pending]
    later = "its samples are measured at the first run, and kept"
    return [
        *(_row(one.labels, id=one.cell_id, status="planned", settings=_settings(catalog, one)) for one in plan.cells),
        *(_row(one.labels, status="pending", settings=_settings(catalog, one), reason=later) for one in controls),
        *(_reference(catalog, row) for row in plan.references),
        *(_row(row.labels, status="skipped", reason=row.reason) for row in plan.skipped),
    ]


def _row(labels: Mapping[str, str], **more: str) -> dict[str, str]:
    said = {name: text for name, text in labels.items() if name not in ("method", "teacher") or text not in PLAIN}
    return {column: more.get(column, said.get(column, "")) for column in COLUMNS}


def _reference(catalog: Catalog, row: Reference) -> dict[str, str]:
    settings = ", ".join(_changed(catalog, "references", row.reference))
    named = {"task": row.task, "data": row.data.name, "model": row.reference.name}
    return _row(named, id=row.reference_id, status="reference", settings=settings)


def _settings(catalog: Catalog, cell: Cell) -> str:
    """What is not a default in one cell."""
    unweighted = {key: value for key, value in cell.loss.settings.items() if key != WEIGHT}
    loss = cell.loss.model_copy(update={"settings": unweighted})
    stated = Training.model_construct(**getattr(catalog.card("models", cell.model.name), "training", {}))
    teacher = cell.teaching.model if cell.teaching is not None else None
    return ", ".join(
        [
            *_changed(catalog, "models", cell.model),
            *_changed(catalog, "outputs", cell.output),
            *_changed(catalog, "losses", loss),
            *(f"{key}={value}" for key, value in cell.training if value != getattr(stated, key)),
            *_changed(catalog, "recipes", cell.method),
            *(f"teacher.{text}" for text in (_changed(catalog, "models", teacher) if teacher is not None else ())),
        ]
    )


def _changed(catalog: Catalog, room: str, picked: Picked) -> list[str]:
    """`key=value` of every setting that is not the card's default."""
    defaults = catalog.card(room, picked.name).settings
    return [f"{key}={value}" for key, value in picked.settings.items() if value != defaults[key].default]
