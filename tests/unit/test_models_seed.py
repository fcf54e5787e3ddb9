import pytest
import torch
from torch import nn
from torch.nn import functional

from smlmbench.data.contracts import Given, Statistics
from smlmbench.errors import ConfigError
from smlmbench.losses import l1l2
from smlmbench.models import drl_storm
from smlmbench.registry import Catalog

STATISTICS = Statistics(mean=20.0, std=8.0, low=4.0, high=120.0)
COUNTS = {
    "srcnn": 3_203,
    "deep_storm": 1_367_171,
    "skip_storm": 1_367_436,
    "u_storm": 144_003,
    "drl_storm": 9_415_203,
    "fid_storm": 227_585,
}
NAMES = tuple(COUNTS)


def built(name, upsampling=2, device="cpu", channels=1, **settings):
    catalog = Catalog()
    given = Given(channels=channels, upsampling=upsampling, pixel_size_nm=100.0, statistics=STATISTICS)
    torch.manual_seed(0)
    with torch.device(device):
        return catalog.module("models", name).build(catalog.card("models", name).fill(name, settings), given)


def seed(name, **settings):
    return built(name, variant="seed", **settings)


def layers(model, kind):
    return [module for module in model.modules() if isinstance(module, kind)]


def sizes_inside(model, side=16):
    """Output shapes (channels, height, width) of every part, at upsampling 2."""
    seen = {}
    for name, module in model.named_modules():
        module.register_forward_hook(lambda _m, _i, out, name=name: seen.__setitem__(name, tuple(out.shape[1:])))
    with torch.no_grad():
        model.eval()(torch.zeros(1, 1, side, side))
    return seen


@pytest.mark.parametrize(("name", "expected"), COUNTS.items())
def test_parameters_are_those_of_the_seed(name, expected):
    assert sum(weight.numel() for weight in seed(name, upsampling=8, device="meta").parameters()) == expected


@pytest.mark.parametrize("name", NAMES)
def test_every_convolution_has_a_bias_and_batch_norm_has_pytorchs_constants(name):
    model = seed(name, device="meta")
    assert all(module.bias is not None for module in layers(model, nn.Conv2d))
    assert {(norm.eps, norm.momentum) for norm in layers(model, nn.BatchNorm2d)} == {(1e-5, 0.1)}


@pytest.mark.parametrize("name", ["deep_storm", "skip_storm"])
def test_the_seeds_decoder_works_at_twice_the_published_resolution(name):
    trunk = "trunk." if name == "skip_storm" else ""
    parts = [f"{trunk}{part}" for part in ("bottleneck", "decoder.0", "decoder.1", "decoder.2")]
    wired, published = (sizes_inside(built(name, variant=variant)) for variant in ("seed", "published"))
    assert [wired[part] for part in parts] == [(512, 8, 8), (128, 16, 16), (64, 32, 32), (32, 32, 32)]
    assert [published[part] for part in parts] == [(512, 4, 4), (128, 8, 8), (64, 16, 16), (32, 32, 32)]


def test_the_seeds_drl_storm_has_the_sizes_of_its_table():
    seen = sizes_inside(seed("drl_storm"))
    for stage in ("finder", "corrector"):
        encoder = [seen[f"{stage}.{part}"] for part in ("encoder.0", "encoder.1", "encoder.2", "bottleneck")]
        assert encoder == [(64, 16, 16), (128, 8, 8), (592, 4, 4), (592, 4, 4)]
        assert [seen[f"{stage}.decoder.{i}"] for i in range(3)] == [(128, 8, 8), (64, 16, 16), (32, 32, 32)]
        last = seed("drl_storm", device="meta").get_submodule(f"{stage}.encoder.2")
        assert not layers(last, nn.ReLU)


def test_the_seeds_fid_storm_works_on_the_fine_grid_and_joins_its_first_maps():
    model = seed("fid_storm")
    seen = sizes_inside(model)
    assert (seen["trunk.first"], seen["trunk"], seen["decoder"]) == ((64, 32, 32), (128, 32, 32), (1, 32, 32))
    assert len(model.trunk.blocks) == 5
    assert layers(model.decoder, nn.LeakyReLU) == []
    fine = torch.rand(1, 1, 8, 8)
    with torch.no_grad():
        first = model.trunk.first(fine)
        torch.testing.assert_close(model.trunk(fine), torch.cat((first, model.trunk.blocks(first)), dim=1))


def test_the_seeds_skip_storm_output_sees_the_scaled_upsampled_frame():
    model = seed("skip_storm", normalisation="photon_scale", width=0.125).eval()
    with torch.no_grad():
        convolution = model.head[0]
        convolution.weight.zero_()
        convolution.bias.zero_()
        convolution.weight[0, -1, 1, 1] = 120.0
        frames = torch.rand(1, 1, 8, 8)
        expected = frames.repeat_interleave(2, -1).repeat_interleave(2, -2) / (1 + 1e-5) ** 0.5
        torch.testing.assert_close(model(frames), expected)


def answer_of(part, model, frames):
    """What a part of a network answers to frames."""
    seen = {}
    part.register_forward_hook(lambda _m, _i, out: seen.update(out=out))
    with torch.no_grad():
        model.eval()(frames)
    return seen["out"][0]


