"""What is known of the test conditions of a study before anything is trained."""

from collections.abc import Iterator, Mapping
from typing import Any

from smlmbench import data, tasks
from smlmbench.registry import Catalog
from smlmbench.study.cells import Cell, Plan, Reference


def described_conditions(plan: Plan, catalog: Catalog) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Data entry, name and facts of every test condition, drawn or opened one after the other as rows are scored on it.

    Facts are those of the data and what the entry's task says of it, as the store has them beside scores.
    """
    rows: dict[str, Cell | Reference] = {row.data.name: row for row in plan.references}
    rows |= {row.data.name: row for row in plan.cells}
    for name, row in rows.items():
        task = tasks.load(row.task, catalog)
        for condition, drawn in data.conditions(row.data, row.root_seed, catalog).items():
            yield name, condition, {**drawn.facts, **task.facts(drawn, row.scoring)}
