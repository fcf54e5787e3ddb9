"""The metric that ranks a data set: the task's, or the one that its card names for data without positions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from smlmbench.study.cells import DataPlan


@dataclass(frozen=True, slots=True)
class Primary:
    """A primary metric with the numbers that are shown beside it."""

    name: str
    direction: Literal["up", "down"]
    headline: tuple[str, ...]

    @property
    def sign(self) -> float:
        """What a value is multiplied by so that more is better."""
        return -1.0 if self.direction == "down" else 1.0

    def shown(self, value: float) -> str:
        """A value with the decimals that suit it: fractions three, numbers of 0..100 one."""
        return f"{value:.3f}" if self.direction == "down" else f"{value:.1f}"


def primary_of(facts: Mapping[str, Any], data: DataPlan) -> Primary:
    """What ranks a data set.

    Args:
        facts: Of the task's card: `primary`, `direction`, `headline`, and `without_positions` with the same keys.
        data: A resolved data set.
    """
    chosen = facts if data.has_positions else {**facts, **facts.get("without_positions", {})}
    direction: Literal["up", "down"] = "down" if chosen.get("direction") == "down" else "up"
    return Primary(str(chosen["primary"]), direction, tuple(chosen.get("headline", ())))
