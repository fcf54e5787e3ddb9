"""Where emitters sit: each structure's geometry by hand, its density, its depths, and the same places from one seed."""

import math

import numpy as np
import pytest
import torch

from smlmbench.errors import ConfigError, UnknownNameError, UserError
from smlmbench.registry import Catalog
from smlmbench.simulate import places
from smlmbench.simulate.chance import Fast, Frozen
from smlmbench.simulate.curves import Course, grow
from smlmbench.simulate.places import Region
from smlmbench.simulate.structures import mitochondria

CATALOG = Catalog()
FLAT, DEEP = Region(9600.0, 600.0), Region(9600.0, 600.0, (-600.0, 600.0))
STREAMS = {"fast": Fast.of, "frozen": Frozen}
OWN = {
    "pairs": {"apart_nm": 1000.0, "distance_nm": {"min": 50.0, "max": 300.0}},
    "mitochondria": {"radius_nm": {"min": 200.0, "max": 400.0}, "tubes": 8},
    "peroxisomes": {"radius_nm": {"min": 50.0, "max": 250.0}},
}
NAMES = [name for name in CATALOG.names("structures") if name != "points"]


def placed(region, expected, one=None, seed=1, stream=Fast.of, **described):
    chance = None if one is None else stream(one)
    return places.build(described, CATALOG)(region, torch.as_tensor(expected).double(), stream(seed), chance)


def test_uniform_places_fill_the_margin_at_the_same_density():
    region = Region(3200.0, 585.0)
    found = placed(region, torch.full((200,), 10.24), name="uniform")
    inside = float(region.inside(found.x_nm, found.y_nm).sum())
    assert inside == pytest.approx(200 * 10.24, abs=5 * math.sqrt(2048))
    assert len(found.sample) == pytest.approx(200 * 10.24 * region.ratio, abs=5 * math.sqrt(2048 * region.ratio))


def test_a_filament_lies_level_at_a_depth_of_its_own():
    found = placed(DEEP, [5000.0], one=3, name="filaments", filaments=4, width_nm=0)
    levels = found.z_nm.unique()
    assert len(levels) == 9  # 4 in 6.4 x 6.4 um, of 9.6 x 9.6 um
    assert float(levels.min()) >= -600
    assert float(levels.max()) < 600
    assert placed(FLAT, [50.0], name="filaments").z_nm is None


def test_a_structure_without_a_name_or_of_another_is_refused():
    with pytest.raises(ConfigError, match=r"has no name; accepted: .*filaments"):
        placed(FLAT, [1.0], filaments=3)
    with pytest.raises(UnknownNameError, match="did you mean 'filaments'"):
        placed(FLAT, [1.0], name="filament")
    with pytest.raises(ConfigError, match=r"structure\.curls: unknown setting, did you mean 'curl'"):
        placed(FLAT, [1.0], name="filaments", curls=3)


def stacked(found):
    return torch.stack([at for at in (found.x_nm, found.y_nm, found.z_nm) if at is not None], dim=1)


@pytest.mark.parametrize("region", [FLAT, DEEP])
@pytest.mark.parametrize("name", NAMES)
def test_the_field_has_the_density_that_is_asked_for(name, region):
    # pairs have 81 cells in the field, so 162 emitters at most; each count comes twice
    each, samples, twice = (120.0, 300, 2) if name == "pairs" else (2000.0, 20, 1)
    for one in (3, None):
        found = placed(region, [each] * samples, one=one, seed=2, name=name, **OWN.get(name, {}))
        inside = int(region.inside(found.x_nm, found.y_nm).sum())
        assert inside == pytest.approx(
            each * samples, abs=5 * math.sqrt(twice * each * samples) + 0.01 * each * samples
        )


@pytest.mark.parametrize("stream", list(STREAMS))
@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_bits(name, stream):
    first, again, other = (
        placed(DEEP, [50.0] * 4, seed=seed, stream=STREAMS[stream], name=name, **OWN.get(name, {}))
        for seed in (1, 1, 2)
    )
    assert torch.equal(stacked(first), stacked(again))
    assert torch.equal(first.sample, again.sample)
    assert not torch.equal(first.x_nm, other.x_nm)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("uniform", "pairs")])
