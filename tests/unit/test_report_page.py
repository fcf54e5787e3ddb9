import base64
import csv
import hashlib
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from report_record import SPARSE, Builder, FakeRecord, full_builder, hostile

from smlmbench.errors import StoreError
from smlmbench.figures import Panels, panel
from smlmbench.report.page import build_report
from smlmbench.tasks.localization import Localization

LOADING = {"src", "srcset", "action", "data", "poster", "background", "formaction"}


class Page(HTMLParser):
    """What a browser would load, run and show."""

    def __init__(self, text):
        super().__init__()
        self.loaded, self.links, self.scripts, self.styles, self.text, self.tags = [], [], [], [], [], []
        self._inside = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag if tag in ("script", "style") else None
        self.loaded += [value for name, value in attrs if name in LOADING]
        self.links += [value for name, value in attrs if name == "href"]
        assert not any(name.startswith("on") for name, _ in attrs)
        assert tag not in ("iframe", "object", "embed", "link", "form", "base")

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        {"script": self.scripts, "style": self.styles}.get(self._inside, self.text).append(data)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A record with a row of every kind and its report; only read."""
    builder = full_builder(tmp_path_factory.mktemp("runs"))
    out = tmp_path_factory.mktemp("out")
    return builder, build_report(builder.record, out, history=lambda run, key: [(100, 40.0), (200, 60.0)])


@pytest.fixture
def files(whole):
    return whole[1]


@pytest.fixture
def builder(tmp_path):
    """A small record for tests that change it."""
    folder = tmp_path / "runs"
    folder.mkdir()
    made = Builder(folder)
    made.trained("net", [0.9, 0.9])
    return made


def page_of(files):
    return Page(files.html.read_text(encoding="utf-8"))


def test_the_page_needs_no_other_file_and_no_network(files):
    page = page_of(files)
    assert page.loaded
    assert all(value.startswith("data:image/") for value in page.loaded)
    assert not re.search(r"@import|url\(", "".join(page.styles))
    assert all(link.startswith(("#", "http://127.0.0.1:5000/#/")) for link in page.links)


def test_only_the_script_of_this_package_may_run(files):
    page = page_of(files)
    assert len(page.scripts) == 1
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(page.scripts[0].encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert not re.search(r"fetch|XMLHttpRequest|innerHTML|eval|import\(", page.scripts[0])


def test_every_planned_row_has_its_line_with_status_and_reason(whole):
    builder, files = whole
    text = files.html.read_text(encoding="utf-8")
    rows = text[text.index("<h2>All rows</h2>") :]
    rows = rows[rows.index("<tbody>") : rows.index("</tbody>")]
    planned = len(builder.plan["cells"]) + len(builder.plan["references"]) + len(builder.plan["skipped"])
    assert rows.count("<tr") == planned == 14
    for said in ("DivergedError: nan at step 412", "loss does not fit", ">planned<", ">failed<", ">skipped<"):
        assert said in rows
    for run in builder.runs:
        assert f"/runs/{run.run_id}" in rows


def test_the_page_says_how_it_was_made_and_what_it_means(files):
    text = "".join(page_of(files).text)
    for said in (
        "smlmbench run demo.yaml", "abc123", "version of smlmbench", "two cores", "study: demo", "About peaks.",
        "within 250 nm laterally", "λ = 50 is below the collapse threshold 64", "Mean of conditions", "high · 0.9/µm²",
        "needs no training", "Best on sim: good (l1l2, λ = 50).", "Knows", "Device (s)",
    ):  # fmt: skip
        assert said in text, said


def test_pictures_are_described(files):
    images = [attrs for tag, attrs in page_of(files).tags if tag == "img"]
    assert len(images) == 4
    assert all(len(attrs["alt"]) > 20 for attrs in images)
    assert any("against λ" in attrs["alt"] for attrs in images)
    assert "good 5 ms" in images[0]["alt"]


def test_a_curve_holds_only_validations_of_the_training(builder, tmp_path):
    asked = {"val/efficiency": [(0, 99.0), (160, 40.0), (320, 60.0)], "train/samples": [(160, 160.0), (320, 320.0)]}
    seen = []

    def spy(rows, **_):
        seen.extend(rows)
        return b""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("smlmbench.report.drawings.curves", spy)
        build_report(builder.record, tmp_path / "out", history=lambda run, key: asked[key])
    assert [(row["x"], row["y"]) for row in seen] == [(160.0, 40.0), (320.0, 60.0)] * 2


def test_stored_pictures_are_embedded_and_other_files_are_not(builder, tmp_path):
    picture = panel(Panels(np.ones((8, 8)), np.eye(16), np.eye(16)))
    for run in builder.runs:
        (run.folder / "figures").mkdir(exist_ok=True)
        good = "c000" in run.run_id
        (run.folder / "figures" / "low.png").write_bytes(picture if good else b"<svg onload=alert(1)>")
    page = page_of(build_report(builder.record, tmp_path / "out"))
    stored = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    assert page.loaded == [stored]


def test_text_from_outside_stays_text_on_the_page(tmp_path):
    page = page_of(build_report(hostile(tmp_path), tmp_path / "out"))
    assert len(page.scripts) == 1
    assert "alert" not in page.scripts[0]
    assert "<script>alert(1)</script>" in "".join(page.text)


def test_text_from_outside_stays_text_in_the_other_files(tmp_path):
    files = build_report(hostile(tmp_path), tmp_path / "out")
    markdown = files.md.read_text(encoding="utf-8")
    assert "<script" not in markdown
    for cells in csv.reader(io.StringIO(files.csv.read_text(encoding="utf-8"))):
        assert not any(cell.startswith(("=", "@", "+")) for cell in cells)
    tables = re.findall(r"(?:^\|.*\n)+", markdown, flags=re.MULTILINE)
    assert len(tables) == 2
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", text)) for text in table.splitlines()}) == 1


def test_a_formula_in_a_reason_is_disarmed(builder, tmp_path):
    builder.run(builder.cell("evil"), "failed", reason="=1+1")
    files = build_report(builder.record, tmp_path / "out")
    lines = list(csv.DictReader(io.StringIO(files.csv.read_text(encoding="utf-8"))))
    assert [line["reason"] for line in lines if line["model"] == "evil"] == ["'=1+1"]


def test_the_csv_holds_every_number_under_the_names_of_the_store(whole):
    builder, files = whole
    lines = list(csv.DictReader(io.StringIO(files.csv.read_text(encoding="utf-8"))))
    assert len(lines) == 14
    first = lines[0]
    run = next(run for run in builder.runs if run.run_id == first["run_id"])
    for name, value in run.metrics.items():
        assert float(first[name]) == value
    assert (first["kind"], first["status"], first["picked"], first["rank"]) == ("cell", "done", "yes", "1")
    assert first["param.threshold"] == "0.3"
    assert [line["status"] for line in lines[-5:]] == ["failed", "planned", "done", "done", "skipped"]
    assert lines[3]["picked"] == "no"


@pytest.mark.parametrize("protocol", ["challenge-2016", "smlmbench-2"])
def test_numbers_of_another_protocol_have_columns_of_their_own(builder, tmp_path, protocol):
    builder.done(builder.cell("old"), {"low": {"efficiency": 12.5}}, val=1.0, protocol=protocol)
    files = build_report(builder.record, tmp_path / "out")
    lines = list(csv.DictReader(io.StringIO(files.csv.read_text(encoding="utf-8"))))
    old = next(line for line in lines if line["model"] == "old")
    assert old["test.low/efficiency"] == ""
    assert float(old[f"test.low/efficiency [{protocol}]"]) == 12.5
    assert f"under {protocol}" in files.html.read_text(encoding="utf-8")


def test_protocols_of_different_data_entries_are_told_apart_and_share_no_figure(tmp_path, monkeypatch):
    made = Builder(tmp_path)
    made.plan["conditions"] = dict.fromkeys("abc", SPARSE)
    for name, protocol in (("a", "smlmbench-1"), ("b", "smlmbench-2"), ("c", "smlmbench-1")):
        made.done(made.cell("net", data=name), {"low": {"efficiency": 50.0}}, val=1.0, protocol=protocol)
    shared = []
    monkeypatch.setattr(Localization, "across", lambda _, told: shared.append([one.data for one in told]) or ())
    page = build_report(made.record, tmp_path / "out").html.read_text(encoding="utf-8")
    assert sorted(shared) == [["a", "c"], ["b"]]
    assert page.count("under smlmbench-2</span>") == 1


def test_markdown_and_latex_hold_the_board(files):
    markdown = files.md.read_text(encoding="utf-8")
    assert "**Best on sim: good (l1l2, λ = 50).**" in markdown
    assert "| 1 | good 3 repeats · best | l1l2 λ = 50 | first | 5 ● |" in markdown
    assert "- weak: below peaks, which needs no training" in markdown
    latex = files.tex.read_text(encoding="utf-8")
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 1
    rows = [text for text in latex.splitlines() if text.endswith(r"\\")]
    assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) == 1
    assert r"$\lambda$ = 50" in latex


def test_the_same_store_gives_the_same_files(whole, tmp_path):
    builder, files = whole
    again = build_report(builder.record, tmp_path, history=lambda run, key: [(100, 40.0), (200, 60.0)])
    for name in ("html", "csv", "json", "md", "tex"):
        assert getattr(again, name).read_bytes() == getattr(files, name).read_bytes()


def test_a_plan_without_any_run_still_has_a_page(tmp_path):
    builder = Builder(tmp_path)
    builder.cell("net")
    files = build_report(builder.record, tmp_path / "out")
    assert files.answers["sim"][0].startswith("Nothing to compare on sim yet")
    assert "Nothing to compare on sim yet" in "".join(page_of(files).text)


def test_a_study_without_a_plan_is_refused(tmp_path):
    with pytest.raises(StoreError, match=r"no plan\.json.*smlmbench run"):
        build_report(FakeRecord({}, []), tmp_path)
