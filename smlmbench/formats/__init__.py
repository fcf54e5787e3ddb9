"""Tables, movies and images of the field, one file per format; found by suffix and content, or named.

Every adapter turns what it reads into one convention: nm from the outer corner of pixel (0, 0), x along the last axis,
frames from 0, detected photo-electrons.
"""

import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError, LossWarning, suggest
from smlmbench.formats.options import TableOptions
from smlmbench.formats.seen import seen
from smlmbench.formats.text import listed
from smlmbench.formats.units import at_origin
from smlmbench.movies import Movie
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog

__all__ = [
    "TableOptions",
    "companions",
    "find",
    "holds_of",
    "kinds",
    "open_movie",
    "read_image",
    "read_table",
    "write_image",
    "write_movie",
    "write_table",
    "writer",
]

KINDS = ("table", "movie", "image")
NO_OPTIONS = TableOptions()
FAMILIES = {"text": {".csv", ".tsv", ".txt", ".tab", ".xls"}, "hdf5": {".h5", ".hdf5", ".hdf", ".he5"}}
Facts = dict[str, dict[str, Any]]


def read_table(
    path: Path,
    *,
    catalog: Catalog,
    format: str | None = None,
    options: TableOptions = NO_OPTIONS,
    names_unread: bool = False,
) -> Localizations:
    """Read a localization table; named columns need a format that takes them, a stated origin wins over the format's.

    With `names_unread` a LossWarning names all columns of the file that become none of ours, but for those that its
    format says mean nothing (numbers of rows). So do those who are given one file and asked for all of it; a study,
    which reads the same table in every process and takes what its task needs, does not.

    Raises:
        FormatError: No file, no format fits, or the file is odd.
        PairingError: The table is longer than the movie that `options` states.
    """
    path = Path(path)
    name = find(path, "table", catalog=catalog, format=format, takes_columns=bool(options.columns))
    module = catalog.module("formats", name)
    with np.errstate(invalid="ignore"):  # a broken cell is looked for afterwards
        table: Localizations = module.read_table(path, options)
    if names_unread and (unread := module.unread(path, options)):
        said = f"table '{path.name}': not read: {listed(unread)} (no column of ours)"
        warnings.warn(said, LossWarning, stacklevel=2)
    return at_origin(path, table, catalog.card("formats", name).facts.get("origin", "corner"), options)


def write_table(
    locs: Localizations, path: Path, *, catalog: Catalog, format: str | None = None, options: TableOptions = NO_OPTIONS
) -> None:
    """Write a localization table (errors as `writer`; FormatError: the file cannot be written)."""
    path = Path(path)
    catalog.module("formats", writer(path, "table", catalog=catalog, format=format)).write_table(locs, path, options)


def open_movie(path: Path, *, catalog: Catalog, format: str | None = None) -> Movie:
    """Open a movie, a file or a folder of frames; the caller closes it (errors as `find`; FormatError: it is odd)."""
    path = Path(path)
    movie: Movie = catalog.module("formats", find(path, "movie", catalog=catalog, format=format)).open_movie(path)
    return movie


def read_image(
    path: Path, *, catalog: Catalog, format: str | None = None, settings: Mapping[str, Any] | None = None
) -> NDArray[np.float32]:
    """Read one image as float32 (H, W) under settings of its format's card, e.g. {variable: Recovery}.

    Raises:
        FormatError: No file, no format fits, or the file is odd.
        ConfigError: A setting that the format does not have.
    """
    path = Path(path)
    name = find(path, "image", catalog=catalog, format=format)
    filled = catalog.card("formats", name).fill(name, settings or {})
    with np.errstate(invalid="ignore", over="ignore"):  # a number beyond single precision is infinite
        image: NDArray[np.float32] = catalog.module("formats", name).read_image(path, filled)
    return image


