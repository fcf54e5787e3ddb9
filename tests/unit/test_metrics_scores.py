from dataclasses import replace

import numpy as np
import pytest

from smlmbench.errors import SizeError
from smlmbench.metrics.evidence import Facts, Images, SignalFree, gather
from smlmbench.predictions import Localizations
from smlmbench.registry.catalog import Catalog
from smlmbench.study.schema import Scoring

CATALOG = Catalog()
SIDE = 6400.0


def measure(name, evidence):
    return CATALOG.module("metrics", name).measure(evidence)


def table(n_frames=1, **columns):
    return Localizations.of(columns, n_frames=n_frames, field_nm=(SIDE, SIDE))


def scene(seed=0, n=2000, n_frames=20, three_d=False):
    rng = np.random.default_rng(seed)
    z = rng.uniform(-300, 300, n) if three_d else np.full(n, np.nan)
    return table(
        n_frames,
        frame=rng.integers(0, n_frames, n),
        x_nm=rng.uniform(0, SIDE, n),
        y_nm=rng.uniform(0, SIDE, n),
        z_nm=z,
        photons=rng.uniform(500, 3000, n),
    )


def moved(truth, seed=1, sigma_nm=10.0, **shift):
    rng = np.random.default_rng(seed)
    columns = dict(truth.columns())
    for axis in ("x_nm", "y_nm", "z_nm"):
        columns[axis] = columns[axis] + rng.normal(0, sigma_nm, len(truth)) + shift.get(axis, 0.0)
    return Localizations.of(columns, n_frames=truth.n_frames, field_nm=truth.field_nm)


EMPTY = Localizations.empty(n_frames=20, field_nm=(SIDE, SIDE))
LINES = {
    "efficiency",
    "jaccard",
    "precision",
    "recall",
    "f1",
    "rmse",
    "bias",
    "mjac_c",
    "challenge_2016",
    "hungarian",
    "photons",
}
OTHERS = {"false_per_1000um2", "nmse", "psnr", "ssim", "ms_ssim"}


def full_evidence(three_d=False):
    truth = scene(three_d=three_d)
    rng = np.random.default_rng(5)
    image = rng.random((176, 176))
    return gather(
        moved(truth),
        truth,
        facts=Facts(three_d=three_d, density_per_um2=2.4),
        images=Images(image + 0.1 * rng.random(image.shape), image, 12.5),
        signal_free=SignalFree(EMPTY, 2621.44),
    )


@pytest.mark.parametrize("name", sorted(LINES | OTHERS))
def test_a_metric_gives_the_numbers_of_its_card_inside_their_range(name):
    card = CATALOG.card("metrics", name)
    answers = measure(name, full_evidence(three_d=True))
    assert list(answers) == list(card.gives)
    of_images = name in ("ms_ssim", "nmse", "psnr", "ssim")
    dense = name in ("ms_ssim", "psnr", "ssim")
    assert card.tasks == ["localization", *["image_pairs"] * of_images, *["densification"] * dense]
    for key, value in answers.items():
        facts = card.gives[key]
        assert type(value) is float, f"{key}: {value}"
        assert (
            (-np.inf if facts.low is None else facts.low) <= value <= (np.inf if facts.high is None else facts.high)
        ), key


@pytest.mark.parametrize("name", sorted(LINES | OTHERS))
def test_a_metric_says_why_it_cannot_be_computed(name):
    nothing = gather(None, None, reasons={"found": "image only", "image": "table only", "signal_free": "a file"})
    answers = measure(name, nothing)
    expected = "image only" if name in LINES else "a file" if name == "false_per_1000um2" else "table only"
    assert set(answers.values()) == {expected}
    assert set(answers) == set(CATALOG.card("metrics", name).gives)


def test_no_truth_is_told_from_no_table():
    assert measure("jaccard", gather(EMPTY, None)) == {"jaccard": "the condition has no true positions"}
    assert measure("jaccard", gather(None, EMPTY)) == {"jaccard": "this row gives no table of localizations"}


