import csv
import math
from pathlib import Path

import pytest
import torch

from smlmbench import psf
from smlmbench.limit.fisher import fisher
from smlmbench.limit.inverse import inverses
from smlmbench.limit.scene import Known, Scene
from smlmbench.psf.contracts import Canvas, Psf, Spots, Window
from smlmbench.psf.gaussian import share
from smlmbench.registry import Catalog

PIXEL_NM = 100.0
ORACLE = Path(__file__).parents[3] / "shared" / "specs" / "crlb_oracle.csv"
SAID = ("case", "noise", "mc_ratio_rmse_over_crlb")
WEIGHTS = {
    "poisson": lambda mean: 1 / mean,
    "emccd_F2": lambda mean: 1 / (2 * mean),
    "scmos_r1.6": lambda mean: 1 / (mean + 2.56),
}
EVERYTHING = Known(math.inf, math.inf)


def gaussian():
    return psf.build({"name": "gaussian", "sigma_nm": 130.0}, Catalog())


def astigmatic():
    return psf.build({"name": "astigmatic"}, Catalog())


class FreeWidth(Psf):
    """A Gaussian whose width stands where others have their depth, so that it is unknown too."""

    sigma_nm, reach_nm = 130.0, 1000.0

    def shapes(self, n, generator):
        return {}

    def light(self, stand, shapes, window):
        along_x, along_y = (share(at, stand.z_nm, window) for at in (stand.x_nm, stand.y_nm))
        return (along_y[:, :, None] * along_x[:, None, :])[:, None]


def scene_of(optics, rows, *, size=21, background=10.0, weigh=WEIGHTS["poisson"], deep=False, n_frames=1):
    """A square field; rows (frame, x, y, z, photons), x and y in nm from its middle."""
    frame, x, y, z, photons = (torch.tensor(column, dtype=torch.float64) for column in zip(*rows, strict=True))
    middle = size * PIXEL_NM / 2
    spots = Spots(frame.long(), x + middle, y + middle, z, photons)
    shapes = optics.shapes(len(rows), torch.Generator())
    level = torch.full((n_frames,), background, dtype=torch.float64)
    return Scene(spots, shapes, Canvas(n_frames, size, size, PIXEL_NM), level, optics, weigh, deep)


