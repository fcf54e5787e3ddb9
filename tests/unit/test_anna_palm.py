"""ANNA-PALM's networks and losses by hand, and the order in which its players learn."""

import pytest
import torch
from torch import nn

from smlmbench.data.contracts import Batch, Given, Statistics
from smlmbench.errors import ConfigError
from smlmbench.inference.engine import frame_multiple, padded
from smlmbench.inference.probe import moves_of
from smlmbench.losses import anna_palm as losses
from smlmbench.losses.msssim_l1 import C2, blurred, msssim
from smlmbench.recipes import players
from smlmbench.registry import Catalog
from smlmbench.study.cells import SUPERVISED
from smlmbench.study.planning.expand import picks, trained_by
from smlmbench.truths.dense_structure import Taught

CATALOG = Catalog()
CARD = CATALOG.card("models", "anna_palm")
STATISTICS = Statistics(0.1, 1.0, 0.0, 5.0)
CPU = torch.device("cpu")


def network(colors=1, **settings):
    filled = CARD.fill("anna_palm", {**CARD.tiny, **settings})
    torch.manual_seed(0)
    return CATALOG.module("models", "anna_palm").build(filled, Given(colors + 2, 1, 20.0, STATISTICS))


def game(colors=1, **settings):
    card = CATALOG.card("losses", "anna_palm")
    torch.manual_seed(1)
    return losses.build(card.fill("anna_palm", {**card.tiny, **settings}), {"colors": colors})


def inputs(count=2, side=32, colors=1, *, blank=False):
    draws = torch.Generator().manual_seed(2)
    sparse = torch.poisson(torch.full((count, colors, side, side), 0.1), generator=draws)
    wide = torch.zeros(count, 1, side, side) if blank else torch.rand(count, 1, side, side, generator=draws) * 300
    return torch.cat((sparse, wide, torch.zeros(count, 1, side, side)), dim=1)


def batch(**more):
    given = inputs(**more)
    dense = torch.rand(len(given), given.shape[1] - 2, *given.shape[2:], generator=torch.Generator().manual_seed(3))
    return Batch(given, Taught(dense))


def targets(made):
    return CATALOG.module("outputs", "dense_image").targets(made, {"image_scale": 1.0})


def count(part):
    return sum(weight.numel() for weight in part.parameters())


@pytest.mark.parametrize("stated", CARD.parameters)
def test_the_generator_has_as_many_weights_as_its_card_says(stated):
    settings = {name: int(value) for name, value in (pair.split("=") for pair in stated.split(","))}
    with torch.device("meta"):
        made = CATALOG.module("models", "anna_palm").build(CARD.fill("m", settings), Given(3, 1, 20.0, STATISTICS))
    assert count(made) == CARD.parameters[stated]


def test_at_full_size_generator_and_discriminator_are_the_authors():
    assert CARD.parameters["levels=8"] == 39_158_464
    assert CARD.settings["levels"].default == 8
    assert CARD.settings["width"].default == 64
    assert count(losses.Discriminator(4, 64)) == 2_766_592


