from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smlmbench.camera import Camera
from smlmbench.formats import TableOptions, read_table, write_table
from smlmbench.predictions import COLUMNS, FIXED, Localizations
from smlmbench.registry import Catalog
from smlmbench.render import blur, rasterise

CATALOG = Catalog()
numbers = st.floats(-1e7, 1e7)
unknown = st.just(float("nan"))
# Any one line of any characters, as a header cell is read: single blanks inside, none outside.
names = st.text(st.characters(codec="utf-8"), max_size=12).map(lambda name: " ".join(name.split()))


@st.composite
def tables(draw: st.DrawFn) -> Localizations:
    n = draw(st.integers(0, 12))

    def column(cells: st.SearchStrategy[float]) -> list[float]:
        return draw(st.lists(cells, min_size=n, max_size=n))

    known = draw(st.sets(st.sampled_from(COLUMNS[2:])))
    columns: dict[str, object] = {
        "frame": draw(st.lists(st.integers(7, 10**6), min_size=n, max_size=n)),
        "x_nm": column(numbers),
        "y_nm": column(numbers),
        **{name: column(numbers | unknown) for name in known},
    }
    if draw(st.booleans()):
        columns["molecule"] = draw(st.lists(st.integers(0, 2**50), min_size=n, max_size=n))
    field_nm = (draw(st.floats(1, 1e6)), draw(st.floats(1, 1e6)))
    further = draw(st.sets(names.filter(lambda name: name and name not in FIXED), max_size=3))
    more = {name: column(st.floats()) for name in sorted(further)}
    return Localizations.of(columns, n_frames=10**6 + 1, field_nm=field_nm, more=more)  # type: ignore[arg-type]


def round_trip(locs: Localizations, name: str, options: TableOptions) -> Localizations:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        write_table(locs, path, catalog=CATALOG, format=name, options=options)
        return read_table(path, catalog=CATALOG, options=options)


@settings(max_examples=60, deadline=None)
@given(tables())
def test_our_own_table_loses_nothing(locs: Localizations) -> None:
    back = round_trip(locs, "smlmbench_csv", TableOptions())
    assert (back.n_frames, back.field_nm) == (locs.n_frames, locs.field_nm)
    assert back.columns().keys() == locs.columns().keys()
    for name, values in locs.columns().items():
        np.testing.assert_array_equal(back.columns()[name], values)


@settings(max_examples=60, deadline=None)
@given(tables(), st.floats(0.1, 1))
def test_thunderstorm_keeps_what_it_can_say(locs: Localizations, efficiency: float) -> None:
    options = TableOptions(camera=Camera(quantum_efficiency=efficiency), n_frames=locs.n_frames, field_nm=locs.field_nm)
    back = round_trip(locs, "thunderstorm_csv", options)
    for name in ("frame", "x_nm", "y_nm", "z_nm", "sigma_z_nm"):
        np.testing.assert_array_equal(back.columns()[name], locs.columns()[name])
    for name in ("photons", "background_photons"):
        np.testing.assert_allclose(back.columns()[name], locs.columns()[name], rtol=1e-12)
    lateral_nm = np.hypot(locs.sigma_x_nm, locs.sigma_y_nm) / np.sqrt(2)
    np.testing.assert_allclose(back.sigma_x_nm, lateral_nm, rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-500, 1500), st.floats(-500, 1500)), max_size=20),
    st.sampled_from([12.5, 25.0, 33.3]),
)
def test_every_position_lands_in_one_pixel_and_moves_with_the_grid(
    points: list[tuple[float, float]], pixel_nm: float
) -> None:
    x_nm, y_nm = (np.array([p[i] for p in points], dtype=float) for i in (0, 1))
    shape = (40, 30)
    image = rasterise(x_nm, y_nm, shape, pixel_nm)
    x_px, y_px = x_nm / pixel_nm, y_nm / pixel_nm
    inside = (x_px >= 0) & (x_px < 30) & (y_px >= 0) & (y_px < 40)
    assert image.sum() == inside.sum()
    assert rasterise(x_nm, y_nm, shape, pixel_nm, "ds").sum() == len(points)
    np.testing.assert_array_equal(rasterise(y_nm, x_nm, (30, 40), pixel_nm), image.T)
    assert blur(image, 1.0).sum() <= image.sum() * (1 + 1e-9)


@given(st.floats(100, 900), st.sampled_from([12.5, 25.0]))
def test_ds_lies_half_a_pixel_before_floor(x_nm: float, pixel_nm: float) -> None:
    column = int(rasterise([x_nm], [0.0], (1, 100), pixel_nm, "ds").argmax())
    # The read-out centre of `ds` plus half a pixel is within half a pixel of the position.
    assert abs((column + 1) * pixel_nm - x_nm) <= pixel_nm / 2 * (1 + 1e-9)
    floor = int(rasterise([x_nm], [0.0], (1, 100), pixel_nm).argmax())
    assert (floor + 0.5) * pixel_nm == pytest.approx(x_nm, abs=pixel_nm / 2 * (1 + 1e-9))


DRESSES = {",": ".", ";": ",", "\t": ".", "\t ": ","}  # decimal sign beside each delimiter
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252")


@settings(max_examples=80)
@given(
    dress=st.sampled_from(sorted(DRESSES)),
    suffix=st.sampled_from([".csv", ".tsv", ".txt", ".xls"]),
    encoding=st.sampled_from(ENCODINGS),
    unit=st.sampled_from(["nm", "µm"]),
    head=st.sampled_from(["plain", "quoted", "one cell"]),
    stated=st.booleans(),
    rows=st.lists(st.tuples(st.integers(1, 9), *[st.integers(0, 4000)] * 3), min_size=1, max_size=5),
)
def test_one_table_in_many_dresses_has_one_meaning(tmp_path_factory, dress, suffix, encoding, unit, head, stated, rows):
    """ThunderSTORM's table, saved again by a spreadsheet, is still ThunderSTORM's: incident photons, frames from 1."""
    delimiter = dress[0]
    heads = ["id", "frame", f"x [{unit}]", f"y [{unit}]", "intensity [photon]", "offset [photon]", "uncertainty [nm]"]
    cells = [[k, frame, x / 8, y / 8, n / 4, 12.5, 8.0] for k, (frame, x, y, n) in enumerate(rows, 1)]
    first = delimiter.join(heads if head == "plain" else [f'"{name}"' for name in heads])
    if head == "one cell":
        first = '"' + first.replace('"', '""') + '"'
    lines = [f"sep={delimiter}"] * stated + [first]
    lines += [delimiter.join(str(cell).replace(".", DRESSES[dress]) for cell in row) for row in cells]
    path = tmp_path_factory.mktemp("dress") / f"table{suffix}"
    path.write_bytes("\r\n".join([*lines, ""]).encode(encoding))
    camera = Camera(kind="scmos", quantum_efficiency=0.5)
    locs = read_table(path, catalog=CATALOG, options=TableOptions(camera=camera))
    assert locs.frame.tolist() == [row[1] - 1 for row in cells]
    assert locs.x_nm.tolist() == [row[2] * (1 if unit == "nm" else 1000) for row in cells]
    assert locs.photons.tolist() == [row[4] / 2 for row in cells]
    assert locs.background_photons.tolist() == [6.25] * len(cells)
    assert locs.sigma_x_nm.tolist() == [8.0] * len(cells)
