"""Whether a movie is like a training: what is measured, what is told, and what a network did not find."""

import copy

import numpy as np
import pytest

import smlmbench
from smlmbench import tasks
from smlmbench.camera import Noise
from smlmbench.data.contracts import ArrayFrames
from smlmbench.errors import FormatError, UnlikeWarning
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog
from smlmbench.run.fits import fitting
from smlmbench.tasks.localization import fits
from smlmbench.tasks.localization.fits import Fits
from smlmbench.tasks.localization.looks import Scale, looks, patches_of

CATALOG = Catalog()
KNOWN = {"pixel_size_nm": 100.0, "psf_sigma_nm": 130.0, **Noise().told()}
LAW = {"density_per_um2": 0.4, "photons": {"min": 500, "max": 3000}, "background_photons": 20, "field_px": 32}


def movie(seed=1, frames=60, **changes):
    """Frames in photons."""
    counts, _ = smlmbench.simulate({**LAW, "field_px": 48, **changes}, frames, seed=seed)
    return ArrayFrames(counts.astype(np.float32))


@pytest.fixture(scope="module")
def trained():
    counts, _ = smlmbench.simulate(LAW, 300, seed=7)
    return fits.seen([counts[:200].astype(np.float32), counts[200:].astype(np.float32)], KNOWN)


@pytest.fixture(scope="module")
def ranged():
    """A training whose samples have a background and a width each."""
    psf = {"name": "gaussian", "sigma_nm": {"min": 100, "max": 170}}
    law = {**LAW, "background_photons": {"min": 5, "max": 200, "law": "log_uniform"}, "psf": psf}
    counts, _ = smlmbench.simulate(law, 300, seed=7)
    return fits.seen([counts.astype(np.float32)], KNOWN)


def lines(trained, **changes):
    return Fits(trained, movie(**changes)).lines


# What is told


def test_a_movie_like_the_training_says_nothing(trained):
    for seed in range(6):
        assert lines(trained, seed=seed) == []


@pytest.mark.parametrize(
    ("changes", "begins"),
    [
        ({"background_photons": 100}, "background 10"),
        ({"background_photons": 4}, "background 4"),
        ({"psf": {"name": "gaussian", "sigma_nm": 170}}, "spots 1"),
        ({"psf": {"name": "gaussian", "sigma_nm": 90}}, "nm wide (standard deviation); trained on 1"),
        ({"photons": {"min": 5000, "max": 30000}}, "spots of 1"),
        ({"photons": {"min": 250, "max": 450}}, "spots of 3"),
        ({"density_per_um2": 3.0}, "spots per um2"),
        ({"camera": {"kind": "ideal", "e_per_adu": 0.25}}, "pixel noise 4"),
        ({"background": {"name": "slope", "change": 1.0}}, "background uneven by"),
    ],
)
def test_what_lies_outside_is_told_with_both_numbers(trained, changes, begins):
    found = lines(trained, **changes)
    assert any(begins in line for line in found), found
    assert all("; trained on " in line for line in found)


def test_an_astigmatic_movie_is_told_as_such(trained):
    lens = {"name": "astigmatic", "sigma_x_nm": 130, "sigma_y_nm": 130}
    found = lines(trained, psf=lens, z_nm={"min": -500, "max": 500})
    assert any("% longer than wide; trained on" in line for line in found), found


@pytest.mark.parametrize(("term", "begins"), [(8, "spots lopsided by"), (11, "more peaked than a Gaussian")])
def test_aberrations_are_told_also_beside_ranges(term, begins):
    """Widths of all sorts were seen, but no shape other than round."""
    law = {"density_per_um2": 0.12, "photons": {"min": 1000, "max": 9000}, "background_photons": 20}
    law |= {"pixel_size_nm": 160, "field_px": 48}
    known = {**KNOWN, "pixel_size_nm": 160.0, "psf_sigma_nm": 166.0}
    counts, _ = smlmbench.simulate({**law, "psf": {"name": "gaussian", "sigma_nm": {"min": 125, "max": 210}}}, 200)
    trained = fits.seen([counts.astype(np.float32)], known)
    lens = {"name": "scalar_pupil", "blur_nm": 133.0}
    found = lines(trained, **law, psf={**lens, "zernike_mlambda": {term: 100}})
    assert any(begins in line for line in found), found
    assert not any(begins in line for line in lines(trained, **law, psf=lens))


