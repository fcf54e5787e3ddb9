"""Blocks of a movie in worker processes: the same files bit for bit, continued, repeated, refused."""

import json
import os
import shutil
import socket
import warnings
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from typer.testing import CliRunner

from smlmbench.camera import Camera
from smlmbench.cli import app
from smlmbench.data.contracts import Given, Statistics
from smlmbench.engine.clusters import local_workers
from smlmbench.errors import ConfigError, EngineError, FormatError, LossWarning, NoMemoryError
from smlmbench.inference import engine
from smlmbench.inference.checkpoint import build_network, checkpoint_of
from smlmbench.registry import Catalog
from smlmbench.run.progress import Reporter
from smlmbench.run.slots import Slots
from smlmbench.run.using import blocks, fitting
from smlmbench.run.using.blocks import Crew
from smlmbench.run.using.fitting import FitRequest, fit_movie
from smlmbench.run.using.predicting import Request, predict_movie
from smlmbench.training import save_atomically

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="a worker ends itself, an open file is moved"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

FRAMES, HEIGHT, WIDTH, BATCH, BLOCK = 330, 20, 24, 64, 128
# Sees three frames. In a worker it does, before its first answer to a batch, what the file `do` beside it says.
WINDOW = """
import multiprocessing
import os
from pathlib import Path

from torch import nn

CARD = {
    "version": 1, "summary": "Three frames at once", "output": "raster", "upsamples": "inside", "settings": {},
    "training": {"lr": 0.01}, "parameters": {"": 28}, "receptive_field_px": 3.0, "facts": {"context": 3},
    "losses": [{"name": "l1l2"}],
}


class Window(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(3, 1, 3, padding=1)

    def forward(self, frames):
        told = Path(__file__).with_name("do")
        if multiprocessing.parent_process() is not None and told.exists():
            word = told.read_text()
            if word == "die":
                told.unlink()
                os._exit(3)
            if word == "fill" and len(frames) < 64:  # the last block
                raise RuntimeError("CUDA out of memory")
        return nn.functional.interpolate(self.mix(frames), scale_factor=2.0)


def build(settings, given):
    return Window()


def receptive_field_px(settings, upsampling):
    return 3.0
"""


def checkpoint(path, catalog, name, context, threshold):
    given = Given(context, 2, 100.0, Statistics(10.0, 5.0, 0.0, 80.0), context)
    card = catalog.card("models", name)
    settings = card.fill(name, card.tiny)
    torch.manual_seed(0)
    network = build_network(catalog, name, settings, given)
    torch.nn.init.normal_(list(network.parameters())[-1], 5.0)
    output = {**catalog.card("outputs", "raster").fill("raster", {"upsampling": 2}), "pixel_size_nm": 100.0}
    facts = {
        "task": "localization",
        "seen": {},
        "threshold": threshold,
        "calibrated": True,
        "cell_id": "abc",
        "psf_sigma_nm": 130.0,
    }
    of = ({"name": name, "version": 1, "settings": settings}, {"name": "raster", "version": 1, "settings": output})
    save_atomically(checkpoint_of(network.eval(), given, *of, facts), path)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two networks and two movies of floats: one with pixels that are no numbers in the third block, one without."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "models").mkdir()
    (folder / "models" / "window.py").write_text(WINDOW)
    catalog = Catalog([folder / "models" / "window.py"])
    checkpoint(folder / "fid.pt", catalog, "fid_storm", 1, 10.0)
    checkpoint(folder / "window.pt", catalog, "window", 3, 2.0)
    draws = np.random.default_rng(0)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    spots = [np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 3.4) for y, x in ((5, 6), (6, 17), (14, 5), (13, 18))]
    light = draws.uniform(50, 250, (FRAMES, len(spots)))
    drawn = draws.poisson(10 + np.tensordot(light, np.array(spots), 1)).astype(np.float32)
    tifffile.imwrite(folder / "movie.tif", drawn, photometric="minisblack")
    drawn[290, 5:7, 5] = np.nan
    tifffile.imwrite(folder / "odd.tif", drawn, photometric="minisblack")
    return folder


@pytest.fixture(scope="module")
def cluster():
    """One worker, and two from where a test asks for them."""
    with local_workers(1) as workers:
        yield workers


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(engine, "FINE_PIXELS_PER_BLOCK", BLOCK * 4 * HEIGHT * WIDTH)
    monkeypatch.setattr(fitting, "PIXELS_PER_BLOCK", BLOCK * HEIGHT * WIDTH)


class Told(Reporter):
    def __init__(self):
        super().__init__(quiet=True)
        self.lines = []

    def line(self, text):
        self.lines.append(text)


@pytest.fixture
def crew(cluster, monkeypatch):
    """A crew of one or two of the cluster's workers, as one that this command has started."""

    def of(count, before=lambda: None):
        cluster.client.cluster.scale(count)
        cluster.client.wait_for_workers(count, timeout=120)

        @contextmanager
        def lent(slots, tell, what):
            before()
            yield cluster

        monkeypatch.setattr(blocks, "open_workers", lent)
        return Crew(Slots(workers=2), Told())

    return of


