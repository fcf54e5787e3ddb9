import json
from collections import OrderedDict
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from smlmbench.errors import FormatError
from smlmbench.formats import TableOptions, open_movie, read_table
from smlmbench.formats.sidecar import Unclear, read_documents
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog

CATALOG = Catalog()
FACTS = {"Frames": 10, "Width": 64, "Height": 32, "Pixelsize": 100}


def written(folder: Path, sidecar: str | None = None, inside: object = None, **columns: float) -> Path:
    given = {"frame": 3, "x": 5.0, "y": 3.0, **columns}
    locs = np.zeros(1, dtype=[(name, "u4" if name == "frame" else "f4") for name in given])
    locs[0] = tuple(given.values())
    path = folder / "p.hdf5"
    with h5py.File(path, "w") as file:
        file["locs"] = locs
        if inside is not None:
            file["metadata"] = inside
    (folder / "p.yaml").unlink(missing_ok=True)
    if sidecar is not None:
        (folder / "p.yaml").write_text(sidecar)
    return path


def read(path: Path, **options: object) -> Localizations:
    return read_table(path, catalog=CATALOG, options=TableOptions(**options))  # type: ignore[arg-type]


def refused(path: Path, **options: object) -> str:
    with pytest.raises(FormatError) as caught:
        read(path, **options)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    return str(caught.value)


@pytest.mark.parametrize(
    ("given", "value"),
    [
        (np.float32(130.5), 130.5),
        (np.float64(-0.25), -0.25),
        (np.float16(2), 2),
        (np.int64(-7), -7),
        (np.uint8(200), 200),
        (np.bool_(True), True),
        (np.str_("ä b"), "ä b"),
        (np.array(130.0), 130),
        (np.array([[1, 2, 3], [4, 5, 6]], ">i2"), [[1, 2, 3], [4, 5, 6]]),
        (np.asfortranarray([[1.0, 2.0], [3.0, 4.0]]), [[1, 2], [3, 4]]),
        ((1, (2, "a")), (1, (2, "a"))),
        (OrderedDict(b=1, a=[2]), {"b": 1, "a": [2]}),
        ([np.float64(1.5), {"deep": np.int32(3)}], [1.5, {"deep": 3}]),
    ],
)
def test_what_python_wrote_into_yaml_is_read_without_it(tmp_path: Path, given: object, value: object) -> None:
    (tmp_path / "p.yaml").write_text(yaml.dump({"v": given, "after": 1}))
    assert "!!python" in (tmp_path / "p.yaml").read_text()
    assert read_documents(tmp_path / "p.hdf5") == [{"v": value, "after": 1}]


@pytest.mark.parametrize(
    "given", [np.longdouble(1), np.complex64(1), np.datetime64("2026"), np.array([None]), 1j, Path]
)
def test_what_is_no_plain_value_is_unclear(tmp_path: Path, given: object) -> None:
    (tmp_path / "p.yaml").write_text(yaml.dump({"v": given, "after": 1}))
    (document,) = read_documents(tmp_path / "p.hdf5")
    assert isinstance(document["v"], Unclear)
    assert document["after"] == 1


EVIL = [
    "!!python/object/apply:os.system ['touch RAN']",
    "!!python/object/new:os.system ['touch RAN']",
    "!!python/object/apply:builtins.eval [\"open('RAN', 'w')\"]",
    "!!python/object/apply:subprocess.Popen\n  args: [[touch, RAN]]",
    "!!python/object/apply:numpy.dtype\n  args: [!!python/object/apply:os.system ['touch RAN']]",
    "!!python/object/apply:numpy.core.multiarray.scalar [!!python/object/apply:os.system ['touch RAN'], a]",
    "!!python/module:this",
    "!!python/name:os.system",
    "!run {a: 1}",
]


