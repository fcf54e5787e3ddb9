import pandas as pd
import pytest

from smlmbench.tasks.contracts.sections import Told
from smlmbench.tasks.localization import sweeps

COLUMNS = ["model", "kind", "picked", "ceiling", "condition", "metric", "value", "low", "high", "style"]


def board(data, arm, rows, conditions):
    return Told(data, arm, pd.DataFrame(rows, columns=COLUMNS), conditions)


def line(model, condition, metric, value, **said):
    facts = {"kind": "cell", "picked": True, "ceiling": False, "low": value - 1, "high": value + 1, "style": 0} | said
    return {"model": model, "condition": condition, "metric": metric, "value": value} | facts


def conditions(*densities):
    return {
        f"d{d:g}": {"density_per_um2": d, "resolvable_fraction": 1 - d / 10, "bound_nm": 5 + d, "frames": 10}
        for d in densities
    }


@pytest.fixture
def drawn(monkeypatch):
    """What the figure is asked to draw."""
    seen = []

    def fake(rows, arms, **how):
        seen.append((list(rows), arms, how))
        return b"<svg/>"

    monkeypatch.setattr("smlmbench.figures.sweep", fake)
    return seen


def boards():
    whole = [line("net", f"d{d:g}", "efficiency", 80 - d) for d in (0.2, 1.0, 5.0)]
    told_truth = line("truth", "d1", "efficiency", 100.0, kind="reference", picked=False, ceiling=True)
    fitter = [line("fit", f"d{d:g}", "recall", 0.5, kind="reference", picked=False) for d in (0.2, 1.0)]
    others = [line("net", "d1", "efficiency", 3.0, picked=False), line("net", "", "efficiency", 3.0), told_truth]
    one = [line("net", "d1", "efficiency", 90.0), line("fit", "d1", "recall", 0.5, kind="reference", picked=False)]
    return [
        board("all", "generalist", [*whole, *fitter, *others], conditions(0.2, 1.0, 5.0)),
        board("alone", "specialist", one, conditions(1.0)),
    ]


def test_arms_are_lines_of_their_own_and_a_reference_stands_once(drawn):
    made = sweeps.drawings(boards())
    assert len(made) == 1
    rows, arms, _ = drawn[0]
    assert arms == ["", "generalist", "specialist"]
    net = [(row["x"], row["y"], arms[row["line"]]) for row in rows if row["label"] == "net"]
    assert net == [(0.2, 79.8, "generalist"), (1.0, 79.0, "generalist"), (5.0, 75.0, "generalist"),
                   (1.0, 90.0, "specialist")]  # fmt: skip
    assert [(row["x"], row["kind"]) for row in rows if row["label"] == "fit"] == [(0.2, "reference"), (1, "reference")]
    assert "truth" not in {row["label"] for row in rows}


def test_the_limit_stands_in_the_panels_that_have_one(drawn):
    sweeps.drawings(boards())
    limit = [(row["panel"], row["x"], round(row["y"], 6)) for row in drawn[0][0] if row["label"] == sweeps.LIMIT]
    assert sorted(limit) == [
        ("radial RMSE (nm)", 0.2, 5.2), ("radial RMSE (nm)", 1.0, 6.0), ("radial RMSE (nm)", 5.0, 10.0),
        ("recall", 0.2, 0.98), ("recall", 1.0, 0.9), ("recall", 5.0, 0.5),
    ]  # fmt: skip


def test_two_densities_are_no_sweep():
    assert sweeps.drawings([board("a", "", [], conditions(0.2, 1.0))]) == []


def test_the_figure_is_drawn():
    (made,) = sweeps.drawings(boards())
    assert made.image.startswith(b"<?xml")
    assert "specialist" in made.alt
    assert "bound" in made.caption
