"""Sources that are described by their card alone: what they take, name, need and are cut by."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from smlmbench.errors import ConfigError
from smlmbench.study.load import load_study
from smlmbench.study.sources import PluginSource

CARD = """
CARD = {
    "version": 1,
    "summary": "Crops",
    "settings": {
        "movie": {"default": "", "help": "movie"},
        "table": {"default": "", "help": "table"},
        "side_px": {"default": 13, "min": 5, "max": 64, "help": "side"},
    },
    "facts": {
        "truth": "target_images",
        "takes": {
            "pixel_size_nm": 100.0,
            "psf": {"name": "gaussian"},
            "camera": {"kind": "scmos", "e_per_adu": 0.5},
            "structure": {"name": "uniform"},
        },
        "files": {"movie": "movie", "table": "table"},
        "needs": ["movie"],
        "cut": True,
    },
}
"""
STUDY = """
study: cut
data:
  - name: mine
    train: {{cropped: {train}}}
    test: {test}
models: [srcnn]
losses: [mse]
plugins: [data/cropped.py]
"""


@pytest.fixture
def read(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cropped.py").write_text(CARD)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 16, 16), dtype=np.uint16))

    def entry(train: str, test: str = "{}"):
        path = tmp_path / "study.yaml"
        path.write_text(STUDY.format(train=train, test=test))
        return load_study(path)

    return entry


def _source(loaded) -> PluginSource:
    train = loaded.study.data[0].train
    assert isinstance(train, PluginSource)
    return train


def test_what_it_takes_is_read_as_in_a_simulation(read):
    source = _source(
        read("{movie: a.tif, psf: {name: gaussian, sigma_nm: 140}, camera: {kind: emccd, em_gain: 30}, side_px: 9}")
    )
    assert (source.pixel_size_nm, source.settings["side_px"]) == (100.0, 9)
    assert source.psf is not None
    assert source.psf["sigma_nm"] == 140
    assert source.structure == {"name": "uniform"}
    assert (source.camera.kind, source.camera.em_gain) == ("emccd", 30.0)
    assert Path(source.settings["movie"]).is_absolute()
    with pytest.raises(ConfigError, match="sigma_nm"):
        read("{movie: a.tif, psf: {name: gaussian, sigma_nm: wide}}")


def test_files_count_by_their_bytes_and_must_be_there(read, tmp_path):
    loaded = read("{movie: a.tif}")
    first = _source(loaded).identity(loaded.catalog)
    assert str(tmp_path) not in str(first)
    assert "psf_code" in first
    (tmp_path / "a.tif").rename(tmp_path / "b.tif")
    loaded = read("{movie: b.tif}")
    assert _source(loaded).identity(loaded.catalog) == first
    with pytest.raises(ConfigError, match=r"cropped.movie: .*a.tif.* does not exist"):
        read("{movie: a.tif}")
    with pytest.raises(ConfigError, match=r"cropped.movie: required and not given; give the path of a movie"):
        read("{}")


def test_validation_and_test_are_cut_from_it(read):
    source = _source(read("{movie: a.tif}"))
    parts = source.cuts(val=False, test=False)
    assert {role: part.part.role for role, part in parts.items()} == {"train": "train", "val": "val", "test": "test"}
    assert parts["val"].content() != parts["test"].content()
    assert source.cuts(val=True, test=True) == {}


def test_a_condition_takes_from_training_what_it_does_not_name(read):
    loaded = read(
        "{movie: a.tif, pixel_size_nm: 80, side_px: 9}", "{wide: {cropped: {psf: {name: gaussian, sigma_nm: 200}}}}"
    )
    wide = loaded.study.data[0].test["wide"]
    assert isinstance(wide, PluginSource)
    assert (wide.pixel_size_nm, wide.settings["side_px"], wide.psf["sigma_nm"]) == (80.0, 9, 200.0)
    assert wide.condition_facts()["movie"] == "a.tif"
