"""The block `robustness` of a data entry: what it expands into, what it refuses, what rows are told."""

import pytest
import torch
import yaml

from smlmbench import psf
from smlmbench.camera import Camera
from smlmbench.data.contracts import Asked
from smlmbench.data.simulate import condition
from smlmbench.errors import ConfigError
from smlmbench.psf.contracts import Stand, Window
from smlmbench.references import peaks_gaussian
from smlmbench.registry import Catalog
from smlmbench.run.studies.planfile import plan_document
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan
from smlmbench.study.sources import SimulateSource
from smlmbench.study.sources.axes import AXES, Centre, SenselessError, varied

CATALOG = Catalog()
PUPILS = ("astigmatism", "coma", "spherical", "defocus")
CAMERA = {"kind": "scmos", "baseline_adu": 100, "e_per_adu": 0.5, "read_noise_e": 1.6}
STATED = {
    "density_per_um2": 0.3, "photons": {"min": 500, "max": 3000}, "background_photons": 20, "field_px": 32,
    "psf": {"name": "gaussian", "sigma_nm": 130}, "camera": CAMERA,
}  # fmt: skip


def studied(folder, robustness, train=STATED, **entry):
    data = {"name": "a", "train": {"simulate": train}, "robustness": robustness, **entry}
    models, losses = [{"name": "srcnn"}], [{"name": "l1l2", "lambda": 200}]
    study = {"study": "s", "repeats": 1, "data": [data], "models": models, "losses": losses, "references": []}
    path = folder / "s.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    return load_study(path)


def entry_of(folder, robustness, **more):
    return studied(folder, robustness, **more).study.data[0]


def centre(**changed):
    return Centre(SimulateSource.model_validate({**STATED, **changed}), CATALOG)


PLAIN = {
    "photons-x0.2": {"photons": {"min": 100, "max": 600}},
    "background-x5": {"background_photons": 100},
    "density-x2": {"density_per_um2": 0.6},
    "sigma-x1.1": {"psf": {"name": "gaussian", "sigma_nm": 143.0}, "told_sigma_nm": 130},
    "coma-60": {
        "psf": {"name": "scalar_pupil", "na": 1.16, "z_min_nm": 0, "z_max_nm": 450, "zernike_mlambda": {8: 60}},
        "told_sigma_nm": 130,
    },
    "defocus-300": {
        "psf": {"name": "scalar_pupil", "na": 1.16, "z_min_nm": 0, "z_max_nm": 450},
        "z_nm": 300,
        "told_sigma_nm": 130,
    },
    "gain-x1.25": {"camera": {**CAMERA, "e_per_adu": 0.4}, "read_as": CAMERA},
    "baseline-5": {"camera": {**CAMERA, "baseline_adu": 105}, "read_as": CAMERA},
    "structured-0.5": {"background": {"name": "perlin", "change": 0.5}},
    "hot_pixels-0.002": {"hot_pixels": 0.002},
    "camera-emccd": {"camera": "decode-example"},
}


def test_a_step_is_the_description_that_a_study_would_write_itself(tmp_path):
    entry = entry_of(tmp_path, "standard", test={"plain": {"simulate": {}}})
    written = {name: {"simulate": fields} for name, fields in PLAIN.items()}
    plain = entry_of(tmp_path, {"photons": [2]}, test={"first": {"simulate": {}}, **written})
    for name in PLAIN:
        assert entry.test[name].identity(CATALOG) == plain.test[name].identity(CATALOG), name


def test_an_entry_without_a_sheet_has_the_identities_that_it_had(tmp_path):
    with_sheet, without = (
        make_plan(studied(tmp_path, given, test={"t": {"simulate": {"frames": 20}}}))
        for given in ({"photons": [2]}, None)
    )
    one, other = with_sheet.cells[0], without.cells[0]
    assert one.cell_id == other.cell_id
    assert one.data.test_identity["t"] == other.data.test_identity["t"]
    assert "told_sigma_nm" not in other.data.test_identity["t"]
    assert "read_as" not in other.data.test_identity["t"]


