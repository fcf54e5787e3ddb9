"""Mean ranks, profiles and settings of a board: what they are made of, when they are drawn, what they say."""

import pytest
from report_record import Builder

from smlmbench.figures.parallel import heights
from smlmbench.report.boards import make_boards
from smlmbench.report.boards.rows import join
from smlmbench.report.forms.paper import write_figures
from smlmbench.report.page import build_report
from smlmbench.report.standings import profile_rows, rank_drawing, setting_columns, settings_drawing, standing

WORLDS = {f"w{k}": {"psf": "gaussian", "structure": f"s{k}", "camera": "scmos"} for k in range(12)}


def boards_of(builder):
    return make_boards(builder.plan, join(builder.record))


def scored(folder, levels, conditions=WORLDS, **plan):
    """One repeat of each model; `levels` by model are its scores in the order of the conditions."""
    folder.mkdir()
    builder = Builder(folder, conditions, **plan)
    for model, values in levels.items():
        scores = {name: {"efficiency": value} for name, value in zip(conditions, values, strict=True)}
        builder.done(builder.cell(model), scores, val=float(values[0]), ms=1.0)
    return builder


@pytest.fixture
def ranked(tmp_path):
    # c is always last; a is first on 9 of 12 conditions and second on 3: ranks 1.25, 1.75, 3.
    levels = {"a": [90.0] * 9 + [70.0] * 3, "b": [80.0] * 12, "c": [10.0] * 12}
    return scored(tmp_path / "runs", levels)


def test_mean_ranks_and_the_critical_difference_are_those_of_a_hand(ranked):
    found = standing(boards_of(ranked))
    assert found.rows["label"].tolist() == ["a", "b", "c"]
    assert found.rows["x"].tolist() == pytest.approx([1.25, 1.75, 3.0])
    assert found.ranks.critical == pytest.approx(2.3437 * (3 * 4 / (6 * 12)) ** 0.5, abs=1e-3)  # 0.957
    assert found.groups == [[0, 1]]  # 0.5 apart, c is 1.25 from b
    drawing = rank_drawing(boards_of(ranked))
    assert drawing.uri.startswith("data:image/svg+xml;base64,")
    assert drawing.alt.endswith("a 1.25; b 1.75; c 3.00. Critical difference 0.96. Not told apart: a, b")


def test_levels_of_a_sweep_count_once_and_the_reason_is_said(tmp_path):
    levels = {name: [50.0 + k for k in range(12)] for name in "abc"}
    alike = {"psf": "gaussian", "structure": "uniform", "camera": "scmos"}
    sweep = {f"d{k}": {**alike, "density_per_um2": float(k)} for k in range(1, 13)}
    builder = scored(tmp_path / "runs", levels, sweep)
    assert "here are 3 and 1." in standing(boards_of(builder))
    text = build_report(builder.record, tmp_path / "out").html.read_text(encoding="utf-8")
    assert text.count("No mean ranks: they take 3 models and 10 conditions") == 1
    assert 'src=""' not in text


def test_a_world_is_ranked_by_the_mean_of_its_levels(tmp_path):
    # In w0 and its second level b has 60 and 0, so 30 in the mean, a 40: a is first in each of the 12 worlds.
    conditions = WORLDS | {"more": WORLDS["w0"]}
    levels = {"a": [40.0] * 13, "b": [60.0] + [30.0] * 11 + [0.0], "c": [1.0] * 13}
    found = standing(boards_of(scored(tmp_path / "runs", levels, conditions)))
    assert (found.conditions, found.rows["x"].tolist()) == (12, [1.0, 2.0, 3.0])


def test_two_models_or_nine_conditions_have_no_ranks(tmp_path):
    two = scored(tmp_path / "two", {"a": [1.0] * 12, "b": [2.0] * 12})
    assert "here are 2 and 12." in standing(boards_of(two))
    nine = dict(list(WORLDS.items())[:9])
    few = scored(tmp_path / "few", {name: [1.0] * 9 for name in "abc"}, nine)
    assert "here are 3 and 9." in standing(boards_of(few))
    assert "here are 0 and 0." in standing([])


