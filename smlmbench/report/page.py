"""Build the report of a study: one self-contained page, one CSV, one Markdown and one LaTeX file."""

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smlmbench.errors import StoreError, UnknownNameError
from smlmbench.registry.catalog import Catalog
from smlmbench.report.boards import make_boards
from smlmbench.report.contrasts import contrast_table
from smlmbench.report.csvfile import csv_text
from smlmbench.report.devices import device_table
from smlmbench.report.distillation import distillation_table, findings
from smlmbench.report.drawings import Drawing, drawings
from smlmbench.report.explanations import PROTOCOLS, READING
from smlmbench.report.formats_table import formats_table
from smlmbench.report.latency import latency_drawings
from smlmbench.report.model import Board, History, Record, Row, spoken
from smlmbench.report.rows import canonical, join, outside_plan
from smlmbench.report.searches import count_trials, picked_cells, search_sections, searches_of, tried_cells
from smlmbench.report.tables import Table, board_table, numbers_table, rows_table, settings_table
from smlmbench.report.words import answer, title

TEMPLATES = Path(__file__).parent / "templates"
# Where `smlmbench ui` answers unless told otherwise; only links lead there, nothing is loaded from it.
UI_URL = "http://127.0.0.1:5000"
# Rank, row, loss, difference and latency stand first in a leaderboard.
IDENTITY = 5
STATUS_ORDER = ("done", "running", "interrupted", "planned", "pruned", "failed", "collapsed", "skipped")
MARKDOWN = str.maketrans({c: f"\\{c}" for c in "\\`*[]|"} | {"<": "&lt;", ">": "&gt;", "\n": " ", "\r": " "})
LATEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\n": " "}
    | {
        "−": "$-$",
        "λ": r"$\lambda$",
        "ρ": r"$\rho$",
        "µ": r"$\mu$",
        "²": "$^2$",
        "●": r"$\bullet$",
        "←": r"$\leftarrow$",
    }
)


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """Paths of what was written, and the finding of each data entry in words."""

    html: Path
    csv: Path
    md: Path
    tex: Path
    answers: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Section:
    """One board with its tables and figures."""

    board: Board
    other_protocol: bool
    leaderboard: Table | None
    numbers: Table | None
    timings: Table | None
    formats: Table | None
    contrasts: Table | None
    distillation: Table | None
    findings: Sequence[str]
    drawings: Sequence[Drawing]
    conditions: Sequence[str]

    @property
    def flat_titles(self) -> list[str]:
        """Column headings that carry the name of their group, for tables with one line of headings."""
        if self.leaderboard is None:
            return []
        groups = [name for name, width in self.leaderboard.groups for _ in range(width)]
        plain = ("", "Cost")
        pairs = zip(groups, self.leaderboard.columns, strict=True)
        return [column.title if group in plain else f"{group}: {column.title}" for group, column in pairs]

    @property
    def narrow(self) -> list[int]:
        """Columns that fit a printed page: identity, latency and the primary metric of every group."""
        if self.leaderboard is None:
            return []
        heading = title(self.board.primary)
        return [i for i, column in enumerate(self.leaderboard.columns) if i < IDENTITY or column.title == heading]


def build_report(
    record: Record, output_dir: Path, *, history: History | None = None, ui_url: str = UI_URL
) -> ReportFiles:
    """Write leaderboard.html, .csv, .md and .tex from what the store says.

    Args:
        record: The study's plan and runs.
        output_dir: Folder, made where absent; files of an earlier report are replaced.
        history: All values of a run's metric, for the validation curves; without it there are none.
        ui_url: Address of the MLflow page that run ids link to.

    Raises:
        StoreError: The study has no plan.
    """
    if not record.plan:
        raise StoreError("the study has no plan.json in this store; run it once with `smlmbench run`")
    searches = searches_of(record)
    rows = join(record, picked_cells(record))
    boards = make_boards(record.plan, rows)
    count_trials(boards, searches)
    for board in boards:
        board.answer = answer(board)
    context = _context(record, rows, boards, history) | {"ui_url": ui_url.rstrip("/")}
    context["searches"] = search_sections(boards, searches)
    output_dir.mkdir(parents=True, exist_ok=True)
    paths = {suffix: output_dir / f"leaderboard.{suffix}" for suffix in ("html", "csv", "md", "tex")}
    for suffix in ("html", "md", "tex"):
        paths[suffix].write_text(_rendered(suffix, context), encoding="utf-8", newline="\n")
    text = csv_text(rows, boards, record.plan.get("conditions", {}))
    paths["csv"].write_text(text, encoding="utf-8", newline="")
    return ReportFiles(**paths, answers={board.data: board.answer for board in reversed(boards)})


