"""A user's localization table made dense, alone or with a widefield; or a sparse image that is rendered already."""

from pathlib import Path

import numpy as np

from smlmbench.data.contracts import ArrayFrames
from smlmbench.data.rendered import Image, render, shown
from smlmbench.errors import FormatError, SizeError
from smlmbench.formats.tiff_image import write_image
from smlmbench.predictions import Localizations
from smlmbench.render import fine_shape
from smlmbench.tasks.contracts import Model
from smlmbench.tasks.contracts.predicting import Predicted

LEAST_COVERED = 0.8  # of a widefield's sides, by a table


def predict(model: Model, asked: Predicted) -> list[Path]:
    """Write the dense image and, of a table, the sparse one that it was made from, as 32-bit TIFF with their pixel.

    A table is drawn as counts on the render grid of the training. With `--places TABLE` the file is the widefield of
    the table's field, in camera pixels that are whole numbers of render pixels.

    Raises:
        SizeError: A network of several colours, or a widefield that is not of the table's field.
        FormatError: Neither a table nor an image.
    """
    pixel_nm = float(model.settings["render_pixel_nm"])
    if model.settings.get("colors", 1) != 1:
        raise SizeError(f"the network was trained on {model.settings['colors']:g} colours; give a network of one")
    light, times, table = None, 1, asked.places
    if table is None:
        try:
            table = asked.given.table()
        except FormatError as no_table:
            try:
                sparse = _image(asked)
            except FormatError:
                raise no_table from None
    if table is not None:
        height, width = fine_shape(table.field_nm, pixel_nm)
        if asked.places is not None:
            light = _image(asked)
            times = _times((height, width), light)
            height, width = (side * times for side in light.shape)
        sparse = drawn(table, (height, width), pixel_nm)
    given = shown([sparse], light, times, float(model.settings.get("control", 0.0)))
    asked.on_units(0, 1)
    raw = next(iter(model.raw(ArrayFrames(given[None]))))
    dense, path = model.decoded(raw)[0, 0], asked.path("_dense.tif")
    write_image(path, dense, pixel_nm)
    asked.on_units(1, 1)
    if table is None:
        return [path]
    write_image(asked.path("_sparse.tif"), sparse, pixel_nm)
    return [path, asked.path("_sparse.tif")]


def drawn(table: Localizations, shape_px: tuple[int, int], pixel_nm: float) -> Image:
    """Rows with a position, counted on the grid; those outside of it are dropped."""
    at = np.stack((table.x_nm, table.y_nm), axis=1)
    return render(at[np.isfinite(at).all(axis=1)], shape_px, pixel_nm, 0.0)


def _image(asked: Predicted) -> Image:
    """The mean of the file's frames."""
    frames, total = asked.frames, 0.0
    for number in range(frames.n_frames):
        total = total + frames.read(number, number + 1)[0].astype(np.float64)
    return np.asarray(total / frames.n_frames, dtype=np.float32)


def _times(shape_px: tuple[int, int], light: Image) -> int:
    """Render pixels along a pixel of the widefield; a SizeError where the table does not fill it with any number."""
    times: int = max(-(-own // side) for own, side in zip(shape_px, light.shape, strict=True))
    if any(own < LEAST_COVERED * times * side for own, side in zip(shape_px, light.shape, strict=True)):
        own, other = (" x ".join(map(str, shape)) for shape in (shape_px, light.shape))
        said = f"the table's field has {own} render pixels, the widefield {other} camera pixels"
        raise SizeError(f"{said}, and no whole number of the first fills the second; give the widefield of its field")
    return times
