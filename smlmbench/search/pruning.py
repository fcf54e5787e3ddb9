"""Whether a training that runs is worth going on; asked from any process that can open the database."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import optuna

from smlmbench.search.storage import accepted, open_storage

Pruner = Literal["median", "percentile", "none"]
_opened = lru_cache(maxsize=4)(open_storage)


@dataclass(frozen=True, slots=True)
class Rule:
    """When a trial is pruned."""

    pruner: Pruner = "none"
    startup: int = 10  # completed trials before any is pruned
    warmup: float = 0.5  # fraction of a training before which it is not pruned
    keep_percent: float = 75.0  # the best so many of hundred go on, with percentile
    validations: int = 10  # of a training; its points of comparison

    def as_pruner(self) -> optuna.pruners.BasePruner:
        """The rule as Optuna's pruner."""
        if self.pruner == "none":
            return optuna.pruners.NopPruner()
        percentile = 50.0 if self.pruner == "median" else self.keep_percent
        first = max(1, math.ceil(self.warmup * self.validations))
        return optuna.pruners.PercentilePruner(percentile, n_startup_trials=self.startup, n_warmup_steps=first)


@dataclass(frozen=True, slots=True)
class Judge:
    """Says during one trial whether to stop it; plain values, so it travels to a worker that sees the database."""

    url: str
    study: str
    number: int
    rule: Rule

    def is_hopeless(self, done: float, score: float) -> bool:
        """Report a score at a fraction of the training; True where the trial shall stop."""
        if self.rule.pruner == "none":
            return False
        point, storage = round(done * self.rule.validations), _opened(self.url, exists=True)
        sampler, pruner = optuna.samplers.RandomSampler(), self.rule.as_pruner()
        with accepted():
            study = optuna.load_study(study_name=self.study, storage=storage, sampler=sampler, pruner=pruner)
            study_id = storage.get_study_id_from_name(self.study)
            identity = storage.get_trial_id_from_study_id_trial_number(study_id, self.number)
            trial = optuna.trial.Trial(study, identity)
            if point not in storage.get_trial(identity).intermediate_values:
                trial.report(score, point)
            return done < 1.0 and trial.should_prune()
