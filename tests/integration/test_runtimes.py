"""Every runtime and export format on the smallest networks; each is exported once."""

import importlib.util
import json
import subprocess
import sys
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import torch
from typer.testing import CliRunner

from smlmbench.cli import app
from smlmbench.conformance import examples
from smlmbench.data.contracts import Given, Statistics
from smlmbench.errors import ConfigError, MissingExtraError
from smlmbench.export import bioimageio, executorch, onnx, openvino
from smlmbench.export.graph import read_sidecar
from smlmbench.export.parity import check_parity
from smlmbench.formats import read_table
from smlmbench.inference import running
from smlmbench.inference.checkpoint import build_network, checkpoint_of, load_trained
from smlmbench.inference.facts import graph_of
from smlmbench.inference.loading import load
from smlmbench.inference.running import prepare, why_not
from smlmbench.registry import Catalog
from smlmbench.training import save_atomically

CATALOG = Catalog()
CPU = torch.device("cpu")
MODELS = examples.answering(CATALOG, "raster")
QUICKSTART = ("deep_storm", "fid_storm", "srcnn")
SHAPES = [(1, 1, 32, 48), (2, 1, 64, 40), (3, 1, 16, 24)]


def needs(*names):
    absent = [name for name in names if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(absent), reason=f"not installed: {', '.join(absent)}")


NEEDS_ONNX = needs("onnx", "onnxscript", "onnxruntime")


def write(folder, name):
    given = Given(1, 2, 100.0, Statistics(10.0, 5.0, 0.0, 80.0))
    card = CATALOG.card("models", name)
    settings = card.fill(name, card.tiny)
    torch.manual_seed(0)
    network = build_network(CATALOG, name, settings, given)
    for weight in network.parameters():
        if float(weight.detach().abs().max()) == 0:
            torch.nn.init.normal_(weight)
    output = {**CATALOG.card("outputs", "raster").fill("raster", {"upsampling": 2}), "pixel_size_nm": 100.0}
    content = checkpoint_of(
        network.eval(),
        given,
        {"name": name, "version": 1, "settings": settings},
        {"name": "raster", "version": 1, "settings": output},
        {"task": "localization", "threshold": 0.01, "calibrated": False, "cell_id": "abcdef012345"},
    )
    path = folder / f"{name}.pt"
    save_atomically(content, path)
    return path


class Made:
    """A checkpoint and its ONNX file."""

    def __init__(self, folder, name):
        self.checkpoint = write(folder, name)
        self.trained = load_trained(self.checkpoint, CATALOG)
        self.graph = graph_of(self.trained, CATALOG)
        self.onnx = folder / f"{name}.onnx"
        onnx.write(self.graph, self.onnx)

    def expected(self, frames):
        with torch.inference_mode():
            return self.trained.network(frames)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    folder, kept = tmp_path_factory.mktemp("exported"), {}

    def get(name):
        if name not in kept:
            kept[name] = Made(folder, name)
        return kept[name]

    return get


def frames_of(shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return 10 + 40 * torch.rand(shape, generator=generator) ** 8


def gap(one, other):
    return float((one - other).abs().max() / (other.max() - other.min()))


@NEEDS_ONNX
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICKSTART else pytest.mark.slow) for name in MODELS]
)
def test_an_exported_onnx_file_agrees_at_three_sizes_in_two_runtimes(made, name):
    one = made(name)
    runtimes = ["onnxruntime", *(["openvino"] if importlib.util.find_spec("openvino") else [])]
    for runtime in runtimes:
        call = CATALOG.module("runtimes", runtime).load(one.onnx, CPU, "fp32")
        for shape in SHAPES:
            frames = frames_of(shape)
            answer = call(frames)
            assert answer.shape == one.expected(frames).shape
            assert gap(answer, one.expected(frames)) < 1e-4


