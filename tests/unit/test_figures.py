import io
import math
import subprocess
import sys
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from smlmbench import figures
from smlmbench.errors import SizeError
from smlmbench.figures import Bar, Point, Series

SVG = "{http://www.w3.org/2000/svg}"


def written(svg):
    """Texts of an SVG; matplotlib draws them as paths and writes each as a comment."""
    ElementTree.fromstring(svg)
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    tree = ElementTree.fromstring(svg, parser=parser)
    return [node.text.strip() for node in tree.iter() if callable(node.tag)]


@pytest.fixture
def images():
    truth = np.zeros((64, 64))
    truth[10:50:4, 30] = 1.0
    camera = np.random.default_rng(0).poisson(20, (16, 16)).astype(float)
    return camera, truth, np.roll(truth, 1, axis=1)


def test_a_panel_is_a_png_with_four_pictures_side_by_side(images):
    image = Image.open(io.BytesIO(figures.panel(*images)))
    assert image.format == "PNG"
    assert 3.0 < image.width / image.height < 4.5


def test_the_array_shows_what_the_png_shows(images):
    array = figures.uint8_panel(*images)
    assert array.dtype == np.uint8
    assert array.ndim == 3
    assert array.shape[2] == 3
    assert array.flags["C_CONTIGUOUS"]
    assert np.array_equal(array, figures.uint8_panel(*images))
    other = figures.uint8_panel(images[0], images[1], images[1])
    left, right = slice(0, array.shape[1] // 2), slice(array.shape[1] // 2, None)
    assert np.array_equal(array[40:, left], other[40:, left])
    assert not np.array_equal(array[:, right], other[:, right])


def test_positions_are_drawn_over_the_input_where_they_are(images):
    plain = figures.uint8_panel(*images)
    marked = figures.uint8_panel(*images, truth_nm=[[400.0, 1200.0]], found_nm=np.empty((0, 2)))
    changed = np.argwhere((plain != marked).any(axis=2))
    quarter = plain.shape[1] / 4
    assert changed[:, 1].max() < quarter
    low = changed[changed[:, 0] > plain.shape[0] * 0.45]
    # x = 400 of 1600 nm, y = 1200 of 1600 nm from the top
    assert low[:, 1].mean() / quarter == pytest.approx(0.25, abs=0.05)
    assert low[:, 0].mean() / plain.shape[0] == pytest.approx(0.75, abs=0.08)


def test_single_lit_pixels_are_blurred_and_said_to_be(monkeypatch):
    from matplotlib.axes import Axes

    titles = []
    real = Axes.set_title
    monkeypatch.setattr(Axes, "set_title", lambda axis, text, **more: (titles.append(text), real(axis, text, **more)))
    dots = np.zeros((128, 128))
    dots[64, 64] = 1.0
    figures.panel(np.ones((16, 16)), dots, dots)
    figures.panel(np.ones((16, 16)), np.ones((128, 128)), dots)
    # 16 pixels of 100 nm over 128 fine pixels: 12.5 nm each
    assert titles[1:3] == ["Truth (blurred, σ = 12 nm)", "Prediction (blurred, σ = 12 nm)"]
    assert titles[5:7] == ["Truth", "Prediction"]


def test_empty_and_undefined_pictures_are_drawn():
    blank = np.zeros((32, 32))
    flat = np.zeros((16, 32))
    for drawn in (
        figures.panel(np.full((8, 8), np.nan), blank, blank),
        figures.panel(np.ones((8, 16)), flat, flat, camera_pixel_nm=160),
    ):
        assert drawn.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"truth_image": np.zeros((2, 4, 4))}, r"truth image has shape \(2, 4, 4\)"),
        ({"prediction_image": np.zeros((8, 8))}, "give the same fine grid"),
        ({"error": np.zeros((8, 8))}, "give the same fine grid"),
        ({"input_image": np.zeros((0, 4))}, "input image has shape"),
    ],
)
def test_pictures_that_do_not_belong_together_are_refused(change, message):
    given = {"input_image": np.ones((2, 2)), "truth_image": np.ones((4, 4)), "prediction_image": np.ones((4, 4))}
    with pytest.raises(SizeError, match=message):
        figures.panel(**(given | change))


