"""How much of a PSF's light a Gaussian takes up, and that photons are not claimed where that is not its light."""

import numpy as np
import pytest

from smlmbench import psf
from smlmbench.camera import Noise
from smlmbench.predictions import Localizations
from smlmbench.psf.gaussian_light import gaussian_light
from smlmbench.registry import Catalog
from smlmbench.tasks.localization.photometry import Photometry

CATALOG = Catalog()
KNOWN = {"pixel_size_nm": 100.0, "psf_sigma_nm": 130.0, **Noise().told()}


def test_a_gaussian_takes_up_itself_and_of_a_wider_one_what_overlaps():
    same = psf.build({"name": "gaussian", "sigma_nm": 130.0}, CATALOG)
    assert gaussian_light(same, 130.0, 100.0) == pytest.approx((1.0, 1.0), abs=1e-6)
    # by hand, in units of the width on a window of 78.25: (1 / (10 pi) - .9465 / 78.25) / (1 / (4 pi) - 1 / 78.25)
    low, high = gaussian_light(psf.build({"name": "gaussian", "sigma_nm": 260.0}, CATALOG), 130.0, 50.0)
    assert low == high == pytest.approx(0.295, abs=0.01)


def test_a_lens_takes_light_away_with_depth():
    settings = {"sigma_x_nm": 130.0, "sigma_y_nm": 130.0, "focus_nm": 200.0, "depth_of_focus_nm": 400.0}
    lens = psf.build({"name": "astigmatic", "range_nm": 500.0, **settings}, CATALOG)
    low, high = gaussian_light(lens, lens.sigma_nm, 100.0)
    assert low < 0.75
    assert high > low + 0.1


def test_photons_are_not_claimed_for_another_shape_unless_a_width_is_stated():
    far = {**KNOWN, "gaussian_light_low": 0.2, "gaussian_light_high": 0.9}
    assert Photometry(KNOWN, {}).absent == ""
    assert "takes 20 to 90 % of the light" in Photometry(far, {}).absent
    assert Photometry(far, {"psf_sigma_nm": 130.0}).absent == ""
    frames = np.full((1, 24, 24), 10.0, dtype=np.float32)
    table = Localizations.of({"frame": [0], "x_nm": [1200.0], "y_nm": [1200.0]}, n_frames=1, field_nm=(2400.0, 2400.0))
    assert np.isnan(Photometry(far, {}).measure(frames, table).photons).all()
    assert np.isfinite(Photometry(KNOWN, {}).measure(frames, table).photons).all()
