"""One cell in a worker process: from a plain JSON spec to its run in the store.

What is heavy (the store's client, data sets, plug-ins) is made once in a process and shared by its cells.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from smlmbench.addresses import Address
from smlmbench.engine.slots import set_threads
from smlmbench.patience import tell_by
from smlmbench.registry.carried import packed_catalog, unpacked_catalog
from smlmbench.run.cells.run import row_of, run_cell
from smlmbench.run.materials import Materials
from smlmbench.run.progress import Relay
from smlmbench.run.session import Session
from smlmbench.study.cells import Cell
from smlmbench.tracking.claims import bury
from smlmbench.tracking.records import cell_runs
from smlmbench.tracking.store import Store

CARRIED = ("experiment_id", "device", "infer_device", "retry_failed", "system_metrics")  # of a session, as it is


def pack_session(session: Session, job: str) -> dict[str, Any]:
    """What a worker needs to make the same session; plug-ins travel with their text."""
    store = session.store
    return {
        "store": {"uri": store.uri, "home": str(store.home), "served": store.served},
        "session": {name: getattr(session, name) for name in CARRIED} | {"job": job},
        "plugins": packed_catalog(session.catalog),
    }


def pack_cell(cell: Cell, packed_session: Mapping[str, Any]) -> dict[str, Any]:
    """A cell as it travels: plain JSON values."""
    return {"id": cell.cell_id, "cell": cell.model_dump(mode="json"), "session": dict(packed_session)}


def run_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Do what there is to do for a cell from `pack_cell`, see `outcome`.

    Raises:
        KeyboardInterrupt: The cell was asked to stop; its run is closed as interrupted.
        StoreLostError: The store has gone away.
    """
    return outcome(*unpacked(spec))


def unpacked(spec: Mapping[str, Any]) -> tuple[Cell, Session]:
    """The cell of a spec and this process's session for it."""
    address = spec["session"]["store"]["uri"]  # its password is not in JSON
    session = _session(json.dumps(spec["session"], sort_keys=True), address)
    cell = Cell.model_validate(spec["cell"])
    if isinstance(session.reporter, Relay):
        session.reporter.cell_id = cell.cell_id
    return cell, session


def outcome(cell: Cell, session: Session) -> dict[str, Any]:
    """Run a cell; status is done, failed or collapsed as the store has it now, left where another process has it."""
    end = run_cell(cell, session)
    # A scheduler that repeats cells by itself sends one here whose worker on another machine has died.
    store, experiment_id, row = session.store, session.experiment_id, row_of(cell, session.job)
    if end == "leave" and session.job and bury(store, experiment_id, row, "its worker died", failed=False):
        end = run_cell(cell, session)
    if end == "keep":
        runs = cell_runs(store, experiment_id, cell.cell_id)
        end = next((run.status for run in runs if not run.superseded), "left")
    return {"status": "left" if end == "leave" else end}


@lru_cache(maxsize=1)
def _session(text: str, address: Address) -> Session:
    packed = json.loads(text)
    set_threads()
    place = packed["store"]
    store = Store(address, Path(place["home"]), served=place["served"])
    catalog = unpacked_catalog(packed["plugins"])
    relay = Relay()
    tell_by(relay.waits)
    return Session(store=store, materials=Materials(catalog), reporter=relay, **packed["session"])
