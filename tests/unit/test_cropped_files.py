"""Crops of a user's files: cut where the table says, with its columns as truth; beads with the stage's z."""

import numpy as np
import pytest
import tifffile
import torch

from smlmbench import psf
from smlmbench.camera import Camera
from smlmbench.data.contracts import Asked, Scope
from smlmbench.data.cropped import contiguous
from smlmbench.errors import ConfigError, SizeError
from smlmbench.formats import write_table
from smlmbench.predictions import Localizations
from smlmbench.psf.contracts import Canvas, Spots
from smlmbench.registry import Catalog
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan
from smlmbench.study.sources import PluginSource
from smlmbench.study.sources.description import Share

CATALOG = Catalog()
LENS = {"name": "astigmatic", **CATALOG.card("psf", "astigmatic").fill("psf", {"range_nm": 600.0})}
OPTICS = psf.build(LENS, CATALOG)
N_FRAMES, WIDE, TALL, LEVEL = 60, 80, 64, 8.0
DRAWS = np.random.default_rng(3)


def light(frame, x_nm, y_nm, z_nm, photons, n_frames, shape):
    spots = Spots(
        torch.from_numpy(frame), *(torch.from_numpy(one) for one in (x_nm, y_nm, z_nm)), torch.from_numpy(photons)
    )
    return OPTICS.render(spots, {}, Canvas(n_frames, *shape, 100.0, torch.float64)).numpy() + LEVEL


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A movie of 3 emitters in every frame, without noise in photons, and its table with an angle of its own."""
    folder = tmp_path_factory.mktemp("crops")
    frame = np.repeat(np.arange(N_FRAMES), 3)
    x_nm = np.tile([1500.0, 4000.0, 6500.0], N_FRAMES) + DRAWS.uniform(-300, 300, 3 * N_FRAMES)
    y_nm = np.tile([1500.0, 4500.0, 2500.0], N_FRAMES) + DRAWS.uniform(-300, 300, 3 * N_FRAMES)
    z_nm, photons = DRAWS.uniform(-400, 400, len(frame)), DRAWS.uniform(800, 2000, len(frame))
    counts = light(frame, x_nm, y_nm, z_nm, photons, N_FRAMES, (TALL, WIDE)) * 2 + 100
    tifffile.imwrite(folder / "m.tif", np.round(counts).astype(np.uint16))
    columns = {"frame": frame, "x_nm": x_nm, "y_nm": y_nm, "z_nm": z_nm, "photons": photons}
    columns["background_photons"] = np.full(len(frame), LEVEL)
    table = Localizations.of(
        columns, n_frames=N_FRAMES, field_nm=(100.0 * WIDE, 100.0 * TALL),
        more={"polar_deg": DRAWS.uniform(0, 90, len(frame)), "llr": np.ones(len(frame))},
    )  # fmt: skip
    write_table(table, folder / "t.csv", catalog=CATALOG, format="smlmbench_csv")
    return folder, table


def described(kind: str, folder, *, known: bool = True, part: Share | None = None, **settings) -> PluginSource:
    card = CATALOG.card("data", kind)
    named = {"movie": "m.tif", "table": "t.csv"} if kind == "movie_crops" else {"stack": "b.tif"}
    paths = {key: str(folder / name) for key, name in named.items()}
    return PluginSource(
        kind=kind,
        settings=card.fill(kind, {**paths, **settings}),
        facts=card.facts,
        pixel_size_nm=100.0,
        psf=LENS if known else None,
        camera=Camera(kind="scmos", baseline_adu=100, e_per_adu=0.5, read_noise_e=1.0) if known else "uncalibrated",
        part=part,
    )


def drawn(description, role: str = "test"):
    return CATALOG.module("data", description.kind).condition("t", description, {"a": 1}, Asked(role, 1), CATALOG)


def test_crops_are_cut_at_the_tables_places(files):
    folder, table = files
    found = drawn(described("movie_crops", folder, field_px=13, shift_px=2))
    values = found.truth.values
    assert list(values) == ["x_nm", "y_nm", "z_nm", "photons", "background_photons", "polar_deg"]
    assert len(found.truth) == found.frames.n_frames == len(table)
    assert np.allclose(np.sort(values["z_nm"]), np.sort(table.z_nm))
    for number in (0, 50, 179):
        own = [np.array([values[name][number]]) for name in ("x_nm", "y_nm", "z_nm", "photons")]
        wanted = light(np.zeros(1, dtype=np.int64), *own, 1, (13, 13))[0]
        assert np.abs(found.frames.read(number, number + 1)[0] - wanted).max() < 0.6  # half a step of the camera
    off = np.stack([values["x_nm"], values["y_nm"]]) / 100 - 6.5
    assert 2.0 < np.abs(off).max() <= 2.5
    assert (found.truth.bounds["z_nm"] > 5).all()
    assert found.calibrated
    assert found.told["noise_excess"] == 1.0


def test_without_optics_no_bound_is_claimed(files):
    found = drawn(described("movie_crops", files[0], known=False, parameters="z_nm", field_px=11))
    assert np.isnan(found.truth.bounds["z_nm"]).all()
    assert not found.calibrated
    assert "noise_excess" not in found.told


def test_parts_share_no_frame_and_the_stream_shows_every_crop(files):
    folder, _ = files
    parts = {role: Share(role=role, val=0.2, test=0.2) for role in ("train", "val", "test")}
    sets = {role: drawn(described("movie_crops", folder, part=part, field_px=9), role) for role, part in parts.items()}
    assert [len(one.truth) for one in sets.values()] == [108, 36, 36]
    z = [set(one.truth.values["z_nm"].round(6)) for one in sets.values()]
    assert len(set.union(*z)) == 180
    train = described("movie_crops", folder, part=parts["train"], field_px=9)
    stream = CATALOG.module("data", "movie_crops").training_set(train, {"a": 1}, Scope(1), CATALOG)
    one, two = stream.batch(0, 108).truth.values["z_nm"], stream.batch(108, 108).truth.values["z_nm"]
    assert set(one.round(6)) == set(two.round(6)) == z[0]
    assert not np.array_equal(one, two)
    assert np.array_equal(stream.batch(100, 20).truth.values["z_nm"], np.concatenate([one, two])[100:120])
    assert stream.output_settings["side_px"] == 9


def test_crops_that_hold_another_row_are_left_out(files):
    folder, table = files
    at_the_edge = drawn(described("movie_crops", folder, field_px=31, shift_px=0))
    assert 0 < len(at_the_edge.truth) < 180  # the others have no crop
    twin = table.select(table.frame < 30)
    both = Localizations.of(
        {name: np.concatenate([getattr(table, name), getattr(twin, name) + (name == "x_nm") * 350])
         for name in ("frame", "x_nm", "y_nm", "z_nm")},
        n_frames=N_FRAMES, field_nm=table.field_nm,
    )  # fmt: skip
    write_table(both, folder / "twins.csv", catalog=CATALOG, format="smlmbench_csv")
    twins = {"table": str(folder / "twins.csv"), "field_px": 9, "shift_px": 0}
    assert len(drawn(described("movie_crops", folder, **twins)).truth) == 90  # of the other frames
    assert len(drawn(described("movie_crops", folder, **twins, isolated=False)).truth) == 270
    with pytest.raises(SizeError, match="stands alone in a crop of 61 x 61 px"):
        drawn(described("movie_crops", folder, field_px=61))
    assert len(drawn(described("movie_crops", folder, field_px=9, most=50)).truth) == 50


def test_what_is_not_in_the_table_is_refused(files):
    with pytest.raises(ConfigError, match="azimuth_deg"):
        drawn(described("movie_crops", files[0], parameters="azimuth_deg"))
    bare = described("movie_crops", files[0]).model_copy(update={"pixel_size_nm": None})
    with pytest.raises(ConfigError, match="give pixel_size_nm"):
        drawn(bare)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """A scan of four beads over 21 planes of 50 nm, each twice."""
    folder = tmp_path_factory.mktemp("beads")
    z = np.repeat((np.arange(21) - 10) * 50.0, 2)
    frame = np.repeat(np.arange(42), 4)
    x_nm, y_nm = (np.tile(at, 42) for at in ([1530.0, 6480.0, 1570.0, 6500.0], [1500.0, 1540.0, 4880.0, 4900.0]))
    counts = light(frame, x_nm, y_nm, z[frame], np.full(168, 20_000.0), 42, (TALL, WIDE)) * 2 + 100
    tifffile.imwrite(folder / "b.tif", np.random.default_rng(0).poisson(counts).astype(np.uint16))
    return folder


def test_beads_are_found_and_know_the_stage(scan):
    found = drawn(described("bead_crops", scan, z_step_nm=50.0, frames_per_plane=2, field_px=17))
    z = found.truth.values["z_nm"]
    assert list(found.truth.values) == ["z_nm"]
    assert len(z) == 4 * 42
    assert sorted(set(z)) == [(k - 10) * 50.0 for k in range(21)]
    assert np.abs(found.truth.beside["photons"] / 20_000 - 1).max() < 0.1
    # the place is that of the bead: a crop of the known PSF there is the crop
    number = 20
    own = [np.array([{**found.truth.values, **found.truth.beside}[name][number]]) for name in ("x_nm", "y_nm", "z_nm")]
    wanted = light(np.zeros(1, dtype=np.int64), *own, np.array([20_000.0]), 1, (17, 17))[0]
    crop = found.frames.read(number, number + 1)[0]
    assert np.corrcoef(crop.ravel(), wanted.ravel())[0, 1] > 0.99
    assert (found.truth.bounds["z_nm"] > 0.5).all()
    turned = drawn(described("bead_crops", scan, z_step_nm=-50.0, frames_per_plane=2, field_px=17))
    assert np.array_equal(turned.truth.values["z_nm"][:42], -z[:42])
    near = drawn(described("bead_crops", scan, z_step_nm=50.0, frames_per_plane=2, focus_nm=400.0, z_range_nm=100.0))
    assert sorted(set(near.truth.values["z_nm"])) == [-100, -50, 0, 50, 100]


def test_beads_are_parted_whole(scan):
    parts = [
        described("bead_crops", scan, frames_per_plane=2, part=Share(role=role)) for role in ("train", "val", "test")
    ]
    assert [len(drawn(part).truth) for part in parts] == [84, 42, 42]
    with pytest.raises(SizeError, match="1 beads cannot be cut"):
        contiguous(Share(role="train"), 1, "beads")
    with pytest.raises(SizeError, match="no plane lies within 10 nm"):
        drawn(described("bead_crops", scan, z_range_nm=10.0, focus_nm=-500.0))
    with pytest.raises(SizeError, match="no bead stands alone"):
        drawn(described("bead_crops", scan, field_px=61))


def test_gaps_lie_between_parts():
    ends = [contiguous(Share(role=role, val=0.25, test=0.25), 48, "frames", 4) for role in ("train", "val", "test")]
    assert ends == [(0, 20), (24, 34), (38, 48)]
    assert contiguous(None, 7, "frames") == (0, 7)


def test_a_study_names_them_and_cuts_its_own_parts(files):
    folder, _ = files
    (folder / "s.yaml").write_text(
        "study: mine\n"
        "data:\n"
        "  - name: crops\n"
        "    train: {movie_crops: {movie: m.tif, table: t.csv, field_px: 9, parameters: z_nm, pixel_size_nm: 100,\n"
        "      camera: {kind: scmos, baseline_adu: 100, e_per_adu: 0.5, read_noise_e: 1}}}\n"
        "models: [smnet]\n"
    )
    (cell,) = {cell.model.name: cell for cell in make_plan(load_study(folder / "s.yaml")).cells}.values()
    assert cell.task == "psf_regression"
    sources = (cell.data.train, cell.data.val, *cell.data.tests.values())
    assert [source.part.role for source in sources] == ["train", "val", "test"]
    assert str(folder) not in str(cell.data.train_identity)
