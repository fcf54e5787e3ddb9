"""A simulation with several cameras: each frame is seen by one of them, in training as in a frozen set."""

import numpy as np
import pytest
import torch
from study_fakes import write_study

from smlmbench import psf
from smlmbench.data.contracts import Asked
from smlmbench.data.simulate import condition
from smlmbench.errors import ConfigError
from smlmbench.registry import Catalog
from smlmbench.simulate import draw
from smlmbench.study.load import load_study
from smlmbench.study.sources import SimulateSource

CATALOG = Catalog()
SCMOS = {"kind": "scmos", "baseline_adu": 100, "e_per_adu": 0.5, "read_noise_e": 1.6}
EMCCD = {"kind": "emccd", "baseline_adu": 100, "e_per_adu": 45, "em_gain": 300, "read_noise_e": 74.4}
DARK = {"psf": {"name": "gaussian", "sigma_nm": 130.0}, "field_px": 24, "empty_frames": 1.0, "background_photons": 200}


def train(folder, camera, **settings):
    data = [{"name": "sim", "train": {"simulate": {**DARK, "camera": camera, **settings}}}]
    return load_study(write_study(folder, data=data)).study.data[0].train


def variances(source, frames):
    made, _ = draw(source, psf.build(source.psf, CATALOG), 3, frames)
    return made, made.var(dim=(1, 2)).numpy()


def test_each_frame_has_the_noise_of_one_camera(tmp_path):
    made, found = variances(train(tmp_path, [SCMOS, EMCCD]), 200)
    register = found > 300  # 202.6 + 0.02 and 399.3 + 0.06 photons^2; a frame of 576 pixels tells them to 6 %
    assert 75 < register.sum() < 125
    assert found[register].mean() == pytest.approx(2 * 200, rel=0.03)
    assert found[~register].mean() == pytest.approx(200 + 1.6**2, rel=0.03)
    assert float(made.mean()) == pytest.approx(200, rel=0.01)


def test_one_camera_in_a_list_is_that_camera(tmp_path):
    alone, listed = (train(tmp_path, given) for given in (SCMOS, [SCMOS]))
    assert alone.identity(CATALOG) == listed.identity(CATALOG)
    assert "more_cameras" not in alone.content()
    torch.testing.assert_close(variances(alone, 3)[0], variances(listed, 3)[0])


def test_the_others_enter_the_identity_and_a_test_names_its_own(tmp_path):
    data = [
        {
            "name": "sim",
            "train": {"simulate": {**DARK, "camera": [SCMOS, EMCCD]}},
            "test": {"one": {"simulate": {"camera": SCMOS}}, "same": {"simulate": {"frames": 8}}},
        }
    ]
    entry = load_study(write_study(tmp_path, data=data)).study.data[0]
    assert entry.train.content()["more_cameras"][0]["kind"] == "emccd"
    assert entry.test["one"].more_cameras == ()
    assert entry.test["same"].cameras == entry.train.cameras


def test_rows_without_training_are_told_the_mean_noise_and_there_is_no_bound(tmp_path):
    source = train(tmp_path, [SCMOS, EMCCD], empty_frames=0.0, frames=4)
    drawn = condition("a", source, source.identity(CATALOG), Asked("test", 1), CATALOG)
    assert drawn.told["noise_excess"] == pytest.approx((1 + 2 - 1 / 300) / 2)
    assert drawn.truth.bounds == "the frames are of several cameras"
    assert np.isfinite(drawn.frames.read(0, 4)).all()


@pytest.mark.parametrize(
    ("camera", "said"),
    [
        ([], "a list of cameras holds at least one"),
        ([SCMOS, {"kind": "scmos", "maps": {"offset_adu": "o.npy"}}], "none with maps"),
        ([SCMOS, {"preset": "andor"}], "camera[1]"),
        ([SCMOS, {"kind": "emcdc"}], "emccd"),
    ],
)
def test_a_wrong_list_is_told_in_one_line(tmp_path, camera, said):
    with pytest.raises(ConfigError) as caught:
        train(tmp_path, camera)
    (line,) = str(caught.value).splitlines()
    assert said in line


def test_no_camera_of_a_description_is_a_default():
    assert SimulateSource().cameras == (SimulateSource().camera,)
