from dataclasses import replace
from pathlib import Path

import pytest

from smlmbench.conformance import Outcome, checks, run_checks
from smlmbench.errors import UnknownNameError
from smlmbench.registry import ROOMS, Catalog

CATALOG = Catalog()


def every_check():
    for room in ROOMS:
        for name in CATALOG.names(room):
            for check in checks(CATALOG, room, name):
                yield pytest.param(check, id=f"{room}-{name}-{check.name}")


@pytest.mark.parametrize("check", list(every_check()))
def test_registered_things_keep_their_contracts(check):
    outcome = check.outcome()
    if outcome.skipped:
        pytest.skip(outcome.detail)
    assert outcome.passed, outcome.detail


MODEL = """
import torch
from torch import nn
import torch.nn.functional as F

CARD = {{
    "version": 1, "summary": "One convolution.", "output": "raster", "upsamples": "before",
    "settings": {{"side": {{"default": 3, "min": 1}}}}, "search": {search}, "tiny": {{}},
    "parameters": {{"upsampling=8": {parameters}}}, "receptive_field_px": {field},
    "facts": {{"translation": True, {facts}}},
}}


class Net(nn.Module):
    def __init__(self, side, upsampling):
        super().__init__()
        self.upsampling = upsampling
        self.convolution = nn.Conv2d(1, 1, side, padding=side // 2)
        {spare}

    def forward(self, frames):
        fine = F.interpolate(frames / 20, scale_factor=float(self.upsampling), mode="nearest")
        return self.convolution(fine){extra}


def build(settings, given):
    {doc}
    return Net(settings["side"], given.upsampling)
"""


def outcomes(tmp_path: Path, only: str | None = None, **changed: str) -> dict[str, Outcome]:
    parts = {
        "search": "{}",
        "parameters": "10",
        "field": "3.0",
        "facts": "",
        "spare": "pass",
        "extra": "",
        "doc": '"""A network."""',
    }
    path = tmp_path / "one_convolution.py"
    path.write_text(MODEL.format(**(parts | changed)))
    found = checks(Catalog([path]), "models", "one_convolution")
    return {check.name: check.outcome() for check in found if only in (None, check.name)}


def test_a_plug_in_that_keeps_the_contracts_passes(tmp_path):
    assert {name: outcome.detail for name, outcome in outcomes(tmp_path).items() if not outcome.passed} == {}


@pytest.mark.parametrize(
    ("changed", "check", "words"),
    [
        ({"parameters": "11"}, "parameters_match_the_card", "the card says 11, built are 10"),
        ({"search": '{"sied": {"choices": [3]}}'}, "search_space_fits_the_settings", "not among the settings"),
        ({"search": '{"side": {"low": 0, "high": 5}}'}, "search_space_fits_the_settings", "out of range"),
        ({"doc": "pass"}, "functions_are_there_and_documented", "build: has no docstring"),
        ({"field": "1.0"}, "receptive_field_is_true", "differ by"),
        (
            {"spare": "self.spare = nn.Parameter(torch.ones(2))", "parameters": "12"},
            "every_parameter_learns",
            "spare: is not part of the answer",
        ),
        (
            {
                "spare": "self.convolution = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1))",
                "parameters": "12",
            },
            "every_parameter_learns",
            "convolution.0.bias: its gradient is zero",
        ),
        ({"facts": '"idle": ["*.bias"]'}, "every_parameter_learns", "convolution.bias: it does learn"),
        ({"facts": '"cannot_overfit": "too small"'}, "two_frames_are_learnt", "it can; take out the fact"),
        ({"facts": '"hint_layers": [{"layer": "convoluton"}]'}, "hint_layers_are_there", "did you mean 'convolution'"),
        ({"extra": " + frames.mean() * torch.arange(fine.shape[-1])"}, "translation_moves_the_answer", "differ by"),
        ({"extra": " + 0 / frames.sum()"}, "answers_are_finite", "not finite"),
        ({"extra": "[..., 1:]"}, "shapes_follow_the_frames", "expected"),
        ({"extra": " - frames.mean()"}, "batch_companions_do_not_matter", "alone and in a batch"),
        ({"extra": " + torch.rand(1)"}, "same_seed_same_network", "answer differently"),
        ({"extra": " * (2 if fine.shape[-1] == 192 else 1)"}, "exported_with_free_sizes", "Guard failed"),
    ],
)
def test_a_broken_contract_is_found(tmp_path, changed, check, words):
    outcome = outcomes(tmp_path, check, **changed)[check]
    assert not outcome.passed
    assert words in outcome.detail


def test_a_wrong_card_fails_its_checks_in_one_line(tmp_path):
    path = tmp_path / "no_card.py"
    path.write_text("x = 1\n")
    (tmp_path / "models").mkdir()
    moved = path.rename(tmp_path / "models" / path.name)
    found = run_checks(Catalog([moved]), "models", "no_card")
    assert not any(outcome.passed for outcome in found)
    assert "has no CARD" in found[0].detail
    assert all("\n" not in outcome.detail for outcome in found)


def test_an_unknown_name_is_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'srcnn'"):
        checks(CATALOG, "models", "srcn")


def test_a_wrong_collapse_threshold_is_found(tmp_path):
    text = (
        CATALOG.path("losses", "weighted_mae").read_text().replace('"collapse_lambda": 2.0', '"collapse_lambda": 3.0')
    )
    path = tmp_path / "losses" / "wrong_mae.py"
    path.parent.mkdir()
    path.write_text(text)
    found = {check.name: check for check in checks(Catalog([path]), "losses", "wrong_mae")}
    outcome = found["collapse_threshold_is_true"].outcome()
    assert not outcome.passed
    assert "correct the fact collapse_lambda" in outcome.detail


