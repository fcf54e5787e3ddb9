"""Two tables of any program: wild rows, first frames, origins, columns, and numbers that are not defined."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smlmbench.errors import FormatError, LossWarning, SizeError
from smlmbench.registry import Catalog
from smlmbench.run.tables.comparing import compare
from smlmbench.tasks.contracts import Scores

CATALOG = Catalog()
HEAD = '"frame","x [nm]","y [nm]","intensity [photon]"\n'
TRUTH = "1,550,350,1000\n2,1650,1350,1200\n"


def files(folder: Path, found: str, truth: str = TRUTH) -> tuple[Path, Path]:
    for name, rows in (("found.csv", found), ("truth.csv", truth)):
        (folder / name).write_text(HEAD + rows)
    return folder / "found.csv", folder / "truth.csv"


def scores(paths: tuple[Path, Path], **options: Any) -> Scores:
    return compare(*paths, options, CATALOG)[0]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("1,1e15,350,900", r"1 of 3 rows lie far outside the truth's 1651 x 1351 nm \(row 3: x 1e\+15, y 350 nm\)"),
        ("1,1e300,-1e300,900", r"row 3: x 1e\+300, y -1e\+300 nm"),
        ("1,-99999,350,900", r"row 3: x -99999, y 350 nm"),
        ("1700000000,550,350,900", r"1 of 3 rows are after the last frame .* frame 1699999999 of 2, counted from 0"),
    ],
)
def test_a_wild_row_is_told_and_is_a_false_detection(tmp_path: Path, row: str, said: str) -> None:
    with pytest.warns(LossWarning, match=said):
        found = scores(files(tmp_path, f"{TRUTH}{row}\n"))
    assert found.values["jaccard"] == pytest.approx(2 / 3)
    assert found.values["precision"] == pytest.approx(2 / 3)
    assert found.values["recall"] == 1.0


def test_a_few_frames_more_than_the_truth_are_frames(tmp_path: Path) -> None:
    found = scores(files(tmp_path, f"{TRUTH}900,550,350,900\n"))
    assert found.values["jaccard"] == pytest.approx(2 / 3)
    assert len(found.per_unit["fp"]) == 900
    assert found.per_unit["fp"][-1] == 1


@pytest.mark.parametrize("bad", ["1,nan,350,1", "1,inf,350,1", "nan,550,350,1", "1e300,550,350,1", "1.5,550,350,1"])
def test_what_is_no_number_or_no_frame_is_refused_by_its_line(tmp_path: Path, bad: str) -> None:
    with pytest.raises(FormatError, match=r"table 'found.csv', line 4: .* the row"):
        scores(files(tmp_path, f"{TRUTH}{bad}\n"))


@pytest.mark.parametrize("bad", ["1700000000,550,350,1", "1,1e12,350,1"])
def test_a_truth_of_no_movie_is_refused(tmp_path: Path, bad: str) -> None:
    with pytest.raises(SizeError):
        scores(files(tmp_path, TRUTH, f"{TRUTH}{bad}\n"))


def test_first_frame_origin_and_columns_are_stated_for_each_table(tmp_path: Path) -> None:
    zero = "0,550,350,1000\n1,1650,1350,1200\n"
    with pytest.raises(FormatError, match="state first_frame: 0"):
        scores(files(tmp_path, zero))
    assert scores(files(tmp_path, zero), found_as={"first_frame": 0}).values["rmse_nm"] == 0
    assert scores(files(tmp_path, TRUTH, zero), truth_as={"first_frame": 0}).values["rmse_nm"] == 0
    half = "1,500,300,1000\n2,1600,1300,1200\n"
    centre = {"found_as": {"origin": "centre"}, "pixel_size_nm": 100.0}
    assert scores(files(tmp_path, half)).values["rmse_nm"] == pytest.approx(50 * math.sqrt(2))
    assert scores(files(tmp_path, half), **centre).values["rmse_nm"] == pytest.approx(0, abs=1e-9)
    swapped = "1,350,550,1000\n2,1350,1650,1200\n"
    columns = {"x_nm": "y [nm]", "y_nm": "x [nm]"}
    assert scores(files(tmp_path, swapped), found_as={"columns": columns}).values["rmse_nm"] == 0


def test_tables_that_are_a_frame_apart_are_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows = [(frame, *rng.uniform(500, 3500, 2)) for frame in rng.integers(2, 40, 80)]
    truth, late = ("".join(f"{frame + by},{x:.1f},{y:.1f},1000\n" for frame, x, y in rows) for by in (0, 1))
    with pytest.warns(LossWarning, match="1 frame later; state the first frame, origin or columns"):
        scores(files(tmp_path, late, truth))


def test_where_no_true_emitter_counts_the_challenge_has_no_number(tmp_path: Path) -> None:
    alike = "".join(f"{frame},{1000 + frame},2000,1000\n" for frame in range(1, 5))
    found = scores(files(tmp_path, f"{alike}5,5000,5000,1000\n", alike), field_nm=(6400.0, 6400.0))
    assert found.values["challenge_jaccard"] == pytest.approx(0.8)
    for name in ("challenge_jaccard_t25", "challenge_efficiency_t25", "challenge_rmse_nm_t25"):
        assert found.reasons[name] == "no true emitter is above the threshold T = 1000 photons"
    ring = "1,100,100,1000\n"
    found = scores(files(tmp_path, ring, ring), field_nm=(6400.0, 6400.0))
    assert found.reasons["challenge_jaccard"] == "no true emitter is inside the border"


def test_bare_tables_have_no_field_for_the_challenge(tmp_path: Path) -> None:
    found = scores(files(tmp_path, TRUTH))
    assert "needs the field" in found.reasons["challenge_efficiency"]
    assert "needs the field" in found.reasons["challenge_efficiency_t25"]


def test_tables_are_scored_in_depth_where_both_have_it(tmp_path: Path) -> None:
    rows = {
        "truth": ["1,1550,1350,-200,900", "2,1650,1350,300,900"],
        "found": ["1,1550,1350,-140,900", "2,1650,1350,360,9"],
    }
    for name, lines in rows.items():
        head = HEAD.replace('"intensity', '"z [nm]","intensity')
        (tmp_path / f"{name}.csv").write_text(head + "\n".join(lines) + "\n")
    paths = tmp_path / "found.csv", tmp_path / "truth.csv"
    both = scores(paths)
    assert both.values["rmse_axial_nm"] == pytest.approx(60)
    assert both.values["efficiency"] == pytest.approx((100 + 70) / 2)
    flat = "\n".join(",".join([*line.split(",")[:3], "900"]) for line in rows["found"])
    paths[0].write_text(HEAD + flat + "\n")
    one = scores(paths)
    assert one.values["efficiency"] == 100
    assert one.reasons["rmse_axial_nm"] == "the found table has no z: scored in 2-D"


def test_numbers_that_need_the_field_ask_for_it(tmp_path: Path) -> None:
    truth = "1,1550,1350,1000\n2,1650,1350,1200\n3,1650,1350,1200\n"
    paths = files(tmp_path, "1,1550,1350,1000\n2,1650,1350,1200\n", truth)
    bare, told = scores(paths), scores(paths, field_nm=(3200.0, 3200.0))
    asked = [name for name, reason in bare.reasons.items() if reason.endswith("give --field-nm")]
    assert sorted(asked) == sorted(["rmsmd_nm", *(name for name in bare.reasons if name.startswith("challenge_"))])
    assert len(asked) == 7
    assert told.values["challenge_jaccard"] == pytest.approx(2 / 3)
    assert told.values["rmsmd_nm"] == pytest.approx(3200 * math.sqrt(2 / 5))
