"""A movie without truth in a study: networks and the fitter answer it, and the page shows it from the store alone."""

import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
import tifffile
import tiny_study
import torch

from smlmbench.camera import Camera
from smlmbench.report.publish import report_study
from smlmbench.run.cells.applied import of_reference
from smlmbench.run.materials import Materials
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan
from smlmbench.tracking.records import read_study
from smlmbench.tracking.store import open_store

CAMERA = {"kind": "scmos", "baseline_adu": 100, "e_per_adu": 0.5, "read_noise_e": 1.6}
FRAMES, SIDE = 240, 24


def movie(path):
    """One bright spot in each frame, at one of four places."""
    rng = np.random.default_rng(0)
    middle = np.array([[7, 7], [16, 8], [8, 16], [16, 16]])[rng.integers(0, 4, FRAMES)] + rng.normal(
        0, 0.2, (FRAMES, 2)
    )
    steps = np.arange(SIDE) + 0.5
    across, down = (np.exp(-((steps - middle[:, [axis]]) ** 2) / (2 * 1.3**2)) for axis in (0, 1))
    mean = 3000 / (2 * np.pi * 1.3**2) * down[:, :, None] * across[:, None, :] + 10
    counts = Camera(**CAMERA).expose(torch.from_numpy(mean).float(), torch.Generator().manual_seed(0))
    tifffile.imwrite(path, counts.numpy().astype(np.uint16))


class Page(HTMLParser):
    """Headings, alternative texts and links to other files."""

    def __init__(self):
        super().__init__()
        self.alts, self.sources, self.scripts = [], [], 0

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "img":
            self.alts.append(given.get("alt", ""))
            self.sources.append(given["src"])
        self.scripts += tag == "script"


@pytest.fixture(scope="module")
def done(tmp_path_factory, empty_store):
    folder = tmp_path_factory.mktemp("applied")
    movie(folder / "mine.tif")
    (sim,) = tiny_study.yaml.safe_load(tiny_study.STUDY)["data"]
    path = tiny_study.write(
        folder,
        data=[sim | {"apply": ["mine.tif"], "test": {"low": {"simulate": {"frames": 4}}}}],
        models=[{"name": "fid_storm", "blocks": 1, "width": 0.25}],
        references=["truth", "peaks_gaussian"],
        training={"samples": 16, "batch_size": 8, "validations": 1},
        timing=None,
    )
    store = open_store(shutil.copytree(empty_store, folder / "mlruns"))
    finished, lines = tiny_study.run(path, store)
    (folder / "mine.tif").unlink()  # what follows needs no movie
    return finished, lines, read_study(store, "tiny"), store


def test_networks_and_the_fitter_answer_and_those_told_the_truth_do_not(done):
    _, _, record, _ = done
    stored = {
        row.params["model"]: row.json("applied/mine.tif.json")
        for row in [*record.rows("cell"), *record.rows("reference")]
    }
    assert stored["truth"] is None
    fitted = stored["peaks_gaussian"]
    assert fitted["alone"]["values"]["rows"] == pytest.approx(FRAMES, rel=0.1)
    assert fitted["alone"]["values"]["shape_beyond"] == pytest.approx(0.05, abs=0.06)
    assert fitted["values"]["rsp"] > 0.9
    assert "rows" in stored["fid_storm"]["alone"]["values"]
    files = next(row for row in record.rows("reference") if row.params["model"] == "peaks_gaussian").artifacts(
        "applied"
    )
    assert {"applied/mine.tif.csv", "applied/mine.tif.errors.png", "applied/mine.tif.training.png"} <= set(files)


def test_the_page_has_the_part_and_needs_neither_the_movie_nor_other_files(done):
    finished, _, record, store = done
    text = report_study(store, "tiny", record=record).html.read_text(encoding="utf-8")
    assert text == finished.report.read_text(encoding="utf-8")
    part = text.split('<section class="movie">')[1]
    assert "<h3>mine.tif: a movie without truth</h3>" in part
    for said in ("Agreement: Jaccard index", "Fourier ring correlation", "What cannot be known here", "peaks_gaussian"):
        assert said in part
    assert re.search(r"peaks_gaussian\. .*Shapes: \d", part)
    page = Page()
    page.feed(part.split("<h2>")[0])
    assert len(page.alts) >= 4
    assert all(page.alts)
    assert all(source.startswith("data:image/") for source in page.sources)
    assert page.scripts == 0
    assert "mine.tif: a movie without truth" in finished.report.with_suffix(".md").read_text(encoding="utf-8")


def test_a_movie_that_the_fitter_refuses_has_the_reason(tmp_path):
    tifffile.imwrite(tmp_path / "small.tif", np.full((8, 4, 40), 100, np.uint16))
    (sim,) = tiny_study.yaml.safe_load(tiny_study.STUDY)["data"]
    loaded = load_study(tiny_study.write(tmp_path, data=[sim | {"apply": ["small.tif"]}]))
    references = {row.reference.name: row for row in make_plan(loaded).references}
    (refused,) = of_reference(references["peaks_gaussian"], Materials(loaded.catalog))
    assert refused.why.startswith("frames of 40 x 4 px")
    assert refused.answer is None
    assert list(of_reference(references["truth"], Materials(loaded.catalog))) == []
