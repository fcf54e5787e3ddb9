"""TIFF movies that are more than the pages of the given file, or ordered otherwise.

These are OME-TIFF and NDTiff sets, and stacks that Micro-Manager cut at 4 GB before it wrote metadata.

The order of the frames is that of the metadata, else of the files' numbers; every file must lie beside the given one.
One file alone is read where its format is named as `tiff`. OME-TIFF with its pages in order is an ordinary TIFF movie.
"""

import re
from pathlib import Path
from typing import Any

from smlmbench.errors import FormatError, SmlmBenchError, unreadable
from smlmbench.formats import tiff
from smlmbench.formats.tiff_parts import PartsMovie, Place, pages_of

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Movie of several TIFF files (OME, NDTiff, Micro-Manager), or of pages out of order, given by one file.",
    "facts": {
        "holds": "movie",
        "suffixes": [".tif", ".tiff"],
        "writes": False,
        "first_frame": 0,
        "origin": "corner",
        "has_companions": True,
    },
}

FILE_NAME = re.compile(r'<(?:\w+:)?UUID\b[^>]*\bFileName="([^"]+)"')
MASTER = re.compile(r'<(?:\w+:)?BinaryOnly\b[^>]*\bMetadataFile="([^"]+)"')
CUT = re.compile(r"(.*(?:_MMStack|NDTiffStack).*?)((?:\.ome)?\.tiff?)", re.IGNORECASE)
IMAGE = re.compile(r"<(?:\w+:)?Image\b")
PLANES = re.compile(r"<(?:\w+:)?TiffData\b([^>]*)")
NUMBER = re.compile(r'\b(IFD|First[TZC]|PlaneCount)="(\d+)"')
NOT_SAID = {"IFD": "0", "FirstT": "0", "FirstZ": "0", "FirstC": "0", "PlaneCount": "1"}


def recognises(path: Path) -> bool:
    """It is a part of a set, or its metadata state several images, or frames that are not its pages in order."""
    if not tiff.recognises(path):
        return False
    text = _metadata(path)
    if len(_named(text)) > 1 or _master(path, text) != path:
        return True
    if _in_order(text):
        return False
    try:
        images = _images(path)
    except FileNotFoundError:
        return True  # a file that an index names
    except Exception:  # whatever is wrong with the file, the reader of plain TIFF says it
        return False
    return images != [[(path, page) for page in range(len(images[0]))]] if images else bool(_parts(path))


def open_movie(path: Path) -> PartsMovie:
    """Open all files of a set (FormatError: one is absent or of another shape, or no single grey movie)."""
    return PartsMovie(path, _places(path))


def companions(path: Path) -> list[Path]:
    """The other files that the movie is made of, sorted by name; those that are absent are left out."""
    others = {path.parent / name for name in _named(_metadata(path))}
    if not others and recognises(path):
        try:
            others = {file for file, _ in _places(path)} | {path.with_name("NDTiff.index")}
        except SmlmBenchError:
            return []
    return sorted(file for file in others - {path} if file.is_file())


def _metadata(path: Path) -> str:
    """OME metadata; empty for what is no OME-TIFF, or cannot be read."""
    import tifffile

    if not path.is_file() or not tiff.recognises(path):
        return ""
    try:
        with tifffile.TiffFile(path) as file:
            return str(file.ome_metadata or "") if file.is_ome else ""
    except Exception:
        return ""


def _named(text: str) -> set[str]:
    """Names of the files in OME metadata."""
    return {name.replace("\\", "/").rsplit("/", 1)[-1] for name in FILE_NAME.findall(text)}


def _master(path: Path, text: str) -> Path:
    """The file that holds the metadata: another one where these only point to it."""
    found = MASTER.search(text)
    return path.with_name(found[1].replace("\\", "/").rsplit("/", 1)[-1]) if found else path


def _in_order(text: str) -> bool:
    """Whether OME metadata say at a glance that the frames are the file's pages in order; tifffile takes its time."""
    stated = [[pair for pair in NUMBER.findall(each) if pair[1] != NOT_SAID[pair[0]]] for each in PLANES.findall(text)]
    planes = [{name: int(value) for name, value in each} for each in stated]
    if len(IMAGE.findall(text)) != 1:
        return False
    if len(planes) == 1 and planes[0].keys() <= {"PlaneCount"}:  # all pages, or as many from the first on
        return True
    return bool(planes) and all(each == ({"IFD": k, "FirstT": k} if k else {}) for k, each in enumerate(planes))


def _images(path: Path) -> list[list[Place | None]]:
    """Where the frames of each image are that the metadata state, without those at the end that were never taken."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        images, planes = [], len(PLANES.findall(file.ome_metadata or "")) if file.is_ome else 0
        for one in file.series if file.is_ome or file.is_ndtiff else ():
            pages = list(one.pages)
            while len(pages) > planes and pages[-1] is None:
                pages.pop()
            name = [
                None if page is None else (path.with_name(page.parent.filehandle.name), page.index) for page in pages
            ]
            images.append(name)
        return images


def _parts(path: Path) -> list[Path]:
    """The files of a stack that Micro-Manager cut: NAME, NAME_1, NAME_2 ...; empty where it is one file.

    Those that must have been between others are named though they are absent.
    """
    found = CUT.fullmatch(path.name)
    stem, suffix = found.groups() if found else ("", "")
    for base in (stem, re.sub(r"_\d+$", "", stem)) if found else ():
        named = re.compile(re.escape(base) + r"_([1-9]\d*)" + re.escape(suffix))
        last = max((int(part[1]) for file in path.parent.iterdir() if (part := named.fullmatch(file.name))), default=0)
        parts = [path.with_name(base + suffix), *(path.with_name(f"{base}_{k}{suffix}") for k in range(1, last + 1))]
        if last and parts[0].is_file() and path in parts:
            return parts
    return []


def _places(path: Path) -> list[Place]:
    """File and page of every frame, in the order of the metadata, else of the parts."""
    source = _master(path, _metadata(path))
    _check_present(path, {source.name, *_named(_metadata(source))})
    try:
        images = _images(source)
    except Exception as error:
        raise unreadable(path, "TIFF set", error) from None
    if not images:
        parts = _parts(path)
        _check_present(path, {part.name for part in parts})
        return pages_of(parts)
    if len(images) != 1:
        raise FormatError(f"'{path.name}' holds {len(images)} images; save each as a movie of its own")
    places = [place for place in images[0] if place is not None]
    stated = len(images[0])
    if len(places) < stated or not places:
        raise FormatError(
            f"the metadata of '{path.name}' state {stated} frames but {stated - len(places)} are in no file;"
            " copy all files again, or convert this one with --from tiff"
        )
    return places


def _check_present(path: Path, named: set[str]) -> None:
    missing = sorted(name for name in named if not path.with_name(name).is_file())
    if missing:
        raise FormatError(
            f"'{path.name}' is part of a movie whose other files are not beside it: {', '.join(missing[:3])}"
            f"{' ...' if len(missing) > 3 else ''}; copy them there, or convert this one with --from tiff"
        )
