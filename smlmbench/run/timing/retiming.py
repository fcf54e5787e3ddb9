"""Time the finished cells of a study again, on other devices, runtimes and number formats, and rebuild its report."""

from collections.abc import Sequence
from pathlib import Path

from smlmbench.addresses import command
from smlmbench.errors import StoreError
from smlmbench.report.model import LATENCY
from smlmbench.report.publish import report_study
from smlmbench.run.materials import Materials
from smlmbench.run.progress import Reporter
from smlmbench.run.session import Session
from smlmbench.run.timing.timings import time_study
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan
from smlmbench.timing import check_device
from smlmbench.tracking.records import read_study
from smlmbench.tracking.store import open_store


def time_stored(
    path: Path, sets: Sequence[str], where: str | None, plugins: Sequence[Path], *, quiet: bool = False
) -> Path:
    """Time what a study has in a store, with overrides such as `timing={...}`, and give its report's page.

    Raises:
        StoreError: Nothing of the study is finished.
    """
    loaded = load_study(path, sets=sets, plugins=plugins)
    study = loaded.study
    plan = make_plan(loaded)
    store = open_store(where, create=False)
    record = read_study(store, study.study)
    known = {cell.cell_id: cell for cell in plan.cells}
    done = [row for row in reversed(record.rows("cell")) if row.status == "done" and row.cell_id in known]
    runs = {row.cell_id: row for row in done}
    if not runs or study.timing is None:
        first = command("smlmbench", "run", path, "--store", store.place)
        raise StoreError(f"no cell of study '{study.study}' is finished in this store; run it first: {first}")
    for name in study.timing.devices:
        check_device(name)
    with Reporter(quiet=quiet) as reporter:
        session = Session(store, record.experiment_id, Materials(loaded.catalog), reporter)
        cells = [cell for cell in plan.cells if cell.cell_id in runs]
        # The latency that the leaderboard shows stays that of the study's own block.
        fresh = not any(LATENCY in run.metrics for run in runs.values())
        time_study(cells, runs, study.timing, session, headline=fresh)
    return report_study(store, study.study).html
