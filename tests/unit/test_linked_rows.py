"""Rows that see one frame stand once more as `+link` where molecules stay on."""

import pandas as pd
import pytest

from smlmbench.registry import Catalog
from smlmbench.tasks import load

TASK = load("localization", Catalog())
ROWS = {  # kind, picked, ceiling, frames seen, and on the movie efficiency, RMSE, both linked
    "net": ("cell", True, False, 1, 60.0, 30.0, 70.0, 20.0),
    "net (3 frames)": ("cell", True, False, 3, 68.0, 22.0, 71.0, 19.0),
    "net [width=0.5]": ("cell", False, False, 1, 50.0, 31.0, 60.0, 21.0),
    "fitter": ("reference", False, False, 1, 40.0, 35.0, 55.0, 24.0),
    "truth": ("reference", False, True, 1, 100.0, 0.0, 100.0, 0.0),
    "blank": ("reference", False, False, 1, 0.0, float("nan"), float("nan"), float("nan")),
}
NAMES = ("efficiency", "rmse_nm", "efficiency_linked", "rmse_nm_linked")


def board(**conditions):
    lines = []
    for row, (kind, picked, ceiling, context, *values) in ROWS.items():
        about = {"row": row, "kind": kind, "picked": picked, "ceiling": ceiling, "context_frames": context}
        for where, links in conditions.items():
            kept = zip(NAMES, values if links else [*values[:2], float("nan"), float("nan")], strict=True)
            lines += [{**about, "condition": where, "metric": name, "value": value} for name, value in kept]
    return pd.DataFrame(lines)


def test_single_frame_rows_have_a_linked_twin_where_molecules_stay_on():
    (listing,) = TASK.section(board(iid=False, blinking=True), {}).listings
    assert listing.titles == ("Condition", "Row", "Frames seen", "Efficiency", "RMSE (nm)")
    assert listing.rows == (
        ("blinking", "net +link", "1", "70.0", "20.0"),
        ("blinking", "net (3 frames)", "3", "68.0", "22.0"),
        ("blinking", "net", "1", "60.0", "30.0"),
        ("blinking", "fitter +link", "1", "55.0", "24.0"),
        ("blinking", "fitter", "1", "40.0", "35.0"),
    )
    assert "+link" in listing.caption


@pytest.mark.parametrize("frame", [board(iid=False), pd.DataFrame()], ids=["independent", "nothing"])
def test_without_molecules_that_stay_on_there_is_no_twin(frame):
    assert TASK.section(frame, {}).listings == ()
