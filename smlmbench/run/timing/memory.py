"""Peak memory of a network in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import json, resource, sys
from pathlib import Path
path, runtime, number_format, size, threads, device = sys.argv[1:7]
import torch
torch.set_num_threads(int(threads))
device = torch.device(device)
from smlmbench.inference.loading import load
from smlmbench.registry import Catalog
import numpy, scipy.sparse
from smlmbench.data.contracts import ArrayFrames
from smlmbench.inference.engine import predict
def peak():
    if device.type == "cuda":  # what is not free: allocators give nothing back while they live
        free, whole = torch.cuda.mem_get_info(device)
        return whole - free
    # A new program inherits ru_maxrss from the one that started it, VmHWM is its own.
    if Path("/proc/self/status").exists():
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
own = None if Path(path).suffix != ".pt" else runtime
model = load(Path(path), Catalog(), device, own, number_format if own else "fp32")
frames = ArrayFrames(numpy.full((2, int(size), int(size)), 10.0, dtype=numpy.float32))
predict(frames, model.network, model.read_out, device=device, batch=1)
print(json.dumps({"peak_bytes": peak(), "program_bytes": before}))
"""
TIMEOUT_S = 600


def peak_bytes(path: Path, runtime: str, number_format: str, size_px: int, on: tuple[int, str]) -> dict[str, float]:
    """Largest memory that a fresh process held while it predicted two frames; empty where it cannot be measured.

    `on` is the number of threads and the device. Beside `peak_bytes`, `program_bytes` is what Python and its packages
    held before the network was loaded; on a card, what was in use there before, by other programs too.
    """
    threads, device = on
    if sys.platform == "win32" or device == "mps":
        return {}
    asked = [str(path), runtime, number_format, str(size_px), str(threads), device]
    done = subprocess.run(  # noqa: S603  our own program on a file of the store
        [sys.executable, "-c", SCRIPT, *asked], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        return {}
    return {name: float(value) for name, value in json.loads(done.stdout.strip().splitlines()[-1]).items()}
