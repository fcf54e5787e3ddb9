"""Charts: every number is drawn, nothing covers its neighbour, and nothing is left behind."""

import math
import subprocess
import sys
import threading
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from smlmbench import figures
from smlmbench.figures import searches
from smlmbench.figures.charts import sensitivity

PNG = b"\x89PNG"
PICK = {"label": "net_a", "x": 5.0, "y": 80.0, "low": 78.0, "high": 82.0, "front": True}
POINTS = [
    PICK,
    {"label": "net_b", "x": 1.0, "y": 60.0, "style": 1, "front": True},
    {"kind": "row", "x": 2.0, "y": 50.0},
    {"label": "fitter", "kind": "reference", "x": 20.0, "y": 40.0},
    {"label": "blank", "kind": "reference", "y": 20.0},
    {"label": "random", "kind": "reference", "x": None, "y": -500.0},
    {"label": "untimed", "y": 90.0},
    {"label": "unscored", "x": 3.0, "y": None},
]
BARS = [
    {"panel": "low", "label": "net", "y": 70.0, "low": 68.0, "high": 72.0},
    {"panel": "low", "label": "image only", "kind": "reference"},
    {"panel": "low", "label": "random", "y": -300.0, "kind": "reference"},
    {"panel": "high", "label": "net", "y": -5.0},
]
LINES = [
    {"panel": f"net {i}", "label": f"net {i}", "style": i, "line": repeat, "x": x, "y": y + i + repeat / 4}
    for i in range(3)
    for repeat in range(2)
    for x, y in ((0, 10.0), (8000, 50.0), (32000, 60.0))
]
LAMBDAS = [
    {"panel": "net", "label": "l1", "x": 10.0, "y": 60.0},
    {"panel": "net", "label": "l1", "x": 100.0, "y": 65.0, "picked": True},
    {"panel": "net", "label": "l1", "x": 1.0, "note": "collapsed"},
    {"panel": "net", "label": "l2", "x": 1.0, "note": "failed"},
    {"panel": "other", "label": "l2", "x": 100.0, "y": 40.0},
]
WAYS = [
    {"label": name, "device": "cpu", "runtime": runtime, "number_format": "fp32", "y": y}
    for name, runtime, y in (("net", "eager", 1520.0), ("net", "openvino", 2.25), ("net", "openvino", 4.25))
] + [{"label": "fitter", "device": "cpu", "runtime": "classical", "number_format": "fp64", "y": 0.5}]
TRIALS = [{"y": 1.0}, {"y": math.nan, "note": "pruned"}, {"y": 0.5}, {"y": 3.0}]
BEST = [{"label": "search", "x": k, "y": k / 2, "low": k / 4, "high": k} for k in (1, 2, 3)]
SETTINGS = {"lr": [0.001, 0.01, None, 1.0], "loss": ["a", "b", "b", None], "warm": [True, False, None, None]}
FRONT = {"front": False, "picked": False, "default": False}
TRADED = [{"x": 1.0, "y": 2.0, **FRONT, "front": True, "picked": True}, {"x": 3.0, "y": 1.0, **FRONT, "default": True}]

CHARTS = {
    "scatter": lambda rows=POINTS: figures.scatter_accuracy_latency(rows, y_label="E", marks=(10.0,)),
    "bars": lambda rows=BARS: figures.bars(rows, x_label="E"),
    "curves": lambda rows=LINES: figures.curves(rows, x_label="samples", y_label="E"),
    "sensitivity": lambda rows=LAMBDAS: sensitivity(rows, x_label="λ", y_label="E"),
    "history": lambda rows=TRIALS: searches.history(rows, "E", up=True, fmt="svg"),
    "best_of": lambda rows=BEST: searches.best_of(rows, "E", default=0.7, fmt="svg"),
    "pareto": lambda rows=TRADED: searches.pareto(rows, ("ms", "E"), fmt="svg"),
    "heat map": lambda rows=WAYS: figures.device_heat_map(rows),
}


