"""Sparse and dense renderings, what is measured of dense images, and a user's table split in time."""

import dataclasses
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch

from smlmbench import tasks
from smlmbench.data import renderings, table_renderings
from smlmbench.data.contracts import ArrayFrames, Asked, Condition, Scope
from smlmbench.errors import ConfigError, FormatError
from smlmbench.metrics import hallucinated_mass, nrmse
from smlmbench.metrics.evidence import Images, gather
from smlmbench.registry import Catalog
from smlmbench.study.schema import Scoring
from smlmbench.study.sources import PluginSource
from smlmbench.study.sources.description import Share
from smlmbench.tasks.contracts.sections import Told
from smlmbench.tasks.densification.scoring import table_of
from smlmbench.truths.dense_structure import DenseStructure, Taught

CATALOG = Catalog()
TASK = tasks.load("densification", CATALOG)
SIDE = 192


def source(kind="renderings", part=None, **settings):
    card = CATALOG.card("data", kind)
    return PluginSource(kind=kind, settings=card.fill(kind, settings), facts=card.facts, part=part)


def stream(**settings):
    return renderings.training_set(source(**settings), {"of": "test"}, Scope(3), CATALOG)


def frozen(role="test", **settings):
    description = source(**{"frames": 2, "field_px": 32} | settings)
    return renderings.condition("c", description, {"of": "test"}, Asked(role, 3), CATALOG)


def test_a_sample_depends_on_its_number_alone():
    made = stream(field_px=32)
    whole, part = made.batch(0, 4), made.batch(2, 1)
    assert torch.equal(whole.inputs[2:3], part.inputs)
    assert torch.equal(whole.truth.dense[2:3], part.truth.dense)
    assert not torch.equal(whole.inputs[0], whole.inputs[1])


def test_inputs_are_sparse_image_widefield_and_code_and_the_dense_image_holds_the_sparse_one():
    batch = stream(field_px=64, control=2).batch(0, 3)
    assert batch.inputs.shape == (3, 3, 64, 64)
    assert batch.truth.dense.shape == (3, 1, 64, 64)
    assert (batch.truth.dense >= batch.inputs[:, :1]).all()
    assert batch.truth.dense.sum() > 10 * batch.inputs[:, :1].sum() > 0
    assert (batch.inputs[:, 2] == 2).all()
    assert batch.inputs[:, 1].amax() > 300


def test_the_number_of_localizations_is_that_of_frames_rate_and_area():
    few, many = (
        frozen(frames=20, field_px=64, sparse_frames=frames, rate_per_um2=0.2, stray_share=0.2).frames.values[:, 0]
        for frames in (500, 2000)
    )
    area_um2 = (64 * 0.02) ** 2
    for images, frames in ((few, 500), (many, 2000)):
        expected = 0.2 * frames * area_um2
        assert images.sum(axis=(1, 2)).mean() == pytest.approx(expected, rel=0.15)


def test_what_is_found_lies_on_the_structure_within_precision_but_for_strays():
    shares = []
    for precision_nm, strays in ((5.0, 0.0), (5.0, 0.3)):
        made = frozen(frames=4, field_px=96, precision_nm=precision_nm, stray_share=strays)
        truth, field_nm = made.truth, (96 * 20.0, 96 * 20.0)
        of_images = []
        for number in range(4):
            points = table_of(truth.points[number][0], field_nm)
            evidence = gather(None, points, images=Images(truth.dense[number, 0], None, 20.0))
            of_images.append(hallucinated_mass.measure(evidence)["hallucinated"])
        shares.append(np.mean(of_images))
    assert shares[0] < 0.001
    assert 0.15 < shares[1] < 0.32  # some strays fall onto the structure


def test_colours_are_mixed_in_the_sparse_images_alone():
    clean, mixed = (
        frozen(frames=8, field_px=96, others=["nuclear_pores"], misassigned=share, stray_share=0, precision_nm=0)
        for share in (0.0, 0.4)
    )
    assert clean.frames.values.shape == (8, 4, 96, 96)
    np.testing.assert_allclose(clean.truth.dense.sum(), mixed.truth.dense.sum(), rtol=0.1)

    def away(made):
        """Share of the sparse localizations of the first colour where its dense image has none."""
        first, dense = made.frames.values[:, 0], made.truth.dense[:, 0]
        return first[dense == 0].sum() / first.sum()

    assert away(clean) == 0
    assert 0.2 < away(mixed) < 0.5
    assert (mixed.truth.dense[:, 0] > 0).mean() < 0.5


