"""A robustness sheet of two axes: run, scored, stored and drawn."""

import json

import pytest
import tiny_study

from smlmbench.tracking.records import read_study
from smlmbench.tracking.store import open_store

NET = {"name": "fid_storm", "blocks": 1, "width": 0.25}
STATED = {"density_per_um2": 1.0, "photons": 2000, "field_px": 16}
STATED["camera"] = {"kind": "scmos", "baseline_adu": 100, "e_per_adu": 0.5, "read_noise_e": 1.6}
RANGED = STATED | {"photons": {"min": 500, "max": 8000, "law": "log_uniform"}}
SHEET = {"at": {"simulate": STATED | {"frames": 8}}, "sigma": [0.8, 1.2], "photons": [5]}
DATA = [
    {"name": arm, "arm": arm, "train": {"simulate": train}, "val": {"simulate": {"frames": 12}}, "robustness": SHEET}
    for arm, train in (("matched", STATED), ("ranged", RANGED))
]
STEPS = {"sigma-x0.8", "sigma-x1.2", "photons-x5"}


@pytest.fixture(scope="module")
def done(tmp_path_factory, empty_store):
    import shutil

    folder = tmp_path_factory.mktemp("sheets")
    path = tiny_study.write(folder, data=DATA, models=[NET], references=["peaks_gaussian"], timing=None)
    store = open_store(shutil.copytree(empty_store, folder / "mlruns"))
    finished, lines = tiny_study.run(path, store)
    return finished, lines, read_study(store, "tiny")


def test_the_sheet_is_scored_and_counts_in_no_mean(done):
    _, lines, record = done
    assert {row.status for row in record.rows("cell")} == {"done"}
    for run in record.runs:
        if run.role not in ("cell", "reference"):
            continue
        metrics = json.loads(run.artifact("metrics.json").read_text(encoding="utf-8"))
        assert set(metrics["test"]) == {"centre", *STEPS}
        assert run.metrics["test/jaccard"] == run.metrics["test.centre/jaccard"]
        assert run.artifact("figures/centre.png") is not None
        assert run.artifact("figures/sigma-x1.2.png") is None
    ended = [line for line in lines if "efficiency centre" in line]
    assert len(ended) == 2
    assert not any("sigma" in line for line in ended)


def test_the_plan_says_where_each_condition_stands_and_the_page_shows_it(done):
    finished, _, record = done
    conditions = record.plan["conditions"]["ranged"]
    assert {name for name, facts in conditions.items() if "axis" in facts} == STEPS
    page = finished.report.read_text(encoding="utf-8")
    assert page.count(">Breaks at</th>") == 4  # of two boards, and of their tables
    assert "fid_storm matched, sigma: x0.8" in page
    assert "fid_storm ranged, photons: x1" in page
    assert page.count("peaks_gaussian, sigma") == 1
