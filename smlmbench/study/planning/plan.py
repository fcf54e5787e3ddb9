"""A study to its plan: every training, every reference, every combination that makes no sense with its reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from smlmbench.errors import ConfigError, suggest
from smlmbench.registry import Catalog
from smlmbench.study.cells import Cell, DataPlan, Pending, Plan, Reference, Skipped
from smlmbench.study.identity import canonical, eval_id, short_hash
from smlmbench.study.load import Loaded
from smlmbench.study.planning.references import references_of
from smlmbench.study.planning.rows import Combination, cell_of, combinations_of, skipped_of
from smlmbench.study.planning.students import taught_rows
from smlmbench.study.planning.warn import warnings_of
from smlmbench.study.schema import DataEntry
from smlmbench.study.sources import Description

LABELS = ("task", "data", "model", "loss", "lambda", "repeat", "method", "teacher")


def make_plan(loaded: Loaded, *, only: Sequence[str] = (), repeats: int | None = None) -> Plan:
    """Expand a study.

    Rows are in the order part x data x model x output x loss (lambda) x training x repeat, each as written; in each
    part the students follow, each behind its teacher. A student that is kept keeps its teacher.

    Args:
        loaded: From `load_study`.
        only: Filters such as `model=fid*`: filters of one label are alternatives, different labels must all match.
        repeats: Repeats of every training, instead of the study's.

    Raises:
        ConfigError: No loss for a model, two data sets that cannot be told apart, or a filter that keeps nothing.
    """
    rows = _Rows(_filters(only), repeats if repeats is not None else loaded.study.repeats)
    for part in loaded.parts:
        rows.add(part)
    if not rows.cells and not rows.skipped:
        there = "; ".join(f"{label}: {', '.join(names)}" for label, names in rows.there.items())
        raise ConfigError(f"--only {' '.join(only)}: keeps no row; {there}")
    cells = list(rows.cells.values())
    return Plan(
        study=loaded.study.study,
        cells=cells,
        references=rows.references,
        skipped=[*rows.skipped, *rows.lost],
        warnings=[*dict.fromkeys(rows.notes), *warnings_of(loaded.catalog, cells)],
        pending=rows.pending,
    )


@dataclass(slots=True)
class _Rows:
    """Rows of the parts of a study, as far as filters keep them."""

    wanted: dict[str, list[str]]
    repeats: int
    cells: dict[str, Cell] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    lost: list[Skipped] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    pending: list[Pending] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    there: dict[str, dict[str, None]] = field(default_factory=lambda: {"data": {}, "model": {}, "loss": {}})

    def add(self, part: Loaded) -> None:
        """Add the rows of one part."""
        study = part.study
        data = [_resolved(entry, part.catalog) for entry in study.data]
        around: dict[str, Any] = {"root_seed": study.seed, "scoring": study.scoring}
        around["task_version"] = part.catalog.card("tasks", part.task).version
        for plan in data:
            left_out = [] if plan.sheet is None else plan.sheet.left_out
            self.notes += [f"data {plan.name}: {text}" for text in left_out]
        scored = {plan.name: eval_id(tests=plan.test_identity, **around) for plan in data}
        on_grid: dict[str, list[Combination]] = {}
        for plan in data:
            fixes = plan.train.fixes
            grid = canonical(fixes)
            if grid not in on_grid:
                on_grid[grid] = [item for choice in study.models for item in combinations_of(part, choice, fixes)]
            self._trained(part, plan, on_grid[grid], scored[plan.name])
        for plan in data:
            rows = taught_rows(part, plan, self.repeats, scored[plan.name])
            self._taught(rows.cells)
            self.skipped += [row for row in rows.skipped if _matches(row.labels, self.wanted)]
            self.pending += [one for one in rows.pending if one.students[0] in self.cells]
        # References follow the filters that they have a label for.
        shown: dict[str, list[str]] = {label: self.wanted[label] for label in ("task", "data") if label in self.wanted}
        for plan in data:
            if _matches({"task": part.task, "data": plan.name}, shown):
                references, lost = references_of(part, plan, scored[plan.name])
                self.references += references
                self.lost += lost

    def _trained(self, part: Loaded, plan: DataPlan, items: Sequence[Combination], scored: str) -> None:
        self.there["data"][plan.name] = None
        for item in items:
            self.there["model"][item.model.name] = None
            self.there["loss"][item.loss.name] = None
            for repeat in range(self.repeats):
                cell = cell_of(part, plan, item, repeat, scored)
                if not _matches(cell.labels, self.wanted):
                    continue
                if item.refusal is not None:
                    self.skipped.append(skipped_of(cell, item.refusal))
                elif cell.cell_id in self.cells:
                    self.notes.append(_twice(self.cells[cell.cell_id], cell))
                else:
                    self.cells[cell.cell_id] = cell

    def _taught(self, added: Sequence[Cell]) -> None:
        """Add cells of the block `distill` that are kept, and the teachers of these."""
        kept = {cell.cell_id for cell in added if _matches(cell.labels, self.wanted)}
        kept |= {need for cell in added if cell.cell_id in kept for need in cell.needs}
        for cell in added:
            if cell.cell_id in kept:
                self.cells.setdefault(cell.cell_id, cell)


def plan_hash(plan: Plan) -> str:
    """Identity of a plan: its rows and how they are scored, whatever their order."""
    return short_hash(
        {
            "study": plan.study,
            "cells": sorted([cell.cell_id, cell.eval_id] for cell in plan.cells),
            "references": sorted([row.reference_id, row.eval_id] for row in plan.references),
            "skipped": sorted(short_hash(row.model_dump(mode="json")) for row in plan.skipped),
        }
    )


def _resolved(entry: DataEntry, catalog: Catalog) -> DataPlan:
    """What is really drawn or read: absent val and test are cut from the files of train, or drawn anew like it."""
    whole = entry.train.measured()
    cuts = whole.cuts(val=entry.val is not None, test=bool(entry.test))
    train = cuts.get("train", whole)
    val = (cuts.get("val", train) if entry.val is None else entry.val.measured()).sized("val")
    given: Mapping[str, Description] = entry.test or {"test": cuts.get("test", train)}
    tests = {name: source.measured().sized("test") for name, source in given.items()}
    trained = {"train": train.identity(catalog), "val": val.identity(catalog)}
    tested = {name: source.identity(catalog) for name, source in tests.items()}
    content: dict[str, Any] = {"train": train, "val": val, "tests": tests}
    return DataPlan(
        name=entry.name,
        apply=entry.apply,
        arm=entry.arm or "",
        sheet=entry.robustness,
        train_identity=trained,
        test_identity=tested,
        **content,
    )


def _twice(first: Cell, again: Cell) -> str:
    """Say that a combination is named twice; one training cannot be scored on different conditions."""
    one, other = first.data.name, again.data.name
    if first.eval_id != again.eval_id:
        raise ConfigError(f"data: '{other}' trains on what '{one}' trains on; put its test conditions under '{one}'")
    if one != other:
        return f"data '{other}' is the same as '{one}'; its rows are made once, under '{one}'"
    labels = again.labels
    named = f"model {labels['model']} with loss {labels['loss']}, lambda {labels['lambda']}"
    return f"{named} stands twice in the study; it is trained once"


def _filters(only: Sequence[str]) -> dict[str, list[str]]:
    wanted: dict[str, list[str]] = {}
    for text in only:
        label, equals, pattern = text.partition("=")
        if not equals or not pattern:
            raise ConfigError(f"--only {text}: not LABEL=PATTERN; write for example --only 'model=fid*'")
        if label not in LABELS:
            raise ConfigError(f"--only {text}: unknown label '{label}', {suggest(label, LABELS)}")
        wanted.setdefault(label, []).append(pattern)
    return wanted


def _matches(labels: dict[str, str], wanted: dict[str, list[str]]) -> bool:
    return all(any(fnmatchcase(labels[label], pattern) for pattern in patterns) for label, patterns in wanted.items())
