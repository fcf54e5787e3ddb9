import pytest
import torch
from scipy.optimize import minimize_scalar
from torch.nn import functional

from smlmbench.losses import l1l2

S7 = 0.0796801  # sum of squares of the 7 x 7 unit-sum kernel


def made(weight, amplitude, kernel="unit"):
    return l1l2.build({"weight": weight, "kernel": kernel}, {"amplitude": amplitude})


def best_mass(weight, amplitude, kernel):
    spike = torch.zeros(1, 1, 21, 21)
    spike[..., 10, 10] = 1.0
    loss = made(weight, amplitude, kernel)

    def value(mass):
        return float(loss(mass * spike.double(), {"spikes": amplitude * spike})["loss"]) * 441

    return minimize_scalar(value, bounds=(0, 1.5 * amplitude), method="bounded", options={"xatol": 1e-6 * amplitude}).x


@pytest.mark.parametrize(
    ("weight", "amplitude", "kernel", "expected"),
    [
        (200.0, 100.0, "official", 48.43),
        (200.0, 100.0, "unit", 100 * (1 - 12.55 / 200)),
        (50.0, 1.0, "unit", 1 - 12.55 / 50),
        (800.0, 170.21, "unit", 170.21 * (1 - 12.55 / 800)),
        (2.0, 1.0, "official", 0.0),
        (12.0, 100.0, "unit", 0.0),
        (6.0, 100.0, "official", 0.0),
        (200.0, 100.0, "seed", 100 * (1 - 3.96 / 200)),
        (1.0 * 8, 1.0, "seed", 1 - 3.96 / 8),
        (20.0, 170.21, "seed", 170.21 * (1 - 3.96 / 20)),
        (3.9, 100.0, "seed", 0.0),
        (1.0, 1.0, "seed", 0.0),
    ],
)
def test_best_mass_of_an_isolated_emitter(weight, amplitude, kernel, expected):
    # Loss values are float32: a parabola's minimum is then known to about the square root of its resolution.
    assert best_mass(weight, amplitude, kernel) == pytest.approx(expected, abs=2e-3 * amplitude)


def test_kernel_has_unit_sum_the_published_peak_and_no_shift():
    spike = torch.zeros(1, 1, 15, 15)
    spike[..., 7, 7] = 1.0
    kernel = l1l2.blurred(spike)[0, 0]
    assert int((kernel > 0).sum()) == 49
    assert kernel.sum().item() == pytest.approx(1.0, abs=1e-6)
    assert kernel.max().item() == pytest.approx(0.15924, abs=1e-5)
    assert kernel.square().sum().item() == pytest.approx(S7, abs=1e-6)
    at = torch.arange(15.0)
    assert (kernel.sum(0) @ at).item() == pytest.approx(7.0, abs=1e-5)
    assert (kernel.sum(1) @ at).item() == pytest.approx(7.0, abs=1e-5)