def test_no_average_is_kept_and_an_image_is_answered_alone_as_among_others():
    made = network().eval()
    assert not list(made.buffers())
    given = inputs(3) * torch.tensor([1.0, 20.0, 0.1]).view(3, 1, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(made(given)[:1], made(given[:1]), rtol=1e-4, atol=1e-5)
        assert made(given).shape == (3, 1, 32, 32)
        assert 0 <= made(given).min() <= made(given).max() <= 1


@pytest.mark.parametrize("levels", CARD.settings["levels"].choices)
def test_the_deepest_maps_have_four_pixels_at_least(levels):
    facts = CARD.under(CARD.fill("m", {"levels": levels})).facts
    multiple = frame_multiple(facts, 1)
    assert multiple == 2 ** (levels + 1)
    sides = []
    made = network(levels=levels, width=4).train()
    made.down[-1].register_forward_hook(lambda *seen: sides.append(seen[-1].shape[-2:]))
    answer = padded(made, multiple, 1)(inputs(1, 16))
    assert sides == [(2, 2)]
    assert answer.shape == (1, 1, 16, 16)
    assert answer.isfinite().all()


def test_the_kind_of_structure_and_the_widefield_change_the_answer():
    made, given = network().eval(), inputs(1)
    other, dark = given.clone(), given.clone()
    other[:, -1] = 3.0
    dark[:, -2] = 0.0
    with torch.no_grad():
        answer = made(given)
        assert not torch.allclose(answer, made(other), atol=1e-4)
        assert not torch.allclose(answer, made(dark), atol=1e-4)


def test_inputs_are_standardised_and_a_blank_widefield_is_zero():
    given = inputs(2)
    given[1, 1] = 0
    shown = losses.seen(given)
    spread, mean = torch.std_mean((shown[:, 0] + 1) / 2, dim=(1, 2), correction=0)
    torch.testing.assert_close(mean, torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(spread, torch.ones(2), atol=1e-4, rtol=0)
    assert shown[0, 1].min() == -1
    assert shown[0, 1].max() == pytest.approx(1)
    assert (shown[1, 1] == 0).all()
    faint = torch.zeros(1, 1, 4, 4)
    faint[..., 0, 0] = 25.0
    assert losses.ranged(faint).max() == 0.5  # the range is 50 at least


def test_equal_images_are_alike_and_contrast_counts_on_every_scale():
    image = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(msssim(image, image), torch.ones(2, 3))
    flat = torch.full_like(image, 0.5)
    assert (msssim(flat, image) < 0.01).all()
    brighter = flat + 0.1
    expected = (2 * 0.5 * 0.6 + 1e-4) / (0.5**2 + 0.6**2 + 1e-4)  # luminance alone: both have no contrast
    torch.testing.assert_close(msssim(flat, brighter), torch.full((2, 3), expected), rtol=1e-3, atol=0)
    assert pytest.approx(9e-4) == C2


@pytest.mark.parametrize(("sigma_px", "taps"), [(0.5, 11), (2.0, 11), (4.0, 17), (8.0, 33)])
def test_windows_are_as_wide_as_the_authors_and_keep_a_constant(sigma_px, taps):
    spot = torch.zeros(1, 81, 81)
    spot[0, 40, 40] = 1.0
    seen = blurred(spot, sigma_px)[0, 40]
    assert int((seen > 0).sum()) <= taps
    torch.testing.assert_close(blurred(torch.ones(1, 20, 30), sigma_px), torch.ones(1, 20, 30))


def test_the_generator_is_told_by_three_terms_with_their_weights():
    made, given = game(weight=50, adversarial=2, consistency=25), batch()
    wanted = targets(given)
    raw = network()(given.inputs)
    turns = {player: (loss, parts) for player, loss, parts in made.turns(raw, wanted)}
    assert list(turns) == ["discriminator", "low_resolution", "network"]
    loss, parts = turns["network"]
    mixed = 0.84 * (1 - parts["msssim"]) + 0.16 * parts["weighted_l1"]
    expected = 50 * mixed + 2 * parts["adversarial"] + 25 * parts["consistency"]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_without_a_widefield_two_players_are_left():
    made, given = game(), batch(blank=True)
    turns = {player: parts for player, _, parts in made.turns(network()(given.inputs), targets(given))}
    assert list(turns) == ["discriminator", "network"]
    assert "consistency" not in turns["network"]


def test_a_widefield_counts_only_where_there_is_one():
    given = inputs(2)
    given[1, 1] = 0
    there = losses.is_there(given[:, 1:2])
    assert there.tolist() == [True, False]
    made, wanted = torch.rand(2, 1, 8, 8), torch.rand(2, 1, 8, 8)
    changed = wanted.clone()
    changed[1] = 0
    assert torch.equal(losses.unlike(made, wanted, there), losses.unlike(made, changed, there))


def recipe_of(made, network):
    return players.build(network, made, targets, CPU, {})


def test_each_player_is_moved_before_the_next_one_is_asked():
    made, net = game(), network().train()
    recipe = recipe_of(made, net)
    assert list(recipe.players()) == ["network", "discriminator", "low_resolution"]
    judge = made.players["discriminator"]
    seen = []
    handle = judge.register_forward_hook(lambda part, *_: seen.append(part[0].weight.detach().clone()))
    order = []
    for move in moves_of(recipe, batch(), CPU, "fp32"):
        order.append(move.player)
        torch.autograd.backward(move.loss, inputs=move.parameters)
        with torch.no_grad():
            for weight in move.parameters:
                weight.sub_(0.1 * weight.grad)
                weight.grad = None
    handle.remove()
    assert order == ["discriminator", "low_resolution", "network"]
    assert torch.equal(seen[0], seen[1])  # both verdicts of its own turn
    assert not torch.equal(seen[1], seen[2])  # the generator meets a discriminator that has learned


def test_the_turn_of_one_player_moves_no_other():
    made, net = game(), network().train()
    recipe = recipe_of(made, net)
    owned = {name: {id(one) for one in weights} for name, weights in recipe.players().items()}
    for move in moves_of(recipe, batch(), CPU, "fp32"):
        move.loss.backward()
        given = {name for name, module in recipe.modules.items() for one in module.parameters() if one.grad is not None}
        assert given == {move.player}
        assert {id(one) for one in move.parameters} == owned[move.player]
        for module in recipe.modules.values():
            module.zero_grad(set_to_none=True)
    assert all(one.requires_grad for module in recipe.modules.values() for one in module.parameters())


def test_a_loss_without_players_is_refused_by_the_recipe():
    with pytest.raises(ConfigError, match="take supervised"):
        players.build(network(), nn.MSELoss(), targets, CPU, {})


def test_the_loss_names_its_recipe():
    (many,) = picks(CATALOG, "losses", {"name": "anna_palm"})
    (one,) = picks(CATALOG, "losses", {"name": "msssim_l1"})
    assert trained_by(CATALOG, many).name == "players"
    assert trained_by(CATALOG, one) == SUPERVISED


def test_two_colours_have_two_maps():
    made, given = game(colors=2), batch(colors=2)
    raw = network(colors=2)(given.inputs)
    assert raw.shape == (2, 2, 32, 32)
    assert [player for player, *_ in made.turns(raw, targets(given))][-1] == "network"


def test_the_network_is_exported_with_free_sizes():
    made = network().eval()
    dims = dict.fromkeys((0, 2, 3), torch.export.Dim.AUTO)
    program = torch.export.export(made, (inputs(2, 32),), dynamic_shapes=(dims,)).module()
    given = inputs(3, 48)
    torch.testing.assert_close(program(given), made(given), rtol=1e-4, atol=1e-5)
