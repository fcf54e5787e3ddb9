"""A table held against spots of its movie: by hand, and where a study or `evaluate` meets one that does not fit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smlmbench.data import whole
from smlmbench.errors import PairingError
from smlmbench.formats import write_table
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog
from smlmbench.run.studies.pairing import doubts
from smlmbench.run.using.drawing import described, draw_frames
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan
from smlmbench.study.sources import MovieSource
from smlmbench.tasks import load
from smlmbench.truths.misfit import AS_STATED, Reading, misfit

CATALOG = Catalog()
FIELD_NM = (4000.0, 3000.0)
PIXEL_NM = 100.0
CAMERA = {"kind": "scmos", "baseline_adu": 100, "e_per_adu": 0.5, "read_noise_e": 1.6}


def table(frame: Any, x_nm: Any, y_nm: Any, n_frames: int = 60) -> Localizations:
    return Localizations.of({"frame": frame, "x_nm": x_nm, "y_nm": y_nm}, n_frames=n_frames, field_nm=FIELD_NM)


def scattered(count: int = 300, seed: int = 0) -> Localizations:
    rng = np.random.default_rng(seed)
    x_nm, y_nm = (rng.uniform(300, side - 300, count) for side in FIELD_NM)
    return table(rng.integers(5, 55, count), x_nm, y_nm)


def test_a_table_that_fits_is_not_doubted() -> None:
    assert misfit(scattered(), scattered(), PIXEL_NM) is None


@pytest.mark.parametrize(
    ("reading", "change"),
    [
        (Reading(frames=1), lambda t: replace(t, frame=t.frame + 1)),
        (Reading(frames=-1), lambda t: replace(t, frame=t.frame - 1)),
        (Reading(frames=3), lambda t: replace(t, frame=t.frame + 3)),
        (Reading(swapped=True), lambda t: replace(t, x_nm=t.y_nm, y_nm=t.x_nm)),
        (Reading(mirrored=(True, False)), lambda t: replace(t, x_nm=FIELD_NM[0] - t.x_nm)),
        (Reading(mirrored=(False, True)), lambda t: replace(t, y_nm=FIELD_NM[1] - t.y_nm)),
        (Reading(x_px=0.5, y_px=0.5), lambda t: replace(t, x_nm=t.x_nm + 50, y_nm=t.y_nm + 50)),
        (Reading(x_px=-1.0), lambda t: replace(t, x_nm=t.x_nm - 100)),
        (
            Reading(swapped=True, mirrored=(False, True), frames=1, y_px=-0.5),
            lambda t: replace(t, frame=t.frame + 1, x_nm=t.y_nm, y_nm=FIELD_NM[1] - t.x_nm - 50),
        ),
    ],
)
def test_the_reading_under_which_spots_have_their_emitters_is_named(reading: Reading, change: Any) -> None:
    found = misfit(change(scattered()), scattered(), PIXEL_NM)
    assert found is not None
    assert found.clear
    assert found.reading == reading
    assert found.said.endswith(f"100% with the table read otherwise: {reading}")


def test_of_molecules_that_stay_the_first_and_last_frame_decide() -> None:
    once = scattered(40)
    stays = table(*(np.concatenate(parts) for parts in zip(*(
        (once.frame + k, once.x_nm, once.y_nm) for k in range(6)), strict=True)), n_frames=70)  # fmt: skip
    assert misfit(stays, stays, PIXEL_NM) is None
    found = misfit(replace(stays, frame=stays.frame + 1), stays, PIXEL_NM)
    assert found is not None
    assert found.reading == Reading(frames=1)
    assert not found.clear  # five of six spots have an emitter as stated too


def test_a_small_offset_is_told_and_stops_nothing() -> None:
    moved = replace(scattered(), x_nm=scattered().x_nm + 24)
    found = misfit(moved, scattered(), PIXEL_NM)
    assert found is not None
    assert (found.reading, found.clear) == (AS_STATED, False)
    assert "lie +24 nm in x and +0 nm in y from the table's positions" in found.said
    assert misfit(replace(scattered(), x_nm=scattered().x_nm + 15), scattered(), PIXEL_NM) is None


def test_a_table_of_another_movie_is_doubted() -> None:
    found = misfit(scattered(seed=1), scattered(seed=2), PIXEL_NM)
    assert found is not None
    assert not found.clear
    assert "is it of this movie?" in found.said


def test_few_spots_say_nothing() -> None:
    few = scattered(29)
    assert misfit(replace(few, frame=few.frame + 1), few, PIXEL_NM) is None
    assert misfit(few, few.select(few.frame < 0), PIXEL_NM) is None
    assert misfit(few.select(few.frame < 0), few, PIXEL_NM) is None


def test_of_many_spots_some_frames_are_looked_at() -> None:
    many = scattered(12_000)
    found = misfit(replace(many, frame=many.frame + 1), many, PIXEL_NM)
    assert found is not None
    assert found.reading == Reading(frames=1)
    assert int(found.said.split()[1]) < 5000


def test_settings_mend_what_they_can() -> None:
    assert Reading(frames=1).settings(1, "corner") == {"first_frame": 0}
    assert Reading(x_px=0.5, y_px=0.5).settings(1, "corner") == {"origin": "centre"}
    assert Reading(x_px=-0.5, y_px=-0.5).settings(1, "centre") == {"origin": "corner"}
    assert Reading(x_px=-0.5, y_px=-0.5).settings(1, "corner") == {}
    assert Reading(x_px=-0.5, y_px=-0.5).by_hand("corner") == [
        "add -0.5 and -0.5 camera pixels to x and y of the table"
    ]
    assert Reading(x_px=0.5, y_px=0.5).by_hand("corner") == []
    assert "mirror y" in Reading(mirrored=(False, True)).by_hand("corner")[0]


STUDY = """study: pair
repeats: 1
data:
  - name: cells
    train:
      movie: movie.tif
      truth: {truth}
      pixel_size_nm: 100
      camera: {{kind: scmos, baseline_adu: 100, e_per_adu: 0.5, read_noise_e: 1.6}}
      crop_px: 16
      track: iid
      {more}
