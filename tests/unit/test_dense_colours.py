"""What a densifying network of several colours makes of a user's table: each colour drawn as in training, by page."""

from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import torch

from smlmbench import tasks
from smlmbench.errors import SizeError
from smlmbench.formats.tiff_image import read_image, write_pages
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog
from smlmbench.render import blur
from smlmbench.tasks.contracts.predicting import Predicted

TASK = tasks.load("densification", Catalog())


class Doubling:
    """Answers twice the sparse images of each colour."""

    def __init__(self, colors, sigma_nm=0.0):
        self.settings = {"render_pixel_nm": 20.0, "colors": colors, "render_sigma_nm": sigma_nm, "control": 0.0}

    def raw(self, frames, on_frames=None):
        del on_frames
        yield torch.from_numpy(2 * frames.read(0, 1)[:, : self.settings["colors"]])

    def decoded(self, raw, threshold=float("nan")):
        del threshold
        return raw.numpy()


def table(channel):
    columns = {"frame": [0, 0, 0], "x_nm": [10.0, 10.0, 150.0], "y_nm": [10.0, 50.0, 90.0]}
    told = {} if channel is None else {"channel": channel}
    return Localizations.of(columns | told, n_frames=1, field_nm=(200.0, 100.0))


def predicted(folder, model, given):
    asked = Predicted(
        given=SimpleNamespace(table=lambda: given),
        places=None,
        tuned={},
        pixel_size_nm=float("nan"),
        unit_sides=(),
        folder=folder,
        stem="cell",
        on_units=lambda done, total: None,
    )
    return [tifffile.imread(path) for path in TASK.predict(model, asked)]


def test_each_colour_has_its_rows_and_its_page(tmp_path):
    dense, sparse = predicted(tmp_path, Doubling(2), table([0, 1, 1]))
    assert sparse.shape == (2, 5, 10)
    assert np.argwhere(sparse).tolist() == [[0, 0, 0], [1, 2, 0], [1, 4, 7]]
    np.testing.assert_array_equal(dense, 2 * sparse)
    np.testing.assert_array_equal(read_image(tmp_path / "cell_dense.tif", {"page": 1}), dense[1])


def test_one_colour_is_no_stack_and_needs_no_channel(tmp_path):
    dense, sparse = predicted(tmp_path, Doubling(1), table(None))
    assert dense.shape == sparse.shape == (5, 10)
    assert sparse.sum() == 3


def test_a_table_is_drawn_as_wide_as_in_the_training(tmp_path):
    counts = predicted(tmp_path, Doubling(2), table([0, 1, 1]))[1]
    wide = predicted(tmp_path, Doubling(2, sigma_nm=15.0), table([0, 1, 1]))[1]
    np.testing.assert_allclose(wide[1], blur(counts[1], 0.75), atol=1e-6)


@pytest.mark.parametrize(("channel", "said"), [(None, "column channel, 0 to 1"), ([0, 1, 2], "channels 0 to 2")])
def test_colours_that_the_table_does_not_tell_are_refused(tmp_path, channel, said):
    with pytest.raises(SizeError, match=said):
        predicted(tmp_path, Doubling(2), table(channel))
    assert not list(tmp_path.iterdir())


def test_pages_have_their_pixel_size(tmp_path):
    path = tmp_path / "pages.tif"
    write_pages(path, np.arange(24, dtype=np.float32).reshape(2, 3, 4), 20.0)
    with tifffile.TiffFile(path) as opened:
        assert opened.imagej_metadata["pixel_nm"] == 20.0
        assert opened.asarray().shape == (2, 3, 4)
