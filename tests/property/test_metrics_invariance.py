"""What no number of a table may depend on: the order of rows, the number of the first frame, the side of a mirror."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smlmbench.metrics.evidence import Facts, gather
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog

CATALOG = Catalog()
SIDE, N_FRAMES, EMPTY = 3000.0, 9, 4
UNHURRIED = settings(deadline=None, max_examples=25)
TASKS = {name: {*CATALOG.card("metrics", name).tasks} for name in CATALOG.names("metrics")}
NAMES = [name for name, tasks in TASKS.items() if "localization" in tasks and "image_pairs" not in tasks]
PROFILED = [name for name in NAMES if hasattr(CATALOG.module("metrics", name), "profile")]
MIRRORED = {"bias_x_nm"}


@st.composite
def scenes(draw):
    """Molecules that stay on for some frames, in depth or flat, and a table of them with misses and strays."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(1, 40))
    first, on = rng.integers(0, N_FRAMES - EMPTY - 1, count), rng.integers(1, 4, count)
    who = np.repeat(np.arange(count), on)
    frame = np.concatenate([start + np.arange(length) for start, length in zip(first, on, strict=True)])
    columns = {
        "frame": frame,
        "molecule": who,
        **{name: rng.uniform(500, SIDE - 500, count)[who] for name in ("x_nm", "y_nm")},
        "z_nm": rng.uniform(-300, 300, count)[who],
        "photons": rng.uniform(50, 900, len(who)),
        "background_photons": rng.uniform(1, 20, len(who)),
    }
    truth = Localizations.of(columns, n_frames=N_FRAMES, field_nm=(SIDE, SIDE))
    rows = np.flatnonzero(rng.random(len(truth)) < 0.8)
    found = {name: values[rows] for name, values in columns.items() if name != "molecule"}
    found |= {name: found[name] + rng.normal(0, 40, len(rows)) for name in ("x_nm", "y_nm", "z_nm")}
    found |= {f"sigma_{axis}_nm": rng.uniform(10, 40, len(rows)) for axis in "xyz"}
    found["probability"] = rng.choice([0.2, 0.5, 0.9], len(rows))
    table = Localizations.of(found, n_frames=N_FRAMES, field_nm=(SIDE, SIDE))
    return table, truth, Facts(three_d=draw(st.booleans()), frame_shift=1)


def assert_same(name, one, other, without=frozenset()):
    """All numbers of a metric are those of the other evidence, reasons too."""
    measured = [CATALOG.module("metrics", name).measure(evidence) for evidence in (one, other)]
    for key in set(measured[0]) - without:
        first, second = measured[0][key], measured[1][key]
        assert isinstance(first, str) == isinstance(second, str), (key, first, second)
        assert first == second if isinstance(first, str) else np.isclose(first, second, rtol=1e-6, atol=1e-6), key


@pytest.mark.parametrize("name", NAMES)
@given(scenes(), st.integers(0, 2**32 - 1))
@UNHURRIED
def test_the_order_of_rows_changes_no_number(name, scene, seed):
    found, truth, facts = scene
    rng = np.random.default_rng(seed)
    shuffled = (table.select(rng.permutation(len(table))) for table in (found, truth))
    assert_same(name, gather(found, truth, facts=facts), gather(*shuffled, facts=facts))


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"mjac_c"}))  # chance is of other frames then
@given(scenes(), st.integers(1, EMPTY - 1))
@UNHURRIED
def test_frames_that_come_later_together_change_no_number(name, scene, later):
    found, truth, facts = scene
    assert_same(
        name, gather(found, truth, facts=facts), gather(found.shifted(later), truth.shifted(later), facts=facts)
    )


@pytest.mark.parametrize("name", NAMES)
@given(scenes())
@UNHURRIED
def test_a_mirror_changes_no_number_but_the_side_of_a_bias(name, scene):
    found, truth, facts = scene
    mirrored = (replace(table, x_nm=SIDE - table.x_nm) for table in (found, truth))
    assert_same(name, gather(found, truth, facts=facts), gather(*mirrored, facts=facts), MIRRORED)


@pytest.mark.parametrize("name", PROFILED)
@given(scenes(), st.integers(0, 2**32 - 1))
@UNHURRIED
def test_the_order_of_rows_changes_no_profile(name, scene, seed):
    found, truth, facts = scene
    rng = np.random.default_rng(seed)
    shuffled = (table.select(rng.permutation(len(table))) for table in (found, truth))
    one, other = (
        CATALOG.module("metrics", name).profile(gather(*tables, facts=facts)) for tables in (scene[:2], shuffled)
    )
    assert list(one) == list(other)
    for which, columns in one.items():
        for key, values in columns.items():
            assert [value is None for value in values] == [value is None for value in other[which][key]]
            known = [[v for v in side if v is not None] for side in (values, other[which][key])]
            assert np.allclose(*known, rtol=1e-6, atol=1e-6), key