@pytest.mark.parametrize(("width_nm", "bar_nm"), [(3200, 500), (6400, 1000), (100, 20), (51200, 10000), (1666.7, 500)])
def test_scale_bars_have_round_lengths(width_nm, bar_nm):
    assert figures.scale_bar_nm(width_nm) == bar_nm


def test_a_field_without_width_has_no_scale_bar():
    with pytest.raises(SizeError, match="positive width"):
        figures.scale_bar_nm(0)


def test_the_scatter_names_picks_front_and_references():
    points = [
        Point("net_a", 5.0, 80.0, 78.0, 82.0),
        Point("net_b", 1.0, 60.0, style=1),
        Point("", 2.0, 50.0, kind="row"),
        Point("fitter", 20.0, 40.0, kind="reference"),
        Point("untimed", math.nan, 90.0),
    ]
    svg = figures.scatter_accuracy_latency(
        points, y_label="Efficiency", front=[0, 1], lines={"blank": 20.0, "random": -500.0}
    )
    said = written(svg)
    for text in ("net_a", "net_b", "fitter", "Pareto front", "blank", "off the scale: random -500.0", "Efficiency"):
        assert text in said
    assert "latency per frame (ms)" in said
    assert "untimed" not in said
    assert svg == figures.scatter_accuracy_latency(
        points, y_label="Efficiency", front=[0, 1], lines={"blank": 20.0, "random": -500.0}
    )


def test_only_the_closest_of_far_lines_is_drawn():
    points = [Point("net_a", 1.0, 80.0), Point("net_b", 2.0, 70.0, style=1)]
    said = written(figures.scatter_accuracy_latency(points, y_label="E", lines={"fitter": 45.0, "blank": 0.0}))
    assert "fitter" in said
    assert "off the scale: blank 0.0" in said


@pytest.mark.parametrize("points", [[], [Point("only", 3.0, 50.0)], [Point("same", 3.0, 50.0)] * 8])
def test_few_or_equal_points_are_drawn(points):
    assert "E" in written(figures.scatter_accuracy_latency(points, y_label="E"))


def test_labels_do_not_cover_each_other():
    from matplotlib.figure import Figure

    boxes = []
    real = Figure.savefig

    def spy(figure, *args, **kwargs):
        figure.draw_without_rendering()
        axis = figure.axes[0]
        boxes.extend(text.get_window_extent() for text in axis.texts if text.get_text().startswith("net"))
        real(figure, *args, **kwargs)

    points = [Point(f"net_{i}", 3.0 + i / 10, 80.0 + i / 5) for i in range(4)] + [Point("far", 30.0, 20.0, kind="row")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", spy)
        figures.scatter_accuracy_latency(points, y_label="E")
    assert len(boxes) == 4
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_text_with_dollars_is_text():
    said = written(figures.scatter_accuracy_latency([Point("$a_{$", 3.0, 50.0)], y_label="$E$"))
    assert {"$a_{$", "$E$"} <= set(said)


def test_bars_say_what_is_absent_or_off_the_scale():
    entries = [
        Bar("low", "net", 70.0, 68.0, 72.0),
        Bar("low", "image only", math.nan, kind="reference"),
        Bar("low", "random", -300.0, kind="reference"),
        Bar("high", "net", -5.0),
    ]
    said = written(figures.bars(entries, x_label="Efficiency"))
    for text in ("low", "high", "net", "image only", "n/a", "◂ -300.0", "Efficiency"):
        assert text in said
    written(figures.bars([Bar("low", "blank", 0.0, kind="reference")], x_label="E"))


def test_curves_have_a_panel_for_each_name_and_short_ticks():
    lines = [Series(f"net {i}", f"net {i}", (0, 8000, 32000), (10.0, 50.0, 60.0), i) for i in range(6)]
    said = written(figures.curves(lines, x_label="training samples", y_label="Efficiency (validation)"))
    assert {f"net {i}" for i in range(6)} <= set(said)
    assert any(text.endswith("k") for text in said)


def test_png_is_drawn_on_request():
    png = figures.bars([Bar("low", "net", 70.0)], x_label="E", image_format="png")
    assert png.startswith(b"\x89PNG")


def test_drawing_leaves_the_settings_of_the_caller_alone():
    before = dict(mpl.rcParams)
    figures.bars([Bar("low", "net", 70.0)], x_label="E")
    assert dict(mpl.rcParams) == before


def test_matplotlib_is_imported_only_to_draw():
    code = "import sys, smlmbench.figures; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
