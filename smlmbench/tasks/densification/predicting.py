"""A user's localization table made dense, alone or with a widefield; or a sparse image that is rendered already."""

from pathlib import Path

import numpy as np

from smlmbench.data.contracts import ArrayFrames
from smlmbench.data.rendered import Image, render, shown
from smlmbench.errors import FormatError, SizeError
from smlmbench.formats.tiff_image import write_pages
from smlmbench.predictions import Localizations
from smlmbench.render import fine_shape
from smlmbench.tasks.contracts import Model
from smlmbench.tasks.contracts.predicting import Predicted

LEAST_COVERED = 0.8  # of a widefield's sides, by a table


def predict(model: Model, asked: Predicted) -> list[Path]:
    """Write the dense image and, of a table, the sparse one that it was made from, as 32-bit TIFF with their pixel.

    A table is drawn on the render grid of the training, and as wide; of several colours, each by its column `channel`
    and as a page of its own. With `--places TABLE` the file is the widefield of the table's field, in camera pixels
    that are whole numbers of render pixels.

    Raises:
        SizeError: Not the colours of the training, or a widefield that is not of the table's field.
        FormatError: Neither a table nor an image.
    """
    pixel_nm, colors = float(model.settings["render_pixel_nm"]), int(model.settings.get("colors", 1))
    sigma_nm = float(model.settings.get("render_sigma_nm", 0.0))
    light, times, table = None, 1, asked.places
    if table is None:
        try:
            table = asked.given.table()
        except FormatError as no_table:
            try:
                sparse = [_image(asked)]
            except FormatError:
                raise no_table from None
    if table is not None:
        height, width = fine_shape(table.field_nm, pixel_nm)
        if asked.places is not None:
            light = _image(asked)
            times = _times((height, width), light)
            height, width = (side * times for side in light.shape)
        sparse = [drawn(one, (height, width), pixel_nm, sigma_nm) for one in by_color(table, colors)]
    if len(sparse) != colors:
        raise SizeError(f"the network was trained on {colors} colours, an image has one; give a table with a channel")
    given = shown(sparse, light, times, float(model.settings.get("control", 0.0)))
    asked.on_units(0, 1)
    raw = next(iter(model.raw(ArrayFrames(given[None]))))
    dense, path = model.decoded(raw)[0], asked.path("_dense.tif")
    write_pages(path, dense, pixel_nm)
    asked.on_units(1, 1)
    if table is None:
        return [path]
    write_pages(asked.path("_sparse.tif"), np.stack(sparse), pixel_nm)
    return [path, asked.path("_sparse.tif")]


def by_color(table: Localizations, colors: int) -> list[Localizations]:
    """The rows of each colour; of one colour all rows.

    Raises:
        SizeError: A table that does not tell them, or has others.
    """
    if colors == 1:
        return [table]
    if table.channel is None:
        said = f"the network was trained on {colors} colours, the table does not tell them"
        raise SizeError(f"{said}; give one with a column channel, 0 to {colors - 1}")
    if len(table) and not 0 <= table.channel.min() <= table.channel.max() < colors:
        least, most = table.channel.min(), table.channel.max()
        raise SizeError(f"channels {least} to {most} of the table; the network has 0 to {colors - 1}")
    return [table.select(table.channel == color) for color in range(colors)]


def drawn(table: Localizations, shape_px: tuple[int, int], pixel_nm: float, sigma_nm: float = 0.0) -> Image:
    """Rows with a position, counted on the grid or drawn as Gaussians; those outside of it are dropped."""
    at = np.stack((table.x_nm, table.y_nm), axis=1)
    return render(at[np.isfinite(at).all(axis=1)], shape_px, pixel_nm, sigma_nm)


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
