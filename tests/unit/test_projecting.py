import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile

from smlmbench.cli import app
from smlmbench.formats import open_movie
from smlmbench.registry import Catalog
from smlmbench.run.tables import projecting
from smlmbench.run.tables.projecting import project

CATALOG = Catalog()
FRAMES = np.random.default_rng(4).integers(50_000, 65_535, (31, 12, 20), dtype=np.uint16)


class Watched:
    """A movie that remembers how much was asked for at once."""

    n_frames, height, width, dtype = *FRAMES.shape, FRAMES.dtype

    def __init__(self, frames: np.ndarray = FRAMES) -> None:
        self.path, self.frames, self.most = Path("a.tif"), frames, 0

    def read(self, start: int, stop: int) -> np.ndarray:
        self.most = max(self.most, stop - start)
        return self.frames[start:stop]

    def close(self) -> None: ...


@pytest.mark.parametrize("how", ["sum", "mean", "max", "std"])
@pytest.mark.parametrize("block", [1, 7, 1000])
def test_a_projection_is_that_of_the_whole_movie(how: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projecting, "BLOCK_BYTES", block * 12 * 20 * 8)
    movie, seen = Watched(), []
    image = project(movie, how, seen.append)  # type: ignore[arg-type]
    np.testing.assert_allclose(image, getattr(FRAMES.astype(float), how)(axis=0), rtol=1e-12)
    assert movie.most == min(block, 31)
    assert seen[-1] == 31


def test_the_deviation_of_a_constant_movie_is_zero() -> None:
    assert project(Watched(np.full_like(FRAMES, 60_001)), "std").max() == 0  # type: ignore[arg-type]


def test_memory_does_not_grow_with_the_movie(tmp_path: Path) -> None:
    n_frames, side = 2100, 512
    with (tmp_path / "a.raw").open("wb") as file:  # a hole in the file stands for all frames but the last
        file.seek((n_frames - 1) * side * side * 2)
        file.write(np.full(side * side, 7, "<u2").tobytes())
    shape = f"Frames: {n_frames}\nHeight: {side}\nWidth: {side}\n"
    (tmp_path / "a.yaml").write_text(f"Byte Order: <\nData Type: uint16\n{shape}")
    movie = open_movie(tmp_path / "a.raw", catalog=CATALOG)
    tracemalloc.start()
    image = project(movie, "sum")
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    movie.close()
    assert (tmp_path / "a.raw").stat().st_size > 1e9
    assert image.sum() == 7 * 512 * 512
    assert peak_bytes < 60e6


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        app(["figure", *map(str, words)])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_the_command_writes_numbers_and_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("a.tif", FRAMES)
    code, out, _ = run(capsys, "a.tif", "--sum", "--out", "s.tif", "--pixel-size-nm", "160", "--json")
    assert code == 0
    assert json.loads(out)["frames"] == 31
    with tifffile.TiffFile("s.tif") as file:
        np.testing.assert_array_equal(file.asarray(), FRAMES.sum(axis=0, dtype=np.float64).astype(np.float32))
        assert file.imagej_metadata["unit"] == "nm"
    assert run(capsys, "a.tif", "--projection", "max", "-o", "m.tif")[0] == 0
    np.testing.assert_array_equal(tifffile.imread("m.tif"), FRAMES.max(axis=0))
    assert run(capsys, "a.tif", "--sum")[0] == 0
    assert Path("a_sum.png").read_bytes().startswith(b"\x89PNG")
    assert run(capsys, "a.tif", "--projection", "std", "-o", "d.svg", "--pixel-size-nm", 100)[0] == 0
    assert "<svg" in Path("d.svg").read_text(encoding="utf-8")
    assert run(capsys, "a.tif", "--sum", "-o", "d.pdf")[0] == 0
    assert Path("d.pdf").read_bytes().startswith(b"%PDF")


def test_a_picture_of_another_movie_of_that_name_is_not_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for day, frames in (("dayA", FRAMES), ("dayB", FRAMES[:5])):
        Path(day).mkdir()
        tifffile.imwrite(f"{day}/a.tif", frames)
    assert run(capsys, "dayA/a.tif", "--sum")[0] == 0
    before = Path("a_sum.png").read_bytes()
    code, _, err = run(capsys, "dayB/a.tif", "--sum")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "'a_sum.png' exists already; give another file with --out, or --overwrite" in err
    assert Path("a_sum.png").read_bytes() == before
    assert run(capsys, "dayB/a.tif", "--sum", "--overwrite")[0] == 0
    assert Path("a_sum.png").read_bytes() != before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say what to draw with --sum"),
        (["--frame", "3"], "--frame and --condition belong to a run"),
        (["--sum", "--projection", "max"], "--sum and --projection max are two pictures; give one"),
        (["--sum", "-o", "a.tif"], "'a.tif' is of the movie itself; give another file with --out"),
        (["--sum", "-o", "."], "'.' does not end like a picture"),
        (["--sum", "-o", "a.gif"], "accepted: .png, .svg, .pdf"),
        (["--sum", "-o", "no/a.tif"], "give a path in an existing folder"),
        (["--sum", "-o", "no/a.png"], "give a path in an existing folder"),
    ],
)
def test_the_command_refuses_in_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("a.tif", FRAMES)
    code, out, err = run(capsys, "a.tif", *words)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert message in err
    np.testing.assert_array_equal(tifffile.imread("a.tif"), FRAMES)
    assert "does not exist" in run(capsys, "b.tif", "--sum")[2]
