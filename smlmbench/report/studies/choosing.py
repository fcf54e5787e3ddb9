"""Parts of the store as one record: a study's runs since a date, several studies side by side."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from smlmbench.errors import ConfigError, StoreError
from smlmbench.report.model import Board, Record, Row

ROLES = ("study", "search")
LISTS = ("cells", "references", "skipped", "plugins")


@dataclass(frozen=True)
class Chosen(Record):
    """A record with a plan of its own; `parts` are the studies that it puts together."""

    own_plan: Mapping[str, Any] = field(default_factory=dict)
    parts: Sequence[Record] = ()

    @cached_property
    def plan(self) -> dict[str, Any]:
        """What is asked of the chosen part."""
        return dict(self.own_plan)

    @cached_property
    def study_text(self) -> str:
        """The study files, one after the other."""
        return "\n".join(part.study_text for part in self.parts) if self.parts else super().study_text


def since(record: Record, date: datetime) -> Chosen:
    """Rows whose runs ended at a date or later, or have not ended; what was never run stays planned.

    A date without a zone is local time.

    Raises:
        StoreError: No run of the study is that young.
    """
    rows = [run for run in record.runs if run.role not in ROLES]
    late = {run.run_id for run in rows if run.end_s is None or run.end_s >= date.timestamp()}
    if not late:
        newest = max((run.end_s or run.start_s for run in rows), default=None)
        last = f"its newest ended {datetime.fromtimestamp(newest):%Y-%m-%d %H:%M}" if newest else "it has none"
        raise StoreError(f"no run of '{record.study}' since {date:%Y-%m-%d %H:%M}: {last}; give an earlier --since")
    young = {run.cell_id for run in rows if run.run_id in late}
    old = {run.cell_id for run in rows} - young
    plan = dict(record.plan)
    for kind, name in (("cells", "cell_id"), ("references", "reference_id")):
        plan[kind] = [item for item in plan.get(kind, []) if item.get(name) not in old]
    said = f"only runs that ended since {date:%Y-%m-%d %H:%M} are shown; {len(old)} older rows are left out"
    plan["warnings"] = [*plan.get("warnings", []), said]
    kept = [run for run in record.runs if run.role in ROLES or run.run_id in late]
    return Chosen(record.study, record.experiment_id, kept, plan)


def several(records: Sequence[Record]) -> Chosen:
    """Studies as one, each data entry named `STUDY: DATA`; nothing is ranked across studies.

    Raises:
        ConfigError: A study that is named twice.
        StoreError: One has no plan.
    """
    names = [record.study for record in records]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"study '{twice}' is named twice; give each once")
    for record in records:
        if not record.plan:
            raise StoreError(f"study '{record.study}' has no plan.json in this store; run it once, or leave it out")
    plans = {record.study: record.plan for record in records}
    plan: dict[str, Any] = {"study": " + ".join(names)}
    plan |= {name: [item for one in plans.values() for item in one.get(name, [])] for name in LISTS}
    plan["warnings"] = [f"{name}: {text}" for name, one in plans.items() for text in one.get("warnings", [])]
    for block in ("data", "conditions"):
        plan[block] = {named(n, data): facts for n, one in plans.items() for data, facts in one.get(block, {}).items()}
    for study, one in plans.items():
        for data in {**one.get("conditions", {}), **one.get("data", {})}:
            plan["data"][named(study, data)] = {**plan["data"].get(named(study, data), {}), "study": study}
    plan["tasks"] = {task: facts for one in plans.values() for task, facts in one.get("tasks", {}).items()}
    plan |= {block: _together(one.get(block, {}) for one in plans.values()) for block in ("versions", "host")}
    plan["command"] = "; ".join(filter(None, (str(one.get("command", "")) for one in plans.values())))
    plan["plan_hash"] = ", ".join(f"{name} {one.get('plan_hash', '')}" for name, one in plans.items())
    runs = [run for record in records for run in record.runs]
    return Chosen(str(plan["study"]), records[0].experiment_id, runs, plan, tuple(records))


def named(study: str, data: str) -> str:
    """A data entry of one of several studies."""
    return f"{study}: {data}"


def rename(study: str, rows: Iterable[Row], boards: Iterable[Board]) -> tuple[list[Row], list[Board]]:
    """Rows and boards of a study under the names that they have among several."""
    boards, renamed = list(boards), {}
    for row in rows:
        renamed[id(row)] = replace(row, labels={**row.labels, "data": named(study, row.data)})
    for board in boards:
        board.data = named(study, board.data)
        for entry in board.everything:
            entry.rows = [renamed[id(row)] for row in entry.rows]
    return list(renamed.values()), boards


def _together(blocks: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Facts of several studies: one value where they agree, else all."""
    found: dict[str, list[Any]] = {}
    for block in blocks:
        for name, value in block.items():
            if value not in found.setdefault(name, []):
                found[name].append(value)
    return {name: values[0] if len(values) == 1 else " / ".join(map(str, values)) for name, values in found.items()}