output: {{upsampling: 2}}
models: [{{name: srcnn, kernels: 3-1-3, width: 0.25}}]
losses: [{{name: l1l2, lambda: 400}}]
"""


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Localizations]:
    import tifffile

    folder = tmp_path_factory.mktemp("movie")
    drawn = described({"density_per_um2": 1.0, "photons": 2000, "field_px": 32, "camera": CAMERA})
    frames, truth = draw_frames(drawn, 60, 5, CATALOG)
    tifffile.imwrite(folder / "movie.tif", frames)
    return folder, truth


def study(folder: Path, truth: Localizations, more: str = "") -> Path:
    write_table(truth, folder / "truth.csv", catalog=CATALOG, format="thunderstorm_csv")
    path = folder / "study.yaml"
    path.write_text(STUDY.format(truth="truth.csv", more=more))
    return path


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        (lambda t: replace(t, frame=t.frame - 1).select(t.frame > 0), "first_frame: 0"),
        (lambda t: replace(t, x_nm=t.x_nm - 50, y_nm=t.y_nm - 50), "origin: centre"),
        (lambda t: replace(t, x_nm=t.y_nm, y_nm=t.x_nm), "columns: {x_nm: 'y [nm]', y_nm: 'x [nm]'}"),
    ],
)
def test_a_study_stops_with_the_setting_that_mends_it(
    movie: tuple[Path, Localizations], change: Any, mend: str
) -> None:
    folder, truth = movie
    with pytest.raises(PairingError, match="data cells, train: of .* spots") as stopped:
        doubts(load_study(study(folder, change(truth))))
    assert f"write {mend}, or misfit: warn" in str(stopped.value)
    assert doubts(load_study(study(folder, change(truth), mend))) == []


def test_misfit_warn_goes_on_and_is_no_other_training(movie: tuple[Path, Localizations]) -> None:
    folder, truth = movie
    shifted = replace(truth, y_nm=truth.field_nm[1] - truth.y_nm)
    (said,) = doubts(load_study(study(folder, shifted, "misfit: warn")))
    assert "y mirrored; mirror y in the table" in said
    cells = [make_plan(load_study(study(folder, shifted, more))).cells[0] for more in ("", "misfit: warn")]
    assert cells[0].cell_id == cells[1].cell_id


def test_the_fitter_finds_its_own_movie(movie: tuple[Path, Localizations]) -> None:
    folder, truth = movie
    loaded = load_study(study(folder, truth))
    source = loaded.study.data[0].train
    assert isinstance(source, MovieSource)
    condition = whole("cells", source, 0, CATALOG)
    assert condition.frames.n_frames == 60
    assert load("localization", CATALOG).doubts(condition) is None
    assert load("image_pairs", CATALOG).doubts(condition) is None
