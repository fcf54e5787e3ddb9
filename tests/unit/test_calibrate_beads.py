"""Beads that are drawn with a known curve give it back; their mean is a PSF; what is no scan is refused in a line."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from smlmbench import psf
from smlmbench.calibrate.scan.beads import measure_beads
from smlmbench.calibrate.telling import bead_lines
from smlmbench.calibrate.writing import BEAD, bead_optics_text, write_stack
from smlmbench.errors import ConfigError
from smlmbench.psf.contracts import Stand, Window
from smlmbench.psf.reading import psf_of_file
from smlmbench.registry import Catalog
from smlmbench.run.using.drawing import described
from smlmbench.simulate.beads import Beads, bead_stack

CATALOG = Catalog()
CURVE = {"sigma_x_nm": 140, "sigma_y_nm": 130, "focus_nm": 200, "depth_of_focus_nm": 350, "range_nm": 500}
CAMERA = {"kind": "scmos", "baseline_adu": 100, "e_per_adu": 0.5, "read_noise_e": 1.6}


def scan(optics, step_nm=100.0, seed=0, field_px=72):
    """Counts of a scan of beads through a PSF."""
    told = {"psf": optics, "pixel_size_nm": 100, "background_photons": 10.0, "field_px": field_px, "camera": CAMERA}
    source = described(told)
    frames, _ = bead_stack(source, psf.build(source.psf, CATALOG), Beads(step_nm=step_nm), seed)
    return source.camera.to_adu(frames.numpy()).astype(np.float64)


@pytest.fixture(scope="module")
def counts():
    return scan({"name": "astigmatic", **CURVE})


@pytest.fixture(scope="module")
def found(counts):
    return measure_beads("beads.tif", counts, 100.0, 100.0)


def test_the_curve_that_drew_them_lies_in_its_intervals(found):
    assert (found.found, found.used) == (4, 4)
    assert found.gaussian
    assert found.explained > 0.99
    for name, true in CURVE.items():
        if name != "range_nm":
            number = found.curve.numbers[name]
            assert number.low <= true <= number.high, name
            assert number.high - number.low < 0.12 * true, name


@pytest.mark.parametrize(("explained", "said"), [(0.4, "explains 40.0 % of the light"), (np.nan, "no plane of the")])
def test_a_curve_that_describes_nothing_is_told_without_a_number(found, explained, said):
    lines = bead_lines(replace(found, explained=explained))
    assert lines[-1].value == "does not describe these optics"
    assert said in " ".join(map(str, lines[-1]))
    assert not any("nan" in str(part) for line in lines for part in line)


def test_a_scan_downwards_is_the_same_turned_over(counts, found):
    turned = measure_beads("beads.tif", counts[::-1], -100.0, 100.0)
    assert turned.curve.numbers["focus_nm"].value == pytest.approx(found.curve.numbers["focus_nm"].value, rel=1e-6)
    wrong = measure_beads("beads.tif", counts[::-1], 100.0, 100.0)
    assert wrong.curve.numbers["focus_nm"].value == pytest.approx(-found.curve.numbers["focus_nm"].value, abs=8)


@pytest.mark.parametrize("measured", [True, False])
def test_the_written_optics_give_the_light_that_was_scanned(found, tmp_path, measured):
    write_stack(tmp_path / BEAD, found)
    path = tmp_path / "optics.yaml"
    path.write_text(bead_optics_text(found, measured=measured))
    optics = psf.build(psf_of_file(path, CATALOG), CATALOG)
    true = psf.build({"name": "astigmatic", **CURVE}, CATALOG)
    window = Window(15, 100.0)
    for z_nm in (-300.0, 0.0, 300.0):
        here = (torch.tensor([value], dtype=torch.float64) for value in (760.0, 730.0, z_nm))
        stand = Stand(*here)
        ours, theirs = (one.light(stand, one.shapes(1, torch.Generator()), window) for one in (optics, true))
        assert float((ours - theirs).abs().sum()) < 0.08, z_nm


def test_one_bead_is_enough_and_its_doubt_is_said():
    alone = measure_beads("bead.tif", scan({"name": "astigmatic", **CURVE}, field_px=40), 100.0, 100.0)
    assert (alone.found, alone.used) == (1, 1)
    assert alone.curve.numbers["focus_nm"].value == pytest.approx(200, abs=10)
    assert alone.doubts == ("one bead alone: how beads differ over the field is not known",)


def test_what_is_no_gaussian_becomes_the_measured_stack():
    """Two lobes that turn around each other with depth."""
    y, x = np.mgrid[:40, :40] - 19.6
    stack = np.full((21, 40, 40), 100.0)
    for number, angle in enumerate(np.linspace(0, np.pi, 21)):
        for sign in (-4, 4):
            stack[number] += 900 * np.exp(-((x - sign * np.cos(angle)) ** 2 + (y - sign * np.sin(angle)) ** 2) / 4)
    stack = np.random.default_rng(2).poisson(stack).astype(np.float64)
    deep = measure_beads("deep.tif", stack, 100.0, 100.0)
    assert (deep.focus, deep.range_nm) == (10, 1000.0)
    assert not deep.gaussian
    assert any("no Gaussian of two widths" in doubt for doubt in deep.doubts)
    assert "name: beads" in bead_optics_text(deep, measured=not deep.gaussian)


def test_a_round_psf_does_not_tell_above_from_below():
    flat = {"name": "astigmatic", **CURVE, "focus_nm": 0, "sigma_y_nm": 140}
    found = measure_beads("round.tif", scan(flat, field_px=40), 100.0, 100.0)
    assert "above and below focus are not told apart" in " ".join(found.doubts)


@pytest.mark.parametrize(
    ("stack", "step", "said"),
    [
        (np.zeros((3, 32, 32)), 50.0, "3 planes of 32 x 32 px in steps of 50 nm are no scan"),
        (np.zeros((20, 32, 32)), 0.0, "in steps of 0 nm are no scan"),
        (np.random.default_rng(0).normal(100, 3, (20, 64, 64)), 50.0, "no bead stands out of the background"),
    ],
)
def test_what_is_no_scan_is_refused_in_a_line(stack, step, said):
    with pytest.raises(ConfigError, match=said) as error:
        measure_beads("scan.tif", stack, step, 100.0)
    assert "\n" not in str(error.value)


def test_a_bead_with_another_one_beside_it_is_left_out(counts, found):
    twice = counts.copy()
    background = np.median(counts, axis=(1, 2), keepdims=True)
    twice[:, 4:36, :32] += 1.2 * (counts - background)[:, :32, :32]  # the brightest are the pair
    without = measure_beads("beads.tif", twice, 100.0, 100.0)
    assert without.used == found.used - 1
    assert without.curve.numbers["focus_nm"].value == pytest.approx(200, abs=12)