def write_image(
    path: Path, array: NDArray[np.floating], pixel_nm: float, *, catalog: Catalog, format: str | None = None
) -> None:
    """Write one image (H, W) with its pixel size (errors as `writer`; FormatError: the file cannot be written)."""
    path = Path(path)
    name = writer(path, "image", catalog=catalog, format=format)
    catalog.module("formats", name).write_image(path, array, pixel_nm)


def write_movie(
    movie: Movie,
    path: Path,
    *,
    catalog: Catalog,
    format: str | None = None,
    pixel_nm: float | None = None,
    on_frames: Callable[[int], None] | None = None,
) -> None:
    """Copy a movie into a file block by block (errors as `writer`; FormatError: the file cannot be written)."""
    path = Path(path)
    name = writer(path, "movie", catalog=catalog, format=format)
    catalog.module("formats", name).write_movie(movie, path, pixel_nm, on_frames)


def companions(path: Path) -> list[Path]:
    """The files beside a file that its content depends on: sidecars of its card, further files of one movie.

    Only formats of the package are looked at, so that a file has one identity in every study.
    """
    path = Path(path)
    found: list[Path] = []
    for name, facts in _with_companions(path.suffix.lower()).items():
        beside = [path.with_suffix(suffix) for suffix in facts.get("sidecars", [])]
        found += [file for file in beside if file.is_file()]
        if facts.get("has_companions") and path.is_file():
            found += Catalog().module("formats", name).companions(path)
    return found


@lru_cache
def _with_companions(suffix: str) -> Facts:
    return {
        name: facts
        for name, facts in _facts(Catalog()).items()
        if _may_be(suffix, facts) and (facts.get("sidecars") or facts.get("has_companions"))
    }


def find(path: Path, holds: str, *, catalog: Catalog, format: str | None = None, takes_columns: bool = False) -> str:
    """Name the format of a table, movie or image: an existing file, or a folder where a format takes folders.

    A format that the user gives wins over suffix and content; with `takes_columns` only those count whose columns the
    user may name.

    Raises:
        FormatError: No file, no or several formats fit, or the named one holds something else.
    """
    offered, limit = _facts(catalog, holds), ""
    folder = path.is_dir()
    if folder:
        offered, limit = _with_fact(offered, "takes_folders"), " of folders"
    else:
        _check_file(path, holds)
        if takes_columns:
            offered, limit = _with_fact(offered, "takes_columns"), " with columns of your own"
    if format is not None and (offered or not folder):
        return _named(format, holds, offered, limit)
    fitting = [
        name
        for name, facts in offered.items()
        if (folder or _may_be(path.suffix.lower(), facts)) and catalog.module("formats", name).recognises(path)
    ]
    exact = [name for name in fitting if not offered[name].get("fallback")] or fitting
    if len(exact) == 1:
        return exact[0]
    if folder:
        also = f", or a folder of {_listed(offered)}" if offered else ""
        raise FormatError(f"{holds} '{path}' is a folder; give a file{also}")
    if exact:
        raise FormatError(f"{holds} '{path.name}' may be {' or '.join(exact)}; name its format")
    raise FormatError(f"{holds} '{path.name}' is of no known format: {_declined(path, offered, catalog)}")


def holds_of(format: str, *, catalog: Catalog) -> str:
    """What a format holds: table, movie or image (FormatError: no format of that name; the nearest is named)."""
    names = catalog.names("formats")
    if format not in names:
        raise FormatError(f"'{format}' is not a format; {suggest(format, names)}")
    return str(catalog.card("formats", format).facts["holds"])


def kinds(path: Path, *, catalog: Catalog) -> list[str]:
    """What a file may hold by its suffix, and by its content where a suffix has several: of `KINDS`, in that order."""
    suffix = path.suffix.lower()
    fitting = {name: facts["holds"] for name, facts in _facts(catalog).items() if suffix in facts["suffixes"]}
    if len(set(fitting.values())) > 1 and path.is_file():
        known = {name: fitting[name] for name in fitting if catalog.module("formats", name).recognises(path)}
        fitting = known or fitting
    return [kind for kind in KINDS if kind in fitting.values()]


