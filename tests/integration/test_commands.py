"""Commands on files: what simulate writes, predict reads and evaluate scores; and what they refuse, in one line."""

import json
import re

import numpy as np
import pytest
import tifffile
import torch
import yaml
from tiny_study import write, write_plugins
from typer.testing import CliRunner

from smlmbench.camera import Camera
from smlmbench.cli import app
from smlmbench.data.contracts import Given, Statistics
from smlmbench.errors import LossWarning
from smlmbench.formats import TableOptions, open_movie, read_table, write_table
from smlmbench.inference.checkpoint import build_network, checkpoint_of
from smlmbench.registry import Catalog
from smlmbench.training import save_atomically

CAMERA = {
    "kind": "scmos",
    "baseline_adu": 100,
    "e_per_adu": 0.5,
    "read_noise_e": 1.6,
    "quantum_efficiency": 0.8,
}

# Answers with the photons above the background, each camera pixel on its four fine ones: no training needed.
BRIGHT = """
import torch
from torch import nn
import torch.nn.functional as F

CARD = {
    "version": 1, "summary": "Bright pixels.", "output": "raster", "upsamples": "before", "parameters": {},
    "receptive_field_px": 5.0,
}


class Bright(nn.Module):
    def forward(self, frames):
        signal = F.avg_pool2d((frames - 14).clamp_min(0), 3, 1, 1)
        return F.interpolate(signal, scale_factor=2.0, mode="bilinear") / 4


def build(settings, given):
    return Bright()
"""


