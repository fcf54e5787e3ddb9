"""The best run of a model that is named alone: by the metric of its task, among rows of that task."""

from types import SimpleNamespace

import pytest

from smlmbench.errors import StoreError
from smlmbench.run.using import finding


def row(run_id, task, **metrics):
    named = {f"val/{name}": value for name, value in metrics.items()}
    given = {"status": "done", "superseded": False, "role": "cell", "experiment_id": "1"}
    return SimpleNamespace(run_id=run_id, params={"task": task}, metrics=named, **given)


def found(monkeypatch, rows):
    def nothing(*_):
        raise StoreError("no run")

    monkeypatch.setattr(finding, "find_run", nothing)
    monkeypatch.setattr(finding, "list_studies", lambda _: {"tiny": "1"})
    monkeypatch.setattr(finding, "search", lambda *_: rows)
    record, study = finding.find_row(None, "srcnn")
    assert study == "tiny"
    return record.run_id


LOC = [row("a", "localization", efficiency=40, nmse_star=0.1), row("b", "localization", efficiency=60, nmse_star=0.9)]
PAIRS = [row("c", "image_pairs", nmse_star=0.5), row("d", "image_pairs", nmse_star=0.3)]


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        (LOC, "b"),
        (PAIRS, "d"),
        ([*PAIRS, *LOC], "d"),  # the newest row's task; images of the others are not compared with its own
        ([*LOC, *PAIRS], "b"),
        (
            [row("e", "localization", nmse_star=0.5), row("f", "localization", nmse_star=0.3)],
            "f",
        ),  # old pairs
        ([row("g", "of_a_plug_in", score=1), row("h", "of_a_plug_in", score=2)], "g"),
    ],
)
def test_the_best_by_its_own_task(monkeypatch, rows, best):
    assert found(monkeypatch, rows) == best
