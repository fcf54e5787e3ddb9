import itertools

import numpy as np
import pytest
import torch
from torch import nn

from smlmbench.data.contracts import ArrayFrames, Given, Statistics
from smlmbench.errors import ConfigError
from smlmbench.inference.engine import ReadOut, predict
from smlmbench.models import deep_loco
from smlmbench.models.windowed import windows_of
from smlmbench.outputs import point_set
from smlmbench.registry import Catalog

DEEP = {"z_low_nm": -600.0, "z_high_nm": 900.0}
SMALL = {"field_px": 32, "margin_px": 4, "channels": 2, "hidden": 16, "points": 5}


def built(output=DEEP, colours=1, **chosen):
    torch.manual_seed(0)
    settings = Catalog().card("models", "deep_loco").fill("deep_loco", chosen)
    as_they_are = Statistics(mean=0.0, std=1.0, low=0.0, high=1.0)
    return deep_loco.build(settings, Given(colours, 1, 100.0, as_they_are, output=output)).eval()


class Knowing(nn.Module):
    """Reads where emitters are from channels 1 and 2 of the pixels that have their number in channel 0."""

    def __init__(self, off_px=0.0):
        super().__init__()
        self.off_px = off_px  # windows place an emitter that much too far away from their middle

    def forward(self, windows):
        points, side = 40, windows.shape[-1]
        weights, places = torch.zeros(len(windows), points), torch.full((len(windows), points, 2), side / 2)
        for k, window in enumerate(windows):
            row, column = np.unravel_index(np.unique(window[0], return_index=True)[1][1:], (side, side))
            row, column = torch.from_numpy(row), torch.from_numpy(column)
            weights[k, : len(row)] = 1
            at = torch.stack([column + window[1, row, column], row + window[2, row, column]], dim=1)
            places[k, : len(row)] = at + self.off_px * torch.sign(at - side / 2)
        return weights, places


def frames_of(at_px, height, width):
    """Frames (1, 3, H, W) that tell `Knowing` where emitters are; at most one in a pixel."""
    frames = np.zeros((1, 3, height, width), dtype=np.float32)
    for number, (x, y) in enumerate(at_px, start=1):
        column, row = min(int(x), width - 1), min(int(y), height - 1)
        frames[0, :, row, column] = number, x - column, y - row
    return frames


def found_in(at_px, height, width, off_px=0.0):
    network = built(output={}, colours=3, **SMALL)
    network.points = Knowing(off_px)
    settings = Catalog().card("outputs", "point_set").fill("point_set", {}) | {"pixel_size_nm": 100.0}
    read_out = ReadOut(point_set, settings, 0.0)
    table = predict(ArrayFrames(frames_of(at_px, height, width)), network, read_out, device=torch.device("cpu")).table
    assert table.field_nm == (width * 100, height * 100)
    return table


@pytest.mark.parametrize(
    ("output", "chosen", "number"),
    [
        (DEEP, {}, 11_033_712),
        ({}, {}, 10_968_112),
        (DEEP, {"depth": False}, 10_968_112),
        (DEEP, {"field_px": 32, "channels": 8, "hidden": 256, "points": 16}, 1_005_752),
    ],
)
def test_parameters_of_the_published_network(output, chosen, number):
    with torch.device("meta"):
        assert sum(weight.numel() for weight in built(output, **chosen).parameters()) == number


def test_layers_by_hand():
    # Convolutions 5, 5, 2/2, 3, 3, 2/2, 3, 3, 4/4 with biases; dense; two residual layers, one bias each; two heads.
    convolutions = 2 * 25 + 2, 4 * 25 + 2, 16 * 4 + 8, 64 * 9 + 8, 64 * 9 + 8, 8 * 4 * 32 + 32
    wide = 32 * 32 * 9 + 32, 32 * 32 * 9 + 32, 32 * 32 * 16 + 32
    dense = 32 * 4 * 16 + 16, 2 * (2 * 16 * 16 + 16), 16 * 15 + 15, 16 * 5 + 5
    assert sum(weight.numel() for weight in built(**SMALL).parameters()) == sum((*convolutions, *wide, *dense))


def test_points_lie_in_the_field_and_the_depths_of_the_data():
    network = built(**SMALL)
    nn.init.normal_(network.points.places.bias, std=1000)
    raw = network(torch.rand(4, 1, 32, 32) * 100).detach()
    assert raw.shape == (4, 6, 4)
    assert raw[:, 0].tolist() == [[0, 32, 32, 0]] * 4
    weight, x, y, z = raw[:, 1:].unbind(2)
    assert (weight >= 0).all()
    assert (x.min(), x.max(), y.min(), y.max()) == pytest.approx((0, 32, 0, 32), abs=0.01)
    assert (z.min(), z.max()) == pytest.approx((-600, 900), abs=1)


