import importlib

import numpy as np
import pytest

from smlmbench.metrics.evidence import Images, gather
from smlmbench.render import blur


def measure(name, image, truth):
    module = importlib.import_module(f"smlmbench.metrics.{name}")
    return module.measure(gather(None, None, images=Images(image, truth, 12.5)))


def sparse(side=64, seed=0, n=40):
    rng = np.random.default_rng(seed)
    image = np.zeros((side, side))
    image[rng.integers(0, side, n), rng.integers(0, side, n)] = rng.uniform(1, 5, n)
    return image


VARIANTS = ("nmse", "nmse_sum", "nmse_star")


def test_a_blank_image_has_error_1_and_no_gain():
    answers = measure("nmse", np.zeros((64, 64)), sparse())
    assert answers.pop("nmse_gain") == 0.0
    assert set(answers.values()) == {1.0}


def test_the_truth_has_error_0():
    answers = measure("nmse", sparse(), sparse())
    assert answers.pop("nmse_gain") == pytest.approx(1.0)
    assert list(answers.values()) == pytest.approx([0.0] * 6, abs=1e-12)


@pytest.mark.parametrize("gain", [1e-3, 0.5, 800.0])
def test_scale_free_and_sum_matched_errors_ignore_the_gain(gain):
    answers = measure("nmse", gain * sparse(), sparse())
    assert answers["nmse_star"] == pytest.approx(0.0, abs=1e-12)
    assert answers["nmse_sum_blur1"] == pytest.approx(0.0, abs=1e-12)
    assert answers["nmse"] == pytest.approx((gain - 1) ** 2)
    assert answers["nmse_gain"] == pytest.approx(1 / gain)


def test_scale_free_error_is_1_minus_the_squared_cosine():
    x, y = sparse(seed=1), sparse(seed=2) + 0.01
    cosine = (x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum())
    assert measure("nmse", y, x)["nmse_star"] == pytest.approx(1 - cosine**2)


def test_by_hand():
    x, y = np.zeros((20, 20)), np.zeros((20, 20))
    x[10, 10], x[10, 11], y[10, 10] = 3.0, 4.0, 1.0
    answers = measure("nmse", y, x)
    assert answers["nmse"] == pytest.approx((4 + 16) / 25)
    assert answers["nmse_sum"] == pytest.approx((16 + 16) / 25)
    assert answers["nmse_star"] == pytest.approx(16 / 25)
    assert answers["nmse_gain"] == pytest.approx(3.0)


def test_a_spike_in_another_place_is_twice_as_wrong_as_none():
    truth, image = np.zeros((2, 16, 16))
    truth[4, 4], image[9, 9] = 3.0, 3.0
    answers = measure("nmse", image, truth)
    assert (answers["nmse"], answers["nmse_sum"]) == pytest.approx((2.0, 2.0))
    assert answers["nmse_star"] == pytest.approx(1.0)


def test_an_inverted_image_is_no_match_and_has_no_sum():
    answers = measure("nmse", -sparse(), sparse())
    assert answers["nmse_star"] == 1.0
    assert answers["nmse_sum"] == "the image sums to 0 or less"


def test_blurring_forgives_a_shift_of_one_pixel_in_part():
    x = sparse(n=5, seed=3)
    answers = measure("nmse", np.roll(x, 1, axis=1), x)
    assert answers["nmse_star"] == 1.0
    # two Gaussians of sigma 1 px, 1 px apart: cos = exp(-1/4)
    assert answers["nmse_star_blur1"] == pytest.approx(1 - np.exp(-0.5), abs=0.02)


def test_psnr_is_that_of_the_blurred_images_at_the_best_gain():
    x, y = sparse(seed=4), 7.0 * sparse(seed=5)
    bx, by = blur(x, 1.0), blur(y, 1.0)
    by = by * (bx * by).sum() / (by * by).sum()
    assert measure("psnr", y, x)["psnr"] == pytest.approx(
        10 * np.log10(bx.max() ** 2 / np.mean((bx - by) ** 2)), rel=1e-5
    )
    assert "no error to divide by" in measure("psnr", x, x)["psnr"]


def test_snr_in_db_is_minus_10_log10_nmse():
    x, y = sparse(seed=4), sparse(seed=4) + 0.1
    snr_db = 10 * np.log10((x**2).sum() / ((x - y) ** 2).sum())
    assert -10 * np.log10(measure("nmse", y, x)["nmse"]) == pytest.approx(snr_db)