def test_a_range_of_draws_holds_a_movie_of_one_of_them(ranged):
    for background in (6, 30, 180):
        for sigma_nm in (103, 167):
            psf = {"name": "gaussian", "sigma_nm": sigma_nm}
            assert lines(ranged, background_photons=background, psf=psf) == []
    assert any("background 8" in line for line in lines(ranged, background_photons=800))
    assert any("nm wide" in line for line in lines(ranged, psf={"name": "gaussian", "sigma_nm": 230}))


def by_hand(trained, **quantiles):
    """A training that saw these numbers, from the 1st to the 99th of a hundred."""
    held = {name: np.linspace(*ends, len(fits.LEVELS)).tolist() for name, ends in quantiles.items()}
    return {**copy.deepcopy(trained), "quantiles": held}


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [(15, 25, 0), (16, 20, 0), (22, 40, 0), (28, 40, 1), (5, 15, 1), (2, 8, 1)],  # 21 photons, and what widens it
)
def test_both_ends_of_a_range_count(trained, low, high, told):
    found = Fits(by_hand(trained, background=(low, high)), movie())
    assert len(found.lines) == told
    if told:
        assert found.lines == [f"background 21 photons a pixel; trained on {low} to {high}"]
    assert found.compared["background"].outside == bool(told)


def test_no_more_than_the_upper_end_counts_where_less_is_no_harm(trained):
    assert Fits(by_hand(trained, density=(2, 9)), movie()).lines == []
    assert Fits(by_hand(trained, elongation=(0.5, 0.9)), movie()).lines == []
    (line,) = Fits(by_hand(trained, density=(0.05, 0.1)), movie()).lines
    assert line.endswith(" spots per um2; trained on 0.0938 at most")


def test_the_spectrum_is_told_where_nothing_else_is(trained):
    spectrum = {"coarse": (2, 4), "fine": (0.9, 1.5)}
    (line,) = Fits(by_hand(trained, **spectrum), movie()).lines
    assert line.startswith("structure above 11 px ")
    (line,) = Fits(by_hand(trained, background=(50, 60), **spectrum), movie()).lines
    assert line.startswith("background 21 ")


def test_few_spots_say_nothing_of_spots(trained):
    empty = Fits(trained, movie(density_per_um2=1e-6))
    assert empty.lines == []
    assert not {"brightness", "width", "elongation"} & set(empty.compared)


def test_what_is_stored_is_plain_and_of_one_size(trained):
    assert set(trained["quantiles"]) == set(fits.QUANTITIES)
    assert all(len(row) == len(fits.LEVELS) and row == sorted(row) for row in trained["quantiles"].values())
    assert all(type(number) is float for row in trained["quantiles"].values() for number in row)
    assert trained["scale"] == {
        "start_px": 1.3, "pixel_nm": 100.0, "noise": {"excess": 1.0, "added": 0.0}, "side_px": 32,
    }  # fmt: skip
    assert fits.seen([np.zeros((4, 6, 6), np.float32)], KNOWN) == {}
    assert fits.seen([np.zeros((4, 16, 16), np.float32)], {}) == {}


def test_small_movies_of_any_shape_are_compared(trained):
    for shape in ((3, 20, 100), (1, 40, 33), (5, 9, 9)):
        pixels = np.random.default_rng(0).poisson(20, shape).astype(np.float32)
        assert Fits(trained, ArrayFrames(pixels)).lines == []
        assert any("background 1" in line for line in Fits(trained, ArrayFrames(5 * pixels)).lines)
    channels = Fits(trained, ArrayFrames(np.full((30, 2, 40, 40), 500, np.float32)))
    assert (channels.lines, channels.facts["counted"]["frames"]) == ([], 0)
    assert not fits.comparable(trained, ArrayFrames(np.zeros((3, 7, 40), np.float32)))
    assert not fits.comparable({**trained, "version": 0}, movie())


class Damaged(ArrayFrames):
    def read(self, start, stop):
        if start > 20:
            raise FormatError("page 21 is damaged")
        return super().read(start, stop)


def test_frames_that_cannot_be_read_are_left_to_the_prediction(trained):
    fit = Fits(trained, Damaged(5 * movie().values))
    assert any("background 1" in line for line in fit.lines)
    fit.found(0, 60, table(0, 60))
    assert 10 < fit.facts["counted"]["frames"] < 30


# What was not found


def table(count, frames, n_frames=60):
    columns = {"frame": np.arange(count) % frames, "x_nm": np.full(count, 50.0), "y_nm": np.full(count, 50.0)}
    return Localizations.of(columns, n_frames=n_frames, field_nm=(4800.0, 4800.0))


