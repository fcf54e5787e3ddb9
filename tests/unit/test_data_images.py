"""Samples of image pairs: crops of both images at one place, addressed by number; scored sets; memory."""

import image_pairs
import numpy as np
import pytest
import torch

from smlmbench.camera import Camera
from smlmbench.data import images
from smlmbench.data.images import FirstPairs, PairFiles, one_pair
from smlmbench.errors import FormatError, SizeError
from smlmbench.outputs import raster
from smlmbench.registry import Catalog
from smlmbench.study.sources import ImagesSource

CATALOG = Catalog()
RATIO = 4


def source_of(folder, **more):
    return ImagesSource(input=folder / "X", target=folder / "Y", **{"crop_px": 8, **more})


def stream_of(folder, repeat=0, augment=True, **more):
    return images.training_set(source_of(folder, **more), {"pairs": 1}, 5, repeat, CATALOG, augment)


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
    assert batch.frames.shape == (60, 1, 8, 8)
    assert batch.image.shape == (60, 1, 32, 32)
    assert batch.frames.dtype == batch.image.dtype == torch.float32
    spread = batch.frames.repeat_interleave(RATIO, 2).repeat_interleave(RATIO, 3)
    torch.testing.assert_close(batch.image * stream.target_scale, spread)
    assert len(batch.sample) == len(batch.x_nm) == 0
    firsts = {int(frame[0, 0, 0]) // 1000 for frame in batch.frames[:, 0:1]}
    assert firsts == {0, 1, 2}
    directions = {(frame[0, 0, 1] - frame[0, 0, 0]).item() for frame in batch.frames}
    assert {1.0, -1.0} < directions  # turned and mirrored
    plain = stream_of(folder, augment=False).batch(0, 60)
    assert {(frame[0, 0, 1] - frame[0, 0, 0]).item() for frame in plain.frames} == {1.0}


def test_samples_are_addressed_by_number(folder):
    whole = stream_of(folder).batch(0, 12)
    parts = [stream_of(folder).batch(first, 4) for first in (8, 0, 4)]
    for part in parts:
        rows = slice(part.first, part.first + 4)
        assert torch.equal(part.frames, whole.frames[rows])
        assert torch.equal(part.image, whole.image[rows])
    assert not torch.equal(stream_of(folder, repeat=1).batch(0, 12).frames, whole.frames)


def test_the_range_is_that_of_the_whole_input(folder):
    batch = stream_of(folder).batch(0, 30)
    ends = {0: (1, 320), 1: (1001, 1144), 2: (2001, 2160)}
    for frame, (low, high) in zip(batch.frames, batch.frame_range, strict=True):
        assert (low, high) == ends[int(frame[0, 0, 0]) // 1000]


def test_a_crop_is_cut_to_the_shortest_side(folder):
    assert stream_of(folder, crop_px=32).sample_px == (8, 8)


def test_the_scale_is_the_mean_of_the_brightest_lit_pixels(tmp_path):
    for number, brightest in enumerate((200.0, 400.0)):
        wanted = np.zeros((8, 8), dtype=np.float32)
        wanted[3, 3] = brightest
        image_pairs.put(tmp_path, f"{number}.tif", np.ones((8, 8), np.uint16), wanted)
    image_pairs.put(tmp_path, "2.tif", np.ones((8, 8), np.uint16), np.zeros((8, 8), np.float32))
    stream = stream_of(tmp_path)
    assert stream.target_scale == 300
    assert stream.batch(0, 20).image.max() == pytest.approx(4 / 3)


def test_only_blank_targets_are_refused(tmp_path):
    image_pairs.put(tmp_path, "a.tif", np.ones((8, 8), np.uint16), np.zeros((8, 8), np.float32))
    with pytest.raises(FormatError, match="all target images of the training part are blank"):
        stream_of(tmp_path).batch(0, 1)


def test_statistics_are_of_the_inputs_in_photons(folder):
    counts = stream_of(folder).statistics
    everything = np.concatenate([PairFiles(source_of(folder)).pair(number).given.ravel() for number in range(3)])
    assert everything.min() <= counts.low < counts.mean < counts.high <= everything.max()
    camera = Camera(kind="scmos", baseline_adu=100, e_per_adu=0.5)
    photons = stream_of(folder, camera=camera).statistics
    assert photons.mean == pytest.approx((counts.mean - 100) * 0.5)


def test_a_pixel_size_is_handed_on_and_may_be_unknown(folder):
    assert np.isnan(stream_of(folder).pixel_size_nm)
    assert stream_of(folder, pixel_size_nm=80.0).batch(0, 1).pixel_size_nm == 80


def test_memory_stays_below_its_bound_and_files_are_read_again(folder):
    pairs = PairFiles(source_of(folder))
    largest = max(pairs.pair(number).n_bytes for number in range(3))
    small = PairFiles(source_of(folder), held_bytes=largest)
    for _ in range(2):
        for number in range(3):
            assert np.array_equal(small[number][1], pairs[number][1])
            assert sum(held.n_bytes for held in small._held.values()) == small._used <= largest


def test_a_condition_holds_its_pairs_and_does_not_depend_on_the_seed(folder):
    first, second = (images.condition("val", source_of(folder), {"pairs": 1}, "val", seed, CATALOG) for seed in (1, 2))
    assert first.digest == second.digest
    assert (first.truth, first.calibrated, first.facts) == (None, False, {"pairs": 3.0})
    assert list(first.pairs.names) == ["im0", "im1", "im2"]
    assert first.frames.read(1, 2).shape == (1, 12, 12)
    one = one_pair(first, 1)
    assert one.frames.read(0, 1).shape == (1, 12, 12)
    assert one.truth_image.shape == (48, 48)
    with pytest.raises(SizeError, match="several sizes"):
        first.frames.read(0, 3)
    few = FirstPairs(first.pairs, 2)
    assert (len(few), list(few.names)) == (2, ["im0", "im1"])


def test_targets_are_label_units_and_images_come_back_in_their_own(folder):
    stream = stream_of(folder)
    batch = stream.batch(0, 3)
    settings = {
        **CATALOG.card("outputs", "raster").fill("raster", {"upsampling": RATIO}),
        "pixel_size_nm": float("nan"),
    }
    learned = raster.targets(batch, settings)["spikes"]
    torch.testing.assert_close(learned, batch.image * settings["amplitude"])
    back = raster.image(learned, {**settings, "image_scale": stream.target_scale})
    spread = batch.frames.repeat_interleave(RATIO, 2).repeat_interleave(RATIO, 3)
    torch.testing.assert_close(back, spread[:, 0])
