import math

import numpy as np
import pytest
import torch

from smlmbench import psf
from smlmbench.errors import ConfigError
from smlmbench.optics.imaging import Pixels, image
from smlmbench.optics.pupil import Pupil
from smlmbench.optics.vectorial import Layer, Vectorial
from smlmbench.psf.contracts import Canvas, Spots, Stand, Window
from smlmbench.registry import Catalog
from smlmbench.study.digests import file_digest
from smlmbench.study.load import load_study

PIXEL_NM = 110.0
SMALL = {
    "scalar_pupil": {"z_min_nm": -200.0, "z_max_nm": 200.0, "reach_nm": 1500.0},
    "vectorial_pupil": {"z_min_nm": 100.0, "z_max_nm": 500.0, "reach_nm": 1500.0, "focus_nm": 300.0},
}


def built(name, **settings):
    return psf.build({"name": name, **SMALL.get(name, {}), **settings}, Catalog())


def line(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("name", sorted(SMALL))
@pytest.mark.parametrize("mask", ["flat", "double_helix"])
def test_windows_hold_the_exact_light_of_the_pupil(name, mask):
    optics = built(name, mask=mask, zernike_mlambda={"7": 40.0}, blur_nm=40.0, reach_nm=2500.0)
    low, high = optics.depth_nm
    z_nm = line(low, low + 77.0, high - 5.0, high)
    side = optics.side_px(PIXEL_NM)
    x_nm, y_nm = (side * PIXEL_NM / 2 + line(*at) for at in ((0.0, 33.3, -51.0, 12.0), (54.0, -7.0, 0.0, 3.0)))
    light = optics.light(Stand(x_nm, y_nm, z_nm), {}, Window(side, PIXEL_NM))
    centres = (torch.arange(side, dtype=torch.float64) + 0.5) * PIXEL_NM
    for k in range(4):
        pixels = Pixels(centres - x_nm[k], centres - y_nm[k], PIXEL_NM, 40.0)
        exact = optics.exact(z_nm[k : k + 1], pixels)[0]
        exact = exact / optics.exact(z_nm[k : k + 1], Pixels(line(0.0), line(0.0), side * PIXEL_NM, 40.0))
        assert float((light[k, 0] - exact).abs().max()) < 1.5e-3 * float(exact.max())
        assert float(light[k].sum()) == pytest.approx(1, abs=0.005)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_slopes_are_those_of_finite_differences(name):
    optics = built(name, zernike_mlambda={"6": 60.0})
    side = optics.side_px(PIXEL_NM)
    at = [line(side * PIXEL_NM / 2 + 21.0), line(side * PIXEL_NM / 2 - 40.0), line(sum(optics.depth_nm) / 2 + 70.0)]
    _, slopes = optics.slopes(Stand(*at), {}, Window(side, PIXEL_NM))
    for axis in range(3):
        two = []
        for step in (-0.5, 0.5):
            moved = [place + step * (axis == k) for k, place in enumerate(at)]
            pixels = (torch.arange(side, dtype=torch.float64) + 0.5) * PIXEL_NM
            exact = optics.exact(moved[2], Pixels(pixels - moved[0], pixels - moved[1], PIXEL_NM))[0]
            two.append(exact[None] / optics.exact(moved[2], Pixels(line(0.0), line(0.0), side * PIXEL_NM)))
        known = (two[1] - two[0])[0]
        assert float((slopes[0, axis, 0] - known).abs().max()) < 0.01 * float(known.abs().max())


def test_astigmatism_stretches_along_x_on_one_side_of_focus_and_along_y_on_the_other():
    optics = built("scalar_pupil", zernike_mlambda={"6": 100.0})
    spots = Spots(torch.arange(2), line(3000, 3000), line(3000, 3000), line(-200.0, 200.0), torch.full((2,), 1000.0))
    frames = optics.render(spots, {}, Canvas(2, 55, 55, PIXEL_NM))
    place = (torch.arange(55) + 0.5) * PIXEL_NM - 3000
    near = place.abs() < 600
    ratio = [float((one.sum(0) * place**2)[near].sum() / (one.sum(1) * place**2)[near].sum()) for one in frames]
    assert ratio[0] > 1.25
    assert ratio[1] < 0.8  # a cosine of astigmatism is sharp along x above the focus


def test_sigma_is_that_of_the_gaussian_with_the_peak_of_airys_disc():
    optics = built("scalar_pupil", na=1.2, z_min_nm=0.0, z_max_nm=0.0)
    assert optics.sigma_nm == pytest.approx(670 / (math.pi * math.sqrt(2) * 1.2), rel=0.01)


def test_the_names_of_masks_are_on_both_cards_and_settings_are_refused_in_one_line(tmp_path):
    np.save(tmp_path / "mask.npy", np.zeros((8, 8)))
    for name in SMALL:
        assert built(name, mask="file", mask_path=str(tmp_path / "mask.npy")).phase.abs().max() == 0
        for wrong, said in (
            ({"mask": "file"}, "give mask: file and its path, or neither"),
            ({"mask_path": "a.npy"}, "give mask: file and its path, or neither"),
            ({"na": 1.6}, "is not below immersion_index"),
            ({"z_min_nm": 600.0}, "lies above z_max_nm"),
            ({"zernike_mlambda": {"tilt": 3.0}}, "no index of an aberration"),
            ({"zernike_mlambda": {"6": "much"}}, "is not a number"),
            ({"zernike_mlambda": [6, 80]}, "is not a mapping {name: number}"),
        ):
            with pytest.raises(ConfigError, match=said):
                built(name, **wrong)
    for wrong, said in (
        ({"cover_index": 1.3}, "the coverslip's index"),
        ({"immersion_design_index": 1.0}, "of its oil"),
    ):
        with pytest.raises(ConfigError, match=said):
            built("vectorial_pupil", **wrong)


def test_a_reach_that_loses_light_is_refused_with_the_depth():
    optics = built("scalar_pupil", reach_nm=500.0, z_max_nm=1500.0)
    with pytest.raises(ConfigError, match=r"at z = 15\d\d nm only .* larger reach_nm"):
        optics.tabulate(PIXEL_NM)


def test_indices_of_aberrations_are_texts_in_their_order():
    settings = Catalog().card("psf", "scalar_pupil").fill("psf", {"zernike_mlambda": {11: -30, 6: 80}})
    assert list(settings["zernike_mlambda"].items()) == [("11", -30.0), ("6", 80.0)]


STUDY = """\
study: masks
data:
  - name: deep
    train: {{simulate: {{z_nm: {z_nm}, psf: {{name: scalar_pupil, mask: file, mask_path: {path}, {more}}}}}}}
models: [deep_storm]
"""


def study(folder, path="mask.npy", z_nm=0.0, more="reach_nm: 3000"):
    (folder / "study.yaml").write_text(STUDY.format(path=path, z_nm=z_nm, more=more))
    return load_study(folder / "study.yaml")


def source(loaded):
    (entry,) = loaded.study.data
    return entry.train


def test_a_mask_is_known_by_its_content_and_lies_beside_the_study(tmp_path):
    known = []
    for folder, size in (("one", 1.0), ("two", 1.0), ("three", 2.0)):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "mask.npy", np.full((8, 8), size))
        train = source(study(tmp_path / folder))
        assert train.psf["mask_path"] == str(tmp_path / folder / "mask.npy")
        known.append(train.identity(Catalog()))
        assert known[-1]["psf"]["mask_path"] == file_digest(tmp_path / folder / "mask.npy")
    assert known[0] == known[1] != known[2]


