import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smlmbench.data.contracts import Scope
from smlmbench.data.simulate import training_set
from smlmbench.psf.contracts import Canvas, Spots
from smlmbench.psf.gaussian import Gaussian
from smlmbench.registry import Catalog
from smlmbench.study.sources import SimulateSource

CATALOG = Catalog()
SMALL = SimulateSource(field_px=8, density_per_um2=6.0)


def spot(x_nm, y_nm, photons):
    one = torch.tensor([x_nm, y_nm], dtype=torch.float64)
    return Spots(torch.zeros(1, dtype=torch.int64), one[:1], one[1:], one[:1] * 0, torch.tensor([photons]))


def image_of(x_nm, y_nm, photons, sigma_nm, size=40):
    optics = Gaussian(sigma_nm)
    what = spot(x_nm, y_nm, photons)
    return optics.render(what, optics.shapes(1, torch.Generator()), Canvas(1, size, size, 100.0))[0].double()


@given(st.floats(1600, 2400), st.floats(1600, 2400), st.floats(10, 1e5), st.floats(40, 300))
def test_a_spot_keeps_its_photons_its_centroid_and_its_width(x_nm, y_nm, photons, sigma_nm):
    image = image_of(x_nm, y_nm, photons, sigma_nm)
    centres = (torch.arange(40) + 0.5) * 100
    total = float(image.sum())
    x_mean = float((image.sum(dim=0) * centres).sum()) / total
    y_mean = float((image.sum(dim=1) * centres).sum()) / total
    assert math.isclose(total, photons, rel_tol=1e-4)
    if sigma_nm >= 80:  # narrower spots alias within a pixel
        assert abs(x_mean - x_nm) < 0.5
        assert abs(y_mean - y_nm) < 0.5


@given(st.floats(0, 4000), st.floats(0, 4000), st.floats(30, 400))
def test_mirroring_a_place_mirrors_the_image(x_nm, y_nm, sigma_nm):
    image = image_of(x_nm, y_nm, 1000.0, sigma_nm)
    assert torch.allclose(image_of(4000 - x_nm, y_nm, 1000.0, sigma_nm), image.flip(1), atol=0.02)
    assert torch.allclose(image_of(y_nm, x_nm, 1000.0, sigma_nm), image.T, atol=0.02)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 200), st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 3, 5]))
def test_every_batch_size_sees_the_same_stream(first, count, cut, context):
    stream = training_set(SMALL, {"d": 1}, Scope(3, context=context), CATALOG)
    whole = stream.batch(first, count)
    cut = min(cut, count)
    parts = [stream.batch(first, cut)]
    if count > cut:
        parts.append(stream.batch(first + cut, count - cut))
    assert torch.equal(torch.cat([part.inputs for part in parts]), whole.inputs)
    assert torch.equal(torch.cat([part.truth.x_nm for part in parts]), whole.truth.x_nm)
    taught = torch.cat([part.truth.sample + part.first for part in parts])
    assert torch.equal(taught, whole.truth.sample + whole.first)
    assert whole.inputs.shape == (count, context, 8, 8)
    if len(whole.truth.sample):
        assert int(whole.truth.sample.min()) >= 0
        assert int(whole.truth.sample.max()) < count
