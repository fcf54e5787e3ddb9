"""What a plan is made of: cells, references, skipped rows. Values that travel to workers as plain JSON."""

from pathlib import Path
from typing import Any

from smlmbench.registry.cards import Strict
from smlmbench.study.schema import Scoring, Training
from smlmbench.study.sources import Source


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


class Cell(Strict):
    """One training; `cell_id` is its content, `eval_id` how it is scored (DESIGN section 7)."""

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
    cell_id: str
    eval_id: str

    @property
    def labels(self) -> dict[str, str]:
        """Flat labels with the same keys in every row."""
        return {
            "task": self.task,
            "data": self.data.name,
            "model": self.model.name,
            "loss": self.loss.name,
            "lambda": f"{self.loss.settings.get('weight', 0):g}",
            "repeat": str(self.repeat),
            "method": "supervised",
            "teacher": "none",
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


class Plan(Strict):
    """Every row of a study before anything is trained; printable and hashable."""

    study: str
    cells: list[Cell]
    references: list[Reference]
    skipped: list[Skipped]
    warnings: list[str] = []

    def find(self, cell_id: str) -> Cell:
        """The cell of an id."""
        return next(cell for cell in self.cells if cell.cell_id == cell_id)
