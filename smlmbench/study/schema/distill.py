"""The shape of the block `distill` of a study: teachers, their students, and how they are taught."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from smlmbench.registry.cards import Strict

Control = Literal["plain", "longer", "random_teacher"]
CONTROLS: tuple[Control, ...] = ("plain", "longer", "random_teacher")
LARGEST_FACTOR = 1000


class Side(Strict):
    """A teacher or a student as written: a registered model, or a checkpoint (a run of the store, a best.pt) as it is.

    Without settings it has those of the study's models of its name, else the card's. Without a loss or without weights
    (lambda), a student has the study's, a teacher its student's.
    """

    name: str = ""  # empty where the teacher is a checkpoint
    settings: dict[str, Any] = {}  # lists swept
    loss: dict[str, Any] | None = None
    weights: list[float] = []  # several are swept
    run: str = ""
    path: Path | None = None


class Distillation(Strict):
    """One teacher, one student, one method."""

    teacher: Side
    student: Side
    method: str  # registered recipe
    settings: dict[str, Any] = {}  # of the recipe, lists swept
    controls: list[Control] = list(CONTROLS)  # what stands beside the student (PROTOCOL section 4)
    # How many times the student's samples its control `longer` sees; None: measured at the first run.
    longer: Annotated[int, Field(ge=2, le=LARGEST_FACTOR)] | None = None
