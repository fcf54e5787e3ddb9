"""What a card says of a variant: in cards, plans, warnings, plan.json and lists."""

import json

import pytest
import yaml
from pydantic import ValidationError
from typer.testing import CliRunner

from smlmbench.cli import app
from smlmbench.registry import Card, Catalog, ModelCard
from smlmbench.run.studies.planfile import plan_document
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan

BASE = {
    "version": 1,
    "summary": "A net",
    "output": "raster",
    "upsamples": "inside",
    "parameters": {},
    "receptive_field_px": 9.0,
    "fidelity": "verified",
    "deviations": ["one"],
    "settings": {"kind": {"default": "a", "choices": ["a", "b"]}, "fast": {"default": False, "choices": [False, True]},
                 "blocks": {"default": 4}},
    "facts": {"x": 1, "y": 2},
    "refuses": {"upsampling=1": "is too small"},
}  # fmt: skip


def card(**variants):
    return ModelCard.model_validate(BASE | {"variants": variants})


def test_a_variant_replaces_what_it_states_and_keeps_the_rest():
    variant = {"fidelity": "seed", "facts": {"y": 3, "z": 4}, "ignores": ["blocks"], "refuses": {}}
    made = card(**{"kind=b": variant, "fast=true": {"receptive_field_px": 5.0}})
    assert made.under({"kind": "a", "fast": False}) == made
    under = made.under({"kind": "b", "blocks": 4, "fast": True})
    assert (under.fidelity, under.deviations, under.receptive_field_px) == ("seed", ["one"], 5.0)
    assert under.facts == {"x": 1, "y": 3, "z": 4}
    assert (made.refusal({"upsampling": 1}), made.refusal({"upsampling": 2})) == ("at upsampling 1 is too small", None)
    assert under.refusal({"upsampling": 1}) is None
    assert (made.variant({"kind": "b"}), made.variant({"kind": "a"}), made.variant({})) == ("kind=b", "", "")
    assert made.ignored({"kind": "b", "blocks": 5}) == ["blocks"]
    assert made.ignored({"kind": "b", "blocks": 4}) == made.ignored({"kind": "a", "blocks": 5}) == []


@pytest.mark.parametrize(
    ("variants", "words"),
    [
        ({"kin=b": {}}, "'kin' is no setting, did you mean 'kind'"),
        ({"kind=c": {}}, "'c' is not among the choices of kind"),
        ({"blocks=4": {}}, "'4' is not among the choices of blocks"),
        ({"kind=b": {"ignores": ["block"]}}, "'block' is no setting, did you mean 'blocks'"),
        ({"kind=b": {"fidelty": "seed"}}, "Extra inputs"),
    ],
)
def test_a_variant_of_nothing_is_refused(variants, words):
    with pytest.raises(ValidationError, match=words):
        card(**variants)


def test_a_variant_of_another_room_has_no_facts_of_models():
    made = Card.model_validate(
        {"version": 1, "summary": "x", "settings": BASE["settings"], "variants": {"kind=b": {"upsamples": "none"}}}
    )
    assert made.under({"kind": "b"}) == made


def loaded(tmp_path, **blocks):
    source = {"simulate": {"density_per_um2": 1.0, "pixel_size_nm": 100, "field_px": 16}}
    raw = {
        "study": "wirings",
        "repeats": 3,
        "data": [{"name": "sim", "train": source}],
        "references": [],
        "models": ["fid_storm"],
        "losses": [{"name": "l1l2", "lambda": 200}],
    }
    path = tmp_path / "wirings.yaml"
    path.write_text(yaml.safe_dump(raw | blocks))
    return load_study(path)


def test_a_network_without_an_upsampling_stage_is_skipped_at_ratio_one_and_its_seed_runs(tmp_path):
    models = [{"name": "fid_storm", "variant": ["published", "seed"]}, "srcnn"]
    plan = make_plan(loaded(tmp_path, models=models, output={"upsampling": [1, 2]}), repeats=1)
    done = [
        (cell.model.name, cell.model.settings["variant"], cell.output.settings["upsampling"]) for cell in plan.cells
    ]
    assert done == [
        ("fid_storm", "published", 2),
        *(("fid_storm", "seed", upsampling) for upsampling in (1, 2)),
        *(("srcnn", "published", upsampling) for upsampling in (1, 2)),
    ]
    assert [row.reason for row in plan.skipped] == [
        "fid_storm at upsampling 1 has no upsampling stage; variant: seed runs there"
    ]
    assert plan.skipped[0].settings["model"]["variant"] == "published"