def test_the_seeds_residual_channels_are_all_alike_and_those_of_the_published_network_are_not():
    frames = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(1)) * 100
    model = seed("drl_storm")
    wired = answer_of(model.residual, model, frames)
    assert wired.shape == (32, 32, 32)
    assert float((wired - wired[:1]).abs().max()) == 0
    assert float(wired.std()) > 0
    published = built("drl_storm", width=0.25)
    maps = answer_of(published.corrector.first[0], published, frames).flatten(1)
    assert len({tuple(channel.tolist()) for channel in maps}) == len(maps) == 8


def test_the_seeds_residual_is_the_moved_sum_of_all_maps():
    maps = torch.zeros(1, 32, 15, 15)
    maps[0, :, 7, 7] = 1.0
    blurred = -drl_storm.SeedResidual()(torch.zeros(1, 1, 15, 15), maps)[0, 0]
    assert blurred.sum().item() == pytest.approx(32.0, rel=1e-5)
    at = torch.arange(15.0)
    for axis in (0, 1):
        assert (blurred.sum(axis) @ at / blurred.sum()).item() == pytest.approx(7 - 0.578, abs=1e-3)


def test_the_seeds_residual_takes_one_frame():
    with pytest.raises(ConfigError, match="variant seed takes one frame, not 3"):
        seed("drl_storm", channels=3)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "drl_storm"])
def test_three_frames_in_one_map_out(name):
    model = seed(name, channels=3, width=0.125).eval()
    assert model(torch.rand(2, 3, 8, 8)).shape == (2, 1, 16, 16)


@pytest.mark.parametrize("name", ["u_storm", "drl_storm"])
def test_outputs_that_end_in_relu_are_nowhere_negative_and_can_die(name):
    model = seed(name, width=0.125).eval()
    frames = torch.rand(1, 1, 8, 8) * 100
    assert (model(frames) >= 0).all()
    nn.init.constant_(model.head[1].bias, -100.0)
    model(frames).square().sum().backward()
    assert not any(weight.grad.any() for weight in model.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_published_defaults_end_neither_in_batch_norm_nor_in_relu_and_cancel_no_bias(name):
    model = built(name, device="meta")
    assert all(norm.num_features > 1 for norm in layers(model, nn.BatchNorm2d))
    *_, last = (module for module in model.modules() if not list(module.children()))
    assert isinstance(last, nn.Conv2d | nn.LeakyReLU)
    if layers(model, nn.BatchNorm2d):
        assert all(module.bias is None for module in layers(model, nn.Conv2d))


@pytest.mark.parametrize("name", NAMES)
def test_published_defaults_keep_a_gradient_where_the_answer_is_negative(name):
    model = built(name, width=0.125)
    for weight in model.parameters():
        if not weight.any():
            nn.init.normal_(weight, std=0.1)
    frames = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(3)) * 100
    raw = model(frames)
    assert (raw < 0).any()
    raw[raw < 0].sum().backward()
    assert any(weight.grad is not None and weight.grad.any() for weight in model.parameters())


def test_default_kernels_move_nothing():
    spike = torch.zeros(1, 1, 31, 31)
    spike[..., 15, 15] = 1.0
    for blurred in (l1l2.blurred(spike), drl_storm.Spots(1.3, 2)(spike)):
        at = torch.arange(31.0)
        assert (blurred[0, 0].sum(0) @ at / blurred.sum()).item() == pytest.approx(15, abs=1e-4)
    assert Catalog().card("losses", "l1l2").settings["kernel"].default == "unit"


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("srcnn", "kernels", "9-5-5"),
        ("srcnn", "interpolation", "nearest"),
        ("fid_storm", "blocks", 13),
        ("fid_storm", "linear_output", True),
        ("drl_storm", "sigma_px", 1.0),
        *((name, "zero_last", not Catalog().card("models", name).settings["zero_last"].default) for name in NAMES),
    ],
)
def test_a_setting_without_meaning_is_refused(name, setting, value):
    with pytest.raises(ConfigError, match=f"{setting}: .* has no meaning with variant seed"):
        seed(name, **{setting: value})
    built(name, **{setting: value})
    assert "seed" in Catalog().card("models", name).settings[setting].help


@pytest.mark.parametrize("variant", ["published", "seed"])
@pytest.mark.parametrize("name", NAMES)
def test_at_upsampling_one_maps_have_the_size_of_the_frame(name, variant):
    if (name, variant) == ("fid_storm", "published"):
        with pytest.raises(ConfigError, match="fid_storm has no upsampling stage at upsampling 1"):
            built(name, upsampling=1)
        return
    model = built(name, upsampling=1, variant=variant, width=0.125).eval()
    assert model(torch.rand(2, 1, 16, 24)).shape == (2, 1, 16, 24)


@pytest.mark.parametrize("name", NAMES)
def test_frames_come_to_the_fine_grid_by_nearest_neighbours_after_normalisation(name):
    model = seed(name, upsampling=4, normalisation="photon_scale", width=0.125).eval()
    seen = {}

    def first_seen(_module, given):
        seen.setdefault("fine", given[0])

    for convolution in layers(model, nn.Conv2d):
        convolution.register_forward_pre_hook(first_seen)
    frames = torch.rand(1, 1, 4, 5) * 100
    with torch.no_grad():
        model(frames)
    torch.testing.assert_close(seen["fine"], functional.interpolate(frames / 120, scale_factor=4.0, mode="nearest"))
