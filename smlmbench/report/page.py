"""Build the report of a study: one self-contained page, and its numbers as CSV, JSON, Markdown and LaTeX."""

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from smlmbench.report.access import Access
from smlmbench.report.applied import movie_sections
from smlmbench.report.boards.frame import csv_text, lines, of
from smlmbench.report.boards.planned import Planned
from smlmbench.report.boards.rows import canonical, outside_plan
from smlmbench.report.details import PICTURES_BYTES, details, gallery
from smlmbench.report.drawings import Drawing, drawings, embedded, stored_along
from smlmbench.report.files import KINDS, ReportFiles
from smlmbench.report.forms import written
from smlmbench.report.latency import latency_drawings
from smlmbench.report.leaderboard import boards_of
from smlmbench.report.model import Asked, Board, History, Record, Row
from smlmbench.report.questions import questions
from smlmbench.report.searches import search_sections, searches_of, tried_cells
from smlmbench.report.standings import profile_drawing, rank_drawing, settings_drawing
from smlmbench.report.studies.choosing import Chosen
from smlmbench.report.tables.board import MANY_CONDITIONS, board_table, listing_table, numbers_table
from smlmbench.report.tables.contrasts import contrast_table
from smlmbench.report.tables.distillation import distillation_table, findings
from smlmbench.report.tables.formats import formats_table
from smlmbench.report.tables.rows import rows_table, settings_table
from smlmbench.report.tables.timings import device_table
from smlmbench.report.words import answer
from smlmbench.tasks.contracts.sections import Told

TEMPLATES = Path(__file__).parent / "templates"
# Rank, row, loss, difference and latency stand first in a leaderboard.
IDENTITY = 5
STATUS_ORDER = ("done", "running", "interrupted", "planned", "pruned", "failed", "collapsed", "skipped")
CHOSEN = (
    "Loss, λ, threshold and settings were chosen on validation. Only that pick of each model competes for best, ties "
    "and the Pareto front; every other row stands in the table of all rows, unranked. λ is stated for targets of unit "
    "mass.",
    "Intervals are 95 %: the frames' part from a bootstrap within each repeat, the repeats' part from a t-interval. "
    "Differences are paired over (repeat, block of frames); a win needs an interval that excludes 0 and the same sign "
    "in every repeat, everything else is a tie. What a board calls best, behind or a tie counts that all pairs of its "
    "ranked rows were compared (Holm: of boards whose rows are equal, at most 5 % call one behind); where a pair alone "
    "would say otherwise, that stands beside it.",
)
FITS = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}"
LATENCIES = "Latency is the median time of one frame (batch 1) on the first device, runtime and size of the study."
MARKDOWN = str.maketrans({c: f"\\{c}" for c in "\\`*[]|"} | {"<": "&lt;", ">": "&gt;", "\n": " ", "\r": " "})
LATEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\n": " "}
    | {"−": "$-$", "λ": r"$\lambda$", "ρ": r"$\rho$", "µ": r"$\mu$", "²": "$^2$"}
    | {"●": r"$\bullet$", "←": r"$\leftarrow$"}
)


def build_report(
    record: Record, output_dir: Path, *, history: History | None = None, access: Access | None = None
) -> ReportFiles:
    """Write leaderboard.html, .csv, .json, .md and .tex, and numbers.csv, from what the store says.

    Args:
        record: The study's plan and runs.
        output_dir: Made where absent; files of an earlier report are replaced.
        history: All values of a run's metric, for the validation curves; without it there are none.
        access: How the store is named in commands and where its MLflow answers; None: ./mlruns.

    Raises:
        StoreError: The study has no plan.
    """
    rows, boards = boards_of(record)
    for board in boards:
        board.answer = answer(board)
    context = _context(record, rows, boards, history, access or Access())
    answers = {board.data: board.answer for board in reversed(boards)}
    tables = [_latex(part) for part in context["parts"] if part["leaderboard"]]
    texts = {suffix: _rendered(suffix, context) for suffix in ("html", "md")} | {"csv": csv_text(rows, boards)}
    texts |= written(record.plan, lines(boards, rows), answers, tables)
    output_dir.mkdir(parents=True, exist_ok=True)
    paths = {kind: output_dir / KINDS[kind] for kind in texts}
    for kind, text in texts.items():
        paths[kind].write_text(text, encoding="utf-8", newline="" if paths[kind].suffix == ".csv" else "\n")
    return ReportFiles(**paths, answers=answers)


