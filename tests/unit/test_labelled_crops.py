"""Crops cut from a movie of each dye: where they are taken, whose class they have, and that parts share none."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from smlmbench.data import labelled_crops
from smlmbench.data.contracts import Asked, Scope
from smlmbench.data.cutouts import cut_out
from smlmbench.errors import ConfigError
from smlmbench.movies import ArrayMovie, calibrated
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan
from smlmbench.study.sources import PluginSource
from smlmbench.study.sources.description import Share

CATALOG = Catalog()
FRAMES, SIDE_PX, PIXEL_NM = 80, 32, 100.0
DYES = {"red": 700, "blue": 300}  # with the height of their one lit pixel


def _table(frame, x_px, y_px) -> Localizations:
    columns = {"frame": np.array(frame), "x_nm": np.array(x_px) * 100.0, "y_nm": np.array(y_px) * 100.0}
    return Localizations.of(columns, n_frames=4, field_nm=(3200.0, 3200.0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A spot of a pixel in every frame, whose height tells the dye and one corner of whose crop tells the frame."""
    folder = tmp_path_factory.mktemp("dyes")
    for dye, height in DYES.items():
        at = np.random.default_rng(height).integers(8, SIDE_PX - 8, (FRAMES, 2))
        movie = np.zeros((FRAMES, SIDE_PX, SIDE_PX), dtype=np.uint16)
        for frame, (y, x) in enumerate(at):
            movie[frame, y, x], movie[frame, y - 2, x - 2] = height, frame + 1
        tifffile.imwrite(folder / f"{dye}.tif", movie)
        rows = [f"{frame},{(x + 0.5) * PIXEL_NM},{(y + 0.5) * PIXEL_NM},{height}" for frame, (y, x) in enumerate(at)]
        (folder / f"{dye}.csv").write_text("frame,x_nm,y_nm,photons\n" + "\n".join(rows) + "\n")
    return folder


@pytest.fixture
def described(folder):
    card = CATALOG.card("data", "labelled_crops")

    def made(role: str | None = None, **changed) -> PluginSource:
        given = {"field_px": 5, "gap_frames": 10}
        for number, dye in enumerate(DYES, 1):
            own = {"class": dye, "movie": str(folder / f"{dye}.tif"), "table": str(folder / f"{dye}.csv")}
            given |= {f"{what}_{number}": value for what, value in own.items()}
        settings = card.fill("labelled_crops", {**given, **changed})
        part = None if role is None else Share(role=role, val=0.2, test=0.2)
        return PluginSource(
            kind="labelled_crops", settings=settings, facts=card.facts, pixel_size_nm=PIXEL_NM, part=part
        )

    return made


def test_a_crop_has_its_position_in_the_middle():
    movie = np.random.default_rng(0).random((4, 32, 32)).astype(np.float32)
    found = cut_out(calibrated(ArrayMovie(movie), None), _table([2, 0], [10.2, 20.9], [5.9, 7.1]), 5, 100.0)
    assert found.rows.tolist() == [1, 0]
    assert np.array_equal(found.crops[0], movie[0, 5:10, 18:23])
    assert np.array_equal(found.crops[1], movie[2, 3:8, 8:13])


def test_crowded_and_cut_crops_are_left_out():
    movie = calibrated(ArrayMovie(np.zeros((4, 32, 32), dtype=np.float32)), None)
    table = _table([0, 0, 0, 1, 1, 2], [10.5, 12.5, 20.5, 1.5, 16.5, 31.0], [10.5, 10.5, 10.5, 10.5, 30.5, 10.0])
    assert cut_out(movie, table, 5, 100.0).rows.tolist() == [2]


def test_classes_are_those_of_the_movies(described):
    whole = labelled_crops.condition("all", described(), {}, Asked("test", 0), CATALOG)
    truth, crops = whole.truth, whole.frames.read(0, whole.frames.n_frames)
    assert truth.classes == ("red", "blue")
    assert len(truth) == 2 * FRAMES
    assert np.array_equal(crops[:, 2, 2], np.where(truth.index == 0, 700, 300))
    assert np.array_equal(truth.photons, crops[:, 2, 2])


