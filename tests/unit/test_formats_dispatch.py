import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from smlmbench.errors import ConfigError, FormatError
from smlmbench.formats import TableOptions, find, open_movie, read_image, read_table, write_image, write_table
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog

CATALOG = Catalog()
TABLE = Localizations.of({"frame": [0], "x_nm": [1.0], "y_nm": [2.0]}, n_frames=1, field_nm=(10.0, 10.0))


@pytest.mark.parametrize("name", CATALOG.names("formats"))
def test_every_card_says_what_the_dispatcher_needs(name: str) -> None:
    facts = CATALOG.card("formats", name).facts
    assert facts["holds"] in ("table", "movie", "image")
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in facts["suffixes"])
    stated = facts["first_frame"] is None  # by the user, as nobody else says it
    assert stated or facts["first_frame"] in (0, 1)
    assert facts["origin"] in ("corner", "centre")
    module = CATALOG.module("formats", name)
    assert callable(module.recognises)
    assert facts["writes"] == any(hasattr(module, f"write_{what}") for what in ("table", "image", "movie"))
    if facts["holds"] == "table" and not stated:
        assert facts["first_frame"] == module.FIRST_FRAME


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.foo",
            "x,y\n",
            "of no known format: text with columns x, y; accepted: challenge_csv (.csv), decode_csv (.csv), decode_h5",
        ),
        ("a.csv", "", "is empty"),
        ("a.csv", "\0\1\2", "of no known format"),
    ],
)
def test_unknown_files_are_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(FormatError) as caught:
        read_table(tmp_path / name, catalog=CATALOG)
    assert message in str(caught.value)


def test_a_missing_file_names_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text("x")
    with pytest.raises(FormatError, match=r"trut.csv' does not exist; did you mean 'truth.csv'\?"):
        read_table(tmp_path / "trut.csv", catalog=CATALOG)
    with pytest.raises(FormatError, match="does not exist; check the path"):
        open_movie(tmp_path / "nowhere" / "a.tif", catalog=CATALOG)
    with pytest.raises(FormatError, match="is a folder"):
        open_movie(tmp_path, catalog=CATALOG)


def test_a_named_format_wins_over_suffix_and_content(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_text("frame,x [nm],y [nm],intensity [ADU]\n1,2,3,4\n")
    assert find(path, "table", catalog=CATALOG, format="table") == "table"
    with pytest.raises(FormatError, match="'thunder' is not a table format; did you mean 'thunderstorm_csv'"):
        read_table(path, catalog=CATALOG, format="thunder")
    with pytest.raises(FormatError, match="'tiff' is not a table format"):
        read_table(path, catalog=CATALOG, format="tiff")


def test_named_columns_need_a_format_that_takes_them(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("frame,x [nm],y [nm],x2\n1,2,3,4\n")
    options = TableOptions(columns={"x_nm": "x2"})
    assert read_table(path, catalog=CATALOG, options=options).x_nm.tolist() == [4]
    with pytest.raises(
        FormatError, match="with columns of your own; accepted: nstorm \\(.txt\\), picasso_hdf5 \\(.hdf5\\), table"
    ):
        read_table(path, catalog=CATALOG, format="thunderstorm_csv", options=options)


def test_writing_needs_one_format(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="may become smap_csv or smlmbench_csv or thunderstorm_csv; name the format"):
        write_table(TABLE, tmp_path / "a.csv", catalog=CATALOG)
    with pytest.raises(FormatError, match="that can be written; accepted: picasso_hdf5"):
        write_table(TABLE, tmp_path / "a.csv", catalog=CATALOG, format="challenge_csv")
    with pytest.raises(FormatError, match="existing folder"):
        write_table(TABLE, tmp_path / "no" / "a.csv", catalog=CATALOG, format="smlmbench_csv")


def test_an_image_is_written_by_suffix_and_read_back(tmp_path: Path) -> None:
    image = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    write_image(tmp_path / "a.tif", image, 12.5, catalog=CATALOG)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", catalog=CATALOG), image)
    with pytest.raises(ConfigError, match="unknown setting"):
        read_image(tmp_path / "a.tif", catalog=CATALOG, settings={"variable": "x"})


def test_formats_are_light_to_import() -> None:
    code = (
        "import sys; from smlmbench.registry import Catalog; import smlmbench.formats; c = Catalog();"
        " [c.module('formats', n) for n in c.names('formats')];"
        " heavy = ('torch', 'pandas', 'tifffile', 'openpyxl', 'matplotlib', 'mlflow', 'scipy', 'h5py');"
        " print([m for m in heavy if m in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root, env=dict(os.environ)
    )
    assert done.stdout.strip() == "[]"
