"""Whatever the sizes and the symmetry, a target's crop belongs to the input's, and normalisation sees whole frames."""

import tempfile
from pathlib import Path

import image_pairs
import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smlmbench.data import images
from smlmbench.data.contracts import Scope, Statistics
from smlmbench.models.normalisation import Normalisation
from smlmbench.registry import Catalog
from smlmbench.study.sources import ImagesSource

CATALOG = Catalog()


@settings(max_examples=15)
@given(
    ratio=st.sampled_from([1, 2, 4, 8]),
    height=st.integers(8, 14),
    width=st.integers(8, 14),
    crop=st.integers(8, 14),
    first=st.integers(0, 10**9),
)
def test_crop_of_target_matches_crop_of_input(ratio, height, width, crop, first):
    given_image = np.arange(1, height * width + 1, dtype=np.uint16).reshape(height, width)
    wanted = given_image.repeat(ratio, axis=0).repeat(ratio, axis=1)
    with tempfile.TemporaryDirectory() as folder:
        image_pairs.put(Path(folder), "a.tif", given_image, wanted)
        source = ImagesSource(input=Path(folder, "X"), target=Path(folder, "Y"), crop_px=crop)
        stream = images.training_set(source, {}, Scope(0), CATALOG)
        batch = stream.batch(first, 4)
    side = min(crop, height, width)
    assert batch.inputs.shape == (4, 1, side, side)
    spread = batch.inputs.repeat_interleave(ratio, 2).repeat_interleave(ratio, 3)
    torch.testing.assert_close(batch.truth.images * stream.target_scale, spread)
    whole = torch.from_numpy(given_image.astype(np.float32))[None, None]
    for kind in ("frame_minmax", "frame_minmax_zscore"):
        normalise = Normalisation(kind, Statistics(20.0, 9.0, 1.0, 90.0))
        everywhere = set(np.round(normalise(whole).numpy().ravel(), 4))
        assert set(np.round(normalise(batch.inputs, batch.frame_range).numpy().ravel(), 4)) <= everywhere
