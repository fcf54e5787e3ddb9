"""Pictures of one field: the panel that a run stores, the triplet of one frame, and projections."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from smlmbench.errors import SizeError
from smlmbench.figures import Panels, panel, projection, scale_bar_nm, triplet, uint8_panel
from smlmbench.figures.pictures import draw_values
from smlmbench.figures.style import drawing_style, tiles

RNG = np.random.default_rng(1)
TITLE = "a row, frame 3"
TRUTH = np.zeros((32, 64))
TRUTH[8, 20] = TRUTH[20, 40] = 1.0
SHOWN = Panels(
    RNG.poisson(20, (8, 16)).astype(float),
    TRUTH * 0.9 + 0.001,
    TRUTH,
    pixel_nm=100.0,
    found_nm=[[510.0, 210.0]],
    truth_nm=[[512.0, 212.0], [1012.0, 512.0]],
)


def size(png: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(png)).size


def test_panels_and_histograms_are_drawn() -> None:
    whole, bare = size(triplet(SHOWN, TITLE)), size(triplet(SHOWN, TITLE, histogram=False))
    assert whole[0] == bare[0]
    assert whole[1] > bare[1] + 200
    assert size(triplet(replace(SHOWN, truth=None, truth_nm=None), TITLE))[0] == pytest.approx(whole[0] / 2, rel=0.01)


def test_the_picture_says_what_it_shows() -> None:
    svg = triplet(SHOWN, TITLE, image_format="svg")
    assert svg == triplet(SHOWN, TITLE, image_format="svg")
    assert triplet(replace(SHOWN, prediction=TRUTH * 0.5), TITLE, image_format="svg") != svg
    assert triplet(SHOWN, TITLE, image_format="pdf").startswith(b"%PDF")


def test_histograms_count_every_pixel_on_a_logarithmic_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    import smlmbench.figures.frame as module

    kept = []
    monkeypatch.setattr(module, "save", lambda figure, _: kept.append(figure) or b"")
    triplet(SHOWN, TITLE)
    axes = kept[0].axes[4:]
    assert [axis.get_yscale() for axis in axes] == ["log", "log"]
    assert sum(patch.get_height() for patch in axes[0].patches) == 8 * 16
    steps = [patch.get_data().values for patch in axes[1].patches]
    # A step of a half stands for none.
    assert [int(values[values >= 1].sum()) for values in steps] == [32 * 64, 32 * 64]
    titles = [axis.get_title().split(" (")[0] for axis in kept[0].axes[:4]]
    assert titles == ["Input", "Prediction", "Truth", "Prediction − truth"]


def test_the_scale_of_an_image_has_its_values_where_their_colours_are() -> None:
    from matplotlib.colors import PowerNorm

    with drawing_style():
        figure, (axis,) = tiles(1, 0.5)
        root = axis.imshow([[0.0, 4.0]], norm=PowerNorm(0.5, vmin=0, vmax=4), extent=(0, 200, 100, 0))
        draw_values(axis, root, (200.0, 100.0), "photons")
    told = {text.get_text(): text.xy[1] for text in axis.texts}  # type: ignore[attr-defined]
    assert told == pytest.approx(
        {"0": 100, "1": 50, "2": 100 * (1 - 0.5**0.5), "3": 100 * (1 - 0.75**0.5), "4": 0, "photons": 50}
    )
    scale = np.asarray(axis.images[1].get_array())
    assert np.allclose(scale[0, 0], root.cmap(1.0))
    assert np.allclose(scale[-1, 0], root.cmap(0.0))
    assert axis.get_xlim() == (0, 200)
    with drawing_style():
        _, (even,) = tiles(1, 1.0)
        draw_values(even, even.imshow([[20.0]], vmin=20, vmax=20 + 1e-12), (1.0, 1.0), "")
    assert [text.get_text() for text in even.texts] == ["20", ""]
    # The tile is 2.4 inches wide and half as high, in a figure of its own width.
    assert figure.get_size_inches() == pytest.approx([3.2, 1.2 + 0.3 + 0.35])
    assert axis.get_position().width * 3.2 == pytest.approx(2.4)
    assert axis.get_position().height * 1.85 == pytest.approx(1.2)


@pytest.mark.parametrize(
    "changes", [{"pixel_nm": float("nan")}, {"input_image": np.zeros((8, 16))}, {"found_nm": None}]
)
def test_unknown_pixels_and_empty_frames_are_drawn(changes: dict[str, object]) -> None:
    assert triplet(replace(SHOWN, **changes), TITLE).startswith(b"\x89PNG")  # type: ignore[arg-type]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(SizeError, match="prediction and truth have shapes"):
        triplet(replace(SHOWN, truth=np.zeros((8, 8))), TITLE)
    with pytest.raises(SizeError, match="the input image has shape"):
        triplet(replace(SHOWN, input_image=np.zeros(8)), TITLE)
    with pytest.raises(SizeError, match="the projected image has shape"):
        projection(np.zeros((2, 3, 4)), "a")


def test_a_projection_without_contrast_is_drawn() -> None:
    assert projection(np.full((5, 9), 3.0), "flat", unit="counts").startswith(b"\x89PNG")


DOTS = np.zeros((64, 64))
DOTS[10:50:4, 30] = 1.0
PLAIN = Panels(RNG.poisson(20, (16, 16)).astype(float), np.roll(DOTS, 1, axis=1), DOTS, pixel_nm=100.0)


def test_a_panel_is_a_png_with_four_pictures_side_by_side() -> None:
    image = Image.open(io.BytesIO(panel(PLAIN)))
    assert image.format == "PNG"
    assert 3.0 < image.width / image.height < 4.5


def test_the_array_shows_what_the_png_shows() -> None:
    array = uint8_panel(PLAIN)
    assert array.dtype == np.uint8
    assert array.ndim == 3
    assert array.shape[2] == 3
    assert array.flags["C_CONTIGUOUS"]
    assert np.array_equal(array, uint8_panel(PLAIN))
    other = uint8_panel(replace(PLAIN, prediction=DOTS))
    quarter = array.shape[1] // 4
    assert np.array_equal(array[:, : quarter - 9], other[:, : quarter - 9])
    assert not np.array_equal(array[:, quarter:], other[:, quarter:])


def test_positions_are_drawn_over_the_input_where_they_are() -> None:
    shown = uint8_panel(replace(PLAIN, truth_nm=[[400.0, 1200.0]], found_nm=np.empty((0, 2))))
    moved = uint8_panel(replace(PLAIN, truth_nm=[[1200.0, 1200.0]], found_nm=np.empty((0, 2))))
    changed = np.argwhere((shown != moved).any(axis=2))
    first = changed[changed[:, 1] < shown.shape[1] / 4]
    left, right = (first[:, 1].min(), first[:, 1].max())
    # A ring moved by half of the 1600 nm that a picture shows; it was at 3/4 of the height from the top.
    assert (right - left) / (shown.shape[1] / 4) == pytest.approx(0.5, abs=0.1)
    assert first[:, 0].mean() / shown.shape[0] == pytest.approx(0.75, abs=0.08)
    assert (changed[:, 1] > shown.shape[1] / 4).any()  # over the truth as well


def test_single_lit_pixels_are_blurred_and_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    titles: list[str] = []
    real = Axes.set_title
    monkeypatch.setattr(Axes, "set_title", lambda axis, text, **more: (titles.append(text), real(axis, text, **more)))
    dots = np.zeros((128, 128))
    dots[64, 64] = 1.0
    panel(Panels(np.ones((16, 16)), dots, dots, pixel_nm=100.0))
    panel(Panels(np.ones((16, 16)), dots, np.ones((128, 128)), pixel_nm=100.0))
    panel(Panels(np.ones((16, 16)), dots, dots))
    # 16 pixels of 100 nm over 128 fine pixels: 12.5 nm each
    assert titles[1:3] == ["Prediction (blurred, σ = 12 nm)", "Truth (blurred, σ = 12 nm)"]
    assert titles[5:7] == ["Prediction", "Truth"]
    assert titles[10] == "Truth (blurred, σ = 1 fine px)"


def test_empty_and_undefined_pictures_are_drawn() -> None:
    blank, flat = np.zeros((32, 32)), np.zeros((16, 32))
    assert panel(Panels(np.full((8, 8), np.nan), blank, blank)).startswith(b"\x89PNG")
    assert panel(Panels(np.ones((8, 16)), flat, flat, pixel_nm=160.0)).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"truth": np.zeros((2, 4, 4))}, r"truth image has shape \(2, 4, 4\)"),
        ({"prediction": np.zeros((8, 8))}, "give the same fine grid"),
        ({"input_image": np.zeros((0, 4))}, "input image has shape"),
    ],
)
def test_pictures_that_do_not_belong_together_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(SizeError, match=message):
        panel(replace(PLAIN, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize(("width_nm", "bar_nm"), [(3200, 500), (6400, 1000), (100, 20), (51200, 10000), (1666.7, 500)])
def test_scale_bars_have_round_lengths(width_nm: float, bar_nm: float) -> None:
    assert scale_bar_nm(width_nm) == bar_nm


def test_a_field_without_width_has_no_scale_bar() -> None:
    with pytest.raises(SizeError, match="positive width"):
        scale_bar_nm(0)
