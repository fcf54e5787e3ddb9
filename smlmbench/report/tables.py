"""The tables of the page as plain text in cells; the templates escape and dress them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from smlmbench.report.model import LATENCY, PAIR, Board, Entry, Estimate, Row
from smlmbench.report.rows import canonical
from smlmbench.report.words import decimals, interval, milliseconds, number, title

# With more conditions than this (a sweep) the board shows only the primary metric of each.
MANY_CONDITIONS = 4
GIVES = {"both": "table and image"}
CONTROLS = {"longer": "control: a longer training", "random_teacher": "control: an untrained teacher"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its text, a second line, a tooltip, a run it links to, and how it looks.

    Attributes:
        text: What is written.
        small: Second line, in small print.
        hint: Tooltip, such as the reason why a number is absent.
        run_id: A run to link to, or empty.
        flags: Warnings in words.
        look: CSS classes.
        sort: Value to sort by, empty to sort by the text.
    """

    text: str
    small: str = ""
    hint: str = ""
    run_id: str = ""
    flags: tuple[str, ...] = ()
    look: str = ""
    sort: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A heading with its explanation; `numeric` columns are aligned right, `wraps` ones may break their lines."""

    title: str
    hint: str = ""
    numeric: bool = True
    wraps: bool = False

    @property
    def align(self) -> str:
        """Column letter of LaTeX."""
        return "r" if self.numeric else "l"


@dataclass
class Table:
    """Groups of columns (title and width), columns, rows of cells with the classes of each row."""

    caption: str
    groups: list[tuple[str, int]] = field(default_factory=list)
    columns: list[Column] = field(default_factory=list)
    rows: list[tuple[str, list[Cell]]] = field(default_factory=list)


def board_table(board: Board, measured: Mapping[str, Any]) -> Table:
    """The ranked table: picks and references in one order, a group of columns for each condition."""
    layout = _layout(board)
    metrics = [(where, name) for _, where, names in layout for name in names]
    table = Table(caption=f"Leaderboard of {board.data}")
    table.groups = [("", 5), *((group, len(names)) for group, _, names in layout), ("Cost", 4), ("", 1)]
    table.columns = [
        Column("Rank", "1= marks a tie with the first place; references are not ranked"),
        Column("Row", "pick of each model, chosen on validation; references need no training", numeric=False),
        Column("Loss and λ", numeric=False),
        Column("Against the first", f"paired difference in {board.primary} with its interval"),
        Column("Latency (ms)", "median per frame, batch 1; ● marks the Pareto front of the picks"),
        *(_metric_column(name, measured) for _, name in metrics),
        Column("Parameters"),
        Column("Trials", "combinations of loss, λ and settings from which this one was picked on validation"),
        Column("Samples", "training samples seen by one repeat"),
        Column("Device (s)", "seconds of training of one repeat"),
        Column("Knows", "what the row was told beyond the images", numeric=False, wraps=True),
    ]
    places = {key: decimals(entry.get(*key).value for entry in board.entries) for key in metrics}
    for entry in board.entries:
        cells = [*_identity(board, entry), _latency(entry)]
        cells += [_estimate_cell(board, entry, where, name, places[where, name]) for where, name in metrics]
        look = "reference" if entry.is_reference else "best" if entry.best else "pick"
        table.rows.append((look, cells + _cost(entry)))
    return table


def _latency(entry: Entry) -> Cell:
    ms = entry.mean_of(LATENCY)
    return Cell(milliseconds(ms) + (" ●" if entry.on_front else ""), sort="" if ms is None else f"{ms}")


def _metric_column(name: str, measured: Mapping[str, Any]) -> Column:
    facts = measured.get(name, {})
    return Column(title(name, facts), str(facts.get("help", "")))


def _layout(board: Board) -> list[tuple[str, str | None, list[str]]]:
    """Column groups: title, condition (None: mean) and metrics. One condition shows all, a sweep little."""
    if len(board.conditions) == 1:
        return [(_condition_title(board, board.conditions[0]), board.conditions[0], [board.primary, *board.columns])]
    few = [name for name in board.columns if name in ("jaccard", "rmse_nm", "rmse_axial_nm")] or board.columns[:2]
    on_mean = [board.primary, *(name for name in board.columns if name == "false_per_1000um2")]
    groups: list[tuple[str, str | None, list[str]]] = [("Mean of conditions", None, on_mean)]
    for condition in board.conditions:
        names = [board.primary, *([PAIR] if condition in board.paired and PAIR in board.columns else [])]
        shown = names if len(board.conditions) > MANY_CONDITIONS else names + [n for n in few if n not in names]
        groups.append((_condition_title(board, condition), condition, shown))
    return groups


def _condition_title(board: Board, condition: str) -> str:
    density = board.facts.get(condition, {}).get("density_per_um2")
    return f"{condition} · {density:g}/µm²" if isinstance(density, int | float) else condition


def _identity(board: Board, entry: Entry) -> list[Cell]:
    labels = entry.rows[0].labels
    repeats = len(entry.scored_rows)
    if entry.is_reference:
        run = entry.scored_rows[0].run
        gives = entry.rows[0].gives
        small = f"reference, gives {GIVES.get(gives, gives or 'its prediction')}"
        return [
            Cell("–", "ref", sort=""),
            Cell(entry.label, small, run_id=run.run_id if run else ""),
            Cell(""),
            Cell(""),
        ]
    run = entry.scored_rows[0].run
    said = [f"{repeats} repeat{'s' if repeats != 1 else ''}", entry.verdict, entry.rows[0].fidelity]
    small = " · ".join(text for text in said if text)
    return [
        Cell(entry.rank or "–", sort=entry.rank.rstrip("=")),
        Cell(entry.label, small, run_id=run.run_id if run else "", flags=tuple(entry.flags)),
        Cell(labels.get("loss", ""), f"λ = {labels.get('lambda', '')}"),
        _gap_cell(board, entry),
    ]


def _gap_cell(board: Board, entry: Entry) -> Cell:
    gap = entry.gap
    if gap is None or gap.value is None:
        return Cell("first" if entry.rank.startswith("1") else "")
    low, high = (None if end is None else -end for end in (gap.high, gap.low))
    behind = Estimate(-gap.value, low, high)
    places = decimals([10.1 if board.positions else 0.0, behind.value])
    word = {"win": "behind", "tie": "tie", "unknown": "not compared"}[gap.verdict]
    return Cell(number(behind.value, places), f"{interval(behind, places)} {word}".strip(), sort=f"{behind.value}")


def _estimate_cell(board: Board, entry: Entry, where: str | None, metric: str, places: int) -> Cell:
    found = entry.get(where, metric)
    if found.value is None:
        asked = [where] if where is not None else board.conditions
        reasons = [row.why_absent(name, metric) for row in entry.scored_rows for name in asked]
        reason = next((text for text in reasons if text), "not measured")
        return Cell("n/a", hint=f"n/a: {reason}", look="absent")
    headline = metric == board.primary or (metric == PAIR and where in board.paired)
    small = interval(found, places) if metric == board.primary else ""
    repeats = ", ".join(number(value, places) for value in found.by_repeat.values())
    hint = f"repeats: {repeats}" if len(found.by_repeat) > 1 else ""
    look = "headline" if headline else ""
    return Cell(number(found.value, places), small, hint=hint, look=look, sort=f"{found.value}")


def _cost(entry: Entry) -> list[Cell]:
    knows = Cell(", ".join(entry.knows) or ("–" if entry.is_reference else "its training data"))
    if entry.is_reference:
        return [*(Cell("–") for _ in range(4)), knows]
    parameters = entry.mean_param("n_params")
    samples, seconds = entry.mean_param("samples_seen"), entry.mean_param("train_s")
    return [
        Cell(number(parameters, 0), sort=f"{parameters or ''}"),
        Cell(str(entry.trials) if entry.trials else "–"),
        Cell(number(samples, 0), sort=f"{samples or ''}"),
        Cell(number(seconds, 0), sort=f"{seconds or ''}"),
        knows,
    ]


def numbers_table(board: Board, measured: Mapping[str, Any]) -> Table:
    """Every measured number of the picks and references, one line per row and condition."""
    names = [name for name in measured if any(_has(board, entry, name) for entry in board.entries)]
    table = Table(caption=f"All measured numbers on {board.data}, mean over repeats")
    table.columns = [Column("Row", numeric=False), Column("Condition", numeric=False)]
    table.columns += [_metric_column(name, measured) for name in names]
    values = {
        (id(entry), where, name): _over_repeats(entry, where, name)
        for entry in board.entries
        for where in board.conditions
        for name in names
    }
    places = {name: decimals(value for (_, _, n), value in values.items() if n == name) for name in names}
    for entry in board.entries:
        for where in board.conditions:
            cells = [Cell(entry.label), Cell(where)]
            for name in names:
                value = values[id(entry), where, name]
                reasons = [text for row in entry.scored_rows if (text := row.why_absent(where, name))]
                absent = Cell("n/a", hint=f"n/a: {(reasons or ['not measured'])[0]}", look="absent")
                cells.append(absent if value is None else Cell(number(value, places[name]), sort=f"{value}"))
            table.rows.append(("reference" if entry.is_reference else "pick", cells))
    return table


def _has(board: Board, entry: Entry, name: str) -> bool:
    return any(_over_repeats(entry, where, name) is not None for where in board.conditions)


def _over_repeats(entry: Entry, where: str, name: str) -> float | None:
    values = [value for row in entry.scored_rows if (value := row.value(where, name)) is not None]
    return sum(values) / len(values) if values else None


def rows_table(rows: Sequence[Row], boards: Sequence[Board]) -> Table:
    """Every planned cell, reference and skipped combination with its status and reason."""
    picked = {id(row) for board in boards for entry in board.entries if entry.picked for row in entry.rows}
    primaries = {board.data: board.primary for board in boards}
    several = len(set(primaries.values())) > 1
    heading = title(next(iter(primaries.values()), ""))
    scores = [Column(f"{heading}, validation"), Column(f"{heading}, test")]
    if several:
        scores = [Column("Ranked by", numeric=False), Column("Validation"), Column("Test")]
    main = boards[0].protocol if boards else ""
    table = Table(caption="Every planned row")
    table.columns = [
        Column("Status", numeric=False),
        Column("Data", numeric=False),
        Column("Row", numeric=False),
        Column("Loss", numeric=False),
        Column("λ"),
        Column("Repeat"),
        *scores,
        Column("Threshold"),
        Column("Run", numeric=False),
        Column("Remark", numeric=False, wraps=True),
    ]
    numbers = {
        id(row): _primary_numbers(row, primaries.get(row.data, ""))
        for row in rows
        if row.scored and row.protocol == main
    }
    by_data: dict[str, list[float | None]] = {}
    for row in rows:
        by_data.setdefault(row.data, []).extend(numbers.get(id(row), ()))
    places = {data: decimals(values) for data, values in by_data.items()}
    named = {id(row): entry.label for board in boards for entry in board.everything for row in entry.rows}
    for row in rows:
        validation, tested = numbers.get(id(row), (None, None))
        remarks = [CONTROLS.get(row.control, ""), row.reason]
        if row.scored and row.protocol != main:
            remarks.append(f"scored under {row.protocol}, see its own table")
        if id(row) in picked and row.scored:
            remarks.append("pick")
        cells = [Cell(number(v, places[row.data]), sort=f"{v or ''}") for v in (validation, tested)]
        cells = [*([Cell(title(primaries.get(row.data, "")))] if several else []), *cells]
        remark = Cell("; ".join(text for text in remarks if text))
        table.rows.append((row.status, [*_row_labels(row, named.get(id(row))), *cells, *_row_run(row), remark]))
    return table


def _primary_numbers(row: Row, primary: str) -> tuple[float | None, float | None]:
    return row.validation(primary), row.metric(f"test/{primary}")


def _row_labels(row: Row, name: str | None) -> list[Cell]:
    labels = row.labels
    teacher = labels.get("teacher", "none")
    if name is None:
        taught = f" ← {teacher} ({labels.get('method')})" if teacher not in ("", "none") else ""
        name = f"{labels.get('model', '')}{taught}"
    texts = [labels.get(key, "") for key in ("loss", "lambda", "repeat")]
    status = Cell(row.status, look=f"status {row.status}")
    return [status, Cell(row.data), Cell(name, "reference" if row.kind == "reference" else ""), *map(Cell, texts)]


def _row_run(row: Row) -> list[Cell]:
    threshold = row.param("threshold")
    try:
        threshold = f"{float(threshold):.3g}"
    except ValueError:
        threshold = ""
    run_id = row.run.run_id if row.run else ""
    return [Cell(threshold), Cell(run_id[:8] or "–", run_id=run_id)]


def settings_table(boards: Sequence[Board]) -> Table:
    """Model settings, output and training of every combination, without its repeats."""
    table = Table(caption="Settings of every combination")
    names = ("Data", "Row", "Loss and λ", "Model settings", "Loss settings", "Output", "Training")
    table.columns = [Column(name, numeric=False, wraps=name not in ("Data", "Row")) for name in names] + [
        Column("Identity of repeat 0", numeric=False)
    ]
    for board in boards:
        for entry in board.everything:
            row = entry.rows[0]
            loss = "" if entry.is_reference else f"{row.labels.get('loss', '')}, λ = {row.labels.get('lambda', '')}"
            blocks = [_pairs(block) for block in (row.settings, row.loss, row.output, row.training)]
            cells = [
                Cell(board.data),
                Cell(entry.label),
                Cell(loss),
                *(Cell(text) for text in blocks),
                Cell(row.row_id),
            ]
            table.rows.append(("reference" if entry.is_reference else "pick" if entry.picked else "other", cells))
    return table


def _pairs(block: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {value if isinstance(value, str) else canonical(value)}" for key, value in block.items())