def test_the_seeds_kernel_is_the_3_x_3_one_with_its_peak_in_a_corner():
    profile = l1l2.corner_profile()
    kernel = torch.outer(profile, profile)
    rows = [[0.0040, 0.0187, 0.0404], [0.0187, 0.0877, 0.1898], [0.0404, 0.1898, 0.4108]]
    torch.testing.assert_close(kernel, torch.tensor(rows), atol=1e-4, rtol=0)
    assert kernel.sum().item() == pytest.approx(1.0, abs=1e-6)
    assert kernel.square().sum().item() == pytest.approx(0.25242, abs=1e-5)
    assert (profile @ torch.tensor([-1.0, 0.0, 1.0])).item() == pytest.approx(0.578, abs=1e-3)
    maps = torch.randn(2, 1, 9, 14, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(l1l2.corner_blurred(maps), functional.conv2d(maps, kernel[None, None]))


def test_the_seeds_loss_blurs_both_sides_without_padding_and_takes_l1_of_the_blurred_map():
    generator = torch.Generator().manual_seed(5)
    raw = torch.randn(2, 1, 8, 8, generator=generator)
    spikes = (torch.rand(2, 1, 8, 8, generator=generator) > 0.9).float()
    kernel = torch.outer(l1l2.corner_profile(), l1l2.corner_profile())[None, None]
    seen, wanted = (functional.conv2d(maps, kernel) for maps in (raw, spikes))
    assert seen.shape == (2, 1, 6, 6)
    expected = 30.0 / 2 * (seen - wanted).square().mean() + seen.abs().mean()
    parts = made(30.0, 1.0, "seed")(raw, {"spikes": spikes})
    torch.testing.assert_close(parts["loss"], expected)
    assert parts["sparsity"].item() == pytest.approx(seen.abs().mean().item())
    scaled = made(30.0, 100.0, "seed")(100 * raw, {"spikes": 100 * spikes})["loss"]
    torch.testing.assert_close(scaled, 100 * expected)


@pytest.mark.parametrize("shape", [(2, 1, 19, 34), (1, 1, 4, 5), (3, 1, 8, 8)])
def test_blur_is_a_zero_padded_convolution(shape):
    maps = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    kernel = torch.outer(l1l2.profile(), l1l2.profile())[None, None]
    torch.testing.assert_close(l1l2.blurred(maps), functional.conv2d(maps, kernel, padding=3))


def test_official_with_lambda_200_and_a_100_is_the_authors_loss():
    generator = torch.Generator().manual_seed(1)
    raw = torch.randn(2, 1, 16, 16, generator=generator)
    spikes = 100 * (torch.rand(2, 1, 16, 16, generator=generator) > 0.95).float()
    kernel = torch.outer(l1l2.profile(), l1l2.profile())[None, None]
    heatmap = functional.conv2d(spikes, kernel, padding=3)
    authors = (functional.conv2d(raw, 2 * kernel, padding=3) - heatmap).square().mean() + raw.abs().mean()
    torch.testing.assert_close(made(200.0, 100.0, "official")(raw, {"spikes": spikes})["loss"], authors)


def test_lambda_means_the_same_at_every_amplitude():
    generator = torch.Generator().manual_seed(2)
    raw = torch.randn(1, 1, 12, 12, generator=generator)
    spikes = (torch.rand(1, 1, 12, 12, generator=generator) > 0.9).float()
    unit = made(80.0, 1.0)(raw, {"spikes": spikes})["loss"]
    scaled = made(80.0, 100.0)(100 * raw, {"spikes": 100 * spikes})["loss"]
    torch.testing.assert_close(scaled, 100 * unit)


def test_parts_add_up_and_sparsity_is_of_the_raw_map():
    raw = torch.randn(1, 1, 9, 9, generator=torch.Generator().manual_seed(3)).requires_grad_()
    parts = made(200.0, 100.0)(raw, {"spikes": torch.zeros(1, 1, 9, 9)})
    assert parts["sparsity"].item() == pytest.approx(raw.abs().mean().item())
    assert parts["loss"].item() == pytest.approx(parts["fidelity"].item() + parts["sparsity"].item())
    assert not parts["fidelity"].requires_grad
    assert not parts["sparsity"].requires_grad


def test_autocast_does_not_lower_its_precision():
    raw = 100 * torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(4))
    targets = {"spikes": torch.zeros_like(raw)}
    loss = made(200.0, 100.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(raw, targets)["loss"]
    assert inside.dtype == torch.float32
    assert inside.item() == loss(raw, targets)["loss"].item()
    half = loss(raw.bfloat16(), targets)["loss"]
    assert half.dtype == torch.float32


def test_collapse_thresholds_on_the_card():
    """Lambda below which nothing is best: 1 / (gain * sum of the squared kernel)."""
    variants = l1l2.CARD["variants"]
    corner = float(l1l2.corner_profile().square().sum()) ** 2
    stated = [facts["facts"]["collapse_lambda"] for facts in (l1l2.CARD, *variants.values())]
    assert list(variants) == ["kernel=official", "kernel=seed"]
    assert stated == pytest.approx([1 / S7, 0.5 / S7, 1 / corner], abs=0.005)
    assert corner == pytest.approx(0.25242, abs=1e-5)
