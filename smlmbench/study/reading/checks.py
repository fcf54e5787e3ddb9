"""Checks of the files that a study names, before anything heavy is imported: a cheap look, seconds at most."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from smlmbench.errors import SizeError, SmlmBenchError, suggest
from smlmbench.registry import Catalog
from smlmbench.study.reading.problems import Problems, Where, dotted
from smlmbench.study.schema import DataEntry, Scoring
from smlmbench.study.sources import ImagesSource, MovieSource, Source
from smlmbench.study.sources.pairs import check_values, cut_pairs, measure, units_of
from smlmbench.study.sources.parts import cut, pair_roles, roles

X_WORD = re.compile(r"x.*|(?:pos|position|loc|coord|cent(?:er|re|roid))x")
MIN_SCORED_PX = 8  # columns that must remain inside the scoring border
TEXT_SUFFIXES = {".csv", ".tsv", ".txt"}


class Files:
    """Looks at the files of sources, each file once.

    Attributes:
        catalog: Registered formats.
        problems: Where every problem is noted; nothing is raised.
    """

    def __init__(self, catalog: Catalog, problems: Problems) -> None:
        self.catalog = catalog
        self.problems = problems
        self._shapes: dict[Path, tuple[int, int, int] | str] = {}
        self._ratios: dict[tuple[Path, Path], int] = {}

    def source(self, where: Where, source: Source) -> None:
        """Note what is wrong with the files of one source."""
        if isinstance(source, ImagesSource):
            self._pairs((*where, "images"), source)
        if not isinstance(source, MovieSource):
            return
        shape = self.movie((*where, "movie"), source.movie)
        if shape is not None and min(shape[1:]) < source.crop_px:
            said = f"frames of {shape[2]} x {shape[1]} px are smaller than crops of {source.crop_px} px"
            self.problems.add((*where, "crop_px"), f"{said}; give at most {min(shape[1:])}")
        if source.truth is None:
            said = "required and not given; a movie without truth can only be predicted, list it under apply"
            self.problems.add((*where, "truth"), said)
        else:
            self._table((*where, "truth"), source, source.truth)

    def movie(self, where: Where, path: Path) -> tuple[int, int, int] | None:
        """Frames, height and width of a movie that opens, else None and a problem."""
        if path not in self._shapes:
            self._shapes[path] = _missing(path, "movie") or self._opened(path)
        shape = self._shapes[path]
        if isinstance(shape, str):
            self.problems.add(where, shape)
            return None
        return shape

    def split(self, where: Where, entry: DataEntry) -> None:
        """Note where files are too small to cut validation and test from them, or are used twice."""
        source = entry.train
        others = [("val", entry.val), *((f"test.{name}", test) for name, test in entry.test.items())]
        for name, other in others:
            if other is not None and other.has_positions != source.has_positions:
                said = "image pairs have no positions, simulations and movies have no target images"
                todo = "give train, val and test of one kind, other data under another name"
                self.problems.add((*where, *name.split(".", 1)), f"{said}; {todo}")
        if isinstance(source, ImagesSource):
            self._split_pairs(where, entry, source)
        if not isinstance(source, MovieSource):
            return
        for name, other in others:
            if isinstance(other, MovieSource) and other.movie == source.movie:
                said = f"'{other.movie.name}' is also the training movie, so scores would show memory"
                self.problems.add(
                    (*where, *name.split(".", 1)), f"{said}; leave it out and it is cut from the training movie"
                )
        shape = self._shapes.get(source.movie)
        if isinstance(shape, tuple):
            self._parts((*where, "train"), entry, source, shape)

    def _pairs(self, where: Where, source: ImagesSource) -> None:
        """Note what keeps two folders from being pairs."""
        lacking = {key: _no_folder(getattr(source, key), key) for key in ("input", "target")}
        for key, said in lacking.items():
            if said is not None:
                self.problems.add((*where, key), said)
        if any(lacking.values()):
            return
        try:
            measured = measure(source)
            check_values(measured)
        except SmlmBenchError as error:
            self.problems.add(where, str(error))
            return
        smallest = min(min(page.height, page.width) for page in measured.pages)
        if smallest < source.crop_px:
            said = f"inputs have sides down to {smallest} px, crops have {source.crop_px} px"
            self.problems.add((*where, "crop_px"), f"{said}; give at most {smallest}")
        self._ratios[source.input, source.target] = measured.ratio

    def _split_pairs(self, where: Where, entry: DataEntry, source: ImagesSource) -> None:
        """Note where pairs are too few to be cut, are used twice, or have another ratio than those of training."""
        ratio = self._ratios.get((source.input, source.target))
        for name, other in [("val", entry.val), *((f"test.{name}", test) for name, test in entry.test.items())]:
            if not isinstance(other, ImagesSource):
                continue
            at = (*where, *name.split(".", 1), "images")
            if source.input in (other.input, other.target) or source.target in (other.input, other.target):
                said = f"'{other.input.name}' is also trained on, so scores would show memory"
                self.problems.add(at, f"{said}; leave it out and it is cut from the training pairs")
            theirs = self._ratios.get((other.input, other.target))
            if ratio is not None and theirs is not None and ratio != theirs:
                said = f"targets are {theirs} times as large as inputs, those of train {ratio} times"
                self.problems.add(at, f"{said}; give pairs of one ratio")
        for part in pair_roles(entry).values() if ratio is not None else ():
            try:
                cut_pairs(units_of(measure(source).pages, part), part)
            except SmlmBenchError as error:
                self.problems.add((*where, "train", "images"), str(error))
                return

    def upsampling(self, where: Where, entry: DataEntry, named: Any) -> None:
        """Note where `output.upsampling`, as read, leaves out what the targets of image pairs ask for."""
        source = entry.train
        ratio = self._ratios.get((source.input, source.target)) if isinstance(source, ImagesSource) else None
        wanted = named if isinstance(named, list) else [named]
        if ratio is None or named is None or ratio in wanted:
            return
        said = f"{', '.join(map(str, wanted))}, but the targets of {dotted(where)} are {ratio} times as large as inputs"
        self.problems.add(("output", "upsampling"), f"{said}; leave it out, or give {ratio}")

    def _parts(self, where: Where, entry: DataEntry, source: MovieSource, shape: tuple[int, int, int]) -> None:
        scored = MIN_SCORED_PX + math.ceil(2 * Scoring().border_nm / source.pixel_size_nm)
        for role, part in roles(entry).items():
            needed = source.crop_px if role == "train" else scored
            try:
                block = cut(part, n_frames=shape[0], width_px=shape[2])
            except SizeError as error:
                self.problems.add(where, f"'{source.movie.name}': {error}")
                return
            if block.x1 - block.x0 < needed:
                said = f"'{source.movie.name}' is {shape[2]} px wide: its {role} block of {block.x1 - block.x0} px"
                todo = "give val and test of their own, a smaller crop_px or guard_px, or `split: frames`"
                self.problems.add(where, f"{said} needs {needed} px beside guards of {part.guard_px} px; {todo}")
                return

    def _opened(self, path: Path) -> tuple[int, int, int] | str:
        from smlmbench.formats import open_movie

        try:
            movie = open_movie(path, catalog=self.catalog)
        except SmlmBenchError as error:
            return str(error)
        except OSError as error:
            return _unreadable(path, error)
        try:
            shape = (movie.n_frames, movie.height, movie.width)
        finally:
            movie.close()
        return shape if min(shape) > 0 else f"'{path}' holds no frames; give a movie"

    def _table(self, where: Where, source: MovieSource, path: Path) -> None:
        from smlmbench.formats import find

        missing = _missing(path, "truth")
        if missing is not None:
            self.problems.add(where, missing)
            return
        before = len(self.problems)
        self._columns(where, path, source.columns or {})
        if len(self.problems) > before:
            return
        try:
            find(path, "table", catalog=self.catalog, format=source.truth_format, takes_columns=bool(source.columns))
        except SmlmBenchError as error:
            self.problems.add(where, str(error))
        except OSError as error:
            self.problems.add(where, _unreadable(path, error))

    def _columns(self, where: Where, path: Path, columns: Mapping[str, str]) -> None:
        header = text_header(path)
        if header is None:
            return
        has = ", ".join(header[:12])
        for key, name in columns.items():
            if name not in header:
                said = f"'{name}' is not a column of '{path.name}'; it has {has}"
                self.problems.add((*where[:-1], "columns", key), said)
        if not any(key.startswith("x") for key in columns) and not any(_is_x(cell) for cell in header):
            said = f"'{path.name}' has no column for x; it has {has}"
            self.problems.add(where, f"{said}; name it with columns: {{x_nm: ..., y_nm: ..., frame: ...}}")


def check_files(
    sources: Sequence[tuple[Where, Source]],
    entries: Sequence[tuple[Where, DataEntry]],
    catalog: Catalog,
    problems: Problems,
    output: Mapping[str, Any] | None = None,
) -> None:
    """Note every problem of the files of a study: absent, unreadable, without positions, too small, of another grid.

    Args:
        sources: Every valid source with its place.
        entries: The data sets of these with their places.
        catalog: Registered formats.
        problems: Where they are noted.
        output: The study's block, as read.
    """
    files = Files(catalog, problems)
    for where, source in sources:
        files.source(where, source)
    for where, entry in entries:
        for index, path in enumerate(entry.apply):
            files.movie((*where, "apply", index), path)
        files.split(where, entry)
        files.upsampling(where, entry, (output or {}).get("upsampling"))


def check_there(files: Sequence[tuple[Where, Path]], problems: Problems) -> None:
    """Note the absent ones among files whose description has other problems already."""
    for where, path in files:
        missing = _missing(path, str(where[-1]))
        if missing is not None:
            problems.add(where, missing)


def text_header(path: Path) -> list[str] | None:
    """Names of the columns of a text table, or None where the file is binary or begins with numbers.

    Only the head is read; which number a column holds is the adapter's business.
    """
    from smlmbench.formats.text import read_head

    if path.suffix.lower() not in TEXT_SUFFIXES or path.is_dir():
        return None
    try:
        cells = [header.text for header in read_head(path).headers]
    except SmlmBenchError:
        return None
    return None if not cells or any("\0" in cell for cell in cells) or all(map(_is_number, cells)) else cells


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return not cell
    return True


def _is_x(cell: str) -> bool:
    return any(X_WORD.fullmatch(word) for word in re.split(r"[^a-z0-9]+", cell.lower()))


def _missing(path: Path, key: str) -> str | None:
    folder = "folder of images"
    what = {"truth": "table", "movie": "movie", "input": folder, "target": folder}.get(key, "file")
    if not path.exists():
        near = suggest(path.name, [file.name for file in path.parent.iterdir()]) if path.parent.is_dir() else ""
        hint = near if near.startswith("did") else f"give the path of a {what}, relative to the data root"
        return f"'{path}' does not exist; {hint}"
    if path.is_dir() and not any(path.iterdir()):
        return f"folder '{path}' is empty; give a {what}"
    if path.is_file() and path.stat().st_size == 0:
        return f"'{path}' is an empty file; give a {what}"
    return None


def _no_folder(path: Path, key: str) -> str | None:
    missing = _missing(path, key)
    if missing is None and not path.is_dir():
        return f"'{path}' is a file; give the folder that holds the images"
    return missing


def _unreadable(path: Path, error: OSError) -> str:
    return f"'{path}' cannot be read: {error.strerror or error}; check the file and its rights"
