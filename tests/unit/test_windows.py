"""Frames of several channels, and each frame between its neighbours: how they are cut, run and read out."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from smlmbench import tasks
from smlmbench.data.contracts import ArrayFrames, Condition, Given, Statistics
from smlmbench.errors import FormatError, SizeError, UnknownNameError
from smlmbench.inference import tiles
from smlmbench.inference.answering import Answering, answering
from smlmbench.inference.checkpoint import build_network, checkpoint_of, load_trained
from smlmbench.inference.engine import ReadOut, predict, raw_batches
from smlmbench.movies import blocks, window, windows, with_context
from smlmbench.outputs import raster
from smlmbench.registry import Catalog
from smlmbench.registry.cards import ModelCard
from smlmbench.training import save_atomically

CATALOG = Catalog()
CPU = torch.device("cpu")
OUTPUT = {**CATALOG.card("outputs", "raster").fill("raster", {"upsampling": 2}), "pixel_size_nm": 100.0}
LOWEST = 1e-3


def numbered(*values, side=2):
    """Frames that are everywhere their number."""
    return ArrayFrames(np.asarray(values, np.float32)[:, None, None] * np.ones((side, side), np.float32))


def middles(block):
    """The upper left values of each window's channels."""
    return block[:, :, 0, 0].tolist()


def test_each_frame_stands_between_its_neighbours_and_the_ends_are_repeated():
    frames = numbered(10, 11, 12, 13)
    assert middles(with_context(frames, 0, 4)) == [[10], [11], [12], [13]]
    assert middles(with_context(frames, 0, 4, 3)) == [[10, 10, 11], [10, 11, 12], [11, 12, 13], [12, 13, 13]]
    assert middles(with_context(frames, 2, 4, 3)) == [[11, 12, 13], [12, 13, 13]]
    assert middles(with_context(frames, 1, 2, 3)) == [[10, 11, 12]]
    assert middles(with_context(frames, 0, 2, 5)) == [[10, 10, 10, 11, 12], [10, 10, 11, 12, 13]]
    assert middles(with_context(numbered(7), 0, 1, 3)) == [[7, 7, 7]]
    assert with_context(frames, 0, 4, 3).shape == (4, 3, 2, 2)


def test_no_more_frames_are_read_than_are_looked_at():
    class Watched(ArrayFrames):
        def read(self, start, stop):
            read.append((start, stop))
            return super().read(start, stop)

    read = []
    frames = Watched(numbered(*range(9)).values)
    for start, stop in ((0, 3), (3, 6), (6, 9)):
        with_context(frames, start, stop, 3)
    assert read == [(0, 4), (2, 7), (5, 9)]


def test_the_channels_of_the_earliest_frame_come_first():
    values = np.array([[10, 20], [11, 21], [12, 22]], np.float32)[:, :, None, None] * np.ones((4, 5), np.float32)
    block = with_context(ArrayFrames(values), 0, 3, 3)
    assert block.shape == (3, 6, 4, 5)
    assert middles(block)[0] == [10, 20, 10, 20, 11, 21]
    assert middles(block)[1] == [10, 20, 11, 21, 12, 22]
    assert middles(block)[2] == [11, 21, 12, 22, 12, 22]


def test_spectra_have_windows_too():
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert with_context(ArrayFrames(values, axes=1), 0, 3).shape == (3, 1, 4)
    block = with_context(ArrayFrames(values, axes=1), 1, 2, 3)
    assert block.tolist() == [values.tolist()]
    part = window(ArrayFrames(values, axes=1), frames=(1, 3))
    np.testing.assert_array_equal(with_context(part, 0, 2), values[1:3, None])
    two = ArrayFrames(np.stack([values, -values], axis=1), axes=1)
    assert with_context(two, 1, 2, 3)[0, :, 0].tolist() == [0, 0, 4, -4, 8, -8]