@pytest.mark.parametrize("name", ["ssim", "ms_ssim"])
def test_similarity_is_1_for_any_gain_of_the_truth_and_high_for_a_blank_image(name):
    x = sparse(side=176, n=100)
    assert measure(name, 800 * x, x)[name] == pytest.approx(1.0, abs=1e-5)
    worse = measure(name, sparse(side=176, n=100, seed=9), x)[name]
    assert worse < 0.95
    assert 0.5 < measure(name, 0 * x, x)[name] < 1.0  # why these are never a headline


def test_sides_that_are_too_small_are_named():
    assert measure("ssim", np.ones((10, 30)), np.ones((10, 30)))["ssim"] == (
        "image of 10 x 30 fine pixels; needs sides of at least 11"
    )
    assert isinstance(measure("ssim", sparse(11), sparse(11, seed=1))["ssim"], float)
    assert "at least 176" in measure("ms_ssim", sparse(175), sparse(175))["ms_ssim"]
    assert isinstance(measure("ms_ssim", sparse(176), sparse(176, seed=1))["ms_ssim"], float)


@pytest.mark.parametrize("name", ["nmse", "psnr", "ssim", "ms_ssim"])
def test_blank_truth_and_broken_images_have_a_reason(name):
    assert set(measure(name, sparse(), np.zeros((64, 64))).values()) == {"the true image is blank"}
    broken = sparse()
    broken[0, 0] = np.nan
    assert set(measure(name, broken, sparse()).values()) == {"an image has values that are not finite"}
    assert set(measure(name, None, sparse()).values()) == {"this row gives no image"}
    assert set(measure(name, sparse(), None).values()) == {"the condition has no true image"}


@pytest.mark.parametrize("image", [7 * sparse(), sparse() / 3, np.pi * sparse()])
def test_an_image_that_is_equal_but_for_its_gain_has_no_psnr(image):
    """Rounding would leave 300 dB and more."""
    assert "no error to divide by" in measure("psnr", image, sparse())["psnr"]


def test_constant_images_are_equal_at_the_best_gain():
    flat = np.full((20, 20), 3.0)
    assert "no error to divide by" in measure("psnr", 7 / 3 * flat, flat)["psnr"]
    assert measure("nmse", 7 / 3 * flat, flat)["nmse_star"] == pytest.approx(0, abs=1e-12)
    assert measure("ssim", 7 / 3 * flat, flat)["ssim"] == pytest.approx(1, abs=1e-4)  # in float32


@pytest.mark.parametrize("size", [1e-200, 1e-30, 1e200])
def test_no_number_depends_on_the_unit(size):
    image, truth = sparse(176, seed=1, n=200) + 0.1, sparse(176, seed=2, n=200)
    for name in ("nmse", "psnr", "ssim", "ms_ssim"):
        assert measure(name, size * image, size * truth) == pytest.approx(measure(name, image, truth))


def test_images_that_have_no_common_scale_say_so():
    for image, truth in ((1e200 * sparse(), sparse()), (1e-200 * sparse(), sparse()), (sparse(), 1e-200 * sparse())):
        assert set(measure("nmse", image, truth).values()) == {
            "the brightness of image and truth differs by more than 1e100"
        }


@pytest.mark.parametrize("name", ["nmse", "psnr", "ssim", "ms_ssim"])
def test_one_pixel_and_none_have_a_reason(name):
    """At the best gain one pixel has error 0, whatever it shows."""
    assert all("one pixel" in said for said in measure(name, np.full((1, 1), 5.0), np.ones((1, 1))).values())
    assert set(measure(name, np.zeros((0, 4)), np.zeros((0, 4))).values()) == {"the true image is blank"}


def test_a_sum_of_rounding_is_no_sum():
    image = sparse() - sparse().mean()
    for shift in (-1e-16, 0.0, 1e-16):
        assert measure("nmse", image + shift, sparse())["nmse_sum"] == "the image sums to 0 or less"


def test_a_truth_that_is_dark_when_blurred_has_no_range():
    truth = np.full((32, 32), -9.0)
    truth[16, 16] = 1.0
    for name in ("psnr", "ssim"):
        assert "dark everywhere" in measure(name, sparse(32), truth)[name]


def test_a_second_implementation_agrees():
    skimage = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed")
    # blank margins, because the two treat the edge differently
    x, y = (np.pad(each, 20) for each in (sparse(n=100), sparse(n=100) + sparse(n=40, seed=8)))
    bx, by = blur(x, 1.0), blur(y, 1.0)
    by = by * (bx * by).sum() / (by * by).sum()
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": bx.max()}
    _, local = skimage.structural_similarity(bx, by, full=True, **settings)
    assert measure("ssim", y, x)["ssim"] == pytest.approx(local.mean(), abs=1e-5)
    psnr = skimage.peak_signal_noise_ratio(bx, by, data_range=bx.max())
    assert measure("psnr", y, x)["psnr"] == pytest.approx(psnr, abs=1e-4)