def test_standard_has_every_axis_and_facts_say_where_each_condition_stands(tmp_path):
    loaded = studied(tmp_path, "standard")
    facts = plan_document(loaded.study, make_plan(loaded), CATALOG)["conditions"]["a"]
    assert facts["centre"]["centre"] is True
    steps = {name: one for name, one in facts.items() if "axis" in one}
    assert {one["axis"] for one in steps.values()} == {*AXES, "pupil"}
    assert {one["origin"] for one in steps.values() if AXES.get(one["axis"]) and AXES[one["axis"]].of_pupil} == {
        "pupil"
    }
    assert {key: steps["sigma-x0.9"][key] for key in ("axis", "step", "base", "origin", "unit")} == {
        "axis": "sigma", "step": 0.9, "base": 1.0, "origin": "centre", "unit": "x",
    }  # fmt: skip
    assert steps["camera-emccd"]["base"] == "scmos"
    assert make_plan(loaded).warnings == ["repeats 1: below 3 trainings of a kind no interval can be given"]


def test_the_centre_is_the_first_test_a_named_one_or_its_own(tmp_path):
    tests = {"dim": {"simulate": {"photons": 400}}, "bright": {"simulate": {"photons": 4000}}}
    assert entry_of(tmp_path, {"photons": [2]}, test=tests).test["photons-x2"].photons == 800
    assert entry_of(tmp_path, {"at": "bright", "photons": [2]}, test=tests).test["photons-x2"].photons == 8000
    own = entry_of(tmp_path, {"at": {"simulate": {"photons": 1000, "frames": 7}}, "photons": [2]}, test=tests)
    assert list(own.test) == ["dim", "bright", "centre", "photons-x2"]
    assert (own.test["photons-x2"].photons, own.test["photons-x2"].frames) == (2000, 7)


def test_what_makes_no_sense_is_left_out_with_the_reason(tmp_path):
    train = STATED | {"camera": {"kind": "ideal"}, "psf": "airy", "background_photons": 0}
    plan = make_plan(studied(tmp_path, {"baseline": [-5, 5], "coma": [60], "background": [2]}, train=train))
    said = [line for line in plan.warnings if "robustness" in line]
    assert said == [
        "data a: robustness: baseline--5 is left out: its baseline is 0 ADU",
        "data a: robustness: coma is left out: PSF 'airy' is neither a pupil nor a Gaussian of one width",
        "data a: robustness: background-x2 is left out: background_photons is 0",
    ]
    assert list(plan.cells[0].data.tests) == ["centre", "baseline-5"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["photons"], "data[0].robustness: ['photons'] is not a sheet; write standard"),
        ({"photon": [2]}, "data[0].robustness.photon: unknown key, did you mean 'photons'?"),
        ({"photons": 2}, "data[0].robustness.photons: 2 is not a list of steps; write standard, or [0.2, 0.5"),
        ({"photons": [0, 2]}, "data[0].robustness.photons: 0 is no factor; give numbers above 0"),
        ({"camera": [1]}, "is not a list of steps; write standard, or [emccd, scmos, phone]"),
        ({"at": "b"}, "data[0].robustness.at: no condition 'b'; test names none"),
        (
            {"at": {"simulate": {"background_photons": {"min": 1, "max": 9}}}},
            "has several values of background_photons",
        ),
        ({"at": {"simulate": {"psf": {"name": "gaussian", "sigma_nm": {"min": 90, "max": 150}}}}}, "psf.sigma_nm"),
        (
            {"at": {"simulate": {"camera": [CAMERA, {"kind": "ideal"}]}}},
            "'centre' has several values of camera; state one",
        ),
    ],
)
def test_a_wrong_block_is_refused_in_one_line(tmp_path, given, said):
    with pytest.raises(ConfigError) as caught:
        studied(tmp_path, given)
    (line,) = str(caught.value).splitlines()
    assert said in line


def test_another_camera_that_is_unknown_is_left_out_by_name():
    with pytest.raises(SenselessError, match="no camera 'film' is stated; there are emccd, scmos, phone"):
        varied(centre(), "camera", "film")


def drawn(source, frames=40):
    source = source.model_copy(update={"frames": frames})
    identity = {"train": {}, "test": source.identity(CATALOG)}
    return condition("c", source, identity["test"], Asked("test", 0), CATALOG)


