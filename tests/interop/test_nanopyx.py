"""NanoPyx's SQUIRREL and Fourier rings beside ours (extra `interop`), on real images and on simulated filaments."""

import warnings
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import fft

from smlmbench.metrics.rings import resolution_nm, ring_correlation, spectrum
from smlmbench.metrics.squirrel import match
from smlmbench.render import rasterise

with warnings.catch_warnings(), redirect_stdout(StringIO()):
    warnings.simplefilter("ignore")
    missing = "nanopyx is not installed; pip install 'smlmbench[interop]'"
    error_map = pytest.importorskip("nanopyx.core.transform.error_map", reason=missing)
    frc = pytest.importorskip("nanopyx.core.analysis.frc", reason=missing)

pytestmark = pytest.mark.filterwarnings("ignore")  # of the other package

FOLDER = Path(__file__).parents[2].parent / "shared/data/nanoj-squirrel-fig3"
TIMES = 5


def images():
    """Three reconstructions (300, 300) of one field and its widefield image (60, 60)."""
    if not FOLDER.is_dir():
        pytest.skip("the images of Culley et al. 2018, figure 3, are not at hand")
    stack = tifffile.imread(FOLDER / "Figure 3 - super-resolution stack.tif")
    return stack, tifffile.imread(FOLDER / "Figure 3 - widefield reference image.tif").astype(np.float32)


def theirs(frame, image):
    found = error_map.ErrorMap()
    found.optimise(np.ascontiguousarray(frame, np.float32), np.ascontiguousarray(image, np.float32))
    return found.getRSE(), found.getRSP(), found.get_sigma()


def enlarged(frame):
    """As `match` enlarges it."""
    waves = np.zeros([TIMES * size for size in frame.shape])
    waves[: frame.shape[0], : frame.shape[1]] = TIMES * fft.dctn(frame.astype(np.float64), norm="ortho")
    return fft.idctn(waves, norm="ortho")


@pytest.mark.parametrize("page", range(3))
def test_both_find_the_same_match_of_an_image_and_a_frame_on_one_grid(page):
    stack, frame = images()
    found = match(stack[page], frame)
    assert (found.rse, found.rsp) == pytest.approx(theirs(enlarged(frame), stack[page])[:2], rel=1e-3)
    assert found.sigma_px == pytest.approx(theirs(enlarged(frame), stack[page])[2], rel=2e-3)


@pytest.mark.parametrize("page", range(3))
def test_what_is_left_when_it_enlarges_the_frame_itself(page):
    """It lays the middles of the first pixels on each other, and keeps the range of the small frame."""
    stack, frame = images()
    found, moved = match(stack[page], frame), np.roll(stack[page], (-(TIMES // 2), -(TIMES // 2)), (0, 1))
    squeezed = np.ptp(frame) / np.ptp(enlarged(np.pad(frame, 8, mode="symmetric")))
    rse, rsp, _ = theirs(frame, moved)
    assert found.rsp == pytest.approx(rsp, rel=2e-3)
    assert found.rse * squeezed == pytest.approx(rse, rel=0.02)
    assert (found.rse, found.rsp) == pytest.approx(theirs(frame, stack[page])[:2], rel=0.05)  # as it comes


@pytest.mark.parametrize("sigma_nm", [10.0, 20.0, 40.0])
def test_both_resolve_filaments_alike(sigma_nm):
    rng, n, side = np.random.default_rng(1), 30_000, 512
    which, along = rng.integers(0, 12, n), (rng.random(n) - 0.5) * 7680
    turn, bend = rng.uniform(0, np.pi, 12), rng.normal(0, 4e-4, 12)
    angle, start = turn[which] + bend[which] * along / 2, rng.uniform(0, 10 * side, (2, 12))
    places = start[:, which] + along * np.stack([np.cos(angle), np.sin(angle)]) + rng.normal(0, sigma_nm, (2, n))
    first = rng.random(n) < 0.5
    pair = [rasterise(*places[:, half], (side, side), 10.0).astype(np.float32) for half in (first, ~first)]
    own = resolution_nm(ring_correlation(*map(spectrum, pair)), 10.0 * side)
    assert own == pytest.approx(frc.FIRECalculator(pixel_size=10, units="nm").calculate_fire_number(*pair), rel=0.06)