@pytest.mark.parametrize("chosen", [{"output": {}}, {"depth": False}])
def test_without_depths_points_are_flat(chosen):
    assert built(**{**SMALL, **chosen})(torch.rand(1, 1, 32, 32)).shape == (1, 6, 3)


def test_residual_layers_begin_as_nothing():
    features = torch.randn(3, 16)
    assert torch.allclose(deep_loco.Dense(16)(features), features, atol=1e-6)


def test_windows_that_do_not_advance_are_refused():
    with pytest.raises(ConfigError, match="margin_px: 8 to both sides fills a field of 16 px"):
        built(field_px=16, margin_px=8)


@pytest.mark.parametrize(
    ("size", "starts"), [(1, [0]), (32, [0]), (33, [0, 1]), (56, [0, 24]), (57, [0, 24, 25]), (100, [0, 24, 48, 68])]
)
def test_windows_along_a_side(size, starts):
    windows = windows_of(torch.zeros(2, 1, size, 20), 32, 4)
    assert windows.rows.start.tolist() == starts * 2
    assert windows.columns.start.tolist() == [0] * len(starts) * 2
    assert windows.frame.tolist() == [0] * len(starts) + [1] * len(starts)


@pytest.mark.parametrize("size", [5, 32, 33, 47, 56, 70, 101])
def test_shares_add_up_to_one_inside_of_the_frame_and_to_nothing_beyond(size):
    rows = windows_of(torch.zeros(1, 1, size, 8), 32, 4).rows
    at = torch.linspace(-2, size + 2, 997)
    total = rows.share(at.expand(len(rows.start), -1)).sum(0)
    inside = (at >= 0) & (at <= size)
    assert torch.allclose(total, inside.float(), atol=1e-5)


def test_windows_are_parts_of_their_frames_and_repeat_the_edge():
    frames = torch.arange(2 * 40 * 20, dtype=torch.float32).view(2, 1, 40, 20)
    cut = windows_of(frames, 32, 4).cut(frames, 32)
    assert cut.shape == (4, 1, 32, 32)
    assert torch.equal(cut[3, 0, :, :20], frames[1, 0, 8:])
    assert torch.equal(cut[3, 0, :, 31], frames[1, 0, 8:, 19])


BORDERS_X, BORDERS_Y = (28, 47), (28, 52, 74)  # of windows of 32 px at 0, 24, 38 over 70 px and 0, 24, 48, 68 over 100


@pytest.mark.parametrize("off_px", [0.0, 0.3, -0.3])
def test_emitters_on_the_lines_between_windows_are_found_once(off_px):
    along_x = [border + shift for border in BORDERS_X for shift in (-2.3, 0, 2.4)]
    along_y = [border + shift for border in BORDERS_Y for shift in (-2.2, 0, 2.5)]
    at_px = sorted(itertools.product((1.5, *along_x, 68.5), (1.5, *along_y, 98.5)))
    table = found_in(at_px, 100, 70, off_px)
    seen = np.stack([table.x_nm, table.y_nm], axis=1)
    away = np.abs(np.array(at_px)[:, None] * 100 - seen).max(axis=2)
    assert len(table) == len(at_px)
    assert (away.min(axis=0) <= 100 * abs(off_px) + 0.001).all()
    assert (away.min(axis=1) <= 100 * abs(off_px) + 0.001).all()
    on_no_line = [
        all(abs(x - border) > 1.5 for border in BORDERS_X) and all(abs(y - border) > 1.5 for border in BORDERS_Y)
        for x, y in (seen / 100)
    ]
    assert table.probability[on_no_line].tolist() == pytest.approx([1] * sum(on_no_line))
    assert np.abs(table.probability - 1).max() < (1e-5 if off_px == 0 else 0.75)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (9, 20), (100, 70), (33, 64)])
def test_emitters_at_the_borders_of_the_frame_are_found_once(height, width):
    at_px = [(x, y) for x in (0, 0.5 * width, width) for y in (0, 0.5 * height, height)]
    table = found_in(at_px, height, width)
    assert len(table) == 9
    found = np.array(sorted(zip(table.x_nm.round(), table.y_nm.round(), strict=True)))
    assert found.flatten().tolist() == [100 * at for pair in sorted(at_px) for at in pair]
    assert table.probability.tolist() == pytest.approx([1] * 9, abs=1e-5)


def test_a_window_alone_answers_as_the_frame_of_its_size():
    network, frames = built(**SMALL), torch.rand(1, 1, 32, 56) * 100
    whole = network(frames)[0, 1:].view(2, 5, 4)
    left = network(frames[..., :32])[0, 1:]
    inside = whole[0, :, 1] < 27
    assert torch.allclose(whole[0, inside], left[inside], atol=1e-4)
    assert torch.equal(network(frames)[0, 0], torch.tensor([0.0, 56, 32, 0]))