def writer(path: Path, holds: str, *, catalog: Catalog, format: str | None = None) -> str:
    """Name the format that a file is to be written in: the user's, else by suffix.

    Raises:
        FormatError: None or several formats fit, or the named one cannot be written.
    """
    offered = _with_fact(_facts(catalog, holds), "writes")
    if format is not None:
        return _named(format, holds, offered, " that can be written")
    fitting = [name for name, facts in offered.items() if path.suffix.lower() in facts["suffixes"]]
    if path.is_dir():
        raise FormatError(f"'{path}' is a folder; give the name of a file to write")
    if not fitting:
        raise FormatError(
            f"the suffix of '{path.name}' is that of no {holds} format that can be written;"
            f" accepted: {_listed(offered)}"
        )
    if len(fitting) > 1:
        raise FormatError(f"'{path.name}' may become {' or '.join(fitting)}; name the format to write")
    return fitting[0]


def _facts(catalog: Catalog, holds: str | None = None) -> Facts:
    """Facts of the formats, of those that hold a kind of thing where it is named, by name."""
    facts = {name: catalog.card("formats", name).facts for name in catalog.names("formats")}
    return {name: fact for name, fact in facts.items() if holds in (None, fact.get("holds"))}


def _may_be(suffix: str, facts: Mapping[str, Any]) -> bool:
    """Text tables are known by their header and HDF5 by what is in it, whatever of their kind they are called."""
    own = set(facts["suffixes"])
    return suffix in own or any(suffix in family and family & own for family in FAMILIES.values())


def _declined(path: Path, offered: Facts, catalog: Catalog) -> str:
    """What a file is, and why no format of its kind reads it, or which one would under another suffix."""
    kind, said = seen(path)
    family, suffix = FAMILIES.get(kind, set()), path.suffix.lower()
    near = {name: facts for name, facts in offered.items() if family & set(facts["suffixes"])}
    exact = [name for name, facts in near.items() if not facts.get("fallback") and not _may_be(suffix, facts)]
    inside = [name for name in exact if catalog.module("formats", name).recognises(path)]
    needs = [f"{name} needs {facts['known_by']}" for name, facts in near.items() if "known_by" in facts]
    if inside:
        return f"{said}; it has the content of {' or '.join(inside)}; name that format"
    if not kind and any(suffix in each for each in FAMILIES.values()):
        return f"{said}; convert it, or name its format"
    why = "; ".join(needs) if suffix in family and needs else f"accepted: {_listed(offered)}"
    return f"{said}; {why}; convert it, or name its format"


def _with_fact(offered: Facts, fact: str) -> Facts:
    return {name: facts for name, facts in offered.items() if facts.get(fact)}


def _listed(offered: Facts) -> str:
    return ", ".join(f"{name} ({' '.join(facts['suffixes']) or 'folder'})" for name, facts in offered.items())


def _named(format: str, holds: str, offered: Facts, limit: str) -> str:
    if format not in offered:
        near = suggest(format, offered)
        hint = f"{near} " if near.startswith("did you mean") else ""
        raise FormatError(f"'{format}' is not a {holds} format{limit}; {hint}accepted: {_listed(offered)}")
    return format


def _check_file(path: Path, holds: str) -> None:
    if not path.is_file():
        near = suggest(path.name, [file.name for file in path.parent.glob("*")]) if path.parent.is_dir() else ""
        hint = near if near.startswith("did you mean") else "check the path"
        raise FormatError(f"{holds} '{path}' does not exist; {hint}")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise FormatError(f"{holds} '{path}' cannot be opened: {error.strerror}; check its rights") from None
    if empty:
        raise FormatError(f"{holds} '{path}' is empty; copy or save it again")
