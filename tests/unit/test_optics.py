import math

import numpy as np
import pytest
import torch
from scipy import io
from scipy.special import j1

from smlmbench.errors import ConfigError
from smlmbench.optics import zernike
from smlmbench.optics.imaging import Pixels, image
from smlmbench.optics.masks import mask
from smlmbench.optics.pupil import Pupil
from smlmbench.optics.retrieval import Stack, model, retrieve
from smlmbench.optics.scalar import Scalar
from smlmbench.optics.vectorial import Layer, Vectorial

GLASS = Layer(1.518, 170e3, 1.518, 170e3)
OIL = Layer(1.518, 100e3, 1.518, 100e3)
ORIGIN = torch.zeros(1, dtype=torch.float64)


def line(*values):
    return torch.tensor(values, dtype=torch.float64)


def steps(count, pitch):
    return (torch.arange(count, dtype=torch.float64) - (count - 1) / 2) * pitch


def flat(pupil):
    return torch.zeros(pupil.side, pupil.side, dtype=torch.float64)


def along_axis(objective, z_nm):
    """Peak on the axis at each depth."""
    light = image(objective.fields(z_nm, flat(objective.pupil)), objective.pupil.period_nm)
    return light.at(Pixels(ORIGIN, ORIGIN, 0.0))[:, 0, 0]


def airy(radius_nm, pupil):
    v = 2 * math.pi * pupil.na / pupil.wavelength_nm * radius_nm
    return (2 * j1(v) / v) ** 2


def test_zernike_polynomials_are_nolls_and_orthonormal():
    assert [zernike.orders(index) for index in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 22)] == [
        *[(0, 0), (1, 1), (1, -1), (2, 0), (2, -2), (2, 2), (3, -1), (3, 1), (3, -3), (3, 3), (4, 0), (4, 2), (6, 0)]
    ]
    pupil = Pupil(670.0, 1.2, 1.518, 96)
    inside = pupil.aperture(math.inf)
    modes = torch.stack([zernike.polynomial(index, pupil.radius, pupil.angle) for index in range(1, 29)])
    products = torch.einsum("iyx,jyx,yx->ij", modes, modes, inside) / inside.sum()
    assert float((products - torch.eye(28)).abs().max()) < 0.02  # cells at the edge
    spherical = zernike.polynomial(11, line(0.0, 0.5, 1.0), line(0.0, 0.0, 0.0))
    assert spherical.tolist() == pytest.approx([math.sqrt(5) * (6 * r**4 - 6 * r**2 + 1) for r in (0.0, 0.5, 1.0)])


def test_aberrations_are_in_mlambda_rms_and_refuse_what_is_no_index():
    pupil = Pupil(670.0, 1.2, 1.518, 128)
    phase = zernike.phase({"6": 80.0}, pupil.radius, pupil.angle)
    inside = pupil.aperture(math.inf)
    rms = float((((phase**2) * inside).sum() / inside.sum()).sqrt())
    assert rms == pytest.approx(2 * math.pi * 0.08, rel=0.01)
    for key in ("1", "astigmatism", "500", "-3"):
        with pytest.raises(ConfigError, match="no index of an aberration; give root mean squares"):
            zernike.phase({key: 80.0}, pupil.radius, pupil.angle)


def test_a_flat_pupil_makes_airys_disc():
    pupil = Pupil(670.0, 1.2, 1.518, 128)
    radius = torch.linspace(5, 1500, 60, dtype=torch.float64)
    light = image(Scalar(pupil, 1.33, 0.0).fields(ORIGIN, flat(pupil)), pupil.period_nm)
    shown = light.at(Pixels(radius, ORIGIN, 0.0))[0, 0]
    peak = light.at(Pixels(ORIGIN, ORIGIN, 0.0))[0, 0, 0]
    assert np.abs((shown / peak).numpy() - airy(radius.numpy(), pupil)).max() < 2e-4
    # pi NA^2 / lambda^2 of all light in each square nm; cells cut by the edge leave 1 in 100
    assert float(peak) == pytest.approx(math.pi * (pupil.na / pupil.wavelength_nm) ** 2, rel=0.01)


