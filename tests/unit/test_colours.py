"""Several colours: maps for each, frames that hold them, scores by colour, networks with as many maps."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from smlmbench.camera import Camera
from smlmbench.conformance import examples
from smlmbench.data import colour_frames
from smlmbench.data.contracts import Asked, Batch, Scope
from smlmbench.errors import ConfigError, LossWarning
from smlmbench.metrics import colours
from smlmbench.metrics.evidence import gather
from smlmbench.outputs import raster
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog
from smlmbench.run.using.writing import Table
from smlmbench.truths.emitters import Sampled
from smlmbench.truths.target_images import Taught

CATALOG = Catalog()
THIN = {"name": "scalar_pupil", "reach_nm": 1000.0, "z_min_nm": -10.0, "z_max_nm": 10.0}
GIVES = list(colours.CARD["gives"])


def output(**chosen):
    return {**CATALOG.card("outputs", "raster").fill("raster", chosen), "pixel_size_nm": 100.0}


def batch(x_nm, y_nm, channel, sample=None, *, frames=1):
    x, y = (torch.as_tensor(at, dtype=torch.float32) for at in (x_nm, y_nm))
    sample = torch.zeros(len(x), dtype=torch.int64) if sample is None else torch.as_tensor(sample)
    told = None if channel is None else torch.as_tensor(channel)
    truth = Sampled(sample, x, y, torch.zeros_like(x), torch.ones_like(x), 100.0, None, told)
    return Batch(torch.zeros(frames, 1, 8, 8), truth)


def described(psf=THIN, structure="uniform", **settings):
    filled = CATALOG.card("data", "colour_frames").fill("colour_frames", {"field_px": 16, "frames": 20, **settings})
    return SimpleNamespace(
        settings=filled, psf=psf, camera=Camera(), structure={"name": structure}, pixel_size_nm=100.0
    )


def stream(description=None, repeat=0):
    return colour_frames.training_set(description or described(), {"d": 1}, Scope(7, repeat), CATALOG)


def frozen(description=None, role="test", extras=()):
    return colour_frames.condition("t", description or described(), {"d": 1}, Asked(role, 7, extras), CATALOG)


def table(x_nm, channel=None, y_nm=500.0):
    columns = {"frame": np.zeros(len(x_nm), int), "x_nm": x_nm, "y_nm": np.full(len(x_nm), y_nm)}
    return Localizations.of(
        columns | ({} if channel is None else {"channel": channel}), n_frames=1, field_nm=(6400.0, 1000.0)
    )


def test_each_emitter_is_drawn_in_the_map_of_its_colour():
    targets = raster.targets(
        batch([50.0, 250.0, 250.0], [50.0, 50.0, 50.0], [0, 2, 1], [0, 0, 1], frames=2), output(colours=3, upsampling=1)
    )
    assert targets["spikes"].shape == (2, 3, 8, 8)
    assert targets["spikes"].nonzero().tolist() == [[0, 0, 0, 0], [0, 2, 0, 2], [1, 1, 0, 2]]
    assert targets["spikes"].sum() == 300


def test_what_is_drawn_is_read_out_with_its_colour_and_sums_to_one_image():
    settings = output(colours=2, upsampling=4)
    spikes = raster.targets(
        batch([110.0, 510.0, 512.0], [110.0, 310.0, 710.0], [1, 0, 1], [0, 1, 1], frames=2), settings
    )
    found = raster.decode(spikes["spikes"], settings, 0.5)
    assert found.n_frames == 2
    assert found.field_nm == (800.0, 800.0)
    rows = sorted(zip(found.frame, found.channel, found.x_nm, found.y_nm, strict=True))
    assert rows == [(0, 1, 112.5, 112.5), (1, 0, 512.5, 312.5), (1, 1, 512.5, 712.5)]
    assert (np.diff(found.frame) >= 0).all()
    assert raster.image(spikes["spikes"], settings).sum(dim=(1, 2)).tolist() == [1.0, 2.0]


def test_one_colour_reads_as_before():
    settings = output(upsampling=4)
    before = {name: value for name, value in settings.items() if name != "colours"}
    raw = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    one, other = (raster.decode(raw, chosen, 0.001) for chosen in (settings, before))
    assert len(one) > 0
    assert one.channel is None
    assert np.array_equal(one.x_nm, other.x_nm)
    assert torch.equal(raster.image(raw, before), raw[:, 0].clamp_min(0) / 100.0)


def test_one_colour_names_no_training():
    card = CATALOG.card("outputs", "raster")
    assert card.silent(card.fill("raster", {})) == ["colours"]
    assert card.silent(card.fill("raster", {"colours": 2})) == []


@pytest.mark.parametrize(
    ("channel", "said"),
    [(None, "do not tell the colour"), ([0, 2], "the data have 3 colours")],
)
def test_colours_that_the_data_lack_are_refused(channel, said):
    with pytest.raises(ConfigError, match=said):
        raster.targets(batch([50.0, 60.0], [50.0, 60.0], channel), output(colours=2))


def test_target_images_have_no_colours():
    taught = Batch(torch.zeros(1, 1, 8, 8), Taught(torch.zeros(1, 1, 64, 64)))
    with pytest.raises(ConfigError, match="tell no colours"):
        raster.targets(taught, output(colours=2))


@pytest.mark.parametrize("name", ["deep_storm", "skip_storm", "u_storm", "srcnn", "fid_storm"])
def test_networks_have_a_map_for_each_colour(name):
    card = CATALOG.card("models", name)
    settings, given = card.fill(name, card.tiny), examples.given(2, output={"colours": 3})
    network = CATALOG.module("models", name).build(settings, given).eval()
    assert network(torch.zeros(2, 1, 16, 16)).shape == (2, 3, 32, 32)


def test_a_network_of_one_map_says_so_before_it_is_trained():
    said = CATALOG.card("models", "drl_storm").refusal(output(colours=2))
    assert said is not None
    assert "one map" in said
    assert CATALOG.card("models", "drl_storm").refusal(output()) is None


def test_frames_hold_as_much_light_of_each_colour_as_their_truth():
    drawn = frozen(described(density_per_um2=0.5, background_photons=0.0, frames=60, wavelengths_nm=[500, 600, 700]))
    true = drawn.truth.table
    assert sorted(set(true.channel.tolist())) == [0, 1, 2]
    assert (np.diff(true.frame) >= 0).all()
    inside = (np.minimum(true.x_nm, true.y_nm) > 600) & (np.maximum(true.x_nm, true.y_nm) < 1000)
    alone = [k for k in np.flatnonzero(inside) if (true.frame == true.frame[k]).sum() == 1]
    assert alone  # its light is in the frame, none of another's
    light = drawn.frames.values.sum(axis=(1, 2))[true.frame[alone]]
    assert light == pytest.approx(true.photons[alone], rel=0.15)


def test_longer_wavelengths_are_wider():
    palette = colour_frames.Palette.of(described(wavelengths_nm=[500, 800]), CATALOG)
    narrow, wide = (one.sigma_nm for one in palette.psfs)
    assert wide / narrow == pytest.approx(1.6, rel=0.05)
    assert palette.sigma_nm == pytest.approx((narrow + wide) / 2)
    assert palette.source.density_per_um2 == 0.5


def test_a_sample_does_not_depend_on_what_was_asked_before():
    whole = stream().batch(60, 8)
    again = stream().batch(62, 3)
    assert torch.equal(whole.inputs[2:5], again.inputs)
    rows = (whole.truth.sample >= 2) & (whole.truth.sample < 5)
    assert rows.any()
    for name in ("x_nm", "y_nm", "photons", "channel"):
        assert torch.equal(getattr(whole.truth, name)[rows], getattr(again.truth, name))
    assert torch.equal(whole.truth.sample[rows] - 2, again.truth.sample)
    assert not torch.equal(stream(repeat=1).batch(60, 8).inputs, whole.inputs)


def test_frozen_sets_differ_by_role_and_have_frames_without_signal():
    test, val = frozen(extras=("signal_free",)), frozen(role="val")
    assert not np.array_equal(test.frames.values, val.frames.values)
    empty = test.extras["signal_free"]
    assert len(empty.truth) == 0
    assert empty.frames.values.mean() == pytest.approx(10, rel=0.2)
    assert test.facts["colours"] == 2
    assert isinstance(test.truth.bounds, str)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"wavelengths_nm": [600]}, "two to four"),
        ({"wavelengths_nm": [600, 600]}, "two to four"),
        ({"wavelengths_nm": [600, "red"]}, "two to four"),
        ({"psf": {"name": "gaussian"}}, "the same at every wavelength"),
    ],
)
def test_what_makes_no_colours_is_refused_in_a_line(changed, said):
    with pytest.raises(ConfigError, match=said) as refused:
        stream(described(**changed))
    assert "\n" not in str(refused.value)


def test_windows_of_independent_frames_are_refused():
    with pytest.raises(ConfigError, match="have no neighbours in time; choose a network that sees one frame"):
        colour_frames.training_set(described(), {"d": 1}, Scope(7, context=3), CATALOG)


def test_scores_by_colour_by_hand():
    # colour 0: two true, one found and one false; colour 1: two true, both found, of which one is called colour 0
    truth = table([1000.0, 2000.0, 3000.0, 4000.0], [0, 0, 1, 1])
    found = table([1000.0, 3000.0, 4000.0], [0, 0, 1])
    values = colours.measure(gather(found, truth))
    assert values["jaccard_colours"] == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert values["efficiency_colours"] == pytest.approx(100 * (1 / 3 + 1 / 2) / 2)
    assert values["colour_crosstalk"] == pytest.approx(1 / 3)
    profile = colours.profile(gather(found, truth))["colours"]
    assert profile["emitters"] == [2.0, 2.0]
    assert profile["recall"] == [0.5, 0.5]
    assert set(colours.measure(gather(truth, truth)).values()) == {1.0, 100.0, 0.0}


def test_dim_emitters_are_neutral_in_their_own_colour():
    from smlmbench.metrics.evidence import Facts

    truth = Localizations.of(
        {"frame": [0, 0, 0], "x_nm": [1000.0, 2000.0, 3000.0], "y_nm": [500.0] * 3, "photons": [50.0, 900.0, 900.0],
         "channel": [0, 0, 1]},
        n_frames=1, field_nm=(6400.0, 1000.0),
    )  # fmt: skip
    facts = Facts(min_photons=np.array([100.0, 100.0, 100.0]))
    assert colours.measure(gather(table([2000.0, 3000.0], [0, 1]), truth, facts=facts))["jaccard_colours"] == 1


def test_scores_by_colour_say_why_there_are_none():
    coloured, plain = table([1000.0, 2000.0], [0, 1]), table([1000.0, 2000.0])
    assert set(colours.measure(gather(plain, coloured)).values()) == {
        "this row tells no colours apart (output setting colours)"
    }
    alike = table([1000.0, 2000.0], [0, 0])
    for truth in (plain, alike):
        assert "one colour" in str(colours.measure(gather(coloured, truth))["jaccard_colours"])
    found = colours.measure(gather(table([1000.0, 5000.0], [0, 2]), coloured))
    assert found["jaccard_colours"] == "a colour has no true emitter that counts"
    assert found["colour_crosstalk"] == 0
    nothing = colours.measure(gather(table([], []), coloured))
    assert nothing["colour_crosstalk"] == "no emitter was found"
    assert nothing["jaccard_colours"] == 0
    assert list(nothing) == GIVES


def test_all_colours_see_one_background():
    dark = described(density_per_um2=0.001, background_photons=30.0, wavelengths_nm=[500, 600, 700])
    drawn, batch = frozen(dark), stream(dark).batch(0, 20)
    for frames, level in ((drawn.frames.values, 30.0), (batch.inputs.numpy(), batch.truth.background_photons.mean())):
        assert level == 30
        assert np.median(frames) == pytest.approx(30, abs=1)


@pytest.mark.parametrize(
    ("name", "lost"),
    [("thunderstorm_csv", True), ("picasso_hdf5", True), ("smap_csv", False), ("smlmbench_csv", False)],
)
def test_a_table_that_loses_the_colours_says_so(tmp_path, name, lost):
    asked = SimpleNamespace(table_format=name, output=tmp_path, movie=tmp_path / "movie.tif", camera=None)
    written = Table(asked, CATALOG, 100.0)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        written.append(table([1000.0, 2000.0], [0, 1]), tmp_path / "part", 0)
    said = [str(one.message) for one in heard if one.category is LossWarning]
    assert any("has no place for channel; smlmbench_csv keeps every column" in line for line in said) == lost
