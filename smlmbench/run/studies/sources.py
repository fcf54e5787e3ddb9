"""`sources.json`: what every row of a study was scored on, so that a frame can be shown again."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smlmbench import data
from smlmbench.data.contracts import Condition
from smlmbench.errors import ConfigError, unknown_name
from smlmbench.registry import Catalog
from smlmbench.study.cells import DataPlan, Plan
from smlmbench.study.load import Loaded
from smlmbench.study.planning.plan import make_plan
from smlmbench.tracking.records import RunRecord, read_study
from smlmbench.tracking.store import Store

FILE = "sources.json"
DIGEST = "_sha256"


@dataclass(frozen=True, slots=True)
class Sources:
    """The data entry of one row, with what is needed to open it."""

    plan: DataPlan
    root_seed: int
    catalog: Catalog

    @property
    def names(self) -> list[str]:
        """Conditions that can be shown: the test conditions, `val`, movies without truth."""
        return [*self.plan.tests, "val", *(path.name for path in self.plan.apply)]

    def condition(self, name: str | None) -> Condition:
        """Open a condition; None takes the first test condition.

        Raises:
            UnknownNameError: No such condition; the nearest is named.
            ConfigError: A file is not there any more, or has changed since.
        """
        plan, wanted, asked = self.plan, name or self.names[0], (self.root_seed, self.catalog)
        if wanted not in self.names:
            raise unknown_name("condition", wanted, self.names)
        if wanted in plan.tests:
            self._check(wanted, plan.tests[wanted], plan.test_identity[wanted])
            kept = {"tests": {wanted: plan.tests[wanted]}}
            return data.conditions(plan.model_copy(update=kept), *asked)[wanted]
        if wanted == "val":
            return data.validation(plan, *asked)
        path = next(path for path in plan.apply if path.name == wanted)
        return data.applied(plan.model_copy(update={"apply": [path]}), *asked)[str(path)]

    def _check(self, name: str, source: Any, identity: Mapping[str, Any]) -> None:
        try:
            now = source.content()
        except ConfigError as error:
            raise ConfigError(f"condition '{name}': {error}; or give --study FILE with --data-root") from None
        changed = [key for key in now if key.endswith(DIGEST) and key in identity and now[key] != identity[key]]
        if changed:
            what = " and ".join(key.removesuffix(DIGEST) for key in changed)
            raise ConfigError(f"condition '{name}': its {what} changed since the run; run the study again")


def sources_document(plan: Plan, root_seed: int) -> dict[str, Any]:
    """The data entries of a plan as plain JSON values, with the rows that use them."""
    rows = _rows(plan)
    entries = {entry.name: entry for entry in rows.values()}
    return {
        "root_seed": root_seed,
        "data": {name: entry.model_dump(mode="json") for name, entry in entries.items()},
        "rows": {row_id: entry.name for row_id, entry in rows.items()},
        "plugins": sorted({str(path) for cell in plan.cells for path in cell.plugins}),
    }


def sources_of(record: RunRecord, store: Store, study: str, plugins: list[Path]) -> Sources:
    """What a run was scored on, as the store remembers it.

    Raises:
        ConfigError: The store does not say, or a plug-in is gone.
    """
    documents = [said for run in read_study(store, study).runs if run.role == "study" and (said := run.json(FILE))]
    found = next((said for said in documents if record.cell_id in said["rows"]), None)
    name = found["rows"][record.cell_id] if found else record.params.get("data", "")
    if found is None:
        # Trials of a search are in no plan; their data are those of that name where it always meant the same.
        named = [said for said in documents if name in said["data"]]
        alike = all(said["data"][name] == named[0]["data"][name] for said in named)
        found = named[0] if named and alike else None
    if found is None:
        which = f"run {record.run_id[:12]} ({record.name})"
        raise ConfigError(f"the store does not say what {which} was scored on; give --study FILE")
    there = [Path(path) for path in found["plugins"] if Path(path).is_file()]
    catalog = Catalog(list({path.resolve(): path for path in (*there, *plugins)}.values()))
    return Sources(DataPlan.model_validate(found["data"][name]), found["root_seed"], catalog)


def sources_from(record: RunRecord, loaded: Loaded) -> Sources:
    """What a run was scored on, as a study file says it.

    Raises:
        ConfigError: The study has no such row.
    """
    plan = make_plan(loaded)
    rows = _rows(plan)
    if record.cell_id not in rows:
        raise ConfigError(
            f"study '{plan.study}' has no row {record.cell_id} ({record.name}); give the file and the --set of its run"
        )
    return Sources(rows[record.cell_id], loaded.study.seed, loaded.catalog)


def _rows(plan: Plan) -> dict[str, DataPlan]:
    return {cell.cell_id: cell.data for cell in plan.cells} | {row.reference_id: row.data for row in plan.references}
