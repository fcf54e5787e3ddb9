"""Which hidden layers are laid side by side, what maps them, and how far a teacher is followed."""

from functools import cache

import pytest
import torch
from torch import nn

from smlmbench.errors import ConfigError, SizeError
from smlmbench.recipes.attention import Measures, phi_of, sample_errors, seed_eta
from smlmbench.recipes.hints import _sizes, adapter, default_pair, maps_of, part_before, tapped
from smlmbench.registry import Catalog

CATALOG = Catalog()
MODELS = ("deep_storm", "skip_storm", "u_storm", "drl_storm", "fid_storm", "srcnn")


def student():
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(inplace=True)),
        nn.Conv2d(3, 1, 3, padding=1),
    )


def test_phi_by_hand():
    # Errors 1, 2 and 5: eta 4, Phi 3/4, 1/2 and -1/4; shifted by the smallest: 1, 3/4 and 0.
    errors = torch.tensor([1.0, 2.0, 5.0])
    measures = Measures()
    measures.see(errors[:2])
    measures.see(errors[2:])
    assert measures.eta == 4
    assert phi_of(errors, measures.low, measures.eta, "per_sample", clamp=False).tolist() == [0.75, 0.5, -0.25]
    assert phi_of(errors, measures.low, measures.eta, "per_sample", clamp=True).tolist() == [0.75, 0.5, 0.0]
    assert phi_of(errors, measures.low, measures.eta, "shifted", clamp=False).tolist() == [1.0, 0.75, 0.0]


def test_phi_of_the_worst_sample_is_minus_its_smallest_error_over_eta():
    errors = torch.tensor([0.3, 0.7, 1.1])
    phi = phi_of(errors, 0.3, 0.8, "per_sample", clamp=False)
    assert phi.min().item() == pytest.approx(-0.3 / 0.8)


def test_phi_is_one_where_the_teacher_errs_alike_everywhere():
    assert phi_of(torch.tensor([2.0, 2.0]), 2.0, 0.0, "per_sample", clamp=True).tolist() == [1.0, 1.0]


def test_the_seeds_eta_is_the_spread_of_the_history():
    assert seed_eta([0.66, 0.2, 0.10]) == pytest.approx(0.56)
    with pytest.raises(ConfigError, match="needs the loss history"):
        seed_eta([])


def test_errors_are_per_sample_and_need_one_upsampling():
    raw, wanted = torch.zeros(2, 1, 16, 16), torch.zeros(2, 1, 16, 16)
    raw[1, 0, 8, 8] = 1
    # The squared 7 x 7 kernel of sigma 1 sums to 0.07968.
    assert sample_errors(raw, wanted).tolist() == pytest.approx([0, 0.07968 / 256], rel=1e-3)
    with pytest.raises(ConfigError, match="1x16x16 and 1x8x8 cannot be compared"):
        sample_errors(raw, wanted[..., :8, :8])


@pytest.mark.parametrize(
    ("ours", "theirs", "kind"),
    [
        ((3, 8, 8), (6, 8, 8), nn.Conv2d),
        ((3, 16, 16), (6, 8, 8), nn.Conv2d),
        ((3, 32, 32), (6, 8, 8), nn.Conv2d),
        ((3, 8, 8), (6, 16, 16), nn.ConvTranspose2d),
        ((3, 4, 4), (6, 16, 16), nn.ConvTranspose2d),
        ((3, 9, 9), (6, 8, 8), nn.Module),
        ((3, 8, 16), (6, 8, 8), nn.Module),
    ],
)
def test_an_adapter_brings_any_map_to_the_teachers_shape(ours, theirs, kind):
    made = adapter(torch.Size((2, *ours)), torch.Size((2, *theirs)), "convolution")
    assert isinstance(made, kind)
    assert made(torch.rand(2, *ours)).shape[1:] == theirs
    assert (
        adapter(torch.Size((2, *ours)), torch.Size((2, *theirs)), "interpolation")(torch.rand(2, *ours)).shape[1:]
        == theirs
    )


def test_maps_that_differ_are_refused_with_both_shapes_where_asked_for():
    message = r"student's layer \(3x8x8\) and the teacher's \(6x16x16\) differ in size"
    with pytest.raises(SizeError, match=message):
        adapter(torch.Size((2, 3, 8, 8)), torch.Size((2, 6, 16, 16)), "none")
    with pytest.raises(SizeError, match=r"are not both maps"):
        adapter(torch.Size((2, 3)), torch.Size((2, 6, 16, 16)), "convolution")


@cache
def built(name, upsampling):
    from smlmbench.data.contracts import Given, Statistics
    from smlmbench.inference.checkpoint import build_network

    card = CATALOG.card("models", name)
    with torch.device("meta"):
        given = Given(1, upsampling, 100.0, Statistics(10.0, 3.0, 1.0, 30.0))
        return build_network(CATALOG, name, card.fill(name, card.tiny), given).eval(), card.facts["hint_layers"]


