"""What the page is dressed with: colours that can be read, cards on a phone, paper."""

import re
from itertools import product
from pathlib import Path

import pytest
from report_record import Builder, full_builder

from smlmbench.report import page
from smlmbench.report.page import build_report

CSS = (Path(page.__file__).parent / "templates" / "page.css").read_text(encoding="utf-8")
LIGHT, DARK = (dict(re.findall(r"--([\w-]+): (#\w+);", part)) for part in CSS.split("prefers-color-scheme: dark", 1))
SURFACES = ("paper", "soft", "hover", "plain", "best", "said", "warned")
PAIRS = [
    *product(("ink", "quiet", "blue"), SURFACES),
    *product(("red",), ("paper", "hover", "best")),
    ("chip-ink", "chip"), ("good-ink", "good"), ("bad-ink", "bad"), ("open-ink", "open"),
]  # fmt: skip


def luminance(colour):
    digits = colour[1:] if len(colour) == 7 else "".join(one * 2 for one in colour[1:])
    parts = [int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), PAIRS)
def test_text_can_be_read_on_every_ground(scheme, ink, ground):
    low, high = sorted(luminance(scheme[name]) for name in (ink, ground))
    assert (high + 0.05) / (low + 0.05) >= 4.5  # WCAG 2, level AA


def test_both_schemes_name_the_same_colours_and_no_rule_names_its_own():
    rules = CSS[CSS.index("* { box-sizing") :]
    assert set(LIGHT) == set(DARK)
    assert set(re.findall(r"#[0-9a-f]{3,6}\b", rules)) == {"#fff"}  # what figures stand on, as they were drawn
    assert set(re.findall(r"var\(--([\w-]+)\)", rules)) <= set(LIGHT)


def test_every_cell_carries_the_title_of_its_column(tmp_path):
    text = build_report(full_builder(tmp_path).record, tmp_path / "out").html.read_text(encoding="utf-8")
    assert len(re.findall(r"<td (?!colspan)", text)) == len(re.findall(r'<td data-label="[^"]+"', text)) > 100
    row = text[text.index("<h2>All rows</h2>") :]
    titles = re.findall(r"<th[^>]*>([^<]+)</th>", row[: row.index("</thead>")])
    assert (
        re.findall(r'data-label="([^"]+)"', row[row.index("<tbody>") : row.index("</tr>", row.index("<tbody>"))])
        == titles
    )
    # Where two conditions share a title the card says which one.
    assert 'data-label="high · 0.9/µm²: Jaccard"' in text


def test_rows_can_be_chosen_by_what_tells_trainings_apart(tmp_path):
    text = build_report(full_builder(tmp_path).record, tmp_path / "out").html.read_text(encoding="utf-8")
    rows = text[text.index("<h2>All rows</h2>") :]
    head = rows[: rows.index("</thead>")]
    assert re.findall(r'data-choose="([^"]+)"', head) == ["Status", "Data", "Model", "Loss", "λ", "Device"]


def test_rows_of_several_tasks_can_be_chosen_by_task(tmp_path):
    made = Builder(tmp_path, tasks={"localization": {}, "background": {}})
    made.plan["data"] = {"sim": {"task": "localization"}, "other": {"task": "background"}}
    made.plan["conditions"]["other"] = made.plan["conditions"]["sim"]
    made.trained("net", [0.9])
    made.cell("plane", data="other")
    text = build_report(made.record, tmp_path / "out").html.read_text(encoding="utf-8")
    assert 'data-choose="Task"' in text[text.index("<h2>All rows</h2>") :]
