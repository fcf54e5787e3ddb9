import pytest
import torch
from scipy.optimize import minimize_scalar

from smlmbench.losses import l1l2, mse, weighted_mae, weighted_mse

CENTRE = (..., 10, 10)


def wmse(weight, amplitude, blur="none"):
    return weighted_mse.build({"weight": weight, "blur": blur}, {"amplitude": amplitude})


def wmae(weight, amplitude):
    return weighted_mae.build({"weight": weight}, {"amplitude": amplitude})


def spike():
    alone = torch.zeros(1, 1, 21, 21)
    alone[CENTRE] = 1.0
    return alone


def best_value(loss, amplitude):
    """The value of the emitter's own fine pixel that is best where all others are empty."""
    target = {"spikes": amplitude * spike()}

    def value(pixel):
        return float(loss(pixel * spike().double(), target)["loss"]) * 441

    return minimize_scalar(value, bounds=(0, 1.5 * amplitude), method="bounded", options={"xatol": 1e-6 * amplitude}).x


@pytest.mark.parametrize(
    ("weight", "amplitude", "blur", "part"),
    [
        (200.0, 100.0, "none", 1 - 1 / 200),
        (4.0, 1.0, "none", 3 / 4),
        (4.0, 170.21, "none", 3 / 4),
        (1.25, 100.0, "none", 0.2),
        (0.9, 100.0, "none", 0.0),
        (50.0, 100.0, "unit", 0.15924 - 1 / 50),
        (6.2, 100.0, "unit", 0.0),
    ],
)
def test_weighted_mse_lowers_a_pixel_by_amplitude_over_lambda(weight, amplitude, blur, part):
    # Loss values are float32: a parabola's minimum is then known to about the square root of its resolution.
    assert best_value(wmse(weight, amplitude, blur), amplitude) == pytest.approx(part * amplitude, abs=2e-3 * amplitude)


def test_weighted_mse_on_a_blurred_target_is_best_at_the_soft_threshold_of_every_pixel():
    raw = torch.zeros(1, 1, 21, 21, requires_grad=True)
    target = {"spikes": 100 * spike()}
    wanted = (100 * l1l2.blurred(spike()) - 100 / 30).clamp_min(0)
    for _ in range(60):  # proximal steps: the smooth part's gradient, then the threshold of the L1 term
        (gradient,) = torch.autograd.grad(wmse(30.0, 100.0, "unit")(raw, target)["loss"], raw)
        smooth = (gradient - raw.detach().sign() / 441) * 441
        raw = (raw.detach() - smooth).sub(1.0).clamp_min(0).requires_grad_()
    torch.testing.assert_close(raw.detach(), wanted, atol=1e-3, rtol=0)
    assert int((wanted > 0).sum()) > 1


@pytest.mark.parametrize("amplitude", [1.0, 100.0, 170.21])
@pytest.mark.parametrize(("weight", "part"), [(2.1, 1.0), (20.0, 1.0), (1.9, 0.0), (0.0, 0.0)])
def test_weighted_mae_keeps_an_emitter_whole_or_not_at_all(amplitude, weight, part):
    assert best_value(wmae(weight, amplitude), amplitude) == pytest.approx(part * amplitude, abs=1e-3 * amplitude)


@pytest.mark.parametrize("amplitude", [1.0, 100.0])
def test_weighted_mae_cannot_decide_at_lambda_two(amplitude):
    target = {"spikes": amplitude * spike()}
    found = [float(wmae(2.0, amplitude)(part * amplitude * spike(), target)["loss"]) for part in (0.0, 0.3, 1.0)]
    assert found == pytest.approx([amplitude / 441] * 3, rel=1e-5)


@pytest.mark.parametrize(("sure_of", "part"), [(8, 1.0), (6, 0.0)])
def test_weighted_mae_wants_a_probability_above_a_half_and_one_over_lambda(sure_of, part):
    target = {"spikes": 100 * spike().repeat(10, 1, 1, 1)}
    target["spikes"][sure_of:] = 0

    def value(pixel):
        return float(wmae(5.0, 100.0)(pixel * spike().double().repeat(10, 1, 1, 1), target)["loss"])

    assert min((0.0, 25.0, 50.0, 75.0, 100.0), key=value) == part * 100