def test_each_variant_of_a_card_is_checked():
    names = [check.name for check in checks(CATALOG, "models", "fid_storm")]
    plain = [name for name in names if f"{name}[variant=seed]" in names]
    assert {"parameters_match_the_card", "every_parameter_learns", "two_frames_are_learnt", "state_travels"} <= set(
        plain
    )
    assert len(plain) == 13
    losses = [check.name for check in checks(CATALOG, "losses", "l1l2")]
    assert {"parts_are_numbers[kernel=seed]", "parts_are_numbers[kernel=official]"} <= set(losses)


@pytest.mark.parametrize(
    ("room", "name", "old", "new", "check", "words"),
    [
        ("psf", "gaussian", "return image.view(", "return 0.9 * image.view(", "light_is_kept", "900.0 of 1000 photons"),
        ("psf", "gaussian", "in (spots.x_nm, spots.y_nm)", "in (spots.y_nm,) * 2", "light_moves", "differs by"),
        ("psf", "gaussian", "return REACH *", "return 0.4 *", "reach_is_true", "outside leaves"),
        (
            "psf",
            "astigmatic",
            "self.widths(stand.z_nm)",
            "self.widths(0 * stand.z_nm)",
            "light_is_kept_at_every",
            "the same light",
        ),
        (
            "psf",
            "beads",
            "Table(light,",
            "Table(0.9 * light,",
            "light_is_kept_at_every",
            "of the light is",
        ),
        ("structures", "uniform", "* region.ratio", "", "density_is_kept", "of the emitters expected in 1000"),
        ("structures", "uniform", "- region.margin_nm", "+ 12800", "places_stay", "lie outside the field and its"),
        (
            "structures",
            "filaments",
            "len(expected) if structure_chance is None else 1",
            "len(expected)",
            "one_str",
            "7",
        ),
        ("structures", "microtubules", "room_nm=radius_nm", "room_nm=0.0", "places_stay", "depths from"),
        ("structures", "filaments", "away = chance.normal(", "away = torch.randn(", "same_seed", "gives other places"),
        ("formats", "smlmbench_csv", '"first_frame": 0', '"first_frame": 0, "holds": "tale"', "functions_are", "tale"),
        ("formats", "tiff_image", "array.astype", "(array + 1).astype", "written_files_come_back", "other pixels"),
        ("formats", "smap_csv", "def write_table", "def wrote_table", "functions_are", "write_table: missing"),
        ("tasks", "image_pairs", "def build(", "def built(", "functions_are", "build: missing"),
        ("references", "blank", "condition.frames.n_frames, field_nm", "1, field_nm", "answers_belong", "of (1, (2400"),
        ("references", "blank", '"gives": "both"', '"gives": "image"', "answers_belong", "says it gives image"),
        ("metrics", "recall", '"direction": "up"', '"direction": "down"', "nothing_beats", "the truth has 1"),
        ("metrics", "recall", '"high": 1.0', '"high": 0.5', "numbers_are_in_range", "recall is 1"),
        (
            "metrics",
            "false_per_1000um2",
            "area_um2 < math.inf",
            "area_um2",
            "nothing_to_score",
            "without end: false_per",
        ),
        ("metrics", "mad", "if len(t) == 0:", "if len(t) < 0:", "odd_evidence", "RuntimeWarning"),
        ("metrics", "sigma_calibration", "(sigma > LEAST_NM)", "(sigma >= 0)", "odd_evidence", "RuntimeWarning"),
        ("metrics", "emitter_pairs", "for some in bins", "for some in bins[::2]", "profiles_are", "give one"),
        ("metrics", "recall", '"recall": {', '"recal": {', "names_are_those", "the card recal"),
    ],
)
def test_a_broken_contract_of_other_rooms_is_found(tmp_path, room, name, old, new, check, words):
    text = CATALOG.path(room, name).read_text()
    assert old in text
    path = tmp_path / room / f"other_{name}.py"
    path.parent.mkdir()
    path.write_text(text.replace(old, new))
    found = [one for one in checks(Catalog([path]), room, path.stem) if one.name.startswith(check)]
    outcome = found[0].outcome()
    assert not outcome.passed, outcome.detail
    assert words in outcome.detail


def guarded(task):
    found = {check.name: check for check in checks(CATALOG, "tasks", task)}
    return found["validation_knows_no_test"].outcome()


def test_a_task_that_remembers_what_it_scored_is_found(monkeypatch):
    kind, seen = CATALOG.module("tasks", "image_pairs").ImagePairs, []
    score = kind.score

    def remembering(*args):
        found = score(*args)
        seen.append(found.values["nmse_star"])
        return replace(found, values={**found.values, "nmse_star": sum(seen) / len(seen)})

    monkeypatch.setattr(kind, "score", remembering)
    outcome = guarded("image_pairs")
    assert (outcome.passed, outcome.detail) == (
        False,
        "nmse_star scored of validation change with what was tested before",
    )


@pytest.mark.parametrize(("task", "source"), [("localization", "simulate"), ("image_pairs", "images")])
def test_a_source_whose_validation_is_its_test_set_is_found(monkeypatch, task, source):
    module = CATALOG.module("data", source)
    condition = module.condition

    def swapped(name, description, identity, asked, catalog):
        part = getattr(description, "part", None)
        if part is not None:
            description = description.model_copy(update={"part": part.model_copy(update={"role": "test"})})
        return condition(name, description, identity, replace(asked, role="test"), catalog)

    monkeypatch.setattr(module, "condition", swapped)
    outcome = guarded(task)
    assert (outcome.passed, outcome.detail) == (False, "validation and test share units")


def test_every_room_has_checks():
    for room in ROOMS:
        names = CATALOG.names(room)
        assert names, room
        assert all(len(checks(CATALOG, room, name)) >= 5 for name in names)
