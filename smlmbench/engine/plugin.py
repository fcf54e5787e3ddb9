"""What a worker of our own sets up when it starts."""

import asyncio
import os
import signal
import threading
from pathlib import Path
from types import FrameType

from distributed import Worker, WorkerPlugin

from smlmbench.engine.slots import LEAVE_AFTER_S, gpu_of, one_cell, stop_all

NVIDIA = Path("/proc/driver/nvidia/gpus")


class Setup(WorkerPlugin):  # type: ignore[misc]
    """Deaf to the terminal's Ctrl-C, which the parent answers for all; checkpoints on SIGTERM; has one GPU.

    A job queue ends a job with SIGTERM.
    """

    name = "smlmbench"
    idempotent = True

    def setup(self, worker: Worker) -> None:
        """Called in the main thread of a new worker, before its first cell."""
        gpus = len(list(NVIDIA.iterdir())) if NVIDIA.is_dir() else 0
        slot = int(worker.name) if str(worker.name).isdigit() else 0
        device = gpu_of(slot, os.environ.get("CUDA_VISIBLE_DEVICES"), gpus)
        if device is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = device
        if threading.current_thread() is not threading.main_thread():
            return
        signal.signal(signal.SIGINT, signal.SIG_IGN)

        def leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (the signature of a handler)
            stop_all()
            worker.loop.add_callback_from_signal(_leave, worker)

        signal.signal(signal.SIGTERM, leave)


async def _leave(worker: Worker) -> None:
    """Close a worker when its cell has kept its state and its result is sent."""
    while one_cell.locked():
        await asyncio.sleep(0.05)
    await asyncio.sleep(LEAVE_AFTER_S)
    await worker.close(reason="asked to end", nanny=True)