def test_metrics_of_plugins_find_what_evidence_has_always_told():
    evidence = gather(scene(), scene(), facts=Facts(frame_shift=7, density_per_um2=0.5))
    assert (evidence.frame_shift, evidence.density_per_um2, evidence.matches.n_matched) == (7, 0.5, len(scene()))


def test_the_truth_itself_is_perfect():
    truth = scene(three_d=True)
    evidence = gather(truth, truth, facts=Facts(three_d=True))
    for name in ("jaccard", "precision", "recall", "f1"):
        assert measure(name, evidence) == {name: 1.0}
    assert measure("efficiency", evidence) == {"efficiency": 100.0}
    assert measure("rmse", evidence) == {"rmse_nm": 0.0, "rmse_axial_nm": 0.0}
    assert measure("photons", evidence) == {"photons_r": pytest.approx(1.0), "photons_bias": 0.0}
    assert measure("mjac_c", evidence)["mjac_c"] == 1.0


def test_an_empty_prediction_scores_0_and_has_no_rmse():
    evidence = gather(EMPTY, scene())
    assert measure("efficiency", evidence) == {"efficiency": 0.0}
    assert measure("jaccard", evidence) == {"jaccard": 0.0}
    assert measure("recall", evidence) == {"recall": 0.0}
    assert measure("precision", evidence) == {"precision": "no detection counts here"}
    assert measure("rmse", evidence) == {"rmse_nm": "no detection was matched", "rmse_axial_nm": "scored in 2-D"}
    assert measure("bias", evidence)["bias_x_nm"] == "no detection was matched"
    assert measure("mjac_c", evidence) == {"mjac_c": 0.0, "chance_jaccard": 0.0}
    assert measure("challenge_2016", evidence)["challenge_rmse_nm_t25"] == "no detection was matched"
    assert measure("challenge_2016", evidence)["challenge_efficiency"] == 0.0


def test_detections_where_no_emitter_counts_have_no_score():
    evidence = gather(scene(), EMPTY)
    names = ("jaccard", "precision", "recall", "f1", "efficiency")
    for name in names:
        assert measure(name, evidence) == {name: "no true emitter counts here"}
    dim = scene()
    dim = replace(dim, photons=np.full(len(dim), 5.0), frame=dim.frame[::-1])
    counted = measure("jaccard", gather(scene(), dim))["jaccard"]
    assert counted in ("no true emitter counts here", "neither a true emitter nor a detection counts here")


def test_nothing_against_nothing_is_no_score():
    evidence = gather(EMPTY, EMPTY)
    for name in sorted(LINES - {"photons"}):
        numbers = {k: v for k, v in measure(name, evidence).items() if k not in ("rmse_axial_nm", "bias_z_nm")}
        allowed = {"neither a true emitter nor a detection counts here", "no detection was matched"}
        assert set(numbers.values()) <= allowed, name


def test_one_detection_50_nm_away():
    truth, found = table(frame=[0], x_nm=[3000], y_nm=[3000]), table(frame=[0], x_nm=[3030], y_nm=[3040])
    evidence = gather(found, truth)
    assert measure("rmse", evidence)["rmse_nm"] == pytest.approx(50)
    assert measure("efficiency", evidence)["efficiency"] == pytest.approx(50)
    assert measure("bias", evidence) == {
        "bias_x_nm": pytest.approx(30),
        "bias_y_nm": pytest.approx(40),
        "bias_z_nm": "scored in 2-D",
    }


def test_the_radial_error_is_root_two_of_the_error_per_axis_and_bias_is_seen():
    truth = scene(n=4000, n_frames=200)
    evidence = gather(moved(truth, sigma_nm=12.0, x_nm=6.25), truth)
    matched = len(evidence.matches.found)
    half_pixel = np.hypot(12.0 * np.sqrt(2), 6.25)
    assert measure("rmse", evidence)["rmse_nm"] == pytest.approx(half_pixel, rel=4 / np.sqrt(2 * matched))
    assert measure("bias", evidence)["bias_x_nm"] == pytest.approx(6.25, abs=4 * 12 / np.sqrt(matched))
    assert measure("bias", evidence)["bias_y_nm"] == pytest.approx(0.0, abs=4 * 12 / np.sqrt(matched))


