"""smlmbench limit: what can be reached at best on the test conditions of a study."""

from dataclasses import dataclass
from typing import Any

from smlmbench.cli.options import AsJson, StudyAsked, from_fields
from smlmbench.cli.output import emit_json, note, table

COLUMNS = {
    "density_per_um2": "per µm²",
    "isolated_fraction": "isolated",
    "resolvable_fraction": "resolvable",
    "closer_than_bound": "too close",
    "bound_nm": "bound (nm)",
    "bound_free_nm": "free (nm)",
}


@dataclass(frozen=True, slots=True)
class _Asked(StudyAsked):
    as_json: AsJson = False


@from_fields(_Asked)
def command(asked: _Asked) -> None:
    """Print the physical limit of every test condition: who can be resolved, and how well. Nothing is trained.

    Example: smlmbench limit experiments/density-sweep.yaml
    """
    from smlmbench import api
    from smlmbench.run.tables.describing import described_conditions

    loaded = asked.loaded()
    found = list(described_conditions(api.plan(loaded, repeats=asked.repeats), loaded.catalog))
    if asked.as_json:
        emit_json([{"data": data, "condition": name, **facts} for data, name, facts in found])
        return
    rows = [[data, name, *(_cell(facts, key) for key in COLUMNS), _quoted(facts)] for data, name, facts in found]
    table(f"Limit of {loaded.study.study}", ["data", "condition", *COLUMNS.values(), "quoted"], rows)
    for data, name, facts in found:
        if reason := facts.get("no_bound"):
            note(f"smlmbench: note: {data}, {name}: no bound, {reason}")
    note(
        "bounds: median over resolvable emitters (bound below 50 nm), radial; too close: a neighbour nearer than the "
        "bound, so that no unbiased estimate finds both"
    )


def _cell(facts: Any, key: str) -> str:
    value = facts.get(key)
    return "–" if value is None else f"{value:.3g}"


def _quoted(facts: Any) -> str:
    return "–" if "bound_prior" not in facts else "bound_prior" if facts["bound_prior"] else "bound_free"
