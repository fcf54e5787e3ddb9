"""Run an exported network on stored frames; started as a script of its own, without smlmbench.

    python -I standalone.py onnx|openvino|executorch MODEL FRAMES.npz

FRAMES.npz holds frames_0, raw_0, frames_1, raw_1 ... The last line printed is JSON: for each pair the largest
difference and the range of the expected output (of numbers of units, which may be one alone, also their size).
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

Run = Callable[[Any], Any]


def onnx(path: str) -> Run:
    """A function for frames, by ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda frames: session.run(None, {session.get_inputs()[0].name: frames})[0]


def openvino(path: str) -> Run:
    """A function for frames, by OpenVINO in fp32."""
    from openvino import Core

    # On some processors the default is bf16, which would not be a check of the file.
    model = Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda frames: model(frames)[0]


def executorch(path: str) -> Run:
    """A function for frames, by ExecuTorch."""
    import torch
    from executorch.runtime import Runtime

    program = Runtime.get().load_program(path)
    method = program.load_method("forward")
    return lambda frames: method.execute([torch.from_numpy(frames)])[0].numpy()


def range_of(expected: Any) -> float:
    """What a difference is held against: lowest to highest value, or the size of numbers (B, C)."""
    reach = float(np.ptp(expected))
    return reach if expected.ndim > 2 else max(reach, float(np.abs(expected).max()))


def main() -> None:
    """Compare and print."""
    kind, path, stored = sys.argv[1:4]
    call = {"onnx": onnx, "openvino": openvino, "executorch": executorch}[kind](path)
    pairs = np.load(stored)
    found = []
    for number in range(len(pairs.files) // 2):
        frames, expected = pairs[f"frames_{number}"], pairs[f"raw_{number}"]
        raw = np.asarray(call(frames))
        same = raw.shape == expected.shape
        gap = float(np.abs(raw - expected).max()) if same else float("inf")
        found.append({"shape": list(frames.shape), "gap": gap, "range": range_of(expected)})
    alone = not any(name.split(".")[0] == "smlmbench" for name in sys.modules)
    sys.stdout.write(json.dumps({"alone": alone, "pairs": found}) + "\n")


if __name__ == "__main__":
    main()
