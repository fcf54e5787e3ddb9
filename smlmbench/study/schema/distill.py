"""The shape of the block `distill` of a study: teachers, their students, and how they are taught."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from smlmbench.registry.cards import Strict

Control = Literal["plain", "longer", "random_teacher"]
CONTROLS: tuple[Control, ...] = ("plain", "longer", "random_teacher")
LARGEST_FACTOR = 1000


class Side(Strict):
    """A teacher or a student as written.

    Attributes:
        name: Registered model; empty where the teacher is a checkpoint.
        settings: Of the model, lists swept; empty: those of the study's models of this name, else the card's.
        loss: Its own loss; None: a student's is the study's, a teacher's is its student's.
        weights: Its own lambda, several are swept; empty: as with `loss`.
        run: A run of the store whose network teaches, as it is.
        path: A best.pt that teaches, as it is.
    """

    name: str = ""
    settings: dict[str, Any] = {}
    loss: dict[str, Any] | None = None
    weights: list[float] = []
    run: str = ""
    path: Path | None = None


class Distillation(Strict):
    """One teacher, one student, one method.

    Attributes:
        teacher: Who teaches.
        student: Who learns.
        method: Registered recipe.
        settings: Of the recipe, lists swept.
        controls: What stands beside the student (PROTOCOL section 4).
        longer: How many times the student's samples its control `longer` sees; None: measured at the first run.
    """

    teacher: Side
    student: Side
    method: str
    settings: dict[str, Any] = {}
    controls: list[Control] = list(CONTROLS)
    longer: Annotated[int, Field(ge=2, le=LARGEST_FACTOR)] | None = None
