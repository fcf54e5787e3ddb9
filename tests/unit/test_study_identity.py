import json
import os

import pytest
from study_fakes import write_movie

from smlmbench.errors import ConfigError
from smlmbench.study.cells import DataPlan, Picked
from smlmbench.study.identity import (
    canonical,
    cell_id,
    eval_id,
    file_digest,
    reference_id,
    short_hash,
    timing_id,
)
from smlmbench.study.schema import Scoring, Training
from smlmbench.study.sources import Depth, MovieSource, SimulateSource
from smlmbench.study.sources.simulate import LATER

MODEL = Picked(name="net", version=1, settings={"blocks": 2})
OUTPUT = Picked(name="grid", version=1, settings={"upsampling": 8})
LOSS = Picked(name="pull", version=1, settings={"weight": 50.0})
TRAIN = SimulateSource().content()


def data(train=TRAIN, val=TRAIN):
    source = SimulateSource()
    identity = {"train": train, "val": val}
    return DataPlan(name="d", train=source, val=source, tests={}, train_identity=identity, test_identity={})


def the_cell(**changed):
    content = {
        "task": "localization",
        "root_seed": 7,
        "repeat": 0,
        "data": data(),
        "model": MODEL,
        "output": OUTPUT,
        "loss": LOSS,
        "training": Training(),
    }
    return cell_id(**(content | changed))


def test_canonical_json_is_sorted_short_and_has_one_spelling_of_numbers():
    assert canonical({"b": 1.0, "a": [True, None, 0.5, "x", -0.0]}) == '{"a":[true,null,0.5,"x",0],"b":1}'
    assert canonical({"a": 1e300}) == '{"a":1e+300}'
    assert canonical((1, 2)) == "[1,2]"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}])
def test_what_is_not_finite_has_no_identity(value):
    with pytest.raises(ConfigError, match="NaN or infinite"):
        canonical(value)


def test_other_objects_have_no_identity():
    with pytest.raises(ConfigError, match="a set has no identity"):
        canonical({1, 2})


def test_an_id_is_the_head_of_sha256():
    # sha256 of the two bytes {} is 44136fa355b3678a1146ad16f7e8649e...
    assert short_hash({}) == "44136fa355b3"


@pytest.mark.parametrize(
    "changed",
    [
        {"task": "other"},
        {"root_seed": 8},
        {"repeat": 1},
        {"data": data(train=SimulateSource(density_per_um2=2.0).content())},
        {"data": data(val=SimulateSource(frames=9).content())},
        {"model": MODEL.model_copy(update={"version": 2})},
        {"model": MODEL.model_copy(update={"name": "net2"})},
        {"model": MODEL.model_copy(update={"settings": {"blocks": 3}})},
        {"model": MODEL.model_copy(update={"plugin": "ab" * 32})},
        {"output": OUTPUT.model_copy(update={"settings": {"upsampling": 4}})},
        {"loss": LOSS.model_copy(update={"settings": {"weight": 60.0}})},
        {"loss": LOSS.model_copy(update={"plugin": "cd" * 32})},
        {"training": Training(lr=0.5)},
        {"training": Training(samples=1)},
    ],
)
def test_what_a_training_is_changes_its_id(changed):
    assert the_cell(**changed) != the_cell()


def test_order_and_spelling_do_not_change_an_id():
    assert the_cell(data=data(val=dict(reversed(list(TRAIN.items()))))) == the_cell()
    assert the_cell(loss=LOSS.model_copy(update={"settings": {"weight": 50}})) == the_cell()


def test_the_id_of_a_cell_is_fixed():
    """A change here makes every stored training a stranger: raise SCHEMA_VERSION on purpose, or mend the code."""
    assert the_cell() == "a377d136c5a9"


def test_eval_id_follows_conditions_and_protocol():
    given = {"root_seed": 7, "tests": {"low": TRAIN}, "scoring": Scoring(), "task_version": 1}
    first = eval_id(**given)
    for changed in (
        {"root_seed": 8},
        {"tests": {"low": SimulateSource(frames=3).content()}},
        {"tests": {"low": TRAIN, "high": TRAIN}},
        {"scoring": Scoring(matcher="hungarian")},
        {"task_version": 2},
    ):
        assert eval_id(**(given | changed)) != first


def test_description_of_a_simulation_is_whole():
    assert set(TRAIN) == set(SimulateSource.model_fields) - set(LATER)
    changed = SimulateSource(z_nm=Depth(min=-500, max=500), psf={"name": "astigmatic", "range_nm": 750.0})
    assert changed.content()["z_nm"] == {"min": -500, "max": 500}
    assert {key: SimulateSource().model_dump(mode="json")[key] for key in LATER} == LATER
    assert TRAIN["camera"]["kind"] == "ideal"


def test_files_count_by_content_not_by_path(tmp_path):
    def described(folder, name="a", **changed):
        folder.mkdir(exist_ok=True)
        given = write_movie(folder, name) | changed
        given["movie"], given["truth"] = folder / given["movie"], folder / given["truth"]
        return MovieSource(**given).content()

    first = described(tmp_path / "one")
    assert described(tmp_path / "two") == first
    assert not any(str(tmp_path) in text for text in map(str, first.values()))
    assert described(tmp_path / "two", "b") != first
    assert described(tmp_path / "two", crop_px=16) != first
    # Studies from before bad pixels could be replaced keep their identity.
    assert "bad_pixels" not in first
    assert described(tmp_path / "two", bad_pixels="refuse") == first
    assert described(tmp_path / "two", bad_pixels="median") == {**first, "bad_pixels": "median"}


def test_a_digest_follows_the_bytes(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    first = file_digest(path)
    assert first == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    assert file_digest(path) != first
    folder = file_digest(tmp_path)
    (tmp_path / "b.bin").write_bytes(b"x")
    assert file_digest(tmp_path) != folder


def test_a_digest_is_computed_once(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    path.write_bytes(b"once")
    calls = []
    from smlmbench.study import digests

    whole = digests._sha256
    monkeypatch.setattr(digests, "_sha256", lambda at: calls.append(at) or whole(at))
    assert file_digest(path) == file_digest(path)
    assert len(calls) == 1


def test_an_absent_file_has_no_digest(tmp_path):
    with pytest.raises(ConfigError, match=r"no\.bin' cannot be read"):
        file_digest(tmp_path / "no.bin")


def test_a_reference_from_a_file_counts_by_its_content(tmp_path):
    given = {"task": "t", "data": {"train": TRAIN}, "output": OUTPUT, "scored": "e" * 12}
    ids = []
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
        settings = {"path": str(tmp_path / name), "pixel_nm": 12.5}
        ids.append(reference_id(reference=Picked(name="file", version=1, settings=settings), **given))
    assert ids[0] == ids[1] != ids[2]


def test_timing_id_is_shared_by_cells_of_one_network():
    on = {"device": "cpu", "runtime": "eager", "number_format": "fp32", "threads": 1, "host": "h"}
    given = {"model": MODEL, "output": OUTPUT, "shape": (1, 1, 64, 64), "on": on}
    first = timing_id(**given)
    assert timing_id(**given) == first
    assert timing_id(**(given | {"shape": (1, 1, 128, 128)})) != first
    assert timing_id(**(given | {"on": on | {"threads": 2}})) != first


def test_payloads_stay_json():
    assert json.loads(canonical(TRAIN))["photons"] == {"law": "uniform", "max": 3000, "min": 500}
