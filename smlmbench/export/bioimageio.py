"""bioimage.io package: a zip with the ONNX file, its description (model format 0.5), test tensors and a short text."""

import hashlib
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from smlmbench.errors import ConfigError
from smlmbench.export import onnx
from smlmbench.export.graph import INPUT, OUTPUT, Graph, write_sidecar

CARD = {
    "version": 1,
    "summary": "bioimage.io package (zip with ONNX weights), for programs that read the Model Zoo",
    "facts": {"suffix": ".zip", "runtime": "onnxruntime", "open_sizes": True},
}

FORMAT_VERSION = "0.5.4"
DESCRIPTION = "rdf.yaml"
SMALLEST_PX = 8
# Networks of image pairs may not know it; what counts then is the ratio of the two grids.
UNKNOWN_PIXEL_NM = 100.0
DOI = "10.1364/OPTICA.5.000458"


def write(graph: Graph, path: Path) -> list[Path]:
    """Write the package and, beside it, its facts as JSON; the package holds them too.

    Raises:
        MissingExtraError: onnx or onnxscript is not installed.
        ConfigError: The network takes inputs of one size and gives no image.
    """
    if graph.sides:
        sides = " x ".join(map(str, graph.sides))
        raise ConfigError(
            f"a bioimage.io package holds networks on whole frames, this one takes {sides} alone; give onnx"
        )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        onnx.save(graph, folder / "model.onnx")
        frames = graph.example(1)
        with torch.inference_mode():
            raw = graph.network(frames)
        np.save(folder / "frames.npy", frames.numpy())
        np.save(folder / "raw.npy", raw.numpy())
        (folder / "README.md").write_text(_text(graph), encoding="utf-8")
        described = _described(graph, folder)
        (folder / DESCRIPTION).write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
            for file in sorted(folder.iterdir()):
                package.write(file, file.name)
    return [path, write_sidecar(graph, path)]


def _described(graph: Graph, folder: Path) -> dict[str, Any]:
    pixel_nm = float(graph.facts.get("pixel_size_nm") or UNKNOWN_PIXEL_NM)

    def file(name: str) -> dict[str, str]:
        return {"source": name, "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()}

    size = {"min": graph.multiple_px * -(-SMALLEST_PX // graph.multiple_px), "step": graph.multiple_px}
    names = ["intensity"] if graph.channels == 1 else [f"frame{number}" for number in range(graph.channels)]
    batch, channel = {"type": "batch"}, {"type": "channel", "channel_names": names}
    sides = [{"type": "space", "id": axis, "size": size, "unit": "nanometer", "scale": pixel_nm} for axis in ("y", "x")]
    fine = [
        {**side, "size": {"tensor_id": INPUT, "axis_id": side["id"]}, "scale": pixel_nm / graph.upsampling}
        for side in sides
    ]
    return {
        "type": "model",
        "format_version": FORMAT_VERSION,
        "name": f"smlmbench {graph.facts.get('model', {}).get('name', 'network')}",
        "description": "Single-molecule localization: camera frames to maps of spikes on a finer grid.",
        "authors": [{"name": "smlmbench"}],
        "cite": [_source(graph)],
        "license": "MIT",
        "tags": ["smlm", "super-resolution", "localization-microscopy", "2d"],
        "documentation": file("README.md"),
        "inputs": [
            {
                "id": INPUT,
                "description": f"camera frames in {graph.facts.get('input_unit', 'detected photo-electrons')}",
                "axes": [batch, channel, *sides],
                "data": {"type": "float32"},
                "test_tensor": file("frames.npy"),
            }
        ],
        "outputs": [
            {
                "id": OUTPUT,
                "description": "raw map on the fine grid, in label units",
                "axes": [batch, {"type": "channel", "channel_names": ["spikes"]}, *fine],
                "data": {"type": "float32"},
                "test_tensor": file("raw.npy"),
            }
        ],
        "weights": {"onnx": {**file("model.onnx"), "opset_version": onnx.OPSET}},
        "config": {"smlmbench": dict(graph.facts)},
    }


def _source(graph: Graph) -> dict[str, str]:
    """What to cite: the network's paper, or the one that this kind of network began with."""
    if graph.facts.get("paper") and graph.facts.get("doi"):
        return {"text": str(graph.facts["paper"]), "doi": str(graph.facts["doi"])}
    return {"text": "Nehme et al. 2018, Deep-STORM: super-resolution single-molecule microscopy", "doi": DOI}


def _text(graph: Graph) -> str:
    facts = graph.facts
    return (
        f"# {facts.get('model', {}).get('name', 'network')}\n\n"
        f"Input: camera frames (batch, channel, y, x) in {facts.get('input_unit', 'detected photo-electrons')}, "
        f"pixels of {facts.get('pixel_size_nm', 'unknown')} nm, sides a multiple of {graph.multiple_px}; the scaling "
        "is inside the graph.\n\n"
        f"Output: a map {graph.upsampling} times finer along both axes; a detection is a local maximum whose mass "
        f"over {facts.get('output', {}).get('settings', {}).get('amplitude', 'A')} exceeds the threshold "
        f"{facts.get('threshold', 'of the network')}.\n\n"
        "## Validation\n\nThe validation of this network is in the leaderboard of the study that trained it. Frames "
        "outside the range "
        "of densities and photons it was trained on are not covered by it.\n"
    )
