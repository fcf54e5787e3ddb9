import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from smlmbench.conformance import examples
from smlmbench.data.contracts import ArrayFrames, Given, Statistics
from smlmbench.inference import tiles
from smlmbench.inference.checkpoint import build_network, halo_of
from smlmbench.inference.engine import ReadOut, frame_multiple, predict, stream
from smlmbench.inference.footprint import bytes_per_px
from smlmbench.inference.tiles import plan_tiles, spans
from smlmbench.outputs import raster
from smlmbench.registry import Catalog

CATALOG = Catalog()
CPU = torch.device("cpu")


@given(
    units=st.integers(1, 60),
    multiple=st.sampled_from([1, 2, 4, 8]),
    halo=st.integers(0, 20),
    largest=st.integers(8, 99),
)
def test_cores_follow_each_other_and_windows_hold_their_context(units, multiple, halo, largest):
    size = units * multiple
    made = spans(size, halo, multiple, largest)
    assert (made[0].core_start, made[-1].core_stop) == (0, size)
    assert len({span.stop - span.start for span in made}) == 1
    for before, after in pairwise(made):
        assert before.core_stop == after.core_start
    for span in made:
        assert 0 <= span.start <= span.core_start < span.core_stop <= span.stop <= size
        assert span.start % multiple == 0
        assert span.stop % multiple == 0
        assert span.start == 0 or span.core_start - span.start >= halo
        assert span.stop == size or span.stop - span.core_stop >= halo
    if len(made) > 1:
        whole_halo = multiple * -(-halo // multiple)
        assert made[0].stop - made[0].start <= max(largest, 4 * whole_halo, 2 * whole_halo + multiple)


def test_small_frames_are_not_cut_and_large_ones_stay_below_the_limit():
    assert len(plan_tiles(256, 256, 4, 10, 2)) == 1
    made = plan_tiles(2048, 1024, 8, 5, 1)
    window = made[0]
    assert (window.rows.stop - window.rows.start) * (window.columns.stop - window.columns.start) * 64 <= 2**21
    looked_at = len(made) * (window.rows.stop - window.rows.start) * (window.columns.stop - window.columns.start)
    assert looked_at < 1.25 * 2048 * 1024
    assert max(tile.rows.stop - tile.rows.start for tile in plan_tiles(600, 64, 1, 3, 1, largest_px=512)) <= 512


def case(name, upsampling, **settings):
    """A tiny network with an answer, frames with bright pixels, and how it is read."""
    given_ = Given(1, upsampling, 100.0, Statistics(10.0, 5.0, 0.0, 80.0))
    card = CATALOG.card("models", name)
    filled = card.fill(name, {**card.tiny, **settings})
    torch.manual_seed(0)
    network = build_network(CATALOG, name, filled, given_).eval()
    for weight in network.parameters():
        if float(weight.detach().abs().max()) == 0:
            torch.nn.init.normal_(weight)
    sides = (160, 171) if settings.get("normalisation") == "noise_scaled" else (70, 91)  # it sees 14 px more
    frames = np.random.default_rng(0).poisson(10, (2, *sides)).astype(np.float32)
    frames[:, ::13, ::11] += 200
    frames[1] *= 3
    output = {**CATALOG.card("outputs", "raster").fill("r", {"upsampling": upsampling}), "pixel_size_nm": 100.0}
    read_out = ReadOut(
        raster,
        output,
        0.0,
        multiple_px=frame_multiple(card.under(filled).facts, upsampling),
        halo_px=halo_of(CATALOG, name, filled, upsampling, network),
        frame_range=filled["normalisation"].startswith("frame_"),
    )
    return network, ArrayFrames(frames), read_out


@pytest.mark.parametrize("normalisation", ["train_zscore", "frame_minmax", "noise_scaled"])
@pytest.mark.parametrize("name", examples.answering(CATALOG, "raster"))
def test_tiles_change_nothing(name, normalisation, monkeypatch):
    network, frames, read_out = case(name, 4, normalisation=normalisation)
    seen = []

    def watched(window, *more):
        seen.append(window.shape[2:])
        return network(window, *more)

    whole = predict(frames, watched, dataclasses.replace(read_out, halo_px=None), device=CPU)
    monkeypatch.setattr(tiles, "FINE_PIXELS_PER_TILE", (40 * 4) ** 2)
    seen.clear()
    parts = predict(frames, watched, read_out, device=CPU)
    assert len(seen) > 1
    assert len(set(seen)) == 1
    if whole.image.values.max() > 0:
        assert np.abs(parts.image.values - whole.image.values).max() <= 1e-5 * whole.image.values.max()
    assert len(parts.table) == len(whole.table)
    assert (np.diff(parts.table.frame) >= 0).all()
    order = [np.lexsort((t.x_nm.round(2), t.y_nm.round(2), t.frame)) for t in (parts.table, whole.table)]
    for column in ("x_nm", "y_nm", "probability"):
        ours, theirs = (getattr(t, column)[at] for t, at in zip((parts.table, whole.table), order, strict=True))
        assert np.abs(ours - theirs).max(initial=0) < 0.05
    assert parts.table.field_nm == whole.table.field_nm


@pytest.mark.parametrize(("name", "channels"), [("deep_storm", 64), ("u_storm", 128), ("srcnn", 128)])
def test_tiles_grow_smaller_with_what_the_layers_hold(name, channels):
    card = CATALOG.card("models", name)
    settings = card.fill(name, {})
    network = build_network(CATALOG, name, settings, Given(1, 8, 100.0, Statistics(10.0, 5.0, 0.0, 80.0)))
    held = bytes_per_px(network)
    # By hand: maps in and out of the widest layer on the fine grid, 4 bytes each, 64 fine pixels per camera pixel.
    assert held == 4 * channels * 64
    (one, *_), (free, *_) = tiles.plan_tiles(256, 256, 8, 4, 1, None, held), tiles.plan_tiles(256, 256, 8, 4, 1)
    area = (one.rows.stop - one.rows.start) * (one.columns.stop - one.columns.start)
    assert area * held <= tiles.BYTES_PER_TILE
    assert area <= (free.rows.stop - free.rows.start) ** 2
    assert len(tiles.plan_tiles(64, 64, 2, 4, 1, None, held)) == 1


def test_a_network_that_cannot_be_followed_has_no_known_footprint():
    class Odd(torch.nn.Module):
        def forward(self, frames):
            return frames * float(frames.max())

    assert bytes_per_px(Odd()) is None


def test_frame_statistics_of_tiles_alone_would_differ(monkeypatch):
    network, frames, read_out = case("fid_storm", 2, normalisation="frame_minmax")
    whole = predict(frames, network, dataclasses.replace(read_out, halo_px=None), device=CPU)
    monkeypatch.setattr(tiles, "FINE_PIXELS_PER_TILE", (40 * 2) ** 2)
    wrong = predict(frames, network, dataclasses.replace(read_out, frame_range=False), device=CPU)
    assert np.abs(wrong.image.values - whole.image.values).max() > 1e-2 * whole.image.values.max()


def test_a_stream_begins_where_it_is_told_and_keeps_nothing():
    network, frames, read_out = case("srcnn", 2)
    whole = predict(frames, network, read_out, device=CPU)
    pieces = list(stream(frames, network, read_out, device=CPU, batch=1, first=1))
    assert [(piece.start, piece.stop) for piece in pieces] == [(1, 2)]
    assert set(pieces[0].table.frame) == {1}
    assert len(pieces[0].table) == int((whole.table.frame == 1).sum())