def test_a_shift_by_one_frame_scores_at_chance():
    truth = scene(n=8000, n_frames=20)
    shifted = truth.shifted(1)
    wrapped = shifted.select(np.arange(len(truth)))
    wrapped.frame[:] %= 20
    evidence = gather(wrapped, truth)
    chance = measure("mjac_c", gather(moved(truth), truth))["chance_jaccard"]
    assert 0.4 < chance < 0.6  # 9.8 per um2; table of the standard: 52.3 % at 10
    assert measure("jaccard", evidence)["jaccard"] == pytest.approx(chance, abs=0.03)
    shift_two = measure("mjac_c", gather(wrapped, truth, facts=Facts(frame_shift=3)))["mjac_c"]
    assert shift_two == pytest.approx(0.0, abs=0.03)


def test_mjac_c_is_the_mean_over_tolerances():
    # one frame with an error of 60 nm, the other perfect; 2 um apart, so chance is 0
    truth = table(2, frame=[0, 1], x_nm=[1000, 3000], y_nm=[3000, 3000])
    found = table(2, frame=[0, 1], x_nm=[1060, 3000], y_nm=[3000, 3000])
    # 25 and 50 nm: TP 1, FP 1, FN 1; 75 ... 250 nm: TP 2
    assert measure("mjac_c", gather(found, truth)) == {"mjac_c": pytest.approx((2 / 3 + 8) / 10), "chance_jaccard": 0.0}


def test_mjac_c_needs_frames_that_are_apart():
    truth = scene(n_frames=20)
    answers = measure("mjac_c", gather(truth, truth, facts=Facts(frame_shift=11)))
    assert answers["mjac_c"] == "20 frames are too few for a chance score 11 frames apart"
    still = table(3, frame=[0, 1, 2], x_nm=[900] * 3, y_nm=[900] * 3)
    assert measure("mjac_c", gather(still, still))["mjac_c"] == "every frame shows the same emitters: chance is perfect"


def test_false_detections_per_area():
    free = SignalFree(table(64, frame=[0, 5, 9], x_nm=[1, 2, 3], y_nm=[1, 2, 3]), area_um2=64 * 10.24)
    answer = measure("false_per_1000um2", gather(None, None, signal_free=free))
    assert answer == {"false_per_1000um2": pytest.approx(3000 / 655.36)}
    none = SignalFree(EMPTY, area_um2=0.0)
    assert measure("false_per_1000um2", gather(None, None, signal_free=none)) == {
        "false_per_1000um2": "the signal-free frames have no area"
    }


def test_the_challenge_has_rules_of_its_own():
    truth = table(frame=[0, 0], x_nm=[1000, 2000], y_nm=[3000, 3000], photons=[50, 1000])
    found = table(frame=[0], x_nm=[2030], y_nm=[3040], photons=[800])
    loose = Scoring(lateral_nm=20, border_nm=0)
    answers = measure("challenge_2016", gather(found, truth, facts=Facts(scoring=loose)))
    assert answers["challenge_jaccard"] == 0.5
    assert answers["challenge_jaccard_t25"] == 1.0
    assert answers["challenge_rmse_nm"] == answers["challenge_rmse_nm_t25"] == pytest.approx(50)
    assert answers["challenge_efficiency"] == pytest.approx(100 - np.hypot(50, 50))
    assert answers["challenge_efficiency_t25"] == pytest.approx(50)


def test_the_challenge_needs_the_field_and_its_threshold_the_photons():
    truth = table(frame=[0], x_nm=[1000], y_nm=[3000])
    bare = measure("challenge_2016", gather(truth, truth, facts=Facts(field_known=False)))
    assert set(bare.values()) == {"the challenge's border needs the field: give --field-nm"}
    answers = measure("challenge_2016", gather(truth, truth))
    assert answers["challenge_jaccard"] == 1.0
    assert answers["challenge_jaccard_t25"] == "the threshold needs the photons of every true emitter"


