import math

import pytest
import torch
from torch import nn

from smlmbench.data.contracts import Given, Statistics
from smlmbench.errors import ConfigError
from smlmbench.models.normalisation import KINDS, Normalisation
from smlmbench.registry import Catalog

STATISTICS = Statistics(mean=20.0, std=8.0, low=4.0, high=120.0)
NAMES = ("deep_storm", "fid_storm", "srcnn", "skip_storm", "u_storm", "drl_storm")


def built(name, upsampling=8, device="cpu", channels=1, **settings):
    catalog = Catalog()
    given = Given(channels=channels, upsampling=upsampling, pixel_size_nm=100.0, statistics=STATISTICS)
    torch.manual_seed(0)
    with torch.device(device):
        return catalog.module("models", name).build(catalog.card("models", name).fill(name, settings), given)


def awake(model):
    for weight in model.parameters():
        if not weight.any():
            nn.init.normal_(weight, std=0.1)
    return model.eval()


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("deep_storm", {}, 1_366_208),
        ("fid_storm", {"blocks": 5}, 208_720),
        ("fid_storm", {"blocks": 10}, 393_680),
        ("fid_storm", {"blocks": 13}, 504_656),
        ("srcnn", {}, 8_129),
        ("srcnn", {"kernels": "9-5-5"}, 57_281),
        ("srcnn", {"kernels": "3-1-3"}, 3_009),
        ("skip_storm", {}, 1_366_208 - 32 + 297),
        ("u_storm", {}, 144_003 - 273 - 2),  # without the biases and the output's batch normalisation
        ("drl_storm", {}, 9_405_504 + 32 + 288 + 2 * 3_264 + 1),
    ],
)
def test_parameters_are_those_of_the_published_networks(name, settings, expected):
    assert sum(weight.numel() for weight in built(name, device="meta", **settings).parameters()) == expected


def shapes_inside(model, frames):
    seen = {}
    for name, module in model.named_modules():
        module.register_forward_hook(lambda _m, _i, out, name=name: seen.__setitem__(name, tuple(out.shape[1:])))
    with torch.no_grad():
        model(frames)
    return seen


def test_deep_storm_maps_have_the_official_sizes():
    seen = shapes_inside(built("deep_storm").eval(), torch.zeros(1, 1, 26, 26))
    assert [seen[f"encoder.{i}"] for i in range(3)] == [(32, 104, 104), (64, 52, 52), (128, 26, 26)]
    assert seen["bottleneck"] == (512, 26, 26)
    assert [seen[f"decoder.{i}"] for i in range(3)] == [(128, 52, 52), (64, 104, 104), (32, 208, 208)]
    assert seen["head"] == (1, 208, 208)


def test_fid_storm_works_on_the_camera_grid_until_its_decoder():
    seen = shapes_inside(built("fid_storm", blocks=2).eval(), torch.zeros(1, 1, 26, 26))
    assert seen["trunk"] == (64, 26, 26)
    assert [seen[f"decoder.{i}"] for i in range(3)] == [(32, 52, 52), (16, 104, 104), (1, 208, 208)]


def test_deep_storm_has_keras_batch_norm_no_bias_and_an_orthogonal_start():
    model = built("deep_storm", zero_last=False)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 7
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            assert module.bias is None
            weight = module.weight.detach().flatten(1)
            product = weight @ weight.T if weight.shape[0] <= weight.shape[1] else weight.T @ weight
            torch.testing.assert_close(product, torch.eye(len(product)), atol=1e-4, rtol=0)


def test_fid_storm_starts_as_the_authors_do():
    model = built("fid_storm")
    assert model.trunk.first[0].weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 64)), rel=0.15)
    assert model.decoder[0][0].weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 32)), rel=0.05)
    assert model.decoder[1][0].weight.std().item() == pytest.approx(0.001, rel=0.05)
    assert model.decoder[2][0].weight.std().item() == pytest.approx(math.sqrt(2 / 9), rel=0.3)


