"""A reference that cannot answer one condition has reasons there, and its numbers elsewhere."""

from dataclasses import replace

import pytest

from smlmbench.data.contracts import Condition
from smlmbench.errors import UnansweredError
from smlmbench.run.cells.evaluation import evaluate_reference
from smlmbench.run.materials import Materials
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan

REFUSES = """
CARD = {"version": 1, "summary": "Refuses", "facts": {"tasks": {"localization": {"gives": "table"}}}}


def predict(condition, settings, output_settings, seed):
    from smlmbench.errors import UnansweredError
    from smlmbench.predictions import Prediction

    if condition.facts["density_per_um2"] > 1.5:
        raise UnansweredError(f"refuses: '{condition.name}' is crowded; leave it out")
    return Prediction(condition.truth.table)
"""
STUDY = """
study: partly
data:
  - name: sim
    train: {simulate: {field_px: 16}}
    test:
      low: {simulate: {density_per_um2: 1, frames: 4}}
      high: {simulate: {density_per_um2: 3, frames: 4}}
models: [srcnn]
losses: [mse]
references: [refuses]
plugins: [references/refuses.py]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("partly")
    (folder / "references").mkdir()
    (folder / "references" / "refuses.py").write_text(REFUSES)
    (folder / "partly.yaml").write_text(STUDY)
    loaded = load_study(folder / "partly.yaml")
    (reference,) = make_plan(loaded).references
    return reference, Materials(loaded.catalog).splits(reference).tests, loaded.catalog


def test_one_condition_that_it_cannot_answer_costs_no_other(made):
    reference, conditions, catalog = made
    found = evaluate_reference(reference, conditions, catalog)
    assert found.tests["low"].values["efficiency"] == pytest.approx(100)
    assert found.tests["high"].values == {}
    assert found.tests["high"].reasons["efficiency"] == "refuses: 'high' is crowded; leave it out"
    assert list(found.answers) == ["low"]


def test_one_that_can_answer_none_fails_with_its_reason(made):
    reference, conditions, catalog = made
    crowded: dict[str, Condition] = {"high": conditions["high"], "too": replace(conditions["high"], name="too")}
    with pytest.raises(UnansweredError, match="'high' is crowded"):
        evaluate_reference(reference, crowded, catalog)