def test_a_mask_that_is_not_there_and_depths_that_a_psf_does_not_know_are_told(tmp_path):
    with pytest.raises(ConfigError, match="mask_path: .*gone.npy' does not exist"):
        study(tmp_path, path="gone.npy")
    np.save(tmp_path / "mask.npy", np.zeros((8, 8)))
    with pytest.raises(
        ConfigError, match=r"leaves the depths of PSF 'scalar_pupil', -750 to 750 nm; give other z_min_nm"
    ):
        study(tmp_path, z_nm=900.0)
    with pytest.raises(ConfigError, match=r"0 to 0 nm leaves the depths of PSF 'scalar_pupil', 100 to 750 nm"):
        study(tmp_path, more="z_min_nm: 100")


@pytest.mark.parametrize(("na", "index"), [(0.5, 1.33), (1.2, 1.33), (1.4, 1.47)])
@pytest.mark.parametrize("depth_nm", [0.0, 1000.0])
def test_psfmodels_finds_the_same_light_behind_a_mismatch(na, index, depth_nm):
    """Another program's vectorial PSF; its focus is where paraxial light from zv = depth is sharp."""
    psfmodels = pytest.importorskip("psfmodels", reason="psfmodels is not installed (extra interop)")
    layers = Layer(1.515, 170e3, 1.515, 170e3), Layer(1.515, 150e3, 1.515, 150e3)
    optics = {"NA": na, "ns": index, "ng": 1.515, "ng0": 1.515, "ni": 1.515, "ni0": 1.515, "tg": 170, "tg0": 170}
    stage_nm = np.array([0.0, 500.0, 1000.0])
    told = {"nx": 61, "dxy": 0.05, "pz": depth_nm / 1000, "wvl": 0.6, "params": {**optics, "ti0": 150}}
    theirs = psfmodels.vectorial_psf(stage_nm / 1000, normalize=False, **told)
    pupil, centres = Pupil(600.0, na, 1.515, 128), (torch.arange(61, dtype=torch.float64) - 30) * 50.0
    for at_nm, their in zip(stage_nm, theirs / theirs.sum(axis=(1, 2), keepdims=True), strict=True):
        focus_nm = depth_nm * 1.515 / index + (at_nm - depth_nm)
        fields = Vectorial(pupil, index, focus_nm, *layers).fields(line(depth_nm), torch.zeros_like(pupil.radius))
        ours = image(fields, pupil.period_nm).at(Pixels(centres, centres, 50.0))[0].numpy()
        assert np.abs(ours / ours.sum() - their).max() < 0.01 * their.max()