def _rendered(suffix: str, context: Mapping[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    odd = {
        "block_start_string": "<%",
        "block_end_string": "%>",
        "variable_start_string": "<<",
        "variable_end_string": ">>",
    }
    tex: dict[str, Any] = {**odd, "comment_start_string": "<#", "comment_end_string": "#>"} if suffix == "tex" else {}
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(enabled_extensions=("html.j2",)),
        undefined=StrictUndefined,
        trim_blocks=suffix == "tex",
        keep_trailing_newline=True,
        **tex,
    )
    environment.filters["md"] = lambda value: str(value).translate(MARKDOWN)
    environment.filters["tex"] = lambda value: str(value).translate(LATEX)
    return environment.get_template(f"leaderboard.{suffix}.j2").render(context)


def _context(record: Record, rows: Sequence[Row], boards: Sequence[Board], history: History | None) -> dict[str, Any]:
    from markupsafe import Markup

    plan = record.plan
    measured: Mapping[str, Any] = plan.get("columns", {})
    script = (TEMPLATES / "sort.js").read_text(encoding="utf-8")
    protocols = list(dict.fromkeys(board.protocol for board in boards if board.protocol))
    counts = Counter(row.status for row in rows)
    return {
        "study": str(plan.get("study", "study")),
        "task": str(plan.get("task", "")),
        "rankings": _rankings(plan, boards),
        "protocols": protocols,
        "protocol_texts": [(name, text) for name in protocols if (text := PROTOCOLS.get(name.partition(" ")[0]))],
        "counts": sorted(
            counts.items(), key=lambda item: STATUS_ORDER.index(item[0]) if item[0] in STATUS_ORDER else 99
        ),
        "boards": boards,
        "sections": _sections(boards, measured, history),
        "warnings": [str(text) for text in plan.get("warnings", [])],
        "all_rows": rows_table(rows, boards),
        "settings": settings_table(boards),
        "references": _references(plan),
        "columns": [(name, {"help": "", "unit": "", "direction": "", **facts}) for name, facts in measured.items()],
        "reading": READING,
        "provenance": _provenance(record),
        "outside": outside_plan(record, tried_cells(record)),
        "study_text": record.study_text,
        "experiment_id": record.experiment_id,
        # The script is a file of this package without any data in it, so it is the one thing that is not escaped.
        "script": Markup(script),  # noqa: S704
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }


def _rankings(plan: Mapping[str, Any], boards: Sequence[Board]) -> list[tuple[str, str, str]]:
    """Metric, direction and, where data differ in it, the names of the data that it ranks."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for board in boards:
        found.setdefault((spoken(board.primary), board.direction), {})[board.data] = None
    if not found:
        primary = plan.get("primary", {})
        found = {(spoken(str(primary.get("name", ""))), str(primary.get("direction", "up"))): {}}
    return [(*key, f" on {', '.join(data)}" if len(found) > 1 else "") for key, data in found.items()]


def _sections(boards: Sequence[Board], measured: Mapping[str, Any], history: History | None) -> list[Section]:
    made = []
    seen: set[str] = set()
    for board in boards:
        filled = bool(board.entries)
        made.append(
            Section(
                board=board,
                other_protocol=board.data in seen,
                leaderboard=board_table(board, measured) if filled else None,
                numbers=numbers_table(board, measured) if filled else None,
                timings=device_table(board),
                formats=formats_table(board),
                contrasts=contrast_table(board, measured),
                distillation=distillation_table(board, measured),
                findings=findings(board),
                drawings=_beside(drawings(board, history), latency_drawings(board)),
                conditions=[f"{name}: {_facts(facts)}" for name, facts in board.facts.items() if facts],
            )
        )
        seen.add(board.data)
    return made


def _facts(facts: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in facts.items()
    )


def _references(plan: Mapping[str, Any]) -> list[dict[str, str]]:
    catalog = Catalog()
    made: dict[str, dict[str, str]] = {}
    for item in plan.get("references", []):
        name = str(item.get("reference", ""))
        summary = str(item.get("summary", ""))
        if not summary:
            try:
                summary = catalog.card("references", name).summary
            except UnknownNameError:
                summary = ""
        summary = f"{summary}." if summary and not summary.endswith(".") else summary
        knows = ", ".join(item.get("knows") or ())
        made[name] = {"name": name, "summary": summary, "gives": str(item.get("gives", "")), "knows": knows}
    return list(made.values())


def _provenance(record: Record) -> list[tuple[str, str]]:
    plan = record.plan
    facts = [("command", str(plan.get("command", ""))), ("plan", str(plan.get("plan_hash", "")))]
    facts += [(f"version of {name}", str(value)) for name, value in plan.get("versions", {}).items()]
    host = plan.get("host", {})
    facts += [(name, value if isinstance(value, str) else canonical(value)) for name, value in host.items()]
    return [*((name, value) for name, value in facts if value), ("MLflow experiment", record.experiment_id)]


def _beside(all_rows: Sequence[Drawing], all_ways: Sequence[Drawing]) -> list[Drawing]:
    """Accuracy against latency of the rows, and next to it that of every runtime and number format."""
    return [*all_rows[:1], *all_ways[:1], *all_rows[1:], *all_ways[1:]]
