"""Frozen conditions: every file is drawn bit for bit as it states, on any processor, whatever the study."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from smlmbench.data.contracts import Asked
from smlmbench.data.simulate import condition
from smlmbench.errors import ConfigError
from smlmbench.registry import Catalog
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
NAMES = sorted(path.stem for path in (EXPERIMENTS / "conditions").glob("*.yaml"))
STUDY = """
study: named
seed: {seed}
data:
  - name: sim
    train: {{simulate: {{field_px: 32}}}}
    test: {{a: {{condition: {name}}}}}
output: {{upsampling: 4}}
models: [srcnn]
losses: [{{name: l1l2, lambda: 200}}]
"""
ELSEWHERE = """
import sys
sys.path.insert(0, sys.argv[1])
from test_conditions import drawn
print(drawn(sys.argv[2]).digest)
"""


def source_of(name, seed=1, root=EXPERIMENTS):
    path = root / f".named-{os.getpid()}.yaml"
    path.write_text(STUDY.format(seed=seed, name=name), encoding="utf-8")
    try:
        loaded = load_study(path)
    finally:
        path.unlink()
    return loaded


def drawn(name, seed=1):
    """The condition; it is refused where it is not what its file states."""
    source = source_of(name, seed).study.data[0].test["a"]
    catalog = Catalog()
    return condition("a", source, {"test": source.identity(catalog)}, Asked("test", seed), catalog)


def test_there_are_conditions_of_every_kind():
    assert {name.split("-")[0] for name in NAMES} == {"2d", "3d"}
    assert {"2d-iid-0.2", "2d-iid-1", "2d-iid-2", "2d-iid-5", "3d-iid-1", "2d-dim", "2d-bright", "2d-emccd"} <= set(
        NAMES
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_condition_is_drawn_as_its_file_states(name):
    source = source_of(name).study.data[0].test["a"]
    assert len(source.frozen.sha256) == 64
    found = drawn(name)
    assert found.frames.n_frames == source.frames
    # the PSF, camera or structure of a scene show in its own numbers
    if name != "2d-signal-free":
        assert found.facts["density_per_um2"] == pytest.approx(source.mean_density_per_um2, rel=0.15)
    else:
        assert len(found.truth) == 0


def test_the_study_changes_nothing():
    assert drawn("2d-dim", seed=5).frames.values.tobytes() == drawn("2d-dim", seed=6).frames.values.tobytes()


@pytest.mark.parametrize("name", ["3d-iid-0.2", "2d-structured-background"])
def test_instructions_of_the_processor_and_threads_change_nothing(name):
    """Torch and NumPy are told to do without wide registers; a digest other than the file's is an error."""
    told = {"ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "2", "NPY_DISABLE_CPU_FEATURES": "AVX512_SKX"}
    command = [sys.executable, "-W", "ignore", "-c", ELSEWHERE, str(Path(__file__).parent), name]
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1]), *sys.path])
    around = os.environ | told | {"PYTHONPATH": paths}
    found = subprocess.run(command, env=around, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_another_drawing_is_refused():
    source = source_of("2d-dim").study.data[0].test["a"]
    changed = source.model_copy(update={"background_photons": 6.0})
    catalog = Catalog()
    with pytest.raises(ConfigError, match="'2d-dim' is drawn differently here: sha256 .*its file states"):
        condition("a", changed, {"test": {}}, Asked("test", 1), catalog)


def test_digests_join_the_identity_and_names_do_not():
    loaded = source_of("2d-dim")
    told = loaded.study.data[0].test["a"].content()["frozen"]
    assert set(told) == {"seed", "sha256"}
    one, other = (make_plan(source_of(name)).cells[0] for name in ("2d-dim", "2d-bright"))
    assert one.cell_id == other.cell_id
    assert one.eval_id != other.eval_id


@pytest.mark.parametrize(
    ("test", "said"),
    [
        ("{a: {condition: 2d-iid-3}}", "no condition '2d-iid-3' .*did you mean '2d-iid-"),
        ("{a: {condition: 7}}", "7 is no name of a condition"),
        ("{a: {condition: broken}}", "is no condition; it states seed, sha256, simulate"),
        ("{a: {condition: seedless}}", "seed None is no whole number"),
        ("{a: {condition: odd}}", "unknown key"),
    ],
)
def test_what_is_no_condition_is_one_line(tmp_path, test, said):
    folder = tmp_path / "conditions"
    folder.mkdir()
    (folder / "2d-iid-2.yaml").write_text("seed: 1\nsimulate: {}\n")
    (folder / "broken.yaml").write_text("seed: 1\nsimulated: {}\n")
    (folder / "seedless.yaml").write_text("simulate: {}\n")
    (folder / "odd.yaml").write_text("seed: 1\nsimulate: {fields_px: 3}\n")
    text = STUDY.format(seed=1, name="x").replace("{a: {condition: x}}", test)
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_study(path)


def test_no_training_on_a_frozen_condition(tmp_path):
    (tmp_path / "conditions").mkdir()
    (tmp_path / "conditions" / "c.yaml").write_text("seed: 1\nsimulate: {}\n")
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.format(seed=1, name="c").replace("{simulate: {field_px: 32}}", "{condition: c}"))
    with pytest.raises(ConfigError, match="for test alone"):
        load_study(path)