@pytest.mark.parametrize("evil", EVIL)
def test_nothing_that_a_file_says_is_run_or_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], evil: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read(written(tmp_path, f"{yaml.safe_dump(FACTS)}Other: {evil}\n")).n_frames == 10
    assert read(written(tmp_path, f"{yaml.safe_dump(FACTS)}---\n{evil}\n")).n_frames == 10
    path = written(tmp_path, f"Pixelsize: {evil}\n")
    assert "'p.yaml' states Pixelsize !" in refused(path)
    assert read(path, pixel_size_nm=100.0).x_nm[0] == 550
    assert not (tmp_path / "RAN").exists()
    assert capfd.readouterr() == ("", "")


def test_a_lost_number_of_frames_is_told_not_guessed(tmp_path: Path) -> None:
    path = written(tmp_path, "Pixelsize: 100\nFrames: !!python/complex 10\n")
    assert "Frames is !!python/complex; write a whole number above 0" in refused(path)
    assert read(path, n_frames=20).n_frames == 20


@pytest.mark.parametrize(
    ("sidecar", "said"),
    [
        ("Pixelsize: 130\nPixelsize: 100\n", "states Pixelsize stated twice (130, 100); give pixel_size_nm"),
        ("Frames: 10\n", "states no Pixelsize; give pixel_size_nm"),
        ("Pixelsize: 0.1\n", "states Pixelsize 0.1; give pixel_size_nm"),
        ("Pixelsize: .inf\n", "states Pixelsize inf; give"),
        ("Pixelsize: yes\n", "states Pixelsize True; give"),
        ("Pixelsize: 130,0\n", "states Pixelsize '130,0'; give"),
        ("Pixelsize: 100\nFrames: .inf\n", "Frames is inf; write a whole number"),
        ("Pixelsize: 100\nFrames: 1e30\n", "Frames is '1e30'; write a whole number"),
        ("Pixelsize: 100\nWidth: 5000000000\n", "Width is 5000000000; write a whole number"),
        ("a: " + "[" * 3000, "'p.yaml' is not a readable sidecar (RecursionError"),
        ("Frames: 2026-13-45\nPixelsize: 100\n", "Frames is 2026-13-45; write a whole number above 0"),
        ("Frames: !!int ten\nPixelsize: 100\n", "Frames is ten; write a whole number above 0"),
        (f"Frames: {'9' * 5000}\nPixelsize: 100\n", "Frames is 999"),
    ],
)
def test_odd_sidecars_are_refused_in_one_line(tmp_path: Path, sidecar: str, said: str) -> None:
    assert said in refused(written(tmp_path, sidecar))


def test_the_same_fact_twice_and_a_later_step_are_no_doubt(tmp_path: Path) -> None:
    assert read(written(tmp_path, "Pixelsize: 100\nPixelsize: 100.0\n")).x_nm[0] == 550
    assert read(written(tmp_path, "Pixelsize: 130\n---\nPixelsize: 100\n---\nPixelsize:\n")).x_nm[0] == 550


def test_small_files_that_unfold_without_end_are_read_in_no_time(tmp_path: Path) -> None:
    lists = "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
    maps = "".join(f"b{n}: &b{n} {{<<: [*b{n - 1}, *b{n - 1}]}}\n" for n in range(1, 60))
    keys = "".join(f"c{n}: &c{n} !!python/tuple [*c{n - 1}, *c{n - 1}]\n" for n in range(1, 60))
    bombs = f"a0: &a0 [x]\n{lists}b0: &b0 {{x: 1}}\n{maps}c0: &c0 !!python/tuple [x]\n{keys}? *c59\n: 1\n"
    assert read(written(tmp_path, bombs + yaml.safe_dump(FACTS))).n_frames == 10
    assert "states Pixelsize [" in refused(written(tmp_path, f"{bombs}Pixelsize: *a59\n"))
    assert "states Pixelsize stated twice" in refused(written(tmp_path, f"{bombs}Pixelsize: *a59\nPixelsize: *c59\n"))


TEXT = json.dumps(
    [{"Frames": 10, "Width": 64, "Height": 32}, {"Pixelsize": 100, "Generated by": "Picasso v0.11.3 Fit"}]
)


