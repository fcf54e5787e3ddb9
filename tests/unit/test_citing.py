"""Works and methods of a study: one entry for a paper, @misc where there is no doi, text that BibTeX can hold."""

import json
import re
import shlex

import pytest
from report_record import BOTH, Builder
from typer.testing import CliRunner

from smlmbench.cli import app
from smlmbench.errors import StoreError
from smlmbench.report.studies.citing import cite
from smlmbench.tracking.runs import open_run


@pytest.fixture
def builder(tmp_path):
    builder = Builder(tmp_path, BOTH, repeats=3, seed=7, scoring={"protocol": "smlmbench-2", "lateral_nm": 250.0})
    for repeat in range(2):
        builder.done(builder.cell("deep_storm", repeat, lam="200"), {"low": {"efficiency": 50.0}})
    builder.cell("u_storm", lam="800", loss="weighted_mse")
    builder.cell("my_net_50%", teacher="deep_storm", method="hint")
    builder.reference("gaussian_mle")
    source = {"kind": "simulate", "psf": {"name": "gaussian", "sigma_nm": 130}, "movie": "/home/me/cells.tif"}
    builder.plan["data"] = {"sim": {"train": {"train": source, "val": source | {"frames": 9}}}}
    return builder


def entries(works):
    return {work.key: work for work in works}


def test_a_paper_has_one_entry_that_names_all_that_it_is_for(builder):
    works = entries(cite(builder.record).works)
    nehme = works["nehme2018"]
    assert nehme.doi == "10.1364/OPTICA.5.000458"
    assert nehme.used_for == ["model deep_storm", "loss l1l2"]
    assert nehme.bibtex.startswith("@article{nehme2018,\n  author = {Nehme and Weiss and Michaeli and Shechtman},\n")
    assert "  doi = {10.1364/OPTICA.5.000458},\n" in nehme.bibtex
    assert works["smith2010"].used_for == ["reference gaussian_mle", "PSF gaussian"]
    assert "author = {Smith and others}" in works["smith2010"].bibtex
    assert works["romero2015"].used_for == ["recipe hint"]
    assert works["smlmbench"].bibtex.count("Version 0.1.0") == 1


def test_what_has_no_doi_is_a_misc_with_what_is_known(builder):
    works = entries(cite(builder.record).works)
    yao = works["yao2018"]
    assert yao.bibtex.startswith("@misc{yao2018,\n  author = {Yao, W. and others},\n")
    assert "year = {2018}" in yao.bibtex
    assert "U-Net for pansharpening, Neurocomputing 312:364-371" in yao.bibtex
    assert works["weighted_mse"].bibtex.startswith("@misc{weighted_mse,\n  title = {{loss weighted\\_mse}},")
    assert works["simulate"].used_for == ["data source simulate"]
    assert "its file is not here" in works["my_net_50"].bibtex
    assert r"my\_net\_50\%" in works["my_net_50"].bibtex
    for work in works.values():
        assert work.bibtex.count("{") == work.bibtex.count("}")
        assert re.fullmatch(r"@(article|misc)\{[a-z0-9_]+,\n(  \w+ = \{.+\},\n)+\}", work.bibtex), work.bibtex
    assert len(works) == len({work.bibtex for work in works.values()}) == 8


def test_methods_hold_the_settings_of_data_training_protocol_and_versions(builder):
    methods = cite(builder.record).methods
    for said in (
        "made with smlmbench 0.1.0",
        "Training data sim: kind simulate, psf.name gaussian, psf.sigma_nm 130, movie cells.tif.",
        "Validation data sim: frames 9.",
        "Frozen test sets of sim: low (density_per_um2 0.5, frames 40, truth_kind simulated); high (",
        "Model deep_storm (blocks 4) was trained with l1l2 (λ 200).",
        "Ways of training: supervised, hint with deep_storm as teacher.",
        "Training: lr 0.001.",
        "Trainings of each kind: 3, from seed 7.",
        "protocol smlmbench-2 (lateral_nm 250).",
        "On sim the models are ranked by efficiency (higher is better).",
        "Rows: 2 done, 3 planned.",
    ):
        assert said in methods, said
    assert "/home" not in methods


def test_a_study_without_a_plan_is_refused(builder):
    record = builder.record
    record.plan = {}
    with pytest.raises(StoreError, match=r"no plan\.json"):
        cite(record)


def test_the_command_prints_bibtex_or_json_and_refuses_an_unknown_study(store, builder):
    with open_run(store, store.ensure_experiment("demo"), role="study", name="demo") as run:
        run.log_dict(builder.plan, "plan.json")
    words = shlex.join(["--store", str(store.home)])
    text = CliRunner().invoke(app, shlex.split(f"cite demo {words}")).stdout
    found = json.loads(CliRunner().invoke(app, shlex.split(f"cite demo {words} --json")).stdout)
    assert all(work["bibtex"] in text for work in found["works"])
    assert found["methods"] in text
    assert text.count("@") == len(found["works"]) == 8
    unknown = CliRunner().invoke(app, shlex.split(f"cite dome {words}"))
    assert (unknown.exit_code, unknown.stderr.count("\n")) == (2, 1)
    assert "no study 'dome'" in unknown.stderr
    assert "demo" in unknown.stderr
