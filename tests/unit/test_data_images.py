"""Samples of image pairs: crops of both images at one place, addressed by number; scored sets; memory."""

import image_pairs
import numpy as np
import pytest
import torch

from smlmbench.camera import Camera
from smlmbench.data import images
from smlmbench.data.contracts import Asked, Scope
from smlmbench.data.images import PairFiles
from smlmbench.errors import ConfigError, FormatError, SizeError
from smlmbench.outputs import raster
from smlmbench.registry import Catalog
from smlmbench.study.sources import ImagesSource

CATALOG = Catalog()
RATIO = 4


def source_of(folder, **more):
    return ImagesSource(input=folder / "X", target=folder / "Y", **{"crop_px": 8, **more})


def stream_of(folder, repeat=0, augment=True, context=1, **more):
    return images.training_set(source_of(folder, **more), {"pairs": 1}, Scope(5, repeat, augment, context), CATALOG)


@pytest.fixture
def folder(tmp_path):
    """Targets that say where in the input they belong: every input pixel, RATIO x RATIO times; sizes differ."""
    for number, (height, width) in enumerate([(16, 20), (12, 12), (20, 8)]):
        given = (1000 * number + np.arange(height * width).reshape(height, width) + 1).astype(np.uint16)
        wanted = given.repeat(RATIO, axis=0).repeat(RATIO, axis=1).astype(np.float32)
        image_pairs.put(tmp_path, f"im{number}.tif", given, wanted)
    return tmp_path


