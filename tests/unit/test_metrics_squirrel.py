"""SQUIRREL: what is blurred, scaled and lifted comes back; gain and offset of either side change nothing."""

import numpy as np
import pytest
from scipy import ndimage

from smlmbench import tasks
from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.errors import ConfigError
from smlmbench.formats import write_image, write_table
from smlmbench.metrics import squirrel
from smlmbench.metrics.evidence import Images, gather
from smlmbench.metrics.squirrel import WIDEST_PX, match
from smlmbench.predictions import Localizations, Prediction
from smlmbench.registry import Catalog
from smlmbench.render import render_table
from smlmbench.run.tables.comparing import compare
from smlmbench.study.schema import Scoring
from smlmbench.tasks.localization import scoring

CATALOG = Catalog()
TASK = tasks.load("localization", CATALOG)
TIMES = 4  # fine pixels per camera pixel


def structure(height=96, width=128, seed=0):
    """A fine image of some lines."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width))
    for _ in range(8):
        start, angle, along = rng.uniform(0, (height, width)), rng.uniform(0, np.pi), np.arange(-200, 200, 0.2)
        rows, columns = (start[0] + along * np.sin(angle)).astype(int), (start[1] + along * np.cos(angle)).astype(int)
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        np.add.at(image, (rows[inside], columns[inside]), 1.0)
    return image


def camera(image, sigma_px):
    """What a camera sees of a fine image: blurred, each camera pixel the mean of its fine ones."""
    blurred = ndimage.gaussian_filter(image, sigma_px, mode="reflect", truncate=8.0)
    height, width = image.shape
    return blurred.reshape(height // TIMES, TIMES, width // TIMES, TIMES).mean(axis=(1, 3))


@pytest.mark.parametrize("sigma_px", [4.0, 6.0, 10.0])
def test_the_blur_gain_and_offset_of_the_camera_come_back(sigma_px):
    image = structure()
    found = match(image, 3.0 * camera(image, sigma_px) + 50.0)
    # the mean over a camera pixel of 4 widens: 4^2 / 12, less the width of a fine pixel that both have
    assert found.sigma_px == pytest.approx(np.hypot(sigma_px, np.sqrt((TIMES**2 - 1) / 12)), rel=0.02)
    assert found.gain == pytest.approx(3.0, rel=0.01)
    assert found.offset == pytest.approx(50.0, abs=0.05)
    assert found.rsp > 0.9999
    assert found.rse < 0.01 * np.ptp(3.0 * camera(image, sigma_px))


def test_the_blur_is_that_of_space():
    """The products of the cosine transform are a Gaussian filter mirrored at the edges, and its plain regression."""
    image, frame = structure(), camera(structure(), 5.0) + np.random.default_rng(1).normal(0, 0.05, (24, 32))
    found = match(image, frame)
    large = enlarged(frame)
    blurred = ndimage.gaussian_filter(image, found.sigma_px, mode="reflect", truncate=8.0)
    gain, offset = np.polyfit(blurred.ravel(), large.ravel(), 1)
    assert (found.gain, found.offset) == pytest.approx((gain, offset), rel=1e-5)
    np.testing.assert_allclose(found.error, np.abs(gain * blurred + offset - large), atol=1e-5)
    assert found.rse == pytest.approx(np.sqrt(np.mean(found.error**2)))
    assert found.rsp == pytest.approx(np.corrcoef(blurred.ravel(), large.ravel())[0, 1], rel=1e-6)


def enlarged(frame):
    """Each camera pixel's value at its middle, cosines between, written as a sum over them."""
    axes = []
    for size in frame.shape:
        coarse, fine = (np.arange(size) + 0.5) / size, (np.arange(size * TIMES) + 0.5) / (size * TIMES)
        waves = np.arange(size)
        scale = np.where(waves == 0, 1, 2) / size
        axes.append(np.cos(np.pi * np.outer(fine, waves)) * scale @ np.cos(np.pi * np.outer(waves, coarse)))
    return axes[0] @ frame @ axes[1].T


def test_no_other_width_is_better():
    image, frame = structure(), camera(structure(), 5.0) + np.random.default_rng(1).normal(0, 0.2, (24, 32))
    found, large = match(image, frame), enlarged(frame)
    for sigma_px in np.linspace(0.5, WIDEST_PX * TIMES, 60):
        blurred = ndimage.gaussian_filter(image, sigma_px, mode="reflect", truncate=8.0)
        assert np.corrcoef(blurred.ravel(), large.ravel())[0, 1] <= found.rsp + 1e-6