def test_one_structure_is_shared_and_others_are_not(name):
    """Emitters of a sample lie nearer to those of another where both have one structure than where they have two."""
    region = Region(6400.0, 600.0)

    def away(one):
        found = placed(region, [400.0, 400.0], one=one, seed=4, name=name)
        ours, theirs = (stacked(found)[found.sample == sample] for sample in (0, 1))
        return float(torch.cdist(ours, theirs).amin(dim=1).median())

    assert away(9) < 0.5 * away(None)


def from_axes(found, curves, radius_nm):
    """Least difference between the distance of each place from a straight piece of an axis, and a radius."""
    to = stacked(found)[:, None] - curves.start
    along = ((to * curves.step).sum(-1) / curves.step.square().sum(-1)).clamp(0, 1)
    return ((to - along[..., None] * curves.step).norm(dim=-1) - radius_nm).abs().amin(dim=1)


def test_labels_of_microtubules_lie_on_the_wall_of_a_tube_of_their_radius():
    settings = CATALOG.card("structures", "microtubules").fill("m", {"tubes": 3, "linkage_nm": 10})
    curves = grow(Course(3 * 2, 1 / math.sqrt(30), climbs=True, room_nm=22.5), DEEP, 1, Fast.of(5))
    assert len(curves.parts.first) == 1
    found = placed(DEEP, [400.0], one=5, name="microtubules", **(settings | {"tubes": 6 * 40.96 / 92.16}))
    off = from_axes(found, curves, 12.5 + 10)
    assert float(off.median()) < 1e-6
    assert float(off.max()) < 1.5  # where two straight pieces meet at an angle
    assert float(from_axes(found, curves, 12.5 + 15).median()) > 4.9
    to = stacked(found)[:, None] - (curves.start + curves.step / 2)
    height = to[torch.arange(len(to)), to.norm(dim=-1).argmin(dim=1), 2]
    assert float((height > 0).double().mean()) == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(len(to)))


def test_microtubules_in_projection_are_dense_at_both_sides_of_the_wall():
    """The share within h of the axis of a projected cylinder is 2/pi asin(h / r): a third within half of the radius."""
    course = Course(6, 1 / math.sqrt(30))
    curves = grow(course, FLAT, 1, Fast.of(5))
    found = placed(FLAT, [20000.0], one=5, name="microtubules", tubes=6 * 40.96 / 92.16, linkage_nm=17.5)
    to = stacked(found)[:, None] - curves.start[:, :2]
    way = curves.step[:, :2] / 100
    along = (to * way).sum(-1)
    across = (to[..., 0] * way[:, 1] - to[..., 1] * way[:, 0]).abs()
    across = torch.where((along >= 0) & (along <= 100), across, math.inf).amin(dim=1)
    across = across[across < 31]
    assert float((across < 15).double().mean()) == pytest.approx(1 / 3, abs=0.02)
    assert float(across.max()) == pytest.approx(30, abs=0.05)


def test_directions_forget_themselves_over_the_persistence_length():
    """The variance of the change of direction over a length s is s / persistence length in the plane."""
    curves = grow(Course(400, 1 / math.sqrt(10)), Region(30000.0, 0.0), 1, Fast.of(2))
    angle = torch.atan2(curves.step[:, 1], curves.step[:, 0])
    turned = torch.remainder(angle[20:] - angle[:-20] + math.pi, 2 * math.pi) - math.pi
    goes_on = (curves.start[1:] - curves.start[:-1] - curves.step[:-1]).norm(dim=1) < 1e-6
    of_one_arm = goes_on.unfold(0, 20, 1).all(dim=1)
    assert float(turned[of_one_arm].var()) == pytest.approx(2 / 10, rel=0.1)


def test_deep_microtubules_use_their_depths_and_stay_within_them():
    found = placed(DEEP, [20000.0], one=2, name="microtubules", tubes=40)
    assert float(found.z_nm.min()) >= -600
    assert float(found.z_nm.max()) <= 600
    assert float(found.z_nm.std()) == pytest.approx(1200 / math.sqrt(12), rel=0.15)


