"""Drift is found where it is known, is said to be unknown where nothing comes back; its tables are read and written."""

import numpy as np
import pytest

from smlmbench.calibrate.drift import find_drift
from smlmbench.errors import FormatError, SizeError, UnitError
from smlmbench.formats.drift import Drift, read_drift, undrifted, write_drift
from smlmbench.predictions import Localizations

FRAMES, FIELD_NM = 1000, 8000.0
WAYS = {
    "none": lambda u: np.zeros((len(u), 2)),
    "straight": lambda u: np.column_stack([200 * u, -120 * u]),
    "bent": lambda u: np.column_stack([150 * np.sin(2 * np.pi * u), 900 * u**2]),
}


def table(way, molecules=150, rows=3000, seed=3):
    """Sightings of molecules that stand still on a sample that moves, each 12 nm off."""
    generator = np.random.default_rng(seed)
    places = generator.uniform(0, FIELD_NM, (molecules, 2))
    frame = np.sort(generator.integers(0, FRAMES, rows))
    moved = places[generator.integers(0, molecules, rows)] + way(frame / FRAMES)
    seen = moved + generator.normal(0, 12, (rows, 2))
    columns = {"frame": frame, "x_nm": seen[:, 0], "y_nm": seen[:, 1]}
    return Localizations.of(columns, n_frames=FRAMES, field_nm=(FIELD_NM, FIELD_NM))


@pytest.mark.parametrize("name", WAYS)
def test_a_known_way_is_found_within_its_error(name):
    found = find_drift(table(WAYS[name]))
    true = WAYS[name](found.frame / FRAMES)
    away = np.column_stack([found.x_nm, found.y_nm]) - true
    away -= away.mean(0)
    assert len(found.frame) == FRAMES
    assert found.x_nm[0] == found.y_nm[0] == 0
    assert np.abs(away).max() < 10
    assert np.sqrt((away**2).mean()) < 2.5 * found.error_nm.high
    assert 0.2 < found.error_nm.value < 5


def test_positions_taken_back_by_it_are_as_narrow_as_without_drift():
    moved, still = table(WAYS["bent"]), table(WAYS["none"])
    back = undrifted(moved, find_drift(moved))
    away = back.x_nm - still.x_nm
    assert np.std(away) < 3 < np.std(moved.x_nm - still.x_nm)


def test_what_never_comes_back_has_no_drift():
    alone = table(WAYS["straight"], molecules=400_000)
    found = find_drift(alone)
    assert not len(found.frame)
    assert "no place is clearly seen again" in found.error_nm.why


def test_too_few_positions_are_said_in_numbers():
    found = find_drift(table(WAYS["straight"], rows=120))
    assert found.error_nm.why == "120 localizations are too few; 500 are needed at least"


def test_frames_after_frames_of_one_flash_are_not_seen_as_a_sample_at_rest():
    """Each molecule shines once, for two frames: all that is seen again is the flash itself."""
    once = table(WAYS["straight"], molecules=400_000, rows=1500)
    twice = {name: np.concatenate([column, column]) for name, column in once.columns().items() if name[1:] == "_nm"}
    twice["frame"] = np.concatenate([once.frame, np.minimum(once.frame + 1, FRAMES - 1)])
    both = Localizations.of(twice, n_frames=FRAMES, field_nm=(FIELD_NM, FIELD_NM))
    assert not len(find_drift(both).frame)


def test_a_written_table_is_read_again(tmp_path):
    drift = Drift(np.array([0, 10, 99]), np.array([0.0, 1.25, -30.0]), np.array([0.0, 2.0, 4.5]))
    write_drift(drift, tmp_path / "drift.csv")
    read = read_drift(tmp_path / "drift.csv")
    for name in ("frame", "x_nm", "y_nm"):
        np.testing.assert_array_equal(getattr(read, name), getattr(drift, name))


def test_two_columns_of_picasso_are_camera_pixels(tmp_path):
    path = tmp_path / "movie_drift.txt"
    path.write_text("0.0 0.0\r\n1.0e-01 -2.0e-01\r\n")
    read = read_drift(path, 160.0)
    np.testing.assert_allclose(read.x_nm, [0, 16])
    np.testing.assert_allclose(read.y_nm, [0, -32])
    with pytest.raises(UnitError, match="is in camera pixels, as Picasso writes it; state pixel_size_nm"):
        read_drift(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 2 3\n4 5 6\n", "has 3 columns of numbers and no header"),
        ("frame,x_nm,y_nm\n1,0,0\n0,1,1\n", "its frames do not rise from 0 on"),
        ("frame,x_nm,y_nm\n0.5,0,0\n", "its frames are no whole numbers"),
        ("frame,x_nm,y_nm\n", "has no rows"),
        ("hello\n", "is not a readable drift table"),
        ("frame,x_nm,y_nm\n0,0,0\n1,x,0\n", "is not a number"),
    ],
)
def test_what_is_no_drift_is_refused_in_a_line(tmp_path, text, said):
    path = tmp_path / "drift.csv"
    path.write_text(text)
    with pytest.raises(FormatError, match=said) as error:
        read_drift(path, 100.0)
    assert "\n" not in str(error.value)


def test_frames_that_the_drift_does_not_hold_are_refused():
    short = Drift(np.array([0, 99]), np.zeros(2), np.zeros(2))
    with pytest.raises(SizeError, match=r"drift is known of frames 0 to 99 .*, positions are of 0 to 999"):
        undrifted(table(WAYS["none"]), short)
