"""Two movies of one name: what stands in a folder of results is replaced only by the same again, or where asked."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from smlmbench import movies
from smlmbench.camera import Camera
from smlmbench.cli import app
from smlmbench.errors import FormatError
from smlmbench.movies import ArrayMovie, pixel_digest
from smlmbench.registry import Catalog
from smlmbench.run.using import fitting
from smlmbench.run.using.fitting import FitRequest, fit_movie
from smlmbench.run.using.replacing import Record

CATALOG = Catalog()
NAME = "a_MMStack_Pos0.ome.tif"
TABLE, RECORD = "a_MMStack_Pos0.ome_locs.csv", "a_MMStack_Pos0.ome_predict.json"


def frames(seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).poisson(20, (6, 16, 16)).astype(np.uint16)
    drawn[:, 6:9, seed + 4 : seed + 7] += np.array([[40, 90, 40], [90, 200, 90], [40, 90, 40]], np.uint16)
    return drawn


@pytest.fixture
def days(tmp_path: Path) -> Path:
    for seed, day in enumerate(("dayA", "dayB")):
        (tmp_path / day).mkdir()
        tifffile.imwrite(tmp_path / day / NAME, frames(seed), photometric="minisblack")
    return tmp_path


def fit(days: Path, day: str, **changes: object) -> Path:
    asked = FitRequest("peaks_gaussian", days / day / NAME, days / "out", 100.0, Camera(kind="ideal"))
    written = fit_movie(replace(asked, **changes), CATALOG, lambda *_: None).table  # type: ignore[arg-type]
    assert written is not None
    return written


def content(days: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (days / "out").iterdir()}


def test_another_day_is_refused_in_one_line_and_nothing_changes(days: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["predict", "peaks_gaussian", "--pixel-size-nm", "100", "-o", days / "out"]

    def run(day: str, *more: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            app([*map(str, (*words, days / day / NAME, *more))])
        return int(ended.value.code or 0), capsys.readouterr().err

    assert run("dayA")[0] == 0
    before = content(days)
    code, said = run("dayB")
    assert (code, len(said.splitlines())) == (2, 1)
    assert f"{TABLE}' exists already, of another movie: '{days / 'dayA' / NAME}'" in said
    assert "give another folder with --output, or --overwrite" in said
    assert content(days) == before
    assert run("dayB", "--overwrite")[0] == 0
    assert content(days)[TABLE] != before[TABLE]
    assert json.loads(content(days)[RECORD])["movie"]["folder"] == str(days / "dayB")


def test_the_record_says_what_the_results_are_of_and_stays(days: Path) -> None:
    fit(days, "dayA", settings={"sigma_nm": 140.0})
    assert sorted(content(days)) == [TABLE, RECORD]
    said = json.loads((days / "out" / RECORD).read_text(encoding="utf-8"))
    assert (said["movie"]["name"], said["model"]["name"], said["version"]) == (NAME, "peaks_gaussian", "0.1.0")
    assert (said["settings"]["sigma_nm"], said["settings"]["camera"]["kind"]) == (140, "ideal")
    assert (said["files"], said["finished"]) == ([TABLE], True)


def test_the_same_movie_is_known_by_its_content_and_done_anew(days: Path) -> None:
    first = fit(days, "dayA").read_bytes()
    shutil.copytree(days / "dayA", days / "moved")
    (days / "out" / TABLE).write_text("damaged")
    assert fit(days, "moved").read_bytes() == first


@pytest.mark.parametrize("frame", range(6))
def test_one_pixel_makes_another_movie(days: Path, frame: int) -> None:
    fit(days, "dayA")
    changed = frames(0)
    changed[frame, 3, 5] += 1
    tifffile.imwrite(days / "dayB" / NAME, changed, photometric="minisblack")
    assert (days / "dayB" / NAME).stat().st_size == (days / "dayA" / NAME).stat().st_size
    with pytest.raises(FormatError, match="of another movie"):
        fit(days, "dayB")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"settings": {"threshold": 7}}, "of this movie with threshold 5 (now 7); give"),
        ({"settings": {"free_sigma": False, "window_px": 9}}, "free_sigma True (now False), window_px none (now 9)"),
        ({"camera": Camera(kind="scmos", read_noise_e=2)}, "camera.kind ideal (now scmos), camera.read_noise_e 0 (n"),
        ({"pixel_size_nm": 160.0, "table_format": "smap_csv"}, "pixel_size_nm 100 (now 160)"),
        ({"camera": None}, "camera.kind ideal (now none), camera.baseline_adu 0 (now none), "),
    ],
    ids=str,
)
def test_other_settings_are_refused_and_named(days: Path, changes: dict[str, object], said: str) -> None:
    fit(days, "dayA")
    before = content(days)
    with pytest.raises(FormatError) as refused:
        fit(days, "dayA", **changes)
    assert said in str(refused.value)
    assert content(days) == before
    fit(days, "dayA", **changes, overwrite=True)
    assert content(days)[RECORD] != before[RECORD]


def test_another_format_of_the_same_results_stands_beside_them(days: Path) -> None:
    fit(days, "dayA")
    fit(days, "dayA", table_format="picasso_hdf5")
    stem = TABLE.removesuffix(".csv")
    assert sorted(content(days)) == [TABLE, f"{stem}.hdf5", f"{stem}.yaml", RECORD]
    assert json.loads(content(days)[RECORD])["files"] == [TABLE, f"{stem}.hdf5", f"{stem}.yaml"]
    with pytest.raises(FormatError, match="of another movie"):
        fit(days, "dayB", table_format="smlmbench_csv")


@pytest.mark.parametrize("name", [TABLE, "a_MMStack_Pos0.ome_locs.yaml"])
def test_a_file_without_a_record_is_somebody_elses(days: Path, name: str) -> None:
    (days / "out").mkdir()
    (days / "out" / name).write_text("theirs")
    table_format = "picasso_hdf5" if name.endswith("yaml") else "thunderstorm_csv"
    with pytest.raises(FormatError, match=rf"{name}' exists already; give another folder with --output, or --overwr"):
        fit(days, "dayA", table_format=table_format)
    assert content(days) == {name: b"theirs"}
    fit(days, "dayA", table_format=table_format, overwrite=True)
    assert content(days)[name] != b"theirs"


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", "\xff", '{"movie": {}, "model": {}, "settings": {}, "files": ["../x"]}', '{"files": 3}']
)
def test_a_record_that_is_none_of_ours_is_not_replaced(days: Path, text: str) -> None:
    (days / "out").mkdir()
    (days / "out" / RECORD).write_text(text, encoding="latin-1")
    with pytest.raises(FormatError, match=f"{RECORD}' exists already; give another folder"):
        fit(days, "dayA")
    fit(days, "dayA", overwrite=True)


def test_results_that_were_removed_hold_no_place(days: Path) -> None:
    fit(days, "dayA").unlink()
    assert fit(days, "dayB").is_file()


def test_what_fails_claims_no_place_and_gives_an_earlier_one_back(days: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class StoppedError(Exception):
        pass

    def stop(*_: object) -> None:
        raise StoppedError

    def broken(**changes: object) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(fitting, "_fitted", stop)
            with pytest.raises(StoppedError):
                fit(days, "dayB", camera=None, **changes)

    broken()
    assert content(days) == {}
    fit(days, "dayA")
    before = content(days)
    broken(overwrite=True)
    assert content(days) == before


def test_of_two_that_begin_at_once_the_second_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (Record(ArrayMovie(frames(seed)), tmp_path, {"name": "m"}, {}) for seed in (0, 1))
    one.begin([tmp_path / "t.csv"], overwrite=False)
    with pytest.raises(FormatError, match="of another movie"):  # which has written nothing but its record
        two.begin([tmp_path / "t.csv"], overwrite=False)
    for looked in ("is_file", "exists"):  # before the other wrote
        monkeypatch.setattr(Path, looked, lambda _: False)
    with pytest.raises(FormatError, match="_predict.json' exists already; give another folder with --output"):
        two.begin([tmp_path / "t.csv"], overwrite=False)
    assert json.loads(one.path.read_text())["movie"]["digest"] == one.identity["movie"]


@pytest.mark.parametrize("budget", [2**28, 4 * 512, 1])
def test_the_digest_sees_every_acquisition_within_its_budget(budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(movies, "DIGESTED_BYTES", budget)
    monkeypatch.setattr(movies, "BLOCK_BYTES", 1024)
    read: list[int] = []

    class Watched(ArrayMovie):
        def read(self, start: int, stop: int) -> np.ndarray:
            read.extend(range(start, stop))
            return super().read(start, stop)

    drawn = frames(0)
    digest = pixel_digest(Watched(drawn))
    assert read == {2**28: [0, 1, 2, 3, 4, 5], 4 * 512: [0, 1, 3, 5], 1: [0, 5]}[budget]
    assert digest == pixel_digest(ArrayMovie(drawn.copy()))
    others = (frames(1), drawn[:-1], drawn.reshape(6, 8, 32), drawn.astype(np.int16), drawn[::-1])
    assert len({digest, *(pixel_digest(ArrayMovie(np.asarray(other))) for other in others)}) == 6
    for frame in set(read):
        changed = drawn.copy()
        changed[frame, 15, 15] += 1
        assert pixel_digest(ArrayMovie(changed)) != digest
