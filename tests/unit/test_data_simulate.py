import numpy as np
import pytest
import torch

from smlmbench import data
from smlmbench.data import simulate as source
from smlmbench.data.contracts import Asked, Scope
from smlmbench.data.simulate import chunk_size, condition, training_set
from smlmbench.data.targets import digest_of, statistics_of, within
from smlmbench.registry import Catalog
from smlmbench.study.cells import DataPlan
from smlmbench.study.sources import Range, SimulateSource
from smlmbench.truths.emitters import faintest_photons, is_target

CATALOG = Catalog()
SMALL = SimulateSource(field_px=16, density_per_um2=2.0)


def stream(source=SMALL, identity=None, **scope):
    return training_set(source, identity or {"d": 1}, Scope(**{"root_seed": 7, **scope}), CATALOG)


def frozen(source=SMALL, role="test", name="t", identity=None, root_seed=7, extras=()):
    return condition(name, source, identity or {"d": 1}, Asked(role, root_seed, extras), CATALOG)


def test_a_batch_says_what_it_holds():
    batch = stream().batch(60, 10)
    assert batch.inputs.shape == (10, 1, 16, 16)
    assert batch.inputs.dtype == torch.float32
    assert batch.first == 60
    truth = batch.truth
    assert (truth.kind, truth.pixel_size_nm) == ("emitters", 100)
    assert truth.sample.dtype == torch.int64
    assert len(truth.sample) == len(truth.x_nm) == len(truth.y_nm) == len(truth.z_nm) == len(truth.photons) > 0
    assert float(torch.stack((truth.x_nm, truth.y_nm)).max()) < 1600
    assert stream().sample_shape == (1, 16, 16)
    assert stream().output_settings == {"pixel_size_nm": 100}


def test_targets_sit_on_the_light_of_their_frame():
    source = SimulateSource(field_px=32, density_per_um2=0.2, photons=5000.0, background_photons=1.0)
    batch = stream(source).batch(50, 30)
    truth = batch.truth
    brightest = batch.inputs[truth.sample, 0, (truth.y_nm / 100).long(), (truth.x_nm / 100).long()]
    # a spot at the corner of its pixel still leaves 5000 * 0.279^2 there, 385
    assert float(brightest.min()) > 300


def test_a_sample_does_not_depend_on_what_was_asked_before():
    wanted = stream().batch(130, 5)
    walked = stream()
    for first in (0, 300, 64, 1000):
        walked.batch(first, 64)
    assert torch.equal(walked.batch(130, 5).inputs, wanted.inputs)


def test_the_stream_moves_with_seed_repeat_and_description_only():
    first = stream().batch(0, 4).inputs
    assert torch.equal(stream().batch(0, 4).inputs, first)
    for other in (stream(root_seed=8), stream(repeat=1), stream(identity={"d": 2})):
        assert not torch.equal(other.batch(0, 4).inputs, first)


def test_a_window_holds_the_samples_beside_its_own():
    plain, seen = stream().batch(0, 201).inputs[:, 0], stream(context=3).batch(0, 200)
    assert seen.inputs.shape == (200, 3, 16, 16)
    assert torch.equal(seen.inputs[:, 1], plain[:200])
    assert torch.equal(seen.inputs[:, 2], plain[1:])
    assert torch.equal(seen.inputs[1:, 0], plain[:199])
    # nothing comes before the first sample, so it is repeated
    assert torch.equal(seen.inputs[0, 0], plain[0])
    assert stream(context=3).sample_shape == (1, 16, 16)


def test_the_truth_of_a_window_is_that_of_its_middle():
    plain, seen = stream().batch(60, 10).truth, stream(context=5).batch(60, 10).truth
    for name in ("sample", "x_nm", "y_nm", "z_nm", "photons"):
        assert torch.equal(getattr(seen, name), getattr(plain, name))


@pytest.mark.parametrize("sizes", [(1, 7, 56, 8, 1), (3, 70), (73,)])
def test_a_window_is_the_same_whatever_the_batch_size(sizes):
    whole, walked = stream(context=3).batch(100, 73).inputs, stream(context=3)
    starts = 100 + np.cumsum([0, *sizes[:-1]])
    parts = [walked.batch(int(first), count).inputs for first, count in zip(starts, sizes, strict=True)]
    assert torch.equal(torch.cat(parts), whole)


def test_only_two_chunks_are_kept():
    walked = stream()
    for first in range(0, 640, 64):
        walked.batch(first, 64)
    assert len(walked._kept) == 2


