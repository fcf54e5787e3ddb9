"""Maps of an sCMOS chip: both directions, what is refused, and what enters identities."""

import numpy as np
import pytest
import tifffile
import torch
from study_fakes import write_movie, write_study
from typer.testing import CliRunner

from smlmbench import psf
from smlmbench.camera import Camera
from smlmbench.camera.information import fisher_weights
from smlmbench.cli import app
from smlmbench.errors import FormatError, SizeError
from smlmbench.registry import Catalog
from smlmbench.run.using.predicting import read_camera
from smlmbench.simulate import draw
from smlmbench.study.load import load_study
from smlmbench.study.sources import SimulateSource

SHAPE = (6, 10)  # not square, so that axes cannot be exchanged unseen
N = 10_000


def maps(folder, shape=SHAPE):
    rng = np.random.default_rng(1)
    values = {
        "offset_adu": rng.uniform(90, 110, shape),
        "gain_adu_per_e": rng.uniform(1.5, 2.8, shape),
        "variance_adu2": rng.uniform(4, 100, shape),
    }
    paths = {name: folder / f"{name}.{'tif' if name == 'offset_adu' else 'npy'}" for name in values}
    tifffile.imwrite(paths["offset_adu"], values["offset_adu"].astype(np.float32))
    for name in ("gain_adu_per_e", "variance_adu2"):
        np.save(paths[name], values[name])
    return values, paths


def with_maps(folder, **changed):
    values, paths = maps(folder)
    return values, Camera.model_validate({"kind": "scmos", "maps": paths} | changed)


def test_every_pixel_has_its_own_offset_gain_and_noise(tmp_path):
    values, camera = with_maps(tmp_path, spurious_e=0.5)
    mean = 20.0
    adu = camera.expose(torch.full((N, *SHAPE), mean), torch.Generator().manual_seed(1)).numpy().astype(float)
    offset, gain, variance = values.values()
    electrons = mean + 0.5
    spread = np.sqrt(gain**2 * electrons + variance + 1 / 12)
    assert np.abs((adu.mean(0) - offset - gain * electrons) / spread * np.sqrt(N)).max() < 4.5
    assert np.abs(adu.var(0) / spread**2 - 1).max() < 6 * np.sqrt(2 / N)
    photons = camera.to_photons(adu)
    assert photons.dtype == np.float32
    assert photons.mean(0) == pytest.approx(np.full(SHAPE, mean), abs=5 * (spread / gain).max() / np.sqrt(N))
    assert photons.var(0) == pytest.approx(electrons + variance / gain**2, rel=0.09)
    assert camera.photons_of(torch.from_numpy(adu).float()).numpy() == pytest.approx(photons, abs=1e-4)
    assert (camera.to_adu(photons[:50]) == adu[:50]).all()
    assert camera.noise_map(SHAPE) == pytest.approx(variance / gain**2 + 0.5)
    assert camera.noise.added == pytest.approx((variance / gain**2).mean() + 0.5)
    assert camera.adu_per_photon == pytest.approx(gain.mean())
    told = fisher_weights(camera, np.full(SHAPE, 3.0))
    assert told == pytest.approx(
        fisher_weights(Camera(kind="scmos", spurious_e=0.5), np.full(SHAPE, 3.0), variance / gain**2)
    )


def test_a_map_of_read_noise_alone_leaves_the_rest_as_stated(tmp_path):
    values, paths = maps(tmp_path)
    camera = Camera(kind="scmos", baseline_adu=100, e_per_adu=0.5, maps={"variance_adu2": paths["variance_adu2"]})
    adu = np.full(SHAPE, 140)
    assert camera.to_photons(adu) == pytest.approx(np.full(SHAPE, 20.0))
    assert camera.noise_map(SHAPE) == pytest.approx(values["variance_adu2"] * 0.25)


