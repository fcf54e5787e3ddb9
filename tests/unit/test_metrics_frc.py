"""Fourier rings: identities, noise, two laws that can be written down, and the splits of a table."""

import numpy as np
import pytest

from smlmbench.metrics import frc
from smlmbench.metrics.evidence import Facts, Images, gather
from smlmbench.metrics.rings import FEWEST_RINGS, resolution_nm, ring_correlation, spectrum
from smlmbench.predictions import Localizations
from smlmbench.render import blur, render_table

FIELD_NM, PIXEL_NM, FRAMES = 5120.0, 10.0, 10_000
SPLITS = ("frc_blocks_nm", "frc_halves_nm", "frc_interleaved_nm")


def noise(seed, shape=(256, 256)):
    return np.random.default_rng(seed).normal(0, 1, shape)


def rings(first, second):
    return ring_correlation(spectrum(first), spectrum(second))


def table(x_nm, y_nm, frame, n_frames=FRAMES):
    columns = {"frame": frame, "x_nm": x_nm, "y_nm": y_nm}
    return Localizations.of(columns, n_frames=n_frames, field_nm=(FIELD_NM, FIELD_NM))


def filaments(sigma_nm, n=30_000, seed=1, on_frames=1):
    """Places on 12 bent filaments, found with an error; each molecule is seen in `on_frames` consecutive frames."""
    rng = np.random.default_rng(seed)
    which, along = rng.integers(0, 12, n), (rng.random(n) - 0.5) * 1.5 * FIELD_NM
    start, turn, bend = rng.uniform(0, FIELD_NM, (2, 12)), rng.uniform(0, 2 * np.pi, 12), rng.normal(0, 4e-4, 12)
    angle = turn[which] + bend[which] * along / 2
    x_nm, y_nm = start[0][which] + along * np.cos(angle), start[1][which] + along * np.sin(angle)
    first = rng.integers(0, FRAMES - on_frames, n)
    places = (np.repeat(values, on_frames) for values in (x_nm, y_nm))
    frame = (first[:, None] + np.arange(on_frames)).ravel()
    return table(*(values + rng.normal(0, sigma_nm, n * on_frames) for values in places), frame)


@pytest.mark.parametrize("shape", [(256, 256), (243, 100), (64, 301)])
@pytest.mark.parametrize("gain", [1.0, 1e-6, 3e4])
def test_an_image_correlates_with_itself_at_any_gain_and_offset(shape, gain):
    image = noise(0, shape)
    np.testing.assert_allclose(rings(image, gain * image), 1.0, atol=1e-9)
    np.testing.assert_allclose(rings(image, -gain * image), -1.0, atol=1e-9)
    np.testing.assert_allclose(rings(image, image + 7.0), 1.0, atol=1e-9)


