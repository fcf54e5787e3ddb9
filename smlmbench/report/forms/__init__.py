"""The numbers of a report in the forms that programs, spreadsheets and papers read."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from smlmbench.report.boards.frame import harmless
from smlmbench.report.forms.latex import spelled_out

SCHEMA = Path(__file__).parent / "leaderboard.schema.json"
# Raised when a program that reads leaderboard.json has to change.
FORMAT = 1
ROW = ["task", "data", "protocol", "label", "model", "loss", "lambda", "method", "teacher", "control", "kind", "status",
       "repeats", "picked", "rank"]  # fmt: skip
NUMBERS = ["study", *ROW, "condition", "metric", "value", "low", "high", "reason", "unit", "direction"]


def written(
    plan: Mapping[str, Any], frame: pd.DataFrame, findings: Mapping[str, Sequence[str]], tables: Sequence[str]
) -> dict[str, str]:
    """Texts of numbers.csv, leaderboard.json, its schema and leaderboard.tex, by their keys in `report.files.KINDS`.

    Args:
        plan: Of the study.
        frame: Its numbers, as `boards.frame.lines` gives them.
        findings: What was found on each data entry, in sentences.
        tables: The boards as LaTeX.
    """
    held = json.loads(frame.to_json(orient="split", index=False))
    study = str(plan.get("study", "study"))
    document = {"$schema": SCHEMA.name, "format": FORMAT, "study": study, "findings": findings, "lines": held}
    return {
        "numbers": numbers_text(plan, frame),
        "json": json.dumps(document, ensure_ascii=False),
        "schema": SCHEMA.read_text(encoding="utf-8"),
        "tex": "\n".join(["% Needs the packages booktabs and graphicx.", *map(spelled_out, tables)]),
    }


def numbers_text(plan: Mapping[str, Any], frame: pd.DataFrame) -> str:
    """numbers.csv: one line for each number of each row, columns `NUMBERS`; of a row without any, one with the reason.

    An empty condition is the mean over conditions, or a number that belongs to none. Text that a spreadsheet would run
    as a formula begins with an apostrophe.
    """
    of = {data: str(facts["study"]) for data, facts in plan.get("data", {}).items() if "study" in facts}
    study = str(plan.get("study", "study"))
    told = frame.assign(study=[of.get(data, study) for data in frame["data"]])
    told["picked"] = told["picked"].map({True: "yes", False: "no"})
    return told[NUMBERS].map(harmless).to_csv(index=False, lineterminator="\n")
