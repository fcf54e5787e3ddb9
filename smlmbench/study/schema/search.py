"""The shape of the block `search` of a study: how many trials, towards what, over which settings."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from smlmbench.registry.cards import Scalar, Strict


class Dimension(Strict):
    """What values a setting may take: a range, or choices (one choice holds it)."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: Annotated[list[Scalar], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Dimension":
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log:
                raise ValueError("choices and a range at once; give {choices: [...]} or {low: ..., high: ...}")
            return self
        if self.low is None or self.high is None:
            raise ValueError("not a range; give {low: ..., high: ..., log: true} or {choices: [...]}")
        if self.low > self.high or (self.log and self.low <= 0):
            raise ValueError(f"low {self.low:g}, high {self.high:g}: low must be at most high, and above 0 with log")
        return self


class Search(Strict):
    """A search of hyperparameters.

    Of the objectives the first is a number on validation, which picks (empty: the task's primary metric there);
    `device/latency_ms` and `n_params` may follow; both may have `limits`, beyond which a network is not trained. The
    pruner stops a training that is worse than the median (or than
    `keep_percent` of all) was at that point, without effect where there are several objectives. Plain random search
    shares the first `startup` trials with the search, so by default it costs nothing.
    """

    trials: Annotated[int, Field(ge=1)] = 30  # trainings per model (in all where `joint`), the defaults among them
    objectives: list[str] = []
    limits: dict[str, Annotated[float, Field(gt=0)]] = {}  # at most so much, such as {device/latency_ms: 5}
    space: dict[str, Dimension] = {}  # in place of the cards', by setting: `lambda`, `lr`, `fid_storm.blocks`, ...
    joint: bool = False  # one search in which the model is a choice, instead of one per model
    sampler: Literal["tpe", "random", "gp", "nsga2"] = "tpe"  # proposes settings after the first `startup` trials
    seed: Annotated[int, Field(ge=0)] | None = None  # of the sampler; the study's by default
    pruner: Literal["median", "percentile", "none"] = "median"
    startup: Annotated[int, Field(ge=1)] = 10  # trials drawn at random, none of which is pruned
    # Fraction of a training before which it is never pruned; networks that start slowly need a late one.
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.5
    keep_percent: Annotated[float, Field(gt=0, lt=100)] = 75.0  # with pruner `percentile`: the best so many go on
    random_trials: Annotated[int, Field(ge=0)] | None = None  # of plain random search to compare with
    holdout: bool = True  # score each trial on a third frozen set too, which chooses nothing

    @property
    def baseline(self) -> int:
        """Trials of random search to compare with."""
        return min(self.startup, self.trials) if self.random_trials is None else self.random_trials
