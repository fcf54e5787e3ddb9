"""What a plan.json asks, of this version or an older one, completed by the cards of what is registered here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smlmbench import tasks
from smlmbench.errors import SmlmBenchError
from smlmbench.registry import Catalog, MetricCard
from smlmbench.report.model import Asked, Direction


class Planned:
    """A plan with the cards that it needs; plug-ins count where their files still exist."""

    def __init__(self, plan: Mapping[str, Any]) -> None:
        self.plan = plan
        self.catalog = Catalog([Path(path) for path in plan.get("plugins", []) if Path(path).is_file()])
        cards = [self.catalog.card("metrics", name) for name in self.catalog.names("metrics")]
        gives = [card.gives for card in cards if isinstance(card, MetricCard)]
        self._known = {name: facts.model_dump() for given in gives for name, facts in given.items()}
        self._asked: dict[str, Asked] = {}

    def asked(self, data: str) -> Asked:
        """What is asked of a data entry: by the entry itself, by its task's block, else by the whole plan."""
        if data not in self._asked:
            name = self._task_of(data)
            block = self.plan.get("tasks", {}).get(name, {})
            ranked = {**self.plan.get("primary", {}), "headline": self.plan.get("headline", [])}
            ranked |= {**block.get("primary", {}), "headline": block.get("headline", ranked["headline"])}
            ranked |= self.plan.get("ranked_by", {}).get(data, {})
            columns = block.get("columns") or self.plan.get("columns", {})
            measured = {metric: self._completed(metric, facts) for metric, facts in columns.items()}
            direction: Direction = "down" if ranked.get("direction") == "down" else "up"
            headline = tuple(ranked.get("headline", ()))
            self._asked[data] = Asked(
                name, str(ranked.get("name", "")), direction, headline, measured, *self._loaded(name)
            )
        return self._asked[data]

    def reference(self, item: Mapping[str, Any], fact: str) -> Any:
        """A fact of a planned reference, of its card where an older plan does not state it; None where nobody does."""
        if fact in item:
            return item[fact]
        try:
            card = self.catalog.card("references", str(item.get("reference", "")))
        except SmlmBenchError:  # a plug-in that is not here
            return None
        return card.summary if fact == "summary" else card.facts.get(fact)

    def _task_of(self, data: str) -> str:
        """Older plans name one task for all data; a task that was a case of it is known by what ranks."""
        stated = self.plan.get("data", {}).get(data, {}).get("task")
        whole = str(stated or self.plan.get("task") or next(iter(self.plan.get("tasks", {})), ""))
        if stated:
            return whole
        ranks = self.plan.get("ranked_by", {}).get(data, {}).get("name")
        cards = {name: self.catalog.card("tasks", name).facts for name in self.catalog.names("tasks")}
        cases = (name for name, facts in cards.items() if facts.get("known_as") == whole and facts["primary"] == ranks)
        return next(cases, whole)

    def _loaded(self, name: str) -> tuple[tasks.Task | None, str]:
        try:
            return tasks.load(name, self.catalog), ""
        except SmlmBenchError as error:
            gone = [Path(path).name for path in self.plan.get("plugins", []) if not Path(path).is_file()]
            where = f"not found: {', '.join(gone)}" if gone else str(error)
            return None, f"The file of task {name} is not here ({where}), so numbers are compared over repeats alone."

    def _completed(self, metric: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        stated = {key: value for key, value in facts.items() if value not in (None, "")}
        return {**self._known.get(metric, {}), **stated}