def test_windows_of_large_fields_draw_each_sample_once(monkeypatch):
    drawn, movie = [], source.Movie

    def counted(*given):
        drawn.append(given)
        return movie(*given)

    # chunks of 4 samples, batches of 12 that span five of them with their neighbours
    monkeypatch.setattr(source, "CHUNK", 4)
    monkeypatch.setattr(source, "Movie", counted)
    walked = stream(context=3)
    for first in range(0, 96, 12):
        walked.batch(first, 12)
    # 24 chunks, and the one after the last
    assert len(drawn) == 25
    assert len(walked._kept) == 5


def test_large_fields_have_smaller_chunks():
    assert chunk_size(32) == 64
    assert chunk_size(256) == 64
    assert chunk_size(512) == 16
    assert chunk_size(4096) == 1


def test_dim_emitters_are_in_the_truth_and_not_among_the_targets():
    source = SimulateSource(field_px=16, density_per_um2=3.0, photons=Range(min=20, max=300), min_photons=100)
    batch = stream(source).batch(0, 64)
    assert float(batch.truth.photons.min()) >= 100
    held = frozen(source.model_copy(update={"frames": 50}))
    assert held.truth.table.photons.min() < 100
    assert held.facts["density_per_um2"] == pytest.approx(3.0 * 200 / 280, rel=0.2)


def test_two_sigma_of_the_local_background_can_be_the_limit():
    # 2 sqrt(100 * 4 pi * 1.3^2) = 92.17
    assert float(faintest_photons(50, 100.0, 1.3)) == pytest.approx(92.17, abs=0.01)
    assert float(faintest_photons(100, 100.0, 1.3)) == 100
    assert float(faintest_photons(50, np.nan, 1.3)) == 50
    assert float(faintest_photons(50, 100.0, None)) == 50
    photons = np.array([90.0, 93.0, np.nan, 40.0])
    background = np.array([100.0, 100.0, 100.0, 0.0])
    assert is_target(photons, background, 50, 1.3).tolist() == [False, True, True, False]
    bright = frozen(SMALL.model_copy(update={"background_photons": 400.0, "frames": 4}))
    assert bright.truth.min_photons == pytest.approx(184.3, abs=0.1)


def test_statistics_are_those_of_the_first_samples():
    made = stream()
    frames = made.batch(0, 256).inputs
    assert made.statistics.mean == pytest.approx(float(frames.mean()), rel=1e-4)
    assert made.statistics.std == pytest.approx(float(frames.std()), rel=1e-3)
    assert made.statistics.low < made.statistics.mean < made.statistics.high
    assert made.statistics == stream().statistics


def test_statistics_leave_out_constant_frames_and_never_divide_by_zero():
    frames = np.random.default_rng(1).normal(10, 2, (4, 8, 8)).astype(np.float32)
    with_zeros = np.concatenate((frames, np.zeros((3, 8, 8), dtype=np.float32)))
    assert statistics_of(with_zeros) == statistics_of(frames)
    empty = statistics_of(np.zeros((3, 8, 8), dtype=np.float32))
    assert (empty.mean, empty.std, empty.low) == (0, 1, 0)
    assert empty.high > empty.low


def test_frozen_sets_depend_on_role_and_description_never_on_name():
    source = SMALL.model_copy(update={"frames": 70})
    one = frozen(source, name="a", extras=("signal_free",))
    same = frozen(source, name="b", extras=("signal_free",))
    assert np.array_equal(one.frames.read(0, 70), same.frames.read(0, 70))
    assert np.array_equal(one.truth.table.x_nm, same.truth.table.x_nm)
    dark, alike = (each.extras["signal_free"].frames.read(0, 64) for each in (one, same))
    assert np.array_equal(dark, alike)
    assert one.digest == same.digest
    for other in (frozen(source, role="val"), frozen(source, identity={"d": 2}), frozen(source, root_seed=8)):
        assert not np.array_equal(other.frames.read(0, 70), one.frames.read(0, 70))
    assert frozen(source, role="val").digest != one.digest


def test_a_condition_says_what_it_is():
    made = frozen(SMALL.model_copy(update={"frames": 70}))
    assert (made.frames.n_frames, made.frames.height, made.frames.width) == (70, 16, 16)
    assert made.frames.read(3, 5).dtype == np.float32
    assert made.truth.table.n_frames == 70
    assert made.truth.table.field_nm == made.field_nm == (1600, 1600)
    assert made.truth.table.frame.max() == 69
    assert made.truth.sigma_px == 1.3
    assert made.truth_kind == "simulated"
    optics = {"pixel_size_nm": 100, "psf_sigma_nm": 130, "background_photons": 10}
    assert made.told == {**optics, "noise_excess": 1, "noise_added": 0}
    assert made.block == 1
    assert {"density_per_um2", "density_local", "isolated_fraction", "overlap"} <= set(made.facts)


