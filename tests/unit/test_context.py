"""Deep-STORM and FID-STORM on windows of three frames: what that changes, and what it leaves as it was."""

import numpy as np
import pytest
import torch
from torch import nn

from smlmbench.conformance import examples
from smlmbench.data.contracts import ArrayFrames
from smlmbench.inference import tiles
from smlmbench.inference.answering import answering
from smlmbench.inference.checkpoint import build_network, checkpoint_of, load_trained
from smlmbench.models.normalisation import Normalisation
from smlmbench.registry import Card, Catalog
from smlmbench.run.cells.teachers import seed_of
from smlmbench.study.identity import picked_identity
from smlmbench.study.load import load_study
from smlmbench.study.planning.expand import picks
from smlmbench.study.planning.plan import make_plan
from smlmbench.training import save_atomically

CATALOG = Catalog()
BOTH = ("deep_storm", "fid_storm")
STUDY = """
study: silent
seed: 3
repeats: 1
data: [{name: d, train: {simulate: {field_px: 16, frames: 8}}}]
losses: [{name: l1l2, lambda: 50}]
training: {samples: 64}
"""


def planned(folder, models="[deep_storm, fid_storm]", more=""):
    path = folder / "study.yaml"
    path.write_text(f"{STUDY}models: {models}\n{more}")
    return make_plan(load_study(path))


def made(name, context=3, upsampling=2, **settings):
    card = CATALOG.card("models", name)
    filled = card.fill(name, {**card.tiny, "context": context, **settings})
    torch.manual_seed(0)
    network = build_network(CATALOG, name, filled, examples.given(upsampling, channels=context)).eval()
    for weight in network.parameters():
        if not weight.any():
            nn.init.normal_(weight, std=0.1)
    return network, filled


def test_trainings_from_before_there_was_a_context_keep_their_names_and_their_start(tmp_path):
    """Both as they were computed before the setting came."""
    known = {
        "deep_storm": ("c02ff10bd72e", 6251883148835213853),
        "fid_storm": ("0d4f43928644", 327797779238187476),
    }
    for written in ("[deep_storm, fid_storm]", "[{name: deep_storm, context: 1}, {name: fid_storm, context: 1}]"):
        cells = planned(tmp_path, written).cells
        assert {cell.model.name: (cell.cell_id, seed_of("init", cell, cell.model)) for cell in cells} == known
    others = planned(tmp_path, "[{name: deep_storm, context: 3}, {name: fid_storm, context: 3}]").cells
    for cell in others:
        assert cell.cell_id != known[cell.model.name][0]
        assert seed_of("init", cell, cell.model) != known[cell.model.name][1]
        assert cell.model.settings["context"] == picked_identity(cell.model)["settings"]["context"] == 3


def test_a_setting_that_came_later_is_silent_at_its_default_alone():
    settings = {"a": {"default": 1, "later": True}, "b": {"default": 2}}
    card = Card.model_validate({"version": 1, "summary": "s", "settings": settings})
    assert card.silent({"a": 1, "b": 2}) == ["a"]
    assert card.silent({"a": 5, "b": 2}) == card.silent({"b": 2}) == []
    (one,) = picks(CATALOG, "models", {"name": "fid_storm"})
    assert one.settings["context"] == 1
    assert "context" not in picked_identity(one)["settings"]


@pytest.mark.parametrize("name", BOTH)
def test_a_network_on_windows_looks_at_every_frame(name):
    network, _ = made(name)
    frames = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 50
    with torch.no_grad():
        answer = network(frames)
        for near in range(3):
            changed = frames.clone()
            changed[:, near] += 20
            assert not torch.allclose(network(changed), answer)
    assert answer.shape == (1, 1, 32, 32)


def test_each_frame_of_a_window_loses_its_own_background():
    frames = torch.full((1, 3, 24, 24), 10.0)
    frames[:, 1], frames[:, 2] = 40.0, 90.0
    frames[0, :, 12, 12] += torch.tensor([30.0, 60.0, 90.0])
    scaled = Normalisation("noise_scaled", examples.STATISTICS)(frames)
    assert scaled[0, :, 2, 2].abs().max() < 1e-4
    alone = [Normalisation("noise_scaled", examples.STATISTICS)(frames[:, k : k + 1])[0, 0] for k in range(3)]
    torch.testing.assert_close(scaled[0], torch.stack(alone))


def test_a_window_is_stretched_as_one_so_that_its_brightest_frame_stays_the_brightest():
    frames = torch.tensor([0.0, 10.0, 40.0]).view(1, 3, 1, 1) * torch.rand(1, 3, 8, 8)
    scaled = Normalisation("frame_minmax", examples.STATISTICS)(frames)
    low, high = frames.min(), frames.max()
    torch.testing.assert_close(scaled, (frames - low) / (high - low))
    assert scaled[0, 1].max() < 0.5


@pytest.mark.parametrize("normalisation", ["train_zscore", "noise_scaled", "frame_minmax"])
@pytest.mark.parametrize("name", BOTH)
def test_a_movie_in_tiles_is_answered_as_a_whole_one(name, normalisation, tmp_path, monkeypatch):
    network, settings = made(name, normalisation=normalisation)
    output = examples.output_settings(CATALOG, "raster", 2)
    content = checkpoint_of(
        network,
        examples.given(2, channels=3),
        {"name": name, "version": 1, "settings": settings},
        {"name": "raster", "version": 1, "settings": output},
        {"task": "localization", "tuned": {"threshold": 0.02}},
    )
    save_atomically(content, tmp_path / "best.pt")
    trained = load_trained(tmp_path / "best.pt", CATALOG)
    assert (trained.channels, trained.context) == (3, 3)
    frames = ArrayFrames(np.random.default_rng(0).poisson(20.0, (3, 100, 200)).astype(np.float32))
    whole = answering(trained).movie(frames, 0.02)
    monkeypatch.setattr(tiles, "FINE_PIXELS_PER_TILE", (96 * 2) ** 2)
    parts = answering(trained).movie(frames, 0.02)
    np.testing.assert_allclose(parts.image.values, whole.image.values, atol=1e-4)
    assert whole.context == parts.context == 3
    assert len(parts.table) == len(whole.table)


def test_a_teacher_and_its_student_see_the_same_windows(tmp_path):
    pair = "distill: [{teacher: {name: deep_storm, context: %d}, student: fid_storm, method: hint, controls: false}]"
    (skipped,) = planned(tmp_path, "[fid_storm]", pair % 3).skipped
    assert skipped.reason == "its teacher deep_storm has context 3, fid_storm 1; give both one"
    assert planned(tmp_path, "[fid_storm]", pair % 1).skipped == []
