"""MLflow's own system metrics beside a run: load of processor, memory, disk, network and GPU of its machine."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from smlmbench.tracking.runs import Run

GPU_PACKAGE = "pynvml"  # of nvidia-ml-py


@contextmanager
def watched(run: Run, *, on: bool) -> Iterator[None]:
    """Log `system/...` metrics of a run while it works, where that is `on`; a continued run goes on from its last.

    They are of the whole machine, other programs and workers included, taken every ten seconds (or what MLflow's
    MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL says), so a shorter run has none. A sample that cannot be written, because
    the store is busy or away, is left out.
    """
    if not on:
        yield
        return
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    # It warns of a store that is away with the whole address, in which a password may stand.
    logging.getLogger(SystemMetricsMonitor.__module__).setLevel(logging.CRITICAL)
    uri = run.store.uri
    monitor = SystemMetricsMonitor(run.run_id, resume_logging=True, tracking_uri=uri.whole)  # type: ignore[no-untyped-call]
    monitor.start()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        monitor.finish()  # type: ignore[no-untyped-call]


def sees_gpu() -> bool:
    """Whether the package is there that MLflow asks about NVIDIA GPUs."""
    return find_spec(GPU_PACKAGE) is not None
