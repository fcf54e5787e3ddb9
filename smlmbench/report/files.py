"""The files of a report, and what they were made of: a report whose runs and code are the same is not built again."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smlmbench.tracking.parents import ROLE
from smlmbench.tracking.records import RunRecord, StudyRecord
from smlmbench.tracking.tags import PARENT

# Where `smlmbench ui` answers unless told otherwise; only links lead there, nothing is loaded from it.
UI_URL = "http://127.0.0.1:5000"
MADE_OF = "made_of.json"
KINDS = {kind: f"leaderboard.{kind}" for kind in ("html", "csv", "json", "md", "tex")}
KINDS |= {"numbers": "numbers.csv", "schema": "leaderboard.schema.json"}
PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """Paths of what was written, and the finding of each data entry in words."""

    html: Path
    csv: Path
    json: Path
    md: Path
    tex: Path
    numbers: Path
    schema: Path
    answers: Mapping[str, Sequence[str]]


def fingerprint(record: StudyRecord, ui_url: str) -> str:
    """Digest of all that a report shows: plan, runs, links; and of the code that shows it, plug-ins too."""
    runs = [
        [run.run_id, run.status, run.reason, run.end_s, dict(run.params), dict(run.metrics), _own_tags(run)]
        for run in record.runs
        if run.role not in ("study", ROLE)
    ]
    code = [[path.name, found.st_size, found.st_mtime_ns] for path in _code(record.plan) for found in [path.stat()]]
    shown = [record.plan, record.study_text, record.experiment_id, runs, ui_url, code]
    return hashlib.sha256(json.dumps(shown, default=str, sort_keys=True).encode()).hexdigest()


def _own_tags(run: RunRecord) -> dict[str, str]:
    return {key: value for key, value in run.tags.items() if key != PARENT}


def _code(plan: Mapping[str, Any]) -> Iterator[Path]:
    suffixes = (".py", ".j2", ".js", ".css", ".json")
    yield from sorted(path for path in PACKAGE.rglob("*") if path.suffix in suffixes)
    for name in plan.get("plugins", ()):
        yield from sorted(path for path in (Path(name), *Path(name).glob("**/*.py")) if path.is_file())


def as_before(folder: Path, made_of: str) -> ReportFiles | None:
    """The files of a folder, where they are as they were written and made of the same."""
    try:
        known = json.loads((folder / MADE_OF).read_text(encoding="utf-8"))
        paths = {kind: folder / name for kind, name in KINDS.items()}
        if known["made_of"] == made_of and known["files"] == _digests(paths):
            return ReportFiles(**paths, answers=known["answers"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def remember(files: ReportFiles, made_of: str) -> None:
    """Write beside a report what it was made of."""
    digests = _digests({kind: getattr(files, kind) for kind in KINDS})
    said = {"made_of": made_of, "answers": files.answers, "files": digests}
    (files.html.parent / MADE_OF).write_text(json.dumps(said, ensure_ascii=False), encoding="utf-8")


def _digests(paths: Mapping[str, Path]) -> dict[str, str]:
    return {kind: hashlib.sha256(path.read_bytes()).hexdigest() for kind, path in paths.items()}
