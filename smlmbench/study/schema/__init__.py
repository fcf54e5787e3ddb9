"""The shape of a study file; unknown keys are refused everywhere."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from smlmbench.registry.cards import Strict
from smlmbench.study.schema.distill import Distillation
from smlmbench.study.schema.search import Search
from smlmbench.study.sources import Source

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
Choice = dict[str, Any]  # {"name": registered name, setting: value or list of values}


class Step(Strict):
    """Where a test condition stands on a robustness sheet: what is changed (`axis`), by how much, from what.

    `origin` is the condition at the step that changes nothing (`base`).
    """

    axis: str
    step: float | str
    base: float | str
    origin: str
    unit: str = ""  # x for factors


class Sheet(Strict):
    """A robustness sheet: its centre, and the steps around it; all are names of test conditions."""

    centre: str
    steps: dict[Name, Step] = {}
    left_out: list[str] = []  # what makes no sense at this centre, with the reason

    def facts(self, condition: str) -> dict[str, Any]:
        """What it says of a test condition."""
        step = self.steps.get(condition)
        return {"centre": True} if condition == self.centre else {} if step is None else step.model_dump()


class DataEntry(Strict):
    """One data set: training source, validation, named test conditions, movies to predict."""

    name: Name
    train: Source
    val: Source | None = None
    test: dict[Name, Source] = {}
    robustness: Sheet | None = None  # whose conditions stand in test
    apply: list[Path] = []
    arm: Name | None = None  # of a sweep: `specialist` (trained for one condition), `generalist`; drawn as lines apart


class Training(Strict):
    """How one cell is trained, after the card's defaults and the study's block are merged.

    Number format auto is bf16 where that was measured to be faster for this network here, else fp32.
    """

    samples: Annotated[int, Field(ge=1)] = 32_000  # seen in training; one is a frame (or crop) of the source
    regime: Literal["equal_samples"] = "equal_samples"  # of the budget (PROTOCOL section 4)
    batch_size: Annotated[int, Field(ge=1)] = 16
    lr: Annotated[float, Field(gt=0)] = 1e-3
    optimiser: Literal["adam", "adamw", "sgd", "adam_half"] = "adam"  # half: momentum 0.5, as games are trained
    schedule: Literal["one_cycle", "plateau", "constant"] = "one_cycle"
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    validations: Annotated[int, Field(ge=1)] = 10  # the last one at the end
    patience: Annotated[int, Field(ge=1)] | None = None  # validations without a better score before stopping
    validation_frames: Annotated[int, Field(ge=1)] | None = 64  # used to pick the best step in training; None: all
    number_format: Literal["auto", "fp32", "bf16"] = "auto"
    augment: bool = True  # rotations and flips of crops (only sources from files)

    @property
    def steps(self) -> int:
        """Optimiser steps: samples over batch size, rounded up."""
        return -(-self.samples // self.batch_size)


class Scoring(Strict):
    """Headline protocol and its options by name (PROTOCOL section 1)."""

    protocol: Literal["smlmbench-1", "smlmbench-2", "challenge-2016"] = "smlmbench-2"
    matcher: Literal["greedy", "hungarian"] = "greedy"
    lateral_nm: Annotated[float, Field(gt=0)] = 250.0
    axial_nm: Annotated[float, Field(gt=0)] = 500.0
    border_nm: Annotated[float, Field(ge=0)] = 450.0


class Timing(Strict):
    """What is timed after training, in the parent, when nothing trains.

    Reduced number formats are timed only for the pick of each model, after the quality gate.
    """

    devices: list[str] = ["cpu"]  # cpu, cuda or mps
    runtimes: list[str] = ["eager"]
    number_formats: list[Literal["fp32", "bf16", "int8"]] = ["fp32"]
    sizes_px: list[Annotated[int, Field(ge=8, le=4096)]] = [64]  # sides of the camera frame
    threads: Annotated[int, Field(ge=1)] | None = None  # on the processor; None takes torch's own number
    memory: bool = False  # measure the peak too, in a process of its own for each row


class Study(Strict):
    """A study, or one part of it that has one task: one file in `experiments/`, one MLflow experiment."""

    study: Name
    seed: Annotated[int, Field(ge=0)] = 0
    repeats: Annotated[int, Field(ge=1)] = 3
    task: str | None = None  # as written; which task a row has is said by `Loaded.task` and by the row
    data: Annotated[list[DataEntry], Field(min_length=1)]
    output: dict[str, Any] = {}
    references: list[Choice] | None = None
    models: Annotated[list[Choice], Field(min_length=1)]
    losses: list[Choice] = []
    training: dict[str, Any] = {}
    distill: list[Distillation] = []
    search: Search | None = None
    scoring: Scoring = Scoring()
    timing: Timing | None = Timing()
    plugins: list[Path] = []
    log_models: Literal["picks", "all", "none"] = "picks"
    max_hours: Annotated[float, Field(gt=0)] | None = None
