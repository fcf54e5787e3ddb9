"""Figures for a paper: their width, their letters, what they are drawn from."""

import io
import re

import pytest
from PIL import Image
from report_record import BOTH, Builder

from smlmbench.errors import ConfigError, StoreError
from smlmbench.report.forms.paper import sweeps, write_figures


@pytest.fixture
def record(tmp_path):
    builder = Builder(tmp_path / "runs", BOTH)
    (tmp_path / "runs").mkdir()
    for lam, val in (("50", 80.0), ("200", 70.0)):
        builder.trained("good", [0.9, 0.8, 0.85], ms=2.0, val=val, conditions=("low", "high"), lam=lam)
    builder.trained("fair", [0.5, 0.4, 0.45], ms=1.0, conditions=("low", "high"))
    builder.reference("blank", {name: {"efficiency": 1.0} for name in BOTH})
    return builder.record


@pytest.mark.parametrize("width_mm", [85, 170])
def test_figures_are_as_wide_as_asked_with_letters_of_seven_or_eight_points(record, tmp_path, width_mm):
    files = write_figures(record, tmp_path / "figures", width_mm)
    names = {path.name for path in files}
    kinds = ("latency-sim-smlmbench-1", "density_per_um2-sim-smlmbench-1", "lambda-sim-smlmbench-1")
    assert names == {f"{kind}-{width_mm}mm.{suffix}" for kind in kinds for suffix in ("svg", "png")}
    for path in files:
        if path.suffix == ".png":
            image = Image.open(io.BytesIO(path.read_bytes()))
            dpi = image.info["dpi"][0]
            assert dpi == pytest.approx(600, abs=0.1)
            assert image.width / dpi * 25.4 == pytest.approx(width_mm, abs=0.05)
        else:
            text = path.read_text(encoding="utf-8")
            (wide,) = re.findall(r'<svg [^>]*width="([\d.]+)pt"', text.replace("\n", " "))
            assert float(wide) / 72 * 25.4 == pytest.approx(width_mm, abs=1e-3)
            sizes = {float(size) for size in re.findall(r"([\d.]+)px", text)}
            assert {7.0} <= sizes <= {7.0, 8.0}
            assert "<image" not in text


def test_figures_say_what_they_show(record, tmp_path):
    files = {path.name.split("-")[0]: path for path in write_figures(record, tmp_path, 85) if path.suffix == ".svg"}
    texts = {name: path.read_text(encoding="utf-8") for name, path in files.items()}
    for text in ("latency of one frame (ms)", "Efficiency", "good", "fair", "Pareto front"):
        assert text in texts["latency"]
    for text in ("density (1/µm²)", "good", "fair", "blank"):
        assert text in texts["density_per_um2"]
    for text in ("λ (unit mass)", "Efficiency (validation)", "l1l2"):
        assert text in texts["lambda"]


def test_a_sweep_changes_one_thing():
    crossed = {
        f"d{density}-p{photons}": {"density_per_um2": density, "photons": photons, "frames": 10 * density}
        for density in (1, 2, 4)
        for photons in (500, 1000)
    }
    found = dict(sweeps(crossed))
    assert list(found) == ["density_per_um2", "photons"]
    assert found["density_per_um2"] == {"d1-p500": 1, "d2-p500": 2, "d4-p500": 4}
    assert found["photons"] == {"d1-p500": 500, "d1-p1000": 1000}
    assert sweeps({"one": {"density_per_um2": 1}, "two": {"density_per_um2": 1, "frames": 3}}) == []


def test_other_widths_and_studies_without_numbers_are_refused(record, tmp_path):
    with pytest.raises(ConfigError, match=r"--width-mm 100: figures are 85 or 170 mm wide"):
        write_figures(record, tmp_path, 100)
    (tmp_path / "none").mkdir()
    empty = Builder(tmp_path / "none", BOTH)
    empty.cell("net")
    record = empty.record
    record.study = "demo"
    with pytest.raises(StoreError, match="study 'demo' has no numbers to draw yet"):
        write_figures(record, tmp_path, 85)
