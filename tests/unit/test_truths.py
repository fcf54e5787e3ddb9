"""What is known about a frozen set, whole and in part; a condition is cut together with its truth."""

import math

import numpy as np
import pytest

from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.errors import SizeError
from smlmbench.predictions import Localizations
from smlmbench.truths.emitters import Emitters
from smlmbench.truths.target_images import TargetImages


def emitters(**more):
    table = Localizations.of(
        {
            "frame": [0, 1, 1, 3],
            "x_nm": [10.0, 20.0, 30.0, 40.0],
            "y_nm": [1.0, 2.0, 3.0, 4.0],
            "photons": [100.0, 200.0, np.nan, 400.0],
            "background_photons": [0.0, 100.0, np.nan, 10_000.0],
        },
        n_frames=5,
        field_nm=(800.0, 600.0),
    )
    return Emitters(table, **more)


def images(count=5):
    return [np.full((2, 2), number, np.float32) for number in range(count)]


def test_emitters_of_some_frames_are_counted_from_the_first_of_them():
    whole = emitters(min_photons=50.0, sigma_px=1.3)
    assert (whole.kind, len(whole)) == ("emitters", 4)
    part = whole.part(1, 4)
    assert part.table.frame.tolist() == [0, 0, 2]
    assert part.table.x_nm.tolist() == [20, 30, 40]
    assert (len(part), part.table.n_frames, part.table.field_nm) == (3, 3, (800, 600))
    assert (part.min_photons, part.sigma_px) == (50, 1.3)
    assert part.part(1, 2).table.n_frames == 1
    assert len(part.part(1, 2)) == 0
    assert part.part(2, 3).table.x_nm.tolist() == [40]
    assert len(whole) == 4


def test_the_faintest_emitter_rises_with_its_own_background():
    assert emitters(min_photons=50.0).faintest() == 50
    limits = emitters(min_photons=50.0, sigma_px=1.3).faintest()
    # 2 sqrt(4 pi b) 1.3, where that is known and above 50
    by_hand = [50, 2 * 1.3 * math.sqrt(400 * math.pi), 50, 2 * 1.3 * math.sqrt(40_000 * math.pi)]
    assert limits.tolist() == pytest.approx(by_hand)


def test_target_images_are_taken_by_number_and_in_part():
    whole = TargetImages(images())
    assert (whole.kind, len(whole)) == ("target_images", 5)
    assert [int(image[0, 0]) for image in whole] == [0, 1, 2, 3, 4]
    part = whole.part(1, 4)
    assert (len(part), [int(image[0, 0]) for image in part]) == (3, [1, 2, 3])
    inner = part.part(1, 9)
    assert [int(image[0, 0]) for image in inner] == [2, 3]
    assert int(inner[1][0, 0]) == 3
    for outside in (-1, 2):
        with pytest.raises(IndexError):
            inner[outside]


@pytest.mark.parametrize("truth", [None, emitters(), TargetImages(images())])
def test_a_part_of_a_condition_has_its_units_their_truth_and_no_further_sets(truth):
    values = np.arange(5 * 6 * 8, dtype=np.float32).reshape(5, 6, 8)
    facts = {"density_per_um2": 2.0}
    told = {"pixel_size_nm": 100.0}
    whole = Condition("c", ArrayFrames(values), truth, "d", facts, told, block=3, shared_structure=True)
    whole = Condition(**{name: getattr(whole, name) for name in Condition.__slots__} | {"extras": {"dark": whole}})
    part = whole.part(1, 4)
    assert np.array_equal(part.frames.read(0, 3), values[1:4])
    assert (part.extras, list(whole.extras)) == ({}, ["dark"])
    assert (part.name, part.digest, part.facts, part.block, part.shared_structure) == ("c", "d", facts, 3, True)
    assert (part.pixel_size_nm, part.field_nm) == (100, (800, 600))
    if truth is None:
        assert part.truth is None
    else:
        assert len(part.truth) == len(truth.part(1, 4)) == 3
    for start, stop in ((0, 6), (3, 3), (-1, 2), (4, 2)):
        with pytest.raises(SizeError, match=rf"condition 'c' has 5 units, not {start + 1} \.\.\. {stop}; give fewer"):
            whole.part(start, stop)


def test_an_unknown_pixel_is_not_a_number():
    known = Condition("c", ArrayFrames(np.zeros((1, 6, 8), np.float32)), None)
    assert math.isnan(known.pixel_size_nm)
    assert all(math.isnan(side) for side in known.field_nm)


@pytest.mark.parametrize(
    ("shape", "axes", "height", "width"), [((4, 5, 6), 2, 5, 6), ((4, 3, 5, 6), 2, 5, 6), ((4, 3, 6), 1, 1, 6)]
)
def test_frames_in_memory_may_have_channels_or_be_spectra(shape, axes, height, width):
    values = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
    frames = ArrayFrames(values, axes)
    assert (frames.n_frames, frames.height, frames.width) == (4, height, width)
    assert np.array_equal(frames.read(1, 3), values[1:3])
    part = Condition("c", frames, None).part(1, 3).frames
    assert (part.n_frames, part.height, part.width, part.axes) == (2, height, width, axes)
    assert np.array_equal(part.read(0, 2), values[1:3])
