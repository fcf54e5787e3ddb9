"""Crops are normalised by the extremes of the frame that they were cut from, in training as in use."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from smlmbench.conformance import examples
from smlmbench.data.contracts import ArrayFrames, Batch, Given, Scope, Statistics
from smlmbench.data.crops import CropTraining
from smlmbench.inference.engine import padded
from smlmbench.models import srcnn
from smlmbench.models.normalisation import Normalisation
from smlmbench.predictions import Localizations
from smlmbench.recipes import supervised
from smlmbench.recipes.answering import takes_frame_range
from smlmbench.registry import Catalog
from smlmbench.study.cells import Picked
from smlmbench.study.identity import cell_id
from smlmbench.study.schema import Training
from smlmbench.study.sources import MovieSource, SimulateSource

STATISTICS = Statistics(50.0, 20.0, 1.0, 99.0)


@pytest.fixture
def frames():
    return np.random.default_rng(0).uniform(0, 100, (5, 24, 40)).astype(np.float32)


@pytest.fixture
def stream(frames):
    nowhere = Localizations.empty(n_frames=5, field_nm=(4000, 2400))
    return CropTraining(ArrayFrames(frames), nowhere, 100.0, 12, Scope(3, augment=False), ("train",))


@pytest.mark.parametrize("kind", ["frame_minmax", "frame_minmax_zscore"])
def test_a_normalised_crop_is_the_crop_of_the_normalised_frame(frames, stream, kind):
    normalise = Normalisation(kind, STATISTICS)
    whole = normalise(torch.from_numpy(frames)[:, None])
    batch = stream.batch(40, 16)
    crops = normalise(batch.inputs, batch.frame_range)
    for number in range(16):
        frame, row, column, _ = stream.place(40 + number)
        torch.testing.assert_close(crops[number, 0], whole[frame, 0, row : row + 12, column : column + 12])
    assert not torch.allclose(crops, normalise(batch.inputs))


class Seen(nn.Module):
    """Remembers what it was given."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.given = []

    def forward(self, frames, frame_range=None):
        self.given.append((frames, frame_range))
        return frames * self.weight


class Plain(nn.Module):
    """As a plug-in may be: frames alone."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, frames):
        return frames * self.weight


def recipe_of(network, answer=None):
    return supervised.build(
        network,
        lambda raw, targets: {"loss": (raw - targets["spikes"]).square().mean()},
        lambda batch: {"spikes": torch.zeros_like(batch.inputs)},
        torch.device("cpu"),
        {},
        answer,
    )


def test_the_recipe_passes_the_range_on_also_through_padding(stream):
    batch = stream.batch(0, 4)
    network = Seen()
    recipe_of(network, padded(network, 8, 1)).step(batch)
    frames, frame_range = network.given[0]
    assert frames.shape == (4, 1, 16, 16)
    assert torch.equal(frame_range, batch.frame_range)


def test_networks_without_the_parameter_train_as_before(stream):
    network = Plain()
    assert not takes_frame_range(network)
    (move,) = recipe_of(network, padded(network, 8, 1)).step(stream.batch(0, 4))
    move.loss.backward()
    assert network.weight.grad != 0


def test_a_batch_of_whole_frames_has_no_range(stream):
    whole = stream.batch(0, 2)
    batch = Batch(whole.inputs, whole.truth)
    network = Seen()
    recipe_of(network).step(batch)
    assert network.given[0][1] is None


@pytest.mark.parametrize("name", examples.answering(Catalog(), "raster"))
def test_every_network_of_the_package_takes_it(name):
    catalog = Catalog()
    card = catalog.card("models", name)
    given = replace(examples.given(2, output=examples.output_settings(catalog, card.output, 2)), statistics=STATISTICS)
    network = catalog.module("models", name).build(card.fill(name, card.tiny), given)
    assert takes_frame_range(network)


def test_a_network_answers_a_crop_as_the_whole_frame(frames, stream):
    card = Catalog().card("models", "srcnn")
    given = Given(1, 2, 100.0, STATISTICS)
    settings = card.fill("srcnn", {**card.tiny, "normalisation": "frame_minmax", "zero_last": False})
    torch.manual_seed(0)
    network = srcnn.build(settings, given).eval()
    batch = stream.batch(0, 6)
    with torch.no_grad():
        whole = network(torch.from_numpy(frames)[:, None])
        crops = network(batch.inputs, batch.frame_range)
    for number in range(6):
        frame, row, column, _ = stream.place(number)
        inner = whole[frame, 0, 2 * row + 8 : 2 * row + 16, 2 * column + 8 : 2 * column + 16]
        torch.testing.assert_close(crops[number, 0, 8:16, 8:16], inner)


def test_only_trainings_that_it_changes_have_a_new_identity():
    sources = (SimulateSource(), MovieSource(movie="m.tif", pixel_size_nm=100, camera="uncalibrated"))

    def identity(kind, normalisation):
        source = next(one for one in sources if one.kind == kind)
        return cell_id(
            task="localization",
            root_seed=0,
            repeat=0,
            data=SimpleNamespace(train=source, train_identity={"train": {"kind": kind}}),
            model=Picked(name="net", version=1, settings={"normalisation": normalisation}),
            output=Picked(name="grid", version=1),
            loss=Picked(name="pull", version=1),
            training=Training(),
        )

    assert identity("simulate", "frame_minmax") == "18e4ba656b1e"  # as before crops had a range
    assert identity("movie", "train_zscore") == "870883b60356"
    assert identity("movie", "frame_minmax") != "e04999d6c9d2"
