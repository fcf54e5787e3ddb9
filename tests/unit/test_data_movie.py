import gc
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from smlmbench import data
from smlmbench.camera import Camera
from smlmbench.data.contracts import ArrayFrames, Asked, Scope
from smlmbench.data.crops import CropTraining, Pages, turn_crop, turn_places
from smlmbench.data.movie import condition, training_set
from smlmbench.errors import ConfigError, FormatError, LossWarning, PairingError, SizeError
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog
from smlmbench.study.cells import DataPlan
from smlmbench.study.sources import MovieSource, Part, SimulateSource

CATALOG = Catalog()
CAMERA = Camera(kind="scmos", baseline_adu=100, e_per_adu=0.5)
SHARED = Path(os.environ.get("SMLMBENCH_DATA", Path(__file__).parents[2].parent / "shared" / "data"))


def write(folder, n_frames=20, height=40, width=60, rows=None):
    """A movie whose pixel values name their place, and a table of emitters."""
    rows = rows if rows is not None else [(frame, 150.0 + frame, 250.0, 1000) for frame in range(n_frames)]
    y, x = np.mgrid[:height, :width]
    adu = 100 + 2 * (np.arange(n_frames)[:, None, None] * 100 + y + x)
    tifffile.imwrite(folder / "m.tif", adu.astype(np.uint16), photometric="minisblack")
    lines = [f"{frame},{x_nm},{y_nm},{photons}" for frame, x_nm, y_nm, photons in rows]
    (folder / "t.csv").write_text("frame,x_nm,y_nm,photons\n" + "\n".join(lines) + "\n")
    return {"movie": folder / "m.tif", "truth": folder / "t.csv", "pixel_size_nm": 100, "camera": CAMERA}


def held(source, role="test"):
    return condition("b", source, {"file": "x"}, Asked(role, 1, ("signal_free",)), CATALOG)


def stream_of(source, identity=None, **scope):
    return training_set(source, identity or {}, Scope(**{"root_seed": 1, **scope}), CATALOG)


def spot_crops(x_nm, y_nm, side=16, augment=True, n=200):
    """A stream of crops of one bright spot at a place, without noise."""
    from smlmbench.psf.contracts import Canvas, Spots
    from smlmbench.psf.gaussian import Gaussian

    one = torch.tensor([x_nm, y_nm], dtype=torch.float64)
    spots = Spots(torch.zeros(1, dtype=torch.int64), one[:1], one[1:], one[:1], torch.tensor([1000.0]))
    optics = Gaussian(110.0)
    image = optics.render(spots, optics.shapes(1, torch.Generator()), Canvas(1, 20, 24, 100.0)).numpy()
    truth = Localizations.of({"frame": [0], "x_nm": [x_nm], "y_nm": [y_nm]}, n_frames=1, field_nm=(2400, 2000))
    return CropTraining(ArrayFrames(image), truth, 100.0, side, Scope(1, augment=augment), ("train", "d"))


@pytest.mark.parametrize("symmetry", range(8))
def test_a_turned_emitter_stays_on_its_light(symmetry):
    # 437 nm lies off the centre of pixel 4, 1162 nm off that of pixel 11: a half-pixel slip would show
    stream = spot_crops(437.0, 1162.0)
    number = next(k for k in range(9000) if stream.place(k).symmetry == symmetry and stream.place(k)[1:3] == (2, 1))
    batch = stream.batch(number, 1)
    image = batch.inputs[0, 0].double()
    centres = (torch.arange(16) + 0.5) * 100
    assert float((image.sum(dim=0) * centres).sum() / image.sum()) == pytest.approx(float(batch.truth.x_nm[0]), abs=0.5)
    assert float((image.sum(dim=1) * centres).sum() / image.sum()) == pytest.approx(float(batch.truth.y_nm[0]), abs=0.5)


def test_the_eight_symmetries_differ_and_move_places_by_hand():
    crop = np.arange(16, dtype=np.float32).reshape(4, 4)
    assert len({turn_crop(crop, symmetry).tobytes() for symmetry in range(8)}) == 8
    x_nm, y_nm = np.array([30.0]), np.array([110.0])
    assert [float(v[0]) for v in turn_places(x_nm, y_nm, 0, 400)] == [30, 110]
    assert [float(v[0]) for v in turn_places(x_nm, y_nm, 1, 400)] == [370, 110]
    assert [float(v[0]) for v in turn_places(x_nm, y_nm, 2, 400)] == [30, 290]
    assert [float(v[0]) for v in turn_places(x_nm, y_nm, 4, 400)] == [110, 30]
    assert [float(v[0]) for v in turn_places(x_nm, y_nm, 7, 400)] == [290, 370]