def test_without_a_widefield_its_channel_is_blank_and_rsp_has_a_reason():
    made = frozen(field_px=SIDE, widefield=False)
    assert (made.frames.values[:, 1] == 0).all()
    assert made.truth.widefield is None
    scores = TASK.score(made.truth.dense, made, Scoring())
    assert scores.reasons["rsp"] == "the condition has no widefield"
    assert scores.values["ms_ssim"] == 1


def test_the_widefield_of_some_training_samples_is_left_out():
    inputs = stream(field_px=32, blank_share=0.5).batch(0, 40).inputs
    blank = (inputs[:, 1].flatten(1).amax(dim=1) == 0).float().mean()
    assert 0.2 < blank < 0.8


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sparse_frames": 20000}, "not fewer than dense_frames 10000"),
        ({"field_px": 33}, "field_px 33 is no multiple of widefield_pixels 4"),
        ({"misassigned": 0.1}, "misassigned needs a second colour"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        stream(**settings)


def test_several_frames_at_once_are_refused():
    with pytest.raises(ConfigError, match="no neighbours in time"):
        renderings.training_set(source(), {}, Scope(3, context=3), CATALOG)


def test_validation_and_test_are_other_draws():
    val, test = frozen("val"), frozen("test")
    assert val.digest != test.digest
    assert not np.array_equal(val.frames.values, test.frames.values)
    assert test.facts == {"sparse_frames": 300.0}
    assert frozen(sparse_frames={"min": 10, "max": 20}).facts == {}
    assert not test.calibrated


def evidence_of(image, points, pixel_nm=20.0, truth=None):
    field_nm = (image.shape[1] * pixel_nm, image.shape[0] * pixel_nm)
    table = None if points is None else table_of(np.asarray(points, dtype=np.float64), field_nm)
    return gather(None, table, images=Images(image, truth, pixel_nm))


def test_mass_farther_than_40_nm_from_any_point_is_hallucinated():
    image = np.zeros((20, 20))
    image[5, 5], image[5, 7], image[5, 8] = 1, 2, 1  # 0, 40 and 60 nm from a point in the middle of (5, 5)
    point = [(110.0, 110.0)]
    assert hallucinated_mass.measure(evidence_of(image, point))["hallucinated"] == 0.25
    negative = np.where(image > 0, image, -1.0)  # what is negative is no mass
    assert hallucinated_mass.measure(evidence_of(negative, point))["hallucinated"] == 0.25
    assert hallucinated_mass.measure(evidence_of(image, np.empty((0, 2))))["hallucinated"] == 1


@pytest.mark.parametrize(
    ("image", "points", "said"),
    [
        (np.zeros((4, 4)), [(10, 10)], "blank"),
        (np.full((4, 4), np.nan), [(10, 10)], "not finite"),
        (np.ones((4, 4)), None, "no true positions"),
    ],
)
def test_what_has_no_hallucinated_mass_says_why(image, points, said):
    assert said in hallucinated_mass.measure(evidence_of(image, points))["hallucinated"]


def test_nrmse_is_the_root_of_the_share_of_power_that_is_missing():
    truth = np.zeros((8, 8))
    truth[2, 2], truth[5, 5] = 3, 4
    found = np.where(truth == 4, 17.0, 0.0)
    assert nrmse.measure(evidence_of(found, None, truth=truth))["nrmse"] == pytest.approx(3 / 5)
    assert nrmse.measure(evidence_of(truth * 9, None, truth=truth))["nrmse"] == pytest.approx(0, abs=1e-12)


def two_colors():
    made = frozen(frames=2, field_px=SIDE, others=["nuclear_pores"], stray_share=0.1)
    blurred = CATALOG.module("references", "blurred_sparse").predict(made, {"sigma_nm": 40.0}, {}, 0)
    return made, blurred


def test_numbers_of_colours_are_their_means_and_the_widefield_is_compared_with_their_sum():
    made, blurred = two_colors()
    both = TASK.score(blurred, made, Scoring())
    alone = []
    for color in range(2):
        points = [[of_image[color]] for of_image in made.truth.points]
        truth = DenseStructure(made.truth.dense[:, [color]], points, made.truth.widefield)
        alone.append(TASK.score(blurred[:, [color]], dataclasses.replace(made, truth=truth), Scoring()))
    for name in ("ms_ssim", "hallucinated", "nrmse"):
        assert both.values[name] == pytest.approx(np.mean([one.values[name] for one in alone]))
    assert both.values["rsp"] != pytest.approx(np.mean([one.values["rsp"] for one in alone]))
    whole = made.truth.dense
    sides = [TASK.score(some, made, Scoring()).values["rsp"] for some in (whole, whole * [[[[1]], [[0]]]])]
    assert sides[0] > 0.97 > sides[1]
    low, high = both.intervals["ms_ssim"]
    assert low < both.values["ms_ssim"] < high


def test_a_row_that_is_not_finite_has_no_number_but_a_reason():
    made, blurred = two_colors()
    blurred[0, 1, 3, 3] = np.nan
    scores = TASK.score(blurred, made, Scoring())
    assert np.isnan(scores.per_unit["ms_ssim"][0])
    assert np.isfinite(scores.per_unit["ms_ssim"][1])
    every = TASK.score(np.full_like(blurred, np.nan), made, Scoring())
    assert "not finite" in every.reasons["ms_ssim"]
    assert TASK.watch(np.full_like(blurred, np.nan), made, Scoring()).score == 0


def test_what_is_invented_is_shown_on_the_answer():
    made, blurred = two_colors()
    blurred[0, :, :40, :40] += 5
    shown = TASK.panels(blurred, made.part(0, 1))
    assert shown.marked.sum() > 0.5 * 2 * 5 * 40 * 40 / 2
    assert "40 nm" in shown.marked_said
    assert shown.truth.shape == shown.marked.shape == (SIDE, SIDE)
    nothing = dataclasses.replace(made, truth=DenseStructure(made.truth.dense))
    assert TASK.panels(blurred, nothing).marked is None


def test_rows_are_drawn_along_the_number_of_frames():
    def row(label, condition, value, kind="reference"):
        named = {"label": label, "model": label, "condition": condition, "metric": "ms_ssim", "value": value}
        return (
            named
            | {"low": None, "high": None, "style": 0, "kind": kind, "picked": kind != "reference"}
            | {"ceiling": label == "dense_truth"}
        )

    rows = [row("blurred_sparse", name, value) for name, value in (("few", 0.5), ("many", 0.7))]
    rows += [row("net", name, value, "cell") for name, value in (("few", 0.6), ("many", 0.75))]
    rows += [row("dense_truth", "few", 1.0)]
    facts = {"few": {"sparse_frames": 100.0}, "many": {"sparse_frames": 1000.0}}
    (drawing,) = TASK.across([Told("d", "", pd.DataFrame(rows), facts)])
    assert drawing.alt.endswith("blurred_sparse, net")
    assert drawing.image.startswith(b"<?xml")
    assert TASK.across([Told("d", "", pd.DataFrame(rows), {"few": facts["few"], "many": {}})]) == []
    assert TASK.section(pd.DataFrame(), facts).beside == {"few": "100 frames", "many": "1000 frames"}


FRAMES = 400


@pytest.fixture
def table(tmp_path):
    """Localizations of a field of 6000 x 2400 nm (300 x 120 render pixels), two in each frame."""
    draws = np.random.default_rng(0)
    frame = np.repeat(np.arange(FRAMES), 2)
    columns = {"frame": frame, "x_nm": draws.uniform(0, 6000, 2 * FRAMES), "y_nm": draws.uniform(0, 2400, 2 * FRAMES)}
    columns["x_nm"][0], columns["y_nm"][0] = 5999.0, 2399.0
    path = tmp_path / "mine.csv"
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def of_table(path, part=None, **settings):
    return source("table_renderings", part, table=str(path), field_px=32, sparse_frames=50, **settings)


def test_a_table_is_sparse_in_its_first_frames_and_dense_in_nearly_all(table):
    made = table_renderings.condition("c", of_table(table, frames=1000), {}, Asked("test", 0), CATALOG)
    assert len(made.truth) == (300 // 32) * (120 // 32)
    rows = pd.read_csv(table)
    inside = (rows.x_nm < 9 * 640) & (rows.y_nm < 3 * 640)
    assert made.frames.values[:, 0].sum() == (inside & (rows.frame < 50)).sum()
    assert made.truth.dense.sum() == (inside & (rows.frame < 0.95 * FRAMES)).sum()
    assert made.truth.points == []
    assert made.truth_kind == "pseudo"
    scores = TASK.score(made.truth.dense, made, Scoring())
    assert scores.reasons["hallucinated"] == "the true structure is not known"


def test_training_crops_of_a_table_are_from_its_first_half(table):
    def sparse(path):
        made = table_renderings.training_set(of_table(path), {"of": "t"}, Scope(0, augment=False), CATALOG)
        return made.batch(0, 30).inputs[:, 0]

    rows = pd.read_csv(table)
    late = table.with_name("late.csv")
    rows[(rows.frame < FRAMES // 2) | (rows.index % 2 == 0)].to_csv(late, index=False)
    assert sparse(table).sum() > 0
    assert torch.equal(sparse(table), sparse(late))
    early = table.with_name("early.csv")
    rows[rows.frame >= FRAMES // 2].to_csv(early, index=False)
    assert sparse(early).sum() == 0


def test_crops_of_files_are_turned_alike(table):
    def batch(*, augment):
        return table_renderings.training_set(of_table(table), {}, Scope(0, augment=augment), CATALOG).batch(0, 40)

    plain, turned = batch(augment=False), batch(augment=True)
    assert torch.equal(plain.truth.dense.sum(dim=(1, 2, 3)), turned.truth.dense.sum(dim=(1, 2, 3)))
    assert not torch.equal(plain.truth.dense, turned.truth.dense)
    assert ((turned.inputs[:, :1] > turned.truth.dense).sum() == 0).item()


def test_parts_of_a_table_are_strips_that_share_nothing(table):
    spans = []
    for role in ("train", "val", "test"):
        made = table_renderings.Acquisition(of_table(table, Share(role=role)), CATALOG)
        spans.append((made.left, made.right))
    assert spans[0][0] == 0
    assert spans[2][1] == 300
    assert all(after[0] - before[1] == 20 for before, after in pairwise(spans))


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"sparse_frames": 300}, ConfigError, "more than the first half of 400 frames"),
        ({"field_px": 160}, ConfigError, "300 x 120 render pixels, a crop has 160"),
    ],
)
def test_a_table_that_does_not_hold_what_is_asked_is_refused(table, settings, error, said):
    description = source("table_renderings", table=str(table), **{"field_px": 32, "sparse_frames": 50} | settings)
    with pytest.raises(error, match=said):
        table_renderings.training_set(description, {}, Scope(0), CATALOG)


def test_a_part_that_is_narrower_than_a_crop_is_named(table):
    description = source("table_renderings", Share(role="val"), table=str(table), field_px=96, sparse_frames=50)
    with pytest.raises(ConfigError, match="val part of 'mine.csv' is 39 x 120"):
        table_renderings.condition("val", description, {}, Asked("val", 0), CATALOG)


def test_an_empty_table_is_refused(tmp_path):
    path = tmp_path / "none.csv"
    path.write_text("frame,x_nm,y_nm\n")
    with pytest.raises(FormatError):
        table_renderings.condition("c", of_table(path), {}, Asked("test", 0), CATALOG)


def test_a_widefield_is_seen_and_kept_where_it_shows_the_table(table):
    import tifffile

    path = table.with_name("wide.tif")
    light = np.arange(24 * 60, dtype=np.float32).reshape(24, 60)
    tifffile.imwrite(path, light)
    settings = {"widefield": str(path), "widefield_pixel_nm": 100.0, "field_px": 40, "frames": 100}
    description = source("table_renderings", table=str(table), sparse_frames=50, **settings)
    made = table_renderings.condition("c", description, {}, Asked("test", 0), CATALOG)
    assert made.truth.widefield.shape == (7 * 3, 8, 8)
    assert np.array_equal(made.truth.widefield[1], light[:8, 8:16])
    seen = made.frames.values[1, 1]
    assert seen.shape == (40, 40)
    np.testing.assert_allclose(seen.reshape(8, 5, 8, 5)[1:-1, :, 1:-1].mean(axis=(1, 3)), light[1:7, 9:15], rtol=1e-5)
    for pixel_nm, said in ((200.0, "shows 12,000 x 4,800 nm, the table"), (105.0, "whole multiples")):
        wrong = source("table_renderings", table=str(table), **settings | {"widefield_pixel_nm": pixel_nm})
        with pytest.raises(ConfigError, match=said):
            table_renderings.condition("c", wrong, {}, Asked("test", 0), CATALOG)


def test_the_output_kind_takes_dense_images_alone():
    module = CATALOG.module("outputs", "dense_image")
    batch = stream(field_px=32).batch(0, 2)
    made = module.targets(batch, {"image_scale": 4.0})
    assert torch.equal(made["dense"] * 4, batch.truth.dense)
    assert made["given"] is batch.inputs
    raw = torch.tensor([[[[-1.0, 2.0]]]])
    assert module.decode(raw, {"image_scale": 4.0}, float("nan")).tolist() == [[[[0.0, 8.0]]]]
    with pytest.raises(ConfigError, match="taught by dense images"):
        module.targets(dataclasses.replace(batch, truth=None), {"image_scale": 1.0})


def test_the_truth_of_some_images_is_theirs():
    made = frozen(frames=3)
    part = made.part(1, 3)
    assert len(part.truth) == 2
    assert np.array_equal(part.truth.dense, made.truth.dense[1:])
    assert np.array_equal(part.truth.widefield, made.truth.widefield[1:])
    assert part.truth.points[0][0] is made.truth.points[1][0]
    assert Taught.kind == DenseStructure.kind == "dense_structure"
    with pytest.raises(ConfigError, match="has no dense images"):
        TASK.watch(made.truth.dense, Condition("c", ArrayFrames(made.frames.values), None), Scoring())
