"""Fourier ring correlation by splits: still, drifting and staying molecules are told apart; sums are exact."""

from dataclasses import replace

import numpy as np
import pytest

from smlmbench.metrics import frc
from smlmbench.metrics.evidence import gather
from smlmbench.metrics.splits import splits
from smlmbench.predictions import Localizations

FIELD = 5000.0


def table(drift_nm=0.0, on=1, molecules=40_000, n_frames=1000, seed=0):
    """Molecules on lines, 15 nm of error, on for `on` frames each; the sample moves along x."""
    rng = np.random.default_rng(seed)
    angle, middle = rng.uniform(0, np.pi, 40), rng.uniform(0, FIELD, (40, 2))
    line, along = rng.integers(0, 40, molecules), rng.uniform(-FIELD, FIELD, molecules)
    x, y = (middle[line, axis] + along * turn(angle[line]) for axis, turn in ((0, np.cos), (1, np.sin)))
    frame = (rng.integers(0, n_frames, molecules)[:, None] + np.arange(on)).ravel()
    x, y = np.repeat(x, on) + drift_nm * frame / n_frames, np.repeat(y, on)
    x, y = (at + rng.normal(0, 15, len(at)) for at in (x, y))
    kept = (frame < n_frames) & (x > 50) & (x < FIELD - 50) & (y > 50) & (y < FIELD - 50)
    columns = {"frame": frame[kept], "x_nm": x[kept], "y_nm": y[kept]}
    return Localizations.of(columns, n_frames=n_frames, field_nm=(FIELD, FIELD))


@pytest.fixture(scope="module")
def still():
    return splits(table())


def test_where_nothing_moves_all_splits_agree(still):
    low, high = still.others_nm.min(), still.others_nm.max()
    assert len(still.others_nm) == 126  # ways to halve ten sections
    assert low <= still.halves_nm <= high
    assert low <= still.blocks_nm <= high
    assert 0.95 * low < still.interleaved_nm < 1.05 * high
    assert still.section_frames == 100


def test_halves_are_the_worst_split_of_a_drifting_sample_and_sections_part_with_time(still):
    moved = splits(table(drift_nm=80))
    assert moved.halves_nm == moved.others_nm.max()
    assert moved.halves_nm > 1.2 * moved.blocks_nm
    apart = [float(np.median(one)) for one in moved.apart_nm]
    assert apart[-1] > 1.5 * apart[0]
    quiet = [float(np.median(one)) for one in still.apart_nm]
    assert quiet[-1] < 1.2 * quiet[0]


def test_odd_and_even_frames_flatter_molecules_that_stay_on(still):
    stayed = splits(table(on=5, molecules=10_000))
    assert stayed.interleaved_nm < 0.95 * stayed.others_nm.min()
    assert still.interleaved_nm > 0.95 * still.others_nm.min()


def test_numbers_are_those_of_the_metric_on_the_same_grid(monkeypatch):
    monkeypatch.setattr("smlmbench.metrics.splits.PIXEL_NM", frc.PIXEL_NM)
    one = table()
    own, metric = splits(one), frc.measure(gather(one, None))
    assert own.blocks_nm == pytest.approx(metric["frc_blocks_nm"], rel=1e-3)
    assert own.halves_nm == pytest.approx(metric["frc_halves_nm"], rel=1e-3)
    assert own.interleaved_nm == pytest.approx(metric["frc_interleaved_nm"], rel=1e-3)


def test_few_rows_have_a_reason_and_few_in_a_section_no_curve():
    whole = table()
    rows = np.arange(len(whole))
    few = splits(whole.select(rows < 150))
    assert few == "150 positions in 1000 frames; needs 200, in each of 6 sections of the movie 20"
    some = splits(whole.select(rows < 700))
    assert some.apart_nm == ()
    assert len(some.others_nm)


def test_of_a_large_field_the_densest_square_is_looked_at():
    one = table()
    far = replace(one, x_nm=one.x_nm + 70_000, y_nm=one.y_nm + 30_000, field_nm=(90_000.0, 60_000.0))
    found = splits(far)
    assert found.limit_nm == 20
    assert found.blocks_nm == pytest.approx(splits(one).blocks_nm, rel=0.2)  # pixels of 10 instead of 2.5 nm
