"""Works and methods of a study: one entry for a paper, @misc where there is no doi, text that BibTeX can hold."""

import json
import re
import shlex

import pytest
from report_record import BOTH, Builder
from typer.testing import CliRunner

from smlmbench.cli import app
from smlmbench.errors import StoreError
from smlmbench.registry import ROOMS, Catalog
from smlmbench.report.studies.citing import _papers, cite
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
    assert "  journal = {Optica},\n  volume = {5},\n  number = {4},\n  pages = {458},\n  year = {2018}," in nehme.bibtex
    assert works["smith2010"].used_for == ["reference gaussian_mle", "PSF gaussian"]
    assert "author = {Smith and others}" in works["smith2010"].bibtex
    assert works["romero2015"].used_for == ["recipe hint"]
    assert works["smlmbench"].bibtex.count("Version 0.1.0") == 1


def test_what_is_not_known_of_a_paper_is_left_out(builder):
    works = entries(cite(builder.record).works)
    yao = works["yao2018"]
    assert yao.bibtex.startswith("@article{yao2018,\n  author = {Yao, W. and others},\n  journal = {Neurocomputing},\n")
    assert "  volume = {312},\n  pages = {364--371},\n  year = {2018},\n" in yao.bibtex
    assert "title" not in yao.bibtex
    assert "a U-Net for pansharpening; Used for: model u\\_storm" in yao.bibtex
    assert works["weighted_mse"].bibtex.startswith("@misc{weighted_mse,\n  title = {{loss weighted\\_mse}},")
    assert works["simulate"].used_for == ["data source simulate"]
    assert "its file is not here" in works["my_net_50"].bibtex
    assert r"my\_net\_50\%" in works["my_net_50"].bibtex
    assert "  key = {weighted_mse},\n" in works["weighted_mse"].bibtex, "BibTeX sorts by author or key"
    assert works["romero2015"].bibtex.startswith("@inproceedings{romero2015,")
    assert "  booktitle = {ICLR 2015},\n" in works["romero2015"].bibtex
    for work in works.values():
        assert work.bibtex.count("{") == work.bibtex.count("}")
        form = r"@(article|inproceedings|misc)\{[a-z0-9_]+,\n(  \w+ = \{.+\},\n)+\}"
        assert re.fullmatch(form, work.bibtex), work.bibtex
    assert len(works) == len({work.bibtex for work in works.values()}) == 8


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("Someone 2019, Colours", {"author": "Someone", "title": "Colours", "year": "2019"}),
        (
            "2025, Light work. Nature Communications",
            {"title": "Light work", "journal": "Nature Communications", "year": "2025"},
        ),
        (
            "Gaire, Zhang Y., Ying 2020, A, b and c. Optics Express 11(5):2705-2721",
            {
                "author": "Gaire and Zhang, Y. and Ying",
                "title": "A, b and c",
                "journal": "Optics Express",
                "volume": "11",
                "number": "5",
                "pages": "2705--2721",
                "year": "2020",
            },
        ),
        ("Guo 2017, On it. arXiv:1706.04599", {"author": "Guo", "howpublished": "arXiv:1706.04599"}),
        ("Weber et al. 1978 (walls); Brang 2007 (cells)", {"author": "Weber and others", "note": "walls"}),
        ("a page of the web", {"title": "a page of the web"}),
    ],
)
def test_a_card_says_who_when_what_and_where(text, fields):
    found = _papers(text)
    assert found[0].items() >= fields.items()
    assert len(found) == 1 + text.count(";")


def test_every_card_tells_its_paper_apart():
    catalog, known = Catalog(), set()
    for room in ROOMS:
        for name in catalog.names(room):
            card = catalog.card(room, name)
            if card.paper:
                (first, *_) = _papers(card.paper)
                assert {"author", "title"} & set(first), card.paper
                assert first.get("title") != card.paper, f"{name}: write WHO YEAR, TITLE. JOURNAL VOLUME(NUMBER):PAGES"
                assert {"journal", "booktitle", "howpublished", "note"} & set(first) or name == "phasor", card.paper
                known.add(first.get("author", card.paper))
    assert len(known) > 25


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