def test_without_augmentation_crops_are_cut_as_they_are():
    stream = spot_crops(437.0, 1162.0, augment=False)
    for number in range(20):
        place, batch = stream.place(number), stream.batch(number, 1)
        assert place.symmetry == 0
        inside = place.column * 100 <= 437 and place.row * 100 + 1600 > 1162
        assert len(batch.truth.x_nm) == inside
        if inside:
            assert float(batch.truth.x_nm[0]) == pytest.approx(437 - 100 * place.column, abs=1e-3)


def test_sample_k_is_the_same_in_every_batch(tmp_path):
    source = MovieSource(**write(tmp_path), crop_px=16)
    stream = stream_of(source, {"file": "x"})
    whole = stream.batch(0, 40)
    parts = [stream.batch(first, count) for first, count in ((0, 7), (7, 1), (8, 32))]
    assert torch.equal(torch.cat([part.inputs for part in parts]), whole.inputs)
    assert torch.equal(torch.cat([part.truth.x_nm for part in parts]), whole.truth.x_nm)
    assert torch.equal(torch.cat([part.truth.sample + part.first for part in parts]), whole.truth.sample)
    assert whole.inputs.shape == (40, 1, 16, 16)
    assert stream.sample_shape == (1, 16, 16)
    other = stream_of(source, {"file": "x"}, repeat=1)
    assert not torch.equal(other.batch(0, 40).inputs, whole.inputs)


@pytest.mark.parametrize("augment", [False, True])
def test_a_window_of_crops_holds_the_neighbours_in_time_at_one_place(tmp_path, augment):
    # the pixels of `write` rise by 100 photons from frame to frame and stay the same otherwise
    source = MovieSource(**write(tmp_path, 4), crop_px=16)
    plain, seen = (stream_of(source, augment=augment, context=context) for context in (1, 3))
    one, batch = plain.batch(0, 60), seen.batch(0, 60)
    assert batch.inputs.shape == (60, 3, 16, 16)
    assert torch.equal(batch.inputs[:, 1:2], one.inputs)
    frames = [plain.place(number).frame for number in range(60)]
    assert set(frames) == {0, 1, 2, 3}
    for frame, (before, middle, after) in zip(frames, batch.inputs, strict=True):
        # the ends of the movie are repeated
        torch.testing.assert_close(middle - before, torch.full((16, 16), 0.0 if frame == 0 else 100.0))
        torch.testing.assert_close(after - middle, torch.full((16, 16), 0.0 if frame == 3 else 100.0))
    assert torch.equal(batch.truth.x_nm, one.truth.x_nm)
    assert torch.equal(batch.truth.sample, one.truth.sample)
    assert torch.equal(batch.frame_range, one.frame_range)
    assert torch.equal(seen.batch(7, 5).inputs, batch.inputs[7:12])
    assert seen.sample_shape == (1, 16, 16)


def test_places_cover_all_frames_symmetries_and_positions(tmp_path):
    stream = stream_of(MovieSource(**write(tmp_path, 5), crop_px=32))
    places = [stream.place(k) for k in range(2000)]
    assert {place.frame for place in places} == set(range(5))
    assert {place.symmetry for place in places} == set(range(8))
    assert {place.row for place in places} == set(range(9))
    assert {place.column for place in places} == set(range(29))


def test_frames_are_photons_and_targets_are_bright_or_unknown(tmp_path):
    rows = [(0, 150.0, 250.0, 99), (0, 1550.0, 250.0, 101), (0, 3000.0, 250.0, "nan")]
    source = MovieSource(**write(tmp_path, 1, 40, 40, rows), crop_px=40)
    stream = stream_of(source, augment=False)
    batch = stream.batch(0, 1)
    assert float(batch.inputs[0, 0, 3, 7]) == pytest.approx(10)
    assert batch.truth.x_nm.tolist() == [1550, 3000]
    assert len(held(source).truth) == 3
    assert held(source).calibrated


def test_uncalibrated_movies_keep_their_counts(tmp_path):
    source = MovieSource(**{**write(tmp_path), "camera": "uncalibrated"})
    made = held(source)
    assert not made.calibrated
    assert made.frames.read(0, 1)[0, 0, 0] == 100
    assert made.extras == {}


def test_a_crop_is_cut_to_the_frame(tmp_path):
    stream = stream_of(MovieSource(**write(tmp_path, 3, 12, 20), crop_px=32))
    assert stream.sample_shape == (1, 12, 12)
    assert stream.batch(0, 3).inputs.shape == (3, 1, 12, 12)


