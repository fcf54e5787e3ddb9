"""ONNX: one file with weights, metadata and open batch, height and width; opset 18 for the widest support."""

import contextlib
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from smlmbench.export.graph import INPUT, OUTPUT, Graph, checked, need, write_sidecar
from smlmbench.models.folding import folded

CARD = {
    "version": 1,
    "summary": "ONNX file with open sizes, for ONNX Runtime, OpenVINO, TensorRT and browsers",
    "facts": {"suffix": ".onnx", "runtime": "onnxruntime", "open_sizes": True},
}

OPSET = 18
KEY = "smlmbench"


def write(graph: Graph, path: Path) -> list[Path]:
    """Write the network as `save` and, beside it, its facts as JSON; both files, the network's first."""
    save(graph, path)
    return [path, write_sidecar(graph, path)]


def save(graph: Graph, path: Path) -> None:
    """Write the network alone, with its facts as metadata.

    Raises:
        MissingExtraError: onnx or onnxscript is not installed.
    """
    need(("onnx", "onnxscript"), "format onnx")
    import onnx

    free = torch.export.Dim.AUTO
    with _quiet():
        program = torch.onnx.export(
            folded(graph.network),
            (graph.example(),),
            dynamo=True,
            dynamic_shapes=({0: free} if graph.sides else {0: free, 2: free, 3: free},),
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    model = program.model_proto
    _name_sizes(model)
    for key, value in _metadata(graph).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(model)
    onnx.save_model(model, str(path), save_as_external_data=False)


def read_facts(path: Path) -> dict[str, Any] | None:
    """The facts in the metadata of a file; None where it has none. Needs onnxruntime alone."""
    need(("onnxruntime",), "an ONNX file")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    text = session.get_modelmeta().custom_metadata_map.get(KEY)
    return None if text is None else checked(text, path)


def _metadata(graph: Graph) -> dict[str, str]:
    facts = graph.facts
    if not facts:
        return {}
    readable = {name: str(facts[name]) for name in ("threshold", "pixel_size_nm", "upsampling") if name in facts}
    return {KEY: json.dumps(dict(facts), sort_keys=True), **readable}


def _name_sizes(model: Any) -> None:
    """Call the open sizes batch, height and width instead of by the exporter's symbols."""
    sizes = model.graph.input[0].type.tensor_type.shape.dim
    names = ("batch", "", "height", "width")
    named = {size.dim_param: name for size, name in zip(sizes, names, strict=False) if name}
    for value in (*model.graph.input, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            for symbol, name in named.items():
                if symbol and dim.dim_param:
                    dim.dim_param = dim.dim_param.replace(symbol, name)
    del model.graph.value_info[:]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide the exporter's lines about packages that it would also support, and its own deprecations."""
    logger = logging.getLogger("torch.onnx")
    earlier, logger.disabled = logger.level, False
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(earlier)