def test_a_vectorial_pupil_of_low_aperture_makes_airys_disc():
    pupil = Pupil(670.0, 0.2, 1.518, 128)
    radius = torch.linspace(30, 6000, 60, dtype=torch.float64)
    light = image(Vectorial(pupil, 1.33, 0.0, GLASS, OIL).fields(ORIGIN, flat(pupil)), pupil.period_nm)
    shown = light.at(Pixels(radius, ORIGIN, 0.0)) / light.at(Pixels(ORIGIN, ORIGIN, 0.0))
    assert np.abs(shown[0, 0].numpy() - airy(radius.numpy(), pupil)).max() < 3e-3


def test_pixels_hold_the_integral_over_their_points():
    pupil = Pupil(670.0, 1.2, 1.518, 64)
    phase = zernike.phase({"6": 80.0, "7": 50.0}, pupil.radius, pupil.angle)
    light = image(Scalar(pupil, 1.33, 0.0).fields(line(400.0), phase), pupil.period_nm)
    centres = line(-130.0, 20.0, 170.0)
    pixels = light.at(Pixels(centres, centres, 110.0))[0]
    nodes, weights = np.polynomial.legendre.leggauss(8)
    fine = (centres[:, None] + 55 * torch.from_numpy(nodes)).flatten()
    points = light.at(Pixels(fine, fine, 0.0))[0].view(3, 8, 3, 8)
    weight = 55 * torch.from_numpy(weights)
    assert torch.allclose(pixels, torch.einsum("iajb,a,b->ij", points, weight, weight), rtol=1e-9, atol=1e-12)


def test_all_light_is_in_one_period_and_moves_with_the_places():
    pupil = Pupil(670.0, 1.4, 1.518, 64)
    light = image(Scalar(pupil, 1.33, 0.0).fields(line(-300.0, 500.0), flat(pupil)), pupil.period_nm)
    whole = light.at(Pixels(ORIGIN, ORIGIN, pupil.period_nm))
    assert whole.flatten().tolist() == pytest.approx([1, 1], abs=1e-9)
    grid = steps(31, 100.0)
    there = light.at(Pixels(grid - 33.0, grid + 41.0, 100.0))
    moved = light.at(Pixels(grid - 33.0 + 100.0, grid + 41.0, 100.0))
    assert torch.allclose(there[:, :, 1:], moved[:, :, :-1], atol=1e-12)


def test_a_blur_widens_by_its_variance():
    pupil = Pupil(670.0, 0.8, 1.518, 64)
    grid = steps(401, 10.0)
    light = image(Scalar(pupil, 1.33, 0.0).fields(ORIGIN, flat(pupil)), pupil.period_nm)
    sharp, blurred = (light.at(Pixels(grid, grid, 10.0, blur))[0] for blur in (0.0, 200.0))
    gauss = torch.exp(-(grid**2) / (2 * 200.0**2))
    smooth = torch.exp(-((grid[:, None] - grid) ** 2) / (2 * 200.0**2)) / gauss.sum()
    wanted = smooth @ sharp @ smooth.T
    middle = slice(180, 221)
    assert torch.allclose(blurred[middle, middle], wanted[middle, middle], rtol=0.01)


@pytest.mark.parametrize("vectorial", [False, True])
def test_derivatives_by_place_depth_and_phase_are_those_of_finite_differences(vectorial):
    pupil = Pupil(670.0, 1.3, 1.518, 64)
    made = Vectorial(pupil, 1.33, 500.0, GLASS, OIL) if vectorial else Scalar(pupil, 1.33, 500.0)
    mode = zernike.polynomial(6, pupil.radius.clamp(max=1), pupil.angle)

    def light(x, y, z, size):
        pixels = Pixels(line(-100.0, 0.0, 200.0) - x, line(0.0, 150.0) - y, 100.0, 30.0)
        return image(made.fields(z[None], size * mode), pupil.period_nm).at(pixels)

    at = line(13.0, -27.0, 420.0, 0.7)
    for axis, step in enumerate((0.1, 0.1, 0.1, 1e-4)):
        along = torch.eye(4, dtype=torch.float64)[axis]
        slope = torch.autograd.functional.jacobian(light, tuple(at))[axis]
        known = (light(*(at + step * along)) - light(*(at - step * along))) / (2 * step)
        assert torch.allclose(slope, known, rtol=1e-4, atol=1e-6 * float(known.abs().max()))