def test_fid_storm_adds_its_trunk_to_its_first_maps():
    trunk = built("fid_storm", blocks=2).eval().trunk
    frames = torch.rand(1, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(trunk(frames), trunk.first(frames) + trunk.blocks(trunk.first(frames)))


def test_fid_storm_output_activation_scales_negatives_by_a_hundredth():
    frames = torch.rand(1, 1, 8, 8) * 100
    with torch.no_grad():
        official = built("fid_storm", blocks=1).eval()(frames)
        linear = built("fid_storm", blocks=1, linear_output=True).eval()(frames)
        assert official.shape == (1, 1, 64, 64)
    assert (linear < 0).any()
    torch.testing.assert_close(official, torch.where(linear > 0, linear, 0.01 * linear))


def test_skip_storm_output_sees_the_upsampled_frame():
    model = built("skip_storm", upsampling=2, width=0.125, normalisation="photon_scale").eval()
    with torch.no_grad():
        model.head.weight[0, -1, 1, 1] = 120.0
        frames = torch.rand(1, 1, 8, 8)
        torch.testing.assert_close(model(frames), frames.repeat_interleave(2, -1).repeat_interleave(2, -2))


def test_u_storm_maps_have_the_sizes_of_its_table():
    seen = shapes_inside(built("u_storm").eval(), torch.zeros(1, 1, 26, 26))
    assert [seen[name] for name in ("first", "second", "third")] == [(32, 208, 208), (64, 104, 104), (128, 52, 52)]
    assert [seen[name] for name in ("bottleneck", "decoder", "head")] == [(32, 52, 52), (16, 104, 104), (1, 208, 208)]


def test_drl_storm_maps_have_the_sizes_of_its_table():
    seen = shapes_inside(built("drl_storm", upsampling=2).eval(), torch.zeros(1, 1, 16, 16))
    for stage in ("finder", "corrector"):
        trunk = [seen[f"{stage}.trunk.{part}"] for part in ("encoder.0", "encoder.1", "encoder.2", "bottleneck")]
        assert seen[f"{stage}.first"] == (32, 32, 32)
        assert trunk == [(64, 16, 16), (128, 8, 8), (592, 4, 4), (592, 4, 4)]
        assert [seen[f"{stage}.trunk.decoder.{i}"] for i in range(3)] == [(128, 8, 8), (64, 16, 16), (32, 32, 32)]
        assert seen[f"{stage}.head"] == (1, 32, 32)


def drl_residual(spikes, upsampling, channels=1):
    """What the second stage of a DRL-STORM gets where the first one answers the given spikes, and its answer."""
    model = built("drl_storm", upsampling, width=0.0625, channels=channels, normalisation="photon_scale")
    awake(model)
    seen = {}
    model.finder.register_forward_hook(lambda _m, _i, _out: spikes)
    model.corrector.register_forward_hook(lambda _m, given, out: seen.update(given=given[0], out=out))
    size = (spikes.shape[-2] // upsampling, spikes.shape[-1] // upsampling)
    with torch.no_grad():
        answer = model(torch.full((1, channels, *size), 60.0))
    torch.testing.assert_close(answer, spikes + seen["out"])
    return seen["given"]


@pytest.mark.parametrize("upsampling", [2, 8])
def test_drl_storm_takes_spots_away_where_the_spikes_are(upsampling):
    side = 17 * upsampling
    spikes = torch.zeros(1, 1, side, side)
    row, column = 7 * upsampling, 9 * upsampling + 1
    spikes[0, 0, row, column] = 2.0
    spot = (0.5 - drl_residual(spikes, upsampling))[0, 0]
    at = torch.arange(float(side))
    assert spot.sum().item() == pytest.approx(2 * upsampling**2, rel=1e-4)
    assert (spot.sum(1) @ at / spot.sum()).item() == pytest.approx(row, abs=1e-3)
    assert (spot.sum(0) @ at / spot.sum()).item() == pytest.approx(column, abs=1e-3)
    spread = (spot.sum(0) @ (at - column).square() / spot.sum()).sqrt().item() / upsampling
    assert spread == pytest.approx(1.3, rel=0.03)  # cut at 3 sigma


def test_drl_storm_residual_has_the_channels_of_the_frame_and_gives_distinct_maps():
    spikes = torch.zeros(1, 1, 32, 32)
    spikes[0, 0, 16, 16] = 1.0
    model = built("drl_storm", 2, width=0.0625, channels=3)
    assert model.gain.shape == (3, 1, 1)
    assert drl_residual(spikes, 2, channels=3).shape == (1, 3, 32, 32)
    first = awake(built("drl_storm", 2, width=0.25)).corrector.first[0]
    with torch.no_grad():
        maps = first(drl_residual(spikes, 2))[0].flatten(1)
    assert len({tuple(channel.tolist()) for channel in maps}) == len(maps)


@pytest.mark.parametrize("name", ["deep_storm", "skip_storm", "u_storm", "drl_storm"])
def test_no_bias_and_no_batch_norm_at_the_output(name):
    model = built(name, width=0.125)
    assert all(module.bias is None for module in model.modules() if isinstance(module, nn.Conv2d))
    assert (awake(model)(torch.rand(1, 1, 8, 8) * 100) < 0).any()
    assert all(module.num_features > 1 for module in model.modules() if isinstance(module, nn.BatchNorm2d))


@pytest.mark.parametrize("name", NAMES)
def test_zero_last_starts_from_an_empty_map(name):
    model = built(name, upsampling=2, zero_last=True)
    assert not model.eval()(torch.rand(1, 1, 8, 8)).any()


@pytest.mark.parametrize("name", NAMES)
def test_three_frames_in_one_map_out(name):
    assert built(name, upsampling=2, channels=3, width=0.125).eval()(torch.rand(2, 3, 8, 8)).shape == (2, 1, 16, 16)


@pytest.mark.parametrize("interpolation", ["bicubic", "nearest"])
@pytest.mark.parametrize("upsampling", [2, 8])
def test_srcnn_interpolation_keeps_positions(interpolation, upsampling):
    model = built("srcnn", upsampling=upsampling, interpolation=interpolation, normalisation="photon_scale")
    for weight in model.parameters():
        nn.init.zeros_(weight)
    for convolution in (model.extraction[0], model.mapping[0], model.head):
        nn.init.dirac_(convolution.weight)
    frames = torch.zeros(1, 1, 15, 15)
    frames[0, 0, 7, 4] = 100.0
    with torch.no_grad():
        raw = model(frames)[0, 0]
    at = (torch.arange(15 * upsampling) + 0.5) / upsampling
    assert (raw.sum(1) @ at / raw.sum()).item() == pytest.approx(7.5, abs=1e-4)
    assert (raw.sum(0) @ at / raw.sum()).item() == pytest.approx(4.5, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "settings", "upsampling", "expected"),
    [
        ("deep_storm", {"width": 0.125}, 8, 7),
        ("deep_storm", {"width": 0.125}, 4, 15),
        ("deep_storm", {"width": 0.125}, 2, 31),
        ("fid_storm", {"blocks": 3, "width": 0.25}, 8, 11),
        ("fid_storm", {"blocks": 3, "width": 0.25}, 2, 11),
        ("srcnn", {"width": 0.25}, 8, 7),
        ("srcnn", {"width": 0.25}, 2, 11),
        ("srcnn", {"kernels": "3-1-3", "interpolation": "nearest"}, 8, 3),
        ("srcnn", {"width": 0.25}, 1, 13),
        ("deep_storm", {"width": 0.125}, 1, 59),
        ("skip_storm", {"width": 0.125}, 8, 7),
        ("skip_storm", {"width": 0.125}, 2, 31),
        ("u_storm", {"width": 0.25}, 8, 5),
        ("u_storm", {"width": 0.25}, 4, 7),
        ("u_storm", {"width": 0.25}, 2, 13),
        ("u_storm", {"width": 0.25}, 1, 27),
        ("drl_storm", {"width": 0.0625}, 8, 21),
        ("drl_storm", {"width": 0.0625, "sigma_px": 0.5}, 4, 31),
        ("srcnn", {"variant": "seed", "width": 0.25}, 8, 3),
        ("srcnn", {"variant": "seed", "width": 0.25}, 1, 5),
        ("deep_storm", {"variant": "seed", "width": 0.125}, 8, 5),
        ("deep_storm", {"variant": "seed", "width": 0.125}, 2, 23),
        ("skip_storm", {"variant": "seed", "width": 0.125}, 8, 7),
        ("skip_storm", {"variant": "seed", "width": 0.125}, 2, 25),
        ("u_storm", {"variant": "seed", "width": 0.25}, 8, 5),
        ("u_storm", {"variant": "seed", "width": 0.25}, 1, 27),
        ("drl_storm", {"variant": "seed", "width": 0.25}, 8, 13),
        ("drl_storm", {"variant": "seed", "width": 0.25}, 2, 55),
        ("fid_storm", {"variant": "seed", "width": 0.25}, 8, 5),
        ("fid_storm", {"variant": "seed", "width": 0.25}, 1, 19),
    ],
)
def test_receptive_field_is_exact(name, settings, upsampling, expected):
    """No pixel outside is seen (conformance shows it too), and the outermost ones inside are."""
    catalog = Catalog()
    model = awake(built(name, upsampling, **settings))
    if isinstance(model.head if hasattr(model, "head") else None, nn.Sequential):
        nn.init.constant_(model.head[1].bias, 30.0)  # else the seed's last ReLU hides what is seen
    filled = catalog.card("models", name).fill(name, settings)
    assert catalog.module("models", name).receptive_field_px(filled, upsampling) == expected
    side = 16 * math.ceil((expected + 8) / 16)
    reach = 0
    for centre in range(side // 2 - 4, side // 2 + 4):
        frames = (torch.rand(1, 1, side, side) * 100).requires_grad_()
        block = slice(centre * upsampling, (centre + 1) * upsampling)
        model(frames)[..., block, block].square().sum().backward()
        seen = frames.grad[0, 0].abs().sum(0).nonzero()
        reach = max(reach, int((seen - centre).abs().max()))
    assert reach == (expected - 1) / 2


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("photon_scale", [0.0, 30 / 120, 60 / 120]),
        ("train_zscore", [-2.5, 1.25, 5.0]),
        ("frame_minmax", [0.0, 0.5, 1.0]),
        ("frame_minmax_zscore", [(v - 16 / 116) / (8 / 116) for v in (0.0, 0.5, 1.0)]),
    ],
)
def test_normalisation_formulas(kind, expected):
    frames = torch.tensor([0.0, 30.0, 60.0]).view(1, 1, 1, 3)
    torch.testing.assert_close(Normalisation(kind, STATISTICS)(frames).flatten(), torch.tensor(expected))


