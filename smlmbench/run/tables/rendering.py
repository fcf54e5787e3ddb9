"""A table of localizations as a picture or as numbers on fine pixels."""

from pathlib import Path

import numpy as np

from smlmbench.errors import SizeError
from smlmbench.figures.rendered import rendered
from smlmbench.formats import write_image
from smlmbench.predictions import Floats, Localizations
from smlmbench.registry import Catalog
from smlmbench.render import blur, fine_shape, render_table
from smlmbench.run.tables.projecting import TIFF_SUFFIXES, picture_format, write_bytes

FINEST_NM, MOST_PX = 10.0, 1000
BLUR_PX = 1.0  # of pictures alone; numbers are counts


def fine_pixel_of(field_nm: tuple[float, float]) -> float:
    """A pixel of which the longer side of a field has at most 1000, at least 10 nm."""
    return max(FINEST_NM, max(field_nm) / MOST_PX)


def counts_and_depth(table: Localizations, fine_pixel_nm: float) -> tuple[Floats, Floats | None]:
    """Localizations in each fine pixel, softened by one, and their mean depth in nm; None where none has a depth."""
    deep = table.select(np.isfinite(table.z_nm))
    if not len(deep) or float(np.ptp(deep.z_nm)) == 0:
        return blur(render_table(table, None, fine_pixel_nm).values[0], BLUR_PX), None
    shape = fine_shape(table.field_nm, fine_pixel_nm)
    edges = [(0.0, size * fine_pixel_nm) for size in shape]
    lowest = float(deep.z_nm.min())
    counted, summed = (
        blur(np.histogram2d(deep.y_nm, deep.x_nm, bins=shape, range=edges, weights=weights)[0], BLUR_PX)
        for weights in (None, deep.z_nm - lowest)
    )
    return counted, lowest + np.divide(summed, counted, out=np.zeros(shape), where=counted > 0)


def draw_table(table: Localizations, path: Path, title: str, fine_pixel_nm: float | None, catalog: Catalog) -> None:
    """Draw a table as .png, .svg or .pdf, or write its counts as 32-bit TIFF.

    Raises:
        SizeError: A table without rows.
        FormatError: Another suffix, or the file cannot be written.
    """
    if not len(table):
        raise SizeError(f"{title}: the table has no localizations; nothing can be drawn")
    pixel_nm = fine_pixel_of(table.field_nm) if fine_pixel_nm is None else fine_pixel_nm
    if path.suffix.lower() in TIFF_SUFFIXES:
        counts = render_table(table, None, pixel_nm).values[0]
        write_image(path, counts, pixel_nm, catalog=catalog, format="tiff_image")
        return
    counts, depth_nm = counts_and_depth(table, pixel_nm)
    picture = rendered(counts, depth_nm, table.field_nm, title, image_format=picture_format(path))
    write_bytes(path, picture)
