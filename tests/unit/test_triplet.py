import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from smlmbench.errors import SizeError
from smlmbench.figures import Triplet, projection, triplet

RNG = np.random.default_rng(1)
TRUTH = np.zeros((32, 64))
TRUTH[8, 20] = TRUTH[20, 40] = 1.0
SHOWN = Triplet(
    "a row, frame 3",
    RNG.poisson(20, (8, 16)).astype(float),
    TRUTH * 0.9 + 0.001,
    TRUTH,
    found_nm=[[510.0, 210.0]],
    truth_nm=[[512.0, 212.0], [1012.0, 512.0]],
)


def size(png: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(png)).size


def test_panels_and_histograms_are_drawn() -> None:
    whole, bare = size(triplet(SHOWN)), size(triplet(SHOWN, histogram=False))
    assert whole[0] == bare[0]
    assert whole[1] > bare[1] + 200
    assert size(triplet(replace(SHOWN, truth=None, truth_nm=None)))[0] == pytest.approx(whole[0] / 2, rel=0.01)


def test_the_picture_says_what_it_shows() -> None:
    svg = triplet(SHOWN, image_format="svg")
    assert svg == triplet(SHOWN, image_format="svg")
    assert triplet(replace(SHOWN, prediction=TRUTH * 0.5), image_format="svg") != svg
    assert triplet(SHOWN, image_format="pdf").startswith(b"%PDF")


def test_histograms_count_every_pixel_on_a_logarithmic_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    import smlmbench.figures.frame as module

    kept = []
    monkeypatch.setattr(module, "save", lambda figure, _: kept.append(figure) or b"")
    triplet(SHOWN)
    axes = kept[0].subfigs[1].axes
    assert [axis.get_yscale() for axis in axes] == ["log", "log"]
    assert sum(patch.get_height() for patch in axes[0].patches) == 8 * 16
    steps = [patch.get_data().values for patch in axes[1].patches]
    # A step of a half stands for none.
    assert [int(values[values >= 1].sum()) for values in steps] == [32 * 64, 32 * 64]
    assert len(kept[0].subfigs[0].axes) == 8  # four images with their scales


@pytest.mark.parametrize(
    "changes", [{"pixel_nm": float("nan")}, {"input_image": np.zeros((8, 16))}, {"found_nm": None}]
)
def test_unknown_pixels_and_empty_frames_are_drawn(changes: dict[str, object]) -> None:
    assert triplet(replace(SHOWN, **changes)).startswith(b"\x89PNG")  # type: ignore[arg-type]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(SizeError, match="prediction and truth have shapes"):
        triplet(replace(SHOWN, truth=np.zeros((8, 8))))
    with pytest.raises(SizeError, match="the input image has shape"):
        triplet(replace(SHOWN, input_image=np.zeros(8)))
    with pytest.raises(SizeError, match="the projected image has shape"):
        projection(np.zeros((2, 3, 4)), "a")


def test_a_projection_without_contrast_is_drawn() -> None:
    assert projection(np.full((5, 9), 3.0), "flat", unit="counts").startswith(b"\x89PNG")