def test_spots_that_a_network_does_not_find_are_told(trained):
    fit = Fits(trained, movie())
    fit.found(0, 60, table(0, 60))
    counted = fit.facts["counted"]
    assert counted["frames"] == 60
    assert counted["spots"] > 300
    assert fit.missed == f"0 localizations in 60 frames where a fitter sees {counted['spots']} spots"
    assert fit.facts["lines"] == [fit.missed]
    fit.found(0, 60, table(int(0.4 * counted["spots"]), 60))
    assert "localizations in 60 frames where a fitter sees" in fit.missed
    fit.found(0, 60, table(int(0.6 * counted["spots"]), 60))
    assert fit.missed == ""


def test_only_frames_that_were_heard_of_count_and_few_spots_are_no_proof(trained):
    fit = Fits(trained, movie())
    assert fit.missed == ""  # nothing was heard
    fit.found(10, 12, table(0, 60))
    assert fit.facts["counted"]["frames"] == 2
    assert fit.missed == ""  # less than 20 spots
    for start in range(12, 60, 3):
        fit.found(start, start + 3, table(0, 60))
    assert " in 50 frames where a fitter sees " in fit.missed
    empty = Fits(trained, movie(density_per_um2=1e-6))
    empty.found(0, 60, table(0, 60))
    assert empty.missed == ""


# What is measured


def test_what_is_measured_of_patches_and_spots():
    counts, _ = smlmbench.simulate({**LAW, "background_photons": 40, "field_px": 64}, 60, seed=3)
    emccd = Noise(excess=2.0, added=0.0)
    frames = counts.astype(np.float32)
    found = looks(patches_of(frames, 32), Scale(1.3, 100.0, Noise(), 32))
    assert np.median(found["background"]) == pytest.approx(40, abs=1.5)
    assert np.median(found["noise"]) == pytest.approx(1.0, abs=0.15)
    assert np.median(looks(patches_of(frames, 32), Scale(1.3, 100.0, emccd, 32))["noise"]) < 0.6
    assert np.median(found["width"]) == pytest.approx(130, rel=0.03)
    assert np.median(found["brightness"]) == pytest.approx(1750, rel=0.1)
    assert np.mean(found["density"]) == pytest.approx(0.4, rel=0.2)
    assert np.median(found["elongation"]) < 0.1
    noise = np.random.default_rng(0).normal(100, 5, (40, 64, 64)).astype(np.float32)
    flat = looks(patches_of(noise, 32), Scale(1.3, 100.0, Noise(excess=0.25), 32))
    for band in ("coarse", "middle", "fine"):
        assert np.median(flat[band]) == pytest.approx(1.0, abs=0.1)
    assert np.median(flat["noise"]) == pytest.approx(1.0, abs=0.05)


def test_an_elongation_is_that_of_the_spot_whatever_its_direction():
    for name in ("x", "y"):
        lens = {"name": "astigmatic", "sigma_x_nm": 130, "sigma_y_nm": 130, f"sigma_{name}_nm": 150, "focus_nm": 0}
        frames = movie(psf=lens, density_per_um2=0.1, photons=20000, frames=100)
        found = looks(patches_of(frames.values, 32), Scale(1.4, 100.0, Noise(), 32))["elongation"]
        assert np.median(found) == pytest.approx(20 / 140, rel=0.15)


def test_patches_are_whole_and_from_the_middle():
    frames = np.arange(2 * 70 * 40, dtype=np.float32).reshape(2, 70, 40)
    cut = patches_of(frames, 32)
    assert cut.shape == (4, 32, 32)
    np.testing.assert_array_equal(cut[1], frames[0, 35:67, 4:36])
    assert patches_of(frames, 100).shape == (2, 70, 40)


# Checkpoints


def test_a_checkpoint_that_is_older_says_so_and_other_tasks_say_nothing(trained):
    with pytest.warns(UnlikeWarning, match="trained on was not stored") as told:
        assert fitting({"task": "localization"}, movie(), CATALOG) is None
    assert len(told) == 1
    assert fitting({"task": "localization", "seen": {}}, movie(), CATALOG) is None
    assert fitting({"task": "image_pairs"}, movie(), CATALOG) is None
    assert fitting({}, movie(), CATALOG) is None
    found = fitting({"task": "localization", "seen": trained}, movie(background_photons=100), CATALOG)
    assert any("background 10" in line for line in found.lines)
    assert tasks.load("image_pairs", CATALOG).seen([], KNOWN) == {}