@pytest.mark.parametrize("labelled", ["surface", "volume"])
def test_peroxisomes_are_spheres_of_their_radius(labelled):
    found = placed(DEEP, [30000.0], one=2, name="peroxisomes", spheres=0.5, radius_nm=200, labelled=labelled)
    at = stacked(found)
    near = at[(at - at[0]).norm(dim=1) < 400]
    # a sphere that no other one overlaps: its middle is that of its places
    reach = (near - near.mean(dim=0)).norm(dim=1)
    assert len(near) > 5000
    if labelled == "surface":
        assert float((reach - 200).abs().max()) < 12  # the middle is known to 200 / sqrt(3 x 5000) nm along each axis
    else:
        assert float(reach.max()) == pytest.approx(200, abs=12)
        assert float((reach < 100).double().mean()) == pytest.approx(1 / 8, abs=0.02)


def test_larger_peroxisomes_have_more_emitters_by_their_surface():
    found = placed(DEEP, [40000.0], one=4, name="peroxisomes", spheres=1, radius_nm={"min": 60, "max": 250})
    at, sizes = stacked(found), []
    while len(at):
        mine = (at - at[0]).norm(dim=1) < 520
        sphere, at = at[mine], at[~mine]
        sizes.append((len(sphere), float((sphere - sphere.mean(dim=0)).norm(dim=1).mean())))
    alone = [(count, radius) for count, radius in sizes if 55 < radius < 255]
    assert len(alone) >= 2
    per_area = [count / radius**2 for count, radius in alone]
    assert max(per_area) / min(per_area) < 1.25


def test_nuclear_pores_are_two_rings_of_eight_pairs():
    found = placed(
        Region(9600.0, 600.0, (-25.0, 25.0)), [200000.0], one=2, name="nuclear_pores", pores_per_um2=1, efficiency=1.0
    )
    at = stacked(found).unique(dim=0)
    inside = DEEP.inside(at[:, 0], at[:, 1], margin_nm=300.0)
    one = at[inside][0]
    pore = at[(at - one)[:, :2].norm(dim=1) < 120]
    assert len(pore) == 32
    middle = pore.mean(dim=0)
    assert torch.allclose((pore - middle)[:, :2].norm(dim=1), torch.full((32,), 53.7).double(), atol=1e-6)
    assert sorted(set((pore[:, 2]).round(decimals=6).tolist())) == [-25, 25]
    upper = pore[pore[:, 2] > 0] - middle
    apart = torch.cdist(upper[:, :2], upper[:, :2])
    assert torch.allclose(apart.fill_diagonal_(1e9).amin(dim=1), torch.tensor(12.0).double(), atol=1e-6)
    angle = torch.atan2(upper[:, 1], upper[:, 0])
    eighth = torch.remainder(angle * 8 / (2 * math.pi), 1)  # both labels of a corner, at the same shares of an eighth
    assert len(set(eighth.mul(1e6).round().remainder(1e6).tolist())) == 2


def test_nuclear_pores_stand_apart_and_some_labels_are_dark():
    found = placed(
        FLAT, [400000.0], one=2, name="nuclear_pores", pores_per_um2=10, efficiency=0.5, radius_nm=10, dimer_nm=0
    )
    labels = stacked(found).unique(dim=0)
    near = torch.cdist(labels[:3000], labels[:3000])
    # no two labels at distances that neither one pore (20 nm) nor two of them (140 - 20 nm) have
    assert not bool(((near > 20.001) & (near < 119.999)).any())
    pores = 10 * 9.6**2
    inside = FLAT.inside(labels[:, 0], labels[:, 1])
    # of 8 corners with 4 labels at one place each in projection, 1 - 0.5^4 are seen
    seen = pores * 8 * (1 - 0.5**4)
    assert int(inside.sum()) == pytest.approx(seen, rel=0.05)