CASES = {
    "photons": ("fid", {"movie": "odd.tif", "bad_pixels": "median"}),
    "positions": ("fid", {"measure": False, "frames": (7, 310)}),
    "window": ("window", {"frames": (1, 329), "measure": False}),
    "fitter": ("fit", {"movie": "odd.tif", "bad_pixels": "median"}),
}


def wanted(files, case, folder, **changes):
    """The request of a case, its catalog, and what does it."""
    model, more = CASES[case]
    given = {"camera": Camera(kind="ideal"), **more, **changes}
    movie, catalog = files / given.pop("movie", "movie.tif"), Catalog([files / "models" / "window.py"])
    if model == "fit":
        return FitRequest("peaks_gaussian", movie, folder, 100.0, **given), catalog, fit_movie
    return Request(files / f"{model}.pt", movie, folder, **given), catalog, predict_movie


def done(asked, crew=None, on_frames=lambda *_: None):
    request, catalog, function = asked
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", LossWarning)
        written = function(request, catalog, on_frames, crew)
    lines = {str(each.message) for each in said if issubclass(each.category, LossWarning)}
    return written, lines


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def inline(files, tmp_path_factory):
    """What the cases give in this process."""
    found = {}

    def of(case):
        if case not in found:
            folder = tmp_path_factory.mktemp(case)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(engine, "FINE_PIXELS_PER_BLOCK", BLOCK * 4 * HEIGHT * WIDTH)
                found[case] = (folder, *done(wanted(files, case, folder)))
        return found[case]

    return of


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("count", [1, 2])
def test_files_are_the_same_bit_for_bit(files, inline, crew, tmp_path, case, count):
    folder, here, lines = inline(case)
    calls = []
    there, said = done(wanted(files, case, tmp_path), crew(count), lambda *each: calls.append(each))
    assert content(tmp_path) == content(folder)
    assert (there.localizations, there.frames) == (here.localizations, here.frames)
    assert here.localizations > FRAMES
    assert said == lines
    assert len(lines) == (CASES[case][1].get("bad_pixels") is not None)
    assert calls == sorted(calls)
    assert calls[-1] == (here.frames, here.frames)
    assert len(calls) == -(-here.frames // BLOCK)
    if case == "photons":
        assert there.measured.said == here.measured.said
        assert 0 < there.measured.share < 1


@pytest.mark.parametrize(("case", "here_first"), [("photons", True), ("window", False), ("fitter", True)])
def test_what_ctrl_c_stopped_goes_on_the_other_way(files, inline, crew, tmp_path, case, here_first):
    """Here it stops within a block, which workers then go on with batch by batch."""
    calls = []

    def stop(*at):
        calls.append(at)
        if len(calls) == 1:
            raise KeyboardInterrupt

    first, second = (None, crew(2)) if here_first else (crew(2), None)
    with pytest.raises(KeyboardInterrupt):
        done(wanted(files, case, tmp_path), first, stop)
    assert not any(path.name.endswith("_locs.csv") for path in tmp_path.iterdir())
    written, _ = done(wanted(files, case, tmp_path), second)
    assert written.resumed == BATCH if here_first else written.resumed >= BLOCK
    assert content(tmp_path) == content(inline(case)[0])


def test_the_block_of_a_worker_that_dies_is_repeated(files, inline, crew, tmp_path):
    (files / "models" / "do").write_text("die")
    team = crew(2)
    written, _ = done(wanted(files, "window", tmp_path), team)
    assert not (files / "models" / "do").exists()
    assert any(line.startswith("frames ") and "its worker died; it is repeated" in line for line in team.reporter.lines)
    assert written.frames == 328
    assert content(tmp_path) == content(inline("window")[0])


def test_an_error_is_that_of_one_process_and_what_came_before_stays(files, crew, tmp_path):
    ends = []
    for name, team in (("here", None), ("there", crew(2))):
        with pytest.raises(FormatError) as caught:
            done(wanted(files, "positions", tmp_path / name, movie="odd.tif"), team)
        journal = json.loads((tmp_path / name / "odd_locs.csv.journal.json").read_text())
        ends.append(
            (str(caught.value), {path: (tmp_path / name / path).read_bytes() for path in ("odd_locs.csv.part",)})
        )
        ends[-1] += (journal["done"], journal["rows"])
    assert ends[0] == ends[1]
    assert "frame 291 (counted from 1) has 2 pixels" in ends[0][0]
    assert ends[0][2] == 256


def test_a_device_without_memory_ends_it_as_here(files, crew, tmp_path):
    (files / "models" / "do").write_text("fill")
    try:
        with pytest.raises(NoMemoryError, match="cpu has no memory for .* frames of 20 x 24 px at once"):
            done(wanted(files, "window", tmp_path), crew(2))
    finally:
        (files / "models" / "do").unlink()
    assert json.loads((tmp_path / "movie_locs.csv.journal.json").read_text())["done"] == 320


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda at, _: at.unlink(), FormatError, "movie '{at}' does not exist; .*by the paths of the command"),
        (lambda at, odd: at.write_bytes(odd.read_bytes()), EngineError, "'{at}' or the network is not that"),
    ],
    ids=["absent", "another"],
)
def test_a_worker_that_does_not_see_the_movie_is_named_with_it(files, crew, tmp_path, change, error, said):
    at = tmp_path / "movie.tif"
    shutil.copy(files / "movie.tif", at)
    asked = wanted(files, "positions", tmp_path / "out", movie=at)
    with pytest.raises(error, match=f"worker on {socket.gethostname()}: {said.format(at=at)}"):
        done(asked, crew(2, lambda: change(at, files / "odd.tif")))
    assert content(tmp_path / "out") == {}