def test_independent_noise_scatters_around_0_by_one_over_the_root_of_the_ring():
    curves = np.array([rings(noise(2 * seed), noise(2 * seed + 1)) for seed in range(40)])
    side = 256
    frequency = np.rint(np.hypot(*np.meshgrid(np.fft.fftfreq(side, 1 / side), np.fft.fftfreq(side, 1 / side))))
    independent = np.bincount(frequency.astype(int).ravel())[1 : side // 2 + 1] / 2  # half the plane repeats the other
    scaled = curves * np.sqrt(2 * independent)
    assert np.abs(scaled[:, 10:].mean(axis=0)).max() < 5 / np.sqrt(40)
    # the taper lets neighbouring frequencies share noise: a ring holds fewer of its own, by sum w^4 / (sum w^2)^2
    assert 1.0 < scaled[:, 10:].std() < 1.5


@pytest.mark.parametrize(("sigma_nm", "strength"), [(15.0, 30.0), (25.0, 100.0)])
def test_where_a_known_signal_sinks_in_known_noise(sigma_nm, strength):
    """A common part of power S e^{-(2 pi sigma q)^2} and noise of power 1 in each: S / (S + 1) = 1 / 7 at S = 1 / 6."""
    side = 512
    q = np.hypot(*np.meshgrid(np.fft.fftfreq(side, PIXEL_NM), np.fft.fftfreq(side, PIXEL_NM)))
    found = []
    for seed in range(6):
        transfer = np.sqrt(strength) * np.exp(-((2 * np.pi * sigma_nm * q) ** 2) / 2)
        shared = np.fft.ifft2(np.fft.fft2(noise(seed, (side, side))) * transfer).real
        both = (shared + noise(10 + seed, (side, side)), shared + noise(20 + seed, (side, side)))
        found.append(resolution_nm(rings(*both), side * PIXEL_NM))
    expected = 2 * np.pi * sigma_nm / np.sqrt(np.log(6 * strength))
    assert np.mean(found) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(("sigma_nm", "false"), [(10.0, 0), (20.0, 20_000), (40.0, 0)])
def test_errors_of_known_size_against_the_truth(sigma_nm, false):
    """Of places at random it is e^{-2 (pi sigma q)^2}, times the root of the share of rows that are no invention."""
    n, found = 40_000, []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        places, frame = rng.uniform(0, FIELD_NM, (2, n)), rng.integers(0, 100, n + false)
        rows = np.append(places + rng.normal(0, sigma_nm, (2, n)), rng.uniform(0, FIELD_NM, (2, false)), axis=1)
        evidence = gather(table(*rows, frame, 100), table(*places, frame[:n], 100))
        found.append(frc.measure(evidence)["frc_truth_nm"])
    expected = sigma_nm * np.pi * np.sqrt(2 / np.log(7 * np.sqrt(n / (n + false))))
    assert np.mean(found) == pytest.approx(expected, rel=0.05)


def test_the_resolution_of_filaments_grows_with_the_error():
    """Of the order of 38, 70 and 124 nm at 10, 20 and 40 nm for 30,000 places (NanoPyx on other filaments)."""
    for sigma_nm, expected in ((10.0, 38.0), (20.0, 70.0), (40.0, 124.0)):
        answers = frc.measure(gather(filaments(sigma_nm), None))
        for name in SPLITS:
            assert answers[name] == pytest.approx(expected, rel=0.2)
        assert answers["frc_truth_nm"] == "the condition has no true positions"
        assert answers["frc_limit_nm"] == 10.0


def test_odd_and_even_frames_are_too_good_where_molecules_persist():
    """Blocks of ten times the on-time give what independent positions give; odd and even frames flatter."""
    alone = frc.measure(gather(filaments(20.0, 2_000), None))
    seen = frc.measure(gather(filaments(20.0, 2_000, on_frames=10), None, facts=Facts(frame_shift=100)))
    assert seen["frc_interleaved_nm"] < 0.85 * seen["frc_blocks_nm"]
    assert seen["frc_blocks_nm"] == pytest.approx(seen["frc_halves_nm"], rel=0.1)
    assert seen["frc_blocks_nm"] < alone["frc_blocks_nm"]  # ten times the positions, but no more molecules


def test_the_truth_is_resolved_as_far_as_the_grid_goes():
    truth = filaments(0.0)
    answers = frc.measure(gather(truth, truth))
    assert answers["frc_truth_nm"] == answers["frc_limit_nm"] == 10.0


def test_blocks_have_500_frames_or_a_tenth_of_the_movie_and_at_least_ten_on_times():
    def block(n_frames, apart):
        found = table(np.zeros(n_frames), np.zeros(n_frames), np.arange(n_frames), n_frames)
        first = dict(frc._parts(found, apart))["frc_blocks_nm"]
        return first if isinstance(first, str) else int(np.argmin(first))

    assert block(20_000, 1) == 500
    assert block(2_000, 1) == 200
    assert block(20_000, 700) == 700
    assert block(7, 1) == 1
    assert block(900, 500) == "900 frames make no two blocks of 500"
    assert block(1, 1) == "1 frames make no two images"


def test_every_row_is_in_one_of_the_two_images():
    found = filaments(20.0, 2000)
    parts = dict(frc._parts(found, 1))
    assert set(parts) == set(SPLITS)
    assert {0.45 < part.mean() < 0.55 for part in parts.values()} == {True}
    assert (parts["frc_blocks_nm"] == (found.frame // 500 % 2 == 0)).all()
    assert (parts["frc_halves_nm"] == (found.frame < FRAMES / 2)).all()
    assert (parts["frc_interleaved_nm"] == (found.frame % 2 == 0)).all()


def test_reasons_for_no_number():
    few = table(np.full(99, 50.0), np.full(99, 50.0), np.arange(99))
    assert set(frc.measure(gather(few, few)).values()) == {"99 positions in the field; needs 100"}
    lone = table(np.linspace(9, 999, 150), np.linspace(9, 2999, 150), np.arange(150) * 60)
    assert "each needs 100" in frc.measure(gather(lone, None))["frc_halves_nm"]
    late = table(np.linspace(9, 999, 500), np.linspace(9, 2999, 500), np.full(500, FRAMES - 1))
    assert frc.measure(gather(late, None))["frc_halves_nm"] == ("0 and 500 positions in the two images; each needs 100")
    lost = table(np.full(200, np.nan), np.full(200, np.nan), np.arange(200))
    assert frc.measure(gather(lost, None))["frc_blocks_nm"] == "0 positions in the field; needs 100"


def test_places_that_are_new_in_every_frame_have_nothing_in_common():
    for seed in range(8):
        rng = np.random.default_rng(seed)
        x_nm, y_nm = rng.uniform(0, FIELD_NM, (2, 5000))
        answers = frc.measure(gather(table(x_nm, y_nm, rng.integers(0, FRAMES, 5000)), None))
        assert [answers[name] for name in SPLITS] == ["nothing in common that is finer than 512 nm"] * 3


def test_a_row_without_a_table_shows_its_image_on_its_own_grid():
    rng, truth = np.random.default_rng(0), filaments(0.0, 20_000)
    true = render_table(truth, None, 20.0).values[0].astype(np.float64)
    image = blur(true, 1.0) + rng.normal(0, 0.3, true.shape)
    found = [frc.measure(gather(None, truth, images=Images(gain * image, true, 20.0))) for gain in (1.0, 1e-3, 800.0)]
    assert 45 < found[0]["frc_truth_nm"] < 90
    assert found[0]["frc_limit_nm"] == 40.0
    assert [each["frc_truth_nm"] for each in found] == pytest.approx([found[0]["frc_truth_nm"]] * 3, rel=1e-6)
    assert found[0]["frc_blocks_nm"] == "this row gives no table of localizations"
    blank = frc.measure(gather(None, truth, images=Images(np.zeros_like(true), true, 20.0)))
    assert blank["frc_truth_nm"] == "an image is constant: it has no structure"
    assert "pixel" in frc.measure(gather(None, truth, images=Images(image, true)))["frc_truth_nm"]


def test_a_large_field_has_larger_pixels():
    far = Localizations.of(
        {"frame": np.arange(300), "x_nm": np.linspace(0, 8e4, 300), "y_nm": np.linspace(0, 1e3, 300)},
        n_frames=300,
        field_nm=(81_920.0, 1000.0),
    )
    assert frc.measure(gather(far, far))["frc_limit_nm"] == 40.0


def test_the_first_fall_counts_and_lies_between_rings():
    correlation = np.ones(200)
    correlation[60:] = 0.0
    correlation[150:] = 0.9  # what rises again is not the first fall
    # the mean of 5 rings is 1/5 around ring 62 and 0 around ring 63: between them it is 1/7
    assert resolution_nm(correlation, 2000.0) == pytest.approx(2000.0 / (62 + 2 / 7))
    assert resolution_nm(np.ones(200), 2000.0) == 10.0
    assert "nothing in common" in str(resolution_nm(np.where(np.arange(200) < FEWEST_RINGS - 4, 1.0, 0.0), 2000.0))