def test_both_crops_show_the_same_place(folder):
    stream = stream_of(folder)
    batch = stream.batch(0, 60)
    assert batch.inputs.shape == (60, 1, 8, 8)
    assert batch.truth.images.shape == (60, 1, 32, 32)
    assert batch.inputs.dtype == batch.truth.images.dtype == torch.float32
    spread = batch.inputs.repeat_interleave(RATIO, 2).repeat_interleave(RATIO, 3)
    torch.testing.assert_close(batch.truth.images * stream.target_scale, spread)
    assert batch.truth.kind == "target_images"
    firsts = {int(frame[0, 0, 0]) // 1000 for frame in batch.inputs[:, 0:1]}
    assert firsts == {0, 1, 2}
    directions = {(frame[0, 0, 1] - frame[0, 0, 0]).item() for frame in batch.inputs}
    assert {1.0, -1.0} < directions  # turned and mirrored
    plain = stream_of(folder, augment=False).batch(0, 60)
    assert {(frame[0, 0, 1] - frame[0, 0, 0]).item() for frame in plain.inputs} == {1.0}


def test_samples_are_addressed_by_number(folder):
    whole = stream_of(folder).batch(0, 12)
    parts = [stream_of(folder).batch(first, 4) for first in (8, 0, 4)]
    for part in parts:
        rows = slice(part.first, part.first + 4)
        assert torch.equal(part.inputs, whole.inputs[rows])
        assert torch.equal(part.truth.images, whole.truth.images[rows])
    assert not torch.equal(stream_of(folder, repeat=1).batch(0, 12).inputs, whole.inputs)


def test_the_range_is_that_of_the_whole_input(folder):
    batch = stream_of(folder).batch(0, 30)
    ends = {0: (1, 320), 1: (1001, 1144), 2: (2001, 2160)}
    for frame, (low, high) in zip(batch.inputs, batch.frame_range, strict=True):
        assert (low, high) == ends[int(frame[0, 0, 0]) // 1000]


def test_a_crop_is_cut_to_the_shortest_side(folder):
    assert stream_of(folder, crop_px=32).sample_shape == (1, 8, 8)


def test_the_scale_is_the_mean_of_the_brightest_lit_pixels(tmp_path):
    for number, brightest in enumerate((200.0, 400.0)):
        wanted = np.zeros((8, 8), dtype=np.float32)
        wanted[3, 3] = brightest
        image_pairs.put(tmp_path, f"{number}.tif", np.ones((8, 8), np.uint16), wanted)
    image_pairs.put(tmp_path, "2.tif", np.ones((8, 8), np.uint16), np.zeros((8, 8), np.float32))
    stream = stream_of(tmp_path)
    assert stream.target_scale == 300
    assert stream.batch(0, 20).truth.images.max() == pytest.approx(4 / 3)


def test_only_blank_targets_are_refused(tmp_path):
    image_pairs.put(tmp_path, "a.tif", np.ones((8, 8), np.uint16), np.zeros((8, 8), np.float32))
    with pytest.raises(FormatError, match="all target images of the training part are blank"):
        stream_of(tmp_path).batch(0, 1)


def test_statistics_are_of_the_inputs_in_photons(folder):
    counts = stream_of(folder).statistics
    everything = np.concatenate([PairFiles(source_of(folder))[number].given.ravel() for number in range(3)])
    assert everything.min() <= counts.low < counts.mean < counts.high <= everything.max()
    camera = Camera(kind="scmos", baseline_adu=100, e_per_adu=0.5)
    photons = stream_of(folder, camera=camera).statistics
    assert photons.mean == pytest.approx((counts.mean - 100) * 0.5)


def test_a_pixel_size_is_handed_on_and_may_be_unknown(folder):
    known_px = {"pixel_size_nm": 80.0}
    unknown, known = (stream_of(folder, **more).output_settings for more in ({}, known_px))
    assert np.isnan(unknown["pixel_size_nm"])
    assert known == {"pixel_size_nm": 80, "image_scale": unknown["image_scale"]}
    held = [images.condition("val", source_of(folder, **more), {}, Asked("val", 1), CATALOG) for more in ({}, known_px)]
    assert np.isnan(held[0].pixel_size_nm)
    assert held[1].told == known_px


def test_memory_stays_below_its_bound_and_files_are_read_again(folder):
    pairs = PairFiles(source_of(folder))
    largest = max(pairs[number].n_bytes for number in range(3))
    small = PairFiles(source_of(folder), held_bytes=largest)
    for _ in range(2):
        for number in range(3):
            assert np.array_equal(small[number][1], pairs[number][1])
            assert sum(held.n_bytes for held in small._held.values()) == small._used <= largest


def test_a_condition_holds_its_pairs_and_does_not_depend_on_the_seed(folder):
    first, second = (
        images.condition("val", source_of(folder), {"pairs": 1}, Asked("val", seed), CATALOG) for seed in (1, 2)
    )
    assert first.digest == second.digest
    assert (first.calibrated, first.facts, first.told) == (False, {"pairs": 3.0}, {})
    assert (first.truth.kind, len(first.truth)) == ("target_images", 3)
    assert first.frames.read(1, 2).shape == (1, 12, 12)
    assert [target.shape for target in first.truth] == [(64, 80), (48, 48), (80, 32)]
    with pytest.raises(SizeError, match="several sizes"):
        first.frames.read(0, 3)


def test_a_part_of_a_condition_stays_in_its_files(folder):
    whole = images.condition("val", source_of(folder), {"pairs": 1}, Asked("val", 1), CATALOG)
    last = whole.part(1, 3)
    assert (last.frames.n_frames, last.frames.height, last.frames.width, len(last.truth)) == (2, 12, 12, 2)
    assert np.array_equal(last.frames.read(1, 2), whole.frames.read(2, 3))
    assert np.array_equal(last.truth[1], whole.truth[2])
    one = last.part(1, 2)
    assert one.frames.read(0, 1).shape == (1, 20, 8)
    assert (one.frames.height, one.frames.width) == (20, 8)
    assert [target.shape for target in one.truth] == [(80, 32)]
    with pytest.raises(SizeError, match=r"condition 'val' has 2 units, not 2 \.\.\. 3"):
        last.part(1, 3)


def test_pairs_have_no_neighbours_in_time(folder):
    with pytest.raises(ConfigError, match="image pairs have no neighbours in time"):
        stream_of(folder, context=3)


def test_targets_are_label_units_and_images_come_back_in_their_own(folder):
    stream = stream_of(folder)
    batch = stream.batch(0, 3)
    settings = {
        **CATALOG.card("outputs", "raster").fill("raster", {"upsampling": RATIO}),
        "pixel_size_nm": float("nan"),
    }
    learned = raster.targets(batch, settings)["spikes"]
    torch.testing.assert_close(learned, batch.truth.images * settings["amplitude"])
    back = raster.image(learned, {**settings, "image_scale": stream.output_settings["image_scale"]})
    spread = batch.inputs.repeat_interleave(RATIO, 2).repeat_interleave(RATIO, 3)
    torch.testing.assert_close(back, spread[:, 0])