@pytest.mark.parametrize("vectorial", [False, True])
@pytest.mark.parametrize("na", [0.5, 1.2])
def test_light_into_water_is_sharpest_nearer_than_the_nominal_focus(vectorial, na):
    pupil, focus_nm = Pupil(670.0, na, 1.518, 96), 3000.0
    made = Vectorial(pupil, 1.33, focus_nm, GLASS, OIL) if vectorial else Scalar(pupil, 1.33, focus_nm)
    z_nm = torch.linspace(1500, 3500, 201, dtype=torch.float64)
    sharpest = float(z_nm[along_axis(made, z_nm).argmax()])
    paraxial = focus_nm * 1.33 / 1.518
    marginal = focus_nm * math.sqrt(1.33**2 - na**2) / math.sqrt(1.518**2 - na**2)
    assert marginal < sharpest < paraxial + 10
    if na == 0.5:
        assert sharpest == pytest.approx(paraxial, rel=0.02)


def test_a_coverslip_and_an_oil_of_another_index_only_add_spherical_aberration():
    """The stage refocuses paraxially: the axis at low aperture is as sharp, at high aperture less."""
    for na, least, most in ((0.3, 0.999, 1.001), (1.3, 0.02, 0.9)):
        pupil = Pupil(670.0, na, 1.515, 96)
        other = Vectorial(pupil, 1.515, 0.0, Layer(1.53, 180e3, 1.518, 170e3), Layer(1.515, 1e5, 1.518, 1e5))
        same = Vectorial(pupil, 1.515, 0.0, GLASS, OIL)
        ratio = float(along_axis(other, ORIGIN) / along_axis(same, ORIGIN))
        assert least < ratio < most


def test_a_dipole_along_the_axis_is_a_ring_and_a_free_one_is_the_mean():
    pupil = Pupil(670.0, 1.2, 1.518, 64)
    grid = steps(21, 60.0)

    def light(dipole):
        made = Vectorial(pupil, 1.33, 0.0, GLASS, OIL, dipole)
        fields = made.fields(line(100.0), flat(pupil))
        energy = (fields.abs() ** 2).sum(dim=(1, 2, 3))
        return float(energy[0]), image(fields, pupil.period_nm).at(Pixels(grid, grid, 60.0))[0]

    energy, shown = zip(*(light(dipole) for dipole in ((1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0))), strict=True)
    free = light(None)[1]
    mixed = sum(e * one for e, one in zip(energy, shown, strict=True)) / sum(energy)
    assert torch.allclose(free, mixed, atol=1e-12)
    assert float(shown[2][10, 10]) < 0.05 * float(shown[2].max())
    assert torch.allclose(shown[0], shown[1].T, atol=1e-12)
    assert torch.allclose(free, free.T, atol=1e-12)
    assert torch.allclose(free, free.flip(1), atol=1e-12)


def test_waves_beyond_the_critical_angle_die_away_with_depth():
    pupil = Pupil(670.0, 1.45, 1.518, 64)
    fields = Vectorial(pupil, 1.33, 0.0, GLASS, OIL).fields(line(0.0, 300.0, 1000.0), flat(pupil))
    beyond = pupil.radius * pupil.na > 1.36
    left = [float((field.abs() ** 2).sum(0)[beyond].sum()) for field in fields]
    assert left[1] < 0.2 * left[0]
    assert left[2] < 0.02 * left[0]


def test_a_double_helix_is_two_lobes_that_turn_with_depth():
    pupil, grid = Pupil(670.0, 1.2, 1.33001, 96), steps(61, 60.0)
    phase, made = mask("double_helix", pupil), Scalar(pupil, 1.33, 0.0)
    shown = image(made.fields(line(-400.0, 0.0, 400.0), phase), pupil.period_nm).at(Pixels(grid, grid, 60.0))
    assert torch.allclose(shown, shown.flip(1, 2), atol=2e-5)  # half a turn
    x, y = torch.meshgrid(grid, grid, indexing="xy")
    near = torch.hypot(x, y) < 900
    turned = [float(torch.angle((one * near * (x + 1j * y) ** 2).sum())) / 2 for one in shown]
    ways = [math.remainder(turned[k + 1] - turned[k], math.pi) for k in range(2)]
    assert ways[0] * ways[1] > 0
    assert all(0.4 < abs(way) < 1.5 for way in ways)


