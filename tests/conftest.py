"""Fixtures that several tests share."""

import os
import shutil
import signal

import pytest
from hypothesis import HealthCheck, settings

# Shared machines are slow at times, and a build must not depend on which examples a run happens to draw.
settings.register_profile(
    "shared", deadline=None, derandomize="CI" in os.environ, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("shared")
# Tensors of tests are small: a second thread gains nothing, and where others use the processor it spins while it waits.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """Folder of a store without studies; its tables take seconds to make, so it is made once and copied."""
    from smlmbench.tracking.store import open_store

    return open_store(tmp_path_factory.mktemp("empty") / "mlruns").home


@pytest.fixture
def store(empty_store, tmp_path):
    """An open store of the test's own."""
    from smlmbench.tracking.store import open_store

    return open_store(shutil.copytree(empty_store, tmp_path / "mlruns"))


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def stopping(request):
    """A signal that raises KeyboardInterrupt, also where the shell that started pytest ignores Ctrl-C."""
    before = signal.signal(request.param, signal.default_int_handler)
    yield request.param
    signal.signal(request.param, before)