def written(svg):
    """Texts of an SVG; matplotlib draws them as paths and writes each as a comment."""
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    tree = ElementTree.fromstring(svg, parser=parser)
    return [node.text.strip() for node in tree.iter() if callable(node.tag)]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved, as they stand then."""
    kept = []
    real = Figure.savefig

    def spy(figure, *args, **kwargs):
        figure.draw_without_rendering()
        kept.append(figure)
        real(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", spy)
    return kept


def spots(axis):
    return sorted((round(x, 6), round(y, 6)) for dots in axis.collections for x, y in dots.get_offsets().tolist())


def lines_of(axis):
    return [list(zip(*line.get_data(), strict=True)) for line in axis.lines if len(line.get_xdata())]


def overlapping(axis):
    boxes = [text.get_window_extent() for text in axis.texts if text.get_text()]
    return [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]


@pytest.mark.parametrize("name", CHARTS)
def test_the_same_numbers_give_the_same_bytes(name):
    assert CHARTS[name]() == CHARTS[name]()


def test_rows_may_stand_in_a_frame():
    assert CHARTS["bars"](pd.DataFrame(BARS[::3])) == CHARTS["bars"](BARS[::3])
    assert CHARTS["heat map"](pd.DataFrame(WAYS)) == CHARTS["heat map"]()


def has_points(figure):
    marked = [line.get_xydata() for axis in figure.axes for line in axis.lines if line.get_marker() not in ("None", "")]
    dots = [one.get_offsets() for axis in figure.axes for one in axis.collections if isinstance(one, PathCollection)]
    return any(np.isfinite(points).all(axis=1).any() for points in map(np.asarray, marked + dots) if len(points))


@pytest.mark.parametrize("name", ["bars", "sensitivity", "best_of"])
@pytest.mark.parametrize("rows", [[], [{"y": math.nan}]])
def test_charts_of_few_or_unknown_numbers_name_their_axis(name, rows):
    said = written(CHARTS[name](rows))
    assert "E" in said
    assert said.count("n/a") == (len(rows) if name == "bars" else 0)


@pytest.mark.parametrize("name", ["scatter", "curves", "history", "pareto"])
def test_few_or_unknown_numbers_are_drawn_without_a_point(name, drawn):
    known = [row for row in CHARTS[name].__defaults__[0] if "note" not in row]
    unknown = [{key: math.nan if key in ("y", "low", "high") else value for key, value in row.items()} for row in known]
    for rows in (known, [], unknown, unknown[:1]):
        written(CHARTS[name](rows))
    assert [has_points(figure) for figure in drawn] == [True, False, False, False]


@pytest.mark.parametrize("rows", [[], [{"label": "search", "x": 1.0, "y": math.nan}]])
def test_a_search_that_reached_nothing_has_an_empty_figure(rows):
    assert searches.best_of(rows, "E").startswith(PNG)


def test_the_scatter_shows_every_point_interval_front_and_reference(drawn):
    said = written(CHARTS["scatter"]())
    for text in ("net_a", "net_b", "fitter", "Pareto front", "blank", "off the scale: random -500.0", "E", "10 ms"):
        assert text in said
    assert "latency per frame (ms)" in said
    assert not {"untimed", "unscored"} & set(said)
    (axis,) = drawn[0].axes
    intervals, dots = axis.collections
    assert [path.vertices.tolist() for path in intervals.get_paths()] == [[[5.0, 78.0], [5.0, 82.0]]]
    assert sorted(map(tuple, dots.get_offsets())) == [(1.0, 60.0), (2.0, 50.0), (5.0, 80.0), (20.0, 40.0)]
    front, blank, mark = lines_of(axis)
    assert front == [(1.0, 60.0), (5.0, 80.0)]
    assert {y for _, y in blank} == {20.0}
    assert {x for x, _ in mark} == {10.0}
    assert axis.get_xscale() == "log"


def test_only_the_closest_of_far_lines_is_drawn():
    far = [{"label": "fitter", "kind": "reference", "y": 45.0}, {"label": "blank", "kind": "reference", "y": 0.0}]
    said = written(CHARTS["scatter"]([PICK | {"low": None}, PICK | {"y": 70.0}, *far]))
    assert "fitter" in said
    assert "off the scale: blank 0.0" in said


def test_costs_that_are_not_above_zero_have_a_plain_axis(drawn):
    CHARTS["pareto"]([row | {"x": row["x"] - 2} for row in TRADED])
    assert drawn[0].axes[0].get_xscale() == "linear"


def test_the_labels_of_a_crowd_cover_neither_each_other_nor_a_point(drawn):
    crowd = [PICK | {"label": f"network_{i} int8", "x": 3.0 + i / 10, "y": 80.0 + i / 5, "style": i} for i in range(8)]
    floors = [{"label": name, "kind": "reference", "y": y} for name, y in (("blank", 79.0), ("mean", 79.02))]
    CHARTS["scatter"]([*crowd, *floors, {"x": 30.0, "y": 78.0, "kind": "row"}])
    (axis,) = drawn[0].axes
    names = [text.get_text() for text in axis.texts if text.get_text()]
    assert len(names) == 8 + 2 + 1
    assert overlapping(axis) == []
    dots = axis.transData.transform(axis.collections[-1].get_offsets())
    assert sum(text.get_window_extent().count_contains(dots) for text in axis.texts if text.get_text()) == 0
    frame = axis.get_window_extent()
    assert all(frame.contains(*text.get_window_extent().p0) for text in axis.texts if text.get_text())


def test_text_with_dollars_is_text():
    said = written(figures.scatter_accuracy_latency([PICK | {"label": "$a_{$"}], y_label="$E$"))
    assert {"$a_{$", "$E$"} <= set(said)


def test_bars_say_what_is_absent_or_off_the_scale(drawn):
    said = written(CHARTS["bars"]())
    for text in ("low", "high", "net", "image only", "random", "n/a", "◂ -300.0", "E"):
        assert text in said
    low, high = drawn[0].axes
    assert [bar.get_width() for bar in (*low.patches, *high.patches)] == [70.0, -300.0, -5.0]
    assert [path.vertices.tolist() for path in low.collections[0].get_paths()] == [[[68.0, 0.0], [72.0, 0.0]]]
    assert [text.get_position()[1] for text in low.texts] == [1, 2]
    assert low.get_xlim() == high.get_xlim()


def test_curves_have_a_panel_for_each_name_and_short_ticks(drawn):
    said = written(CHARTS["curves"]())
    assert {f"net {i}" for i in range(3)} <= set(said)
    assert any(text.endswith("k") for text in said)
    assert [lines_of(axis) for axis in drawn[0].axes] == [
        [[(0.0, 10.0 + i + k), (8000.0, 50.0 + i + k), (32000.0, 60.0 + i + k)] for k in (0, 0.25)] for i in range(3)
    ]


def test_many_values_of_a_setting_have_few_ticks_in_plain_numbers():
    rows = [{"panel": "net", "label": "l1", "x": 100 * 1.2**k, "y": float(k)} for k in range(20)]
    said = written(sensitivity(rows, x_label="λ", y_label="E"))
    assert {"100", "172.8", "298.6"} <= set(said)
    assert not any("$" in text for text in said)


@pytest.mark.parametrize("down", [False, True])
def test_settings_without_a_score_are_crosses_at_the_worse_edge(drawn, down):
    said = written(sensitivity(LAMBDAS, x_label="λ", y_label="E", down=down))
    assert {"net", "other", "l1", "l2", "collapsed", "failed", "λ", "E", "1", "10", "100"} <= set(said)
    net, other = drawn[0].axes
    assert lines_of(net) == [[(10.0, 60.0), (100.0, 65.0)]]
    assert lines_of(other) == [[(100.0, 40.0)]]
    crosses, rings = (dots.get_offsets().tolist() for dots in net.collections[-2:])
    assert rings == [[100.0, 65.0]]
    assert [x for x, _ in crosses] == [1.0, 1.0]
    assert len({y for _, y in crosses}) == 2
    assert all(y > 65.0 if down else y < 40.0 for _, y in crosses)
    assert overlapping(net) == []


def test_the_heat_map_writes_every_latency_and_leaves_gaps(drawn):
    said = written(CHARTS["heat map"]())
    assert {"1,520", "3.25", "0.5", "net", "fitter", "latency of one frame (ms)"} <= set(said)
    (axis,) = drawn[0].axes
    assert [text.get_text() for text in axis.get_xticklabels()] == [
        "cpu\nclassical\nfp64", "cpu\neager\nfp32", "cpu\nopenvino\nfp32",
    ]  # fmt: skip
    assert axis.collections[0].get_array().filled(0).tolist() == [[0, 1520.0, 3.25], [0.5, 0, 0]]
    assert len(axis.texts) == 3


def test_a_history_has_its_best_so_far_and_its_stopped_trials(drawn):
    assert {"trial", "best so far", "stopped"} <= set(written(CHARTS["history"]()))
    (axis,) = drawn[0].axes
    best, stopped = lines_of(axis)
    assert best == [(1.0, 1.0), (2.0, 1.0), (3.0, 1.0), (4.0, 3.0)]
    assert [x for x, _ in stopped] == [2.0]
    assert [(x, y) for x, y in spots(axis) if not math.isnan(y)] == [(1.0, 1.0), (3.0, 0.5), (4.0, 3.0)]
    searches.history(TRIALS, "E", up=False)
    assert [y for _, y in lines_of(drawn[1].axes[0])[0]] == [1.0, 1.0, 0.5, 0.5]


def test_best_of_k_has_bands_and_the_default(drawn):
    assert {"search", "default settings"} <= set(written(CHARTS["best_of"]()))
    (axis,) = drawn[0].axes
    steps, default = lines_of(axis)
    assert steps == [(1.0, 0.5), (2.0, 1.0), (3.0, 1.5)]
    assert {y for _, y in default} == {0.7}
    band = axis.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (0.25, 3.0)


def test_importances_are_bars_largest_first(drawn):
    said = written(searches.importances({"loss": 0.2, "lr": 0.8}, fmt="svg"))
    assert "importance (PED-ANOVA)" in said
    assert [bar.get_width() for bar in drawn[0].axes[0].patches] == [0.8, 0.2]
    assert [text.get_text() for text in drawn[0].axes[0].get_yticklabels()] == ["lr", "loss"]


def test_slices_draw_numbers_and_names(drawn):
    searches.slices(SETTINGS, [1.0, 2.0, math.nan, 4.0], "E", ["lr"])
    rate, loss, warm = drawn[0].axes
    assert rate.get_xscale() == "log"
    assert spots(rate) == [(0.001, 1.0), (0.01, 2.0), (1.0, 4.0)]
    assert [text.get_text() for text in loss.get_xticklabels()] == ["a", "b"]
    assert spots(loss) == [(0.0, 1.0), (1.0, 2.0)]
    assert [text.get_text() for text in warm.get_xticklabels()] == ["True", "False"]


def test_the_front_of_a_search_names_pick_and_default(drawn):
    assert {"pick", "default settings", "ms", "E"} <= set(written(CHARTS["pareto"]()))
    both = [TRADED[0] | {"default": True}]
    assert "pick = default settings" in written(CHARTS["pareto"](both))
    assert drawn[0].axes[0].collections[-1].get_offsets().tolist() == [[3.0, 1.0], [1.0, 2.0]]


def test_png_is_drawn_on_request():
    assert figures.bars(BARS, x_label="E", image_format="png").startswith(PNG)


def test_figures_drawn_at_once_are_those_drawn_one_by_one():
    alone = {name: CHARTS[name]() for name in ("bars", "sensitivity")}
    found = {}
    before = dict(mpl.rcParams)
    threads = [threading.Thread(target=lambda name=name: found.update({name: CHARTS[name]()})) for name in alone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == alone
    assert dict(mpl.rcParams) == before


def test_drawing_needs_no_display_and_leaves_nothing_behind():
    code = """
import sys, smlmbench.figures as figures
assert not {"matplotlib", "seaborn", "pandas"} & set(sys.modules)
import matplotlib
before = dict(matplotlib.rcParams, backend="")
figures.bars([{"label": "net", "y": 70.0}], x_label="E")
import matplotlib.pyplot
assert matplotlib.pyplot.get_fignums() == []
assert dict(matplotlib.rcParams, backend="") == before
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, env={"MPLBACKEND": "tkagg", "PATH": ""})