@pytest.mark.parametrize(
    "inside",
    [TEXT, TEXT.encode(), np.bytes_(TEXT.encode()), np.array([TEXT.encode()]), json.dumps({**FACTS}), yaml.dump(FACTS)],
)
def test_metadata_inside_the_file(tmp_path: Path, inside: object) -> None:
    locs = read(written(tmp_path, None, inside))
    assert (locs.n_frames, locs.field_nm, locs.x_nm[0]) == (10, (6400, 3200), 550)
    path = written(tmp_path, "{}")
    for where in ("/", "locs"):
        with h5py.File(path, "a") as file:
            file[where].attrs["metadata"] = inside
        assert read(path).n_frames == 10
        with h5py.File(path, "a") as file:
            del file[where].attrs["metadata"]


@pytest.mark.parametrize(
    "inside", ["no JSON", "3", "a: [", "[1, 2]", "[" * 9000, np.zeros((3, 3)), np.array([b"\xff\xfe"])]
)
def test_other_metadata_says_nothing(tmp_path: Path, inside: object) -> None:
    assert "sidecar 'p.yaml' is absent; put it beside the table, or give pixel_size_nm" in refused(
        written(tmp_path, None, inside)
    )
    assert read(written(tmp_path, yaml.safe_dump(FACTS), inside)).n_frames == 10


def test_a_text_that_claims_to_be_longer_than_the_file_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, None, TEXT)
    with h5py.File(path) as file:
        at = file["metadata"].id.get_offset()
    content = bytearray(path.read_bytes())
    content[at : at + 4] = b"\xff\xff\xff\xf0"
    path.write_bytes(content)
    assert "claims 4,043,309,055 bytes in '/metadata' but holds" in refused(path)


def test_sidecar_and_file_are_held_against_each_other(tmp_path: Path) -> None:
    path = written(tmp_path, yaml.safe_dump({**FACTS, "Pixelsize": 130, "Frames": 20}), TEXT)
    assert "its sidecar states Pixelsize 130, the metadata inside it 100; mend or remove the sidecar" in refused(path)
    assert "its sidecar states Frames 20, the metadata inside it 10; mend" in refused(path, pixel_size_nm=130.0)
    assert read(path, pixel_size_nm=130.0, n_frames=20).x_nm[0] == 715
    assert read(written(tmp_path, "Pixelsize: !!python/complex 1\n", TEXT)).x_nm[0] == 550
    assert read(written(tmp_path, "Camera: a\n", TEXT)).field_nm == (6400, 3200)
    assert "its metadata states Pixelsize stated twice (1, 100)" in refused(
        written(tmp_path, None, '{"Pixelsize": 1, "Pixelsize": 100}')
    )


def test_z_is_nm_where_all_fits_beside_and_inside_are_recent(tmp_path: Path) -> None:
    assert read(written(tmp_path, None, TEXT, z=2.0)).z_nm[0] == 2
    for old in ("Picasso v0.5.1 Localize", "Picasso Localize", "!!python/complex 1"):
        assert "say columns: {z_nm: z}" in refused(written(tmp_path, f"Generated by: {old}\n", TEXT, z=2.0))


def test_a_sidecar_of_a_raw_movie_may_have_tags_too(tmp_path: Path) -> None:
    np.arange(24, dtype="<u2").tofile(tmp_path / "m.raw")
    facts = {"Byte Order": "<", "Data Type": "uint16", "Frames": np.int64(2), "Height": np.int32(3), "Width": 4}
    (tmp_path / "m.yaml").write_text(yaml.dump({**facts, "Shift": (1, np.float64(2))}))
    movie = open_movie(tmp_path / "m.raw", catalog=CATALOG)
    assert (movie.n_frames, movie.height, movie.width) == (2, 3, 4)
    movie.close()
    (tmp_path / "m.yaml").write_text(yaml.dump({**facts, "Frames": 1j}))
    with pytest.raises(FormatError, match="Frames is !!python/complex; write a whole number"):
        open_movie(tmp_path / "m.raw", catalog=CATALOG)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_sidecar_typed_by_hand_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    path = written(tmp_path, "")
    (tmp_path / "p.yaml").write_bytes(f"File: Größe\n{yaml.safe_dump(FACTS)}".encode(encoding))
    assert read(path).n_frames == 10