def test_where_less_is_better_the_smallest_is_first(tmp_path):
    levels = {"a": [9.0] * 12, "b": [5.0] * 12, "c": [1.0] * 12}
    builder = scored(tmp_path / "runs", levels, primary={"name": "efficiency", "direction": "down"})
    assert standing(boards_of(builder)).rows["label"].tolist() == ["c", "b", "a"]
    steps = profile_rows(boards_of(builder)[0])
    assert steps[steps["label"] == "a"][["x", "y"]].to_numpy().tolist() == [[9.0, 1.0]]


def test_a_profile_counts_conditions_with_references_and_without_bounds(tmp_path):
    conditions = dict(list(WORLDS.items())[:4])
    builder = scored(tmp_path / "runs", {"a": [10.0, 20.0, 20.0, 40.0]}, conditions)
    builder.reference("fitter", {name: {"efficiency": 5.0} for name in conditions})
    builder.reference("truth", {name: {"efficiency": 100.0} for name in conditions}, ceiling=True)
    steps = profile_rows(boards_of(builder)[0])
    assert [(row.label, row.kind, row.x, row.y) for row in steps.itertuples()] == [
        ("a", "pick", 10.0, 1.0),
        ("a", "pick", 20.0, 0.75),
        ("a", "pick", 40.0, 0.25),
        ("fitter", "reference", 5.0, 1.0),
    ]
    text = build_report(builder.record, tmp_path / "out").html.read_text(encoding="utf-8")
    assert "Reached in half of the conditions: a 20; fitter 5" in text
    assert profile_rows(boards_of(scored(tmp_path / "two", {"a": [1.0] * 2}, dict(list(WORLDS.items())[:2])))[0]).empty


def test_settings_are_drawn_where_lines_of_a_network_differ_in_several(tmp_path):
    builder = Builder(tmp_path)
    for lam, blocks in (("50", 2), ("50", 4), ("200", 4)):
        builder.trained("net", [0.9, 0.8], lam=lam, settings={"blocks": blocks, "wide": True})
    assert settings_drawing(boards_of(builder)[0]) is None  # three lines
    builder.trained("other", [0.5], lam="none", loss="nll", settings={"depth": 3})
    (board,) = boards_of(builder)
    entries, columns = setting_columns(board)
    told = {(entry.name, *(columns[name][k] for name in columns)) for k, entry in enumerate(entries)}
    assert list(columns) == ["λ", "blocks"]
    assert told == {("net", 50.0, 2), ("net", 50.0, 4), ("net", 200.0, 4), ("other", None, None)}
    drawing = settings_drawing(board)
    assert "over network, λ, blocks" in drawing.alt
    assert "a line for each of 4 combinations" in drawing.caption


def test_heights_of_settings():
    assert heights([1, 2, None, 3]) == ([0.0, 0.5, -0.12, 1.0], {-0.12: "none", 0.0: "1", 0.5: "2", 1.0: "3"})
    assert heights([1.0, 10.0, 100.0])[0] == pytest.approx([0.0, 0.5, 1.0])  # by the logarithm
    assert heights(["a", "b", "a", True]) == ([1.0, 0.5, 1.0, 0.0], {1.0: "a", 0.5: "b", 0.0: "True"})
    assert heights([7, 7]) == ([0.5, 0.5], {0.5: "7"})
    places, ticks = heights(list(range(12)))
    assert places[-1] == 1.0
    assert list(ticks.values()) == ["0", "2.75", "5.5", "8.25", "11"]


@pytest.mark.parametrize("width_mm", [85, 170])
def test_ranks_and_profiles_are_drawn_for_a_paper(ranked, tmp_path, width_mm):
    files = {path.name for path in write_figures(ranked.record, tmp_path / "figures", width_mm)}
    for kind in ("ranks", "profile"):
        assert f"{kind}-sim-smlmbench-1-{width_mm}mm.svg" in files
    text = (tmp_path / "figures" / f"ranks-sim-smlmbench-1-{width_mm}mm.svg").read_text(encoding="utf-8")
    assert "mean rank over 12 conditions (1 is best)" in text
    assert "critical difference 0.96" in text
