"""What a description says of the structure that its emitters sit on, before anything is drawn."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import ConfigError, FormatError, SmlmBenchError
from smlmbench.formats import TableOptions, read_table
from smlmbench.predictions import Localizations
from smlmbench.registry import Card, Catalog
from smlmbench.study.digests import file_digest
from smlmbench.study.sources.description import Note, missing, unreadable

FIRST = {"filaments": 12, "width_nm": 15, "curl": 0.3}  # of one without settings of its own, in the first stores
Depths = tuple[float, float]
Settings = Mapping[str, Any]


def structure_content(structure: Settings) -> dict[str, Any]:
    """A structure as it enters identities: its file by the digest."""
    if structure.keys() <= {"name", *FIRST}:
        return {**FIRST, **structure}
    path = structure.get("path")
    return {**structure, "path": file_digest(Path(path))} if path else dict(structure)


def notes_on(structure: Settings, field_nm: float, depths: Depths, catalog: Catalog) -> list[Note]:
    """What is wrong with a structure: depths that do not hold it, a table of points that cannot be placed."""
    name = str(structure.get("name", ""))
    if name not in catalog.names("structures"):
        return []
    card = catalog.card("structures", name)
    thick_nm = thickness_nm(card, structure)
    if depths[0] < depths[1] and thick_nm > depths[1] - depths[0]:
        return [(("z_nm",), too_thick(name, thick_nm, depths))]
    if not card.facts.get("points"):
        return []
    try:
        points(structure, field_nm, depths)
    except SmlmBenchError as error:
        return [(("structure", "path"), str(error))]
    return []


def thickness_nm(card: Card, settings: Settings) -> float:
    """How much depth a structure needs: the fact `thickness_nm`, what it has `least` and so much for each setting."""
    stated: Mapping[str, float] = card.facts.get("thickness_nm", {})
    largest = {key: settings[key] for key in stated if key != "least"}
    largest = {key: value["max"] if isinstance(value, Mapping) else value for key, value in largest.items()}
    return float(stated.get("least", 0.0) + sum(stated[key] * value for key, value in largest.items()))


def too_thick(name: str, thick_nm: float, depths: Depths) -> str:
    """That depths do not hold a structure."""
    said = f"'{name}' is {thick_nm:g} nm thick, the depths {depths[0]:g} to {depths[1]:g} nm are less"
    return f"{said}; give more depths, or one number as z_nm, at which all of it is seen"


def points(settings: Settings, field_nm: float, depths: Depths) -> NDArray[np.float64]:
    """The points (3, n) of a user's table, all inside a square field and, where there is more than one, its depths.

    Raises:
        ConfigError: No table, no points, or some outside; FormatError: it cannot be read.
    """
    path = Path(settings["path"])
    absent = missing(path, "table") if settings["path"] else "no table of points is given; write path: FILE"
    if absent is not None:
        raise ConfigError(absent)
    seen = path.stat()
    told_of = tuple(settings["columns"]), settings["origin"], settings["pixel_size_nm"], settings["format"] or None
    table = _read(path, (seen.st_size, seen.st_mtime_ns), *told_of)
    if not len(table):
        raise ConfigError(f"'{path.name}' holds no points; give a table with some")
    for axis, values in (("x", table.x_nm), ("y", table.y_nm)):
        low, high = float(values.min()), float(values.max())
        if low < 0 or high >= field_nm:
            said = f"the points of '{path.name}' go from {axis} {low:,.0f} to {high:,.0f} nm, the field has 0 to"
            raise ConfigError(f"{said} {field_nm:,.0f} nm; give a larger field_px, or a table of this field")
    if depths[0] < depths[1]:
        low, high = float(table.z_nm.min()), float(table.z_nm.max())
        if not np.isfinite(table.z_nm).all():
            raise ConfigError(f"points of '{path.name}' have no depth; give a column z_nm, or one number as z_nm here")
        if low < depths[0] or high > depths[1]:
            said = f"the points of '{path.name}' go from z {low:,.0f} to {high:,.0f} nm"
            raise ConfigError(f"{said}, outside of z_nm {depths[0]:g} to {depths[1]:g} nm; give more depths")
    return np.stack((table.x_nm, table.y_nm, table.z_nm))


@lru_cache(maxsize=4)
def _read(
    path: Path,
    _seen: tuple[int, int],
    columns: tuple[str, ...],
    origin: Literal["format", "corner", "centre"],
    pixel_size_nm: float | None,
    format: str | None,
) -> Localizations:
    """A table of points, with or without frames; read once while its size and time stay."""
    named = {}
    for text in columns:
        key, equals, header = str(text).partition("=")
        if not equals:
            raise ConfigError(f"columns: '{text}' names no column; write for example 'x_nm=pos x [nm]'")
        named[key.strip()] = header.strip()
    own = None if origin == "format" else origin
    options = TableOptions(pixel_size_nm=pixel_size_nm, columns=named or None, origin=own, timeless=True)
    try:
        return read_table(path, catalog=Catalog(), format=format, options=options)
    except OSError as error:
        raise FormatError(unreadable(path, error)) from None