def test_collapse_thresholds_on_the_cards():
    assert weighted_mse.CARD["facts"]["collapse_lambda"] == 1.0
    peak = float(l1l2.profile().max()) ** 2
    blurred = weighted_mse.CARD["variants"]["blur=unit"]["facts"]["collapse_lambda"]
    assert blurred == pytest.approx(1 / peak, abs=0.005)
    assert weighted_mae.CARD["facts"]["collapse_lambda"] == 2.0


def example(seed=2):
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randn(2, 1, 12, 12, generator=generator)
    return raw, (torch.rand(2, 1, 12, 12, generator=generator) > 0.9).float()


@pytest.mark.parametrize("make", [wmse, wmae, lambda weight, amplitude: wmse(weight, amplitude, "unit")])
def test_lambda_means_the_same_at_every_amplitude(make):
    raw, spikes = example()
    unit = make(80.0, 1.0)(raw, {"spikes": spikes})["loss"]
    torch.testing.assert_close(make(80.0, 100.0)(100 * raw, {"spikes": 100 * spikes})["loss"], 100 * unit)


def test_values_by_hand():
    raw, target = torch.tensor([[[[3.0, -1.0]]]]), {"spikes": torch.tensor([[[[10.0, 0.0]]]])}
    assert float(mse.build({"blur": "none"}, {})(raw, target)["loss"]) == pytest.approx((49 + 1) / 2)
    parts = wmse(4.0, 10.0)(raw, target)
    assert (float(parts["fidelity"]), float(parts["sparsity"])) == pytest.approx((0.2 * 25, 2.0))
    parts = wmae(4.0, 10.0)(raw, target)
    assert (float(parts["fidelity"]), float(parts["sparsity"])) == pytest.approx((2 * 4.0, 2.0))


def test_parts_add_up_and_are_detached():
    raw, spikes = example()
    for loss in (wmse(200.0, 100.0), wmae(5.0, 100.0)):
        parts = loss(raw.clone().requires_grad_(), {"spikes": 100 * spikes})
        assert parts["loss"].item() == pytest.approx(parts["fidelity"].item() + parts["sparsity"].item())
        assert parts["loss"].requires_grad
        assert not parts["fidelity"].requires_grad
        assert not parts["sparsity"].requires_grad


def test_plain_mse_is_best_at_the_target_blurred_or_not():
    _, spikes = example()
    assert float(mse.build({"blur": "none"}, {})(spikes, {"spikes": spikes})["loss"]) == 0
    blurred = mse.build({"blur": "unit"}, {})
    assert float(blurred(l1l2.blurred(spikes), {"spikes": spikes})["loss"]) == 0
    assert float(blurred(spikes, {"spikes": spikes})["loss"]) > 0


def test_near_misses_count_on_a_blurred_target_only():
    near, far = (100 * spike().roll(shift, dims=-1) for shift in (1, 6))
    target = {"spikes": 100 * spike()}
    for loss in (wmse(200.0, 100.0), wmae(5.0, 100.0), mse.build({"blur": "none"}, {})):
        assert float(loss(near, target)["loss"]) == float(loss(far, target)["loss"])
    for loss in (wmse(200.0, 100.0, "unit"), mse.build({"blur": "unit"}, {})):
        assert float(loss(l1l2.blurred(near), target)["loss"]) < float(loss(l1l2.blurred(far), target)["loss"])


@pytest.mark.parametrize("loss", [wmse(200.0, 100.0, "unit"), wmae(5.0, 100.0), mse.build({"blur": "unit"}, {})])
def test_autocast_does_not_lower_their_precision(loss):
    raw, spikes = (100 * maps for maps in example(4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(raw, {"spikes": spikes})["loss"]
    assert inside.item() == loss(raw, {"spikes": spikes})["loss"].item()
    assert loss(raw.bfloat16(), {"spikes": spikes})["loss"].dtype == torch.float32