@pytest.mark.parametrize("kind", KINDS)
def test_normalisation_survives_constant_frames_and_flat_statistics(kind):
    flat = Normalisation(kind, Statistics(mean=0.0, std=0.0, low=0.0, high=0.0))
    assert flat(torch.full((2, 1, 4, 4), 9.0)).isfinite().all()


def test_scaling_by_noise_takes_the_local_background_out_of_a_flat_frame():
    frames = torch.full((1, 1, 40, 40), 15.625)  # sqrt(15.625 + .375) = 4
    frames[..., 20, 20] = 99.625  # sqrt(99.625 + .375) = 10
    scaled = Normalisation("noise_scaled", STATISTICS)(frames)[0, 0]
    assert scaled[0, 0].item() == pytest.approx(0, abs=1e-6)
    # of the bright pixel the first mean keeps 84 / 225, the second what is below one standard deviation of that
    mean = 15.625 + 84 / 225
    background = 15.625 + (mean + (mean + 1) ** 0.5 - 15.625) / 225
    assert scaled[20, 20].item() == pytest.approx((10 - (background + 0.375) ** 0.5) / 2, abs=1e-4)


@pytest.mark.parametrize("level", [10.0, 100.0, 1000.0])
def test_scaled_by_noise_any_background_has_the_same_noise(level):
    generator = torch.Generator().manual_seed(1)
    frames = torch.poisson(torch.full((4, 1, 64, 64), level), generator=generator)
    scaled = Normalisation("noise_scaled", STATISTICS)(frames)
    assert scaled.std().item() == pytest.approx(0.25, rel=0.04)
    assert abs(scaled.mean().item()) < 0.03  # cutting leaves the background 0.08 standard deviations low


