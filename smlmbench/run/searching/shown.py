"""What the dashboard of a search tells beside its numbers: what is searched, where the runs are, an example of each."""

from collections.abc import Mapping
from dataclasses import dataclass

from smlmbench.report.files import UI_URL
from smlmbench.run.session import Session
from smlmbench.search import Sorts
from smlmbench.study.load import Loaded
from smlmbench.study.planning.spaces import Space
from smlmbench.study.reading.search import LATENCY
from smlmbench.tracking.records import record_of
from smlmbench.tracking.server import chart_link

IMAGES = "images/"
STEP = "+step+"  # MLflow's, in the name of an image's file


@dataclass(frozen=True, slots=True)
class Shown:
    """What is told of one search of a study."""

    session: Session
    loaded: Loaded

    @property
    def _url(self) -> str:
        store = self.session.store
        return store.uri.bare if store.served else UI_URL

    def facts(self) -> dict[str, str]:
        """Where else the search is shown: MLflow's charts (after `smlmbench ui`), and the page."""
        page = self.session.store.report_dir(self.loaded.study.study) / "leaderboard.html"
        return {"mlflow": chart_link(self._url, self.session.experiment_id), "page": page.as_uri()}

    def link(self, run_id: str) -> str:
        """The address of a run in MLflow."""
        return f"{self._url}/#/experiments/{self.session.experiment_id}/runs/{run_id}"

    def about(self, space: Space, sorts: Sorts, *, baseline: bool) -> str:
        """The note of a search, in Markdown."""
        units = self._units()
        wanted = [f"{word} `{name}`{units.get(name, '')}" for name, word in sorts.directions.items()]
        how = "random search, to compare with" if baseline else f"sampler {sorts.sampler}, pruner {sorts.rule.pruner}"
        told = [
            f"**{space.label} on {space.data}**, study `{self.loaded.study.study}`: {', '.join(wanted)}; {how}.",
            "Trials are chosen on validation; the test set scores the final pick and the defaults alone.",
        ]
        for name, limit in sorts.limits.items():
            told.append(f"Trials with `{name}` over {limit:g}{units.get(name, '')} break it and are not trained.")
        if len(sorts.directions) > 1:
            told.append("Trials whose network collapsed break the constraint `collapsed`.")
        links = self.facts()
        told.append(
            f"[Charts in MLflow]({links['mlflow']}) (after `smlmbench ui`), [page of the study]({links['page']})"
        )
        return "\n\n".join(told)

    def about_trial(self, run_id: str, reason: str) -> str:
        """The note of a trial, in Markdown."""
        return f"[Its run in MLflow]({self.link(run_id)})" + (f"\n\n{reason}" if reason else "")

    def example(self, run_id: str) -> bytes | None:
        """The newest example picture of a run as PNG; None where it has none that can be read here."""
        store = self.session.store
        found = record_of(store, store.client.get_run(run_id))
        steps = {path: path.partition(STEP)[2].partition("+")[0] for path in found.artifacts(IMAGES)}
        drawn = {path: int(step) for path, step in steps.items() if path.endswith(".png") and step.isdigit()}
        path = found.artifact(max(drawn, key=drawn.__getitem__)) if drawn else None
        return None if path is None else path.read_bytes()

    def _units(self) -> Mapping[str, str]:
        cards = self.session.catalog.metrics_of(self.loaded.task).values()
        units = {f"val/{name}": facts.unit for card in cards for name, facts in card.gives.items()} | {LATENCY: "ms"}
        return {name: f" ({unit})" for name, unit in units.items() if unit}