def crowd(optics, *, size, each, n_frames=2, deep=False, seed=0):
    """Emitters anywhere in a field and around it."""
    numbers = torch.Generator().manual_seed(seed)
    unit = torch.rand(n_frames * each, 4, generator=numbers, dtype=torch.float64)
    extent = size * PIXEL_NM + 600
    rows = [
        (k // each, (x - 0.5) * extent, (y - 0.5) * extent, (z - 0.5) * 1000 * deep, 300 + 2000 * n)
        for k, (x, y, z, n) in enumerate(unit.tolist())
    ]
    return scene_of(optics, rows, size=size, deep=deep, n_frames=n_frames)


def deviations(found, row=0):
    return found.own[row].diagonal().sqrt().tolist()


# the table of the evaluation standard, section 5.2: photons, background -> x, photons, background
TABLE = {
    ("poisson", 200, 1): (11.428, 15.59, 0.0499),
    ("poisson", 200, 50): (33.777, 37.95, 0.3461),
    ("poisson", 1000, 10): (5.626, 37.06, 0.1568),
    ("poisson", 5000, 1): (1.927, 71.29, 0.0518),
    ("emccd_F2", 200, 10): (25.945, None, None),
    ("emccd_F2", 5000, 50): (3.558, None, None),
    ("scmos_r1.6", 500, 1): (7.559, None, None),
    ("scmos_r1.6", 5000, 10): (2.138, None, None),
}


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_one_emitter_has_the_bounds_of_the_standard(case):
    noise, photons, background = case
    told = scene_of(gaussian(), [(0, 0, 0, 0, photons)], background=background, weigh=WEIGHTS[noise])
    found = inverses(told)[0]
    x, y, light = deviations(found)
    wanted = TABLE[case]
    assert x == pytest.approx(wanted[0], rel=1e-4, abs=6e-4)  # as printed
    assert y == pytest.approx(x, rel=1e-9)
    if wanted[1] is not None:
        assert light == pytest.approx(wanted[1], rel=5e-4)
        assert float(found.background[0]) ** 0.5 == pytest.approx(wanted[2], rel=2e-3)


@pytest.mark.parametrize(("z_nm", "wanted"), [(-600, (15.64, 9.96, 33.05)), (0, (6.49, 6.49, 27.67))])
def test_depth_is_bound_too(z_nm, wanted):
    told = scene_of(astigmatic(), [(0, 0, 0, z_nm, 1000)], size=31, deep=True)
    assert deviations(inverses(told)[0])[:3] == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize(
    ("apart_nm", "photons", "wanted"), [(65, 1000, (113.2, 17.8)), (260, 5000, (4.01, 2.48)), (780, 1000, (5.63, 5.63))]
)
def test_a_neighbour_widens_the_bound_along_the_line_between_both(apart_nm, photons, wanted):
    rows = [(0, -apart_nm / 2, 0, 0, photons), (0, apart_nm / 2, 0, 0, photons)]
    found = inverses(scene_of(gaussian(), rows))[0]
    for row in (0, 1):
        assert deviations(found, row)[:2] == pytest.approx(wanted, rel=3e-3)


def test_a_width_that_is_unknown_costs_nothing_for_the_place_and_has_its_own_bound():
    told = scene_of(FreeWidth(), [(0, 0, 0, 130, 1000)], background=10, deep=True)
    x, _, width, _ = deviations(inverses(told)[0])
    assert x == pytest.approx(5.626, rel=2e-4)
    assert 2 < width < 6


def test_every_row_of_the_oracle():
    if not ORACLE.exists():
        pytest.skip(f"{ORACLE.name} is not here; the values above stand for it")
    rows = [row for row in csv.DictReader(ORACLE.read_text().splitlines()) if row["case"] != "noise_coeff"]
    assert len(rows) == 270
    optics, wide = {False: gaussian(), True: astigmatic()}, FreeWidth()
    for row in rows:
        number = {name: float(value) for name, value in row.items() if name not in SAID and value}
        deep = row["case"] == "3d_astig"
        places = [(number.get("x_nm", 0.0), number.get("y_nm", 0.0))]
        if row["case"] == "2d_pair":
            places = [(side * number["pair_distance_nm"] / 2, 0.0) for side in (-1, 1)]
        with_z = [(0, *place, number.get("z_nm", 0.0), number["photons"]) for place in places]
        stated = {"size": int(number["roi_px"]), "background": number["bg_per_px"], "weigh": WEIGHTS[row["noise"]]}
        found, known = inverses(scene_of(optics[deep], with_z, deep=deep, **stated), (Known(), EVERYTHING))
        *place, light = deviations(found)
        got = {"crlb_x_nm": place[0], "crlb_y_nm": place[1], "crlb_photons": light}
        got["crlb_lat_nm"] = math.hypot(*place[:2])
        got["crlb_bg"] = float(found.background[0]) ** 0.5
        got["crlb_x_known_N_b"] = deviations(known)[0]
        if deep:
            got["crlb_z_nm"] = place[2]
        if "crlb_x_free_sigma" in number:
            widened = scene_of(wide, [(*with_z[0][:3], 130.0, number["photons"])], deep=True, **stated)
            got["crlb_x_free_sigma"], _, got["crlb_sigma_nm"], _ = deviations(inverses(widened)[0])
        for name, value in got.items():
            if name in number:
                assert value == pytest.approx(number[name], rel=1e-4), (name, row)


@pytest.mark.parametrize(
    ("make", "size", "deep"), [(gaussian, 30, False), (astigmatic, 40, True), (gaussian, 9, False)]
)
def test_the_tiles_give_the_sum_over_all_pixels(make, size, deep):
    """Against one product over the whole frame, of the light on windows as large as it."""
    told = crowd(make(), size=size, each=7, deep=deep)
    p = told.places + 1
    for frame, matrix in enumerate(fisher(told)):
        rows = told.spots.sample == frame
        assert matrix.shape == (7 * p + 1, 7 * p + 1)
        derivatives, mean = whole_frame(told, rows)
        by_hand = torch.einsum("ai,bi,i->ab", derivatives, derivatives, 1 / mean)
        # a spot ends at 4.5 sigma here and nowhere there
        torch.testing.assert_close(matrix, by_hand, rtol=1e-3, atol=1e-4 * float(by_hand.diagonal().max()) ** 0.5)


def whole_frame(told, rows):
    """Derivatives (parameters, pixels) and means (pixels) of one frame, each emitter at its place in the field."""
    spots, size = told.spots, told.canvas.width
    shapes = {name: values[rows] for name, values in told.shapes.items()}
    stand = type("At", (), {"x_nm": spots.x_nm[rows], "y_nm": spots.y_nm[rows], "z_nm": spots.z_nm[rows]})
    light, slopes = told.optics.slopes(stand, shapes, Window(size, PIXEL_NM))
    photons = spots.photons[rows, None, None, None]
    parts = torch.cat([slopes[:, : told.places] * photons[:, None], light[:, None]], dim=1)
    flat = parts.reshape(-1, size * size)
    mean = told.background[0] + (light * photons).sum(dim=0).reshape(-1)
    return torch.cat([flat, torch.ones(1, size * size, dtype=torch.float64)]), mean


def test_frames_with_many_and_few_and_no_emitters_do_not_touch_each_other():
    told = crowd(gaussian(), size=24, each=9, n_frames=1)
    alone = inverses(told)[0]
    rows = [
        (2, *row)
        for row in zip(
            *(getattr(told.spots, name).tolist() for name in ("x_nm", "y_nm", "z_nm", "photons")), strict=True
        )
    ]
    middle = 24 * PIXEL_NM / 2
    moved = [(frame, x - middle, y - middle, z, photons) for frame, x, y, z, photons in rows]
    together = inverses(scene_of(gaussian(), [(0, 0, 0, 0, 500), *moved], size=24, n_frames=4))[0]
    torch.testing.assert_close(together.own[1:], alone.own, rtol=1e-7, atol=0)
    assert deviations(together)[0] > 5


def test_what_is_known_beforehand_adds_up_and_certainty_is_its_limit():
    told = crowd(gaussian(), size=24, each=12)
    nothing, some, nearly, all_of_it = inverses(told, (Known(), Known(1e-5, 1.0), Known(1e9, 1e12), EVERYTHING))
    assert nothing.own.shape[1:] == (3, 3)
    assert all_of_it.own.shape[1:] == (2, 2)
    for axis in (0, 1):
        bounds = [each.own[:, axis, axis] for each in (nothing, some, nearly, all_of_it)]
        assert bool((bounds[0] > bounds[1]).all() and (bounds[1] > bounds[2]).all())
        torch.testing.assert_close(bounds[2], bounds[3], rtol=1e-4, atol=0)
    assert float(all_of_it.background.max()) == 0.0
    assert bool((some.own[:, 2, 2] < 1e5).all())


def test_two_emitters_at_one_place_and_one_without_light():
    rows = [(0, 0, 0, 0, 1000), (0, 0, 0, 0, 500), (0, 600, 0, 0, 0), (0, -700, 300, 0, 800)]
    own = inverses(scene_of(gaussian(), rows))[0].own
    assert own[0, 0, 0] > 1000**2
    assert math.isinf(float(own[2, 0, 0]))
    assert 4 < float(own[3, 0, 0]) ** 0.5 < 9


def test_the_matrix_is_the_curvature_of_the_expected_likelihood():
    """Second differences of the mean log-likelihood of Poisson pixels."""
    rows = [(0, -130, 20, 0, 900), (0, 140, -60, 0, 1400)]
    truth = scene_of(gaussian(), rows, size=15)
    values = torch.tensor([k for row in rows for k in (row[1], row[2], row[4])] + [10.0], dtype=torch.float64)

    def mean(at):
        spots = [(0, float(at[3 * k]), float(at[3 * k + 1]), 0, float(at[3 * k + 2])) for k in range(2)]
        told = scene_of(gaussian(), spots, size=15)
        canvas = Canvas(1, 15, 15, PIXEL_NM, torch.float64)
        return told.optics.render(told.spots, told.shapes, canvas) + at[-1]

    expected = mean(values)

    def likelihood(at):
        here = mean(at)
        return float((expected * here.log() - here).sum())

    steps = torch.tensor([2.0, 2.0, 5.0] * 2 + [0.05], dtype=torch.float64)
    matrix = fisher(truth)[0]
    for m in range(7):
        for n in range(m + 1):
            a, b = torch.zeros(7, dtype=torch.float64), torch.zeros(7, dtype=torch.float64)
            a[m], b[n] = steps[m], steps[n]
            corners = likelihood(values + a + b) - likelihood(values + a - b)
            corners -= likelihood(values - a + b) - likelihood(values - a - b)
            curvature = -corners / float(4 * steps[m] * steps[n])
            scale = float(matrix[m, m] * matrix[n, n]) ** 0.5
            assert curvature == pytest.approx(float(matrix[m, n]), rel=5e-3, abs=2e-3 * scale), (m, n)


def test_a_camera_whose_pixels_differ_weighs_each_as_it_is():
    """An emitter on bad pixels is worse off than its neighbour far away on good ones."""
    variance = torch.zeros(21, 40, dtype=torch.float64)
    variance[:, :20] = 100.0
    spots = Spots(
        torch.tensor([0, 0]),
        torch.tensor([1000.0, 3000.0]),
        torch.tensor([1000.0, 1000.0]),
        torch.zeros(2),
        torch.tensor([900.0, 900.0]),
    )
    spots = Spots(spots.sample, *(getattr(spots, name).double() for name in ("x_nm", "y_nm", "z_nm", "photons")))
    optics = gaussian()
    level = torch.tensor([5.0], dtype=torch.float64)
    canvas = Canvas(1, 21, 40, PIXEL_NM)
    told = Scene(spots, optics.shapes(2, torch.Generator()), canvas, level, optics, lambda mean: 1 / (mean + variance))
    bad, good = (deviations(inverses(told)[0], row)[0] for row in (0, 1))
    assert good == pytest.approx(
        deviations(inverses(scene_of(optics, [(0, 0, 0, 0, 900)], background=5))[0])[0], rel=0.02
    )
    assert bad > 1.5 * good
