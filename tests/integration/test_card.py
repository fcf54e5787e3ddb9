"""Everything that touches a device, on a CUDA card that is made of the processor, in a process of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import emulated_card
import pytest

HERE = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.skipif(bool(emulated_card.why_not()), reason=emulated_card.why_not())
def test_all_that_runs_on_a_card(tmp_path):
    try:
        library = emulated_card.build(tmp_path)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"g++ cannot build it here: {error.stderr.splitlines()[0]}")
    path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "emulated_card", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *map(str, sorted(HERE.glob("*on_a_card.py")))],
        check=False,
        capture_output=True,
        text=True,
        cwd=HERE.parents[1],
        env={**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": path},
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 50
