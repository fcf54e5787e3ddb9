"""ONNX Runtime: the network exported to ONNX; int8 by static quantisation, calibrated on training frames.

On a card its tensors stay there: the session reads the frames where they lie and writes the answer beside them.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from smlmbench.errors import ConfigError
from smlmbench.export import onnx
from smlmbench.export.graph import INPUT, SAFE_MULTIPLE_PX, Graph, check_frames, need, plain, quiet
from smlmbench.inference.devices import synchronise

CARD = {
    "version": 2,
    "summary": "ONNX Runtime, fp32 and int8 (static, calibrated on training frames)",
    "facts": {
        "devices": ["cpu", "cuda"],
        "number_formats": ["fp32", "int8"],
        "needs": ["onnx", "onnxscript", "onnxruntime"],
        "suffix": ".onnx",
        "prepares_s": 10,
    },
}

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
OPTIONS = {"CUDAExecutionProvider": {"use_tf32": "0"}}  # fp32 is fp32


def why_not(device: torch.device, number_format: str) -> str:
    """Why it cannot run here, or empty."""
    if absent := lacking(PROVIDERS.get(device.type, "")):
        return absent
    if number_format == "int8" and device.type != "cpu":
        return "int8 is calibrated for processors; use device cpu"
    return ""


def lacking(provider: str) -> str:
    """What to do where onnxruntime has not been built for a provider, or empty."""
    import onnxruntime

    if provider in onnxruntime.get_available_providers():
        return ""
    return f"this build of onnxruntime has no {provider or 'provider for this device'}; pip install onnxruntime-gpu"


def prepare(
    model: nn.Module, example: torch.Tensor, number_format: str, calibration: Sequence[torch.Tensor] = ()
) -> Callable[..., torch.Tensor]:
    """Export the network and load it where the example (B, C, H, W) is; calibration frames are (b, C, H, W) each.

    Raises:
        MissingExtraError: A package of the extra is missing.
        ConfigError: A device or number format that cannot run here.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "prepared.onnx"
        write(Graph(plain(model), example.shape[1], 1, SAFE_MULTIPLE_PX, {}), path, number_format, calibration)
        return load(path, example.device)


def write(graph: Graph, path: Path, number_format: str, calibration: Sequence[torch.Tensor] = ()) -> None:
    """Write the file that `load` reads.

    Raises:
        ConfigError: int8 without frames to calibrate on.
    """
    if number_format != "int8":
        onnx.save(graph, path)
        return
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "model.onnx"
        onnx.save(graph, source)
        quantise(source, path, calibration)


def load(path: Path, device: torch.device, number_format: str = "fp32") -> Callable[..., torch.Tensor]:
    """A callable from an exported file; the number format is that of the file.

    Raises:
        ConfigError: The device cannot be used.
    """
    del number_format
    need(("onnxruntime",), "an ONNX file")
    if reason := why_not(device, "fp32"):
        raise ConfigError(reason)
    session = session_of(path, device, [PROVIDERS[device.type]])
    name = session.get_inputs()[0].name

    def call(frames: torch.Tensor) -> torch.Tensor:
        raw: torch.Tensor = torch.from_numpy(session.run(None, {name: frames.numpy()})[0])
        return raw

    return call if device.type == "cpu" else bound(session, device)


def session_of(path: Path, device: torch.device, providers: Sequence[str]) -> Any:
    """Open a file with the first of some providers; the others take what that one cannot.

    Raises:
        ConfigError: The first one does not start; onnxruntime alone would quietly take the processor.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    where = {} if device.type == "cpu" else {"device_id": str(device.index or 0)}
    asked = [(name, {**where, **OPTIONS.get(name, {})}) for name in providers]
    session = onnxruntime.InferenceSession(str(path), options, providers=asked)
    if session.get_providers()[0] != providers[0]:
        raise ConfigError(
            f"{providers[0]} does not start here, and onnxruntime took {session.get_providers()[0]}; install the CUDA, "
            "cuDNN (and TensorRT) libraries that this onnxruntime was built with"
        )
    return session


def bound(session: Any, device: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
    """A callable whose frames and answers stay on the device of both."""
    given, made = session.get_inputs()[0].name, session.get_outputs()[0].name
    place = (device.type, device.index or 0)
    shapes: dict[torch.Size, list[int]] = {}  # of the answer, known after the first frames of a size

    def call(frames: torch.Tensor) -> torch.Tensor:
        frames, binding = frames.contiguous(), session.io_binding()
        binding.bind_input(given, *place, np.float32, list(frames.shape), frames.data_ptr())
        synchronise(frames.device)  # the session has a stream of its own
        if frames.shape not in shapes:
            binding.bind_output(made, *place)
            session.run_with_iobinding(binding)
            first = binding.copy_outputs_to_cpu()[0]
            shapes[frames.shape] = list(first.shape)
            return torch.from_numpy(first).to(frames.device)
        raw = torch.empty(shapes[frames.shape], device=frames.device)
        binding.bind_output(made, *place, np.float32, shapes[frames.shape], raw.data_ptr())
        session.run_with_iobinding(binding)
        return raw

    return call


def quantise(source: Path, target: Path, calibration: Sequence[torch.Tensor]) -> None:
    """Write an int8 file, its ranges taken from what passes through on training frames.

    Convolutions alone are int8, of unsigned maps and signed weights per channel: onnxruntime multiplies signed maps
    slower on processors, and transposed convolutions in fp32 however they are quantised.

    Raises:
        ConfigError: No frames to calibrate on.
    """
    check_frames(calibration)
    need(("onnx", "onnxruntime"), "int8")
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        left = iter(calibration)

        def get_next(self) -> dict[str, Any] | None:
            frames = next(self.left, None)
            return None if frames is None else {INPUT: np.ascontiguousarray(frames.cpu().numpy())}

    with quiet(), tempfile.TemporaryDirectory() as scratch:
        folded = Path(scratch) / "folded.onnx"
        # Fuses what the quantiser would otherwise leave in fp32 between two int8 layers.
        quant_pre_process(str(source), str(folded), skip_symbolic_shape=True)
        quantize_static(
            str(folded),
            str(target),
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