def invoke(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def refused(*words):
    result = invoke(*words)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("smlmbench: ")
    return line


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A study, the movie that it draws with its truth, a plug-in network and its checkpoint."""
    folder = tmp_path_factory.mktemp("files")
    simulate = {"density_per_um2": 0.3, "photons": 3000, "background_photons": 4, "field_px": 32, "camera": CAMERA}
    data = [{"name": "sim", "train": {"simulate": simulate}, "test": {"t": {"simulate": {"frames": 4}}}}]
    made = {"study": write(folder, data=data), "plugin": folder / "bright.py", "best": folder / "best.pt"}
    made["plugin"].write_text(BRIGHT)
    catalog = Catalog([made["plugin"]])
    given = Given(1, 2, 100.0, Statistics(10.0, 5.0, 0.0, 80.0))
    output = {**catalog.card("outputs", "raster").fill("raster", {"upsampling": 2}), "pixel_size_nm": 100.0}
    content = checkpoint_of(
        build_network(catalog, "bright", {}, given),
        given,
        {"name": "bright", "version": 1, "settings": {}},
        {"name": "raster", "version": 1, "settings": output},
        {"task": "localization", "tuned": {"threshold": 0.8}, "calibrated": True, "cell_id": "abc"},
    )
    save_atomically(content, made["best"])
    save_atomically(content | {"facts": content["facts"] | {"calibrated": False}}, folder / "counts.pt")
    made["counts"] = folder / "counts.pt"
    result = invoke("simulate", made["study"], "--frames", "70", "--seed", "5", "-o", folder / "movie", "--json")
    assert result.exit_code == 0, result.output
    drawn = json.loads(result.stdout)
    made |= {"movie": folder / "movie" / "frames.tif", "truth": folder / "movie" / "truth.csv"}
    assert drawn == {"movie": str(made["movie"]), "truth": str(made["truth"]), "emitters": drawn["emitters"]}
    assert drawn["emitters"] > 100
    return made


def predict(files, out, *more):
    camera = yaml.safe_dump(CAMERA, default_flow_style=True).strip()
    return invoke(
        "predict", files["best"], files["movie"], "--plugin", files["plugin"], "--camera", camera, "-o", out, *more
    )


def frames_of(table):
    """The frame numbers as they stand in a ThunderSTORM file."""
    rows = [line.split(",") for line in table.read_text().splitlines()]
    return [int(row[rows[0].index('"frame"')]) for row in rows[1:]]


def test_a_simulated_movie_is_whole_adu_with_its_truth(files):
    with tifffile.TiffFile(files["movie"]) as tiff:
        assert (len(tiff.pages), tiff.pages[0].shape, tiff.pages[0].dtype) == (70, (32, 32), np.uint16)
    movie = open_movie(files["movie"], catalog=Catalog())
    try:
        adu = movie.read(0, 70).astype(float)
    finally:
        movie.close()
    # Baseline 100 and 4 photons at 2 ADU each, and the emitters.
    assert 106 < np.median(adu) < 111
    assert adu.max() > 200
    options = TableOptions(camera=Camera(**CAMERA), n_frames=70, field_nm=(3200.0, 3200.0))
    truth = read_table(files["truth"], catalog=Catalog(), options=options)
    assert truth.photons == pytest.approx(3000, rel=1e-5)
    assert (truth.frame.min(), truth.frame.max()) == (0, max(frames_of(files["truth"])) - 1)
    assert min(frames_of(files["truth"])) == 1
    head = files["truth"].read_text().splitlines()[0]
    assert head.startswith('"id","frame","x [nm]","y [nm]"')
    # The signal is where the truth says.
    sums = np.zeros((32, 32))
    np.add.at(sums, ((truth.y_nm // 100).astype(int), (truth.x_nm // 100).astype(int)), 1.0)
    bright = adu.sum(axis=0)
    assert np.corrcoef(bright.ravel(), sums.ravel())[0, 1] > 0.4


def test_a_simulated_movie_is_that_of_its_seed(files, tmp_path):
    for name, seed in (("same", 5), ("other", 6)):
        invoke("simulate", files["study"], "--frames", "70", "--seed", seed, "-o", tmp_path / name)
        same = (tmp_path / name / "frames.tif").read_bytes() == files["movie"].read_bytes()
        assert same == (name == "same")


def test_simulate_refuses_what_is_not_there(files):
    assert "unknown data 'sin': did you mean 'sim'?" in refused("simulate", files["study"], "--data", "sin")
    assert "unknown test condition 'u'" in refused("simulate", files["study"], "--condition", "u")


def test_predict_writes_a_table_and_an_image_that_evaluate_scores(files, tmp_path):
    result = predict(files, tmp_path)
    assert result.exit_code == 0, result.output
    table, image = tmp_path / "frames_locs.csv", tmp_path / "frames_sum.tif"
    assert str(table) in result.stdout
    assert str(image) in result.stdout
    # A network that answers alike to alike frames finds the first and the last frame with an emitter.
    assert (min(frames_of(table)), max(frames_of(table))) == (1, max(frames_of(files["truth"])))
    with tifffile.TiffFile(image) as tiff:
        page = tiff.pages[0]
        assert page.shape == (64, 64)
        # Fiji reads pixels per unit: 0.02 per nm at 50 nm.
        above, below = page.tags["XResolution"].value
        assert above / below == pytest.approx(0.02)
        assert tiff.imagej_metadata["unit"] == "nm"

    field = ("--field-nm", "3200", "3200")
    scored = invoke("evaluate", table, files["truth"], *field, "--json")
    assert scored.exit_code == 0, scored.output
    content = json.loads(scored.stdout)
    assert content["protocol"] == "smlmbench-2"
    assert content["values"]["recall"] > 0.6
    assert content["values"]["precision"] > 0.6
    assert 0 < content["values"]["rmse_nm"] < 120
    assert content["reasons"]["rmse_axial_nm"]
    whole = invoke("evaluate", table, files["truth"], "--matcher", "hungarian", "--truth-format", "thunderstorm_csv")
    assert "smlmbench-2, hungarian matcher, border 0 nm" in whole.stdout
    perfect = json.loads(invoke("evaluate", files["truth"], files["truth"], "--json").stdout)["values"]
    assert (perfect["efficiency"], perfect["jaccard"]) == (100, 1)
    by_image = json.loads(invoke("evaluate", image, files["truth"], *field, "--fine-pixel-nm", "50", "--json").stdout)
    assert 0 < by_image["values"]["nmse_star"] < 1
    assert by_image["reasons"]["efficiency"] == "this row gives no table of localizations"


def test_predict_measures_photons_and_says_by_what_and_at_what_cost(files, tmp_path):
    result = predict(files, tmp_path / "with")
    cost = next(line for line in result.stdout.splitlines() if line.startswith("photons, background and uncertainty"))
    assert re.search(r": PSF 1[23]\d nm from \d+ spots of the movie; \d+\.\d s, \d+ % of the time$", cost)
    head, *rows = (tmp_path / "with" / "frames_locs.csv").read_text().splitlines()
    assert head.endswith('"intensity [photon]","offset [photon]","uncertainty_xy [nm]"')
    numbers = np.array([[float(cell) for cell in row.split(",")] for row in rows])
    # 3000 detected photons a spot, of 0.8 of those that came in, on 4 / 0.8 of background.
    assert np.median(numbers[:, 4]) == pytest.approx(3000 / 0.8, rel=0.05)
    assert np.median(numbers[:, 5]) == pytest.approx(4 / 0.8, rel=0.05)
    assert 2 < np.median(numbers[:, 6]) < 4

    said = json.loads(predict(files, tmp_path / "with", "--json").stdout)["measured"]
    assert said["said"] in cost
    assert 0 < said["share"] < 1
    plain = predict(files, tmp_path / "without", "--no-photons", "--json")
    assert "measured" not in json.loads(plain.stdout)
    assert "intensity" not in (tmp_path / "without" / "frames_locs.csv").read_text()
    wide = predict(files, tmp_path / "wide", "--psf-sigma-nm", "200")
    assert "the one stated is 200 nm (-3" in wide.stderr
    assert "PSF 200 nm as stated" in wide.stdout


def test_predict_refuses_a_width_that_serves_nothing(files, tmp_path):
    words = (files["movie"], "--camera", "{kind: scmos, e_per_adu: 0.5}", "-o", tmp_path / "out")
    network = ("predict", files["best"], *words, "--plugin", files["plugin"])
    assert "20 ... 1000 nm" in refused(*network, "--psf-sigma-nm", "5000")
    assert "serves photons alone" in refused(*network, "--no-photons", "--psf-sigma-nm", "130")
    fitter = ("predict", "peaks_gaussian", *words, "--pixel-size-nm", "100")
    assert "fits its own photons; state a width with --set sigma_nm=130" in refused(*fitter, "--psf-sigma-nm", "130")
    assert "fits its own photons" in refused(*fitter, "--no-photons")
    assert not (tmp_path / "out").exists()


def test_predict_speaks_json_and_takes_a_threshold(files, tmp_path):
    counts = {}
    for threshold in (0.2, 5.0):
        out = tmp_path / str(threshold)
        result = predict(files, out, "--json", "--threshold", threshold, "--pixel-size-nm", "101")
        assert result.exit_code == 0, result.output
        said = json.loads(result.stdout)
        assert said["frames"] == 70
        counts[threshold] = said["localizations"]
    assert counts[0.2] > counts[5.0]


def test_predict_refuses_counts_without_a_camera_and_a_wrong_pixel_size(files, tmp_path):
    words = ("predict", files["best"], files["movie"], "--plugin", files["plugin"], "-o", tmp_path / "out")
    assert "expects photons and no camera is given; add --camera" in refused(*words)
    camera = ("--camera", "{kind: scmos, e_per_adu: 0.5}")
    line = refused(*words, *camera, "--pixel-size-nm", "160")
    assert "the movie's pixel is 160 nm, the network was trained on 100 nm" in line
    assert "--camera: kind" in refused(*words, "--camera", "{kind: ccd}")
    assert "--camera [1]: not a camera" in refused(*words, "--camera", "[1]")
    assert "device 'tpu' is not on this machine" in refused(*words, *camera, "--device", "tpu")
    assert not (tmp_path / "out").exists()


def test_a_network_trained_on_counts_needs_no_camera(files, tmp_path):
    result = invoke("predict", files["counts"], files["movie"], "--plugin", files["plugin"], "-o", tmp_path)
    assert result.exit_code == 0, result.output


def test_predict_refuses_what_is_no_checkpoint_or_movie(files, tmp_path, store):
    words = ("-o", tmp_path, "--store", store.home)
    assert "is not a smlmbench checkpoint" in refused("predict", files["study"], files["movie"], *words)
    assert "'no.pt' does not exist" in refused("predict", "no.pt", files["movie"], *words)
    assert "no run 'fid'" in refused("predict", "fid", files["movie"], *words)
    assert "unknown model 'bright'" in refused("predict", files["best"], files["movie"], *words)
    assert "of no known format" in refused("predict", files["best"], files["truth"], *words)
    assert "does not exist" in refused("predict", files["best"], tmp_path / "no.tif", *words)


def test_the_image_scores_of_tables_look_at_the_whole_of_a_tall_field(tmp_path):
    for name, y_nm in (("truth", 2400.0), ("found", 2200.0)):
        rows = ["frame,x_nm,y_nm", "0,800,800", f"0,800,{y_nm}", "1,800,2900"]
        (tmp_path / f"{name}.csv").write_text("\n".join(rows) + "\n")
    words = (
        "evaluate",
        tmp_path / "found.csv",
        tmp_path / "truth.csv",
        "--field-nm",
        "1600",
        "3200",
        "--border-nm",
        "0",
    )
    values = json.loads(invoke(*words, "--json").stdout)["values"]
    # One of three emitters is 200 nm off: found within 250 nm, but in another fine pixel.
    assert values["jaccard"] == 1.0
    assert values["rmse_nm"] == pytest.approx(200 / 3**0.5)
    assert values["nmse_star"] == pytest.approx(1 - (2 / 3) ** 2)


def test_evaluate_refuses_in_one_line(files, tmp_path):
    assert "add --field-nm" in refused("evaluate", files["truth"], files["truth"], "--border-nm", "450")
    assert "does not exist" in refused("evaluate", tmp_path / "no.csv", files["truth"])
    (tmp_path / "odd.csv").write_text("a;b\n1;2\n")
    refused("evaluate", tmp_path / "odd.csv", files["truth"])
    assert "'x' is not a table format" in refused("evaluate", files["truth"], files["truth"], "--found-format", "x")


def test_evaluate_takes_the_pixel_of_tables_in_pixels_where_they_state_another(files, tmp_path):
    catalog, wrong = Catalog(), tmp_path / "wrong.hdf5"
    truth = read_table(files["truth"], catalog=catalog)
    # The same positions in pixels of 100 nm, beside a file that says that they are of 80 nm.
    with pytest.warns(LossWarning):  # of positions within half a pixel of the edge
        write_table(truth, wrong, catalog=catalog, format="picasso_hdf5", options=TableOptions(pixel_size_nm=100))
    beside = wrong.with_suffix(".yaml")
    beside.write_text(beside.read_text().replace("Pixelsize: 100", "Pixelsize: 80"))
    reached = []
    for more in ((), ("--pixel-size-nm", "100")):
        result = invoke("evaluate", wrong, files["truth"], "--json", *more)
        assert result.exit_code == 0, result.output
        reached.append(json.loads(result.stdout)["values"]["jaccard"])
    assert reached[1] == 1.0
    assert reached[0] < 0.5


@pytest.fixture
def quick_timing(monkeypatch):
    monkeypatch.setattr("smlmbench.timing.WARM_UP_S", 0.0)
    monkeypatch.setattr("smlmbench.timing.SETTLE_S", 0.0)
    monkeypatch.setattr("smlmbench.timing.MIN_ROUNDS", 2)
    monkeypatch.setattr("smlmbench.timing.BUDGET_S", 0.0)
    from smlmbench.run.timing import untrained
    from smlmbench.timing import time_calls

    monkeypatch.setattr(untrained, "time_calls", lambda calls, device: time_calls(calls, device, budget_s=0.0))


@pytest.mark.usefixtures("quick_timing")
def test_time_compares_networks_at_every_size(files):
    before = torch.get_num_threads()
    settings = ("--set", "fid_storm.blocks=1", "--set", "fid_storm.width=0.25", "--set", "deep_storm.width=0.125")
    words = ("time", "fid_storm", "deep_storm", "--sizes", "8,13", "--upsampling", "2", "--threads", "1", *settings)
    result = invoke(*words, "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert [(row["model"], row["size_px"]) for row in rows] == [
        ("fid_storm", 8), ("deep_storm", 8), ("fid_storm", 13), ("deep_storm", 13),
    ]  # fmt: skip
    assert all(row["threads"] == 1 and row["rounds"] == 2 for row in rows)
    assert torch.get_num_threads() == before
    table = invoke(*words)
    assert "batch 1, upsampling 2" in table.stdout
    plugin = invoke("time", "bright", "--plugin", files["plugin"], "--sizes", "8", "--upsampling", "2")
    assert plugin.exit_code == 0, plugin.output


def test_time_refuses_in_one_line():
    assert "did you mean 'fid_storm'" in refused("time", "fid_strom")
    assert "--sizes 64,x: not frame sides" in refused("time", "srcnn", "--sizes", "64,x")
    assert "--upsampling" in refused("time", "srcnn", "--upsampling", "3")
    assert "device 'tpu' cannot be timed" in refused("time", "srcnn", "--device", "tpu")
    assert "not MODEL.SETTING=VALUE" in refused("time", "srcnn", "--set", "blocks=5")
    assert "'scrnn' is not timed here; did you mean 'srcnn'?" in refused("time", "srcnn", "--set", "scrnn.width=1")
    assert "unknown setting" in refused("time", "srcnn", "--set", "srcnn.wdth=1")


def test_check_runs_the_contracts_of_a_name():
    result = invoke("check", "l1l2", "--json")
    assert result.exit_code == 0, result.output
    outcomes = json.loads(result.stdout)
    assert len(outcomes) > 3
    assert all(outcome["passed"] for outcome in outcomes)
    assert "checks passed" in invoke("check", "raster").stderr


def test_check_names_what_is_broken(files, tmp_path):
    result = invoke("check", files["plugin"])
    assert result.exit_code == 1
    assert "FAILED" in result.stdout
    assert "did you mean 'srcnn'" in refused("check", "scrnn")
    assert "did you mean 'models'" in refused("check", "srcnn", "--room", "model")
    assert "is not a file" in refused("check", tmp_path / "no.py")
    odd = write_plugins(tmp_path / "plugins")["odd"]
    # A loss for output kinds that nobody knows.
    assert invoke("check", odd).exit_code == 1


def test_an_empty_true_table_is_refused_in_one_line(tmp_path):
    empty = tmp_path / "empty.csv"
    empty.write_text("frame,x_nm,y_nm\n", encoding="utf-8")
    result = invoke("evaluate", empty, empty)
    assert result.exit_code == 2
    assert "'empty.csv' holds no positions" in result.stderr
