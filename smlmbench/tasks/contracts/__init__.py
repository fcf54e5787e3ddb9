"""The contract of a task: one file that owns its way, from a network's output to its section of the page."""

from smlmbench.tasks.contracts.rows import Model, OnUnits, Referee
from smlmbench.tasks.contracts.task import (
    Chosen,
    Scores,
    Task,
    Tuned,
    Watch,
    mean_of_sums,
    mean_over_conditions,
)

__all__ = [
    "Chosen",
    "Model",
    "OnUnits",
    "Referee",
    "Scores",
    "Task",
    "Tuned",
    "Watch",
    "mean_of_sums",
    "mean_over_conditions",
]
