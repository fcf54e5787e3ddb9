"""Image pairs: two folders become pairs by name, their ratio is measured, parts are cut; heads of files only."""

import hashlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from smlmbench.errors import ConfigError, FormatError, PairingError, SizeError, SmlmBenchError
from smlmbench.formats.pages import image_files, open_pages
from smlmbench.study.digests import canonical, file_digest
from smlmbench.study.sources.description import Share

RATIOS = (1, 2, 4, 8)
SMALLEST_PX = 8
NAMED = 3  # names in a message


class PairsPart(Share):
    """A part cut from image pairs by `files`, or by `pages` where every page shows something new (`track: iid`)."""

    rule: Literal["files", "pages"]


@dataclass(frozen=True, slots=True)
class Page:
    """One pair: a page of an input file and the same page of the target file, with the input's size."""

    name: str
    input: Path
    target: Path
    number: int
    n_pages: int
    height: int
    width: int

    @property
    def label(self) -> str:
        """Its name, with the page where the files have several."""
        return self.name if self.n_pages == 1 else f"{self.name}[{self.number}]"


@dataclass(frozen=True, slots=True)
class Measured:
    """All pairs of two folders in natural order; `ratio` is a target's side over its input's, `floats` need a look."""

    pages: tuple[Page, ...]
    ratio: int
    floats: tuple[Path, ...]


_measured: dict[Any, Measured] = {}


def measure(given: Path, wanted: Path) -> Measured:
    """Pair the files of two folders by their names and measure them; remembered while names, sizes and times stay.

    Raises:
        PairingError: Names or numbers of pages that do not match.
        FormatError: A folder without images, a file that cannot be read, colour.
        SizeError: Targets that are not 1, 2, 4 or 8 times as large as their inputs, all alike.
    """
    if given == wanted:
        raise PairingError(f"input and target are both '{given}'; give two folders")
    try:
        files = [_by_name(folder) for folder in (given, wanted)]
        key = tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for one in files for path in one.values())
    except OSError as error:
        said = f"'{error.filename}' cannot be read: {error.strerror}"
        raise FormatError(f"{said}; check the folder and its rights") from None
    if key not in _measured:
        _measured[key] = _paired(given, wanted, *files)
    return _measured[key]


def check_values(measured: Measured) -> None:
    """Look for NaN and infinity in files of floating-point numbers; a FormatError for the first one found."""
    for path in measured.floats:
        with closing(open_pages(path)) as movie:
            for number in range(movie.n_frames):
                if not np.isfinite(movie.read(number, number + 1)).all():
                    raise FormatError(f"'{_shown(path)}' page {number} has NaN or infinite pixels; put numbers there")


def pages_of_part(pages: tuple[Page, ...], part: PairsPart | None) -> tuple[Page, ...]:
    """The pairs of a part, in their order; a SizeError where they are too few to be cut."""
    if part is None:
        return pages
    units = units_of(pages, part)
    roles = cut_pairs(units, part)
    return tuple(page for page, unit in zip(pages, units, strict=True) if roles[unit] == part.role)


def cut_pairs(units: Sequence[str], part: PairsPart) -> dict[str, str]:
    """The role of each unit, by the order of the hashes of their names: the same on every machine, for every seed.

    A SizeError where no unit would be left for training.
    """
    ranked = sorted(dict.fromkeys(units), key=lambda unit: hashlib.sha256(unit.encode()).hexdigest())
    val, test = (max(1, round(share * len(ranked))) if share > 0 else 0 for share in (part.val, part.test))
    if len(ranked) - val - test < 1:
        shares = (("train", 1.0), ("val", part.val), ("test", part.test))
        *others, last = [name for name, share in shares if share > 0]
        more = "" if part.rule == "pages" else ", or track: iid if every page shows something new"
        count = f"{len(ranked)} pair{'s' if len(ranked) > 1 else ''} of {part.rule} with targets of their own"
        said = f"{count} cannot be cut into {', '.join(others)} and {last}"
        raise SizeError(f"{said}; give more pairs, or folders of their own{more}")
    roles = [*["val"] * val, *["test"] * test, *["train"] * (len(ranked) - val - test)]
    return dict(zip(ranked, roles, strict=True))