@pytest.mark.parametrize("gain", [1e-3, 800.0, 1e200])
@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_gain_and_offset_of_the_image_change_nothing(gain, offset):
    image, frame = structure(seed=2), camera(structure(), 5.0)
    plain, other = match(image, frame), match(gain * (image + offset), frame)
    assert (other.rsp, other.rse, other.sigma_px) == pytest.approx((plain.rsp, plain.rse, plain.sigma_px), rel=1e-4)
    assert other.gain * gain == pytest.approx(plain.gain, rel=1e-4)


def test_the_error_has_the_unit_of_the_frame():
    image, frame = structure(seed=2), camera(structure(), 5.0)
    plain, scaled = match(image, frame), match(image, 1000.0 * frame + 7.0)
    assert scaled.rse == pytest.approx(1000 * plain.rse)
    assert scaled.rsp == pytest.approx(plain.rsp)


def test_another_structure_is_worse_and_an_inverted_one_is_no_match():
    frame = camera(structure(), 5.0)
    right, wrong, inverted = (match(image, frame) for image in (structure(), structure(seed=5), -structure()))
    assert right.rsp > 0.999 > 0.7 > wrong.rsp
    assert right.rse < 0.1 * wrong.rse
    assert inverted.gain == 0.0
    assert inverted.rsp <= 0.0
    assert inverted.rse == pytest.approx(np.std(enlarged(frame)))


