"""What another program made of the same movie: a reconstructed image or a table of localizations."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smlmbench import formats
from smlmbench.data.contracts import Condition, Settings
from smlmbench.errors import ConfigError, SizeError
from smlmbench.predictions import Prediction, Raster
from smlmbench.registry import Catalog

CARD = {
    "version": 1,
    "summary": "An image or a table that another program made of the same movie",
    "settings": {
        "path": {"default": "", "help": "File with the image or the table"},
        "format": {"default": "", "help": "Registered format; by default found from the file"},
        "pixel_nm": {"default": None, "min": 0.1, "max": 10000.0, "help": "Pixel of an image; needed for images"},
        "variable": {"default": "", "help": "Name of the array in a file that holds several"},
        "label_rule": {
            "default": "floor",
            "choices": ["floor", "ds"],
            "help": "Index rule of an image, used for the truth too: floor, or ds for files of Deep-STORM",
        },
    },
    "facts": {"tasks": {"localization": {"gives": "both"}}, "default": False, "needs": ["path"], "one_movie": True},
}

EDGE_PX = 1.0  # an image may miss or exceed the field by one of its pixels


def predict(condition: Condition, settings: Settings, output_settings: Settings, seed: int) -> Prediction:
    """Read the file; an image is given back on its own grid (`label_rule` is for drawing the truth that it is held to).

    Raises:
        ConfigError, FormatError, SizeError: No path or pixel size; an unreadable file; an image of another field.
    """
    del output_settings, seed
    if not settings["path"]:
        raise ConfigError("reference 'file' has no path; give path: the image or table of the other program")
    catalog, path, format = Catalog(), Path(settings["path"]), settings["format"] or None
    if _holds_table(path, format, catalog):
        options = formats.TableOptions(
            pixel_size_nm=condition.pixel_size_nm, n_frames=condition.frames.n_frames, field_nm=condition.field_nm
        )
        return Prediction(formats.read_table(path, catalog=catalog, format=format, options=options))
    if settings["pixel_nm"] is None:
        raise ConfigError(f"reference 'file': '{path.name}' is an image without a pixel size; give pixel_nm")
    extra = {"variable": settings["variable"]} if settings["variable"] else {}
    image = formats.read_image(path, catalog=catalog, format=format, settings=extra)
    _check_size(image, path, settings["pixel_nm"], condition)
    return Prediction(image=Raster(np.ascontiguousarray(image[None], dtype=np.float32), settings["pixel_nm"]))


def _holds_table(path: Path, format: str | None, catalog: Catalog) -> bool:
    """Whether the named format is one of tables, else whether the file is."""
    if format is not None:
        return bool(catalog.card("formats", format).facts.get("holds") == "table")
    return "table" in formats.kinds(path, catalog=catalog)


def _check_size(image: NDArray[np.float32], path: Path, pixel_nm: float, condition: Condition) -> None:
    covered = (image.shape[1] * pixel_nm, image.shape[0] * pixel_nm)
    if any(abs(a - b) > EDGE_PX * pixel_nm for a, b in zip(covered, condition.field_nm, strict=True)):
        wide, high = condition.field_nm
        raise SizeError(
            f"'{path.name}' covers {covered[0]:g} x {covered[1]:g} nm but the movie {wide:g} x {high:g} nm; "
            "check pixel_nm, or give the image of this movie"
        )