def test_drawn_maps_follow_their_law():
    shape = (300, 200)
    drawn = {
        "seed": 3,
        "offset_sd_adu": 2,
        "gain_sd": 0.03,
        "read_noise_log_sd": 0.4,
        "hot_share": 0.01,
        "hot_read_noise_e": 20,
    }
    camera = Camera(kind="scmos", baseline_adu=100, e_per_adu=0.5, read_noise_e=1.5, maps=drawn)
    chip = camera._pixels(shape)
    assert (chip.offset_adu.mean(), chip.offset_adu.std()) == (pytest.approx(100, abs=0.05), pytest.approx(2, rel=0.02))
    assert np.log(chip.adu_per_e / 2).std() == pytest.approx(0.03, rel=0.02)
    sigma = np.sqrt(chip.variance_e2)
    assert (sigma == 20).mean() == pytest.approx(0.01, rel=0.2)
    assert np.median(sigma) == pytest.approx(1.5, rel=0.01)
    assert np.log(sigma[sigma < 20]).std() == pytest.approx(0.4, rel=0.02)
    assert camera.noise.added == pytest.approx(chip.variance_e2.mean(), rel=0.05)
    again = Camera.model_validate_json(camera.model_dump_json())
    assert again == camera
    assert (again._pixels(shape).offset_adu == chip.offset_adu).all()
    other = Camera(**(camera.model_dump() | {"maps": drawn | {"seed": 4}}))
    assert not (other._pixels(shape).offset_adu == chip.offset_adu).any()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("gain_adu_per_e", 0.0, "gain_adu_per_e.npy' is 0 at row 2, column 7 .1 such.; every pixel must be above 0"),
        ("gain_adu_per_e", np.nan, "is nan at row 2, column 7"),
        ("offset_adu", np.inf, "offset_adu.tif' is inf at row 2, column 7 .1 such.; every pixel must be finite"),
        ("variance_adu2", -1.0, "variance_adu2.npy' is -1 at row 2, column 7 .1 such.; every pixel must be 0 or more"),
    ],
)
def test_a_pixel_that_cannot_be_is_named(tmp_path, name, value, words):
    values, paths = maps(tmp_path)
    values[name][2, 7] = value
    write = tifffile.imwrite if paths[name].suffix == ".tif" else np.save
    write(paths[name], values[name].astype(np.float32))
    with pytest.raises(FormatError, match=words):
        read_camera({"kind": "scmos", "maps": {key: str(path) for key, path in paths.items()}})


def test_files_that_are_no_maps(tmp_path):
    def refused(content, words):
        path = tmp_path / "x.npy"
        np.save(path, content, allow_pickle=True)
        with pytest.raises(FormatError, match=words):
            Camera(kind="scmos", maps={"offset_adu": path}).check()

    refused(np.array([{"a": 1}], dtype=object), "allow_pickle=False")
    refused(np.zeros((2, 3, 4)), "give one image of numbers")
    refused(np.zeros((3, 4), complex), "give one image of numbers")
    with pytest.raises(FormatError, match=r"gone.npy' does not exist"):
        Camera(kind="scmos", maps={"offset_adu": tmp_path / "gone.npy"}).check()


def test_frames_of_another_size_are_refused(tmp_path):
    _, camera = with_maps(tmp_path)
    words = r"maps are 10 x 6 px, frames 6 x 10 px; cut the maps"
    with pytest.raises(SizeError, match=words):
        camera.to_photons(np.zeros((3, 10, 6)))
    with pytest.raises(SizeError, match=words):
        camera.expose(torch.ones(3, 10, 6), torch.Generator())
    np.save(tmp_path / "variance_adu2.npy", np.ones((4, 4)))
    two = Camera(kind="scmos", maps={name: tmp_path / f"{name}.npy" for name in ("gain_adu_per_e", "variance_adu2")})
    with pytest.raises(SizeError, match="differ in size"):
        two.check()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"kind": "emccd"}, "maps has no part in kind: emccd; give kind: scmos"),
        ({"baseline_adu": 100}, "baseline_adu and maps: offset_adu say the same; leave baseline_adu out"),
        ({"e_per_adu": 0.5}, "e_per_adu and maps: gain_adu_per_e say the same"),
        ({"read_noise_e": 1.5}, "read_noise_e and maps: variance_adu2 say the same"),
    ],
)
def test_a_number_that_would_be_ignored_is_refused(tmp_path, changed, words):
    with pytest.raises(ValueError, match=words):
        with_maps(tmp_path, **changed)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "maps need files"),
        ({"seed": 1}, "maps need files .* or seed and one of"),
        ({"gain_sd": 0.1}, "maps need files .* or seed and one of"),
        ({"seed": 1, "offset_adu": "a.npy"}, "either files .* or drawn"),
        ({"seed": 1, "hot_share": 0.1}, "hot_share and hot_read_noise_e need each other"),
        ({"seed": 1, "read_noise_log_sd": 0.1}, "read_noise_log_sd spreads around read_noise_e, which is 0"),
        ({"seed": 1, "gain": 0.1}, "Extra inputs"),
    ],
)
def test_half_of_a_description_is_refused(given, words):
    with pytest.raises(ValueError, match=words):
        Camera(kind="scmos", maps=given)


