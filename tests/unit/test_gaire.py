"""Gaire: layers, colours, where it starts, how far it sees; its loss; cross-talk by hand."""

import numpy as np
import pandas as pd
import pytest
import torch

from smlmbench import tasks
from smlmbench.data import renderings
from smlmbench.data.contracts import Asked, Given, Scope, Statistics
from smlmbench.losses import dense_error
from smlmbench.metrics import crosstalk
from smlmbench.metrics.evidence import Images, gather
from smlmbench.models import gaire
from smlmbench.registry import Catalog
from smlmbench.study.schema import Scoring
from smlmbench.study.sources import PluginSource

CATALOG = Catalog()
CARD = CATALOG.card("models", "gaire")


def network(colors=2, scale=1.0, **chosen):
    given = Given(colors + 2, 1, 20.0, Statistics(0.0, 1.0, 0.0, scale), output={"colors": colors})
    torch.manual_seed(4)
    return gaire.build(CARD.fill("gaire", chosen), given).eval()


def described(**settings):
    card = CATALOG.card("data", "renderings")
    told = {"frames": 2, "field_px": 48, "others": ["filaments"], "widefield": False, **settings}
    return PluginSource(kind="renderings", settings=card.fill("renderings", told), facts=card.facts)


def test_parameters_are_those_of_the_layers():
    """9 x 9, eight blocks of two 3 x 3 with their normalisation, 3 x 3 and 5 x 5, counted by hand."""
    for colors in (2, 3):
        by_hand = (colors * 64 * 81 + 64) + 8 * 2 * (64 * 64 * 9 + 2 * 64) + (64 * 32 * 9 + 32) + 32 * colors * 25
        assert sum(weight.numel() for weight in network(colors).parameters()) == by_hand
    assert sum(weight.numel() for weight in network(2).parameters()) == CARD.parameters["blocks=8,width=64"]


@pytest.mark.parametrize("colors", [1, 2, 3])
def test_it_starts_from_the_sparse_images_as_they_are(colors):
    given = torch.rand(2, colors + 2, 17, 24)
    raw = network(colors, 4.0, width=8, blocks=1)(given)
    assert torch.equal(raw, given[:, :colors] / 4.0)
    assert not torch.equal(network(colors, 4.0, width=8, blocks=1, zero_last=False)(given), raw)


def test_every_colour_is_told_of_the_others_and_none_of_widefield_and_code():
    model, given = network(zero_last=False, width=8, blocks=1), torch.rand(1, 4, 32, 32)
    plain, other, further = given.clone(), given.clone(), given.clone()
    other[:, 1] += 1.0
    further[:, 2:] += 1.0
    assert not torch.allclose(model(other)[:, 0], model(plain)[:, 0])
    assert torch.equal(model(further), model(plain))


def test_it_sees_as_far_as_its_card_says():
    assert gaire.receptive_field_px(CARD.fill("gaire", {}), 1) == CARD.receptive_field_px
    settings = CARD.fill("gaire", {"blocks": 2, "width": 8})
    half = (int(gaire.receptive_field_px(settings, 1)) - 1) // 2
    model, given = network(zero_last=False, blocks=2, width=8).double(), torch.zeros(1, 4, 64, 64).double()
    given.requires_grad_(True)
    model(given)[0, 0, 32, 32].backward()
    seen = given.grad[0, :2].abs().amax(dim=0).nonzero()
    assert (seen.amin(dim=0).tolist(), seen.amax(dim=0).tolist()) == ([32 - half] * 2, [32 + half] * 2)


def test_the_scale_travels_with_the_weights():
    model, other = network(scale=4.0, width=8, blocks=1), network(scale=1.0, width=8, blocks=1)
    other.load_state_dict(model.state_dict())
    given = torch.rand(1, 4, 16, 16)
    assert torch.equal(model(given), other(given))


def test_the_loss_is_the_mean_of_squares_or_of_absolute_values():
    raw, dense = torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)
    raw[0, 0, 0, 0] = 3.0
    values = [dense_error.build({"power": power}, {})(raw, {"dense": dense})["loss"].item() for power in (1, 2)]
    assert values == [3 / 8, 9 / 8]


def test_two_samples_are_learnt():
    stream = renderings.training_set(
        described(sparse_frames=3000.0, misassigned=0.2, render_sigma_nm=20.0), {"d": 1}, Scope(3), CATALOG
    )
    batch, settings = stream.batch(0, 2), {**stream.output_settings}
    output = CATALOG.module("outputs", "dense_image")
    targets = output.targets(batch, settings)
    model = network(2, stream.statistics.high, width=16, blocks=1).train()
    optimiser, loss = torch.optim.Adam(model.parameters(), lr=1e-2), dense_error.build({"power": 2}, {})
    values = []
    for _ in range(100):
        optimiser.zero_grad()
        value = loss(model(batch.inputs), targets)["loss"]
        value.backward()
        optimiser.step()
        values.append(value.item())
    assert values[-1] < 0.6 * values[0]


