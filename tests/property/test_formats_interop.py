import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from smlmbench.errors import LossWarning
from smlmbench.formats import TableOptions, read_table, write_table
from smlmbench.predictions import COLUMNS, Localizations
from smlmbench.registry import Catalog

CATALOG = Catalog()
KEPT = [name for name in COLUMNS if name != "probability"]


@st.composite
def tables(draw: st.DrawFn) -> Localizations:
    n = draw(st.integers(0, 12))
    numbers = st.lists(st.floats(-1e5, 1e5), min_size=n, max_size=n)
    columns: dict[str, object] = {"frame": draw(st.lists(st.integers(7, 10**6), min_size=n, max_size=n))}
    for name in {"x_nm", "y_nm", *draw(st.sets(st.sampled_from(KEPT)))}:
        columns[name] = draw(numbers)
    whole_px = st.integers(1, 2048)
    field_nm = (draw(whole_px) * 100.0, draw(whole_px) * 100.0)
    return Localizations.of(columns, n_frames=10**6 + 1, field_nm=field_nm)  # type: ignore[arg-type]


def round_trip(locs: Localizations, name: str, file: str, options: TableOptions) -> Localizations:
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", LossWarning)
        path = Path(folder) / file
        write_table(locs, path, catalog=CATALOG, format=name, options=options)
        return read_table(path, catalog=CATALOG, options=options)


@settings(max_examples=60, deadline=None)
@given(tables())
def test_smap_loses_nothing_but_the_probability(locs: Localizations) -> None:
    back = round_trip(locs, "smap_csv", "a.csv", TableOptions(n_frames=locs.n_frames, field_nm=locs.field_nm))
    np.testing.assert_array_equal(back.frame, locs.frame)
    for name in ("x_nm", "y_nm", "z_nm", "photons", "background_photons", "sigma_z_nm"):
        np.testing.assert_array_equal(back.columns()[name], locs.columns()[name])
    for name, other in (("sigma_x_nm", "sigma_y_nm"), ("sigma_y_nm", "sigma_x_nm")):
        if not np.isnan(locs.columns()[name]).all() or np.isnan(locs.columns()[other]).all():
            np.testing.assert_array_equal(back.columns()[name], locs.columns()[name])


@settings(max_examples=40, deadline=None)
@given(tables())
def test_picasso_keeps_all_within_float32(locs: Localizations) -> None:
    back = round_trip(locs, "picasso_hdf5", "a.hdf5", TableOptions(pixel_size_nm=100.0))
    assert (back.n_frames, back.field_nm) == (locs.n_frames, locs.field_nm)
    np.testing.assert_array_equal(back.frame, locs.frame)
    for name in KEPT:
        np.testing.assert_allclose(back.columns()[name], locs.columns()[name], rtol=1e-6, atol=1e-2, err_msg=name)
