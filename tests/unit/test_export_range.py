"""What differences of exported networks are held against."""

import numpy as np
import pytest

from smlmbench.export.standalone import range_of


@pytest.mark.parametrize(
    ("raw", "range_"),
    [
        (np.array([[0.7]]), 0.7),  # one number of one crop has no range
        (np.array([[-2.0], [-1.5]]), 2.0),
        (np.array([[-2.0, 3.0]]), 5.0),
        (np.full((1, 1, 2, 2), 7.0) + np.arange(2), 1.0),  # a map: as before
    ],
)
def test_numbers_of_units_count_by_their_size_too(raw, range_):
    assert range_of(raw) == pytest.approx(range_)