def test_a_row_that_is_told_a_width_is_told_the_centres():
    wide = varied(centre(), "sigma", 1.2)
    one = drawn(wide)
    assert psf.build(wide.psf, CATALOG).sigma_nm == pytest.approx(156)
    assert one.told["psf_sigma_nm"] == 130
    settings = CATALOG.card("references", "peaks_gaussian").fill("peaks_gaussian", {})
    plan = peaks_gaussian._plan(one, settings)
    assert plan.sigma_px == pytest.approx(1.30)
    right = wide.model_copy(update={"told_sigma_nm": None})
    assert peaks_gaussian._plan(drawn(right), settings).sigma_px == pytest.approx(1.56)


def test_frames_of_another_gain_or_baseline_are_read_by_the_stated_camera():
    means = {}
    for name, axis, step in (("gain", "gain", 1.25), ("baseline", "baseline", 20.0), ("same", "gain", 1.0)):
        one = drawn(varied(centre(photons=1000), axis, step), frames=200)
        means[name] = float(one.frames.read(0, 200).mean())
    assert means["gain"] == pytest.approx(1.25 * means["same"], rel=0.02)
    assert means["baseline"] == pytest.approx(means["same"] + 20 * 0.5, rel=0.02)


def test_a_wrong_gain_keeps_the_noise_that_the_stated_camera_promises():
    one = drawn(varied(centre(), "gain", 1.25))
    assert one.told["noise_added"] == pytest.approx(Camera.model_validate(CAMERA).noise.added)


def test_the_pupil_of_a_gaussian_has_its_width():
    for sigma_nm in (70.0, 104.0, 166.0):
        there = centre(psf={"name": "gaussian", "sigma_nm": sigma_nm})
        flat = varied(there, "astigmatism", 0.0)
        assert psf.build(flat.psf, CATALOG).sigma_nm == pytest.approx(sigma_nm, rel=0.03)
        assert flat.told_sigma_nm == sigma_nm


def test_a_larger_pixel_narrows_the_psf_in_the_stated_scale():
    source = varied(centre(), "pixel_size", 1.1)
    assert source.pixel_size_nm == 100
    assert source.psf["sigma_nm"] == pytest.approx(130 / 1.1)
    assert source.density_per_um2 == pytest.approx(0.3 * 1.21)
    # the same frames as with the true pixel, of which everything is told in its own nm
    true = SimulateSource.model_validate(STATED | {"pixel_size_nm": 110})
    frames = [drawn(one, 300).frames.read(0, 300) for one in (source, true)]
    assert frames[0].mean() == pytest.approx(frames[1].mean(), rel=0.02)
    assert frames[0].std() == pytest.approx(frames[1].std(), rel=0.05)


def test_a_pupil_begins_at_itself_and_keeps_its_own_aberrations(tmp_path):
    own = {"name": "scalar_pupil", "na": 1.2, "zernike_mlambda": {6: 40, 11: -10}, "z_min_nm": 0, "z_max_nm": 0}
    entry = entry_of(tmp_path, {"astigmatism": [0, 60], "sigma": [1.1]}, train=STATED | {"psf": own})
    assert "pupil" not in entry.test
    assert entry.robustness.steps["astigmatism-60"].origin == "centre"
    assert {int(k): v for k, v in entry.test["astigmatism-60"].psf["zernike_mlambda"].items()} == {6: 100, 11: -10}
    wider = psf.build(entry.test["sigma-x1.1"].psf, CATALOG).sigma_nm
    assert wider == pytest.approx(1.1 * psf.build(entry.train.psf, CATALOG).sigma_nm, rel=0.02)


def test_the_phone_holds_the_brightest_emitter():
    phone = varied(centre(), "camera", "phone").camera
    assert (phone.kind, phone.max_adu) == ("phone", 255)
    window = Window(1, 100.0)
    middle = Stand(*(torch.full((1,), value, dtype=torch.float64) for value in (50.0, 50.0, 0.0)))
    optics = psf.build(STATED["psf"], CATALOG)
    peak = float(optics.light(middle, optics.shapes(1, None), window).max())
    brightest = phone.baseline_adu + (20 + 3000 * peak) * phone.adu_per_photon
    assert 0.5 * 255 < brightest < 255
