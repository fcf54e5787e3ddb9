"""The robustness sheet on the page: breakpoints by hand, column, table, figure, and what counts in means."""

import math

import pandas as pd
import pytest
from report_record import LOW, Builder, frames
from test_sweeps import COLUMNS, line

from smlmbench.report.leaderboard import boards_of
from smlmbench.report.page import build_report
from smlmbench.tasks.contracts.sections import Told
from smlmbench.tasks.localization import sheet
from smlmbench.tasks.localization.sheet import Curve


def step(axis, at, base=1.0, unit="x", origin="centre"):
    return {"axis": axis, "step": at, "base": base, "origin": origin, "unit": unit}


SIGMA = {f"sigma-x{at:g}": step("sigma", at) for at in (0.8, 1.1, 1.2)}
PHOTONS = {f"photons-x{at:g}": step("photons", at) for at in (0.2, 5.0)}
COMA = {"pupil": step("pupil", 0.0, 0.0, "mλ", "pupil"), "coma-60": step("coma", 60.0, 0.0, "mλ", "pupil")}
CAMERA = {f"camera-{name}": step("camera", name, "scmos", "") for name in ("emccd", "phone")}
FACTS = {"centre": {"centre": True}, **SIGMA, **PHOTONS, **COMA, **CAMERA}
NET = {"centre": 90, "sigma-x0.8": 88, "sigma-x1.1": 85, "sigma-x1.2": 70, "photons-x0.2": 65, "photons-x5": 60,
       "pupil": 86, "coma-60": 80, "camera-emccd": 84, "camera-phone": 20}  # fmt: skip


def board(arm, values, data="a", **said):
    rows = [line("net", name, "efficiency", value, **said) for name, value in values.items()]
    rows += [line("fit", name, "efficiency", 70.0, kind="reference", picked=False) for name in values]
    rows += [line("truth", name, "efficiency", 100.0, kind="reference", picked=False, ceiling=True) for name in values]
    rows += [line("net", name, "recall", 0.1) for name in values]
    return Told(data, arm, pd.DataFrame(rows, columns=COLUMNS).assign(label=lambda frame: frame["model"]), FACTS)


def test_a_breakpoint_is_where_a_line_between_two_steps_has_fallen_by_ten():
    flat = Curve("baseline", "ADU", 0.0, ((-20.0, 89.0), (0.0, 90.0), (5.0, 85.0), (20.0, 70.0)))
    assert flat.breakpoint(1) == pytest.approx(5 + 15 * (85 - 80) / (85 - 70))
    assert flat.breakpoint(-1) is None
    # factors: half of the way from 1 to 5 by the logarithm
    factors = Curve("photons", "x", 1.0, ((0.2, 89.0), (1.0, 90.0), (5.0, 70.0)))
    assert factors.breakpoint(1) == pytest.approx(math.sqrt(5))


def test_a_curve_that_comes_back_breaks_where_it_first_fell():
    curve = Curve("gain", "x", 1.0, ((1.0, 90.0), (2.0, 70.0), (4.0, 95.0)))
    assert curve.breakpoint(1) == pytest.approx(math.sqrt(2))


def test_exactly_ten_is_fallen():
    assert Curve("z", "nm", 0.0, ((0.0, 90.0), (100.0, 80.0))).breakpoint(1) == pytest.approx(100)


def test_margins_are_shares_of_what_was_tried():
    curve = Curve("photons", "x", 1.0, ((0.2, 70.0), (1.0, 90.0), (5.0, 60.0)))
    assert curve.breaks() == [
        (pytest.approx(0.5), pytest.approx(0.2**0.5)),
        (pytest.approx(1 / 3), pytest.approx(5 ** (1 / 3))),
    ]


def test_the_column_names_the_nearest_breakpoints():
    told = board("", NET)
    by_row = sheet.column(told.frame, FACTS)
    # photons above: 1/3 of the way to x5; below 10/25 of the way to x0.2; a name that fell; sigma beyond x1.1
    assert by_row["net"] == "photons x1.71, photons x0.525, camera phone, 1 more"
    assert by_row["fit"] == "nowhere on 4 axes"
    assert "truth" not in by_row


def test_the_table_says_step_breakpoint_and_worst_case_of_each_axis_and_row():
    rows = {row[:2]: row[2:] for row in sheet.listing(board("", NET).frame, FACTS).rows}
    assert rows["sigma", "net"] == (
        "90.0",
        "x0.8: −2.0, x1.1: −5.0",
        "holds to x0.8, above x1.13",
        "x1.2: 70.0 (−20.0)",
    )
    assert rows["coma", "net"] == ("86.0", "60 mλ: −6.0", "holds to 60 mλ", "60 mλ: 80.0 (−6.0)")
    assert rows["camera", "net"] == ("90.0", "emccd: −6.0, phone: −70.0", "phone", "phone: 20.0 (−70.0)")
    assert rows["sigma", "fit"][3] == "nowhere lower"
    assert ("pupil", "net") not in rows