@cache
def shape_of(network, layer):
    frames = torch.zeros(1, 1, 16, 16, device="meta")
    with torch.no_grad():
        return maps_of(network, layer, lambda: network(frames)).shape


@pytest.mark.parametrize("upsampling", [8, 4, 2, 1])
@pytest.mark.parametrize(("high", "low"), [(one, other) for one in MODELS for other in MODELS])
def test_default_pairs_agree_in_size_where_any_do(high, low, upsampling):
    if upsampling == 1 and "fid_storm" in (high, low):
        return  # refused there, and its variant seed is tested below
    (their_net, theirs), (our_net, ours) = built(high, upsampling), built(low, upsampling)
    pair = default_pair(theirs, ours, upsampling)
    shapes = [shape_of(their_net, pair[0])[2:], shape_of(our_net, pair[1])[2:]]
    if {high, low} != {"fid_storm", "srcnn"}:  # a trunk on the camera grid and maps on the fine grid alone
        assert shapes[0] == shapes[1]
    adapter(shape_of(our_net, pair[1]), shape_of(their_net, pair[0]), "convolution")


@pytest.mark.parametrize(
    ("high", "low", "upsampling", "pair"),
    [
        ("deep_storm", "fid_storm", 8, ("bottleneck", "trunk")),
        ("deep_storm", "fid_storm", 4, ("decoder.0", "trunk")),
        ("deep_storm", "fid_storm", 2, ("decoder.1", "trunk")),
        ("deep_storm", "srcnn", 8, ("decoder.2", "mapping")),
        ("drl_storm", "deep_storm", 8, ("finder.trunk.bottleneck", "bottleneck")),
    ],
)
def test_default_pairs_are_those_of_the_table(high, low, upsampling, pair):
    facts = [CATALOG.card("models", name).facts["hint_layers"] for name in (high, low)]
    assert default_pair(*facts, upsampling) == pair


@pytest.mark.parametrize("upsampling", [8, 4, 2, 1])
@pytest.mark.parametrize("variant", ["published", "seed"])
@pytest.mark.parametrize("name", MODELS)
def test_layers_are_as_large_as_their_card_says_at_every_upsampling(name, variant, upsampling):
    from smlmbench.data.contracts import Given, Statistics
    from smlmbench.inference.checkpoint import build_network

    settings = CATALOG.card("models", name).fill(name, {"variant": variant})
    facts = CATALOG.card("models", name).under(settings).facts
    if (name, variant, upsampling) == ("fid_storm", "published", 1):
        return
    with torch.device("meta"):
        given = Given(1, upsampling, 100.0, Statistics(10.0, 3.0, 1.0, 30.0))
        network = build_network(CATALOG, name, settings, given).eval()
    sizes = _sizes(facts["hint_layers"], upsampling)
    assert sizes
    for layer, fine_px in sizes.items():
        assert shape_of(network, layer)[2:] == (16 * upsampling / fine_px,) * 2, layer


def test_where_grids_are_one_the_trunk_of_the_camera_grid_is_still_a_hint():
    facts = CATALOG.card("models", "fid_storm").facts["hint_layers"]
    assert default_pair([{"layer": "x", "fine_px": 1}], facts, 1) == ("x", "trunk")


def test_a_stage_that_ends_on_the_fine_grid_is_no_hint():
    facts = CATALOG.card("models", "fid_storm").facts["hint_layers"]
    assert default_pair(facts, [{"layer": "x", "fine_px": 2}], 4) == ("decoder.0", "x")
    assert default_pair(facts, [{"layer": "x", "fine_px": 1}], 4)[0] == "decoder.0"
    assert default_pair([], facts, 8) is None


def test_a_layer_that_is_not_there_names_the_nearest():
    with pytest.raises(ConfigError, match="'decoder' is not a layer of Sequential"):
        maps_of(student(), "decoder", lambda: None)
    with pytest.raises(ConfigError, match="takes no part"):
        maps_of(student(), "0", lambda: None)


def test_a_tap_keeps_what_later_layers_change_in_place():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(inplace=True))
    with tapped(net, "0") as seen:
        net(torch.randn(1, 1, 4, 4))
    assert seen[0].min() < 0


def test_the_part_before_a_layer():
    net = student()
    maps = maps_of(net, "0", lambda: net(torch.rand(1, 1, 8, 8)))
    parameters, modules = part_before(net, maps)
    assert {id(one) for one in parameters} == {id(one) for one in net[0].parameters()}
    assert set(modules) == {net[0][0], net[0][1]}
