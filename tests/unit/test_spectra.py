"""Spectra of dyes: their law, the network, the rows without training, tables of a user, what predict writes."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from smlmbench.data import dye_spectra, labelled_spectra
from smlmbench.data.contracts import Asked, Given, Scope
from smlmbench.data.targets import statistics_of
from smlmbench.errors import ConfigError, FormatError, SizeError
from smlmbench.models import zhang_spectra
from smlmbench.movies import ArrayMovie
from smlmbench.outputs import classes
from smlmbench.predictions import Localizations
from smlmbench.references import nearest_template, spectral_centroid
from smlmbench.registry import Catalog
from smlmbench.study.sources import PluginSource
from smlmbench.study.sources.description import Share
from smlmbench.tasks import load
from smlmbench.tasks.contracts.predicting import Predicted

CATALOG = Catalog()
STATISTICS = statistics_of(np.arange(64, dtype=np.float32).reshape(2, 1, 32))


def described(name="dye_spectra", **settings):
    card = CATALOG.card("data", name)
    return PluginSource(kind=name, settings=card.fill(name, settings), facts=card.facts)


def condition(role="test", **settings):
    return dye_spectra.condition("set", described(**settings), {"by": "test"}, Asked(role, 5), CATALOG)


def test_a_dye_has_its_peak_where_it_is_stated():
    quiet = {"jitter_bins": 0.0, "overlap": 0.0, "bins": 200, "skew": 4.0}
    spectra = dye_spectra.Spectra(described(**quiet).settings)
    light = spectra.light(np.array([669.0, 685.0]), np.zeros(2))
    middles = (spectra.edges_nm[1:] + spectra.edges_nm[:-1]) / 2
    np.testing.assert_allclose(light.sum(axis=1), 1)
    np.testing.assert_allclose(middles[light.argmax(axis=1)], [669, 685], atol=0.75)
    assert light[0] @ middles > 669 + 5  # the red side is longer
    moved = spectra.light(np.array([669.0]), np.array([3.0]))
    np.testing.assert_allclose(moved[0, 3:], light[0, :-3], atol=1e-6)


def test_photons_and_background_are_those_that_are_stated():
    found = condition(photons=1000, background_photons=2.0, overlap=0.0, frames=4000)
    whole = found.frames.values.sum(axis=(1, 2))
    assert whole.mean() == pytest.approx(1000 + 64 * 2, rel=0.01)
    assert whole.std() == pytest.approx(math.sqrt(1128), rel=0.1)
    assert found.told == {"background_photons": 2.0}
    assert set(found.truth.photons.tolist()) == {1000.0}
    drawn = condition(frames=4000)
    assert drawn.truth.photons.min() >= 300
    assert drawn.truth.photons.max() <= 3000
    assert np.bincount(drawn.truth.index).tolist() == pytest.approx([2000, 2000], abs=150)


def test_strangers_are_no_class_and_neighbours_add_light():
    found = condition(strangers={"third": 640}, frames=3000)
    assert found.truth.classes == ("AF647", "CF660C")
    assert (found.truth.index == -1).mean() == pytest.approx(1 / 3, abs=0.05)
    alone, beside = (condition(overlap=share, photons=1000, frames=2000).frames.values.sum() for share in (0.0, 1.0))
    assert beside > 1.15 * alone


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"dyes": {"one": 669}}, "1 dyes; give at least two"),
        ({"strangers": {"AF647": 640}}, "AF647 both a dye and a stranger"),
        ({"low_nm": 700, "high_nm": 650}, "700 is not below high_nm 650"),
        ({"dyes": {"one": 669, "two": 1100}}, "no light in the window 600 to 800 nm"),
    ],
)
def test_spectra_that_cannot_be_drawn_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        condition(**settings)


def test_a_sample_depends_on_its_number_alone():
    stream = dye_spectra.training_set(described(), {"by": "test"}, Scope(3), CATALOG)
    whole = stream.batch(250, 20)
    parts = [stream.batch(250, 3), stream.batch(253, 17)]
    assert torch.equal(whole.inputs, torch.cat([part.inputs for part in parts]))
    assert torch.equal(whole.truth.index, torch.cat([part.truth.index for part in parts]))
    other = dye_spectra.training_set(described(), {"by": "test"}, Scope(3, repeat=1), CATALOG).batch(250, 20)
    assert not torch.equal(whole.inputs, other.inputs)
    assert stream.output_settings["classes"] == ["AF647", "CF660C"]


def test_roles_share_no_spectrum():
    val, test = (condition(role, frames=50).frames.values for role in ("val", "test"))
    assert not np.array_equal(val, test)


def given(sides=(64,), names=("one", "two")):
    return Given(1, 1, math.nan, STATISTICS, output={"classes": list(names)}, unit_sides=sides)


def test_the_network_has_the_parameters_of_its_card():
    card = CATALOG.card("models", "zhang_spectra")
    network = zhang_spectra.build(card.fill("zhang_spectra", {}), given())
    assert sum(weight.numel() for weight in network.parameters()) == card.parameters["widths=[128, 64]"] == 16706
    longer = zhang_spectra.build(card.fill("zhang_spectra", {}), given((100,), ("a", "b", "c")))
    assert longer(torch.ones(2, 1, 100)).shape == (2, 3)
    for sides in ((), (8,), (13, 13)):
        with pytest.raises(SizeError, match="no spectra with 8 bins at the ends"):
            zhang_spectra.build(card.fill("zhang_spectra", {}), given(sides))


def test_the_network_sees_neither_brightness_nor_flat_background():
    network = zhang_spectra.build(CATALOG.card("models", "zhang_spectra").fill("x", {}), given()).eval()
    spectra = torch.zeros(1, 1, 64)
    spectra[..., 20:30] = 30.0
    for other in (3 * spectra, spectra + 7):
        torch.testing.assert_close(network(other), network(spectra))
    assert network(torch.zeros(1, 1, 64)).isfinite().all()


@pytest.mark.parametrize(("module", "least"), [(spectral_centroid, 95.0), (nearest_template, 98.0)])
def test_rows_without_training_tell_dyes_apart(module, least):
    found = condition(frames=2000)
    settings = CATALOG.card("references", module.__name__.rpartition(".")[2]).fill("x", {})
    scores = module.predict(found, settings, {}, 1)
    assert 100 * (scores.scores.argmax(axis=1) == found.truth.index).mean() > least
    np.testing.assert_allclose(scores.scores.sum(axis=1), 1, rtol=1e-5)


def test_the_centroid_rule_has_its_threshold_in_the_middle():
    found = condition(frames=4, jitter_bins=0.0)
    settings = {"edge_bins": 8}
    middles, _ = spectral_centroid._centroids(found.truth.templates[:, 0, 0] * 1000, 8)
    one = np.zeros((2, 1, 64), dtype=np.float32)
    for row, away in enumerate((-0.2, 0.2)):
        at = middles.mean() + away - 0.5  # two bins whose centroid lies there
        low = int(at)
        one[row, 0, low : low + 2] = 1000 * np.array([1 - (at - low), at - low])
    asked = SimpleNamespace(frames=type(found.frames)(one, axes=1), truth=found.truth)
    scores = spectral_centroid.predict(asked, settings, {}, 0).scores
    assert scores.argmax(axis=1).tolist() == [0, 1]


def test_rows_that_are_not_told_the_dyes_refuse(tmp_path):
    own = labelled_spectra.condition("own", labelled_spectra.small(tmp_path), {}, Asked("test", 1), CATALOG)
    for module in (nearest_template, spectral_centroid):
        with pytest.raises(ConfigError, match="expected light of each class"):
            module.predict(own, {"edge_bins": 4}, {}, 0)


def table(path, rows, bins=24, label="class"):
    head = ",".join([label, *(f"b{place}" for place in range(bins))])
    path.write_text("\n".join([head, *(",".join([name, *["3"] * (bins - 1), str(number)]) for number, name in rows)]))
    return path


def test_parts_of_a_table_hold_every_class_and_share_nothing(tmp_path):
    path = table(tmp_path / "s.csv", enumerate(["a"] * 20 + ["b"] * 40))
    seen = []
    for role in ("train", "val", "test"):
        source = described("labelled_spectra", spectra=str(path))
        source = source.model_copy(update={"part": Share(role=role, val=0.2, test=0.1)})
        part = labelled_spectra.Part(source)
        seen.append((part.spectra[:, 0, -1].tolist(), np.bincount(part.index).tolist()))
    assert [counts for _, counts in seen] == [[14, 28], [4, 8], [2, 4]]
    assert sorted(row for rows, _ in seen for row in rows) == list(range(60))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(1, "a"), (2, "b"), (3, "")], "rows without a class"),
        ([(1, ""), (2, "")], "names no class"),
        ([(1, "a"), (2, "a")], "at least two are needed"),
        ([("x", "a"), (2, "b")], "row 1 has no number in column 'b23'"),
    ],
)
def test_tables_that_are_no_labelled_spectra_are_refused(tmp_path, rows, words):
    path = table(tmp_path / "s.csv", rows)
    with pytest.raises(FormatError, match=words):
        labelled_spectra.Part(described("labelled_spectra", spectra=str(path)))


def test_strangers_of_a_table_are_named(tmp_path):
    path = table(tmp_path / "s.csv", enumerate(["a", "b", "dust"] * 4))
    part = labelled_spectra.Part(described("labelled_spectra", spectra=str(path), strangers=["dust"]))
    assert part.classes == ("a", "b")
    assert part.index.tolist() == [0, 1, -1] * 4


class Brightest:
    """Says red where the left half of an input is the brighter one."""

    settings = {"classes": ["red", "green"]}

    def raw(self, frames, on_frames=None):
        for start in range(0, frames.n_frames, 2):
            values = torch.from_numpy(frames.read(start, min(start + 2, frames.n_frames))).flatten(1)
            half = values.view(len(values), -1, frames.width)
            left, right = half[..., : frames.width // 2].sum((1, 2)), half[..., -(frames.width // 2) :].sum((1, 2))
            yield torch.stack([left, right], dim=1)

    def decoded(self, raw, threshold=math.nan):
        return classes.decode(raw, self.settings, threshold)


def asked(tmp_path, path, sides, frames=None, places=None, pixel_size_nm=100.0):
    opened = SimpleNamespace(path=path, frames=frames, table=None)
    return Predicted(opened, places, {"reject": 0.6}, pixel_size_nm, sides, tmp_path, "out", lambda *_: None)


def predicted(*given, **more):
    (path,) = load("classification", CATALOG).predict(Brightest(), asked(*given, **more))
    lines = path.read_text().splitlines()
    return [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]


def test_spectra_of_a_user_are_told_apart(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("b0,b1,b2,b3\n9,0,0,0\n0,0,0,9\n1,1,1,1\n")
    rows = predicted(tmp_path, path, (4,))
    assert [row["class"] for row in rows] == ["red", "green", "rejected"]
    with pytest.raises(FormatError, match="spectra of 4 bins, the network learned 5"):
        predicted(tmp_path, path, (5,))


def test_places_in_a_movie_are_told_apart(tmp_path):
    movie = np.zeros((3, 12, 16), dtype=np.float32)
    movie[0, 5, 4] = movie[2, 6, 12] = 50.0
    at = {"frame": [2, 0, 0, 1], "x_nm": [1150.0, 550.0, 50.0, 650.0], "y_nm": [650.0, 550.0, 550.0, 650.0]}
    places = Localizations.of(at, n_frames=3, field_nm=(1600.0, 1200.0))
    given = (tmp_path, tmp_path / "m.tif", (5, 4), ArrayMovie(movie), places)
    rows = predicted(*given)
    assert [row["class"] for row in rows] == ["green", "red", "", "rejected"]
    assert [row["frame"] for row in rows] == ["2", "0", "0", "1"]
    for changed, words in (
        ({"places": None}, "give --places"),
        ({"pixel_size_nm": math.nan}, "camera pixel is unknown"),
        ({"sides": (13, 4)}, "smaller than crops"),
    ):
        with pytest.raises(ConfigError, match=words):
            predicted(*given[:2], **({"sides": given[2], "frames": given[3], "places": given[4]} | changed))
    late = Localizations.of({"frame": [3], "x_nm": [1.0], "y_nm": [1.0]}, n_frames=4, field_nm=(1600.0, 1200.0))
    with pytest.raises(FormatError, match="up to 4, the movie has 3"):
        predicted(*given[:4], places=late)