def test_windows_are_cut_around_any_frames_of_a_block():
    block = np.arange(5, dtype=np.float32)[:, None, None, None] * np.ones((1, 2, 2), np.float32)
    made = windows(block, np.array([4, 0, 2]), 3)
    assert middles(made) == [[3, 4, 4], [0, 0, 1], [1, 2, 3]]
    assert np.array_equal(windows(block, np.arange(5), 1), block)


def test_what_takes_single_images_refuses_frames_of_several_channels():
    with pytest.raises(SizeError, match="frames of 3 channels where single images are needed"):
        next(blocks(ArrayFrames(np.zeros((2, 3, 4, 4), np.float32)), 2))


class Summed(nn.Module):
    """The sum of the channels above 50, weighted by their number, at the upper left fine pixel of each."""

    def forward(self, frames):
        weights = torch.arange(1.0, frames.shape[1] + 1)[:, None, None]
        total = (frames * weights).sum(dim=1)
        raw = torch.zeros(len(frames), 1, 2 * frames.shape[2], 2 * frames.shape[3])
        raw[:, 0, ::2, ::2] = torch.where(total > 50, total, 0.0)
        return raw


def movie(n_frames=7, channels=2, height=40, width=52):
    """Isolated bright pixels, other ones in every frame and channel."""
    values = np.zeros((n_frames, channels, height, width), np.float32)
    for frame in range(n_frames):
        for channel in range(channels):
            values[frame, channel, 4 * channel + 2 :: 14, 2 + 3 * (frame % 3) :: 11] = 100 + frame
    return ArrayFrames(values)


