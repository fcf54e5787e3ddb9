"""smNet: parameters of every mode of the layer table, its ends, its units, and what it refuses."""

import pytest
import torch

from smlmbench.data.contracts import Given, Statistics
from smlmbench.errors import ConfigError
from smlmbench.inference.checkpoint import build_network
from smlmbench.models import smnet
from smlmbench.registry import Catalog

AMPLITUDES = [f"zernike_{index}_mlambda" for index in range(4, 25)]
DEFAULTS = {name: setting["default"] for name, setting in smnet.CARD["settings"].items()}


def given(asked: dict[str, tuple[float, float]], side: int, channels: int = 1, **more) -> Given:
    """Parameters with their lowest and highest value."""
    told = {
        "parameter_mean": {name: (low + high) / 2 for name, (low, high) in asked.items()},
        "parameter_sd": {name: (high - low) / 4 for name, (low, high) in asked.items()},
        "parameter_low": {name: low for name, (low, _) in asked.items()},
        "parameter_high": {name: high for name, (_, high) in asked.items()},
        "parameter_period": {},
    }
    return Given(channels, 1, 100.0, Statistics(10, 5, 0, 100), output=told | more, unit_sides=(side, side))


def built(asked, side, channels=1, more=None, **settings):
    return smnet.build({**DEFAULTS, **settings}, given(asked, side, channels, **(more or {})))


def count(network) -> int:
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)


@pytest.mark.parametrize(
    ("asked", "side", "channels", "wanted"),
    [
        ({"z_nm": (-600, 600)}, 32, 1, 2_679_059),
        ({"z_nm": (-600, 600)}, 16, 2, 2_674_515),
        ({"x_nm": (1500, 1700), "y_nm": (1500, 1700)}, 32, 1, 2_679_070),
        (dict.fromkeys(AMPLITUDES[:12], (-50, 50)), 32, 1, 2_669_577),
        (dict.fromkeys(AMPLITUDES, (-50, 50)), 16, 1, 34_196_120),
    ],
)
def test_parameters_are_those_of_the_layer_table(asked, side, channels, wanted):
    network = built(asked, side, channels)
    assert count(network) == wanted
    assert network(torch.rand(2, channels, side, side)).shape == (2, len(asked))


def test_the_card_states_the_published_number():
    catalog = Catalog()
    card = catalog.card("models", "smnet")
    network = build_network(catalog, "smnet", card.fill("smnet", {"mode": "z"}), given({"z_nm": (-600, 600)}, 32))
    assert card.parameters == {"mode=z": count(network)}
    assert count(built({"z_nm": (-600, 600)}, 16, width=0.25)) == 171_755


def test_positions_end_where_the_paper_ends_them():
    network = built({"z_nm": (-600, 600)}, 9).eval()
    with torch.no_grad():
        network.head[-1].bias.fill_(100.0)
        high = network(torch.rand(3, 1, 9, 9))
    # 8 tenths of um, standardised by a spread of 300 nm around 0
    assert torch.allclose(high, torch.full_like(high, 800 / 300))
    assert built({"z_nm": (-600, 1200)}, 9).reach == 20
    assert built({"x_nm": (400, 500), "y_nm": (400, 500)}, 9).reach == 2


def test_places_count_from_the_middle_of_the_crop():
    network = built({"x_nm": (400, 500), "y_nm": (350, 550)}, 9).eval()
    with torch.no_grad():
        network.head[-1].weight.zero_()
        told = network(torch.rand(1, 1, 9, 9))
    assert torch.allclose(told, torch.zeros(1, 2), atol=1e-6)  # 450 nm is the middle and the mean of both


def test_angles_and_aberrations_have_no_end():
    network = built({"zernike_5_mlambda": (-50, 50)}, 9).eval()
    with torch.no_grad():
        network.head[-1].bias.fill_(1e4)
        assert float(network(torch.rand(1, 1, 9, 9)).min()) > 9e3
    turned = {"parameter_period": {"azimuth_deg": 360.0}, "periodic": "sine_cosine"}
    told = built({"polar_deg": (10, 80), "azimuth_deg": (0, 360)}, 9, more=turned)
    assert told(torch.rand(2, 1, 9, 9)).shape == (2, 3)


def test_brightness_of_a_crop_does_not_matter():
    network = built({"z_nm": (-600, 600)}, 9).eval()
    crops = torch.rand(2, 1, 9, 9)
    assert torch.allclose(network(crops), network(50 * crops), atol=1e-5)
    assert network(torch.zeros(1, 1, 9, 9)).isfinite().all()


@pytest.mark.parametrize(
    ("asked", "settings", "said"),
    [
        ({"z_nm": (0, 1), "photons": (0, 1)}, {}, "one group"),
        ({"z_nm": (0, 1)}, {"mode": "xy"}, "smnet tells xy and these data ask z_nm"),
        ({"z_nm": (-2500, 0)}, {}, "give reach: 25"),
        ({"x_nm": (0, 900)}, {}, "px off the middle"),
        (dict.fromkeys(AMPLITUDES, (-1, 1)), {}, "up to 16 x 16 px"),
    ],
)
def test_what_it_cannot_tell_is_refused(asked, settings, said):
    with pytest.raises(ConfigError, match=said):
        built(asked, 32, **settings)