def test_a_fitter_that_needs_the_whole_movie_takes_no_workers(files, tmp_path):
    (tmp_path / "references").mkdir()
    plugin = tmp_path / "references" / "whole.py"
    text = 'CARD = {"version": 1, "summary": "x", "settings": {}, "facts": {"timed": True, "tasks": {}}}\n'
    plugin.write_text(text + "from smlmbench.references.peaks_gaussian import CARD as ours, predict as theirs\n"
        'def predict(condition, settings, *more):\n    fill = {k: v["default"] for k, v in ours["settings"].items()}\n'
        "    return theirs(condition, fill, *more)\n")  # fmt: skip
    request = FitRequest("whole", files / "movie.tif", tmp_path / "out", 100.0, Camera(kind="ideal"))
    with pytest.raises(ConfigError, match="whole looks at a whole movie"):
        fit_movie(request, Catalog([plugin]), lambda *_: None, Crew(Slots(workers=2), Told()))
    calls = []
    fit_movie(request, Catalog([plugin]), lambda *each: calls.append(each))
    assert calls == [(FRAMES, FRAMES)]


def test_the_command_at_a_running_scheduler(files, inline, cluster, tmp_path):
    words = ["predict", str(files / "window.pt"), str(files / "movie.tif"), "--frames", "2:329", "--no-photons"]
    words += ["--camera", "{kind: ideal}", "--plugin", str(files / "models" / "window.py"), "-o", str(tmp_path / "out")]
    refused = CliRunner().invoke(app, [*words, "--workers", "2", "--scheduler", "tcp://localhost:1"])
    assert refused.exit_code == 2
    assert "a scheduler has its own workers" in refused.stderr
    (tmp_path / "jobs.yaml").write_text("{kind: slurm, jobs: 3, memory: 1GB, walltime: '1:00:00'}")
    dry = CliRunner().invoke(app, [*words, "--cluster", str(tmp_path / "jobs.yaml"), "--dry"])
    assert "#SBATCH" in dry.stdout
    assert "blocks of the movie in 3 such jobs; nothing was sent" in dry.stderr
    assert CliRunner().invoke(app, [*words, "--dry"]).exit_code == 2
    result = CliRunner().invoke(app, [*words, "--scheduler", cluster.client.scheduler.address])
    assert result.exit_code == 0, result.output
    assert content(tmp_path / "out") == content(inline("window")[0])


def test_blocks_are_taken_in_the_order_of_the_movie_and_few_before_their_turn(files, tmp_path):
    request, catalog, _ = wanted(files, "fitter", tmp_path)
    taken = []
    with warnings.catch_warnings(record=True) as said, fitting.opened(request, catalog) as source:
        warnings.simplefilter("always", LossWarning)
        source.movie.replaced.clear()
        turns = blocks._Turns(replace(source, block=10), 5, lambda *pieces: taken.append(pieces[-1].stop))
        specs = turns.specs()
        assert [tuple(spec.values())[1:] for spec in specs[:2]] == [(5, 10, False), (10, 20, True)]
        assert specs[-1]["stop"] == FRAMES

        def land(spec, image=None, **more):
            piece = engine.Piece(spec["start"], spec["stop"], None, image)
            result = {"status": "done", "made": blocks.Made([piece], **more)}
            turns.landed(spec, result)
            assert result == {"status": "done"}  # the engine keeps them all

        for spec in specs[1:4]:
            land(spec)
        assert (turns.held_back(), taken) == (3, [])
        land(specs[0], replaced={300: 2})
        assert (turns.held_back(), taken) == (0, [10, 20, 30, 40])
        land(specs[5], np.zeros(2**28))
        assert turns.held_back() > 1000
    assert ["2 pixels of 1 frames" in str(each.message) for each in said] == [True]
    with pytest.raises(EngineError, match=r"frames 41-50: its worker died, 2 times in a row; the same command"):
        turns.landed(specs[4], {"status": "failed", "reason": "its worker died, 2 times in a row"})