def test_parts_by_frames_are_blocks_train_first(tmp_path):
    files = write(tmp_path) | {"track": "iid"}
    parts = {role: MovieSource(**files, part=Part(role=role, rule="frames")) for role in ("train", "val", "test")}
    frames = {role: held(source).frames for role, source in parts.items()}
    assert {role: frame.n_frames for role, frame in frames.items()} == {"train": 14, "val": 3, "test": 3}
    assert frames["val"].read(0, 1)[0, 0, 0] == pytest.approx(1400)
    assert frames["test"].read(0, 1)[0, 0, 0] == pytest.approx(1700)
    truth = held(parts["test"]).truth.table
    assert truth.frame.tolist() == [0, 1, 2]
    assert truth.x_nm.tolist() == [167, 168, 169]
    assert truth.n_frames == 3
    iid = held(parts["test"])
    assert (iid.shared_structure, iid.block) == (False, 1)


def test_frames_of_lasting_molecules_are_parted_by_ten_times_their_on_time_and_marked(tmp_path):
    # every molecule shines for 2 frames, so 20 lie between the parts: 160 of 200 are kept, 24 + 24 not trained on
    rows = [(frame, 150.0 + 40 * (frame // 2), 250.0, 1000) for frame in range(200)]
    files = write(tmp_path, 200, 8, 60, rows)
    parts = {role: MovieSource(**files, part=Part(role=role, rule="frames")) for role in ("train", "val", "test")}
    frames = {role: held(source).frames for role, source in parts.items()}
    assert {role: frame.n_frames for role, frame in frames.items()} == {"train": 112, "val": 24, "test": 24}
    assert frames["val"].read(0, 1)[0, 0, 0] == pytest.approx(13200)
    assert held(parts["test"]).shared_structure


def test_parts_by_columns_keep_a_guard_and_count_from_their_first_column(tmp_path):
    rows = [(0, 100.0 * column + 50, 250.0, 1000) for column in range(60)]
    files = write(tmp_path, rows=rows)

    def part(role):
        cut = Part(role=role, rule="columns", val=0.2, test=0.2, guard_px=4)
        return held(MovieSource(**files, part=cut))

    made = {role: part(role) for role in ("train", "val", "test")}
    # 60 columns less 8 of guard: 10 + 10 for val and test, 32 for train
    assert {role: one.frames.width for role, one in made.items()} == {"train": 32, "val": 10, "test": 10}
    assert made["val"].frames.read(0, 1)[0, 0, 0] == pytest.approx(36)
    assert made["test"].frames.read(0, 1)[0, 0, 0] == pytest.approx(50)
    assert made["test"].truth.table.x_nm.tolist() == [50 + 100 * k for k in range(10)]
    assert made["test"].truth.table.field_nm == made["test"].field_nm == (1000, 4000)
    assert len(made["train"].truth) == 32
    assert not made["test"].shared_structure


def test_a_movie_too_small_to_be_cut_says_what_to_do(tmp_path):
    files = write(tmp_path, 20, 32, 32)
    with pytest.raises(SizeError, match=r"32 columns less 32 of guard .* give a smaller guard_px"):
        held(MovieSource(**files, part=Part(role="train", rule="columns")))
    with pytest.raises(SizeError, match="2 frames cannot be cut"):
        held(MovieSource(**write(tmp_path, 2), track="iid", part=Part(role="val", rule="frames")))
    with pytest.raises(SizeError, match="the val part is 0 % of the movie"):
        held(MovieSource(**files, track="iid", part=Part(role="val", rule="frames", val=0)))


def test_a_table_of_another_movie_is_refused(tmp_path):
    files = write(tmp_path, rows=[(0, 15_000.0, 250.0, 1000), (1, 20_000.0, 300.0, 1000), (2, 100.0, 100.0, 1000)])
    with pytest.raises(PairingError, match=r"2 of 3 positions of 't\.csv' lie outside the field of 6000 x 4000 nm"):
        held(MovieSource(**files))
    with pytest.raises(PairingError, match=r"t\.csv"):
        held(MovieSource(**write(tmp_path, 3, rows=[(5, 100.0, 100.0, 1000)])))


def test_a_movie_without_truth_can_be_predicted_but_not_learnt_from(tmp_path):
    files = write(tmp_path)
    source = MovieSource(**{**files, "truth": None})
    made = held(source)
    assert made.truth is None
    assert made.truth_kind == "none"
    assert made.facts == {}
    with pytest.raises(ConfigError, match=r"'m.tif' has no truth table"):
        stream_of(source)


def test_psf_and_background_are_told_where_known(tmp_path):
    files = write(tmp_path)
    lines = ["frame,x_nm,y_nm,photons,background_photons", "0,3000,250,150,400", "1,3000,250,300,400"]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    source = MovieSource(**files, psf={"name": "gaussian", "sigma_nm": 110.0}, crop_px=40)
    made = held(source)
    optics = {"pixel_size_nm": 100, "psf_sigma_nm": 110, "background_photons": 400}
    assert made.told == {**optics, "noise_excess": 1, "noise_added": 0}
    assert held(source.model_copy(update={"camera": "uncalibrated"})).told == optics
    # 2 sqrt(400 * 4 pi * 1.1^2) = 155.98
    assert made.truth.min_photons == pytest.approx(155.98, abs=0.01)
    stream = stream_of(source)
    assert set(stream.batch(0, 200).truth.photons.tolist()) == {300.0}
    assert "isolated_fraction" in made.facts


def test_files_are_closed_with_the_last_reference(tmp_path):
    made = held(MovieSource(**write(tmp_path)))
    finalizer = made.frames.close
    assert finalizer.alive
    del made
    gc.collect()
    assert not finalizer.alive


def test_frames_of_zeros_break_nothing(tmp_path):
    files = write(tmp_path)
    tifffile.imwrite(files["movie"], np.zeros((20, 40, 60), dtype=np.uint16), photometric="minisblack")
    stream = stream_of(MovieSource(**files))
    assert stream.statistics.std == 1
    assert torch.isfinite(stream.batch(0, 8).inputs).all()


def test_pages_of_a_long_movie_are_read_when_needed_and_forgotten():
    class Counted(ArrayFrames):
        reads = 0

        def read(self, start, stop):
            Counted.reads += 1
            return super().read(start, stop)

    frames = Counted(np.arange(10, dtype=np.float32)[:, None, None] * np.ones((1, 4, 4), dtype=np.float32))
    pages = Pages(frames, held_bytes=3 * 64)
    assert [float(pages[k][0, 0]) for k in (0, 1, 2, 0, 3, 1)] == [0, 1, 2, 0, 3, 1]
    assert Counted.reads == 5
    Counted.reads = 0
    small = Pages(frames)
    assert [float(small[k][0, 0]) for k in (9, 0, 4)] == [9, 0, 4]
    assert Counted.reads == 1


def test_the_room_opens_the_parts_of_a_movie(tmp_path):
    files = write(tmp_path) | {"track": "iid"}
    parts = {role: MovieSource(**files, part=Part(role=role, rule="frames")) for role in ("train", "val", "test")}
    plan = DataPlan(
        name="m",
        train=parts["train"],
        val=parts["val"],
        tests={"test": parts["test"]},
        train_identity={"file": "a"},
        test_identity={"test": {"file": "a"}},
    )
    assert data.training_set(plan, Scope(1, augment=False), CATALOG).sample_shape == (1, 32, 32)
    assert data.validation(plan, 1, CATALOG).frames.n_frames == 3
    assert data.conditions(plan, 1, CATALOG)["test"].frames.n_frames == 3


def test_movies_to_predict_take_the_facts_of_the_training_source(tmp_path):
    files = write(tmp_path)
    known = SimulateSource(pixel_size_nm=120, camera=CAMERA, psf={"name": "gaussian", "sigma_nm": 150.0})
    plan = DataPlan(
        name="m", train=known, val=known, tests={}, apply=[files["movie"]], train_identity={}, test_identity={}
    )
    made = data.applied(plan, 1, CATALOG)[str(files["movie"])]
    assert made.name == "m.tif"
    assert made.truth is None
    assert made.field_nm == (7200, 4800)
    assert made.told == {"pixel_size_nm": 120, "psf_sigma_nm": 150, "noise_excess": 1, "noise_added": 0}
    assert made.frames.read(0, 1)[0, 1, 1] == 2
    with pytest.raises(ConfigError, match=r"gone\.tif' does not exist"):
        data.applied(plan.model_copy(update={"apply": [tmp_path / "gone.tif"]}), 1, CATALOG)


def test_bundled_tubulins_are_read_in_photons_and_positions_sit_on_light():
    folder = SHARED / "deepstorm-bundled-tubulins"
    if not folder.is_dir():
        pytest.skip("shared data are not here; set SMLMBENCH_DATA")
    source = MovieSource(
        movie=folder / "ArtificialDataset_demo1.tif",
        truth=folder / "positions_demo1.csv",
        pixel_size_nm=100,
        camera=Camera(kind="emccd", baseline_adu=100, e_per_adu=150, em_gain=300),
        psf={"name": "gaussian", "sigma_nm": 110.0},
        track="iid",
    )
    made = held(source)
    assert len(made.truth) == 4956
    assert made.facts["density_per_um2"] == pytest.approx(6.05, abs=0.01)
    frames = made.frames.read(0, 20)
    # 20 photons of background and 6.05 per um2 x 2250 photons
    assert float(frames.mean()) == pytest.approx(20 + 6.05 * 2250 * 0.01, rel=0.05)
    truth = made.truth.table
    light = frames[truth.frame, (truth.y_nm / 100).astype(int), (truth.x_nm / 100).astype(int)]
    assert light.mean() > 2 * frames.mean()
    batch = stream_of(source).batch(0, 64)
    here = batch.inputs[batch.truth.sample, 0, (batch.truth.y_nm / 100).long(), (batch.truth.x_nm / 100).long()]
    assert float(here.mean()) == pytest.approx(light.mean(), rel=0.05)


def test_the_zero_page_of_a_real_movie_is_harmless():
    folder = SHARED / "nairr-2dgauss-ld"
    if not folder.is_dir():
        pytest.skip("shared data are not here; set SMLMBENCH_DATA")
    source = MovieSource(
        movie=folder / "2DGauss_LD_Train_Frame.tif",
        truth=folder / "2DGauss_LD_Train_xy.csv",
        pixel_size_nm=100,
        camera=Camera(kind="scmos", baseline_adu=500),
        psf={"name": "gaussian", "sigma_nm": 108.8},
    )
    made = held(source)
    assert made.frames.read(877, 878).max() == -500
    assert len(made.truth) == 10_767
    assert made.block > 10
    statistics = stream_of(source).statistics
    assert statistics.low > 300


def test_bad_pixels_of_a_study_are_refused_or_replaced_and_counted(tmp_path):
    given = write(tmp_path)
    frames = tifffile.imread(tmp_path / "m.tif").astype(np.float32)
    frames[3, 0, 0] = frames[19, 39, 59] = np.nan
    tifffile.imwrite(tmp_path / "m.tif", frames, photometric="minisblack")
    with pytest.raises(FormatError, match=r"frame 4 .* has 1 pixels .* bad_pixels: median"):
        held(MovieSource(**given)).frames.read(0, 20)
    with pytest.warns(LossWarning, match="2 pixels of 2 frames were NaN or infinite"):
        scored = held(MovieSource(**given, bad_pixels="median"))
    assert (scored.facts["replaced_pixels"], scored.facts["replaced_frames"]) == (2, 2)
    values = scored.frames.read(0, 20)
    assert values[3, 0, 0] == 301  # of its neighbours 301, 301, 302
    assert np.isfinite(values).all()
    with pytest.warns(LossWarning, match="2 pixels of 2 frames"):
        stream = stream_of(MovieSource(**given, bad_pixels="median"))
    assert torch.isfinite(stream.batch(0, 200).inputs).all()
    assert "replaced_pixels" not in held(MovieSource(**given)).facts


def test_a_condition_has_the_noise_of_the_pixels_that_it_shows_and_its_optics(tmp_path):
    variance = np.arange(40 * 60, dtype=np.float64).reshape(40, 60)
    np.save(tmp_path / "v.npy", variance)
    maps = {"variance_adu2": tmp_path / "v.npy"}
    camera = Camera(kind="scmos", baseline_adu=100, e_per_adu=0.5, maps=maps)
    asked = {**write(tmp_path), "camera": camera, "psf": {"name": "elliptic", "sigma_x_nm": 150, "sigma_y_nm": 120}}
    roi = {"x_px": 10, "y_px": 5, "width_px": 40, "height_px": 30}
    part = Part(rule="columns", val=0.25, test=0.25, guard_px=0, role="test")
    found = held(MovieSource(**asked, roi=roi, part=part))
    assert found.noise_map == pytest.approx(variance[5:35, 40:50] / 4)
    assert found.frames.width == 10
    assert float(found.optics.widths(torch.zeros(1))[0]) == 150
    assert held(MovieSource(**write(tmp_path))).noise_map is None
    more = [{"movie": asked["movie"], "truth": asked["truth"], "roi": one} for one in (roi, {**roi, "x_px": 0})]
    assert held(MovieSource(**asked, roi=roi, more=more[:1])).noise_map.shape == (30, 40)
    assert held(MovieSource(**asked, roi=roi, more=more[1:])).noise_map is None
