import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matched import match

from smlmbench.metrics import mjac_c
from smlmbench.metrics.evidence import Facts, Images, SignalFree, gather
from smlmbench.metrics.images import image_pair
from smlmbench.metrics.nmse import measure as nmse
from smlmbench.metrics.pooling import SUMS
from smlmbench.metrics.ratios import efficiency, jaccard
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog
from smlmbench.study.schema import Scoring

CATALOG = Catalog()
SIDE, N_FRAMES = 2000.0, 4
UNHURRIED = settings(deadline=None, max_examples=60)  # the first call imports, and machines are shared


@st.composite
def tables(draw, at_most=40):
    """Random emitters in 4 small frames, crowded enough for conflicts."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(0, at_most))
    columns = {
        "frame": rng.integers(0, N_FRAMES, n),
        "x_nm": rng.uniform(0, SIDE, n),
        "y_nm": rng.uniform(0, SIDE, n),
        "z_nm": rng.uniform(-600, 600, n),
        "photons": rng.uniform(0, 500, n),
    }
    return Localizations.of(columns, n_frames=N_FRAMES, field_nm=(SIDE, SIDE))


def slow_greedy(found, truth, three_d):
    """The matrix form of the challenge: smallest entry first, a rejected entry removes only itself."""
    chosen = []
    for frame in range(N_FRAMES):
        f, t = np.flatnonzero(found.frame == frame), np.flatnonzero(truth.frame == frame)
        lateral = np.hypot(found.x_nm[f][:, None] - truth.x_nm[t], found.y_nm[f][:, None] - truth.y_nm[t])
        axial = np.abs(found.z_nm[f][:, None] - truth.z_nm[t])
        cost = np.hypot(lateral, axial) if three_d else lateral.copy()
        while np.isfinite(cost).any():
            i, j = np.unravel_index(np.argmin(cost), cost.shape)
            if lateral[i, j] <= 250 and (not three_d or axial[i, j] <= 500):
                chosen.append((f[i], t[j]))
                cost[i, :] = cost[:, j] = np.inf
            cost[i, j] = np.inf
    return set(chosen)


def as_set(matches):
    return set(zip(matches.found.tolist(), matches.truth.tolist(), strict=True))


@UNHURRIED
@given(tables(), tables(), st.booleans())
def test_greedy_is_the_matrix_algorithm(found, truth, three_d):
    assert as_set(match(found, truth, three_d=three_d)) == slow_greedy(found, truth, three_d)


@UNHURRIED
@given(tables(), tables(), st.booleans(), st.sampled_from(["greedy", "hungarian"]))
def test_pairs_are_one_to_one_inside_the_tolerance_and_nothing_is_lost(found, truth, three_d, matcher):
    m = match(found, truth, three_d=three_d, matcher=matcher)
    assert sorted([*m.found, *m.unmatched_found]) == list(range(len(found)))
    assert sorted([*m.truth, *m.unmatched_truth]) == list(range(len(truth)))
    assert (found.frame[m.found] == truth.frame[m.truth]).all()
    lateral = np.hypot(found.x_nm[m.found] - truth.x_nm[m.truth], found.y_nm[m.found] - truth.y_nm[m.truth])
    assert (lateral <= 250 + 1e-6).all()
    assert not three_d or (np.abs(found.z_nm[m.found] - truth.z_nm[m.truth]) <= 500).all()


@UNHURRIED
@given(tables(), tables(), st.booleans())
def test_hungarian_never_finds_fewer_pairs(found, truth, three_d):
    both = [len(match(found, truth, three_d=three_d, matcher=m).found) for m in ("greedy", "hungarian")]
    assert both[0] <= both[1] <= 2 * both[0]


@UNHURRIED
@given(tables(), tables(), st.integers(0, 2**32 - 1))
def test_the_order_of_rows_changes_nothing(found, truth, seed):
    rng = np.random.default_rng(seed)
    shuffled = found.select(rng.permutation(len(found))), truth.select(rng.permutation(len(truth)))
    np.testing.assert_allclose(gather(*shuffled).sums, gather(found, truth).sums, atol=1e-6)


@UNHURRIED
@given(
    tables(), tables(), st.booleans(), st.sampled_from(["smlmbench-1", "challenge-2016"]), st.sampled_from([0.0, 300.0])
)
def test_every_row_is_counted_once(found, truth, three_d, protocol, border_nm):
    scoring = Scoring(protocol=protocol, border_nm=border_nm)
    evidence = gather(found, truth, facts=Facts(scoring=scoring, three_d=three_d))
    total = dict(zip(SUMS, evidence.sums.sum(axis=0), strict=True))
    assert total["tp"] + total["fp"] + total["neutral"] == len(found)
    assert total["tp"] + total["fn"] == evidence.roles.truth_counted.sum()
    assert (evidence.sums[:, :6] >= 0).all()


@UNHURRIED
@given(tables())
def test_the_truth_is_perfect_under_every_protocol(truth):
    for protocol in ("smlmbench-1", "challenge-2016"):
        facts = Facts(scoring=Scoring(protocol=protocol), three_d=True)
        total = gather(truth, truth, facts=facts).sums.sum(axis=0)
        assert np.isnan(jaccard(total)) or (jaccard(total) == 1 and efficiency(total, three_d=True) == 100)


@UNHURRIED
@given(tables(), tables())
def test_mjac_c_is_at_most_1(found, truth):
    value = mjac_c.measure(gather(found, truth))["mjac_c"]
    assert isinstance(value, str) or value <= 1


@UNHURRIED
@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
def test_the_best_gain_is_best_and_scale_free(seed, gain):
    rng = np.random.default_rng(seed)
    truth, image = rng.random((12, 12)), rng.random((12, 12))
    once, scaled = (nmse(gather(None, None, images=Images(i, truth, 10.0))) for i in (image, gain * image))
    assert once["nmse_star"] <= min(once["nmse"], once["nmse_sum"], 1.0) + 1e-12
    for name in ("nmse_star", "nmse_sum", "nmse_star_blur1"):
        assert np.isclose(once[name], scaled[name], rtol=1e-9, atol=1e-12)


@UNHURRIED
@given(st.integers(0, 2**32 - 1))
def test_blurring_never_moves_mass_in(seed):
    rng = np.random.default_rng(seed)
    pair = image_pair(gather(None, None, images=Images(rng.random((9, 9)), rng.random((9, 9)), 10.0)))
    assert pair.blurred().image.sum() < pair.image.sum()


COLUMNS = ("x_nm", "y_nm", "z_nm", "photons")
ODD = [0.0, 1.0, -1.0, 900.0, 950.0, 1e-200, 1e12, np.nan, np.inf]


@st.composite
def odd_tables(draw):
    """Up to three rows with columns that are zero, equal, tiny, huge or unknown."""
    count = draw(st.integers(0, 3))
    columns = {name: draw(st.lists(st.sampled_from(ODD), min_size=count, max_size=count)) for name in COLUMNS}
    columns["photons"] = [min(value, 1e12) for value in columns["photons"]]
    frame = draw(st.lists(st.integers(0, N_FRAMES - 1), min_size=count, max_size=count))
    return Localizations.of({"frame": frame, **columns}, n_frames=N_FRAMES, field_nm=(SIDE, SIDE))


@st.composite
def odd_images(draw):
    """Two images of one small shape with such pixels, or with the same in all."""
    shape = draw(st.sampled_from([(0, 0), (1, 1), (1, 5), (2, 2), (13, 12)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = draw(st.lists(st.sampled_from([*ODD, -np.inf, 1e200]), min_size=1, max_size=3))
    image, truth = (rng.choice(values, shape) for _ in range(2))
    return Images(image, truth, 25.0)


SEEN = {"localization", "image_pairs"}  # tasks whose metrics look at positions or images
OF_POSITIONS_OR_IMAGES = [name for name in CATALOG.names("metrics") if SEEN & {*CATALOG.card("metrics", name).tasks}]


@pytest.mark.parametrize("name", OF_POSITIONS_OR_IMAGES)
@given(
    found=odd_tables(),
    truth=odd_tables(),
    images=odd_images(),
    min_photons=st.sampled_from([0.0, 100.0, 1e9]),
    three_d=st.booleans(),
    area_um2=st.sampled_from([0.0, 1.0, np.nan, np.inf]),
)
@UNHURRIED
def test_a_number_is_finite_or_has_a_reason(name, found, truth, images, min_photons, three_d, area_um2):
    facts, dark = Facts(min_photons=min_photons, three_d=three_d), SignalFree(found, area_um2)
    given_names = CATALOG.card("metrics", name).gives
    said = CATALOG.module("metrics", name).measure(gather(found, truth, facts=facts, images=images, signal_free=dark))
    assert set(said) == set(given_names)
    for value in said.values():
        assert (value and "\n" not in value) if isinstance(value, str) else np.isfinite(value)
