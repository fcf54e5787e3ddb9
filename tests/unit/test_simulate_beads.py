"""A bead stack that matches a movie, and files of a PSF with channels."""

import numpy as np
import pytest
import tifffile
import torch

from smlmbench import psf
from smlmbench.errors import ConfigError
from smlmbench.formats import read_table
from smlmbench.psf.contracts import Psf
from smlmbench.psf.gaussian import Gaussian
from smlmbench.registry import Catalog
from smlmbench.run.using import drawing, pairing
from smlmbench.run.using.drawing import described, draw_frames, draw_movie
from smlmbench.simulate.beads import Beads, bead_stack

CATALOG = Catalog()
ASTIGMATIC = {"psf": {"name": "astigmatic", "range_nm": 400}, "background_photons": 5.0, "field_px": 96}


def scanned(beads, **more):
    source = described({**ASTIGMATIC, **more})
    return bead_stack(source, psf.build(source.psf, CATALOG), beads, 1)


def test_beads_are_scanned_from_below_in_steps():
    frames, truth = scanned(Beads(number=4, step_nm=100))
    assert frames.shape == (9, 96, 96)
    z_nm = truth.z_nm.reshape(9, -1)
    assert z_nm[:, 0].tolist() == [-400, -300, -200, -100, 0, 100, 200, 300, 400]
    assert bool((z_nm == z_nm[:, :1]).all())
    for places in (truth.x_nm.reshape(9, -1), truth.y_nm.reshape(9, -1)):
        assert bool((places == places[0]).all())
    assert truth.molecule.reshape(9, -1)[3].tolist() == list(range(z_nm.shape[1]))


def test_beads_stand_on_a_grid_apart_from_each_other():
    _, truth = scanned(Beads(number=9, step_nm=400, range_nm=400), field_px=160)
    places = torch.stack((truth.x_nm, truth.y_nm), dim=1)[:9]
    assert len(truth) == 27
    apart = torch.cdist(places, places).fill_diagonal_(1e9)
    # nodes stand a third of 16 um apart, each bead at most a pixel away along both axes
    assert float(apart.min()) > 16_000 / 3 - 200
    nodes = (places / (16_000 / 3) - 0.5).round() + 0.5
    assert float((places - nodes * 16_000 / 3).abs().max()) <= 100


def test_a_bead_is_wide_where_the_curve_says_so():
    frames, truth = scanned(Beads(number=1, step_nm=200, range_nm=300, photons=200_000), background_photons=0)
    assert truth.z_nm.tolist() == [-300, -100, 100, 300]
    optics = psf.build(described(ASTIGMATIC).psf, CATALOG)
    sigma_x, sigma_y = optics.widths(truth.z_nm)
    centres = (torch.arange(96, dtype=torch.float64) + 0.5) * 100
    for number, frame in enumerate(frames.double()):
        x_nm, y_nm = truth.x_nm[number], truth.y_nm[number]
        near = (centres[:, None] - y_nm).abs().lt(1500) & (centres[None] - x_nm).abs().lt(1500)
        light = frame * near
        for axis, sigma, at in ((0, sigma_x, x_nm), (1, sigma_y, y_nm)):
            weights = light.sum(dim=axis)
            width = float((weights * (centres - at).square()).sum() / weights.sum()) ** 0.5
            # pixels add a twelfth of their square
            assert width == pytest.approx((float(sigma[number]) ** 2 + 100**2 / 12) ** 0.5, rel=0.01)
        assert float(light.sum()) == pytest.approx(200_000, rel=0.01)


def test_a_small_field_holds_one_bead():
    _, truth = scanned(Beads(step_nm=400), field_px=16)
    assert len(truth) == 3


@pytest.mark.parametrize(
    ("given", "beads", "said"),
    [
        ({"psf": {"name": "gaussian"}}, Beads(), "beads: the PSF is the same at every depth"),
        ({}, Beads(range_nm=600), "range 600 nm leaves the depths of the PSF, -400 to 400 nm; give a smaller range"),
    ],
)
def test_depths_that_the_psf_does_not_know_are_refused(given, beads, said):
    with pytest.raises(ConfigError, match=said):
        scanned(beads, **given)


