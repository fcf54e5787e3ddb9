import os
from pathlib import Path

import numpy as np
import pytest
import torch
from matched import match

from smlmbench.camera import Camera
from smlmbench.data.contracts import ArrayFrames, Asked, Condition
from smlmbench.data.movie import condition as movie_condition
from smlmbench.errors import ConfigError, SizeError
from smlmbench.predictions import Localizations
from smlmbench.psf.contracts import Canvas, Spots
from smlmbench.psf.gaussian import Gaussian
from smlmbench.references.fitting import fit
from smlmbench.registry import Catalog
from smlmbench.render import rasterise
from smlmbench.study.sources import MovieSource
from smlmbench.truths.emitters import Emitters

CATALOG = Catalog()
SHARED = Path(os.environ.get("SMLMBENCH_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
CENTRE = (np.array([4.5]), np.array([4.5]))
TUBULINS = SHARED / "deepstorm-bundled-tubulins"


def predict(name, condition, output=None, seed=0, **settings):
    filled = CATALOG.card("references", name).fill(name, settings)
    return CATALOG.module("references", name).predict(condition, filled, output or {"upsampling": 4}, seed)


def held(frames, truth=None, *, facts=None, **told):
    frames = ArrayFrames(np.asarray(frames, dtype=np.float32))
    known = None if truth is None else Emitters(truth, 100.0)
    return Condition("t", frames, known, "digest", facts=facts or {}, told={"pixel_size_nm": 100.0, **told})


def isolated(photons=1000.0, background=10.0, n_frames=150, seed=3):
    """Four emitters a frame, 16 px apart, anywhere within their middle pixel; Poisson noise."""
    generator = torch.Generator().manual_seed(seed)
    n = 4 * n_frames
    corner = torch.tensor([[8.0, 8.0], [24.0, 8.0], [8.0, 24.0], [24.0, 24.0]], dtype=torch.float64).repeat(n_frames, 1)
    places = (corner + torch.rand(n, 2, generator=generator, dtype=torch.float64)) * 100
    frame = torch.arange(n_frames).repeat_interleave(4)
    spots = Spots(frame, places[:, 0], places[:, 1], places[:, 0] * 0, torch.full((n,), photons))
    optics = Gaussian(130.0)
    expected = optics.render(spots, optics.shapes(n, generator), Canvas(n_frames, 32, 32, 100.0)) + background
    truth = Localizations.of(
        {
            "frame": frame.numpy(),
            "x_nm": places[:, 0].numpy(),
            "y_nm": places[:, 1].numpy(),
            "photons": np.full(n, photons),
        },
        n_frames=n_frames,
        field_nm=(3200, 3200),
    )
    return held(torch.poisson(expected, generator=generator).numpy(), truth, psf_sigma_nm=130.0)


def test_truth_gives_itself_and_nothing_where_there_is_none():
    made = isolated(n_frames=3)
    found = predict("truth", made)
    assert np.array_equal(found.table.x_nm, made.truth.table.x_nm)
    assert set(found.table.probability) == {1.0}
    assert found.image is None
    assert predict("truth", held(np.zeros((2, 8, 8)))).table is None


def test_random_has_the_true_numbers_and_moves_with_its_seed():
    made = isolated(n_frames=50)
    one, again, other = (predict("random", made, seed=seed).table for seed in (1, 1, 2))
    assert np.array_equal(np.bincount(one.frame), np.full(50, 4))
    assert np.array_equal(one.x_nm, again.x_nm)
    assert not np.array_equal(one.x_nm, other.x_nm)
    assert min(one.x_nm.min(), one.y_nm.min()) >= 0
    assert max(one.x_nm.max(), one.y_nm.max()) < 3200
    # 200 uniform values: the standard error of the mean is 65 nm
    assert one.x_nm.mean() == pytest.approx(1600, abs=270)


def test_random_without_truth_has_the_known_density():
    made = held(np.zeros((400, 20, 10)), facts={"density_per_um2": 3.0})
    found = predict("random", made).table
    assert len(found) == pytest.approx(400 * 3 * 2, abs=5 * 49)
    assert found.y_nm.max() > 1500 > 1000 > found.x_nm.max()


def test_random_finds_as_much_on_frames_without_emitters():
    nothing = Localizations.empty(n_frames=200, field_nm=(1600, 1600))
    made = held(np.zeros((200, 16, 16)), nothing, facts={"density_per_um2": 2.0})
    assert len(predict("random", made).table) == pytest.approx(200 * 2 * 2.56, abs=5 * 32)


def test_blank_is_empty_and_dark():
    found = predict("blank", held(np.ones((5, 6, 8))), {"upsampling": 2})
    assert len(found.table) == 0
    assert found.table.n_frames == 5
    assert found.image.values.shape == (1, 12, 16)
    assert found.image.values.max() == 0
    assert found.image.pixel_nm == 50


def test_mean_stack_spreads_each_pixel_and_keeps_the_sum():
    frames = np.zeros((70, 4, 5))
    frames[:35, 1, 3] = 32
    found = predict("mean_stack", held(frames), {"upsampling": 4})
    assert found.table is None
    image = found.image.values[0]
    assert image.shape == (16, 20)
    assert image.sum() == pytest.approx(16)
    assert (image[4:8, 12:16] == 1).all()


def test_bicubic_keeps_place_and_removes_the_background():
    frames = np.full((3, 9, 9), 7.0)
    frames[:, 2, 6] += 100
    image = predict("bicubic", held(frames), {"upsampling": 8}).image.values[0]
    centres = (np.arange(72) + 0.5) * 12.5
    assert image.min() == 0
    assert image[40:, :20].max() == 0
    assert (image.sum(axis=0) * centres).sum() / image.sum() == pytest.approx(650, abs=0.01)
    assert (image.sum(axis=1) * centres).sum() / image.sum() == pytest.approx(250, abs=0.01)
    # the negative lobes of the kernel are cut, so the sum is a little above 3 x 100
    assert 300 < image.sum() < 450


def test_bicubic_does_not_depend_on_the_size_of_blocks(monkeypatch):
    frames = np.random.default_rng(1).poisson(5, (9, 8, 8))
    whole = predict("bicubic", held(frames)).image.values
    monkeypatch.setattr(CATALOG.module("references", "bicubic"), "FINE_PIXELS", 1)
    assert np.allclose(predict("bicubic", held(frames)).image.values, whole, rtol=1e-5)


@pytest.mark.parametrize(
    ("photons", "background", "least_squares_nm", "bound_nm"),
    [(1000.0, 10.0, 6.279, 5.626), (500.0, 10.0, 9.730, 9.090), (5000.0, 1.0, 2.517, 1.927)],
)
def test_fits_of_isolated_emitters_reach_the_least_squares_limit(photons, background, least_squares_nm, bound_nm):
    made = isolated(photons, background)
    found = predict("peaks_gaussian", made).table
    pairs = match(found, made.truth.table)
    assert len(pairs.found) / len(made.truth) > 0.95
    assert len(pairs.found) / len(found) > 0.95
    x_nm = found.x_nm[pairs.found] - made.truth.table.x_nm[pairs.truth]
    y_nm = found.y_nm[pairs.found] - made.truth.table.y_nm[pairs.truth]
    per_axis = np.sqrt((x_nm**2 + y_nm**2).mean() / 2)
    # 600 fits: the standard error of the root mean square is 2 %
    assert per_axis == pytest.approx(least_squares_nm, rel=0.08)
    assert per_axis > 0.95 * bound_nm
    assert abs(x_nm.mean()) < 5 * per_axis / np.sqrt(len(x_nm))
    assert abs(y_nm.mean()) < 5 * per_axis / np.sqrt(len(y_nm))
    assert np.median(found.sigma_x_nm) == pytest.approx(least_squares_nm, rel=0.03)
    assert np.median(found.photons) == pytest.approx(photons, rel=0.02)
    assert np.median(found.background_photons) == pytest.approx(background, rel=0.06)


def test_a_fixed_width_and_a_wider_window_work_too():
    made = isolated(n_frames=40)
    for settings in ({"free_sigma": False}, {"window_px": 9}, {"sigma_nm": 110.0}):
        found = predict("peaks_gaussian", made, **settings).table
        pairs = match(found, made.truth.table)
        error = found.x_nm[pairs.found] - made.truth.table.x_nm[pairs.truth]
        assert len(pairs.found) / len(made.truth) > 0.95
        assert np.sqrt((error**2).mean()) == pytest.approx(6.28, rel=0.25)


def test_a_higher_threshold_finds_less_and_scores_are_heights():
    made = isolated(photons=300.0, n_frames=40)
    low, high = (predict("peaks_gaussian", made, threshold=threshold).table for threshold in (5, 18))
    assert 0 < len(high) < len(low)
    assert low.probability.min() > 5
    assert high.probability.min() > 18


def test_noise_alone_gives_few_detections():
    frames = np.random.default_rng(2).poisson(20, (100, 32, 32))
    assert len(predict("peaks_gaussian", held(frames)).table) <= 5


@pytest.mark.parametrize(("height", "width"), [(6, 9), (5, 70), (40, 11)])
@pytest.mark.parametrize("sigma_px", [0.7, 1.3])
def test_the_noise_of_every_pixel_of_the_filtered_frame_is_known(height, width, sigma_px):
    """Also at borders, where it is up to a half higher: the standard error of 4000 frames is 1.1 %, five may pass."""
    fitter = CATALOG.module("references", "peaks_gaussian")
    band = fitter._band(np.random.default_rng(5).normal(0, 1, (4000, height, width)), sigma_px)
    gain = fitter._gain(height, width, sigma_px)
    assert gain.shape == (height, width)
    assert band.std(axis=0) == pytest.approx(gain, rel=0.056)
    assert gain.max() > 1.1 * fitter._gain(200, 200, sigma_px)[100, 100]


@pytest.mark.parametrize(("height", "width"), [(1, 64), (64, 1), (2, 64), (64, 3), (4, 4), (1, 1)])
def test_frames_smaller_than_the_window_are_refused(height, width):
    with pytest.raises(
        SizeError, match=f"frames of {width} x {height} px are smaller than the window .* 5 x 5 px; give"
    ):
        predict("peaks_gaussian", held(np.random.default_rng(2).poisson(20, (9, height, width))))


@pytest.mark.parametrize("value", [0.0, 100.1, -3.3])
def test_constant_frames_give_nothing(value):
    assert len(predict("peaks_gaussian", held(np.full((3, 16, 16), value))).table) == 0


def test_frames_of_zeros_between_others_do_not_matter():
    made = isolated(n_frames=6)
    frames = made.frames.values.copy()
    whole = predict("peaks_gaussian", made).table
    frames[2] = 0
    holed = predict("peaks_gaussian", held(frames, made.truth.table, psf_sigma_nm=130.0)).table
    assert np.array_equal(holed.x_nm, whole.x_nm[whole.frame != 2])


def test_emitters_at_the_border_are_fitted_in_a_shifted_window():
    optics = Gaussian(130.0)
    places = torch.tensor([120.0, 1590.0], dtype=torch.float64)
    spots = Spots(torch.tensor([0, 1]), places, places, places * 0, torch.tensor([3000.0, 3000.0]))
    image = optics.render(spots, optics.shapes(2, torch.Generator()), Canvas(2, 17, 17, 100.0)) + 5
    found = predict("peaks_gaussian", held(image.numpy(), psf_sigma_nm=130.0)).table
    assert found.frame.tolist() == [0, 1]
    assert found.x_nm == pytest.approx([120, 1590], abs=1)
    assert found.y_nm == pytest.approx([120, 1590], abs=1)


def test_a_noiseless_window_is_fitted_exactly():
    optics = Gaussian(142.0)
    one = torch.tensor([431.0, 377.0], dtype=torch.float64)
    spots = Spots(torch.zeros(1, dtype=torch.int64), one[:1], one[1:], one[:1], torch.tensor([800.0]))
    window = optics.render(spots, optics.shapes(1, torch.Generator()), Canvas(1, 9, 9, 100.0)) + 12
    found = fit(window.numpy(), *CENTRE, 1.3, free_sigma=True)
    assert found.settled.all()
    assert [found.x_px[0], found.y_px[0]] == pytest.approx([4.31, 3.77], abs=1e-4)
    assert found.sigma_px[0] == pytest.approx(1.42, abs=1e-3)
    assert found.photons[0] == pytest.approx(800, rel=1e-3)
    assert found.background[0] == pytest.approx(12, abs=0.02)


def test_no_windows_give_no_fits():
    assert len(fit(np.zeros((0, 7, 7), dtype=np.float32), np.zeros(0), np.zeros(0), 1.3, free_sigma=True).x_px) == 0


def test_what_needs_a_file_or_a_psf_or_minutes_is_not_among_the_defaults():
    every = {name: CATALOG.card("references", name).facts for name in CATALOG.names("references")}
    facts = {name: fact for name, fact in every.items() if "localization" in fact["tasks"]}
    assert {name for name, fact in facts.items() if fact.get("default", True)} == {
        *("bicubic", "blank", "mean_stack", "peaks_gaussian", "random", "truth"),
        *("gaussian_mle", "multi_emitter"),
    }
    assert set(facts) >= {"file", "oracle_map", "sparse_deconvolution", "spline_mle"}
    gives = {name: {task: said["gives"] for task, said in fact["tasks"].items()} for name, fact in facts.items()}
    assert all(set(fact["tasks"]) & {*CATALOG.names("tasks")} for fact in every.values())
    assert all(kind in ("table", "image", "both") for said in gives.values() for kind in said.values())
    assert {name for name, said in gives.items() if "image_pairs" in said} == {
        "bicubic",
        "blank",
        "mean_stack",
        "truth",
    }
    assert all(said.get("image_pairs", "image") == "image" for said in gives.values())


def test_a_file_of_localizations_is_read_on_the_movie(tmp_path):
    (tmp_path / "t.csv").write_text("frame,x_nm,y_nm,photons\n0,150,250,900\n2,200,100,800\n")
    found = predict("file", held(np.zeros((4, 8, 8))), path=str(tmp_path / "t.csv"))
    assert found.table.x_nm.tolist() == [150, 200]
    assert found.table.n_frames == 4
    assert found.image is None


def test_an_image_needs_a_pixel_and_the_size_of_the_field(tmp_path):
    from scipy import io

    io.savemat(tmp_path / "r.mat", {"recovery": np.arange(64.0).reshape(8, 8)})
    path, made = str(tmp_path / "r.mat"), held(np.zeros((4, 4, 4)))
    found = predict("file", made, path=path, pixel_nm=50)
    assert found.image.values.shape == (1, 8, 8)
    assert found.image.values[0, 1, 2] == 10
    assert found.image.pixel_nm == 50
    with pytest.raises(ConfigError, match="give pixel_nm"):
        predict("file", made, path=path)
    with pytest.raises(SizeError, match="covers 800 x 800 nm but the movie 400 x 400 nm"):
        predict("file", made, path=path, pixel_nm=100)
    with pytest.raises(ConfigError, match="no path"):
        predict("file", made)


@pytest.fixture(scope="module")
def tubulins():
    if not TUBULINS.is_dir():
        pytest.skip("shared data are not here; set SMLMBENCH_DATA")
    source = MovieSource(
        movie=TUBULINS / "testStack_SimulatedMicrotubules.tif",
        truth=TUBULINS / "Positions_Bundeld_Tubulin_Recreated.xlsx",
        pixel_size_nm=100,
        camera=Camera(kind="emccd", baseline_adu=100, e_per_adu=150, em_gain=300),
        psf={"name": "gaussian", "sigma_nm": 110.0},
        track="iid",
    )
    return movie_condition("tubulins", source, {"file": "x"}, Asked("test", 0), CATALOG)


def test_fits_of_a_dense_real_stack_lie_on_its_structure(tubulins):
    few = held(tubulins.frames.read(0, 30), psf_sigma_nm=110.0)
    found = predict("peaks_gaussian", few).table
    assert 10 < len(found) / 30 < 225
    truth = tubulins.truth.part(0, 30).table
    pairs = match(found, truth)
    assert len(pairs.found) / len(found) > 0.9
    # a half-pixel slip of positions would be a mean of 50 nm
    assert abs((found.x_nm[pairs.found] - truth.x_nm[pairs.truth]).mean()) < 10
    assert abs((found.y_nm[pairs.found] - truth.y_nm[pairs.truth]).mean()) < 10


def test_the_published_reconstruction_has_its_known_misfit_under_its_own_rule(tubulins):
    path = str(TUBULINS / "Recovery_SimulatedMicrotubules.mat")
    image = predict("file", tubulins, path=path, pixel_nm=12.5, label_rule="ds").image.values[0].astype(float)

    def misfit(rule):
        truth = rasterise(tubulins.truth.table.x_nm, tubulins.truth.table.y_nm, (512, 512), 12.5, rule)
        scaled = image * (image * truth).sum() / (image**2).sum()
        return ((scaled - truth) ** 2).sum() / (truth**2).sum()

    assert misfit("ds") == pytest.approx(0.309, abs=0.002)
    assert misfit("floor") == pytest.approx(0.488, abs=0.002)
