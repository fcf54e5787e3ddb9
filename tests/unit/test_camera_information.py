"""Information of a pixel against rows computed elsewhere, against sums by brute force, and in its limits."""

import math

import numpy as np
import pytest
from scipy import stats

from smlmbench.camera import Camera
from smlmbench.camera.information import MOST, fisher_weights

NU = np.array([0.1, 0.3, 1, 2, 5, 10, 20, 50, 100, 300, 1000])
EMCCD = Camera(kind="emccd", em_gain=300, read_noise_e=74.4, e_per_adu=45)
SCMOS = Camera(kind="scmos", read_noise_e=1.6)
# alpha, integrated on its own (specs: evaluation 5.1, rows noise_coeff of the oracle)
KNOWN = {
    "emccd": [
        0.540341, 0.57615, 0.575821, 0.554062, 0.524159, 0.511637, 0.505647, 0.502218, 0.501103, 0.500366, 0.50011,
    ],
    "scmos": [
        0.0447474, 0.120096, 0.300822, 0.453469, 0.666522, 0.797556, 0.886788, 0.951316, 0.975042, 0.991539, 0.997447,
    ],
}  # fmt: skip


@pytest.mark.parametrize("camera", [EMCCD, SCMOS], ids=lambda camera: camera.kind)
def test_coefficients_known_from_elsewhere(camera):
    assert fisher_weights(camera, NU) * NU == pytest.approx(KNOWN[camera.kind], rel=1e-5)


def test_pixels_of_their_own_noise_tell_the_same():
    assert fisher_weights(SCMOS, NU, np.array(1.6**2)) * NU == pytest.approx(KNOWN["scmos"], rel=1e-3)


def brute(camera, nu, step):
    """The integral over all readings, with densities as sums over all electrons and slopes as small differences."""
    sigma, counts = camera.read_noise_e / camera.gain, np.arange(0, 60)
    x = np.arange(-8 * sigma, 90, step)

    def density(mean):
        chance = stats.poisson.pmf(counts, mean)
        if camera.kind == "scmos":
            return stats.norm.pdf(x[:, None], counts, sigma) @ chance
        edges = np.append(x - step / 2, x[-1] + step / 2).clip(0)
        register = np.diff(stats.gamma.cdf(edges[:, None], counts[1:]), axis=0) @ chance[1:]
        kernel = stats.norm.pdf(np.arange(-round(8 * sigma / step), round(8 * sigma / step) + 1) * step, scale=sigma)
        return np.convolve(register, kernel, "same") + chance[0] * stats.norm.pdf(x, scale=sigma)

    change, middle = (density(nu * 1.001) - density(nu * 0.999)) / (0.002 * nu), density(nu)
    seen = middle > 1e-15
    return (change[seen] ** 2 / middle[seen]).sum() * step


@pytest.mark.parametrize("nu", [0.02, 0.5, 4.0])
@pytest.mark.parametrize("noise", [0.15, 0.7, 3.0])
@pytest.mark.parametrize("kind", ["scmos", "emccd"])
def test_the_integral_by_brute_force(kind, noise, nu):
    gain = 50 if kind == "emccd" else 1
    camera = Camera(kind=kind, em_gain=gain, read_noise_e=noise * gain)
    expected = brute(camera, nu, step=noise / 60)
    assert fisher_weights(camera, np.array([nu]))[0] == pytest.approx(expected, rel=1e-3)
    if kind == "scmos":
        assert fisher_weights(camera, np.array([nu]), np.array([noise**2]))[0] == pytest.approx(expected, rel=1e-3)


def test_every_read_noise_of_a_map_is_as_exact_as_alone():
    mu = np.geomspace(1e-3, 2000, 300)
    noises = np.array([0, 0.05, 0.11, 0.23, 0.5, 0.93, 1.37, 2.2, 3.9, 4.5, 30, 700])
    together = fisher_weights(Camera(kind="scmos"), mu[:, None], noises**2)
    for noise, found in zip(noises, together.T, strict=True):
        assert found == pytest.approx(fisher_weights(Camera(kind="scmos", read_noise_e=noise), mu), rel=1e-3)


def test_counts_alone_tell_everything():
    mu = np.geomspace(1e-4, 1e5, 50)
    ideal = fisher_weights(Camera(spurious_e=0.3), mu)
    assert ideal == pytest.approx(1 / (mu + 0.3))
    for camera in (Camera(kind="scmos"), Camera(kind="scmos", read_noise_e=0.05)):
        assert fisher_weights(camera, mu) == pytest.approx(1 / mu)
    for camera in (SCMOS, EMCCD, Camera(kind="emccd", em_gain=300)):
        assert (fisher_weights(camera, mu) < 1 / mu).all()


@pytest.mark.parametrize("camera", [EMCCD, SCMOS, Camera(kind="scmos", read_noise_e=0.3)])
def test_tables_end_without_a_step(camera):
    mu = np.array([0.99999, 1.00001])
    for edge in (MOST, 1e6):
        below, above = fisher_weights(camera, mu * edge)
        assert above == pytest.approx(below, rel=2e-4)
    far = np.array([1e7])
    assert fisher_weights(camera, far) * far == pytest.approx(0.5 if camera.kind == "emccd" else 1, abs=1e-5)


def test_dark_pixels_have_finite_weights():
    assert fisher_weights(SCMOS, np.zeros(2)) == pytest.approx(math.expm1(1 / 2.56), rel=1e-3)
    for camera in (EMCCD, Camera()):
        assert np.isfinite(fisher_weights(camera, np.zeros((2, 3)))).all()


def test_spurious_charge_adds_to_the_mean():
    with_charge = SCMOS.model_copy(update={"spurious_e": 0.4})
    assert fisher_weights(with_charge, NU) == pytest.approx(fisher_weights(SCMOS, NU + 0.4), rel=1e-12)


def test_shapes_of_frames_and_maps():
    mu = np.full((5, 3, 4), 2.0)
    variance = np.linspace(0.5, 9, 12).reshape(3, 4)
    found = fisher_weights(Camera(kind="scmos"), mu, variance)
    assert found.shape == mu.shape
    assert (found == found[0]).all()
    assert (np.diff(found[0].ravel()) < 0).all()
    assert fisher_weights(EMCCD, np.zeros((0, 3))).shape == (0, 3)
    many = fisher_weights(SCMOS, np.linspace(0, 500, 100_003))  # more than one chunk
    assert many[-1] == pytest.approx(fisher_weights(SCMOS, np.array([500.0]))[0])


@pytest.mark.parametrize(
    ("camera", "mu", "variance", "words"),
    [
        (SCMOS, -1.0, None, "must be finite and >= 0"),
        (SCMOS, np.nan, None, "must be finite and >= 0"),
        (SCMOS, 1.0, -1.0, "variances of the read noise must be finite and >= 0"),
        (SCMOS, 1.0, np.nan, "variances of the read noise must be finite and >= 0"),
        (EMCCD, 1.0, 1.0, "a variance for each pixel has no part in kind: emccd"),
    ],
)
def test_what_is_no_mean_or_no_variance_is_refused(camera, mu, variance, words):
    with pytest.raises(ValueError, match=words):
        fisher_weights(camera, np.array([mu]), None if variance is None else np.array([variance]))