def study_with(tmp_path, **source):
    return write_study(tmp_path, data=[{"name": "m", "train": source}])


def test_a_study_takes_maps_from_its_data_and_knows_them_by_their_bytes(tmp_path):
    movie = write_movie(tmp_path)
    shape = tifffile.imread(tmp_path / movie["movie"]).shape[1:]
    _, paths = maps(tmp_path, shape)
    written = {"kind": "scmos", "maps": {key: path.name for key, path in paths.items()}}
    path = study_with(tmp_path, **movie | {"camera": written})

    def content():
        return load_study(path).study.data[0].train.content()["camera"]

    first = content()
    assert set(first["maps"]) >= set(paths)
    assert str(tmp_path) not in str(first)
    np.save(paths["gain_adu_per_e"], np.full(shape, 2.0))
    changed = content()
    assert changed["maps"]["gain_adu_per_e"] != first["maps"]["gain_adu_per_e"]
    assert changed["maps"]["offset_adu"] == first["maps"]["offset_adu"]


@pytest.mark.parametrize("kind", ["movie", "simulate"])
def test_a_plan_compares_maps_with_frames(tmp_path, kind):
    _, paths = maps(tmp_path, (5, 5))
    camera = {"kind": "scmos", "maps": {key: path.name for key, path in paths.items()}}
    source = (
        write_movie(tmp_path) | {"camera": camera}
        if kind == "movie"
        else {"simulate": {"psf": {"name": "blob"}, "camera": camera}}
    )
    result = CliRunner().invoke(app, ["plan", str(study_with(tmp_path, **source))])
    assert result.exit_code == 2, result.output
    assert (
        f"train{'.simulate' if kind == 'simulate' else ''}.camera: the camera's maps are 5 x 5 px, frames"
        in result.stderr
    )


def test_older_descriptions_stay_as_they_are():
    silent = {"maps", "rounding", "jpeg_quality"}
    assert not silent & set(SimulateSource().content()["camera"])
    assert (
        "rounding"
        in SimulateSource(camera={"kind": "scmos", "read_noise_e": 1, "rounding": "floor"}).content()["camera"]
    )


@pytest.mark.parametrize("draws", ["fast", "frozen"])
def test_a_simulation_sees_through_its_maps_whatever_draws_it(draws):
    chip = {"seed": 2, "offset_sd_adu": 30, "gain_sd": 0.2, "read_noise_log_sd": 0.5}
    camera = {"kind": "scmos", "baseline_adu": 200, "e_per_adu": 0.5, "read_noise_e": 1.5, "maps": chip}
    source = SimulateSource(camera=camera, field_px=16, density_per_um2=1e-6, background_photons=50, draws=draws)
    frames, _ = draw(source, psf.build(source.psf, Catalog()), seed=1, count=3000)
    counts = source.camera.to_adu(frames.numpy())
    known = source.camera._pixels((16, 16))
    assert counts.mean(0) == pytest.approx(known.offset_adu + 50 * known.adu_per_e, rel=0.01)
    assert frames.var(0).numpy() == pytest.approx(50 + known.variance_e2, rel=0.13)
