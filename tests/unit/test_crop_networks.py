"""Networks of single crops: what their cards say of them holds, and both learn what simulated crops tell."""

import io

import numpy as np
import pytest
import torch

from smlmbench.camera import Camera
from smlmbench.data import psf_crops
from smlmbench.data.contracts import Given, Scope, Statistics
from smlmbench.errors import ConfigError
from smlmbench.losses.crlb_mse import CrlbMse
from smlmbench.outputs import parameters
from smlmbench.registry import Catalog
from smlmbench.study.sources import PluginSource

NAMES = ("zelger", "kim_z")
POSITION = ("x_nm", "y_nm", "z_nm", "photons", "background_photons")
STATISTICS = Statistics(mean=18.0, std=22.0, low=2.0, high=160.0)


def built(name, asked=("z_nm",), side=9, told=None, statistics=STATISTICS, **chosen):
    card = Catalog().card("models", name)
    output = {"parameter_mean": dict.fromkeys(asked, 0.0), **(told or {})}
    torch.manual_seed(0)
    given = Given(1, 1, 100.0, statistics, output=output, unit_sides=(side, side))
    return Catalog().module("models", name).build(card.fill(name, {**card.tiny, **chosen}), given)


def crops(n=6, side=9, photons=300.0, background=10.0):
    at = torch.arange(float(side)) - side / 2 + 0.4
    spot = torch.exp(-(at**2 + at[:, None] ** 2) / 5)
    noise = torch.poisson(torch.full((n, 1, side, side), background), generator=torch.Generator().manual_seed(1))
    return spot / spot.sum() * photons * torch.linspace(0.5, 2, n)[:, None, None, None] + noise


def count(network):
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)


@pytest.mark.parametrize(("name", "side", "asked"), [("zelger", 16, POSITION), ("kim_z", 13, ("z_nm",))])
def test_the_card_states_the_number_of_parameters(name, side, asked):
    card = Catalog().card("models", name)
    whole = {key: setting.default for key, setting in card.settings.items()}
    assert card.parameters == {f"side_px={side}": count(built(name, asked, side, **whole))}


def test_every_zernike_mode_that_the_data_ask_is_one_output_more():
    modes = tuple(f"zernike_{index}_mlambda" for index in (5, 6, 7))
    small, large = (built("zelger", asked) for asked in (POSITION, POSITION + modes))
    assert small(crops()).shape == (6, 5)
    assert large(crops()).shape == (6, 8)
    assert count(large) - count(small) == 3 * (16 + 1)  # of the tiny hidden layer, and a bias


@pytest.mark.parametrize("name", NAMES)
def test_an_angle_may_be_told_by_its_sine_and_cosine(name):
    told = {"parameter_period": {"azimuth_deg": 360.0}, "periodic": "sine_cosine"}
    assert built(name, ("polar_deg", "azimuth_deg"), told=told)(crops()).shape == (6, 3)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns(name):
    network = built(name).double().train()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(2):
        optimiser.zero_grad()
        (network(crops().double()) - 3).square().mean().backward()
        optimiser.step()
    assert [key for key, weight in network.named_parameters() if not bool(weight.grad.any())] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_crop_has_the_same_answer_alone_and_among_others(name):
    network = built(name).eval()
    with torch.no_grad():
        assert torch.allclose(network(crops())[:1], network(crops()[:1]), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("photons", [0.0, 7.0, 65535.0])
def test_flat_crops_have_finite_answers(name, photons):
    for setting, kinds in (("scaling", ("signal", "root")), ("scale", ("sum", "max", "none"))):
        for kind in kinds if setting in Catalog().card("models", name).settings else ():
            network = built(name, **{setting: kind}).eval()
            assert bool(network(torch.full((1, 1, 9, 9), photons)).isfinite().all())


@pytest.mark.parametrize("name", NAMES)
def test_the_state_travels_with_its_scaling(name):
    file = io.BytesIO()
    network = built(name).eval()
    torch.save(network.state_dict(), file)
    file.seek(0)
    other = built(name, statistics=Statistics(mean=1.0, std=2.0, low=0.0, high=5.0)).eval()
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(network(crops()), other(crops()))


@pytest.mark.parametrize("scale", ["sum", "max", "none"])
def test_kim_z_is_blind_to_brightness_and_background_where_its_card_says_so(scale):
    card = Catalog().card("models", "kim_z").under({"scale": scale})
    assert card.facts["invariant"] == ([] if scale == "none" else ["background", "brightness"])
    network = built("kim_z", scale=scale).eval()
    same = torch.allclose(network(crops()), network(3 * crops() + 40), atol=1e-3)
    assert same == bool(card.facts["invariant"])


def test_zelger_is_told_brightness_and_background_by_its_crop():
    network = built("zelger", POSITION).eval()
    here = network(crops())
    assert not torch.allclose(here, network(2 * crops()), atol=1e-3)
    assert not torch.allclose(here, network(crops() + 40), atol=1e-3)


def test_crops_that_vanish_in_the_poolings_are_refused():
    with pytest.raises(ConfigError, match="crops of 3 x 3 px vanish"):
        built("zelger", side=3)


def source(asked):
    catalog = Catalog()
    settings = catalog.card("data", "psf_crops").fill(
        "psf_crops", {"field_px": 9, "photons": 3000, "parameters": asked}
    )
    settings["z_nm"] = {"min": -300.0, "max": 300.0, "law": "uniform"}
    lens = catalog.card("psf", "astigmatic").fill("psf", {"range_nm": 500.0})
    facts = catalog.card("data", "psf_crops").facts
    return PluginSource(
        kind="psf_crops", settings=settings, facts=facts, pixel_size_nm=100.0, psf={"name": "astigmatic", **lens},
        camera=Camera(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "asked", "chosen"),
    [("zelger", "all", {"width": 8, "hidden": 64}), ("kim_z", "z_nm", {"first": 128, "second": 64, "third": 32})],
)
def test_it_learns_from_simulated_crops(name, asked, chosen):
    stream = psf_crops.training_set(source(asked), {}, Scope(1), Catalog())
    settings = {"periodic": "direct", **stream.output_settings}
    asked = tuple(stream.output_settings["parameter_mean"])
    network = built(name, asked, told=stream.output_settings, statistics=stream.statistics, **chosen).train()
    optimiser, loss = torch.optim.Adam(network.parameters(), lr=2e-3), CrlbMse(weighted=False)
    batches = [stream.batch(64 * k, 64) for k in range(4)]
    for step in range(240):
        batch = batches[step % 4]
        optimiser.zero_grad()
        loss(network(batch.inputs), parameters.targets(batch, settings))["loss"].backward()
        optimiser.step()
    unseen = stream.batch(64 * 9, 128)
    with torch.no_grad():
        told = parameters.decode(network.eval()(unseen.inputs), settings, 0.0).values["z_nm"]
    true = unseen.truth.values["z_nm"]
    assert np.sqrt(np.mean((told - true) ** 2)) < 0.4 * true.std()