def test_parts_share_no_crop(described):
    frames = {}
    for role in ("train", "val", "test"):
        part = labelled_crops.condition(role, described(role), {}, Asked(role, 0), CATALOG)
        crops = part.frames.read(0, part.frames.n_frames)
        frames[role] = set(crops[:, 0, 0].tolist())
    assert max(frames["train"]) + 10 < min(frames["val"])
    assert max(frames["val"]) + 10 < min(frames["test"])
    assert min(len(part) for part in frames.values()) > 5


def test_training_takes_every_class_alike_and_each_sample_by_its_number(described):
    stream = labelled_crops.training_set(described("train"), {}, Scope(5), CATALOG)
    whole = stream.batch(0, 60)
    assert whole.truth.index.bincount().tolist() == [30, 30]
    assert torch.equal(whole.inputs[:, 0, 2, 2], torch.where(whole.truth.index == 0, 700.0, 300.0))
    assert len(set(whole.inputs[:, 0, 0, 0].tolist())) > 10
    assert torch.equal(stream.batch(17, 20).inputs, whole.inputs[17:37])
    again = labelled_crops.training_set(described("train"), {}, Scope(5, repeat=1), CATALOG)
    assert not torch.equal(again.batch(0, 60).inputs, whole.inputs)


def test_templates_are_mean_crops_of_the_training_part(described):
    asked = Asked("test", 0, taught=described("train"))
    truth = labelled_crops.condition("test", described("test"), {}, asked, CATALOG).truth
    assert truth.templates.shape == (2, 1, 1, 5, 5)
    assert np.allclose(truth.templates.sum(axis=(2, 3, 4)), 1.0)
    assert (truth.templates[:, 0, 0, 2, 2] > 0.8).all()
    assert labelled_crops.condition("test", described("test"), {}, Asked("test", 0), CATALOG).truth.templates is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"min_photons": 400.0}, "0 crops of 'blue' stand alone.*fewer min_photons"),
        ({"class_2": "red"}, "a name of its own"),
        ({"movie_3": "x.tif"}, "class_3 .* movie_3 and its table"),
        ({"gap_frames": 40}, "80 frames of 'red.tif' are too few; lower gap_frames"),
    ],
)
def test_what_cannot_be_cut_is_refused(described, changed, said):
    with pytest.raises(ConfigError, match=said):
        labelled_crops.dyes_of(described("train", **changed), CATALOG)


STUDY = """
study: dyes
data:
  - name: mine
    train:
      labelled_crops:
        {class_1: red, movie_1: red.tif, table_1: red.csv, class_2: blue, movie_2: blue.tif, table_2: blue.csv}
models: [{name: kim_color, width: 64, side_px: 13}]
references: [nearest_template]
"""


def test_a_study_names_the_files_and_cuts_its_parts(folder):
    (folder / "study.yaml").write_text(STUDY)
    loaded = load_study(folder / "study.yaml")
    data = make_plan(loaded).cells[0].data
    assert [one.part.role for one in (data.train, data.val, *data.tests.values())] == ["train", "val", "test"]
    assert Path(data.train.settings["table_2"]) == folder / "blue.csv"
    known = data.train.identity(loaded.catalog)
    assert str(folder) not in str(known)
    (folder / "study.yaml").write_text(STUDY.replace("table_2: blue.csv", "table_2: red.csv"))
    changed = load_study(folder / "study.yaml")
    assert changed.study.data[0].train.identity(changed.catalog) != known


def test_a_study_without_a_second_movie_is_refused(folder):
    (folder / "study.yaml").write_text(STUDY.replace("movie_2: blue.tif,", ""))
    with pytest.raises(ConfigError, match="movie_2: required and not given"):
        load_study(folder / "study.yaml")
