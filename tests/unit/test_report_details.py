"""What stands behind a row: curve, settings, runs, pictures."""

import io

import numpy as np
from PIL import Image
from report_record import BOTH, Builder

from smlmbench.report.details import details, gallery
from smlmbench.report.leaderboard import boards_of
from smlmbench.report.page import build_report


def picture(seed=0, side=300):
    held = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    Image.fromarray(noise).save(held, "PNG")
    return held.getvalue()


def pictured(folder):
    made = Builder(folder, BOTH)
    made.trained("net", [0.9, 0.8], conditions=("low", "high"))
    made.trained("other", [0.5, 0.4], conditions=("low", "high"))
    for number, run in enumerate(made.runs):
        (run.folder / "figures").mkdir()
        for condition in ("low", "high"):
            (run.folder / "figures" / f"{condition}.png").write_bytes(picture(number))
    return made


def test_a_row_has_its_curve_settings_and_every_run(tmp_path):
    made = Builder(tmp_path)
    made.trained("net", [0.9, 0.8])
    asked = {"val/efficiency": [(1, 20.0), (2, 60.0)], "train/samples": [(1, 100.0), (2, 200.0)]}
    (one,) = details(boards_of(made.record)[1][0], 0, lambda run, key: asked[key])
    assert one.curve.lines == ("0.0,90.0 300.0,0.0",) * 2
    assert (one.curve.low, one.curve.high, one.curve.samples) == ("20.0", "60.0", "200")
    assert dict(one.settings)["settings"] == "blocks = 4"
    assert dict(one.settings)["repeats done"] == "2 of 2"
    assert {run_id for _, run_id in one.runs} == {run.run_id for run in made.runs}


def test_the_gallery_has_every_row_at_every_condition(tmp_path):
    board = boards_of(pictured(tmp_path).record)[1][0]
    made = gallery(board, 10_000_000)
    assert [(name, [one.caption.split()[0] for one in shown]) for name, shown in made] == [
        ("high", ["net", "other"]), ("low", ["net", "other"]),
    ]  # fmt: skip
    assert all(one.uri.startswith("data:image/png") for _, shown in made for one in shown)


def test_pictures_that_are_too_large_are_shown_smaller_and_never_above_their_share(tmp_path):
    board = boards_of(pictured(tmp_path).record)[1][0]
    share = 4 * len(picture()) - 1
    made = gallery(board, share)
    shown = [one.uri for _, held in made for one in held]
    assert len(shown) == 4
    assert all(uri.startswith("data:image/webp") for uri in shown)
    few = [one.uri for _, held in gallery(board, 100_000) for one in held]
    assert 0 < sum(len(uri) * 3 / 4 for uri in few) <= 101_000
    assert len(few) < 4


def test_the_board_leads_to_the_row_and_the_row_to_its_run(tmp_path):
    made = pictured(tmp_path)
    text = build_report(made.record, tmp_path / "out").html.read_text(encoding="utf-8")
    for place in range(2):
        assert text.count(f'href="#row-0-{place}"') == text.count(f'id="row-0-{place}"') == 1
    row = text[text.index('id="row-0-0"') : text.index('id="row-0-1"')]
    assert row.count("/runs/run-c00") == 2