def test_what_scaling_by_noise_sees_is_what_it_says():
    frames = torch.full((1, 1, 61, 61), 10.0)
    frames[..., ::2, ::2] = 50.0  # cut off where the mean says, which is what reaches farthest
    frames[..., 1::2, 1::2] = 50.0
    frames.requires_grad_()
    normalise = Normalisation("noise_scaled", STATISTICS)
    normalise(frames)[0, 0, 30, 30].backward()
    seen = frames.grad[0, 0].nonzero()
    assert int((seen - 30).abs().max()) == normalise.reach_px == 14


def test_frame_normalisation_uses_each_frame_alone():
    frames = torch.stack([torch.rand(1, 6, 6), 50 * torch.rand(1, 6, 6) + 10])
    out = Normalisation("frame_minmax", STATISTICS)(frames)
    assert out.amin(dim=(1, 2, 3)).tolist() == [0.0, 0.0]
    assert out.amax(dim=(1, 2, 3)).tolist() == [1.0, 1.0]


def test_a_tile_with_the_range_of_its_frame_is_a_cut_of_the_whole():
    model = awake(built("fid_storm", blocks=1, upsampling=2, normalisation="frame_minmax"))
    frames = torch.rand(2, 1, 40, 40) * 100
    extremes = torch.stack([frames.amin(dim=(1, 2, 3)), frames.amax(dim=(1, 2, 3))], dim=1)
    with torch.no_grad():
        whole, tile = model(frames), model(frames[..., :20, :20], extremes)
    torch.testing.assert_close(tile[..., :30, :30], whole[..., :30, :30])


def test_statistics_travel_in_the_state_dict():
    other = Normalisation("train_zscore", Statistics(mean=0.0, std=1.0, low=0.0, high=1.0))
    other.load_state_dict(Normalisation("train_zscore", STATISTICS).state_dict())
    assert other(torch.full((1, 1, 1, 1), 28.0)).item() == 1.0


def test_unknown_normalisation_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'train_zscore'"):
        Normalisation("train_zscor", STATISTICS)
