"""The Python interface: a script with every function, the same numbers as the commands, errors of one line."""

import inspect
import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import image_pairs
import numpy as np
import pytest
import tifffile
from tiny_study import write
from typer.testing import CliRunner

import smlmbench
from smlmbench import psf
from smlmbench.cli import app
from smlmbench.errors import ConfigError, FormatError, SizeError, StoreError, UnitError
from smlmbench.formats import read_table
from smlmbench.predictions import Localizations, Raster
from smlmbench.registry import Catalog
from smlmbench.run.using.drawing import find_source
from smlmbench.seeds import derive_seed
from smlmbench.simulate import draw

SCRIPT = Path(__file__).parents[1] / "every_function.py"
FUNCTIONS = [name for name in smlmbench.__all__ if name != "__version__"]
HEAVY = ("torch", "mlflow", "pandas", "numpy", "pydantic", "matplotlib")
CAMERA = "{kind: scmos, baseline_adu: 100, e_per_adu: 0.5, read_noise_e: 1.6}"


@pytest.fixture(scope="module")
def place(tmp_path_factory, empty_store):
    folder = tmp_path_factory.mktemp("interface")
    write(folder)
    shutil.copytree(empty_store, folder / "store")
    return folder


@pytest.fixture(scope="module")
def made(place, short_timing):
    """What every variable of the script holds at its end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        return runpy.run_path(str(SCRIPT))


@pytest.fixture
def here(made, place, monkeypatch):
    monkeypatch.chdir(place)
    return place


def command(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_script_uses_every_function():
    text = SCRIPT.read_text(encoding="utf-8")
    assert [name for name in FUNCTIONS if f"smlmbench.{name}(" not in text] == []


def test_the_import_is_light():
    code = (
        "import sys, time; began = time.perf_counter(); import smlmbench; took = time.perf_counter() - began;"
        f"print(took, [name for name in {HEAVY} if name in sys.modules])"
    )
    said = [
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
        for _ in range(3)
    ]
    assert all(text.endswith(" []\n") for text in said), said
    assert min(float(text.split()[0]) for text in said) < 0.1


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_is_typed_and_has_an_example(name):
    function = getattr(smlmbench, name)
    assert inspect.isfunction(function)
    assert "Example:" in inspect.getdoc(function)
    assert "Raises:" in inspect.getdoc(function)
    signature = inspect.signature(function)
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(one.annotation is not inspect.Parameter.empty for one in signature.parameters.values())
    assert name in dir(smlmbench)


def test_rooms_of_the_same_names_do_not_cover_the_functions():
    from smlmbench.export import graph
    from smlmbench.models import fid_storm
    from smlmbench.run.studies import study
    from smlmbench.simulate import frames

    assert all(inspect.ismodule(module) for module in (graph, fid_storm, study, frames))
    assert all(inspect.isfunction(getattr(smlmbench, name)) for name in ("run", "models", "simulate", "export"))
    with pytest.raises(AttributeError, match="no attribute 'predcit'"):
        _ = smlmbench.predcit


def test_plan_and_run_of_the_script(made, place):
    table = made["planned"].to_pandas()
    assert (table.status == "planned").sum() == len(made["planned"].cells) == 1
    assert set(table[table.status == "reference"].model) == {"truth", "blank", "peaks_gaussian"}
    assert "samples=40" in table.settings[0]
    assert made["finished"].statuses == {"done": 1}
    assert made["finished"].report.is_file()


def test_boards_and_runs_of_the_script(made):
    board = made["board"]
    efficiency = board[(board.metric == "efficiency") & (board.condition == "")].set_index("model")
    assert efficiency.loc["truth", "value"] == pytest.approx(100)
    assert {"fid_storm", "peaks_gaussian"} <= set(efficiency.index)
    runs = made["runs"].set_index("name")
    assert len(runs) == 5
    row = runs[runs.model == "fid_storm"].iloc[0]
    assert (row.role, row.status, row["lambda"], row.superseded) == ("cell", "done", 400, False)
    assert row["test/efficiency"] == pytest.approx(efficiency.loc["fid_storm", "value"])
    single = made["single"]
    assert set(single[single.model == "fid_storm"].run_id) == {row.run_id}


def test_models_are_those_of_the_command(made):
    table = made["models"].set_index("name")
    listed = json.loads(command("list", "models", "--json"))
    assert list(table.index) == list(listed)
    assert table.loc["srcnn", "parameters"] == listed["srcnn"]["parameters"][table.loc["srcnn", "parameters_at"]]
    assert table.loc["fid_storm", "paper"] == listed["fid_storm"]["paper"]
    assert "localization" in table.loc["fid_storm", "tasks"]


def test_a_simulated_movie_is_that_of_the_command(made, here):
    movie, truth = made["movie"], made["truth"]
    assert (movie.shape, movie.dtype, truth.n_frames) == ((20, 16, 16), np.uint16, 20)
    source = find_source(made["study"], None, "low")
    photons, emitters = draw(source, psf.build(source.psf, Catalog()), derive_seed(5, "movie", "0"), 20, 5)
    assert np.allclose(source.camera.to_photons(movie), photons, atol=1e-3)
    assert np.array_equal(truth.x_nm, emitters.x_nm)
    command("simulate", "tiny.yaml", "--frames", 20, "--condition", "low", "--seed", 5, "-o", "drawn")
    assert np.array_equal(tifffile.imread("drawn/frames.tif"), movie)
    written = read_table(Path("drawn/truth.csv"), catalog=Catalog())
    assert np.allclose(written.x_nm, truth.x_nm, atol=0.01)


def test_predictions_are_those_of_the_command(made, here):
    tifffile.imwrite("movie.tif", made["movie"])
    shared = ("movie.tif", "--camera", CAMERA, "--table-format", "smlmbench_csv")
    for model, found, words in (
        ("fid_storm", made["found"], ("--threshold", 0, "--store", "store")),
        ("peaks_gaussian", made["fitted"], ("--pixel-size-nm", 100)),
    ):
        command("predict", model, *shared, *words, "-o", model)
        table = read_table(Path(model, "movie_locs.csv"), catalog=Catalog())
        assert isinstance(found, Localizations)
        assert 0 < len(found) == len(table)
        assert np.allclose(found.to_pandas()[["frame", "x_nm", "y_nm"]], table.to_pandas()[["frame", "x_nm", "y_nm"]])
    from_file = smlmbench.predict("peaks_gaussian", "movie.tif", camera=CAMERA, pixel_size_nm=100)
    assert np.array_equal(from_file.x_nm, made["fitted"].x_nm)


def test_an_exported_file_answers_a_range_of_frames_alike(made):
    assert made["exported"].parity.passed
    found = made["found"].to_pandas()
    part = found[found.frame.between(5, 14)]
    again = made["again"].to_pandas()
    assert set(again.frame) <= set(range(5, 15))
    assert len(again) == len(part) > 0
    assert made["again"].n_frames == 20
    assert np.allclose(again.x_nm, part.x_nm, atol=0.5)


def test_scores_are_those_of_the_command(made, here):
    from smlmbench.formats import write_table

    for name in ("fitted", "truth"):
        write_table(made[name], Path(f"{name}.csv"), catalog=Catalog(), format="smlmbench_csv")
    told = json.loads(command("evaluate", "fitted.csv", "truth.csv", "--field-nm", 1600, 1600, "--json"))
    assert made["scores"].values == pytest.approx(told["values"], rel=1e-6)
    mixed = smlmbench.evaluate(made["fitted"], "truth.csv", field_nm=(1600, 1600))
    assert mixed.values == pytest.approx(told["values"], rel=1e-6)
    loose = smlmbench.evaluate("fitted.csv", made["truth"], border_nm=0, matcher="hungarian")
    assert loose.values["recall"] > 0
    assert loose.values != told["values"]


def test_a_network_of_images_gives_an_image(made, here, empty_store):
    source = image_pairs.write(here / "pairs", 20)
    path = write(
        here / "pairs",
        "pairs",
        data=[{"name": "pairs", "train": source}],
        models=[{"name": "fid_storm", "blocks": 1, "width": 0.25}],
        losses=[{"name": "mse"}],
        output={},
        references=["blank"],
        timing=None,
    )
    finished = smlmbench.run(path, store=shutil.copytree(empty_store, here / "others"), quiet=True)
    assert finished.statuses == {"done": 1}
    image = smlmbench.predict("fid_storm", made["movie"], store="others")
    assert isinstance(image, Raster)
    assert image.values.shape == (1, 32, 32)


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda: smlmbench.load_study("absent.yaml"), ConfigError, "'absent.yaml' does not exist"),
        (lambda: smlmbench.plan("tiny.yaml", only=["model=u*"]), ConfigError, "keeps no row"),
        (lambda: smlmbench.leaderboard("tny", "store"), StoreError, "did you mean 'tiny'?"),
        (lambda: smlmbench.runs("absent.yaml", "store"), ConfigError, "does not exist"),
        (lambda: smlmbench.runs("tiny", "nowhere"), StoreError, "no store at"),
        (lambda: smlmbench.predict("fid_strom", np.ones((2, 16, 16)), store="store"), StoreError, "no run 'fid_strom'"),
        (lambda: smlmbench.predict("absent.pt", np.ones((2, 16, 16))), ConfigError, "'absent.pt' does not exist"),
        (lambda: smlmbench.predict("peaks_gaussian", np.ones((16, 16))), SizeError, "(16, 16) and type float64 is no"),
        (lambda: smlmbench.predict("peaks_gaussian", np.ones((2, 16, 16))), UnitError, "needs the camera pixel"),
        (
            lambda: smlmbench.predict("fid_storm", np.ones((2, 16, 16)), store="store", settings={"sigma_nm": 130}),
            ConfigError,
            "fid_storm is no fitter",
        ),
        (
            lambda: smlmbench.predict("fid_storm", np.ones((2, 16, 16)), store="store", frames=(0, 3), camera=CAMERA),
            SizeError,
            "frames 0:3 are not a part of 0:2",
        ),
        (lambda: smlmbench.simulate({"densty_per_um2": 1.0}), ConfigError, "did you mean 'density_per_um2'?"),
        (lambda: smlmbench.simulate({}, 0), SizeError, "0 frames are no movie"),
        (
            lambda: smlmbench.evaluate(Localizations.empty(n_frames=1, field_nm=(1, 1)), "absent.csv"),
            FormatError,
            "absent.csv",
        ),
    ],
)
@pytest.mark.usefixtures("here")
def test_a_mistake_is_one_line(call, kind, said):
    with pytest.raises(kind) as caught:
        call()
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_an_empty_truth_is_refused(made):
    nothing = Localizations.empty(n_frames=20, field_nm=(1600.0, 1600.0))
    with pytest.raises(ConfigError, match="the truth holds no positions"):
        smlmbench.evaluate(made["fitted"], nothing)
