import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from smlmbench.data.contracts import ArrayFrames, Given, Statistics
from smlmbench.inference.engine import ReadOut, predict
from smlmbench.losses import fd_deeploc_nll
from smlmbench.models.mixture import PhotonScaling, of_each_frame
from smlmbench.outputs import gaussian_mixture as mixture
from smlmbench.registry import Catalog

CATALOG = Catalog()
STATISTICS = Statistics(mean=60.0, std=30.0, low=4.0, high=900.0)
KNOWN = {"photons_high": 4000.0, "background_high": 25.0, "z_low_nm": -400.0, "z_high_nm": 600.0}


def built(name, device="cpu", detectors=1, known=KNOWN, **settings):
    chosen = CATALOG.card("models", name).fill(name, settings)
    context = chosen["context"]
    torch.manual_seed(0)
    with torch.device(device):
        given = Given(context * detectors, 1, 100.0, STATISTICS, context, known)
        return CATALOG.module("models", name).build(chosen, given)


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("decode", {}, 2_199_418),
        ("decode", {"features": 16}, 245_210),
        ("decode", {"context": 1}, 2_199_418 - 2 * 48 * 9 * 48),  # one frame's maps enter the second U-Net, not three
        ("fd_deeploc", {}, 2_199_418 + 2 * 144),
        ("fd_deeploc", {"coordinates": True}, 2_199_418 + 2 * 144 + 3 * 144 + 3 * 48),
    ],
)
def test_parameters_are_those_of_the_published_networks(name, settings, expected):
    assert sum(weight.numel() for weight in built(name, "meta", **settings).parameters()) == expected


def test_maps_have_the_sizes_of_the_table():
    model, seen = built("decode").eval(), {}
    for name, module in model.named_modules():
        module.register_forward_hook(lambda _m, _i, out, name=name: seen.__setitem__(name, tuple(out.shape)))
    with torch.no_grad():
        model(torch.rand(1, 3, 24, 40))
    assert [seen[f"frame_net.encoder.{level}"][1:] for level in range(3)] == [(48, 24, 40), (96, 12, 20), (192, 6, 10)]
    assert [seen[f"context_net.up.{level}"][1:] for level in range(2)] == [(48, 12, 20), (96, 6, 10)]
    assert seen["frame_net"] == (3, 48, 24, 40)
    assert seen[""] == (1, 10, 24, 40)
    assert model.context_net.encoder[0][0].in_channels == 144


def test_raw_output_is_ready_to_be_decoded():
    model = built("decode", features=4, head_start=1.0)
    with torch.no_grad():
        raw = model(torch.rand(2, 3, 16, 16) * 5000)
    p, sigmas = raw[:, 0], raw[:, 5:9]
    sure = 1 / (1 + math.exp(8))
    assert p.min() >= 0.99 * sure
    assert p.max() <= 1 - 0.99 * sure
    assert (raw[:, [1, 9]] >= 0).all()
    assert raw[:, 2:5].abs().max() <= 1
    assert sigmas.min() >= 0.001
    assert sigmas.max() <= 3.001


def test_p_begins_where_its_bias_says():
    frames = torch.poisson(torch.full((4, 3, 32, 32), 25.0), torch.Generator().manual_seed(0))
    with torch.no_grad():
        for bias in (-6.0, -3.0):
            told = float(built("decode", p_bias=bias)(frames)[:, 0].mean()) * (1 + math.exp(-bias))
            assert 1 / 3 < told < 3


def test_photons_are_scaled_by_emitters_and_background():
    scaling = PhotonScaling(Given(1, 1, 100.0, STATISTICS, 1, KNOWN))
    assert scaling(torch.tensor([25.0, 65.0])).tolist() == pytest.approx([0.0, 1.0])  # 4000 / 2 / 50 photons
    unknown = PhotonScaling(Given(1, 1, 100.0, STATISTICS))
    assert unknown(torch.tensor([60.0, 90.0])).tolist() == pytest.approx([0.0, 1.0])


@pytest.mark.parametrize(("detectors", "stride"), [(1, 1), (2, 1), (1, 2)])
def test_frames_that_windows_share_are_computed_once_to_the_same_answer(detectors, stride):
    movie = torch.rand(6, detectors, 8, 8, generator=torch.Generator().manual_seed(1))
    windows = torch.stack([movie[at : at + 3].flatten(0, 1) for at in range(4)])
    network, seen = nn.Conv2d(detectors, 2, 3, stride, padding=1), []
    network.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    with torch.no_grad():
        once = of_each_frame(windows, 3, network)
        each = of_each_frame(windows, 3, network, once=False)
        alone = torch.cat([of_each_frame(window[None], 3, network) for window in windows])
        of_each_frame(windows.flip(0), 3, network)
    assert torch.allclose(once, each, atol=1e-6)
    assert torch.allclose(once, alone, atol=1e-6)
    assert seen == [6, 12, 3, 3, 3, 3, 12]


def test_tiles_change_nothing():
    model = built("decode", features=4, depth=1, head_start=1.0).eval()
    card = CATALOG.module("models", "decode")
    frames = torch.rand(3, 100, 88, generator=torch.Generator().manual_seed(2)).numpy() * 400
    settings = {"lowest": 0.05, "split": 0.6, "pixel_size_nm": 100.0, **KNOWN}
    halo = int(card.receptive_field_px({"depth": 1}, 1) - 1) // 2
    whole = ReadOut(mixture, settings, 0.2, multiple_px=4, context=3)
    tiled = replace(whole, halo_px=halo, largest_px=64)
    one, other = (predict(ArrayFrames(frames), model, way, device=torch.device("cpu")).table for way in (whole, tiled))
    assert len(one) == len(other) > 50
    for name in ("frame", "x_nm", "y_nm", "z_nm", "photons", "probability"):
        rows = [np.lexsort((table.x_nm.round(2), table.y_nm.round(2), table.frame)) for table in (one, other)]
        assert np.allclose(getattr(one, name)[rows[0]], getattr(other, name)[rows[1]], atol=0.02), name


def test_coordinates_tell_places_apart():
    frames = torch.full((1, 3, 16, 16), 30.0)
    with torch.no_grad():
        blind, told = (built("fd_deeploc", features=4, coordinates=known)(frames) for known in (False, True))
    inner = slice(7, 9)  # far enough from the edges for one level of the U-Nets
    assert not torch.allclose(told[..., 7, 3], told[..., 7, 12], atol=1e-6)
    assert blind[..., inner, inner].isfinite().all()


def test_cross_entropy_is_that_of_the_hand():
    raw = torch.zeros(1, 10, 1, 3)
    raw[0, 0, 0] = torch.tensor([0.9, 0.2, 0.4])
    raw[:, 5:9] = 1.0
    targets = {
        "emitters": torch.tensor([[(0.5, 0.5, 0.5, 0.0), (0.5, 2.99, 0.5, 0.0), (0.5, 1.5, 0.5, 0.0)]]),
        "present": torch.tensor([[1.0, 1.0, 0.0]]),
        "background": torch.zeros(1),
    }
    found, plain = (fd_deeploc_nll.build({"weight": weight}, {})(raw, targets) for weight in (2.0, 0.0))
    entropy = -(math.log(0.9) + math.log(0.8) + math.log(0.4))
    assert float(found["cross_entropy"]) == pytest.approx(entropy, rel=1e-5)
    assert float(found["loss"] - plain["loss"]) == pytest.approx(2 * entropy, rel=1e-4)