def test_the_envelope_slopes_through_all_depths():
    found = placed(DEEP, [20000.0], one=2, name="nuclear_pores")
    plane = torch.cat((stacked(found)[:, :2], torch.ones(len(found.sample), 1).double()), dim=1)
    fitted = torch.linalg.lstsq(plane, found.z_nm[:, None]).solution
    left = found.z_nm - (plane @ fitted)[:, 0]
    assert float(left.abs().max()) < 25 + 8  # both rings, and upright pores on a slope
    assert float(found.z_nm.max() - found.z_nm.min()) > 1000


def test_pairs_have_their_distance_and_are_far_from_others():
    found = placed(DEEP, [162.0] * 40, name="pairs", **OWN["pairs"])
    at = stacked(found).reshape(-1, 2, 3)
    samples = found.sample.reshape(-1, 2)
    assert torch.equal(samples[:, 0], samples[:, 1])
    apart = (at[:, 0] - at[:, 1])[:, :2].norm(dim=1)
    assert 50 <= float(apart.min()) < 60
    assert 290 < float(apart.max()) <= 300
    assert float(apart.mean()) == pytest.approx(175, abs=5)
    assert torch.equal(at[:, 0, 2], at[:, 1, 2])
    turn = torch.atan2(*(at[:, 0] - at[:, 1])[:, :2].T).abs()
    assert float(turn.mean()) == pytest.approx(math.pi / 2, abs=0.05)
    for sample in range(40):
        mine = at[samples[:, 0] == sample][..., :2]
        near = torch.cdist(mine.flatten(0, 1), mine.flatten(0, 1))
        near.view(len(mine), 2, len(mine), 2).diagonal(dim1=0, dim2=2).fill_(math.inf)
        assert float(near.min()) >= 500


def test_full_cells_have_exactly_one_pair_each():
    region = Region(3200.0, 0.0)
    found = placed(region, [2.0] * 50, name="pairs", apart_nm=3200, distance_nm=400)
    assert np.bincount(found.sample).tolist() == [2] * 50
    # a quarter of the cell is kept free on each side
    assert bool(region.inside(found.x_nm, found.y_nm, margin_nm=-800.0).all())


@pytest.mark.parametrize(
    ("expected", "given", "said"),
    [
        (3.0, {"apart_nm": 3200}, "0.293 emitters per um2, but pairs 3200 nm apart have 0.1953 at most; give fewer"),
        (1.0, {"apart_nm": 500}, "a distance of 300 nm is above half of apart_nm 500; give a longer one"),
    ],
)
def test_pairs_that_have_no_room_are_refused(expected, given, said):
    with pytest.raises(ConfigError, match=said):
        placed(Region(3200.0, 600.0), [expected], name="pairs", **given)


def test_a_straight_mitochondrion_is_a_capsule():
    """Its places are a radius away from its axis, round ends included, and as dense there as on its side."""
    found = placed(
        FLAT,
        [60000.0],
        one=6,
        name="mitochondria",
        tubes=0.1,
        radius_nm=300,
        length_um=3,
        branched=0,
        persistence_um=10000,
    )
    at = stacked(found)
    middle = at.mean(dim=0)
    way = torch.linalg.svd(at - middle, full_matrices=False).Vh[0]
    along, across = (at - middle) @ way, (at - middle) @ torch.stack((-way[1], way[0]))
    half = float(along.abs().max())
    assert half == pytest.approx(1500 + 300, abs=60)  # whole steps of 100 nm
    assert float(across.abs().max()) == pytest.approx(300, abs=25)
    ends = float((along.abs() > half - 300).double().mean())
    # area 4 pi r^2 of both ends against 2 pi r l of the side
    assert ends == pytest.approx(2 * 300 / (2 * 300 + 2 * (half - 300)), abs=0.02)