def test_the_stack_and_its_truth_lie_beside_the_movie(tmp_path):
    source = described({**ASTIGMATIC, "field_px": 32})
    made = draw_movie(source, 5, 3, tmp_path, CATALOG, beads=Beads(step_nm=200))
    stack = tifffile.imread(made.beads)
    truth = read_table(tmp_path / "beads.csv", catalog=CATALOG)
    assert stack.shape == (5, 32, 32)
    assert stack.dtype == np.uint16
    assert truth.z_nm.tolist() == [-400, -200, 0, 200, 400]
    assert truth.frame.tolist() == [0, 1, 2, 3, 4]
    assert (truth.photons == 20_000).all()
    assert tifffile.imread(made.movie).shape == (5, 32, 32)


def test_the_truth_of_molecules_keeps_who_is_who(tmp_path):
    source = described({"track": {"name": "blinking", "on_frames": 5}, "field_px": 16})
    draw_movie(source, 40, 3, tmp_path, CATALOG)
    written = read_table(tmp_path / "truth.csv", catalog=CATALOG)
    _, truth = draw_frames(source, 40, 3, CATALOG)
    assert np.array_equal(written.molecule, truth.molecule)
    assert np.array_equal(written.frame, truth.frame)
    assert np.abs(written.x_nm - truth.x_nm).max() < 0.01


class Two(Psf):
    """The Gaussian in two channels, a quarter of the light in the first."""

    channels = 2

    def __init__(self):
        self._one = Gaussian(130.0)

    @property
    def sigma_nm(self):
        return self._one.sigma_nm

    @property
    def reach_nm(self):
        return self._one.reach_nm

    def shapes(self, n, generator):
        return self._one.shapes(n, generator)

    def light(self, stand, shapes, window):
        one = self._one.light(stand, shapes, window)
        return torch.cat((one * 0.25, one * 0.75), dim=1)


@pytest.fixture
def channels(monkeypatch):
    monkeypatch.setattr(psf, "build", lambda described, catalog: Two())


def test_channels_run_through_training_frozen_sets_and_movies(channels, tmp_path):
    from smlmbench.data.contracts import Asked, Scope
    from smlmbench.data.simulate import condition, training_set

    source = described(
        {"field_px": 16, "density_per_um2": 2.0, "photons": 5000.0, "background_photons": 1.0, "frames": 8}
    )
    made = condition("t", source, {"d": 1}, Asked("test", 7, ("signal_free",)), CATALOG)
    frames = made.frames.read(0, 8)
    assert frames.shape == (8, 2, 16, 16)
    assert frames[:, 1].sum() == pytest.approx(3 * frames[:, 0].sum(), rel=0.2)
    assert made.extras["signal_free"].frames.read(0, 64).shape == (64, 2, 16, 16)
    for track in ("iid", "blinking"):
        taught = training_set(
            source.model_copy(update={"track": described({"track": track}).track}), {}, Scope(1), CATALOG
        )
        assert taught.sample_shape == (2, 16, 16)
        assert taught.batch(60, 8).inputs.shape == (8, 2, 16, 16)
    wide = training_set(source, {}, Scope(1, context=3), CATALOG)
    assert wide.batch(60, 8).inputs.shape == (8, 6, 16, 16)
    assert torch.equal(
        wide.batch(60, 8).inputs[:, 2:4], training_set(source, {}, Scope(1), CATALOG).batch(60, 8).inputs
    )
    drawn = draw_movie(source, 6, 1, tmp_path, CATALOG)
    one, two = (tifffile.imread(tmp_path / name) for name in ("frames.tif", "frames_2.tif"))
    assert drawn.movie.name == "frames.tif"
    assert one.shape == two.shape == (6, 16, 16)
    assert two.sum() > 2 * one.sum()


def test_image_pairs_of_channels_are_refused(channels, tmp_path, monkeypatch):
    monkeypatch.setattr(pairing, "build", psf.build)
    with pytest.raises(ConfigError, match="several channels, and image pairs have one"):
        pairing.draw_pairs(described({"field_px": 16}), 2, 1, 1, tmp_path, CATALOG)
    assert drawing.knows_depth(described({"field_px": 16}), CATALOG) is False
