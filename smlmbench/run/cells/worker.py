"""One cell in a worker process: from a plain JSON spec to its run in the store.

What is heavy (the store's client, data sets, plug-ins) is made once in a process and shared by its cells.
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from smlmbench.registry import Catalog
from smlmbench.run.cells.run import row_of, run_cell
from smlmbench.run.materials import Materials
from smlmbench.run.progress import Relay
from smlmbench.run.session import Session
from smlmbench.study.cells import Cell
from smlmbench.tracking.claims import bury
from smlmbench.tracking.records import cell_runs
from smlmbench.tracking.store import Store

THREADS = "OMP_NUM_THREADS"


def pack_session(session: Session, job: str) -> dict[str, Any]:
    """What a worker needs to make the same session; plug-ins travel with their text."""
    return {
        "uri": session.store.uri,
        "home": str(session.store.home),
        "served": session.store.served,
        "experiment_id": session.experiment_id,
        "device": session.device,
        "infer_device": session.infer_device,
        "retry_failed": session.retry_failed,
        "job": job,
        "plugins": [[str(plugin.path), plugin.path.read_bytes().decode()] for plugin in session.catalog.plugins],
    }


def pack_cell(cell: Cell, packed_session: Mapping[str, Any]) -> dict[str, Any]:
    """A cell as it travels: plain JSON values."""
    return {"id": cell.cell_id, "cell": cell.model_dump(mode="json"), "session": dict(packed_session)}


def run_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Do what there is to do for a cell.

    Args:
        spec: From `pack_cell`.

    Returns:
        status: done, failed or collapsed as the store has it now; left where another process has the cell.

    Raises:
        KeyboardInterrupt: The cell was asked to stop; its run is closed as interrupted.
        StoreLostError: The store has gone away.
    """
    session = session_of(spec)
    cell = Cell.model_validate(spec["cell"])
    if isinstance(session.reporter, Relay):
        session.reporter.cell_id = cell.cell_id
    return outcome(cell, session)


def session_of(spec: Mapping[str, Any]) -> Session:
    """This process's session for a spec."""
    return _session(json.dumps(spec["session"], sort_keys=True))


def outcome(cell: Cell, session: Session) -> dict[str, Any]:
    """Run a cell; the result says how the cell stands in the store, whoever brought it there."""
    end = run_cell(cell, session)
    # A scheduler that repeats cells by itself sends one here whose worker on another machine has died.
    if end == "leave" and session.job and _close_dead(cell, session):
        end = run_cell(cell, session)
    if end == "leave":
        return {"status": "left"}
    if end == "keep":
        runs = cell_runs(session.store, session.experiment_id, cell.cell_id)
        end = next((run.status for run in runs if not run.superseded), "left")
    return {"status": end}


def _close_dead(cell: Cell, session: Session) -> bool:
    return bury(session.store, session.experiment_id, row_of(cell, session.job), "its worker died", failed=False)


@lru_cache(maxsize=1)
def _session(text: str) -> Session:
    packed = json.loads(text)
    _set_threads()
    store = Store(packed["uri"], Path(packed["home"]), served=packed["served"])
    catalog = Catalog([_plugin(Path(path), content) for path, content in packed["plugins"]])
    return Session(
        store,
        packed["experiment_id"],
        Materials(catalog),
        Relay(),
        packed["device"],
        packed["retry_failed"],
        packed["infer_device"],
        packed["job"],
    )


def _set_threads() -> None:
    """The worker's share of the cores: torch reads the variable only while it is loaded."""
    import os

    import torch

    if os.environ.get(THREADS, "").isdigit():
        torch.set_num_threads(max(1, int(os.environ[THREADS])))


def _plugin(path: Path, content: str) -> Path:
    """The file of a plug-in on this machine: the same one where it is there, else a copy of what was sent."""
    sent = content.encode()
    if path.is_file() and path.read_bytes() == sent:
        return path
    # Its folder's name is the room that it joins.
    digest = hashlib.sha256(sent).hexdigest()[:16]
    copy = _scratch() / digest / path.parent.name / path.name
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(sent)
    return copy


@lru_cache(maxsize=1)
def _scratch() -> Path:
    return Path(tempfile.mkdtemp(prefix="smlmbench-plugins-"))
