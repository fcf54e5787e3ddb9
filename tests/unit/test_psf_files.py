"""A PSF that names a file: found from the data root, told where it is not there, known by its bytes."""

import numpy as np
import pytest
import tifffile
from study_fakes import write_study

from smlmbench.errors import ConfigError
from smlmbench.psf import beads
from smlmbench.registry import Catalog
from smlmbench.run.using.drawing import draw_movie, find_source
from smlmbench.study.load import load_study
from smlmbench.study.sources import SimulateSource


@pytest.fixture(autouse=True)
def _no_data_root(monkeypatch):
    monkeypatch.delenv("SMLMBENCH_DATA", raising=False)


def data(**settings):
    simulated = {"psf": {"name": "beads", "step_nm": 100.0, **settings}, "z_nm": {"min": -400, "max": 400}}
    return [{"name": "d", "train": {"simulate": {**simulated, "field_px": 32}}}]


def identity(path):
    card = Catalog().card("psf", "beads")
    filled = {"name": "beads", **card.fill("psf", {"path": str(path), "step_nm": 100.0})}
    return SimulateSource(psf=filled).identity(Catalog())


def test_a_stack_is_found_from_the_study_and_drawn_with(tmp_path):
    beads.small(tmp_path)
    loaded = load_study(write_study(tmp_path, data=data(path="bead.tif")))
    source = find_source(loaded, None, None)
    assert source.psf["path"] == str(tmp_path / "bead.tif")
    drawn = draw_movie(source, 5, 0, tmp_path / "out", loaded.catalog, overwrite=False)
    assert drawn.emitters > 10
    frames = tifffile.imread(drawn.movie)
    assert frames.shape == (5, 32, 32)
    assert frames.max() > 3 * np.median(frames)


def test_stacks_that_are_absent_or_not_named_are_told_with_their_place(tmp_path):
    with pytest.raises(ConfigError, match=r"simulate\.psf\.path: '.*none\.tif' does not exist"):
        load_study(write_study(tmp_path, data=data(path="none.tif")))
    with pytest.raises(ConfigError, match=r"simulate\.psf\.path: required and not given; give the path of a TIFF"):
        load_study(write_study(tmp_path, data=data()))
    beads.small(tmp_path)
    with pytest.raises(ConfigError, match="leaves the depths of PSF 'beads', -300 to 300 nm"):
        load_study(write_study(tmp_path, data=data(path="bead.tif", range_nm=300.0)))


def test_a_psf_counts_by_the_bytes_of_its_file_not_by_its_path(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        beads.small(folder)
    first = identity(one / "bead.tif")
    assert identity(two / "bead.tif") == first
    assert str(tmp_path) not in str(first)
    tifffile.imwrite(two / "bead.tif", tifffile.imread(two / "bead.tif") * 2)
    assert identity(two / "bead.tif") != first
