"""Whatever the order of a study, its trainings are the same; whatever is written is taken or explained."""

import random
import string

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from study_fakes import STUDY, write_rooms

from smlmbench.errors import ConfigError
from smlmbench.study.identity import canonical, short_hash
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan, plan_hash

SETTINGS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

numbers = st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rooms")
    return folder, [str(path) for path in write_rooms(folder / "rooms")]


def written(rooms, raw):
    folder, plugins = rooms
    path = folder / "s.yaml"
    path.write_text(yaml.safe_dump({**raw, "plugins": plugins}, sort_keys=False))
    return path


def shuffled(value, rng):
    if isinstance(value, dict):
        items = list(value.items())
        rng.shuffle(items)
        return {key: shuffled(item, rng) for key, item in items}
    return value


@SETTINGS
@given(values, st.randoms(use_true_random=False))
def test_canonical_json_ignores_the_order_of_keys(value, rng):
    assert canonical(shuffled(value, rng)) == canonical(value)


@SETTINGS
@given(st.integers(-(2**53) + 1, 2**53 - 1))
def test_whole_numbers_have_one_spelling(number):
    assert short_hash([float(number)]) == short_hash([number])


@SETTINGS
@given(
    lambdas=st.lists(st.integers(20, 500), min_size=1, max_size=4, unique=True),
    blocks=st.lists(st.integers(1, 20), min_size=1, max_size=3, unique=True),
    repeats=st.integers(1, 3),
    seed=st.integers(0, 10**6),
)
def test_the_order_of_a_study_changes_no_training(rooms, lambdas, blocks, repeats, seed):
    raw = yaml.safe_load(STUDY) | {
        "models": [{"name": "tiny_net", "blocks": blocks}, "list_net"],
        "losses": [{"name": "pull", "lambda": lambdas}, "push"],
        "repeats": repeats,
        "seed": seed,
    }
    plan = make_plan(load_study(written(rooms, raw)))
    assert len(plan.cells) == (len(lambdas) * len(blocks) + 1) * repeats
    assert len(plan.cells) + len(plan.skipped) == (len(lambdas) + 1) * (len(blocks) + 1) * repeats
    assert len({cell.cell_id for cell in plan.cells}) == len(plan.cells)
    rng = random.Random(seed)
    turned = shuffled(raw, rng)
    for key in ("models", "losses"):
        turned[key] = rng.sample(turned[key], len(turned[key]))
    turned["losses"] = [shuffled(loss, rng) for loss in turned["losses"]]
    assert plan_hash(make_plan(load_study(written(rooms, turned)))) == plan_hash(plan)


def places(value, path=()):
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return found + [place for key, item in items for place in places(item, (*path, key))]


def replaced(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


PLACES = places(yaml.safe_load(STUDY))


@SETTINGS
@given(st.sampled_from(PLACES), values)
def test_any_value_anywhere_is_taken_or_explained(rooms, place, value):
    raw = replaced(yaml.safe_load(STUDY), place, value)
    path = written(rooms, raw)
    try:
        plan = make_plan(load_study(path))
        said = [f"row {row.labels}" for row in [*plan.cells, *plan.skipped]]
    except ConfigError as error:
        said = str(error).splitlines()
    assert said
    assert all(line.strip() for line in said)


@SETTINGS
@given(
    st.sampled_from([place for place in PLACES if isinstance(place[-1], str)]),
    st.text(string.ascii_lowercase, min_size=3),
)
def test_a_key_that_is_not_known_is_named(rooms, place, key):
    known = yaml.safe_load(STUDY)
    raw = known
    for part in place[:-1]:
        raw = raw[part]
    if (
        key in raw
        or key in ("val", "apply", "task", "rim", "name", "psf", "scoring", "search")
        or place[:-1] == ("data", 0, "test")
    ):
        return
    raw[key] = raw.pop(place[-1])
    with pytest.raises(ConfigError) as caught:
        load_study(written(rooms, known))
    assert key in str(caught.value)


@SETTINGS
@given(st.text(max_size=60))
def test_any_text_is_a_study_or_an_explained_error(rooms, text):
    path = rooms[0] / "any.yaml"
    path.write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(ConfigError):
        load_study(path)