@NEEDS_ONNX
def test_the_onnx_file_is_alone_named_and_says_what_it_is(made):
    import onnx as package

    one = made("deep_storm")
    assert not list(one.onnx.parent.glob("*.data"))
    model = package.load(str(one.onnx))
    assert 18 <= model.opset_import[0].version <= 20
    sizes = [dim.dim_param or dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    assert sizes == ["batch", 1, "height", "width"]
    facts = onnx.read_facts(one.onnx)
    assert facts == read_sidecar(one.onnx) == one.graph.facts
    assert (facts["threshold"], facts["pixel_size_nm"], facts["upsampling"]) == (0.01, 100.0, 2)
    assert (facts["multiple_px"], facts["halo_px"], facts["input_unit"]) == (4, 15, "camera counts")
    assert {"threshold", "pixel_size_nm"} <= {entry.key for entry in model.metadata_props}
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("ConvTranspose") == 3
    assert kinds.count("Resize") == 1  # the frame, before the first layer
    assert "BatchNormalization" not in kinds


@NEEDS_ONNX
def test_sides_that_do_not_pool_are_refused_not_answered_smaller(made):
    call = CATALOG.module("runtimes", "onnxruntime").load(made("deep_storm").onnx, CPU, "fp32")
    assert call(frames_of((1, 1, 16, 20))).shape == (1, 1, 32, 40)
    with pytest.raises(Exception, match=r"cannot be reshaped to the requested shape.*\{1,1,34,40\}"):
        call(frames_of((1, 1, 17, 20)))


@NEEDS_ONNX
@needs("openvino")
def test_parity_is_checked_without_this_package_and_can_fail(made, tmp_path):
    one = made("fid_storm")
    for kind, module, suffix in (("onnx", onnx, ".onnx"), ("openvino", openvino, ".xml")):
        path = tmp_path / f"m{suffix}"
        if kind == "openvino":
            assert {file.suffix for file in module.write(one.graph, path)} == {".xml", ".bin", ".json"}
        else:
            path = one.onnx
        parity = check_parity(one.graph, kind, path, SHAPES[:2])
        assert parity.passed
        assert parity.gap < 1e-5
        assert parity.sizes == [list(shape) for shape in SHAPES[:2]]
    other = made("srcnn").graph
    assert not check_parity(other, "onnx", one.onnx, SHAPES[:1]).passed


@NEEDS_ONNX
@needs("openvino", "nncf")
def test_reduced_formats_stay_near_and_need_frames(made):
    one = made("fid_storm")
    frames = frames_of((2, 1, 32, 32))
    calibration = [frames_of((4, 1, 32, 32), seed) for seed in (2, 3)]
    expected = one.expected(frames)
    for runtime, number_format in (("onnxruntime", "int8"), ("openvino", "int8"), ("openvino", "bf16")):
        if why_not(CATALOG, runtime, CPU, number_format):
            continue
        if number_format == "bf16":  # a hint, on the file of fp32
            call = CATALOG.module("runtimes", runtime).load(one.onnx, CPU, number_format)
        else:
            call = prepare(CATALOG, runtime, one.trained.network, frames, number_format, calibration)
        answer = call(frames)
        nmse = float(((answer - expected) ** 2).sum() / (expected**2).sum())
        assert 1e-9 < nmse < 0.05
        assert call(frames[:1, :, :16]).shape == (1, 1, 32, 64)
    for runtime in ("onnxruntime", "openvino"):
        with pytest.raises(ConfigError, match="calibrated on training frames"):
            prepare(CATALOG, runtime, one.trained.network, frames, "int8")


@NEEDS_ONNX
def test_int8_of_onnxruntime_is_of_convolutions_alone(made, tmp_path):
    import onnx as files

    one, path = made("deep_storm"), tmp_path / "int8.onnx"
    CATALOG.module("runtimes", "onnxruntime").write(one.graph, path, "int8", [frames_of((4, 1, 32, 32), 2)])
    graph = files.load(path).graph
    stored = {each.name: files.TensorProto.DataType.Name(each.data_type) for each in graph.initializer}
    weights = {kind: {stored.get(node.input[1]) for node in graph.node if node.op_type == kind} for kind in KINDS}
    assert weights == {"Conv": {None}, "ConvTranspose": {"FLOAT"}}  # None: made of int8 by a node before it
    ranges = {stored[node.input[2]] for node in graph.node if node.op_type == "QuantizeLinear"}
    assert ranges == {"UINT8"}


KINDS = ("Conv", "ConvTranspose")
DROPPED = """
import gc, signal, sys, threading
import torch
from smlmbench.inference.runtimes import openvino
calls, frames = [], torch.ones(1, 1, 16, 16)
network = torch.nn.Conv2d(1, 1, 3, padding=1)
calls.append(openvino.prepare(network, frames, "fp32"))
calls.append(openvino.prepare(network, frames, "int8", [frames, frames]))
for call in calls:
    call(frames)
del call
thread = threading.Thread(target=lambda: (calls.clear(), gc.collect()))
thread.start()
thread.join()
signal.signal(signal.SIGINT, lambda *_: print("interrupted"))
signal.raise_signal(signal.SIGINT)
"""


@NEEDS_ONNX
@needs("openvino", "nncf")
def test_a_signal_after_openvino_s_network_went_on_another_thread_is_handled():
    done = subprocess.run([sys.executable, "-c", DROPPED], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["interrupted"]), done.stderr[-500:]


@NEEDS_ONNX
def test_predict_takes_the_file_alone_and_its_package(made, tmp_path):
    one = made("fid_storm")
    frames = np.random.default_rng(0).poisson(10, (5, 40, 44)).astype(np.uint16)
    frames[:, ::13, ::11] += 300
    tifffile.imwrite(tmp_path / "movie.tif", frames, photometric="minisblack")
    alone = tmp_path / "alone.onnx"
    alone.write_bytes(one.onnx.read_bytes())
    package = tmp_path / "package.zip"
    bioimageio.write(one.graph, package)
    tables = []
    for model in (one.checkpoint, alone, package):
        out = tmp_path / f"out_{model.name}"
        result = CliRunner().invoke(app, ["predict", str(model), str(tmp_path / "movie.tif"), "-o", str(out)])
        assert result.exit_code == 0, result.output
        tables.append(read_table(out / "movie_locs.csv", catalog=CATALOG))
    assert len(tables[0]) > 5
    for table in tables[1:]:
        assert len(table) == len(tables[0])
        assert np.abs(table.x_nm - tables[0].x_nm).max() < 0.1
    assert load(alone, CATALOG, CPU).runtime == "onnxruntime"
    with pytest.raises(ConfigError, match="is a file for onnxruntime, not for openvino"):
        load(alone, CATALOG, CPU, "openvino")


@NEEDS_ONNX
def test_the_bioimageio_package_passes_its_own_test(made, tmp_path):
    path = tmp_path / "package.zip"
    bioimageio.write(made("fid_storm").graph, path)
    with zipfile.ZipFile(path) as package:
        assert {"rdf.yaml", "model.onnx", "frames.npy", "raw.npy", "README.md"} == set(package.namelist())
    if importlib.util.find_spec("bioimageio") is None or importlib.util.find_spec("bioimageio.core") is None:
        pytest.skip("bioimageio.core is not installed")
    import pydantic

    if tuple(map(int, pydantic.VERSION.split(".")[:2])) >= (2, 14):
        pytest.skip("bioimageio.spec up to 0.5.12 does not validate any package under pydantic 2.14")
    command = [sys.executable, "-m", "bioimageio.core", "test", str(path), "--weight-format", "onnx"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "passed" in done.stdout + done.stderr


@pytest.mark.slow
@needs("executorch")
def test_executorch_runs_frame_by_frame(made, tmp_path):
    one = made("fid_storm")
    path = tmp_path / "m.pte"
    executorch.write(one.graph, path)
    assert check_parity(one.graph, "executorch", path, [(1, 1, 32, 48), (1, 1, 64, 40)]).passed
    frames = frames_of((3, 1, 24, 32))
    assert gap(load(path, CATALOG, CPU).network(frames), one.expected(frames)) < 1e-4


@NEEDS_ONNX
def test_export_writes_and_says_how_it_agrees(made, tmp_path):
    words = ["export", str(made("srcnn").checkpoint), "--format", "onnx", "--out", str(tmp_path), "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["parity"]["passed"]
    assert [path.rsplit("/", 1)[1] for path in said["files"]] == ["srcnn-abcdef.onnx", "srcnn-abcdef.onnx.json"]
    assert said["bytes"] == (tmp_path / "srcnn-abcdef.onnx").stat().st_size
    assert CliRunner().invoke(app, words).exit_code == 0  # the same again
    saved = torch.load(made("srcnn").checkpoint, weights_only=True)
    saved["state"] = {name: value * 2 for name, value in saved["state"].items()}
    torch.save(saved, tmp_path / "best.pt")  # trained again elsewhere: the same cell, other weights
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    words[1] = str(tmp_path / "best.pt")
    refused = CliRunner().invoke(app, words)
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (2, 1)
    assert "srcnn-abcdef.onnx' exists already; give another folder with --out, or --overwrite" in refused.stderr
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert CliRunner().invoke(app, [*words, "--overwrite"]).exit_code == 0
    assert (tmp_path / "srcnn-abcdef.onnx").read_bytes() != before[tmp_path / "srcnn-abcdef.onnx"]
    refused = CliRunner().invoke(app, ["export", str(made("srcnn").checkpoint), "--format", "onx"])
    assert refused.exit_code == 2
    assert "did you mean 'onnx'" in refused.stderr


def test_what_a_runtime_cannot_do_is_a_reason(monkeypatch):
    network, frames = torch.nn.Conv2d(1, 1, 3), torch.zeros(1, 1, 16, 16)
    assert why_not(CATALOG, "eager", CPU, "fp32") == ""
    assert why_not(CATALOG, "eager", CPU, "int8") == "eager has no int8, only fp32, bf16"
    assert "does not run on mps" in why_not(CATALOG, "openvino", torch.device("mps"), "fp32")
    with pytest.raises(ConfigError, match="onnxruntime has no bf16"):
        prepare(CATALOG, "onnxruntime", network, frames, "bf16")
    monkeypatch.setattr(running.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        MissingExtraError, match=r"needs onnx, onnxscript, onnxruntime; pip install 'smlmbench\[export\]'"
    ):
        prepare(CATALOG, "onnxruntime", network, frames)


def test_compiled_needs_a_compiler(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert "needs a C++ compiler: install g++" in why_not(CATALOG, "compiled", CPU, "fp32")


@NEEDS_ONNX
def test_a_session_that_is_bound_to_its_device_answers_alike(made):
    one, module = made("srcnn"), CATALOG.module("runtimes", "onnxruntime")
    call = module.bound(module.session_of(one.onnx, CPU, ["CPUExecutionProvider"]), CPU)
    for shape in SHAPES:
        frames = frames_of(shape)
        turned = frames.transpose(2, 3).contiguous().transpose(2, 3)
        for given in (frames, turned):  # the second time the answer is written where it stays
            assert gap(call(given), one.expected(frames)) < 1e-4


class Sessions:
    """onnxruntime as it is built with CUDA and TensorRT, of which some start."""

    __spec__ = importlib.util.find_spec("onnxruntime")

    def __init__(self, starting):
        self.starting, self.asked = starting, []

    def get_available_providers(self):
        return ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]

    def SessionOptions(self):  # noqa: N802
        return SimpleNamespace()

    def InferenceSession(self, path, options, providers):  # noqa: N802
        self.asked = providers
        kept = [name for name, _ in providers if name in self.starting] + ["CPUExecutionProvider"]
        return SimpleNamespace(
            get_providers=lambda: kept,
            get_inputs=lambda: [SimpleNamespace(name="frames")],
            get_outputs=lambda: [SimpleNamespace(name="raw")],
        )


@NEEDS_ONNX
@pytest.mark.parametrize("runtime", ["onnxruntime", "tensorrt"])
def test_a_provider_that_does_not_start_is_not_replaced_quietly(monkeypatch, tmp_path, runtime):
    module, card = CATALOG.module("runtimes", runtime), torch.device("cuda:1")
    network, example = torch.nn.Conv2d(1, 1, 3, padding=1), SimpleNamespace(shape=(1, 1, 16, 16), device=card)
    cuda = ("CUDAExecutionProvider", {"device_id": "1", "use_tf32": "0"})
    wanted = [cuda] if runtime == "onnxruntime" else [("TensorrtExecutionProvider", {"device_id": "1"}), cuda]

    monkeypatch.setitem(sys.modules, "onnxruntime", (one := Sessions([wanted[0][0]])))
    assert module.why_not(card, "fp32") == ""
    module.prepare(network, example, "fp32")
    assert one.asked == wanted

    monkeypatch.setitem(sys.modules, "onnxruntime", Sessions([]))
    with pytest.raises(ConfigError, match=f"{wanted[0][0]} does not start here, and onnxruntime took CPU"):
        module.prepare(network, example, "fp32")


def test_torch_compile_needs_triton_on_a_card(monkeypatch):
    module = CATALOG.module("runtimes", "compiled")
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    assert "needs triton on a card" in module.why_not(torch.device("cuda"), "fp32")
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: object())
    assert module.why_not(torch.device("cuda"), "fp32") == ""
