"""Frozen draws: the same bits whatever the processor, the number of threads, and the versions of torch and NumPy."""

import hashlib

import numpy as np
import pytest
import torch

from smlmbench import psf
from smlmbench.camera import Camera
from smlmbench.registry import Catalog
from smlmbench.run.using.drawing import described, draw_frames
from smlmbench.simulate import draw, draw_signal_free

CATALOG = Catalog()
COMMON = {"draws": "frozen", "field_px": 16, "density_per_um2": 1.0}
EMCCD = {"kind": "emccd", "baseline_adu": 100, "e_per_adu": 45, "em_gain": 300, "read_noise_e": 74.4}
EMCCD["spurious_e"] = 0.002
SCMOS = {"kind": "scmos", "baseline_adu": 100, "e_per_adu": 0.5, "read_noise_e": 1.6}
DEEP = {"psf": {"name": "astigmatic"}, "z_nm": {"min": -300, "max": 300}}
CASES = {
    "plain": {},
    "blinking filaments": {
        "structure": "filaments",
        "track": {"name": "blinking", "on_frames": 3, "off_frames": 10, "bleach_after": 4, "off_law": "power"},
        "photons": {"mean": 1000, "sd": 300, "law": "normal"},
        "camera": EMCCD,
    },
    "deep": {**DEEP, "camera": SCMOS, "background": "perlin", "hot_pixels": 0.01, "empty_frames": 0.2},
    "ranged": {"psf": {"name": "gaussian", "sigma_nm": {"min": 100, "max": 150}}, "background": "out_of_focus"},
    "sloped": {"photons": {"median": 900, "sigma": 0.4, "law": "log_normal"}, "background": "slope"},
}
KNOWN = {
    "plain": "d4535b09debea727b3a032b876b9ffcbd21ec6e2c9855d8daab50066f26f45ff",
    "blinking filaments": "656802d3714d2bab72765305a95f64a1708e3e0bfedee9acb5b9f0bcb5f9cb03",
    "deep": "546d9520b7e6299283852541e079669af82396e4e82ea1e25c1f9fd7a04b717d",
    "ranged": "47f8f50ebd97e03609e9208c2b753319b7311a2c22e31def4ef61c0de3417723",
    "sloped": "aa45a997ac3fd4126db4d18f1f7fda302e6e247e6e46099aeed98d1cdfa6a939",
}


def digest(case):
    movie, truth = draw_frames(described({**COMMON, **CASES[case]}), 70, 5, CATALOG)
    found = hashlib.sha256(movie.astype("<u2").tobytes())
    columns = (truth.x_nm, truth.y_nm, truth.z_nm, truth.photons)
    for column in (truth.frame, *(np.rint(values * 1000) for values in columns)):
        found.update(column.astype("<i8").tobytes())
    return found.hexdigest()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_a_frozen_movie_has_the_digest_that_it_always_had(case, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert digest(case) == KNOWN[case]
    finally:
        torch.set_num_threads(before)


def test_places_and_photons_are_whole_thousandths():
    source = described({**COMMON, **CASES["blinking filaments"]})
    _, emitters = draw(source, psf.build(source.psf, CATALOG), 3, 40)
    for values in (emitters.x_nm, emitters.y_nm, emitters.photons):
        thousandths = values * 1000
        assert float((thousandths - thousandths.round()).abs().max()) < 1e-6
    assert float(emitters.photons.min()) > 0


def test_a_camera_is_shown_expected_photons_on_a_grid(monkeypatch):
    seen, expose = [], Camera.expose

    def watched(camera, expected, generator):
        seen.append(expected)
        return expose(camera, expected, generator)

    monkeypatch.setattr(Camera, "expose", watched)
    digest("deep")
    draw_signal_free(described(COMMON), 1)
    for expected in seen:
        assert expected.dtype == torch.float64
        assert torch.equal(expected * 2**16, (expected * 2**16).round())


@pytest.mark.parametrize("camera", [{"kind": "ideal", "spurious_e": 0.5}, EMCCD, SCMOS])
def test_the_camera_is_the_same_as_that_of_fast_draws(camera):
    made = {}
    for draws in ("fast", "frozen"):
        source = described({"draws": draws, "background_photons": 40.0, "camera": camera, "field_px": 64})
        made[draws] = draw_signal_free(source, 1, 60)[:20].ravel()
    noise = Camera(**camera).noise
    variance = noise.excess * 40 + noise.added
    for frames in made.values():
        assert frames.mean() == pytest.approx(40, abs=4 * (variance / frames.size) ** 0.5 + 0.01)
        assert frames.var() == pytest.approx(variance, rel=0.03)


def test_signal_free_frames_of_a_frozen_description_do_not_depend_on_threads():
    source = described({**COMMON, "camera": EMCCD})
    assert np.array_equal(draw_signal_free(source, 1), draw_signal_free(source, 1))
    assert draw_signal_free(source, 1).dtype == np.float32


def test_fast_draws_have_no_place_in_an_identity():
    assert "draws" not in described({"field_px": 16}).content()
    assert described(COMMON).content()["draws"] == "frozen"