def test_settings_without_meaning_make_skipped_rows(tmp_path):
    models = [{"name": "fid_storm", "variant": ["published", "seed"], "blocks": [5, 10]}]
    plan = make_plan(loaded(tmp_path, models=models), repeats=1)
    done = [(cell.model.settings["variant"], cell.model.settings["blocks"]) for cell in plan.cells]
    assert done == [("published", 5), ("published", 10), ("seed", 10)]
    assert [row.reason for row in plan.skipped] == [
        "fid_storm with variant seed has no blocks=5; only its default stands there"
    ]


def test_the_collapse_warning_names_the_number_of_the_settings(tmp_path):
    losses = [
        {"name": "l1l2", "lambda": [1, 5, 12.6], "kernel": ["unit", "official", "seed"]},
        {"name": "weighted_mae", "lambda": [1.5, 3]},
        {"name": "weighted_mse", "lambda": [0.5, 3], "blur": ["none", "unit"]},
    ]
    warnings = make_plan(loaded(tmp_path, losses=losses)).warnings
    said = [text.removesuffix(", so the network may learn to answer nothing") for text in warnings]
    below = "is below its collapse threshold"
    assert sorted(said) == sorted(
        [
            f"loss l1l2: lambda 1 {below} 12.55",
            f"loss l1l2 with kernel official: lambda 1 {below} 6.28",
            f"loss l1l2 with kernel seed: lambda 1 {below} 3.96",
            f"loss l1l2: lambda 5 {below} 12.55",
            f"loss l1l2 with kernel official: lambda 5 {below} 6.28",
            f"loss weighted_mae: lambda 1.5 {below} 2",
            f"loss weighted_mse: lambda 0.5 {below} 1",
            f"loss weighted_mse with blur unit: lambda 0.5 {below} 6.28",
            f"loss weighted_mse with blur unit: lambda 3 {below} 6.28",
        ]
    )


def test_a_loss_without_a_lambda_shows_none(tmp_path):
    plan = make_plan(loaded(tmp_path, losses=["mse", {"name": "l1l2", "lambda": 0}]), repeats=1)
    assert [cell.labels["lambda"] for cell in plan.cells] == ["none", "0"]


def test_plan_json_says_how_true_each_row_is_to_its_source(tmp_path):
    study = loaded(tmp_path, models=[{"name": "fid_storm", "variant": ["published", "seed"]}, "u_storm"])
    plan = make_plan(study, repeats=1)
    rows = json.loads(json.dumps(plan_document(study.study, plan, study.catalog)))["cells"]
    assert [row["fidelity"] for row in rows] == ["verified", "seed", "reconstruction"]


def test_list_shows_fidelity_and_deviations_of_each_variant():
    def said(*words):
        return " ".join(CliRunner().invoke(app, ["list", *words]).stdout.split())

    one = said("models", "fid_storm")
    assert "fidelity: verified; variant=seed: seed" in one
    assert "deviations with variant seed: - wired as the DL4SMLM package" in one
    assert "settings without meaning with variant seed: blocks, zero_last, linear_output" in one
    assert "227,585 at upsampling=8,variant=seed" in one
    assert "fidelity: seed" in said("losses", "weighted_mae")
    assert "deviations with kernel seed:" in said("losses", "l1l2")


@pytest.mark.parametrize("name", ["srcnn", "deep_storm", "skip_storm", "u_storm", "drl_storm", "fid_storm"])
def test_each_of_the_six_networks_is_published_by_default_and_has_the_seeds_wiring(name):
    made = Catalog().card("models", name)
    assert (made.settings["variant"].default, made.settings["variant"].choices) == ("published", ["published", "seed"])
    seed = made.under({"variant": "seed"})
    assert (made.fidelity == "verified") == (name in ("deep_storm", "fid_storm"))
    assert (seed.fidelity, seed.upsamples) == ("seed", "before")
    assert seed.deviations != made.deviations
    assert any("nearest" in text for text in seed.deviations)