def _rendered(suffix: str, context: Mapping[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    rules: dict[str, Any] = {"undefined": StrictUndefined, "keep_trailing_newline": True}
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=select_autoescape(enabled_extensions=("html.j2",)), **rules
    )
    environment.filters["md"] = lambda value: str(value).translate(MARKDOWN)
    return environment.get_template(f"leaderboard.{suffix}.j2").render(context)


def _latex(part: Mapping[str, Any]) -> str:
    """A leaderboard that fits a printed page: identity, latency and the primary metric, of few conditions each."""
    table, board = part["leaderboard"], part["board"]
    primary = [i for i, one in enumerate(table.columns) if i >= IDENTITY and one.title == board.heading]
    narrow = [*range(IDENTITY), *(primary[:1] if len(primary) > MANY_CONDITIONS else primary)]
    frame = pd.DataFrame(
        [[f"{cells[i].text} {cells[i].small if i > 1 else ''}".strip() for i in narrow] for _, cells in table.rows],
        columns=[table.flat_titles[i].translate(LATEX) for i in narrow],
    )
    style = frame.map(lambda text: text.translate(LATEX)).style.hide(axis="index")
    aligned = "".join("r" if table.columns[i].numeric else "l" for i in narrow)
    said = " ".join(board.answer).translate(LATEX)
    text = str(style.to_latex(hrules=True, column_format=aligned, caption=said, position_float="centering"))
    return text.replace(r"\begin{tabular}", FITS + "{%\n\\begin{tabular}").replace(r"\end{tabular}", r"\end{tabular}}")


def _context(
    record: Record, rows: Sequence[Row], boards: Sequence[Board], history: History | None, access: Access
) -> dict[str, Any]:
    """What the templates name."""
    from markupsafe import Markup

    plan = record.plan
    planned = Planned(plan)
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    asked = [board.asked for board in boards] or [planned.asked("")]
    explained = {name: text for board in boards for name, text in board.section.protocols.items()}
    protocols = list(dict.fromkeys(board.protocol for board in boards if board.protocol))
    counts = Counter(row.status for row in rows)
    parts = _parts(boards, history, _across(plan, boards), plan)
    names = dict.fromkeys(one.name for one in asked)
    said = [(board.asked.name, text) for board in boards for text in board.section.reading]
    # With one task the page needs no headings of tasks, and what to know of it stands with the rest at the end.
    several = len({board.asked.name for board in boards}) > 1
    columns = {name: facts for one in asked for name, facts in one.measured.items()}
    return {
        "study": str(plan.get("study", "study")),
        "task": ", ".join(names),
        "rankings": _rankings(asked, boards),
        "protocols": protocols,
        "protocol_texts": [(name, text) for name in protocols if (text := explained.get(name.partition(" ")[0]))],
        "counts": [(name, counts.pop(name)) for name in STATUS_ORDER if name in counts] + list(counts.items()),
        "boards": boards,
        "parts": parts,
        "tasks": [
            (name if several else "", list(dict.fromkeys(text for of, text in said if of == name and several)), of_task)
            for name in names
            if (of_task := [part for part in parts if part["board"].asked.name == name])
        ],
        "questions": questions(boards, rows, access),
        "reading": [*CHOSEN, *dict.fromkeys(text for _, text in said if not several), LATENCIES],
        "warnings": [str(text) for text in plan.get("warnings", [])],
        "all_rows": rows_table(rows, boards),
        "settings": settings_table(boards),
        "searches": search_sections(boards, searches_of(record), planned),
        "references": _references(planned),
        "columns": [(name, {"help": "", "unit": "", "direction": "", **facts}) for name, facts in columns.items()],
        "provenance": _provenance(record),
        "outside": outside_plan(record, tried_cells(record)),
        "study_text": record.study_text,
        "experiments": {run.run_id: run.experiment_id for run in record.runs},
        "ui_url": access.url,
        "ui": "" if access.server else access.ui,
        "charts": _charts(record, boards, access),
        # The script is a file of this package without any data in it, so it is the one thing that is not escaped.
        "script": Markup(script),  # noqa: S704
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }


def _charts(record: Record, boards: Sequence[Board], access: Access) -> list[tuple[str, str]]:
    """What leads to the charts of a study, or of each of several; nothing where no server is known."""
    several = record.parts if isinstance(record, Chosen) else ()
    viewed = any(entry.scored_rows for board in boards for entry in board.everything)
    found = [(f" of {part.study}" if several else "", part.experiment_id) for part in several or (record,)]
    return [(name, url) for name, number in found if (url := access.charts(number, viewed=viewed))]


def _rankings(asked: Sequence[Asked], boards: Sequence[Board]) -> list[tuple[str, str, str]]:
    """Metric, direction and, where data differ in it, the names of the data that it ranks."""
    found: dict[tuple[str, str], dict[str, None]] = {(one.spoken(one.primary), one.direction): {} for one in asked}
    for board in boards:
        found[board.asked.spoken(board.primary), board.direction][board.data] = None
    return [(*key, f" on {', '.join(data)}" if len(found) > 1 else "") for key, data in found.items()]


def _across(plan: Mapping[str, Any], boards: Sequence[Board]) -> dict[int, list[Drawing]]:
    """Figures over all boards of a task and protocol, by the place of their first board."""
    found: dict[int, list[Drawing]] = {}
    sorts = [(board.asked.name, board.protocol or boards[0].protocol) for board in boards]
    for sort in dict.fromkeys(sorts):
        own = [place for place, other in enumerate(sorts) if other == sort]
        task = boards[own[0]].asked.task
        arms = {data: str(facts.get("arm") or "") for data, facts in plan.get("data", {}).items()}
        told = [Told(boards[k].data, arms.get(boards[k].data, ""), of(boards[k]), boards[k].facts) for k in own]
        made = () if task is None else task.across(told)
        found[own[0]] = [embedded(one.caption, one.alt, one.image) for one in made]
        found[own[0]].append(rank_drawing([boards[k] for k in own]))
    return found


def _parts(
    boards: Sequence[Board], history: History | None, across: Mapping[int, list[Drawing]], plan: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Each board with its tables and figures, as the templates name them."""
    usual = {board.asked.name: board.protocol for board in reversed(boards)}  # of the first board of each task
    pictures = [gallery(board, place, PICTURES_BYTES // len(boards)) for place, board in enumerate(boards)]
    return [
        {
            "board": board,
            "id": f"board-{place}",
            "other_protocol": board.protocol not in ("", usual[board.asked.name]),
            "leaderboard": board_table(board, place) if board.entries else None,
            "numbers": numbers_table(board) if board.entries else None,
            "timings": device_table(board),
            "formats": formats_table(board),
            "contrasts": contrast_table(board),
            "listings": [listing_table(one) for one in board.section.listings if one.rows],
            "distillation": distillation_table(board),
            "findings": findings(board),
            "drawings": _figures(board, history, across.get(place, [])),
            "gallery": pictures[place],
            "details": details(board, place, history, [one for _, held in pictures[place] for one in held]),
            "movies": movie_sections(board, plan),
            "conditions": [_facts(name, facts) for name in board.conditions if (facts := board.facts.get(name))],
        }
        for place, board in enumerate(boards)
    ]


def _figures(board: Board, history: History | None, across: Sequence[Drawing]) -> list[Drawing]:
    """Those over all boards, accuracy against latency of the rows, beside it that of every runtime and format.

    The task's own and the mean ranks, last of those over all boards, come last.
    """
    rows, ways = drawings(board, history), latency_drawings(board)
    along = () if board.asked.task is None else board.asked.task.along(stored_along(board))
    own = [embedded(one.caption, one.alt, one.image) for one in (*board.section.drawings, *along)]
    also = filter(None, (profile_drawing(board), settings_drawing(board)))
    return [*across[:-1], *rows[:1], *ways[:1], *rows[1:], *also, *ways[1:], *own, *across[-1:]]


def _facts(name: str, facts: Mapping[str, Any]) -> str:
    return f"{name}: {', '.join(f'{key} {_fact(one)}' for key, one in facts.items())}"


def _fact(value: Any) -> str:
    """A number, a range of a law, or a text."""
    if isinstance(value, Mapping) and {"min", "max"} <= value.keys():
        law = f" ({value['law']})" if "law" in value else ""
        return f"{_fact(value['min'])} to {_fact(value['max'])}{law}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _references(planned: Planned) -> list[dict[str, str]]:
    made: dict[str, dict[str, str]] = {}
    for item in planned.plan.get("references", []):
        name, summary = str(item.get("reference", "")), str(planned.reference(item, "summary") or "").removesuffix(".")
        facts = {"gives": str(item.get("gives", "")), "knows": ", ".join(item.get("knows") or ())}
        made[name] = {"name": name, "summary": summary and f"{summary}.", **facts}
    return list(made.values())


def _provenance(record: Record) -> list[tuple[str, str]]:
    plan = record.plan
    facts = {"command": plan.get("command", ""), "plan": plan.get("plan_hash", "")}
    facts |= {f"version of {name}": str(value) for name, value in plan.get("versions", {}).items()}
    facts |= plan.get("host", {}) | {"MLflow experiment": record.experiment_id}
    said = {name: value if isinstance(value, str) else canonical(value) for name, value in facts.items()}
    return [(name, value) for name, value in said.items() if value]
