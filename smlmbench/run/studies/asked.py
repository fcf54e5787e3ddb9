"""What a command over a study asks for and leaves behind, and whether an earlier one has left just that.

A command that has left nothing to do notes a digest of its plan, options, code, of this machine and of all runs on its
own run. While the same command finds the same, there is nothing to do, and it needs neither torch nor data to know.
"""

import hashlib
import json
import platform
import sysconfig
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smlmbench.report.files import UI_URL, as_before, fingerprint
from smlmbench.run.slots import INLINE, Slots
from smlmbench.study.cells import Plan
from smlmbench.tracking.records import StudyRecord, list_studies, read_study
from smlmbench.tracking.runs import Run
from smlmbench.tracking.store import Store

ENDED = ("done", "failed", "collapsed", "skipped")
BAD = ("failed", "collapsed")
COMPLETE = "smlmbench.complete"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line adds to a study."""

    device: str = "auto"  # auto, cpu, cuda or mps for training, and for scoring where `infer_device` is None
    retry_failed: bool = False  # repeat failed and collapsed cells
    max_hours: float | None = None  # start no new cell after this time
    infer_device: str | None = None  # the same names, for scoring and predicting after training
    slots: Slots = INLINE
    system_metrics: bool = False  # MLflow's, beside each run


def options_of(
    workers: int | None = None, scheduler: str | None = None, cluster: Path | None = None, **others: Any
) -> Options:
    """Options from flat names, as the command line and the Python interface have them."""
    return Options(slots=Slots(workers, scheduler, cluster), **others)


@dataclass(frozen=True, slots=True)
class Finished:
    """What a run of a study left behind.

    Attributes:
        statuses: Number of planned cells by status.
        report: The leaderboard page.
        unfinished: Cells that are neither done nor ended with a reason.
        failed_references: Names of references that could not be scored.
    """

    statuses: dict[str, int]
    report: Path
    unfinished: int
    failed_references: list[str]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a command asks for."""

    text: str  # the study's file
    plan: Plan  # before controls have their length
    whole: Plan | None  # where `plan` is filtered
    options: Options

    def digest(self, made_of: str) -> str:
        """What identifies it together with the fingerprint of all that is in the store."""
        packages = Path(sysconfig.get_path("purelib")).stat().st_mtime_ns  # a runtime may have come
        own = [platform.node(), platform.processor(), str(packages), str(self.options), self.text]
        plans = [plan.model_dump_json() for plan in (self.plan, self.whole) if plan is not None]
        return hashlib.sha256("\n".join([made_of, *own, *plans]).encode()).hexdigest()


def note(asked: Asked, found: Finished, record: StudyRecord, run: Run) -> None:
    """Note on the command's own run that nothing was left, if so."""
    if not (found.unfinished or found.failed_references or set(found.statuses) & set(BAD)):
        run.set_tags(
            {COMPLETE: json.dumps({"digest": asked.digest(fingerprint(record, UI_URL)), "statuses": found.statuses})}
        )


def done_before(asked: Asked, store: Store) -> tuple[Finished, list[str]] | None:
    """What an earlier command left, and its warnings, where this one would change nothing; None where it may."""
    if asked.plan.study not in list_studies(store):
        return None
    record = read_study(store, asked.plan.study)
    notes = [json.loads(run.tags[COMPLETE]) for run in record.runs if run.role == "study" and COMPLETE in run.tags]
    if not notes:
        return None
    made_of = fingerprint(record, UI_URL)
    files, digest = as_before(store.report_dir(record.study), made_of), asked.digest(made_of)
    known = next((each["statuses"] for each in notes if each["digest"] == digest), None)
    if files is None or known is None:
        return None
    return Finished(known, files.html, 0, []), list(record.plan.get("warnings", ()))


def finished(plan: Plan, record: StudyRecord, report: Path) -> Finished:
    """How the rows of a plan stand."""
    known = statuses(plan, record)
    counts = Counter([*known.values(), *("skipped" for _ in plan.skipped)])
    failing = {row.cell_id for row in record.rows("reference") if row.status == "failed"}
    failed = [row.reference.name for row in plan.references if row.reference_id in failing]
    return Finished(dict(counts), report, unfinished(known), failed)


def unfinished(known: Mapping[str, str]) -> int:
    """How many cells are left."""
    return sum(status not in ENDED for status in known.values())


def statuses(plan: Plan, record: StudyRecord) -> dict[str, str]:
    """Status by cell_id: that of the newest run that counts, `planned` where there is none.

    A student that was not begun and whose teacher ended badly is `skipped`.
    """
    found = {cell.cell_id: "planned" for cell in plan.cells}
    newest_last = reversed(record.rows("cell"))
    found |= {row.cell_id: row.status for row in newest_last if row.cell_id in found}
    for cell in plan.cells:
        if found[cell.cell_id] == "planned" and any(found.get(need) in BAD for need in cell.needs):
            found[cell.cell_id] = "skipped"
    return found