@pytest.mark.parametrize("batch", [1, 3, 64])
@pytest.mark.parametrize("context", [1, 3])
def test_channels_and_neighbours_reach_the_network_whatever_the_blocks(context, batch):
    frames = movie()
    told = []
    read_out = ReadOut(raster, OUTPUT, LOWEST, context=context)
    found = predict(frames, Summed(), read_out, device=CPU, batch=batch, on_frames=told.append)
    padded = frames.values[np.clip(np.arange(-(context // 2), 7 + context // 2), 0, 6)]
    weights = np.arange(1.0, 2 * context + 1).reshape(context, 2)
    by_hand = sum(
        weights[near, channel] * padded[near : near + 7, channel] for near in range(context) for channel in range(2)
    )
    expected = np.zeros((80, 104))
    expected[::2, ::2] = by_hand.sum(axis=0) / OUTPUT["amplitude"]
    assert found.image.values[0] == pytest.approx(expected, rel=1e-5)
    assert found.table.n_frames == 7
    assert len(found.table) == np.count_nonzero(by_hand)
    assert np.array_equal(np.bincount(found.table.frame), np.count_nonzero(by_hand, axis=(1, 2)))
    assert told[-1] == 7


@pytest.mark.parametrize("context", [1, 3])
def test_tiles_of_several_channels_change_nothing(context, monkeypatch):
    frames, seen = movie(), []

    class Watched(Summed):
        def forward(self, frames, frame_range=None):
            seen.append((frames.shape[1], frames.shape[3], None if frame_range is None else frame_range.tolist()))
            return super().forward(frames)

    read_out = ReadOut(raster, OUTPUT, LOWEST, context=context, halo_px=0, frame_range=True)
    whole = predict(frames, Watched(), dataclasses.replace(read_out, halo_px=None), device=CPU)
    assert seen == [(2 * context, 52, None)]
    monkeypatch.setattr(tiles, "FINE_PIXELS_PER_TILE", (24 * 2) ** 2)
    seen.clear()
    parts = predict(frames, Watched(), read_out, device=CPU, batch=7)
    assert len(seen) > 1
    assert {channels for channels, *_ in seen} == {2 * context}
    assert max(width for _, width, _ in seen) < 52
    # the range is that of all channels of the whole window
    brightest = [100 + min(number + context // 2, 6) for number in range(7)]
    assert all(ends == [[0, high] for high in brightest] for *_, ends in seen)
    assert np.array_equal(parts.image.values, whole.image.values)
    assert len(parts.table) == len(whole.table) > 0
    ours, theirs = (np.lexsort((t.x_nm, t.y_nm, t.frame)) for t in (parts.table, whole.table))
    assert np.array_equal(parts.table.frame[ours], whole.table.frame[theirs])
    assert parts.table.x_nm[ours] == pytest.approx(whole.table.x_nm[theirs], abs=0.01)
    assert parts.table.y_nm[ours] == pytest.approx(whole.table.y_nm[theirs], abs=0.01)


def test_raw_output_comes_whole_in_order_and_cut_to_the_frames():
    frames = movie(n_frames=5, height=10, width=13)
    seen = []

    def picky(block):
        seen.append(tuple(block.shape))
        return Summed()(block)

    read_out = ReadOut(raster, OUTPUT, math.nan, multiple_px=4, context=3)
    found = list(raw_batches(frames, picky, read_out, device=CPU, batch=2))
    assert seen == [(2, 6, 12, 16), (2, 6, 12, 16), (1, 6, 12, 16)]
    assert [done for done, _ in found] == [2, 4, 5]
    raw = torch.cat([one for _, one in found])
    expected = Summed()(torch.from_numpy(with_context(frames, 0, 5, 3)))
    assert (raw.dtype, raw.shape) == (torch.float32, (5, 1, 20, 26))
    assert torch.equal(raw, expected)


def test_raw_output_of_spectra_may_have_any_shape():
    spectra = ArrayFrames(np.arange(30, dtype=np.float32).reshape(5, 6), axes=1)
    read_out = ReadOut(raster, {"pixel_size_nm": math.nan}, math.nan, multiple_px=4)
    told, model = [], Answering(lambda block: block.sum(dim=(1, 2)), read_out, CPU)
    sums = torch.cat(list(model.raw(spectra, told.append)))
    assert sums.tolist() == spectra.values.sum(axis=1).tolist()
    assert told == [5]


def test_a_network_says_how_many_frames_it_sees():
    card = {"version": 1, "summary": "s", "output": "raster", "upsamples": "none", "parameters": {}}
    plain = ModelCard(**card, receptive_field_px=3.0)
    assert plain.frames_at_once({}) == 1
    stated = ModelCard(
        **card,
        receptive_field_px=3.0,
        settings={"kind": {"default": "a", "choices": ["a", "b"]}},
        facts={"context": 3},
        variants={"kind=b": {"facts": {"context": 5}}},
    )
    assert stated.frames_at_once({"kind": "a"}) == 3
    assert stated.frames_at_once({"kind": "b"}) == 5
    assert stated.frames_at_once({"kind": "b", "context": 7}) == 7


NET = '''
"""A convolution over the channels that it is given."""
from torch import nn

CARD = {
    "version": 1, "summary": "A convolution", "output": "raster", "upsamples": "none",
    "settings": {"context": {"default": 3, "choices": [1, 3, 5]}}, "parameters": {}, "receptive_field_px": 1.0,
}


def build(settings, given):
    """Build it."""
    assert given.channels % given.context == 0
    return nn.Conv2d(given.channels, 1, 1)
'''
PLAIN = {**CATALOG.card("outputs", "raster").fill("raster", {"upsampling": 1}), "pixel_size_nm": 100.0}


def stored(folder, facts, *, output=None, forgotten=(), given=None):
    """A checkpoint; `forgotten` keys are those that an older version did not know."""
    plugin = folder / "many_frames.py"
    plugin.write_text(NET)
    catalog = Catalog([plugin])
    given = given or Given(6, 1, 100.0, Statistics(10.0, 5.0, 0.0, 80.0), context=3)
    torch.manual_seed(0)
    settings = {"context": given.context}
    content = checkpoint_of(
        build_network(catalog, "many_frames", settings, given),
        given,
        {"name": "many_frames", "version": 1, "settings": settings},
        {"name": "raster", "version": 1, "settings": output or PLAIN},
        facts,
    )
    content["given"] = {name: value for name, value in content["given"].items() if name not in forgotten}
    save_atomically(content, folder / "best.pt")
    return load_trained(folder / "best.pt", catalog)


def test_a_checkpoint_knows_its_channels_and_neighbours(tmp_path):
    trained = stored(tmp_path, {"task": "localization", "tuned": {"threshold": 0.25}})
    assert (trained.channels, trained.context, trained.tuned) == (6, 3, {"threshold": 0.25})
    read_out = answering(trained).read_out
    assert (read_out.context, read_out.threshold) == (3, 0.25)
    found = answering(trained).movie(movie(), 0.0)
    assert found.image.values.shape == (1, 40, 52)


def test_an_older_checkpoint_holds_a_threshold_alone_and_sees_one_frame(tmp_path):
    given = Given(1, 1, 100.0, Statistics(10.0, 5.0, 0.0, 80.0))
    facts = {"task": "localization", "threshold": 0.25, "calibrated": True}
    trained = stored(tmp_path, facts, forgotten=("context",), given=given)
    assert "context" not in torch.load(tmp_path / "best.pt", weights_only=True)["given"]
    assert (trained.channels, trained.context, trained.tuned) == (1, 1, {"threshold": 0.25})
    assert (trained.facts["task"], trained.keep_table, trained.read_out().threshold) == ("localization", True, 0.25)


def test_an_older_checkpoint_of_image_pairs_is_that_of_its_own_task(tmp_path):
    given = Given(1, 1, 100.0, Statistics(10.0, 5.0, 0.0, 80.0))
    facts = {"task": "localization", "threshold": math.nan}
    output = {**PLAIN, "image_scale": 255.0}
    trained = stored(tmp_path, facts, output=output, forgotten=("context",), given=given)
    assert (trained.facts["task"], trained.keep_table, trained.tuned) == ("image_pairs", False, {})
    assert math.isnan(trained.read_out().threshold)
    assert answering(trained).movie(movie(channels=1), math.nan, keep_table=False).table is None


def test_the_task_of_a_checkpoint_is_the_one_that_it_names_or_that_adopts_it():
    named = {name: {"task": name} for name in ("localization", "image_pairs")}
    for name, facts in named.items():
        assert tasks.of_checkpoint(facts, {"pixel_size_nm": 100.0}, CATALOG).name == name
        assert tasks.of_checkpoint(facts, {"image_scale": 2.0}, CATALOG).name == "image_pairs"
    with pytest.raises(UnknownNameError, match="unknown task 'localisation'"):
        tasks.of_checkpoint({"task": "localisation"}, {}, CATALOG)
    with pytest.raises(FormatError, match="the checkpoint does not say its task; train it anew"):
        tasks.of_checkpoint({}, {}, CATALOG)


def test_a_frame_alone_is_still_seen_between_its_neighbours():
    whole = Condition("movie", numbered(10, 11, 12, 13), None)
    for number in range(4):
        one = whole.unit(number).frames
        assert one.n_frames == 1
        assert np.array_equal(one.read(0, 1), whole.frames.read(number, number + 1))
        assert middles(with_context(one, 0, 1, 3)) == middles(with_context(whole.frames, number, number + 1, 3))
    assert middles(with_context(whole.part(1, 2).frames, 0, 1, 3)) == [[11, 11, 11]]


def test_the_answer_to_a_frame_alone_is_the_one_within_its_movie():
    frames, read_out = movie(channels=1), ReadOut(raster, OUTPUT, LOWEST, context=3)
    whole = predict(frames, Summed(), read_out, device=CPU).table
    alone = predict(Condition("m", frames, None).unit(3).frames, Summed(), read_out, device=CPU).table
    assert len(alone) > 0
    np.testing.assert_allclose(np.sort(alone.probability), np.sort(whole.probability[whole.frame == 3]), rtol=1e-5)
