"""Other forms of a report: one line per number, JSON that its schema describes, LaTeX that compiles."""

import csv
import json
import re
import shutil
import subprocess

import jsonschema
import pandas as pd
import pytest
from report_record import BOTH, Builder

from smlmbench.report.forms import SCHEMA
from smlmbench.report.forms.latex import spelled_out
from smlmbench.report.leaderboard import leaderboard_frame
from smlmbench.report.page import build_report

ODD = r"n_e#t & \alpha {x} $y$ ~^ \"q\" λ µm² %"


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    builder = Builder(tmp_path_factory.mktemp("runs"), BOTH)
    builder.trained("good", [0.9, 0.8, 0.85], ms=2.0, conditions=("low", "high"))
    builder.trained("fair_100%", [0.5, 0.4, 0.45], ms=1.0, conditions=("low", "high"))
    empty = {name: {"efficiency": 0.0} for name in BOTH}
    builder.done(builder.reference("blank"), empty, role="reference", reasons={"rmse_nm": "nothing was found"})
    builder.plan["skipped"].append({"reason": "=too large", "labels": {"data": "sim", "model": "-huge λ"}})
    return builder.record


@pytest.fixture(scope="module")
def made(record, tmp_path_factory):
    return build_report(record, tmp_path_factory.mktemp("report"))


def test_numbers_are_one_a_line_and_those_of_the_frame(record, made):
    with made.numbers.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    frame = leaderboard_frame(record)
    assert len(found) == len(frame)
    assert {row["study"] for row in found} == {"demo"}
    (one,) = [r for r in found if (r["label"], r["condition"], r["metric"]) == ("good", "high", "efficiency")]
    (same,) = frame.query("label == 'good' and condition == 'high' and metric == 'efficiency'").to_dict("records")
    assert [float(one[name]) for name in ("value", "low", "high")] == pytest.approx(
        [same[name] for name in ("value", "low", "high")]
    )
    assert one["picked"] == "yes"
    (absent,) = [r for r in found if r["metric"] == "rmse_nm" and r["condition"] == "low"]
    assert (absent["value"], absent["reason"], absent["unit"]) == ("", "nothing was found", "nm")
    (skipped,) = [r for r in found if r["kind"] == "skipped"]
    assert (skipped["label"], skipped["reason"], skipped["metric"]) == ("'-huge λ", "'=too large", "")


def test_the_json_is_what_its_schema_says(record, made):
    schema = json.loads(made.schema.read_text(encoding="utf-8"))
    assert schema == json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    valid = jsonschema.Draft202012Validator(schema)
    document = json.loads(made.json.read_text(encoding="utf-8"))
    assert list(map(str, valid.iter_errors(document))) == []
    assert pd.DataFrame(**document["lines"])["value"].count() == leaderboard_frame(record)["value"].count() > 0
    place = document["lines"]["columns"].index("value")
    for broken in ("eighty", True):
        document["lines"]["data"][0][place] = broken
        assert [error.json_path for error in valid.iter_errors(document)] == [f"$.lines.data[0][{place}]"]


def test_the_table_has_the_form_of_booktabs(made):
    text = made.tex.read_text(encoding="utf-8")
    assert text.isascii()
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert text.count(rule) == 1
    (columns,) = re.findall(r"\\begin\{tabular\}\{([lr]+)\}", text)
    body = text[text.index(r"\toprule") + len(r"\toprule") : text.index(r"\bottomrule")].replace(r"\midrule", "")
    rows = [row for row in body.split(r"\\") if row.strip()]
    assert len(rows) == 4
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(columns) - 1}
    bare = re.sub(r"\\[a-z]+(\[\w+\])?|\\[%$#_&{}]", "", text.replace("% Needs", "Needs").replace("{%\n", "{"))
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert "%" not in bare


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here, so that LaTeX is not compiled")
@pytest.mark.parametrize("conditions", [2, 12])
def test_the_tables_compile_and_fit_the_page(conditions, tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    named = {f"a_condition_of_a_long_name-{k}": BOTH["low"] for k in range(conditions)}
    builder = Builder(folder, named, study=ODD, warnings=[ODD])
    builder.trained("good_100%", [0.9, 0.8, 0.85], ms=2.0, conditions=named)
    builder.trained(ODD, [0.5, 0.4, 0.45], ms=1.0, conditions=named)
    text = build_report(builder.record, tmp_path / "out").tex.read_text(encoding="utf-8")
    packages = "\n".join(f"\\usepackage{{{name}}}" for name in ("booktabs", "graphicx"))
    whole = f"\\documentclass{{article}}\n{packages}\n\\begin{{document}}\n{text}\n\\end{{document}}\n"
    (tmp_path / "paper.tex").write_text(whole, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, said[-2000:]
    assert "Overfull" not in said
    assert (tmp_path / "paper.pdf").stat().st_size > 1000


def test_no_character_is_left_that_latex_does_not_know():
    assert spelled_out("3 × µm² – é σ") == r"3 $\times$ $\mu$m$^2$ -- e $\sigma$"
    assert spelled_out("漢") == "[U+6F22]"
