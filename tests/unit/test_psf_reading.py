"""A PSF by the name of its YAML file: in a study the same as written there; files that it names lie beside it."""

import pytest
from study_fakes import write_study

from smlmbench import psf
from smlmbench.errors import ConfigError
from smlmbench.psf import beads
from smlmbench.registry import Catalog
from smlmbench.study.load import load_study

OPTICS = "# Optics of a movie\nname: gaussian\nsigma_nm: 141.5  # 140 to 143\n"


def study(folder, optics, **test):
    simulate = {"psf": optics, "pixel_size_nm": 100}
    return write_study(folder, data=[{"name": "own", "train": {"simulate": simulate}, "test": test}])


def source(path):
    return load_study(path).study.data[0].train


def test_a_file_counts_as_if_its_content_stood_in_the_study(tmp_path):
    (tmp_path / "optics.yaml").write_text(OPTICS)
    by_name = source(study(tmp_path, "optics.yaml"))
    inside = source(study(tmp_path, {"name": "gaussian", "sigma_nm": 141.5}))
    assert by_name.psf == inside.psf == {"name": "gaussian", "sigma_nm": 141.5}
    assert by_name.identity(Catalog()) == inside.identity(Catalog())


def test_its_name_and_place_do_not_count_but_its_content_does(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.yaml").write_text(OPTICS)
    (tmp_path / "deep" / "b.yml").write_text("psf:\n  sigma_nm: 141.5\n  name: gaussian\n")
    first, second = (source(study(tmp_path, name)).identity(Catalog()) for name in ("a.yaml", "deep/b.yml"))
    assert first == second
    (tmp_path / "a.yaml").write_text(OPTICS.replace("141.5", "141.6"))
    assert source(study(tmp_path, "a.yaml")).identity(Catalog()) != first


def test_conditions_take_it_from_train(tmp_path):
    (tmp_path / "optics.yaml").write_text(OPTICS)
    entry = load_study(study(tmp_path, "optics.yaml", same={"simulate": {"frames": 4}})).study.data[0]
    assert entry.test["same"].psf == entry.train.psf


def test_a_bead_beside_the_file_is_found_wherever_the_study_lies(tmp_path):
    folder = tmp_path / "calibration"
    folder.mkdir()
    settings = beads.small(folder)
    (folder / "optics.yaml").write_text("{name: beads, path: bead.tif, step_nm: 100, pixel_size_nm: 100}")
    found = source(study(tmp_path, "calibration/optics.yaml"))
    assert found.psf["path"] == settings["path"]
    assert found.identity(Catalog())["psf"]["path"] != settings["path"]  # its digest
    assert psf.build(found.psf, Catalog()).depth_nm == (-500, 500)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "optics.yaml' does not exist; give a YAML file with a PSF's name and settings"),
        ("sigma_nm: 130", "holds no PSF; write its name and settings"),
        ("[1, 2", "is no YAML"),
        ("name: gausian", "unknown PSF 'gausian': did you mean 'gaussian'?"),
        ("{name: gaussian, sigma: 130}", "unknown setting, did you mean 'sigma_nm'?"),
        ("{name: gaussian, sigma_nm: 3}", "sigma_nm"),
        ("{name: beads, path: none.tif}", "none.tif' does not exist"),
    ],
)
def test_what_is_wrong_with_it_is_one_line_of_the_study(tmp_path, text, said):
    if text is not None:
        (tmp_path / "optics.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        source(study(tmp_path, "optics.yaml"))
    (line,) = str(error.value).splitlines()
    assert said in line
    assert "psf" in line
