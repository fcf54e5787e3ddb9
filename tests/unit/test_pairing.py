import numpy as np
import pytest
import tifffile

from smlmbench.errors import ConfigError, FormatError
from smlmbench.registry import Catalog
from smlmbench.run.using.drawing import draw_movie
from smlmbench.run.using.pairing import draw_pairs
from smlmbench.study.sources import SimulateSource

SOURCE = SimulateSource(density_per_um2=1.0, photons=1000.0, field_px=16, psf={"name": "gaussian", "sigma_nm": 130.0})


def test_pairs_hold_the_frames_of_the_movie_and_a_spot_of_mass_one_per_emitter(tmp_path):
    made = draw_pairs(SOURCE, 12, 3, 4, tmp_path / "pairs", Catalog())
    movie = tifffile.imread(draw_movie(SOURCE, 12, 3, tmp_path / "movie", Catalog()).movie)
    names = sorted(path.name for path in made.inputs.iterdir())
    assert names == [f"{n:02d}.tif" for n in range(12)] == sorted(path.name for path in made.targets.iterdir())
    for n, name in enumerate(names):
        np.testing.assert_array_equal(tifffile.imread(made.inputs / name), movie[n])
    targets = np.stack([tifffile.imread(made.targets / name) for name in names])
    assert targets.shape == (12, 64, 64)
    assert targets.sum() == pytest.approx(made.emitters, rel=0.1)  # spots at the edge lose a part
    assert targets.sum() < made.emitters


def test_another_ratio_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="1, 2, 4 or 8"):
        draw_pairs(SOURCE, 1, 0, 3, tmp_path, Catalog())


def test_pairs_of_another_set_are_not_mixed_in_and_the_same_ones_may_be_drawn_again_where_asked(tmp_path):
    for overwrite in (False, True):
        draw_pairs(SOURCE, 3, 0, 1, tmp_path, Catalog(), overwrite=overwrite)
    with pytest.raises(FormatError, match="holds other images, such as 0.tif; give an empty folder"):
        draw_pairs(SOURCE, 12, 0, 1, tmp_path, Catalog())
    assert len(list((tmp_path / "input").iterdir())) == 3


@pytest.mark.parametrize("write", [lambda *a, **k: draw_pairs(*a[:3], 2, *a[3:], **k), draw_movie])
def test_what_was_simulated_before_is_replaced_only_where_asked(tmp_path, write):
    write(SOURCE, 2, 0, tmp_path, Catalog())
    files = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    with pytest.raises(FormatError, match=r"exists already; give another folder with --output, or --overwrite"):
        write(SOURCE, 2, 1, tmp_path, Catalog())
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == files
    write(SOURCE, 2, 1, tmp_path, Catalog(), overwrite=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")}.keys() == files.keys()
    assert all(path.read_bytes() != before for path, before in files.items())


@pytest.mark.parametrize(
    "draw",
    [lambda out: draw_pairs(SOURCE, 1, 0, 2, out, Catalog()), lambda out: draw_movie(SOURCE, 1, 0, out, Catalog())],
)
def test_a_file_where_a_folder_is_to_be(tmp_path, draw):
    (tmp_path / "out").write_text("x")
    with pytest.raises(FormatError, match="cannot be made: .*; give a folder"):
        draw(tmp_path / "out")