def test_half_a_camera_pixel_of_shift_is_seen():
    image = structure()
    frame = camera(image, 5.0)
    shifted = match(np.roll(image, (TIMES // 2, TIMES // 2), (0, 1)), frame)
    assert shifted.rse > 5 * match(image, frame).rse


def test_a_width_is_found_in_nm_and_no_wider_than_4_camera_pixels():
    image = structure()
    given = gather(None, None, images=Images(image, None, 25.0, camera(image, 6.0)))
    answers = squirrel.measure(given)
    assert answers["squirrel_sigma_nm"] == pytest.approx(25.0 * match(image, camera(image, 6.0)).sigma_px)
    wide = match(image, camera(image, 30.0))
    assert wide.sigma_px == pytest.approx(WIDEST_PX * TIMES, rel=1e-3)
    unknown = squirrel.measure(gather(None, None, images=Images(image, None, mean_frame=camera(image, 6.0))))
    assert unknown["squirrel_sigma_nm"] == "the pixel of the image is unknown"
    assert unknown["rsp"] == answers["rsp"]


@pytest.mark.parametrize(
    ("image", "frame", "reason"),
    [
        (np.eye(8), None, "no frames were given"),
        (None, np.eye(4), "this row gives no image"),
        (np.eye(9), np.eye(4), "an image of 9 x 9 is no whole multiple of the frame's 4 x 4 pixels"),
        (np.eye(8, 16), np.eye(4), "an image of 8 x 16 is no whole multiple of the frame's 4 x 4 pixels"),
        (np.full((8, 8), 0.1), np.eye(4), "the image is constant"),
        (np.zeros((8, 8)), np.eye(4), "the image is constant"),
        (np.eye(8), np.full((4, 4), 0.1), "the mean frame is constant"),
        (np.full((8, 8), np.nan), np.eye(4), "an image has values that are not finite"),
        (np.eye(8), np.full((4, 4), np.inf), "an image has values that are not finite"),
        (np.zeros((0, 0)), np.zeros((0, 0)), "no images"),
    ],
)
def test_reasons_for_no_number(image, frame, reason):
    given = gather(None, None, images=Images(image, None, 12.5, frame))
    assert squirrel.measure(given) == dict.fromkeys(squirrel.CARD["gives"], reason)


class Movie:
    """Frames of two channels that count how they are read."""

    def __init__(self, n_frames=70, height=256, width=300):
        self.n_frames, self.height, self.width = n_frames, height, width
        self.values = np.random.default_rng(3).random((n_frames, 2, height, width), dtype=np.float32)
        self.read_in_all, self.longest = 0, 0

    def read(self, start, stop):
        self.read_in_all, self.longest = self.read_in_all + stop - start, max(self.longest, stop - start)
        return self.values[start:stop]


def test_the_mean_frame_is_read_in_blocks_and_once(monkeypatch):
    monkeypatch.setattr(scoring, "BLOCK_BYTES", 2**21)
    movie = Movie()
    expected = movie.values.sum(axis=1, dtype=np.float64).mean(axis=0)
    for _ in range(2):
        np.testing.assert_allclose(scoring.mean_frame(movie), expected, rtol=1e-6)
    assert movie.read_in_all == movie.n_frames
    assert movie.longest <= 2**21 // (4 * 256 * 300)


def test_a_row_on_frames_without_truth_is_held_to_their_mean():
    """Its table is drawn on its grid; half of the true places are worse than all, and one camera pixel of shift too."""
    rng, side = np.random.default_rng(0), 32
    x_nm, y_nm = rng.uniform(300, 2900, (2, 60))
    image = render_table(rows(x_nm, y_nm), None, 25.0).values[0].astype(np.float64)
    frame = camera(image, 5.0)
    noise = rng.normal(0, 0.001, (50, side, side))
    seen = Condition("c", ArrayFrames((frame + noise).astype(np.float32)), None, told={"pixel_size_nm": 100.0})
    given = ((x_nm, y_nm), (x_nm[::2], y_nm[::2]), (x_nm + 100, y_nm))
    found = [TASK.score(Prediction(rows(*places), None, 25.0), seen, Scoring()).values for places in given]
    assert found[0]["rsp"] > 0.99 > 0.9 > found[1]["rsp"]
    assert found[0]["rse"] < 0.3 * min(found[1]["rse"], found[2]["rse"])
    assert 100 < found[0]["squirrel_sigma_nm"] < 150


def rows(x_nm, y_nm):
    columns = {"frame": np.zeros(len(x_nm)), "x_nm": x_nm, "y_nm": y_nm}
    return Localizations.of(columns, n_frames=50, field_nm=(3200.0, 3200.0))


@pytest.fixture
def files(tmp_path):
    """A table of a program, the image of it, and what a camera sees of the field; pixels of 25 and 100 nm."""
    rng = np.random.default_rng(0)
    table = rows(*rng.uniform(300, 2900, (2, 200)))
    image = render_table(table, None, 25.0).values[0]
    write_table(table, tmp_path / "t.csv", catalog=CATALOG, format="smlmbench_csv")
    for name, pixels, pixel_nm in (("i.tif", image, 25.0), ("w.tif", camera(image, 5.0), 100.0)):
        write_image(tmp_path / name, np.asarray(pixels, np.float32), pixel_nm, catalog=CATALOG)
    return tmp_path


@pytest.mark.parametrize("found", ["t.csv", "i.tif"])
def test_a_widefield_image_needs_no_truth(files, found):
    options = {"widefield": files / "w.tif", "field_nm": (3200.0, 3200.0), "fine_pixel_nm": 25.0}
    scores, _ = compare(files / found, None, options, CATALOG)
    assert scores.values["rsp"] > 0.999
    assert scores.values["squirrel_sigma_nm"] == pytest.approx(25 * np.hypot(5, np.sqrt(15 / 12)), rel=0.02)
    assert scores.reasons["jaccard"] == "the condition has no true positions" or found == "i.tif"
    with_truth, _ = compare(files / found, files / "t.csv", options, CATALOG)
    assert with_truth.values["rse"] == pytest.approx(scores.values["rse"])
    without, _ = compare(files / found, files / "t.csv", options | {"widefield": None}, CATALOG)
    assert without.reasons["rse"] == "no frames were given"


def test_what_cannot_be_held_to_a_widefield_image_is_refused(files):
    with pytest.raises(ConfigError, match="no true table and no widefield image is given; give one"):
        compare(files / "i.tif", None, {}, CATALOG)
    with pytest.raises(ConfigError, match="needs the field of the image; add --field-nm"):
        compare(files / "t.csv", None, {"widefield": files / "w.tif"}, CATALOG)
    options = {"widefield": files / "w.tif", "field_nm": (3200.0, 3200.0), "fine_pixel_nm": 30.0}
    assert "no whole multiple" in compare(files / "t.csv", None, options, CATALOG)[0].reasons["rsp"]
