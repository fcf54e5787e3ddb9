"""New tables that are read otherwise than they were made: the one reading is named, or nothing, never another."""

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from smlmbench.predictions import Localizations
from smlmbench.truths.misfit import AS_STATED, Reading, misfit

readings = st.builds(
    Reading,
    swapped=st.booleans(),
    mirrored=st.tuples(st.booleans(), st.booleans()),
    frames=st.sampled_from([-2, -1, 0, 1, 2]),
    x_px=st.sampled_from([-0.5, 0.0, 0.5]),
    y_px=st.sampled_from([-0.5, 0.0, 0.5]),
)


def molecules(rng: np.random.Generator, stays: int, per_frame: float, field_nm: tuple[float, float]) -> Localizations:
    """Emitters of 80 frames, each on for some frames at one place."""
    count = max(1, round(80 * per_frame / stays))
    start, places = rng.integers(0, 80, count), [rng.uniform(0, side, count) for side in field_nm]
    rows = [np.concatenate([start + k for k in range(stays)]), *(np.tile(place, stays) for place in places)]
    inside = rows[0] < 80
    columns = dict(zip(("frame", "x_nm", "y_nm"), (row[inside] for row in rows), strict=True))
    return Localizations.of(columns, n_frames=80, field_nm=field_nm)


def moved(table: Localizations, reading: Reading, pixel_nm: float) -> Localizations:
    x_nm, y_nm = (table.y_nm, table.x_nm) if reading.swapped else (table.x_nm, table.y_nm)
    x_nm, y_nm = (
        side - place if is_so else place
        for place, side, is_so in zip((x_nm, y_nm), table.field_nm, reading.mirrored, strict=True)
    )
    x_nm, y_nm = x_nm + reading.x_px * pixel_nm, y_nm + reading.y_px * pixel_nm
    return replace(table, frame=table.frame + reading.frames, x_nm=x_nm, y_nm=y_nm)


@given(
    readings,
    st.integers(0, 2**31),
    st.integers(1, 12),
    st.floats(2.0, 30.0),
    st.floats(0.0, 0.25),
    st.sampled_from([65.0, 100.0, 160.0]),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_the_reading_is_named_or_none(
    reading: Reading, seed: int, stays: int, per_frame: float, noise_px: float, pixel_nm: float, square: bool
) -> None:
    rng = np.random.default_rng(seed)
    field_nm = (40 * pixel_nm, (40 if square else 28) * pixel_nm)
    truth = molecules(rng, stays, per_frame, field_nm)
    seen = truth.select(rng.random(len(truth)) < 0.7)  # some are missed, some spots are none
    noise = {axis: getattr(seen, axis) + rng.normal(0, noise_px * pixel_nm, len(seen)) for axis in ("x_nm", "y_nm")}
    false = molecules(rng, 1, 0.2 * per_frame, field_nm)
    real = moved(replace(seen, **noise), reading, pixel_nm)
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(real, name), getattr(false, name)]) for name in ("frame", "x_nm", "y_nm")
    }
    found = Localizations.of(columns, n_frames=90, field_nm=field_nm)
    doubt = misfit(found, truth, pixel_nm)
    if reading == AS_STATED:
        assert doubt is None
    elif doubt is not None and doubt.reading != AS_STATED:
        assert doubt.reading == reading
    if reading != AS_STATED and stays == 1 and len(found) > 500 and noise_px < 0.15:
        assert doubt is not None
        assert doubt.clear