def test_hungarian_beside_the_headline():
    truth = table(frame=[0, 0], x_nm=[3000, 3100], y_nm=[3000, 3000])
    found = table(frame=[0, 0], x_nm=[3090, 3240], y_nm=[3000, 3000])
    evidence = gather(found, truth, facts=Facts(scoring=Scoring(lateral_nm=150)))
    assert measure("jaccard", evidence)["jaccard"] == pytest.approx(1 / 3)
    assert measure("hungarian", evidence) == {
        "jaccard_hungarian": 1.0,
        "rmse_hungarian_nm": pytest.approx(np.sqrt((90**2 + 140**2) / 2)),
    }
    headline = gather(found, truth, facts=Facts(scoring=Scoring(lateral_nm=150, matcher="hungarian")))
    assert measure("jaccard", headline) == {"jaccard": 1.0}


def test_photons_of_pairs():
    truth = table(frame=[0] * 4, x_nm=[1000, 2000, 3000, 4000], y_nm=[3000] * 4, photons=[1000, 2000, 3000, np.nan])
    found = table(frame=[0] * 4, x_nm=[1000, 2000, 3000, 4000], y_nm=[3000] * 4, photons=[900, 1800, 2700, 10])
    assert measure("photons", gather(found, truth)) == {
        "photons_r": pytest.approx(1.0),
        "photons_bias": pytest.approx(-0.1),
    }
    unknown = table(frame=[0], x_nm=[1000], y_nm=[3000])
    answers = measure("photons", gather(unknown, truth))
    assert set(answers.values()) == {"the found table has no photons"}
    assert set(measure("photons", gather(found, unknown)).values()) == {"the true table has no photons"}
    apart = measure("photons", gather(found.select(np.array([3])), truth))
    assert set(apart.values()) == {"no matched pair has photons on both sides"}
    few = measure("photons", gather(found.select(np.array([0, 1])), truth))
    assert few["photons_r"] == "a correlation needs 3 pairs of different brightness"


def test_images_of_different_grids_are_refused():
    with pytest.raises(SizeError, match=r"images of shape \(4, 4\) and \(8, 8\); give \(H, W\) on one grid"):
        gather(None, None, images=Images(np.ones((4, 4)), np.ones((8, 8)), 12.5))


@pytest.mark.parametrize("size", [0.0, 1e-200, 800.0, 800.0 + 1e-7])
def test_photons_that_differ_by_rounding_alone_have_no_correlation(size):
    rows = {"frame": np.arange(4), "x_nm": np.full(4, 900.0), "y_nm": np.full(4, 900.0)}
    truth = Localizations.of({**rows, "photons": [500.0, 600, 700, 800]}, n_frames=4, field_nm=(2000.0, 2000.0))
    wobble = np.array([1, -1, 1, -1]) * 1e-13
    found = Localizations.of({**rows, "photons": size * (1 + wobble)}, n_frames=4, field_nm=(2000.0, 2000.0))
    said = measure("photons", gather(found, truth))
    assert said["photons_r"] == "a correlation needs 3 pairs of different brightness"
    assert said["photons_bias"] == pytest.approx(size / 650 - 1)
    said = measure("photons", gather(truth, found, facts=Facts(min_photons=0.0)))
    assert isinstance(said["photons_bias"], str) == (size < 1)


def test_frames_without_an_end_have_no_false_detections_per_area():
    dark = Localizations.empty(n_frames=4, field_nm=(2000.0, 2000.0))
    for area_um2 in (0.0, -1.0, np.inf, np.nan):
        said = measure("false_per_1000um2", gather(None, None, signal_free=SignalFree(dark, area_um2)))
        assert said["false_per_1000um2"] == "the signal-free frames have no area"