def test_frames_without_emitters_are_drawn_where_they_are_asked_for():
    source = SMALL.model_copy(update={"frames": 70})
    made = frozen(source, extras=("signal_free", "spectra"))
    assert list(made.extras) == ["signal_free"]
    assert frozen(source).extras == {}
    dark = made.extras["signal_free"]
    assert dark.frames.read(0, 64).shape == (64, 16, 16)
    assert (len(dark.truth), dark.truth.table.n_frames, dark.field_nm) == (0, 64, made.field_nm)
    assert float(dark.frames.read(0, 64).mean()) < float(made.frames.read(0, 64).mean()) - 10


def test_absent_frames_are_400_for_tests_and_5000_emitters_for_validation():
    source = SimulateSource(field_px=16, density_per_um2=10.0)
    assert frozen(source).frames.n_frames == 400
    made = frozen(source, role="val")
    # 5000 / 25.6 emitters a frame
    assert made.frames.n_frames == 196
    assert len(made.truth) == pytest.approx(5000, rel=0.06)


def test_validation_has_frames_without_emitters_at_all_its_backgrounds_and_is_the_same_without():
    law = {"min": 5, "max": 300, "law": "log_uniform"}
    source = SimulateSource(field_px=16, density_per_um2=3.0, background_photons=law)
    plain, made = (frozen(source, role="val", extras=extras) for extras in ((), ("signal_free",)))
    assert (made.digest, made.frames.n_frames) == (plain.digest, plain.frames.n_frames)
    assert np.array_equal(made.frames.values, plain.frames.values)
    assert np.array_equal(made.truth.table.x_nm, plain.truth.table.x_nm)
    dark = made.extras["signal_free"].frames.values
    assert len(dark) == plain.frames.n_frames // 4 > 64
    level = np.median(dark.reshape(len(dark), -1), axis=1)
    assert np.histogram(level, [5, 20, 75, 300])[0].min() > len(dark) / 6
    assert len(frozen(source, role="holdout", extras=("signal_free",)).extras["signal_free"].frames.values) == 64


def test_a_frozen_set_of_filaments_shows_one_structure_that_training_never_saw():
    source = SimulateSource(
        structure={"name": "filaments", "filaments": 16, "width_nm": 5}, density_per_um2=2.0, frames=130
    )
    made = frozen(source)
    true = made.truth.table
    early, late = (true.frame < 60, true.frame >= 100)

    def near(x_nm, y_nm):
        apart = np.hypot(x_nm[:, None] - true.x_nm[early], y_nm[:, None] - true.y_nm[early])
        return float((apart.min(axis=1) < 40).mean())

    taught = stream(source).batch(0, 64).truth
    assert near(true.x_nm[late], true.y_nm[late]) > 0.85
    assert near(taught.x_nm.double().numpy(), taught.y_nm.double().numpy()) < 0.4


def test_the_room_dispatches_by_the_kind_of_the_source():
    plan = DataPlan(
        name="sim",
        train=SMALL,
        val=SMALL.model_copy(update={"frames": 20}),
        tests={"low": SMALL.model_copy(update={"frames": 10}), "high": SMALL.model_copy(update={"frames": 12})},
        train_identity={"d": 1},
        test_identity={"low": {"d": 2}, "high": {"d": 3}},
    )
    assert data.training_set(plan, Scope(7), CATALOG).batch(0, 2).inputs.shape == (2, 1, 16, 16)
    held = data.validation(plan, 7, CATALOG)
    assert (held.name, held.frames.n_frames, held.digest) == ("val", 20, digest_of({"d": 1}, "val"))
    made = data.conditions(plan, 7, CATALOG)
    assert {name: one.frames.n_frames for name, one in made.items()} == {"low": 10, "high": 12}
    assert made["low"].digest == digest_of({"d": 2}, "test")


def test_digests_do_not_depend_on_the_order_of_keys():
    assert digest_of({"a": 1, "b": {"c": 2, "d": 3}}, "val") == digest_of({"b": {"d": 3, "c": 2}, "a": 1}, "val")
    assert digest_of({"a": 1}, "val") != digest_of({"a": 1}, "test")
    assert len(digest_of({}, "val")) == 64


def test_positions_never_round_up_to_the_far_edge():
    placed = within(np.array([0.0, 1599.9999999, 1600.0, 12.5]), 1600.0)
    assert placed.dtype == torch.float32
    assert float(placed.max()) < 1600
    assert placed[3] == 12.5