def test_a_tetrapod_stretches_along_one_axis_above_focus_and_along_the_other_below():
    pupil, grid = Pupil(670.0, 1.3, 1.33001, 96), steps(61, 110.0)
    phase, made = mask("tetrapod", pupil), Scalar(pupil, 1.33, 0.0)
    shown = image(made.fields(line(-1500.0, 1500.0), phase), pupil.period_nm).at(Pixels(grid, grid, 110.0))
    wide = [float((one.sum(0) * grid**2).sum() / (one.sum(1) * grid**2).sum()) for one in shown]
    assert max(wide) > 1.5
    assert wide[0] * wide[1] == pytest.approx(1, rel=0.05)


def test_masks_of_files_lie_where_their_radius_says(tmp_path):
    pupil = Pupil(670.0, 1.4, 1.518, 64)
    tilt = np.tile(np.linspace(-1, 1, 65), (65, 1))
    np.save(tmp_path / "tilt.npy", tilt)
    io.savemat(tmp_path / "tilt.mat", {"phase": tilt})
    read = mask("file", pupil, path=str(tmp_path / "tilt.npy"))
    assert torch.equal(read, mask("file", pupil, path=str(tmp_path / "tilt.mat")))
    assert float((read - pupil.places[0]).abs().max()) < 2 / 64
    halved = mask("file", pupil, path=str(tmp_path / "tilt.npy"), radius_px=16.25, strength=2.0)
    assert float((halved - pupil.places[0]).abs().max()) < 4 / 64


def test_masks_that_are_none_are_refused_in_one_line(tmp_path):
    pupil = Pupil(670.0, 1.4, 1.518, 16)
    np.save(tmp_path / "long.npy", np.zeros((4, 5)))
    np.save(tmp_path / "nan.npy", np.full((4, 4), np.nan))
    np.save(tmp_path / "objects.npy", np.array([[{}, {}], [{}, {}]]), allow_pickle=True)
    (tmp_path / "broken.mat").write_bytes(b"MATLAB 5.0 MAT-file, cut")
    (tmp_path / "mask.txt").write_text("1 2")
    for name, said in (
        ("long.npy", r"holds shape \(4, 5\)"),
        ("nan.npy", "finite radians"),
        ("objects.npy", "cannot be read"),
        ("broken.mat", "cannot be read"),
        ("mask.txt", r"is not read; give \.npy"),
        ("none.npy", "is no file"),
    ):
        with pytest.raises(ConfigError, match=said) as refused:
            mask("file", pupil, path=str(tmp_path / name))
        assert "\n" not in str(refused.value)


def test_a_phase_is_found_again_from_a_stack():
    pupil = Pupil(605.0, 1.4, 1.518, 48)
    made, z_nm = Scalar(pupil, 1.518, 0.0), torch.linspace(-900, 900, 7, dtype=torch.float64)
    true = 1.2 * zernike.polynomial(6, pupil.radius.clamp(max=1), pupil.angle)
    true = true + 0.5 * zernike.polynomial(8, pupil.radius.clamp(max=1), pupil.angle)
    grid = steps(31, 110.0)
    frames = 5000 * image(made.fields(z_nm, true), pupil.period_nm).at(Pixels(grid, grid, 110.0))
    stack = Stack(torch.where(frames < 2, 0.0, frames), z_nm, 110.0, threshold=2.0)
    found = retrieve(made.fields, pupil, stack.part(slice(0, 7, 2)), [{}, {6: 1.0}], steps=(60, 20))
    held_out = stack.part(slice(1, 7, 2))
    again = model(made.fields, pupil, held_out, found.phase, 0.0)
    assert found.residual < 1e-3
    assert float((again - held_out.frames).abs().max()) < 0.05 * float(held_out.frames.max())


def test_dipoles_send_as_much_light_into_the_cone_as_the_law_of_hertz_says():
    """Without an interface: sin^2 of the angle to the dipole, over the cone up to the angle of the aperture."""
    pupil = Pupil(670.0, 1.3, 1.518, 128)
    along, across = (
        float((Vectorial(pupil, 1.518, 0.0, GLASS, OIL, way).fields(ORIGIN, flat(pupil)).abs() ** 2).sum())
        for way in ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0))
    )
    edge = math.sqrt(1 - (1.3 / 1.518) ** 2)
    wanted = (2 / 3 - (edge - edge**3 / 3)) / ((4 / 3 - (edge + edge**3 / 3)) / 2)
    assert along / across == pytest.approx(wanted, rel=0.02)
