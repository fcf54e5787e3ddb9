"""OpenVINO: model.xml with its weights in model.bin, open batch, height and width; weights stay fp32."""

import tempfile
from pathlib import Path

from smlmbench.export import onnx
from smlmbench.export.graph import Graph, need, write_sidecar

CARD = {
    "version": 1,
    "summary": "OpenVINO file pair with open sizes, for Intel processors, graphics and NPUs",
    "facts": {"suffix": ".xml", "runtime": "openvino", "open_sizes": True},
}


def write(graph: Graph, path: Path) -> list[Path]:
    """Write `path`, the weights beside it, and the facts as JSON.

    Raises:
        MissingExtraError: openvino, onnx or onnxscript is not installed.
    """
    need(("openvino", "onnx", "onnxscript"), "format openvino")
    import openvino

    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "model.onnx"
        onnx.save(graph, source)
        model = openvino.Core().read_model(str(source))
        openvino.save_model(model, str(path), compress_to_fp16=False)
    return [path, path.with_suffix(".bin"), write_sidecar(graph, path)]
