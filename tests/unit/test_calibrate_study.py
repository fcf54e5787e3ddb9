"""From what was measured of a movie to a study for it: ranges, sizes, and a file that loads."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import smlmbench
from smlmbench.calibrate.contracts import BackgroundFound, CameraFound, DriftFound, Measured, Number, SpotsFound
from smlmbench.calibrate.proposing.budget import LEAST, budget
from smlmbench.calibrate.proposing.ranges import CELL_PX, PHOTONS, cameras, ranges_of
from smlmbench.calibrate.proposing.studyfile import NORMALISATION, Place, study_text
from smlmbench.errors import ConfigError
from smlmbench.psf.draws import quantile
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan

NOTHING = Number.unknown("too few spots")
CAMERA = {"kind": "scmos", "baseline_adu": 100.0, "e_per_adu": 0.5, "read_noise_e": 1.6}


def number(value, share=0.05):
    return Number(value, (1 - share) * value, (1 + share) * value)


def found(**spots) -> Measured:
    """A movie of 64 x 48 px as the room `calibrate` describes it."""
    return Measured(
        name="cells.tif",
        n_frames=500,
        height=48,
        width=64,
        pixel_size_nm=160.0,
        camera_facts=dict(CAMERA),
        camera=CameraFound(number(100.0), number(0.5), number(1.6), NOTHING),
        background=BackgroundFound(number(248.0), (240.0, 256.0), (200.0, 300.0), number(0.01)),
        spots=SpotsFound(
            **{
                "sigma_nm": number(131.0),
                "sigma_spread": number(0.03),
                "photons": number(9000.0),
                "photons_range": (2500.0, 36_000.0),
                "density_per_um2": number(0.05),
                "on_frames": NOTHING,
                "off_frames": NOTHING,
                **spots,
            }
        ),
    )


def with_background(structure=0.01, **changed) -> Measured:
    return replace(found(), background=replace(found().background, structure=number(structure), **changed))


def written(measured, folder, *, truth=None, name="mine.yaml", **size):
    """The study of a movie of four frames, as text and as loaded."""
    movie = folder / measured.name
    tifffile.imwrite(
        movie, np.full((4, measured.height, measured.width), 300, dtype=np.uint16), photometric="minisblack"
    )
    sizes = budget(measured.pixel_size_nm, (measured.height, measured.width), **size)
    text = study_text(measured, ranges_of(measured), sizes, Place(folder / name, movie, truth, ["pixel size 160 nm"]))
    (folder / name).write_text(text, encoding="utf-8")
    return text, load_study(folder / name)


def test_the_study_loads_plans_and_says_where_its_numbers_are_from(tmp_path):
    text, loaded = written(found(), tmp_path)
    plan = make_plan(loaded)
    assert loaded.study.study == "mine"
    assert [cell.model.name for cell in plan.cells] == ["fid_storm", "deep_storm", "srcnn"]
    assert {cell.model.settings["normalisation"] for cell in plan.cells} == {NORMALISATION}
    assert "peaks_gaussian" in {row.reference.name for row in plan.references}
    assert plan.skipped == []
    assert [line for line in plan.warnings if "repeats 1" not in line] == []
    (entry,) = loaded.study.data
    assert entry.apply == [tmp_path / "cells.tif"]
    assert (entry.train.pixel_size_nm, entry.train.field_px) == (160, 32)
    assert entry.train.camera.model_dump(exclude_unset=True) == CAMERA
    for said in (
        "Measured: 248 (236 to 260) photons a pixel; 240 to 256 over frames, 200 to 300 over the field.",
        "Measured: 131 (124 to 138) nm",
        "Measured: 9,000 (8,550 to 9,450) photons a frame; 90 % of the spots 2,500 to 36,000.",
        "Stated by you: pixel size 160 nm.",
        "mine.yaml        (about 10 minutes on 2 cores)",
        "# Not known: depth not measured",
    ):
        assert said in text, said
    comments = [line for line in text.splitlines() if line.lstrip().startswith("# ") and str(tmp_path) not in line]
    assert max(map(len, comments)) <= 200


def test_training_reaches_beyond_the_movie_and_the_conditions_lie_within(tmp_path):
    _, loaded = written(found(), tmp_path)
    (entry,) = loaded.study.data
    train, tests = entry.train, entry.test
    assert list(tests) == ["as-measured", "dim", "wide", "bright-background"]
    assert (train.photons.law, train.background_photons.law, train.density_per_um2.law) == (
        "log_uniform",
        "log_uniform",
        "uniform",
    )
    for name, test in tests.items():
        width = test.psf["sigma_nm"]
        assert train.psf["sigma_nm"]["min"] <= width <= train.psf["sigma_nm"]["max"], name
        assert train.background_photons.min <= test.background_photons <= train.background_photons.max, name
        assert train.density_per_um2.min <= test.density_per_um2 <= train.density_per_um2.max, name
        low, high = quantile(test.photons.model_dump(), torch.tensor([0.05, 0.95], dtype=torch.float64)).tolist()
        assert train.photons.min <= low < high <= train.photons.max, name
    measured = tests["as-measured"]
    assert (measured.psf["sigma_nm"], measured.background_photons, measured.density_per_um2) == (131, 248, 0.05)
    assert measured.photons.median == 9000
    drawn = quantile(measured.photons.model_dump(), torch.tensor([0.05, 0.95], dtype=torch.float64))
    assert (drawn[1] / drawn[0]).item() == pytest.approx(36_000 / 2500, rel=0.01)
    assert tests["wide"].psf["sigma_nm"] == pytest.approx(1.2 * 131, rel=0.01)
    assert tests["bright-background"].background_photons > 2 * 248
    assert tests["dim"].photons.median < 9000 / 2


def test_what_is_unknown_is_assumed_in_words_and_all_else_stays_as_measured(tmp_path):
    text, loaded = written(found(sigma_nm=NOTHING, density_per_um2=NOTHING), tmp_path)
    flat = " ".join(text.replace("#", " ").split())
    assert "Not known: width of the PSF not measured (too few spots); 192 nm, and 35% up and down assumed." in flat
    assert "Not known: density not measured (too few spots);" in flat
    train = loaded.study.data[0].train
    assert train.psf["sigma_nm"] == {"min": 125, "max": 259, "law": "uniform"}
    assert train.photons.max == PHOTONS[1] * 36_000
    _, loaded = written(found(photons=NOTHING, photons_range=(np.nan, np.nan)), tmp_path)
    assert loaded.study.data[0].train.photons.max > loaded.study.data[0].train.photons.min > 0
    _, loaded = written(with_background(level=NOTHING, over_frames=(np.nan, np.nan)), tmp_path)
    assert loaded.study.data[0].train.background_photons.max == 300


def test_what_is_in_doubt_stands_in_the_head_but_for_the_drift_that_nothing_is_drawn_from(tmp_path):
    nowhere = DriftFound(np.zeros(0, np.int64), np.zeros(0), np.zeros(0), NOTHING, ("too few for a drift",))
    text, _ = written(replace(found(doubts=("spots merge",)), doubts=("the gain is odd",), drift=nowhere), tmp_path)
    assert "# Doubtful: the gain is odd.\n# Doubtful: spots merge.\n" in text
    assert "drift" not in text


def test_a_movie_that_says_nothing_and_a_baseline_that_is_too_high_are_refused():
    with pytest.raises(ConfigError, match=r"'cells.tif' says neither .* \(too few spots\)") as caught:
        ranges_of(found(sigma_nm=NOTHING, photons=NOTHING))
    assert "\n" not in str(caught.value)
    below = Number(-12.0, -13.0, -11.0)
    with pytest.raises(ConfigError, match="a background of -12 photons a pixel: the camera's baseline is too high"):
        ranges_of(with_background(level=below))
    near = ranges_of(with_background(level=Number(-0.1, -0.4, 0.2), over_frames=(-0.5, 0.1), over_field=(-0.5, 0.1)))
    assert near.train["background_photons"]["min"] > 0


def test_molecules_that_blink_do_so_where_it_is_tested(tmp_path):
    text, loaded = written(found(on_frames=number(3.2), off_frames=number(150.0)), tmp_path)
    assert "Molecules stay on: 3.2 (3.04 to 3.36) frames on; 150 (142 to 158) frames off." in text.replace(
        "\n    # ", " "
    )
    entry = loaded.study.data[0]
    assert entry.train.track == "iid"
    assert {(test.track.on_frames, test.track.off_frames) for test in entry.test.values()} == {(3.2, 150)}
    blinking = ranges_of(found(on_frames=number(3.2))).tests["dim"]["track"]
    assert blinking == {"name": "blinking", "on_frames": 3.2}
    assert "track" not in ranges_of(found()).tests["dim"]


def test_a_structured_background_is_as_structured_where_it_is_tested():
    """Of what is drawn, places of 10 px differ by the share that was measured."""
    ranges = ranges_of(with_background(0.1))
    assert ranges.train["background"]["change"] > ranges.tests["as-measured"]["background"]["change"]
    scene = ranges.tests["as-measured"] | {"density_per_um2": 1e-9, "pixel_size_nm": 160, "field_px": 60}
    frames, _ = smlmbench.simulate(scene | {"camera": {"kind": "ideal"}}, 60)
    places = frames.reshape(60, 6, 10, 6, 10).mean(axis=(2, 4))
    assert places.std() / places.mean() == pytest.approx(0.1, rel=0.15)
    assert ranges.train["background"]["cell_um"] == pytest.approx(CELL_PX * 0.16)
    assert "background" not in ranges_of(with_background(0.01)).train


def test_training_sees_another_camera_and_tests_the_movies_own(tmp_path):
    _, loaded = written(found(), tmp_path)
    (entry,) = loaded.study.data
    assert [camera.kind for camera in entry.train.cameras] == ["scmos", "emccd"]
    assert {tuple(camera.kind for camera in test.cameras) for test in entry.test.values()} == {("scmos",)}
    register = {"kind": "emccd", "baseline_adu": 100.0, "e_per_adu": 45.0, "em_gain": 300.0, "read_noise_e": 74.4}
    assert [one["kind"] for one in cameras(replace(found(), camera_facts=register))] == ["emccd", "scmos"]
    mapped = {**CAMERA, "maps": {"offset_adu": "o.tif"}}
    assert cameras(replace(found(), camera_facts=mapped)) == (mapped,)
    assert cameras(replace(found(), camera_facts={"kind": "ideal"})) == ({"kind": "ideal"},)
    shown = replace(found(), camera_facts={"kind": "scmos", "read_noise_e": 1.0})
    assert cameras(shown)[0] == {"kind": "scmos", "baseline_adu": 0, "e_per_adu": 1, "read_noise_e": 1.0}


def test_dim_movies_count_their_own_emitters():
    assert ranges_of(found()).train["min_photons"] == 100
    assert ranges_of(found(photons_range=(60.0, 900.0), photons=number(200.0))).train["min_photons"] == 24


@pytest.mark.parametrize(("pixel_nm", "upsampling"), [(160, 8), (100, 4), (65, 4), (40, 2), (20, 2), (200, 8)])
def test_the_fine_grid_follows_the_pixel(pixel_nm, upsampling):
    assert budget(pixel_nm, (256, 256)).upsampling == upsampling


def test_samples_follow_minutes_and_minutes_follow_samples():
    ten, twenty = budget(160, (32, 32)), budget(160, (512, 512), minutes=20)
    assert (ten.minutes, twenty.minutes) == (pytest.approx(10, abs=0.2), pytest.approx(20, abs=0.2))
    assert twenty.samples > 2 * ten.samples
    assert budget(160, (16, 40)).field_px == 16
    assert budget(160, (16, 16)).samples == pytest.approx(4 * ten.samples, rel=0.02)
    assert budget(160, (32, 32), samples=ten.samples).minutes == ten.minutes
    with pytest.raises(ConfigError, match="--samples and --minutes are both given; keep one"):
        budget(160, (32, 32), samples=5, minutes=5)
    with pytest.raises(ConfigError, match=r"--minutes 1: too few to train; give (\d) or more") as caught:
        budget(160, (32, 32), minutes=1)
    assert budget(160, (32, 32), minutes=int(str(caught.value).split("give ")[1][0])).samples >= LEAST


def test_conditions_hold_enough_emitters_and_sparse_ones_end():
    size = budget(160, (32, 32))
    assert size.test_frames(0.3, 160) == 200
    assert size.test_frames(0.001, 160) == 1000
    assert size.test_frames(9, 160) == 100
    assert size.val_frames(0.001, 160) == 1500


def test_names_and_places_of_files_are_written_so_that_they_are_read_again(tmp_path):
    odd = replace(found(), name="2024, cell #1: 'x'.tif")
    text, loaded = written(odd, tmp_path, name="my study #2.yaml")
    (entry,) = loaded.study.data
    assert (loaded.study.study, entry.name) == ("my-study-2", "2024-cell-1-x")
    assert entry.apply == [tmp_path / odd.name]
    assert str(tmp_path) not in yaml.safe_load(text)["data"][0]["apply"][0]
    assert f"smlmbench run '{tmp_path / 'my study #2.yaml'}'" in text
    (tmp_path / "studies").mkdir()
    movie = tmp_path / odd.name
    place = Place(tmp_path / "studies" / "a.yaml", movie, None, ["pixel size"])
    elsewhere = study_text(odd, ranges_of(odd), budget(160, (48, 64)), place)
    assert yaml.safe_load(elsewhere)["data"][0]["apply"] == [str(movie)]


def test_a_table_of_positions_becomes_a_condition(tmp_path):
    truth = tmp_path / "truth.csv"
    truth.write_text("frame,x_nm,y_nm,photons\n0,1000,1200,900\n", encoding="utf-8")
    _, loaded = written(found(), tmp_path, truth=truth)
    condition = loaded.study.data[0].test["own-table"]
    assert (condition.movie, condition.truth) == (tmp_path / "cells.tif", truth)
    assert condition.camera == loaded.study.data[0].train.camera
    assert make_plan(loaded).cells


POSITIVE = st.floats(1e-3, 1e6)


@settings(max_examples=25)
@given(POSITIVE, POSITIVE, st.floats(40, 500), st.floats(1e-4, 20), st.floats(0, 2), st.floats(20, 400), POSITIVE)
def test_whatever_was_measured_is_a_study_that_loads(
    tmp_path_factory, low, more, sigma, density, structure, pixel_nm, on
):
    folder = Path(tmp_path_factory.mktemp("any"))
    measured = found(
        sigma_nm=number(sigma),
        photons=number(low + more / 2),
        photons_range=(low, low + more),
        density_per_um2=number(density),
        on_frames=number(on),
    )
    background = BackgroundFound(number(more), (more / 2, more), (more, 2 * more), number(structure))
    _, loaded = written(replace(measured, background=background, pixel_size_nm=pixel_nm), folder)
    assert make_plan(loaded).cells