def spots(*places):
    image = np.zeros((32, 32))
    for row, column in places:
        image[row, column] = 1.0
    return image


def measured(image, truth, *others):
    images = Images(image, truth, 20.0, others=np.stack(others) if others else None)
    return crosstalk.measure(gather(None, None, images=images))


def test_crosstalk_by_hand():
    one, other = spots((8, 8), (8, 16)), spots((24, 8), (24, 16))
    found = measured(0.9 * one + 0.1 * other, one, other)
    assert found["crosstalk"] == pytest.approx(0.1)
    assert found["crosstalk_energy"] == pytest.approx(0.01 / 0.82)
    assert measured(5.0 * one, one, other) == {"crosstalk": pytest.approx(0), "crosstalk_energy": pytest.approx(0)}
    assert measured(other, one, other)["crosstalk"] == pytest.approx(1)


def test_where_structures_cross_nothing_is_counted_as_cross_talk():
    one, other = spots((8, 8), (8, 16)), spots((8, 16), (24, 16))
    assert measured(one, one, other)["crosstalk"] == pytest.approx(0, abs=1e-9)
    third = spots((16, 16), (20, 20))
    assert measured(one + 2 * third, one, other, third)["crosstalk"] == pytest.approx(2 / 3)


def test_crosstalk_says_why_there_is_none():
    one, other = spots((8, 8)), spots((24, 24))
    assert measured(one, one)["crosstalk"] == "there is one colour alone"
    assert measured(one, one, one)["crosstalk"] == "the structures of two colours are the same"
    assert measured(one, one, np.zeros((32, 32)))["crosstalk"] == "the true image of a colour is blank"
    assert measured(np.zeros((32, 32)), one, other)["crosstalk"] == "the image has nothing of any colour's structure"
    assert measured(one * np.nan, one, other)["crosstalk"] == "an image has values that are not finite"


def test_the_sparse_images_have_the_cross_talk_of_their_source():
    """Without strays and position noise the least squares find the share that was misassigned."""
    task = tasks.load("densification", CATALOG)
    few = described(
        field_px=128, sparse_frames=5000.0, misassigned=0.2, stray_share=0.0, precision_nm=0.0, rate_per_um2=0.1
    )
    condition = renderings.condition("t", few, {"d": 1}, Asked("test", 3), CATALOG)
    scores = task.score(condition.frames.values[:, :2], condition, Scoring())
    assert scores.values["crosstalk"] == pytest.approx(0.2, abs=0.04)
    assert scores.values["crosstalk_energy"] < 0.1
    assert task.score(condition.truth.dense, condition, Scoring()).values["crosstalk"] == pytest.approx(0, abs=1e-6)
    assert "ssim" in scores.values


def test_the_share_of_wrong_colours_may_be_a_range():
    law = {"min": 0.0, "max": 0.5, "law": "uniform"}
    stream = renderings.training_set(described(misassigned=law), {"d": 1}, Scope(3), CATALOG)
    assert stream.batch(0, 2).inputs.shape == (2, 4, 48, 48)


def test_each_colour_has_numbers_of_its_own_where_there_are_several():
    task = tasks.load("densification", CATALOG)
    condition = renderings.condition("t", described(), {"d": 1}, Asked("test", 3), CATALOG)
    answer = condition.truth.dense.copy()
    answer[:, 1] += 0.5 * answer[:, 0]  # the second colour sees the first
    scores = task.score(answer, condition, Scoring())
    colors = scores.profiles["colors"]
    assert colors["color"] == [0.0, 1.0]
    assert colors["crosstalk"][0] == pytest.approx(0, abs=1e-6)
    assert colors["crosstalk"][1] > 0.2
    assert scores.values["crosstalk"] == pytest.approx(np.mean(colors["crosstalk"]))
    assert colors["ssim"][0] == pytest.approx(1)
    assert colors["ssim"][1] < 0.99
    alone = renderings.condition("t", described(others=[]), {"d": 1}, Asked("test", 3), CATALOG)
    scores = task.score(alone.truth.dense, alone, Scoring())
    assert scores.profiles == {}
    assert scores.reasons["crosstalk"] == "there is one colour alone"


def test_the_page_has_columns_of_colours_where_there_are_several():
    task = tasks.load("densification", CATALOG)
    frame = pd.DataFrame({"metric": ["ms_ssim", "crosstalk"], "value": [0.9, 0.1]})
    assert task.section(frame, {}).columns[-2:] == ("crosstalk", "ssim")
    assert "crosstalk" not in task.section(frame.assign(value=[0.9, np.nan]), {}).columns
    assert "crosstalk" not in task.section(pd.DataFrame(), {}).columns
