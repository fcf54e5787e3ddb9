"""What a learned mask gains over fixed ones, told from a board's frame, and bounds of masks over depth."""

import math

import pandas as pd
import pytest

from smlmbench.tasks.contracts.sections import Along, Told
from smlmbench.tasks.optics import gain

BASE = {"model": "net", "kind": "cell", "picked": True, "style": 0, "behind_low": math.nan, "behind_high": math.nan}


def board(*rows):
    """A frame of mean efficiencies: label, value, rank, and the interval of the first less the row."""
    made = []
    for label, value, rank, ends in rows:
        low, high = ends or (math.nan, math.nan)
        of = {"label": label, "value": value, "low": value - 1, "high": value + 1, "rank": rank}
        made.append({**BASE, **of, "metric": "efficiency", "condition": "", "behind_low": low, "behind_high": high})
    return pd.DataFrame(made)


def test_a_learned_mask_that_is_first_gains_what_the_best_fixed_one_is_behind():
    frame = board(("net (learned)", 60, 1, None), ("net (flat)", 48, 3, (10, 14)), ("net (tetrapod)", 57, 2, (1, 5)))
    (found,) = gain.gains(frame, "efficiency", 1.0)
    assert (found.over, found.value, found.low, found.high) == ("net (tetrapod)", 3.0, 1.0, 5.0)
    assert found.said == "net: the learned mask gains +3.00 (+1.00 to +5.00) over net (tetrapod)"


def test_a_learned_mask_that_loses_says_so():
    frame = board(("net (tetrapod)", 57, 1, None), ("net (learned)", 50, 2, (4, 10)), ("net (flat)", 48, 3, (6, 12)))
    (found,) = gain.gains(frame, "efficiency", 1.0)
    assert (found.value, found.low, found.high) == (-7.0, -10.0, -4.0)


def test_where_less_is_better_a_gain_is_less():
    frame = board(("net (learned)", 3, 1, None), ("net (flat)", 5, 2, (-2.5, -1.5)))
    (found,) = gain.gains(frame, "efficiency", -1.0)
    assert (found.value, found.low, found.high) == (2.0, 1.5, 2.5)


def test_without_another_mask_there_is_no_gain():
    assert list(gain.gains(board(("net (learned)", 60, 1, None)), "efficiency", 1.0)) == []
    told = Told("lens", "", board(("net (learned)", 60, 1, None)), {"some": {}})
    assert list(gain.drawings([told], "efficiency", 1.0)) == []


def test_the_figure_of_gains_says_them():
    frame = board(("net (learned)", 60, 1, None), ("net (flat)", 48, 2, (10, 14)))
    (drawn,) = gain.drawings([Told("lens", "", frame, {"some": {}})], "efficiency", 1.0)
    assert "gains +12.00 (+10.00 to +14.00) over net (flat)" in drawn.caption
    assert "net (learned) 60" in drawn.alt
    assert b"<svg" in drawn.image


@pytest.mark.parametrize("known", [True, False])
def test_bounds_are_drawn_where_they_are_stored(known):
    columns = {"z_nm": [0.0, 500.0, 1000.0], **{f"bound_{axis}_nm": [5.0, None, 500.0] for axis in "xyz"}}
    profiles = ({"bounds": columns},) if known else ({},)
    lines = [Along("net (learned)", "some", "pick", 0, profiles), Along("scene_truth", "some", "ceiling", 0, ({},))]
    found = list(gain.bounds(lines))
    assert len(found) == int(known)
    assert all("net (learned)" in one.alt and "scene_truth" not in one.alt for one in found)
