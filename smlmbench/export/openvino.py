"""OpenVINO: model.xml with its weights in model.bin, open batch, height and width; weights stay fp32."""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from smlmbench.export import onnx
from smlmbench.export.graph import Graph, need, write_sidecar

CARD = {
    "version": 1,
    "summary": "OpenVINO file pair with open sizes, for Intel processors, graphics and NPUs",
    "facts": {"suffix": ".xml", "sidecars": [".bin"], "runtime": "openvino", "open_sizes": True},
}


@cache
def core() -> Any:
    """OpenVINO's core, one for the life of the process.

    Its processor plug-in lays a signal stack under the thread that loads it and frees it with its last user, on
    whichever thread that goes; the next signal (Ctrl-C) would then end the process with a segmentation fault.
    """
    import openvino

    return openvino.Core()


def translated(graph: Graph) -> Any:
    """OpenVINO's model of a graph, by way of ONNX."""
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "model.onnx"
        onnx.save(graph, source)
        return core().read_model(str(source))


def write(graph: Graph, path: Path) -> list[Path]:
    """Write `path`, the weights beside it, and the facts as JSON.

    Raises:
        MissingExtraError: openvino, onnx or onnxscript is not installed.
    """
    need(("openvino", "onnx", "onnxscript"), "format openvino")
    import openvino

    openvino.save_model(translated(graph), str(path), compress_to_fp16=False)
    return [path, path.with_suffix(".bin"), write_sidecar(graph, path)]
