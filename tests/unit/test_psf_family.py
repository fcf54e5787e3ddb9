"""Elliptic, Airy, biplane, measured from beads, SMAP's spline."""

import math

import h5py
import numpy as np
import pytest
import tifffile
import torch
from scipy import io, special

from smlmbench import psf
from smlmbench.errors import ConfigError, FormatError
from smlmbench.psf import smap
from smlmbench.psf.contracts import Canvas, Spots, Stand, Window
from smlmbench.registry import Catalog

PIXEL_NM = 100.0


def built(name, **settings):
    return psf.build({"name": name, **settings}, Catalog())


def places(n=30, side=25, low=0.0, high=0.0, seed=1):
    x, y, z = torch.rand(3, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    middle = (side - 1) / 2 * PIXEL_NM
    return Stand(middle + x * PIXEL_NM, middle + y * PIXEL_NM, low + (high - low) * z)


def light(optics, stand, side=25):
    return optics.light(stand, optics.shapes(len(stand), torch.Generator().manual_seed(0)), Window(side, PIXEL_NM))


def moments(image):
    """Mean column and row, and the second moments xx, yy, xy about them, in pixels; of one image."""
    rows, columns = (grid.double() for grid in torch.meshgrid(*map(torch.arange, image.shape), indexing="ij"))
    share = image / image.sum()
    x, y = float((share * columns).sum()), float((share * rows).sum())
    dx, dy = columns - x, rows - y
    return x, y, *(float((share * one).sum()) for one in (dx * dx, dy * dy, dx * dy))


# elliptic


def test_widths_of_an_elliptic_gaussian_are_along_their_axes():
    one = light(built("elliptic", sigma_x_nm=180.0, sigma_y_nm=120.0), places(1))[0, 0]
    _, _, xx, yy, xy = moments(one)
    assert (xx, yy, xy) == pytest.approx((1.8**2 + 1 / 12, 1.2**2 + 1 / 12, 0), abs=3e-3)
    turned = light(built("elliptic", sigma_x_nm=180.0, sigma_y_nm=120.0, angle_deg=90.0), places(1))[0, 0]
    assert moments(turned)[2] == pytest.approx(yy, abs=3e-3)


def test_a_turned_one_has_the_covariance_of_its_angle_from_x_towards_y():
    image = light(built("elliptic", sigma_x_nm=180.0, sigma_y_nm=120.0, angle_deg=30.0), places(1))[0, 0]
    _, _, xx, yy, xy = moments(image)
    turn = math.radians(30)
    wanted = 3.24 * math.cos(turn) ** 2 + 1.44 * math.sin(turn) ** 2, (3.24 - 1.44) * math.sin(turn) * math.cos(turn)
    assert (xx - 1 / 12, xy) == pytest.approx(wanted, abs=3e-3)
    assert yy < xx
    nearly = light(built("elliptic", angle_deg=1e-9), places())
    straight = light(built("elliptic"), places())
    assert float((nearly - straight).abs().max()) < 1e-4 * float(straight.max())


# Airy


def test_an_airy_disc_is_the_square_of_a_bessel_function():
    optics = built("airy", wavelength_nm=600.0, numerical_aperture=1.2)
    assert optics.sigma_nm == pytest.approx(0.21 * 500)
    there = places(6)
    found = light(optics, there)
    steps, weights = np.polynomial.legendre.leggauss(16)
    for row in range(6):
        x, y = float(there.x_nm[row]), float(there.y_nm[row])
        for line, column in ((12, 12), (12, 15), (9, 16), (0, 3)):
            across = (column + (steps + 1) / 2) * PIXEL_NM - x
            down = (line + (steps + 1) / 2) * PIXEL_NM - y
            r = np.hypot(across[None], down[:, None])
            density = special.j1(2 * np.pi / 500 * r) ** 2 / (np.pi * r**2)
            wanted = float(weights @ density @ weights) * PIXEL_NM**2 / 4
            assert float(found[row, 0, line, column]) == pytest.approx(wanted, abs=1e-4 * float(found.max()))


def test_the_light_that_an_airy_disc_loses_is_no_more_than_stated():
    for beyond in (0.01, 0.03):
        optics = built("airy", beyond=beyond)
        side = 2 * math.ceil(optics.reach_nm / PIXEL_NM) + 1
        lost = 1 - float(light(optics, places(1, side), side).sum())
        assert 0.7 * beyond < lost < beyond


# biplane


def test_each_channel_of_a_biplane_is_in_focus_at_its_depth():
    optics = built("biplane", separation_nm=500.0, first_share=0.4)
    z = torch.tensor([-250.0, 0.0, 250.0], dtype=torch.float64)
    seen = light(optics, Stand(torch.full_like(z, 1250.0), torch.full_like(z, 1250.0), z))
    assert seen.shape == (3, 2, 25, 25)
    assert torch.allclose(seen.sum((2, 3)), torch.tensor([0.4, 0.6], dtype=torch.float64), atol=1e-3)
    peaks = seen.amax((2, 3)) / torch.tensor([0.4, 0.6])
    assert float(peaks[0, 0]) == pytest.approx(float(peaks[2, 1]))
    assert int(peaks[:, 0].argmax()) == 0
    assert int(peaks[:, 1].argmax()) == 2
    assert float(peaks[1, 0]) == pytest.approx(float(peaks[1, 1]))
    image = optics.render(
        Spots(torch.tensor([1]), z[:1] * 0 + 1200, z[:1] * 0 + 1300, z[:1], torch.tensor([100.0])),
        {},
        Canvas(2, 24, 26, PIXEL_NM),
    )
    assert image.shape == (2, 2, 24, 26)
    assert image[0].sum() == 0
    assert image[1].sum((1, 2)).tolist() == pytest.approx([40, 60], rel=2e-3)


# beads


def write_beads(path, step_nm=50.0, pixel_nm=100.0, side=31, *, x=15.3, y=14.6, wobble=0.0, depths=500.0):
    """A stack of the astigmatic PSF: 20,000 photons a plane on a background of 90; wobble in nm of x for 100 nm."""
    optics = built("astigmatic", range_nm=depths)
    z = torch.arange(-depths, depths + 1, step_nm, dtype=torch.float64)
    stand = Stand((x + 0.5) * pixel_nm + wobble * z / 100, torch.full_like(z, (y + 0.5) * pixel_nm), z)
    stack = 90 + 20_000 * optics.light(stand, {}, Window(side, pixel_nm))[:, 0]
    tifffile.imwrite(path, stack.numpy().astype(np.float32))
    return optics


def beads(path, **settings):
    return built("beads", path=str(path), **{"step_nm": 50.0, "focus_plane": 10, **settings})


def test_beads_give_back_the_psf_that_they_were_drawn_of(tmp_path):
    exact = write_beads(tmp_path / "bead.tif")
    optics = beads(tmp_path / "bead.tif")
    there = places(80, low=-500, high=500)
    found, wanted = light(optics, there), light(exact, there)
    # a spot of 1.3 px is sampled once a pixel: the spline through it is good to 1 % of the peak, not to 1e-4
    assert float((found - wanted).abs().max()) < 0.01 * float(wanted.max())
    assert optics.sigma_nm == pytest.approx(exact.sigma_nm, rel=0.03)
    assert found.sum((1, 2, 3)).tolist() == pytest.approx([1.0] * 80, abs=2e-3)


def test_larger_pixels_of_the_camera_are_sums_and_others_are_refused(tmp_path):
    exact = write_beads(tmp_path / "bead.tif", pixel_nm=50.0, side=61, x=30.2, y=29.7)
    optics = beads(tmp_path / "bead.tif", pixel_size_nm=50.0)
    there = places(40, low=-500, high=500)
    found, wanted = light(optics, there), light(exact, there)
    assert float((found - wanted).abs().max()) < 2e-3 * float(wanted.max())
    with pytest.raises(ConfigError, match="no whole multiple of the stack's 50 nm"):
        optics.light(there, {}, Window(25, 120.0))


def test_the_wobble_of_beads_is_kept_or_removed(tmp_path):
    write_beads(tmp_path / "bead.tif", wobble=10.0)
    kept, removed = (beads(tmp_path / "bead.tif", wobble=one) for one in ("keep", "remove"))
    assert kept.wobble_nm[:, 0] == pytest.approx(np.arange(-500, 501, 50) * 0.1, abs=4)
    assert kept.wobble_nm[:, 1] == pytest.approx(np.zeros(21), abs=4)
    there = Stand(*(torch.full((1,), at, dtype=torch.float64) for at in (1250.0, 1250.0, 400.0)))
    assert moments(light(kept, there)[0, 0])[0] == pytest.approx(12.4, abs=0.05)
    assert moments(light(removed, there)[0, 0])[0] == pytest.approx(12.0, abs=0.05)


def test_a_stack_taken_downwards_is_turned_and_the_sharpest_plane_is_found(tmp_path):
    write_beads(tmp_path / "bead.tif")
    up = beads(tmp_path / "bead.tif", range_nm=300.0)
    down = beads(tmp_path / "bead.tif", range_nm=300.0, step_nm=-50.0)
    there = places(10, low=-300, high=300)
    turned = Stand(there.x_nm, there.y_nm, -there.z_nm)
    assert torch.allclose(light(up, there), light(down, turned), atol=1e-9)
    found = beads(tmp_path / "bead.tif", range_nm=100.0, focus_plane=-1)
    assert int((found.planes**2).sum((1, 2)).argmax()) == int(np.flatnonzero(found.z_nm == 0)[0])


def test_odd_stacks_are_refused_in_one_line(tmp_path):
    path = tmp_path / "bead.tif"
    with pytest.raises(ConfigError, match="path names no file"):
        built("beads")
    path.write_bytes(b"nothing")
    with pytest.raises(FormatError, match=r"bead\.tif"):
        beads(path)
    tifffile.imwrite(path, np.ones((9, 9), dtype=np.float32))
    with pytest.raises(ConfigError, match="at least 4 planes"):
        beads(path)
    tifffile.imwrite(path, np.ones((12, 9, 9), dtype=np.float32))
    with pytest.raises(ConfigError, match="plane 0 has no light above its border"):
        beads(path)
    write_beads(path)
    with pytest.raises(ConfigError, match="give a range_nm of at most 500"):
        beads(path, range_nm=900.0)
    with pytest.raises(ConfigError, match="a step that is not 0"):
        beads(path, step_nm=0.0)


# SMAP


def knots():
    """Of an astigmatic Gaussian: (x, y, planes), 27 x 27 x 25, 50 nm apart, in focus at plane 12."""
    axis, z = np.arange(27) - 13.0, (np.arange(25) - 12) * 50.0
    x, y = (1.3 * np.sqrt(1 + ((z + shift) / 400) ** 2)[:, None] for shift in (-200, 200))
    lines = [np.exp(-((axis / sigma) ** 2) / 2) / sigma / math.sqrt(2 * math.pi) for sigma in (x, y)]
    return np.einsum("zx,zy->xyz", *lines)


def write_smap(path, coefficients, *, nested=True, hdf5=False):
    if hdf5:
        with h5py.File(path, "w", userblock_size=512) as file:
            group = file.create_group("SXY/cspline" if nested else "cspline")
            held = file.create_dataset("#refs#/a", data=coefficients.T)
            group.create_dataset("coeff", data=np.array([[held.ref]], dtype=h5py.ref_dtype), dtype=h5py.ref_dtype)
            group["dz"], group["z0"] = np.array([[50.0]]), np.array([[12.0]])
        return
    cell = np.empty((1,), dtype=object)
    cell[0] = coefficients
    struct = {"coeff": cell, "dz": 50.0, "z0": 12.0}
    io.savemat(path, {"SXY": {"cspline": struct}} if nested else {"cspline": struct})


@pytest.mark.parametrize("hdf5", [False, True])
@pytest.mark.parametrize("nested", [False, True])
def test_splines_of_smap_give_the_light_at_knots_and_between(tmp_path, nested, hdf5):
    path = tmp_path / "a_3dcal.mat"
    write_smap(path, smap.of_values(knots()), nested=nested, hdf5=hdf5)
    optics = built("smap", path=str(path))
    z = torch.tensor([0.0, 200.0, -500.0, 225.0], dtype=torch.float64)
    there = Stand(torch.full_like(z, 1250.0), torch.full_like(z, 1250.0), z)
    found = light(optics, there)
    whole = knots()[1:-1, 1:-1].sum((0, 1)).max()
    for row, plane in enumerate((12, 16, 2)):
        wanted = knots()[1:-1, 1:-1, plane].T  # rows are y
        assert np.abs(found[row, 0].numpy() - wanted / whole).max() < 1e-3 * wanted.max()
    # x is in focus at 200 nm, y at -200 nm
    _, _, xx, yy, _ = moments(found[1, 0])
    assert xx == pytest.approx(1.69, rel=0.02)
    assert yy == pytest.approx(1.69 * 2, rel=0.02)
    swapped = built("smap", path=str(path), first_axis="y")
    assert torch.allclose(light(swapped, there).transpose(2, 3), found, atol=1e-6)
    aside, turned = (Stand(torch.full_like(z, a), torch.full_like(z, b), z) for a, b in ((1265, 1215), (1215, 1265)))
    assert torch.allclose(light(swapped, turned).transpose(2, 3), light(optics, aside), atol=1e-6)
    down = built("smap", path=str(path), upward=False)
    assert torch.allclose(light(down, Stand(there.x_nm, there.y_nm, -z)), found, atol=1e-6)


def test_between_pixels_the_coefficients_decide(tmp_path):
    path = tmp_path / "a_3dcal.mat"
    write_smap(path, smap.of_values(knots()))
    optics = built("smap", path=str(path))
    there = Stand(*(torch.tensor([at], dtype=torch.float64) for at in (1275.0, 1225.0, 200.0)))
    _, _, xx, yy, _ = moments(light(optics, there)[0, 0])
    x, y, *_ = moments(light(optics, there)[0, 0])
    assert (x, y) == pytest.approx((12.25, 11.75), abs=0.01)
    assert (xx, yy) == pytest.approx((1.69, 3.38), rel=0.02)
    with pytest.raises(ConfigError, match="are not those of the calibration, 100 nm"):
        optics.light(there, {}, Window(25, 110.0))


def test_files_without_a_spline_are_refused(tmp_path):
    path = tmp_path / "a_3dcal.mat"
    with pytest.raises(ConfigError, match="path names no file"):
        built("smap")
    with pytest.raises(FormatError, match="3dcal"):
        built("smap", path=str(path))
    io.savemat(path, {"other": np.ones(3)})
    with pytest.raises(FormatError, match="has no cspline with coeff, dz, z0"):
        built("smap", path=str(path))
    io.savemat(path, {"cspline": {"coeff": np.ones((5, 5, 64)), "dz": 50.0, "z0": 2.0}})
    with pytest.raises(FormatError, match=r"a spline has \(rows, columns, planes, 64\)"):
        built("smap", path=str(path))
    write_smap(path, smap.of_values(knots()))
    with pytest.raises(ConfigError, match="give a range_nm of at most 600"):
        built("smap", path=str(path), range_nm=900.0)
