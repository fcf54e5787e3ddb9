"""TIFF movies that are more than the pages of the given file, or ordered otherwise.

These are OME-TIFF and NDTiff sets, and stacks that Micro-Manager cut at 4 GB before it wrote metadata.

The order of the frames is that of the metadata, else of the files' numbers; every file must lie beside the given one.
One file alone is read where its format is named as `tiff`. OME-TIFF with its pages in order is an ordinary TIFF movie.
"""

import re
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError, SmlmBenchError, unreadable
from smlmbench.formats import tiff
from smlmbench.movies import check_block

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
Place = tuple[Path, int]  # a file and the number of a page in it


class SetMovie:
    """An open set of files (a `Movie`); `path` is the one that was given."""

    def __init__(self, path: Path) -> None:
        """Open and check all files (FormatError: one is absent or of another shape, or no single grey movie)."""
        self.path, self._places = path, _places(path)
        self._files: dict[Path, tiff.TiffMovie] = {}
        try:
            for file, page in self._places:
                if file not in self._files:
                    self._files[file] = tiff.open_movie(file)
                self._check(self._files[file], page)
        except SmlmBenchError:
            self.close()
            raise
        first = self._files[self._places[0][0]]
        self.n_frames, self.height, self.width, self.dtype = len(self._places), first.height, first.width, first.dtype

    def _check(self, movie: tiff.TiffMovie, page: int) -> None:
        name, first = movie.path.name, self._files[self._places[0][0]]
        if movie.look != first.look:
            raise FormatError(
                f"'{name}' is {movie.look}, '{first.path.name}' is {first.look}; a movie has frames of one shape"
            )
        if page >= movie.n_frames:
            raise FormatError(
                f"'{self.path.name}' names page {page} of '{name}', which has {movie.n_frames}; copy all files again"
            )

    def read(self, start: int, stop: int) -> NDArray[np.generic]:
        """As every movie (SizeError: outside the movie; FormatError: a file has changed since it was opened)."""
        check_block(start, stop, self.n_frames)
        out = np.empty((stop - start, self.height, self.width), dtype=self.dtype)
        at = start
        while at < stop:
            file, page = self._places[at]
            count = 1
            while at + count < stop and self._places[at + count] == (file, page + count):
                count += 1
            out[at - start : at - start + count] = self._files[file].read(page, page + count)
            at += count
        return out

    def close(self) -> None:
        """Release the files."""
        for movie in self._files.values():
            movie.close()


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


def open_movie(path: Path) -> SetMovie:
    """Open all files of a set; see `SetMovie`."""
    return SetMovie(path)


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
    """The files of a stack that Micro-Manager cut: NAME, NAME_1, NAME_2 ...; empty where it is one file."""
    found = CUT.fullmatch(path.name)
    stem, suffix = found.groups() if found else ("", "")
    for base in (stem, re.sub(r"_\d+$", "", stem)) if found else ():
        parts = [path.with_name(base + suffix)]
        while (following := path.with_name(f"{base}_{len(parts)}{suffix}")).is_file():
            parts.append(following)
        if len(parts) > 1 and parts[0].is_file() and path in parts:
            return parts
    return []


def _places(path: Path) -> list[Place]:
    """File and page of every frame, in the order of the metadata, else of the parts."""
    source = _master(path, _metadata(path))
    named = {source.name, *_named(_metadata(source))}
    missing = sorted(name for name in named if not path.with_name(name).is_file())
    if missing:
        raise FormatError(
            f"'{path.name}' is part of a movie whose other files are not beside it: {', '.join(missing[:3])}"
            f"{' ...' if len(missing) > 3 else ''}; copy them there, or convert this one with --from tiff"
        )
    try:
        images = _images(source)
    except Exception as error:
        raise unreadable(path, "TIFF set", error) from None
    if not images:
        places: list[Place] = []
        for part in _parts(path):
            with closing(tiff.open_movie(part)) as movie:
                places += [(part, page) for page in range(movie.n_frames)]
        return places
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
