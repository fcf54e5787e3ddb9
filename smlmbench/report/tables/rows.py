"""Every planned row with its status, and the settings of every combination."""

from collections.abc import Mapping, Sequence
from typing import Any

from smlmbench.report.boards.rows import canonical
from smlmbench.report.model import Board, Entry, Row
from smlmbench.report.row import as_number
from smlmbench.report.tables import Cell, Column, Table, look_of, loss_of, sortable, tabulate
from smlmbench.report.words import decimals, number

CONTROLS = {"longer": "control: a longer training", "random_teacher": "control: an untrained teacher"}


def rows_table(rows: Sequence[Row], boards: Sequence[Board]) -> Table:
    """Every planned cell, reference and skipped combination with its status and reason."""
    of_data = {board.data: board for board in reversed(boards)}
    place = {id(row): entry for board in boards for entry in board.everything for row in entry.rows}
    main = boards[0].protocol if boards else ""
    numbers = {
        id(row): (row.validation(of_data[row.data].primary), row.metric(f"test/{of_data[row.data].primary}"))
        for row in rows
        if row.scored and row.protocol == main
    }
    held: dict[str, list[float | None]] = {}
    for row in rows:
        held.setdefault(row.data, []).extend(numbers.get(id(row), ()))
    places = {data: decimals(values) for data, values in held.items()}

    def score(part: int, row: Row) -> Cell:
        value = numbers.get(id(row), (None, None))[part]
        return sortable(number(value, places[row.data]), value)

    def threshold(row: Row) -> str:
        value = as_number(row.param("threshold"))
        return "" if value is None else f"{value:.3g}"

    def run(row: Row) -> Cell:
        run_id = row.run.run_id if row.run else ""
        return Cell(run_id[:8] or "–", run_id=run_id)

    def remark(row: Row) -> str:
        entry = place.get(id(row))
        other = f"scored under {row.protocol}, see its own table" if row.scored and row.protocol != main else ""
        pick = "pick" if entry is not None and entry.picked and row.scored else ""
        return "; ".join(filter(None, (CONTROLS.get(row.control, ""), row.reason, other, pick)))

    titles = {data: board.heading for data, board in of_data.items()}
    several = len(set(titles.values())) > 1
    heading = "" if several else next(iter(titles.values()), "")
    ranked = [Column("Ranked by", lambda row: titles.get(row.data, ""), numeric=False)] if several else []
    columns = [
        Column("Status", lambda row: Cell(row.status, look=f"status {row.status}"), numeric=False, choose="Status"),
        *([Column("Task", lambda row: of_data[row.data].asked.name if row.data in of_data else "", numeric=False,
                  choose="Task")] if len({board.asked.name for board in boards}) > 1 else []),
        Column("Data", lambda row: row.data, numeric=False, choose="Data"),
        Column("Row", lambda row: _name(row, place.get(id(row))), numeric=False, choose="Model"),
        Column("Loss", lambda row: row.labels.get("loss", ""), numeric=False, choose="Loss"),
        Column("λ", lambda row: row.labels.get("lambda", ""), choose="λ"),
        Column("Repeat", lambda row: row.labels.get("repeat", "")),
        *ranked,
        Column("Validation" if several else f"{heading}, validation", lambda row: score(0, row)),
        Column("Test" if several else f"{heading}, test", lambda row: score(1, row)),
        Column("Threshold", threshold),
        Column("Device", lambda row: row.param("infer_device") or row.param("reference.device"), numeric=False,
               choose="Device"),
        Column("Run", run, numeric=False),
        Column("Remark", remark, numeric=False, wraps=True),
    ]  # fmt: skip
    return tabulate("Every planned row", columns, rows, lambda row: str(row.status))


def _name(row: Row, entry: Entry | None) -> Cell:
    labels, teacher = row.labels, row.labels.get("teacher", "none")
    taught = f" ← {teacher} ({labels.get('method')})" if teacher not in ("", "none") else ""
    name = entry.label if entry is not None else f"{labels.get('model', '')}{taught}"
    return Cell(name, "reference" if row.kind == "reference" else "")


def settings_table(boards: Sequence[Board]) -> Table:
    """Model settings, output and training of every combination, without its repeats."""

    def block(name: str, title: str) -> Column:
        return Column(title, lambda item: _pairs(getattr(item[1].rows[0], name)), numeric=False, wraps=True)

    columns = [
        Column("Data", lambda item: item[0].data, numeric=False),
        Column("Row", lambda item: item[1].label, numeric=False),
        Column("Loss and λ", lambda item: loss_of(item[1]), numeric=False, wraps=True),
        block("settings", "Model settings"),
        block("loss", "Loss settings"),
        block("output", "Output"),
        block("training", "Training"),
        Column("Identity of repeat 0", lambda item: item[1].rows[0].row_id, numeric=False),
    ]
    items = [(board, entry) for board in boards for entry in board.everything]
    return tabulate("Settings of every combination", columns, items, lambda item: look_of(item[1]))


def _pairs(block: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {value if isinstance(value, str) else canonical(value)}" for key, value in block.items())
