"""The fixed rule for colours, by hand; and what a student of classes is held to."""

import numpy as np
import pytest
import torch

from smlmbench.data.contracts import Batch
from smlmbench.metrics import kim_rule
from smlmbench.metrics.classified import Classified
from smlmbench.outputs import classes
from smlmbench.truths.labels import Labelled

# right; wrong; too dim; unsure; a stranger that is kept; right
TRUE, SAID = np.array([0, 1, 0, 1, -1, 1]), np.array([0, 0, 0, 1, 1, 1])
SCORES, PHOTONS = np.array([0.95, 0.9, 0.99, 0.89, 0.99, 1.0]), np.array([3e3, 5e3, 2999, 9e3, 9e3, 9e3])


def _measured(**changed):
    columns = {"true": TRUE, "said": SAID, "scores": SCORES, "photons": PHOTONS, "classes": 2, **changed}
    return kim_rule.measure(Classified(**columns))


def test_what_it_keeps_and_how_right_that_is():
    found = _measured()
    assert found["accuracy_kim"] == pytest.approx(100 * 2 / 3)
    assert found["rejected_kim"] == pytest.approx(100 * 2 / 5)
    assert found["unsure_kim"] == pytest.approx(100 / 4)


def test_what_it_cannot_judge_has_a_reason():
    assert kim_rule.measure(None) == dict.fromkeys(kim_rule.CARD["gives"], "there is no truth")
    assert set(_measured(true=np.full(6, -1)).values()) == {"no unit of a known class"}
    assert set(_measured(photons=np.full(6, np.nan)).values()) == {"the photons of the units are not known"}
    assert _measured(scores=np.full(6, 0.6))["accuracy_kim"] == "the rule keeps nothing"
    assert _measured(photons=np.full(6, 10.0))["unsure_kim"] == "no unit has 3,000 photons"


def test_the_scores_that_students_are_held_to_are_nearly_the_labels():
    batch = Batch(torch.zeros(3, 1, 2, 2), Labelled(torch.tensor([2, 0, -1])))
    wanted = classes.targets(batch, {"classes": ["a", "b", "c"]})
    assert torch.allclose(wanted["scores"].softmax(dim=1), wanted["share"], atol=3e-3)
    assert torch.allclose(wanted["scores"].sum(dim=1), torch.zeros(3), atol=1e-5)
    assert classes.CARD["facts"]["perfect_raw"] in wanted