def test_nothing_lies_inside_a_mitochondrion():
    given = {"tubes": 0.1, "radius_nm": 300, "length_um": 4, "branched": 1, "persistence_um": 20}
    found = placed(DEEP, [30000.0], one=8, name="mitochondria", **given)
    chance = Fast.of(8)
    radius_nm = 300 + 0 * chance.uniform(1)
    settings = CATALOG.card("structures", "mitochondria").fill("mitochondria", given)
    axes, ends = mitochondria._grown(settings, DEEP, radius_nm, chance)
    middles = ((axes.start + axes.stop) / 2)[axes.there]
    near = torch.cdist(stacked(found), middles).amin(dim=1)
    assert float(near.quantile(0.01)) > 0.9 * 300
    assert float(near.max()) < 1.2 * 300
    assert int(ends.there.sum()) == 3
    assert float(found.z_nm.min()) >= -600
    assert float(found.z_nm.max()) <= 600


@pytest.mark.parametrize(
    ("name", "given"), [("microtubules", {}), ("mitochondria", {"radius_nm": 100}), ("peroxisomes", {"radius_nm": 90})]
)
def test_depths_that_do_not_hold_a_structure_are_refused(name, given):
    shallow = Region(6400.0, 600.0, (0.0, 50.0))
    with pytest.raises(ConfigError, match=rf"structure: '{name}' is \d+ nm thick, the depths 0 to 50 nm are less"):
        placed(shallow, [1.0], name=name, **given)


def table(folder, text, name="own.csv"):
    (folder / name).write_text(text)
    return str(folder / name)


def test_points_are_drawn_from_the_table_as_often_as_they_come(tmp_path):
    path = table(tmp_path, "x [nm],y [nm],z [nm]\n100,200,-50\n300,400,60\n300,400,60\n500,9000,0\n")
    for region in (FLAT, DEEP):
        found = placed(region, [4000.0] * 2, name="points", path=path)
        at, counts = torch.stack((found.x_nm, found.y_nm), dim=1).unique(dim=0, return_counts=True)
        assert at.tolist() == [[100, 200], [300, 400], [500, 9000]]
        assert counts.tolist() == pytest.approx([2000, 4000, 2000], rel=0.1)
    assert found.z_nm[found.x_nm == 300].unique().tolist() == [60]
    assert placed(FLAT, [9.0], name="points", path=path).z_nm is None


def test_points_may_come_in_pixels_of_named_columns_of_any_origin(tmp_path):
    path = table(tmp_path, "frame,across,down\n1,2.0,3.0\n7,2.5,3.5\n")
    asked = {"path": path, "columns": ["x_px=across", "y_px=down"], "pixel_size_nm": 100, "origin": "centre"}
    found = placed(FLAT, [200.0], name="points", **asked)
    assert found.x_nm.unique().tolist() == [250, 300]
    assert found.y_nm.unique().tolist() == [350, 400]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x [nm],y [nm]\n", "'own.csv' holds no points; give a table with some"),
        ("x [nm],y [nm]\n1,2\n12000,3\n", "from x 1 to 12,000 nm, the field has 0 to 9,600 nm; give a larger field_px"),
        ("x [nm],y [nm]\n1,-2\n", "from y -2 to -2 nm, the field has 0 to"),
        ("x [nm],y [nm]\n1,2\n", "points of 'own.csv' have no depth; give a column z_nm"),
        ("x [nm],y [nm],z [nm]\n1,2,700\n", "from z 700 to 700 nm, outside of z_nm -600 to 600 nm"),
        ("a,b\n1,2\n", "has no x column"),
        ("", "is an empty file; give a table"),
    ],
)
def test_tables_of_points_that_cannot_be_placed_are_refused(tmp_path, text, said):
    with pytest.raises(UserError, match=said):
        placed(DEEP, [5.0], name="points", path=table(tmp_path, text))


def test_points_need_a_table_that_is_there(tmp_path):
    with pytest.raises(ConfigError, match="no table of points is given; write path: FILE"):
        placed(FLAT, [5.0], name="points")
    with pytest.raises(ConfigError, match=r"own\.csv' does not exist"):
        placed(FLAT, [5.0], name="points", path=str(tmp_path / "own.csv"))
    with pytest.raises(ConfigError, match="columns: 'x' names no column"):
        placed(FLAT, [5.0], name="points", path=table(tmp_path, "x,y\n1,2\n"), columns=["x"])