def test_an_axis_whose_beginning_or_steps_have_no_number_is_left_out():
    values = {name: value for name, value in NET.items() if name not in ("pupil", "sigma-x1.2")}
    own = board("", values).frame.query("label == 'net'")
    found = {one.axis: [at for at, _ in one.points] for one in sheet.curves(own, FACTS)}
    assert found == {"sigma": [0.8, 1.0, 1.1], "photons": [0.2, 1.0, 5.0], "camera": ["scmos", "emccd", "phone"]}


@pytest.fixture
def drawn(monkeypatch):
    """What the figure is asked to draw."""
    seen = []

    def fake(rows, marks, arms, **how):
        seen.append((list(rows), list(marks), arms, how))
        return b"<svg/>"

    monkeypatch.setattr("smlmbench.figures.sheet", fake)
    return seen


def test_kinds_of_training_are_lines_of_their_own_and_a_reference_stands_once(drawn):
    boards = [board("matched", NET), board("ranged", {**NET, "sigma-x1.2": 88}, data="b")]
    (made,) = sheet.drawings(boards)
    ((rows, marks, arms, how),) = drawn
    assert arms == ["", "matched", "ranged"]
    sigma = [(row["label"], arms[row["line"]], row["x"], row["y"]) for row in rows if row["panel"] == "sigma (x)"]
    points = (0.8, 1.0, 1.1, 1.2)
    assert sorted(sigma) == sorted(
        [*(("fit", "", x, 70) for x in points),
         *(("net", "matched", x, y) for x, y in zip(points, (88, 90, 85, 70), strict=True)),
         *(("net", "ranged", x, y) for x, y in zip(points, (88, 90, 85, 88), strict=True))]
    )  # fmt: skip
    crosses = [(arms[row["line"]], round(row["x"], 3), row["y"]) for row in marks if row["panel"] == "sigma (x)"]
    assert crosses == [("matched", round(1.1 * (1.2 / 1.1) ** (1 / 3), 3), 80)]
    assert how["logs"] == {"photons (x)"}
    assert [row["note"] for row in rows if row["panel"] == "camera"][:3] == ["scmos", "emccd", "phone"]
    assert "net matched, sigma: x0.8 88, x1 90, x1.1 85, x1.2 70" in made.alt
    assert "phone" in made.alt


def test_boards_of_one_arm_are_told_apart_by_their_data(drawn):
    sheet.drawings([board("", NET), board("", NET, data="b")])
    assert drawn[0][2] == ["", "a", "b"]


def test_a_second_protocol_of_the_same_data_draws_no_second_line(drawn):
    sheet.drawings([board("matched", NET), board("matched", {**NET, "centre": 10})])
    net = [row["y"] for row in drawn[0][0] if row["label"] == "net" and row["panel"] == "sigma (x)"]
    assert net == [88, 90, 85, 70]
    assert drawn[0][2] == ["", "matched"]


def test_the_notes_say_where_axes_begin_and_what_a_pixel_size_means():
    (said,) = sheet.notes(FACTS)
    assert "one thing of 'centre' at a time" in said
    assert "counted from 'pupil'" in said
    assert "Pixel size" not in said
    assert sheet.notes({"centre": {}}) == ()


def test_no_sheet_no_figure():
    plain = Told("a", "", board("", NET).frame, {"centre": {}})
    assert sheet.drawings([plain]) == []


def test_the_figure_is_drawn():
    (made,) = sheet.drawings([board("matched", NET), board("ranged", {**NET, "photons-x5": -80.0}, data="b")])
    assert made.image.startswith(b"<?xml")
    assert "Cut at −10." in made.caption


@pytest.fixture
def record(tmp_path):
    built = Builder(tmp_path, {"centre": LOW["low"] | {"centre": True}, **SIGMA}, data={"sim": {"arm": "matched"}})
    shares = {"centre": 0.95, "sigma-x0.8": 0.95, "sigma-x1.1": 0.8, "sigma-x1.2": 0.3}
    for repeat in range(2):
        number = built.cell("deep_storm", repeat)
        built.done(number, {name: frames(share, 20.0) for name, share in shares.items()}, val=90)
    built.reference("peaks_gaussian", {name: frames(0.7, 20.0) for name in shares})
    return built.record


def test_steps_are_in_no_mean_and_no_rank_but_on_the_board_and_in_its_numbers(record):
    _, (made,) = boards_of(record)
    (net,) = made.competitors
    assert made.conditions == ["centre"]
    assert net.get(None, "jaccard").value == pytest.approx(0.95)
    assert net.get("sigma-x1.2", "jaccard").value == pytest.approx(0.3)
    assert made.section.words["Breaks at"]["deep_storm"].startswith("sigma x1.1")


def test_the_page_has_column_table_and_figure(record, tmp_path):
    files = build_report(record, tmp_path / "out")
    page, text = (path.read_text(encoding="utf-8") for path in (files.html, files.md))
    assert ">Breaks at</th>" in page
    assert "Robustness: efficiency of what was trained once" in page
    assert "deep_storm matched, sigma: x0.8" in page
    assert "| sigma | deep\\_storm |" in text or "| sigma | deep_storm |" in text
    assert "sigma-x1.2" in files.csv.read_text(encoding="utf-8")
    # a board of one condition keeps all its columns, and no step has one
    assert "sigma-x1.2 ·" not in page
