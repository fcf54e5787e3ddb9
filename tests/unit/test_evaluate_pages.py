"""Reconstructions without truth: each page of a stack against the widefield, by hand, and where they differ."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from smlmbench.cli import app
from smlmbench.errors import ConfigError, FormatError
from smlmbench.registry import Catalog
from smlmbench.run.tables.comparing import compare

CATALOG = Catalog()
TIMES = 5
REAL = Path("../shared/data/nanoj-squirrel-fig3")


def wave(size, waves):
    """A cosine with whole half waves along x, the same in every row."""
    return np.tile(np.cos(np.pi * (np.arange(size) + 0.5) / size * waves), (size, 1))


@pytest.fixture
def files(tmp_path):
    """Two reconstructions and a widefield of 12 x 12 pixels: 100 + 4 waves of one kind + 3 of another.

    A blur changes nothing of one wave but its height, so page 0 explains the first wave at every width, page 1 none.
    """
    widefield = 100 + 4 * wave(12, 1) + 3 * wave(12, 2)
    pages = [7 + 2 * wave(60, 1), 7 + wave(60, 3)]
    tifffile.imwrite(tmp_path / "stack.tif", np.stack(pages).astype(np.float32), photometric="minisblack")
    tifffile.imwrite(tmp_path / "one.tif", pages[0].astype(np.float32))
    tifffile.imwrite(tmp_path / "widefield.tif", widefield.astype(np.float32))
    return tmp_path


def scored(files, name="stack.tif", **options):
    scores, _ = compare(files / name, None, {"widefield": files / "widefield.tif", **options}, CATALOG)
    return scores.values


def test_each_page_is_scored_by_hand(files):
    first, second = (scored(files, page=page) for page in (0, 1))
    assert first["rsp"] == pytest.approx(4 / 5, abs=1e-5)  # of amplitudes 4 and 3
    assert first["rse"] == pytest.approx(3 / np.sqrt(2), rel=1e-4)
    assert second["rsp"] == pytest.approx(0.0, abs=1e-5)
    assert second["rse"] == pytest.approx(5 / np.sqrt(2), rel=1e-4)
    assert scored(files, "one.tif") == first


def test_the_error_map_is_what_is_left_of_the_widefield(files):
    path = files / "errors.tif"
    scored(files, page=0, error_map=path, fine_pixel_nm=20.0)
    found = tifffile.imread(path)
    assert found.shape == (60, 60)
    np.testing.assert_allclose(found, np.abs(3 * wave(60, 2)), atol=1e-3)
    with tifffile.TiffFile(path) as opened:
        assert opened.imagej_metadata["pixel_nm"] == 20.0


def test_a_stack_without_a_page_says_which_there_are(files):
    with pytest.raises(FormatError, match=r"has 2 pages; say which with page: 0 ... 1"):
        scored(files)
    with pytest.raises(FormatError, match="no page 2"):
        scored(files, page=2)


def test_no_error_map_without_a_widefield(files):
    truth = files / "truth.csv"
    truth.write_text("frame,x_nm,y_nm\n0,100,100\n")
    options = {"error_map": files / "errors.tif", "page": 0}
    with pytest.raises(ConfigError, match="no widefield image is given"):
        compare(files / "stack.tif", truth, options, CATALOG)
    assert not (files / "errors.tif").exists()
    with pytest.raises(ConfigError, match="has no pages"):
        compare(truth, truth, {"page": 0}, CATALOG)


def command(*words):
    done = CliRunner().invoke(app, ["evaluate", *map(str, words)])
    return done.exit_code, " ".join(done.output.split()) if done.exit_code else done.output


def test_the_command_shows_pages_side_by_side(files):
    asked = (files / "stack.tif", "--widefield", files / "widefield.tif")
    code, shown = command(*asked, "--page", 0, "--page", 1)
    assert code == 0
    assert "page 0" in shown
    assert [line.split()[1:3] for line in shown.splitlines() if line.startswith("rse ")] == [["2.121", "3.536"]]
    code, shown = command(*asked, "--page", 0, "--page", 1, "--json")
    pages = json.loads(shown)["pages"]
    assert [page["page"] for page in pages] == [0, 1]
    assert pages[0]["values"]["rsp"] == pytest.approx(0.8, abs=1e-5)
    code, shown = command(*asked, "--page", 0, "--json")
    assert json.loads(shown)["values"]["rsp"] == pytest.approx(0.8, abs=1e-5)


def test_one_error_map_is_of_one_page(files):
    asked = (files / "stack.tif", "--widefield", files / "widefield.tif", "--error-map", files / "errors.tif")
    code, said = command(*asked, "--page", 0, "--page", 1)
    assert code != 0
    assert "give one --page" in said


@pytest.mark.skipif(not REAL.is_dir(), reason="the data of NanoJ-SQUIRREL are not here")
def test_the_three_real_reconstructions():
    """In the order of their pages; the second is nearest to the widefield."""
    found = [
        compare(
            REAL / "Figure 3 - super-resolution stack.tif",
            None,
            {"widefield": REAL / "Figure 3 - widefield reference image.tif", "page": page},
            CATALOG,
        )[0].values
        for page in range(3)
    ]
    assert [one["rsp"] for one in found] == pytest.approx([0.8679, 0.9094, 0.7748], abs=2e-4)
    assert [one["rse"] for one in found] == pytest.approx([33.67, 28.20, 42.86], abs=0.02)