def units_of(pages: Sequence[Page], part: PairsPart) -> list[str]:
    """What each pair is cut with: its file, or itself alone where every page shows something new.

    Files with one and the same target (many inputs of one scene) are one unit, so that no part sees another's target.
    """
    if part.rule == "pages":
        return [f"{page.name}#{page.number}" for page in pages]
    first: dict[str, str] = {}
    return [first.setdefault(file_digest(page.target), page.name) for page in pages]


def pairs_identity(measured: Measured) -> str:
    """sha256 over names and bytes of the pairs; the folders' own names do not count."""
    files = dict.fromkeys((page.name, page.input, page.target) for page in measured.pages)
    listed = [[name, file_digest(given), file_digest(wanted)] for name, given, wanted in files]
    return hashlib.sha256(canonical(listed).encode()).hexdigest()


def _by_name(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in image_files(folder):
        if file.stem in found:
            said = f"'{found[file.stem].name}' and '{file.name}' of '{folder.name}' have one name"
            raise PairingError(f"{said}; pairs are made by name without suffix, rename one")
        found[file.stem] = file
    return found


def _paired(given: Path, wanted: Path, inputs: dict[str, Path], targets: dict[str, Path]) -> Measured:
    for ours, theirs, here, there in ((inputs, targets, given, wanted), (targets, inputs, wanted, given)):
        alone = [name for name in ours if name not in theirs]
        if alone:
            seen = f" ({_first(list(theirs))})" if len(alone) == len(ours) else ""
            ours_in, theirs_in = (here.name, there.name) if here.name != there.name else (_shown(here), _shown(there))
            said = f"{len(alone)} of {len(ours)} images of '{ours_in}' have no partner in '{theirs_in}'{seen}"
            todo = "an input and its target have the same name without suffix"
            raise PairingError(f"{said}: {_first(alone)}; {todo}")
    pages: list[Page] = []
    floats: list[Path] = []
    first: tuple[str, int] | None = None
    for name, path in inputs.items():
        (n, height, width, kind), other = _shape(path), _shape(targets[name])
        if n != other[0]:
            raise PairingError(f"'{name}' has {n} pages as input and {other[0]} as target; give one target per page")
        ratio = _ratio(name, (height, width), other[1:3])
        if first is not None and ratio != first[1]:
            said = f"the target of '{first[0]}' is {first[1]} times as large as its input"
            raise SizeError(f"{said}, that of '{name}' {ratio} times; give pairs of one ratio")
        first = first or (name, ratio)
        floats += [one for one, dtype in ((path, kind), (targets[name], other[3])) if dtype == "f"]
        pages += [Page(name, path, targets[name], page, n, height, width) for page in range(n)]
    if first is None:
        raise ConfigError(f"'{given}' has no images; give a folder of images")
    return Measured(tuple(pages), first[1], tuple(floats))


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def _shape(path: Path) -> tuple[int, int, int, str]:
    """Pages, height, width and kind of numbers of a file."""
    try:
        with closing(open_pages(path)) as movie:
            return movie.n_frames, movie.height, movie.width, movie.dtype.kind
    except SmlmBenchError as error:
        raise type(error)(str(error).replace(f"'{path.name}'", f"'{_shown(path)}'", 1)) from None


def _shown(path: Path) -> str:
    """A path with its folder: inputs and targets have the same names."""
    return f"{path.parent.name}/{path.name}"


def _ratio(name: str, given: tuple[int, int], wanted: tuple[int, int]) -> int:
    ratio, said = wanted[0] // given[0], f"'{name}': the input has {given[1]} x {given[0]} px"
    if ratio not in RATIOS or wanted != (given[0] * ratio, given[1] * ratio):
        todo = f"a target is {', '.join(map(str, RATIOS[:-1]))} or {RATIOS[-1]} times as large on both sides"
        raise SizeError(f"{said}, the target {wanted[1]} x {wanted[0]} px; {todo}")
    if min(given) < SMALLEST_PX:
        raise SizeError(f"{said}; give sides of at least {SMALLEST_PX} px")
    return ratio
