"""Molecules that persist: on-times against their laws, density against its definition, windows against one movie."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from smlmbench import psf
from smlmbench.data.contracts import Asked, Scope
from smlmbench.data.simulate import condition, training_set
from smlmbench.errors import ConfigError
from smlmbench.registry import Catalog
from smlmbench.run.using.drawing import draw_frames
from smlmbench.simulate import Movie, draw
from smlmbench.simulate.blinking import OnTimes, Span, on_times, rate_per_um2, seen_frames, shining
from smlmbench.simulate.chance import Fast
from smlmbench.study.sources import Blinking, Look, Range, SimulateSource

CATALOG = Catalog()
OPTICS = psf.build({"name": "gaussian", "sigma_nm": 130.0}, CATALOG)
OFTEN = Blinking(on_frames=3.0, off_frames=20.0, bleach_after=5.0)
HEAVY = Blinking(on_frames=3.0, off_frames=5.0, off_law="power", bleach_after=4.0)


def blinking(track=None, **described):
    given = {"field_px": 16, "density_per_um2": 2.0, "photons": 1000.0, "min_photons": 0.0, **described}
    return SimulateSource(track=track or Blinking(), **given)


def times_of(track, first=0, stop=400, anchors=20_000, seed=1):
    span = Span.of(track, first, stop)
    return on_times(track, anchors, span, Fast.of(seed)), span


def test_an_on_time_is_shared_among_the_frames_that_it_covers():
    times = OnTimes(
        torch.tensor([0, 1, 0]), torch.tensor([0.25, 1.5, 2.5]).double(), torch.tensor([2.5, 1.75, 2.75]).double()
    )
    seen = shining(times, 0, 4)
    rows = list(zip(seen.frame.tolist(), seen.molecule.tolist(), seen.share.tolist(), strict=True))
    # molecule 0 ends in frame 2 and begins there again
    assert rows == [(0, 0, 0.75), (1, 0, 1.0), (1, 1, 0.25), (2, 0, 0.75)]


def test_blocks_of_a_movie_are_parts_of_it():
    times, _ = times_of(OFTEN, anchors=500)
    whole = shining(times, 0, 400)
    parts = [shining(times, first, first + 50) for first in range(0, 400, 50)]
    frame = torch.cat([part.frame + 50 * number for number, part in enumerate(parts)])
    assert torch.equal(frame, whole.frame)
    assert torch.equal(torch.cat([part.molecule for part in parts]), whole.molecule)
    assert torch.allclose(torch.cat([part.share for part in parts]), whole.share, atol=1e-12)


@pytest.mark.parametrize("track", [Blinking(on_frames=3.0), OFTEN, HEAVY])
def test_on_times_are_exponential_and_begin_at_a_steady_rate(track):
    times, span = times_of(track)
    length = (times.end - times.begin).numpy()
    assert stats.kstest(length, "expon", args=(0, track.on_frames)).pvalue > 1e-3
    # as many begin as there are anchors, though every molecule is drawn once only
    n = len(length)
    assert n == pytest.approx(20_000, abs=6 * math.sqrt(20_000 * track.bleach_after * 2))
    spread = np.histogram(times.begin.numpy(), 10, (span.begin, span.end))[0]
    assert np.abs(spread - n / 10).max() < 5 * math.sqrt(n / 10 * track.bleach_after * 2)


@pytest.mark.parametrize(
    ("track", "law"),
    [
        (OFTEN.model_copy(update={"off_frames": 5.0}), stats.expon(0, 5.0)),
        (HEAVY.model_copy(update={"off_frames": 0.5}), stats.pareto(0.5, 0, 0.5)),
    ],
)
def test_dark_times_follow_their_law(track, law):
    # first dark times of molecules that came early: the movie's end hides those above `most` alone
    times, _ = times_of(track, stop=6000, anchors=40_000)
    order = np.lexsort((times.begin.numpy(), times.molecule.numpy()))
    molecule, begin, end = (column.numpy()[order] for column in times)
    first = np.flatnonzero(np.diff(molecule, prepend=-1))
    early = first[(end[first] < 3000) & (first + 1 < len(molecule))]
    dark = (begin[early + 1] - end[early])[molecule[early + 1] == molecule[early]]
    most = 2500.0
    dark = dark[dark < most]
    assert len(dark) > 2000
    assert stats.kstest(dark, lambda x: law.cdf(x) / law.cdf(most)).pvalue > 1e-3


def test_the_number_of_on_times_is_geometric():
    track = Blinking(on_frames=1.0, off_frames=2.0, bleach_after=3.0)
    times, _ = times_of(track, stop=20_000, anchors=30_000)
    inside = times.begin[times.begin < 19_000]
    counts = np.bincount(times.molecule[: len(inside)].numpy())
    counts = counts[counts > 0]
    n = len(counts)
    for k in (1, 2, 3):
        chance = (1 / 3) * (2 / 3) ** (k - 1)
        assert float((counts == k).mean()) == pytest.approx(chance, abs=5 * math.sqrt(chance / n) + 0.001)


def test_frames_seen_of_one_on_time_by_hand():
    # t + 1 frames where any light counts; half a frame needed: exp(-0.25) (2 + 1 - 0.5)
    track = Blinking(on_frames=2.0)
    assert seen_frames(blinking(track), track) == pytest.approx(3.0)
    assert seen_frames(blinking(track, min_photons=500.0), track) == pytest.approx(math.exp(-0.25) * 2.5)
    assert seen_frames(blinking(track, min_photons=2000.0), track) == 0
    assert rate_per_um2(blinking(track), track, 6.0) == pytest.approx(2.0)


@pytest.mark.parametrize("track", [Blinking(on_frames=2.0), OFTEN, HEAVY])
@pytest.mark.parametrize("photons", [1000.0, {"mean": 300.0, "law": "exponential"}])
def test_density_is_that_of_bright_emitters_in_every_frame(track, photons):
    source = blinking(track, density_per_um2=2.0, photons=photons, min_photons=150.0, field_px=64)
    _, emitters = Movie(source, OPTICS, (0, 300), 5).block(0, 300, 6)
    bright = emitters.select(emitters.photons >= 150)
    counts = np.bincount(bright.frame.numpy(), minlength=300) / 40.96
    persisting = seen_frames(source, track) * track.bleach_after * 2
    error = math.sqrt(2.0 / 40.96 / 300 * persisting)
    assert counts.mean() == pytest.approx(2.0, abs=4.5 * error)
    # neither end is darker
    for part in (counts[:50], counts[-50:]):
        assert part.mean() == pytest.approx(2.0, abs=4.5 * error * math.sqrt(6))


def test_photons_are_the_share_of_a_frame():
    _, emitters = draw(blinking(Blinking(on_frames=5.0)), OPTICS, 3, 64)
    assert float(emitters.photons.max()) == pytest.approx(1000, abs=1e-6)
    assert float((emitters.photons < 999).double().mean()) == pytest.approx(2 / 6, abs=0.06)
    order = np.lexsort((emitters.frame.numpy(), emitters.molecule.numpy()))
    places = np.stack((emitters.x_nm.numpy(), emitters.y_nm.numpy()))[:, order]
    same = np.diff(emitters.molecule.numpy()[order]) == 0
    assert (np.diff(places, axis=1)[:, same] == 0).all()


def test_dim_molecules_have_no_density_to_be_counted_by():
    source = blinking(photons=50.0, min_photons=100.0)
    with pytest.raises(ConfigError, match="no molecule reaches min_photons 100.*brighter photons"):
        draw(source, OPTICS, 1, 4)


@pytest.mark.parametrize("photons", [50.0, Range(min=10, max=50)])
def test_dim_molecules_are_noted_before_anything_is_drawn(photons):
    look = Look(CATALOG, 0.0)
    ((place, said),) = blinking(photons=photons, min_photons=100.0).check(look)
    assert place == ("simulate", "photons")
    assert said.startswith("no molecule reaches min_photons 100")
    assert blinking(photons=100.0, min_photons=100.0).check(look) == []


def stream(track=None, context=1, **described):
    return training_set(blinking(track, **described), {"d": 1}, Scope(7, context=context), CATALOG)


def test_samples_are_the_same_in_every_context_and_windows_show_one_movie():
    plain, seen, wide = (stream(context=context).batch(40, 60) for context in (1, 3, 5))
    assert torch.equal(seen.inputs[:, 1], plain.inputs[:, 0])
    assert torch.equal(wide.inputs[:, 2], plain.inputs[:, 0])
    assert torch.equal(seen.truth.x_nm, plain.truth.x_nm)
    assert torch.equal(seen.inputs[1:24, 0], plain.inputs[:23, 0])
    # sample 64 begins another movie, and sample 63 sees a frame that is no sample
    assert not torch.equal(seen.inputs[24, 0], plain.inputs[23, 0])
    assert not torch.equal(seen.inputs[23, 2], plain.inputs[24, 0])


def test_windows_at_the_ends_of_a_chunk_see_the_same_molecules():
    made = stream(Blinking(on_frames=400.0), context=3, photons=5000.0, background_photons=1.0)
    inputs = made.batch(0, 128).inputs.double()

    def alike(one, two):
        return float(np.corrcoef(one.numpy().ravel(), two.numpy().ravel())[0, 1])

    for sample in (0, 63, 64, 127):
        middle = inputs[sample, 1]
        assert min(alike(inputs[sample, 0], middle), alike(inputs[sample, 2], middle)) > 0.9
    assert alike(inputs[63, 1], inputs[64, 1]) < 0.5


@pytest.mark.parametrize("cut", [1, 23, 24, 40])
def test_every_batch_size_sees_the_same_stream(cut):
    whole, walked = stream(context=3).batch(40, 60), stream(context=3)
    parts = [walked.batch(40, cut), walked.batch(40 + cut, 60 - cut)]
    assert torch.equal(torch.cat([part.inputs for part in parts]), whole.inputs)
    assert torch.equal(torch.cat([part.truth.x_nm for part in parts]), whole.truth.x_nm)


def test_a_frozen_set_is_one_movie_and_knows_its_on_time():
    source = blinking(Blinking(on_frames=4.0), frames=200, density_per_um2=1.0)
    made = condition("t", source, {"d": 1}, Asked("test", 7, ("signal_free",)), CATALOG)
    true = made.truth.table
    # 10 times the mean number of consecutive frames, t + 1
    assert 35 <= made.block <= 65
    assert made.extras["signal_free"].block == 1
    across = [set(true.molecule[true.frame == frame]) for frame in (63, 64)]
    assert len(across[0] & across[1]) >= 1
    for molecule in across[0] & across[1]:
        assert len(set(true.x_nm[true.molecule == molecule])) == 1
    assert made.facts["density_per_um2"] == pytest.approx(1.0, abs=0.5)


def test_simulate_writes_one_movie_of_molecules():
    movie, truth = draw_frames(blinking(Blinking(on_frames=8.0)), 100, 3, CATALOG)
    again, _ = draw_frames(blinking(Blinking(on_frames=8.0)), 100, 3, CATALOG)
    assert movie.shape == (100, 16, 16)
    assert np.array_equal(movie, again)
    both = set(truth.molecule[truth.frame == 63]) & set(truth.molecule[truth.frame == 64])
    assert both


def test_brightness_belongs_to_the_molecule():
    source = blinking(Blinking(on_frames=20.0), photons=Range(min=100, max=5000))
    _, emitters = draw(source, OPTICS, 2, 60)
    whole = {}
    for molecule, photons in zip(emitters.molecule.tolist(), emitters.photons.tolist(), strict=True):
        whole.setdefault(molecule, []).append(photons)
    lasting = [sorted(photons) for photons in whole.values() if len(photons) > 4]
    assert len(lasting) > 5
    assert all(photons[-1] == pytest.approx(photons[-2]) for photons in lasting)
