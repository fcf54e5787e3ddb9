"""Photons of a movie's table: the width of its PSF, what is told, and what stands in every file."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from emitting import CAMERAS, expected, places, seen

from smlmbench import tasks
from smlmbench.camera import Camera, Noise
from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.errors import ConfigError, DoubtWarning, FormatError
from smlmbench.formats import TableOptions, read_table
from smlmbench.inference import engine
from smlmbench.inference.engine import ReadOut
from smlmbench.inference.loading import Runnable
from smlmbench.movies import ArrayMovie, stretches
from smlmbench.predictions import Localizations, Prediction
from smlmbench.registry import Catalog
from smlmbench.run.using import predicting
from smlmbench.run.using.predicting import Request, predict_frames, predict_movie
from smlmbench.study.schema import Scoring
from smlmbench.tasks.localization.photometry import COLUMNS, Photometry, measured
from smlmbench.tasks.localization.widths import Widths
from smlmbench.truths.emitters import Emitters

CATALOG = Catalog()
TASK = tasks.load("localization", CATALOG)
KNOWN = {"pixel_size_nm": 100.0, "psf_sigma_nm": 130.0, **Noise().told()}
HEIGHT, WIDTH, FRAMES, LONG = 36, 40, 30, 60


def scene(sigma_px=1.3, each=3, frames=FRAMES, seed=0, camera="ideal", photons=(600, 3000)):
    """Mean-free noisy frames, the places and the photons of a few emitters in each."""
    draws = np.random.default_rng(seed)
    count = each * frames
    at = places(draws.uniform(0, WIDTH, count), draws.uniform(0, HEIGHT, count), np.repeat(np.arange(frames), each))
    light = draws.uniform(*photons, count)
    return seen(expected(at, light, 8, (frames, HEIGHT, WIDTH), sigma_px), CAMERAS[camera], seed), at, light


def table_of(at, frames=FRAMES, **columns):
    known = {"frame": at.frame, "x_nm": 100 * at.x_px, "y_nm": 100 * at.y_px, **columns}
    return Localizations.of(known, n_frames=frames, field_nm=(100.0 * WIDTH, 100.0 * HEIGHT))


def condition(pixels, truth=None, **changes):
    given = {"name": "c", "frames": ArrayFrames(pixels), "truth": truth, "told": KNOWN}
    return Condition(**(given | changes))


# The width


@pytest.mark.parametrize(("sigma_px", "start_px"), [(1.3, 1.3), (1.3, 0.8), (0.9, 1.5), (2.0, 1.3), (2.0, 0.7)])
def test_the_width_is_that_of_the_movie_wherever_it_starts(sigma_px, start_px):
    pixels, at, _ = scene(sigma_px, each=2, frames=120)
    widths = Widths(start_px, Noise())
    assert widths.add(pixels, at)
    found = widths.width
    assert found.sure
    assert found.sigma_px == pytest.approx(sigma_px, rel=0.02)


def test_hot_pixels_neighbours_and_dim_spots_have_no_say_in_the_width():
    pixels, at, _ = scene(each=2, frames=120)
    pixels[:, 5::26, 5::29] += 400
    hot = np.argwhere(np.ones(pixels[:, 5::26, 5::29].shape))
    x_px, y_px = np.append(at.x_px, 29 * hot[:, 2] + 5.5), np.append(at.y_px, 26 * hot[:, 1] + 5.5)
    widths = Widths(1.3, Noise())
    widths.add(pixels, places(x_px, y_px, np.append(at.frame, hot[:, 0])))
    assert widths.width.sigma_px == pytest.approx(1.3, rel=0.03)
    dim, at, _ = scene(each=2, frames=400, photons=(60, 120))
    widths = Widths(1.3, Noise())
    widths.add(dim, at)
    assert not widths.width.sure
    crowded, at, _ = scene(each=30, frames=60)
    widths = Widths(1.3, Noise())
    widths.add(crowded, at)
    assert widths.width.spread_px < 0.06
    assert Widths(1.3, Noise()).width.spots == 0


def test_stretches_are_spread_and_do_not_overlap():
    for n_frames, side in ((1, 64), (3, 64), (50, 64), (1000, 64), (100_000, 64), (500, 2048)):
        movie = ArrayFrames(np.broadcast_to(np.float32(0), (n_frames, side, side)))
        found = stretches(movie)
        frames = [frame for start, stop in found for frame in range(start, stop)]
        assert len(frames) == len(set(frames)) <= 128
        assert min(frames) == 0
        assert max(frames) == n_frames - 1 or n_frames < 8
        assert all(stop - start <= (1 if side == 2048 else 4) for start, stop in found)
        if n_frames >= 1000:  # the first four are in different quarters
            assert len({4 * start // n_frames for start, _ in found[:5]}) >= 3


# What is told


def test_the_width_of_the_movie_is_used_and_a_contradiction_is_told_with_both_numbers():
    pixels, at, light = scene(1.6)
    photometry = Photometry(KNOWN, {})
    found = measured(photometry, ArrayFrames(pixels), table_of(at))
    assert photometry.sigma_nm == pytest.approx(160, rel=0.02)
    assert found.photons.sum() == pytest.approx(light.sum(), rel=0.02)
    (line,) = photometry.doubts
    assert "spots of the movie have a PSF of 16" in line
    assert "the one of the training is 130 nm (+2" in line
    assert "made with the movie's" in line
    assert f"PSF {photometry.sigma_nm:.0f} nm from" in photometry.told
    assert photometry.told.endswith("130 nm in training")


def test_a_stated_width_is_used_and_what_it_does_to_photons_is_told():
    pixels, at, light = scene()
    photometry = Photometry(KNOWN, {"psf_sigma_nm": 160.0})
    found = measured(photometry, ArrayFrames(pixels), table_of(at))
    assert photometry.sigma_nm == 160
    assert found.photons.sum() > 1.05 * light.sum()
    (line,) = photometry.doubts
    assert "have a PSF of 1" in line
    assert "the one stated is 160 nm (-" in line
    assert line.endswith("made with the stated one")
    agreed = Photometry(KNOWN, {"psf_sigma_nm": 130.0})
    measured(agreed, ArrayFrames(pixels), table_of(at))
    assert agreed.doubts == ()
    for odd in (0.0, -130.0, 5.0, 2e4, float("nan")):
        with pytest.raises(ConfigError, match=r"give its standard deviation, 20 \.\.\. 1000 nm"):
            Photometry(KNOWN, {"psf_sigma_nm": odd})


def test_a_width_that_is_not_sure_still_contradicts():
    pixels, at, _ = scene(1.9, each=2, frames=40, photons=(250, 500))
    photometry = Photometry(KNOWN, {})
    photometry.look(pixels, table_of(at, 40))
    found = photometry._widths.width
    assert found.spots >= 20
    assert not found.sure
    assert photometry.sigma_nm == 130
    assert photometry.doubts[0].endswith("made with the one of the training")


def test_spots_out_of_focus_are_told():
    (sharp, at, _), (blurred, other, _) = scene(1.1, seed=1), scene(2.1, seed=2)
    both = (np.concatenate(pair) for pair in ((at.x_px, other.x_px), (at.y_px, other.y_px)))
    at = places(*both, np.append(at.frame, other.frame + FRAMES))
    widths = Widths(1.3, Noise())
    widths.add(np.concatenate([sharp, blurred]), at)
    assert widths.width.spread_px > 0.2 * widths.width.sigma_px
    photometry = Photometry(KNOWN, {})
    photometry.look(np.concatenate([sharp, blurred]), table_of(at, 2 * FRAMES))
    assert any("bright spots spread by" in line and "out of focus" in line for line in photometry.doubts)


def test_without_a_width_or_a_camera_there_are_no_photons_and_it_is_told_why():
    pixels, at, _ = scene(frames=2)
    few = {key: value for key, value in KNOWN.items() if key != "psf_sigma_nm"}
    table = table_of(at, 2)
    photometry = Photometry(few, {})
    assert measured(photometry, ArrayFrames(pixels), table) is table
    assert "the width of the PSF is unknown: nothing states it, and" in photometry.absent
    assert "at least 20 of one width are needed" in photometry.absent
    counts = Photometry({"pixel_size_nm": 100.0, "psf_sigma_nm": 130.0}, {})
    assert measured(counts, ArrayFrames(pixels), table) is table
    assert counts.absent == "no camera is given, so counts are no photons"
    assert Photometry({**KNOWN, "pixel_size_nm": np.nan}, {}).absent == "the camera pixel is unknown"
    trained = Photometry(KNOWN, {})
    assert np.isfinite(measured(trained, ArrayFrames(pixels), table).photons).all()
    assert "PSF 130 nm as in training, which" in trained.told
    assert trained.told.endswith("spots of the movie are too few to check")


# Tables of frozen sets


def test_a_table_in_any_order_has_the_photons_of_its_rows():
    pixels, at, _ = scene()
    order = np.random.default_rng(5).permutation(len(at))
    straight = measured(Photometry(KNOWN, {}), ArrayFrames(pixels), table_of(at))
    mixed = measured(Photometry(KNOWN, {}), ArrayFrames(pixels), table_of(at.rows(order)))
    for name in COLUMNS:
        assert getattr(mixed, name) == pytest.approx(getattr(straight, name)[order], rel=1e-3)
    assert np.array_equal(mixed.x_nm, straight.x_nm[order])
    nothing = Localizations.empty(n_frames=FRAMES, field_nm=(4000.0, 3600.0))
    assert len(measured(Photometry(KNOWN, {}), ArrayFrames(pixels), nothing)) == 0


def test_scores_have_photons_and_say_why_where_they_have_none():
    pixels, at, light = scene(camera="emccd")
    truth = Emitters(table_of(at, photons=light), 0.0)
    told = {"pixel_size_nm": 100.0, "psf_sigma_nm": 130.0}
    frozen = condition(pixels, truth, told=told | CAMERAS["emccd"].noise.told())
    jitter = np.random.default_rng(1).normal(0, 0.1, (2, len(at)))
    answer = Prediction(table_of(places(at.x_px + jitter[0], at.y_px + jitter[1], at.frame)), None, 25.0)
    scores = TASK.score(TASK.finish(answer, frozen), frozen, Scoring(border_nm=0))
    assert scores.values["photons_r"] > 0.95
    assert abs(scores.values["photons_bias"]) < 0.03
    assert TASK.score(answer, frozen, Scoring(border_nm=0)).reasons["photons_r"] == "the found table has no photons"
    counts = replace(frozen, told=told)
    assert TASK.finish(answer, counts).table is answer.table
    blind = replace(frozen, truth=Emitters(table_of(at), 0.0))
    scores = TASK.score(TASK.finish(answer, blind), blind, Scoring(border_nm=0))
    assert scores.reasons["photons_bias"] == "the true table has no photons"


def test_what_a_table_says_itself_is_left():
    pixels, at, light = scene()
    own = table_of(at, photons=light)
    kept = TASK.finish(Prediction(own), condition(pixels)).table
    assert np.array_equal(kept.photons, light)
    assert np.isnan(kept.background_photons).all()
    claimed = table_of(at, sigma_x_nm=np.full(len(at), 7.0))
    made = TASK.finish(Prediction(claimed), condition(pixels)).table
    assert (made.sigma_x_nm == 7).all()
    assert np.isfinite(made.sigma_y_nm).all()
    assert TASK.finish(Prediction(), condition(pixels)) == Prediction()
    channels = condition(np.stack([pixels, pixels], axis=1))
    assert np.isnan(TASK.finish(Prediction(claimed), channels).table.photons).all()


# Files of a user's movie

UPSAMPLING = 5


class Spikes:
    """Answers with a spike at every true place, by a number in the first pixel of the frame that is asked about."""

    def __init__(self, at, context=1):
        self.at, self.context = at, context

    def __call__(self, frames):
        raw = torch.zeros(len(frames), 1, UPSAMPLING * HEIGHT, UPSAMPLING * WIDTH)
        for number, frame in enumerate(frames[:, self.context // 2, 0, 0].tolist()):
            rows = self.at.frame == round(frame)
            x, y = (torch.from_numpy((where[rows] * UPSAMPLING).astype(int)) for where in (self.at.x_px, self.at.y_px))
            raw[number, 0, y, x] = 100.0
        return raw


@pytest.fixture
def told(monkeypatch, tmp_path):
    """A movie on disk, its places and photons; `facts` and `context` of the network may be changed."""
    draws = np.random.default_rng(0)
    count = 2 * LONG
    grid = (np.floor(draws.uniform(10, UPSAMPLING * WIDTH, count)) + 0.5) / UPSAMPLING
    lines = (np.floor(draws.uniform(10, UPSAMPLING * HEIGHT, count)) + 0.5) / UPSAMPLING
    at, light = places(grid, lines, np.repeat(np.arange(LONG), 2)), draws.uniform(600, 3000, count)
    pixels = draws.poisson(expected(at, light, 8, (LONG, HEIGHT, WIDTH))).astype(np.uint16)
    pixels[:, 0, 0] = np.arange(LONG)  # far from every spot
    tifffile.imwrite(tmp_path / "movie.tif", pixels, photometric="minisblack")
    (tmp_path / "best.pt").write_bytes(b"stands for a network")
    filled = CATALOG.card("outputs", "raster").fill("raster", {})
    settings = filled | {"upsampling": UPSAMPLING, "pixel_size_nm": 100.0}
    facts = {"model": {"name": "spikes"}, "task": "localization", "calibrated": True, "psf_sigma_nm": 130.0}
    state = {"facts": {**facts, "seen": {}}, "context": 1}

    def load(path, catalog, device, runtime, number_format):
        read_out = ReadOut(catalog.module("outputs", "raster"), settings, 0.5, context=state["context"])
        return Runnable(Spikes(at, state["context"]), read_out, state["facts"], "eager", "fp32")

    monkeypatch.setattr(predicting, "load", load)
    monkeypatch.setattr(engine, "FINE_PIXELS_PER_BATCH", 4 * HEIGHT * WIDTH * UPSAMPLING**2)
    return {"at": at, "light": light, "movie": tmp_path / "movie.tif", "pixels": pixels, "folder": tmp_path} | {
        "state": state
    }


def request(told, out="out", **changes):
    given = {"camera": Camera(), **changes}
    return Request(told["folder"] / "best.pt", told["movie"], told["folder"] / out, **given)


def predicted(asked, on_frames=lambda *_: None):
    return predict_movie(asked, CATALOG, on_frames)


@pytest.mark.parametrize("table_format", ["thunderstorm_csv", "picasso_hdf5", "smap_csv", "smlmbench_csv"])
def test_every_table_has_photons_background_and_uncertainty(told, table_format):
    camera = Camera(quantum_efficiency=0.8)
    written = predicted(request(told, table_format=table_format, camera=camera))
    assert written.localizations == len(told["at"])
    options = TableOptions(pixel_size_nm=100.0, camera=camera)
    table = read_table(written.table, catalog=CATALOG, format=table_format, options=options)
    assert table.photons.sum() == pytest.approx(told["light"].sum(), rel=0.02)
    assert np.median(table.background_photons) == pytest.approx(8, rel=0.05)
    # 3 to 12 nm at 600 to 3000 photons alone; more beside another.
    assert 3 < np.median(table.sigma_x_nm) < 12
    assert np.isfinite(table.sigma_y_nm).all()
    assert written.measured.said.startswith("photons, background and uncertainty: PSF 1")
    assert written.measured.seconds > 0
    assert 0 < written.measured.share <= 1


def test_photons_in_memory_are_those_on_disk_and_of_one_fit(told):
    written = predicted(request(told, table_format="smlmbench_csv"))
    disk = read_table(written.table, catalog=CATALOG)
    memory = predict_frames(request(told), CATALOG, ArrayMovie(told["pixels"]))
    whole = measured(
        Photometry(KNOWN, {}),
        ArrayFrames(told["pixels"].astype(np.float32)),
        replace(disk, **dict.fromkeys(COLUMNS, np.full(len(disk), np.nan))),
    )
    for name in COLUMNS:
        assert getattr(memory, name) == pytest.approx(getattr(disk, name))
        assert np.median(getattr(whole, name) / getattr(disk, name)) == pytest.approx(1, abs=0.02)


def test_what_was_stopped_ends_with_the_photons_of_one_run(told):
    class StoppedError(Exception):
        pass

    def stop(done, total):
        if done >= 12:
            raise StoppedError

    whole = predicted(request(told, "whole"))
    with pytest.raises(StoppedError):
        predicted(request(told, "parts"), stop)
    again = predicted(request(told, "parts"))
    assert again.resumed == 12
    assert again.table.read_bytes() == whole.table.read_bytes()
    with pytest.raises(StoppedError):
        predicted(request(told, "other"), stop)
    # Without photons it is another result, and begun anew.
    with pytest.raises(FormatError, match=r"of this movie with measured \[True, None\] \(now \[False, None\]\)"):
        predicted(request(told, "other", measure=False))
    assert predicted(request(told, "other", measure=False, overwrite=True)).resumed == 0


def test_a_part_of_a_movie_has_the_photons_of_its_frames(told):
    whole = read_table(predicted(request(told, "whole")).table, catalog=CATALOG)
    part = read_table(predicted(request(told, "part", frames=(10, 20))).table, catalog=CATALOG)
    rows = (whole.frame >= 10) & (whole.frame < 20)
    assert np.array_equal(part.frame, whole.frame[rows])
    assert part.photons == pytest.approx(whole.photons[rows], rel=0.05)


def test_photons_can_be_left_out(told):
    written = predicted(request(told, measure=False))
    assert written.measured is None
    assert written.table.read_text().splitlines()[0] == '"id","frame","x [nm]","y [nm]"'


def test_a_contradiction_of_the_movie_is_a_warning(told):
    told["state"]["facts"]["psf_sigma_nm"] = 160.0
    with pytest.warns(DoubtWarning, match="the one of the training is 160 nm"):
        written = predicted(request(told))
    table = read_table(written.table, catalog=CATALOG)
    assert table.photons.sum() == pytest.approx(told["light"].sum(), rel=0.02)
    with pytest.warns(DoubtWarning, match="the one stated is 180 nm"):
        predict_frames(request(told, psf_sigma_nm=180.0), CATALOG, ArrayMovie(told["pixels"]))


def test_a_network_on_counts_has_photons_with_a_camera_alone(told):
    told["state"]["facts"]["calibrated"] = False
    with pytest.warns(DoubtWarning, match="no photons, background and uncertainty: no camera is given"):
        written = predicted(request(told, "none", camera=None))
    assert "intensity" not in written.table.read_text().splitlines()[0]
    halved = Camera(kind="scmos", e_per_adu=0.5)
    table = read_table(predicted(request(told, camera=halved)).table, catalog=CATALOG)
    assert table.photons.sum() == pytest.approx(0.5 * told["light"].sum(), rel=0.02)


def test_a_network_that_sees_three_frames_measures_the_middle_one(told):
    alone = read_table(predicted(request(told, "alone")).table, catalog=CATALOG)
    told["state"]["context"] = 3
    three = read_table(predicted(request(told, "three")).table, catalog=CATALOG)
    assert three.photons == pytest.approx(alone.photons, rel=0.02)


def test_frames_of_several_channels_have_no_photons_and_it_is_told(told, monkeypatch):
    real = predicting.stream
    monkeypatch.setattr(
        predicting, "stream", lambda *given, **more: (replace(each, frames=None) for each in real(*given, **more))
    )
    with pytest.warns(DoubtWarning, match="no photons, background and uncertainty: frames have several channels"):
        assert predicted(request(told)).measured is None


def test_a_movie_without_emitters_has_nothing_to_be_told(told):
    told["at"].frame[:] = -1
    written = predicted(request(told))
    assert (written.localizations, written.measured) == (0, None)


def test_a_width_that_serves_nothing_is_refused(told):
    with pytest.raises(ConfigError, match=r"a PSF of 3 nm is not accepted"):
        predicted(request(told, psf_sigma_nm=3.0))
    del told["state"]["facts"]["task"]
    with pytest.raises(ConfigError, match="leave --psf-sigma-nm out"):
        predicted(request(told, psf_sigma_nm=130.0))
    assert predicted(request(told)).measured is None
