"""Structures in a study: settings read by their cards, tables of points, and what of both enters identities."""

import pytest
import torch
from study_fakes import write_study

from smlmbench import psf
from smlmbench.errors import ConfigError
from smlmbench.registry import Catalog
from smlmbench.simulate import draw
from smlmbench.study.load import load_study
from smlmbench.study.sources import SimulateSource

CATALOG = Catalog()
POINTS = "x [nm],y [nm]\n100,200\n1500,700\n"
OPTICS = {"name": "gaussian", "sigma_nm": 130}


def train(folder, structure, **settings):
    described = {"psf": OPTICS, "structure": structure, "field_px": 16, **settings}
    data = [{"name": "sim", "train": {"simulate": described}}]
    return load_study(write_study(folder, data=data)).study.data[0].train


def refused(folder, structure, **settings):
    with pytest.raises(ConfigError) as caught:
        train(folder, structure, **settings)
    (line,) = str(caught.value).splitlines()
    return line.removeprefix("dots.yaml: data[0].train.simulate.")


def test_descriptions_of_the_first_stores_read_as_they_did():
    first = {"filaments": 12, "width_nm": 15, "curl": 0.3}
    assert SimulateSource().content()["structure"] == {"name": "uniform", **first}
    assert SimulateSource(structure="filaments").content()["structure"] == {"name": "filaments", **first}
    changed = SimulateSource(structure={"name": "filaments", "filaments": 40.0})
    assert changed.content()["structure"] == {"name": "filaments", **first, "filaments": 40}


def test_a_structure_enters_identities_with_all_of_its_own_settings(tmp_path):
    read = train(tmp_path, {"name": "microtubules", "tubes": 3})
    wanted = {"name": "microtubules", "tubes": 3, "linkage_nm": 17.5, "persistence_um": 30}
    assert read.content()["structure"] == wanted
    assert "structure_code" not in read.identity(CATALOG)


def test_a_structure_from_outside_enters_with_its_code_and_is_drawn(tmp_path):
    file = tmp_path / "structures" / "one_spot.py"
    file.parent.mkdir()
    file.write_text(CATALOG.path("structures", "uniform").read_text().replace("region.side_nm - region.margin_nm", "0"))
    catalog = Catalog([file])
    source = SimulateSource(structure="one_spot", psf=OPTICS, density_per_um2=5.0)
    code = {"version": 1, "plugin": catalog.plugin_hash("structures", "one_spot")}
    assert source.identity(catalog)["structure_code"] == code
    _, emitters = draw(source, psf.build(source.psf, catalog), 1, 4, catalog=catalog)
    assert len(emitters) > 20
    assert not bool(emitters.x_nm.any())


def test_a_table_of_points_is_found_from_the_data_root_and_counts_by_its_content(tmp_path):
    ids = []
    for name, text in (("a", POINTS), ("b", POINTS), ("c", POINTS + "3,4\n")):
        (tmp_path / f"{name}.csv").write_text(text)
        read = train(tmp_path, {"name": "points", "path": f"{name}.csv"})
        assert read.structure["path"] == str(tmp_path / f"{name}.csv")
        ids.append(read.content()["structure"])
    assert ids[0] == ids[1] != ids[2]
    assert str(tmp_path) not in str(ids)
    _, emitters = draw(read, psf.build(read.psf, CATALOG), 1, 30)
    assert set(emitters.x_nm.tolist()) == {100, 1500, 3}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "structure.path: '{folder}/a.csv' does not exist; give the path of a table, relative to the data root"),
        ("x [nm],y [nm]\n", "structure.path: 'a.csv' holds no points; give a table with some"),
        (
            POINTS + "1600,3\n",
            "structure.path: the points of 'a.csv' go from x 100 to 1,600 nm, the field has 0 to 1,600 nm; "
            "give a larger field_px, or a table of this field",
        ),
        ("x,y\n1,2\n", "structure.path: column 'x' of table 'a.csv' states no unit; name it with columns: "),
    ],
)
def test_a_table_that_cannot_be_placed_is_refused_when_the_study_is_read(tmp_path, text, said):
    if text is not None:
        (tmp_path / "a.csv").write_text(text)
    line = refused(tmp_path, {"name": "points", "path": "a.csv"})
    assert line.startswith(said.format(folder=tmp_path))


def test_depths_that_do_not_hold_a_structure_are_refused_when_the_study_is_read(tmp_path):
    deep = {"psf": {"name": "astigmatic"}, "z_nm": {"min": -200, "max": 200}}
    said = "z_nm: 'mitochondria' is 800 nm thick, the depths -200 to 200 nm are less; give more depths, or one number"
    assert refused(tmp_path, {"name": "mitochondria", "radius_nm": {"min": 200, "max": 400}}, **deep).startswith(said)
    assert train(tmp_path, {"name": "mitochondria", "radius_nm": 200}, **deep).depths_nm == (-200, 200)
    assert train(tmp_path, {"name": "mitochondria", "radius_nm": 400}).depths_nm == (0, 0)


@pytest.mark.parametrize(
    ("trained", "tested", "shared"),
    [(POINTS, POINTS, True), (POINTS, POINTS + "5,6\n", False), (None, POINTS, None), (POINTS, None, None)],
)
def test_points_that_were_trained_on_are_a_shared_structure(tmp_path, trained, tested, shared):
    sources = []
    for name, text in (("trained", trained), ("tested", tested)):
        structure = {"name": "uniform"}
        if text is not None:
            (tmp_path / f"{name}.csv").write_text(text)
            structure = {"name": "points", "path": str(tmp_path / f"{name}.csv")}
        sources.append(SimulateSource(structure=structure))
    assert sources[1].seen_in(sources[0]).get("shared_structure") is shared


def test_a_deep_structure_gives_the_truth_its_depths():
    source = SimulateSource(
        structure={"name": "microtubules", "tubes": 40},
        psf={"name": "astigmatic"},
        z_nm={"min": -500, "max": 500},
        density_per_um2=20.0,
        field_px=64,
    )
    _, emitters = draw(source, psf.build(source.psf, CATALOG), 1, 4, structure_seed=2)
    assert -500 <= float(emitters.z_nm.min()) < -300
    assert 300 < float(emitters.z_nm.max()) <= 500
    flat = source.model_copy(update={"z_nm": 120.0})
    _, emitters = draw(flat, psf.build(source.psf, CATALOG), 1, 4, structure_seed=2)
    assert emitters.z_nm.unique().tolist() == [120]
    assert torch.equal(emitters.frame.unique(), torch.arange(4))
