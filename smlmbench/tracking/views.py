"""Shared views of MLflow: what a link to an experiment opens on, kept as a tag of it, in the form of MLflow 3.17."""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smlmbench.tracking.store import Store

KEY = "smlmbench"  # of our view; MLflow's own have random keys
TAG = f"mlflow.sharedViewState.{KEY}"
NAMELESS, SYSTEM = "Model metrics", "System metrics"  # MLflow's sections of metrics without a prefix, and of `system/`
BARS, COLUMNS, CARD_PX = 20, 2, 380


@dataclass(frozen=True, slots=True)
class View:
    """What the page of an experiment shows.

    Charts are those of `bar`, `lines`, `scatter` and `parallel`; columns those of `column`.
    """

    charts: Mapping[str, Sequence[Mapping[str, Any]]]  # by section, in order; these are open
    folded: Sequence[str]  # sections that follow, closed; MLflow fills them with a chart of each metric
    columns: Sequence[str] = ()
    order_by: str = ""
    ascending: bool = False
    condition: str = ""  # in MLflow's filter language


def column(kind: str, name: str) -> str:
    """A column of the table, of `attributes`, `params`, `metrics` or `tags`."""
    return f"{kind}.`{name}`"


def bar(metrics: Sequence[str]) -> dict[str, Any]:
    """Bars of metrics, one group for each run."""
    chosen = {"metricKey": metrics[0], "selectedMetricKeys": list(metrics)}
    return {"type": "BAR", **chosen, "runsCountToCompare": BARS}


def lines(metric: str) -> dict[str, Any]:
    """The curve of a metric in every run, over its steps."""
    return {
        "type": "LINE",
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "lineSmoothness": 0,
        "scaleType": "linear",
        "xAxisKey": "step",
        "xAxisScaleType": "linear",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
        "range": {},
    }


def scatter(across: str, up: str) -> dict[str, Any]:
    """One metric against another."""
    axes = {"xaxis": {"key": across, "type": "METRIC"}, "yaxis": {"key": up, "type": "METRIC"}}
    return {"type": "SCATTER", **axes, "runsCountToCompare": 100}


def parallel(params: Sequence[str], metrics: Sequence[str]) -> dict[str, Any]:
    """Parallel coordinates from settings to results, of the runs that have all of them."""
    chosen = {"selectedParams": list(params), "selectedMetrics": list(metrics)}
    return {"type": "PARALLEL", **chosen, "showAllRuns": True}


def sections_of(metrics: Sequence[str]) -> list[str]:
    """MLflow's names of the sections in which it puts the charts of metrics, sorted."""
    found = {key.rpartition("/")[0] or NAMELESS for key in metrics}
    return sorted(SYSTEM if name == "system" else name for name in found)


def state_of(view: View) -> dict[str, Any]:
    """A view as MLflow's page keeps it."""
    names = [*view.charts, *(name for name in view.folded if name not in view.charts)]
    section = {name: f"section-{place}" for place, name in enumerate(names)}
    charts = [
        {
            "uuid": f"{section[name]}-chart-{place}",
            "metricSectionId": section[name],
            "deleted": False,
            "isGenerated": False,
            "runsCountToCompare": 10,
            **chart,
        }
        for name, placed in view.charts.items()
        for place, chart in enumerate(placed)
    ]
    return {
        "searchFilter": view.condition,
        "orderByKey": view.order_by or column("attributes", "start_time"),
        "orderByAsc": view.ascending,
        "selectedColumns": list(view.columns),
        "runsHiddenMode": "SHOW_ALL",
        "hideEmptyCharts": True,
        "isAccordionReordered": True,  # else MLflow sorts the sections by name
        "compareRunCharts": charts,
        "compareRunSections": [
            {
                "uuid": section[name],
                "name": name,
                "display": name in view.charts,
                "isReordered": False,
                "deleted": False,
                "isGenerated": False,
                "columns": COLUMNS,
                "cardHeight": CARD_PX,
            }
            for name in names
        ],
    }


def store_view(store: Store, experiment_id: str, title: str, view: View, made_s: float) -> None:
    """Keep a view with an experiment, as the one that our links open; `made_s` is its date, since 1970."""
    text = json.dumps(state_of(view), ensure_ascii=True, separators=(",", ":"))
    packed = "deflate;" + base64.b64encode(zlib.compress(text.encode(), 9)).decode()
    dated = int(made_s * 1000)
    envelope = {"name": title, "createdAt": dated, "updatedAt": dated, "state": packed}
    store.client.set_experiment_tag(experiment_id, TAG, json.dumps(envelope))
