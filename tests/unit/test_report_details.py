"""What stands behind a row: curve, settings, runs, pictures."""

import io
import re

import numpy as np
import pytest
from PIL import Image
from report_record import BOTH, Builder, frames

from smlmbench.registry import Catalog
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
    made = gallery(board, 0, 10_000_000)
    assert [(name, [one.drawing.caption.split()[0] for one in shown]) for name, shown in made] == [
        ("high", ["net", "other"]), ("low", ["net", "other"]),
    ]  # fmt: skip
    assert all(one.drawing.uri.startswith("data:image/png") for _, shown in made for one in shown)


def test_the_frame_can_be_chosen_where_runs_stored_several(tmp_path):
    made = pictured(tmp_path)
    run = made.runs[0]
    (run.folder / "figures" / "2").mkdir()
    (run.folder / "figures" / "2" / "low.png").write_bytes(picture())
    found = gallery(boards_of(made.record)[1][0], 0, 10_000_000)
    assert [(name, len(shown)) for name, shown in found] == [("high", 2), ("low", 2), ("low, second example", 1)]
    assert len({one.id for _, shown in found for one in shown}) == 5
    few = gallery(boards_of(made.record)[1][0], 0, 100_000)
    assert [name for name, _ in few][-1] != "low, second example", "the first examples of all come first"


def test_pictures_that_are_too_large_are_shown_smaller_and_never_above_their_share(tmp_path):
    board = boards_of(pictured(tmp_path).record)[1][0]
    share = 4 * len(picture()) - 1
    made = gallery(board, 0, share)
    shown = [one.drawing.uri for _, held in made for one in held]
    assert len(shown) == 4
    assert all(uri.startswith("data:image/webp") for uri in shown)
    few = [one.drawing.uri for _, held in gallery(board, 0, 100_000) for one in held]
    assert 0 < sum(len(uri) * 3 / 4 for uri in few) <= 101_000
    assert len(few) < 4


def test_the_board_leads_to_the_row_and_the_row_to_its_run(tmp_path):
    made = pictured(tmp_path)
    text = build_report(made.record, tmp_path / "out").html.read_text(encoding="utf-8")
    for place in range(2):
        assert text.count(f'<small class="more"><a href="#row-0-{place}">') == text.count(f'id="row-0-{place}"') == 1
    row = text[text.index('id="row-0-0"') : text.index('id="row-0-1"')]
    assert row.count("/runs/run-c00") == 2


def test_a_row_leads_to_its_own_pictures_each_once_on_the_page(tmp_path):
    """Four runs with a picture of their own at two conditions; the first of a row's repeats is shown."""
    text = build_report(pictured(tmp_path).record, tmp_path / "out").html.read_text(encoding="utf-8")
    for place in range(2):
        start = text.index(f'id="row-0-{place}"')
        row = text[start : text.index("</details>", start)]
        links = re.findall(r'<a href="#(picture-[^"]+)">(\w+)</a>', row)
        assert [name for _, name in links] == ["high", "low"]
        for name, _ in links:
            figure = text[text.index(f'<figure id="{name}"') :]
            assert f'<a href="#row-0-{place}">' in figure[: figure.index("</figure>")]
    assert text.count("<figure id=") == 4


def test_what_does_not_fit_has_no_link(tmp_path):
    board = boards_of(pictured(tmp_path).record)[1][0]
    shown = [one for _, held in gallery(board, 0, 100_000) for one in held]
    assert sum(len(one.pictures) for one in details(board, 0, None, shown)) == len(shown) < 4


@pytest.mark.parametrize(("variant", "fidelity"), [("published", "verified"), ("seed", "seed")])
def test_a_row_says_what_its_card_says_under_its_settings(tmp_path, variant, fidelity):
    made = Builder(tmp_path)
    made.done(made.cell("fid_storm", settings={"variant": variant}), {"low": frames(0.9, 20)}, val=1.0)
    made.plan["cells"][0]["fidelity"] = fidelity
    made.reference("peaks_gaussian", {"low": frames(0.5, 20)})
    network, fitter = (dict(one.card) | dict(one.settings) for one in details(boards_of(made.record)[1][0], 0, None))
    card = Catalog().card("models", "fid_storm")
    assert network["paper"] == (f"{card.paper}, doi 10.1364/BOE.484540",)
    assert network["fidelity"] == (fidelity,)
    assert network["deviations from the paper"] == tuple(card.under({"variant": variant}).deviations)
    assert network["parameters"] == "1,000"
    assert network["loss"][1].endswith("doi 10.1364/OPTICA.5.000458")
    assert fitter["paper"][0].startswith("Mortensen et al. 2010")
    text = build_report(made.record, tmp_path / "out").html.read_text(encoding="utf-8")
    assert "doi 10.1364/BOE.484540" in text
    assert "doi.org" not in text  # no link leaves the page


def test_what_is_not_registered_has_no_card(tmp_path):
    made = Builder(tmp_path)
    made.trained("net", [0.9], loss="unknown")
    assert details(boards_of(made.record)[1][0], 0, None)[0].card == ()


def test_a_picture_of_all_frames_is_not_said_to_be_of_one(tmp_path):
    made = pictured(tmp_path)
    for name, gives in (("bicubic", "image"), ("peaks_gaussian", "table")):
        run = made.done(made.reference(name, gives=gives), {"low": frames(0.5, 20), "high": frames(0.5, 20)},
                        role="reference")  # fmt: skip
        (run.folder / "figures").mkdir()
        (run.folder / "figures" / "low.png").write_bytes(picture())
    board = boards_of(made.record)[1][0]
    captions = {one.drawing.caption for _, held in gallery(board, 0, 10_000_000) for one in held}
    whole = "the mean of the first frames, the image of all frames, its truth and error"
    assert f"bicubic on low: {whole}." in captions
    assert "peaks_gaussian on low: input, prediction, truth and error." in captions
    text = build_report(made.record, tmp_path / "out").html.read_text(encoding="utf-8")
    assert "the same frame by every row</h3>" not in text
    assert "one that makes an image of all frames shows these" in text
