"""A user's movie with its truth table: what is written, how it is checked, where it is cut (PROTOCOL section 2)."""

import math
import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from smlmbench.camera import Camera
from smlmbench.errors import SizeError, SmlmBenchError
from smlmbench.formats import find, open_movie
from smlmbench.formats.text import read_head
from smlmbench.movies import BadPixels
from smlmbench.registry import Catalog
from smlmbench.study.digests import file_digest
from smlmbench.study.sources.description import (
    Description,
    Form,
    Look,
    NonNegative,
    Note,
    Place,
    Positive,
    Share,
    TruthKind,
    described,
    missing,
    unfit_maps,
    unreadable,
)
from smlmbench.study.sources.region import Acquisition, FrameRange, Region, Roi, Shape, region_of
from smlmbench.truths.misfit import AS_STATED, Reading

SMALLEST_PX = 8
MIN_SCORED_PX = 8  # columns that must remain inside the scoring border
X_WORD = re.compile(r"x.*|(?:pos|position|loc|coord|cent(?:er|re|roid))x")
TEXT_SUFFIXES = {".csv", ".tsv", ".txt"}


class Part(Share):
    """A part cut from one acquisition: `frames` are contiguous blocks, `columns` blocks of columns over all frames."""

    rule: Literal["frames", "columns"]
    guard_px: Annotated[int, Field(ge=0)] = 16  # gap between blocks of columns


@dataclass(frozen=True, slots=True)
class Cut:
    """Frames start .. stop - 1 and camera columns x0 .. x1 - 1 of a movie."""

    start: int
    stop: int
    x0: int
    x1: int


def cut(part: Part, *, n_frames: int, width_px: int) -> Cut:
    """Resolve a part on a movie: training first, then validation, then test, along frames or columns.

    Blocks of frames touch (positions are new in every frame); between blocks of columns lies the guard, and fractions
    are of what the guards leave. A SizeError where a block would be empty, or narrower than 8 columns.
    """
    frames = part.rule == "frames"
    size, guard, least = (n_frames, 0, 1) if frames else (width_px, part.guard_px, SMALLEST_PX)
    usable = size - guard * ((part.val > 0) + (part.test > 0))
    val, test = (max(least, round(share * usable)) if share > 0 else 0 for share in (part.val, part.test))
    train = usable - val - test
    if train < least:
        less = f" less guards of {guard} px" if guard else ""
        todo = "`track: iid` if every frame has new positions, or " if not frames else ""
        said = f"{size} {part.rule}{less} cannot be cut into parts of at least {least}"
        raise SizeError(f"{said}; give {todo}val and test of their own")
    first = {"train": 0, "val": train + guard, "test": size - test}[part.role]
    last = first + {"train": train, "val": val, "test": test}[part.role]
    return Cut(first, last, 0, width_px) if frames else Cut(0, n_frames, first, last)


class MovieSource(Description):
    """A user's movie with an optional truth table (`{movie: a.tif, truth: a.csv, ...}`).

    Validation and test are cut from it by `split`: blocks of frames or of columns; by default frames where the track is
    iid, else columns. Frames of molecules that persist are parted by 10 times their on-time, and a test that is cut so
    is tagged shared-structure and not ranked. The PSF serves helpers that simulate (classical starting sigma, local
    background rule).
    """

    STATED: ClassVar[Mapping[str, Any]] = {"truth": "emitters", "knows": ["training movie"]}

    kind: Literal["movie"] = "movie"
    movie: Path
    truth: Path | None = None  # absent for movies that are only predicted
    truth_format: str | None = None  # registered; by default found from the file
    columns: dict[str, str] | None = None  # own names: {frame: ..., x_nm: ..., y_nm: ...}; the unit is the key's
    first_frame: int | None = None  # its number in the table; by default the format's
    origin: Literal["corner", "centre"] | None = None  # where the table's (0, 0) is in the first pixel; the format's
    drift: Path | None = None  # table of it, where it is taken away from the truth: positions go back with their light
    misfit: Literal["stop", "warn"] = "stop"  # where the table clearly fits the movie otherwise than stated
    pixel_size_nm: Positive
    camera: Camera | Literal["uncalibrated"]
    bad_pixels: BadPixels = "refuse"  # NaN or infinite; median: replaced by their neighbours' (`movies.MendedMovie`)
    crop_px: Annotated[int, Field(ge=8)] = 32  # side of training crops
    track: Literal["iid"] | None = None  # every frame has new positions; None: molecules persist
    split: Literal["columns", "frames"] | None = None
    truth_kind: TruthKind = "unstated"  # what the table is (PROTOCOL section 2)
    min_photons: NonNegative = 100.0
    guard_px: Annotated[int, Field(ge=0)] = 16
    roi: Roi | None = None  # of the frames; positions of the table are those of the whole frames
    frames: FrameRange | None = None  # A:B, counted from 1; the table counts those of the whole movie
    more: tuple[Acquisition, ...] = ()  # of the same camera; a block of frames is then cut over all of them
    part: Part | None = None

    @classmethod
    def form(cls) -> Form:
        """How it is written."""
        files = {"movie": "movie", "truth": "table", "drift": "drift table"}
        way = "{movie: FILE, truth: FILE, ...}"
        own, named = (*files, "roi", "frames", "more"), {"truth_format": "formats"}
        files |= {f"more.{key}": what for key, what in files.items()}
        return Form(cls, way, cls.written("part"), own=own, files=files, named=named)

    def content(self) -> dict[str, Any]:
        """Its files count by their bytes; how it was cut is said by the part, what became of bad pixels where it is."""
        table = file_digest(self.truth) if self.truth is not None else None
        digests: dict[str, Any] = {"movie_sha256": file_digest(self.movie), "truth_sha256": table}
        silent = {"origin": self.origin is None, "bad_pixels": self.bad_pixels == "refuse"}
        digests |= {} if self.drift is None else {"drift_sha256": file_digest(self.drift)}
        digests |= {"more": [one.content() for one in self.each[1:]]} if self.more else {}
        silent |= {"roi": self.roi is None, "frames": self.frames is None}
        apart = {
            "movie",
            "truth",
            "drift",
            "more",
            "split",
            "misfit",
            *(name for name, is_so in silent.items() if is_so),
        }
        return {**described(self, *apart), **digests}

    def trained_as(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """Tells apart trainings on crops that were normalised by the crop's own extremes before."""
        by_frame = str(model.get("normalisation", "")).startswith("frame_")
        return {"frame_range": "whole"} if by_frame else {}

    def check(self, look: Look) -> list[Note]:
        """Whether movie and table open, crops fit, and the table has positions."""
        if self.more:
            notes = [((*(("more", number - 1) if number else ()), *place), said)
                     for number, one in enumerate(self.each) for place, said in one.check(look)]  # fmt: skip
            shape, place = self._used(look)
            return notes if notes or not isinstance(shape, str) else [(place, shape)]
        shape, place = self._used(look)
        notes = []
        if isinstance(shape, str):
            notes.append((place, shape))
        elif min(shape[1:]) < self.crop_px:
            said = f"frames of {shape[2]} x {shape[1]} px are smaller than crops of {self.crop_px} px"
            notes.append((("crop_px",), f"{said}; give at most {min(shape[1:])}"))
        else:
            notes += unfit_maps(self.camera, (), [look.seen[self.movie][1:]])
        if self.truth is None:
            said = "required and not given; a movie without truth can only be predicted, list it under apply"
            return [*notes, (("truth",), said)]
        absent = missing(self.truth, "table")
        table = [(("truth",), absent)] if absent is not None else _columns(self.truth, self.columns or {})
        if not table:
            named, own = self.truth_format, bool(self.columns)
            try:
                find(self.truth, "table", catalog=look.catalog, format=named, takes_columns=own)
            except (SmlmBenchError, OSError) as error:
                table = [(("truth",), unreadable(self.truth, error))]
        if self.drift is not None and (gone := missing(self.drift, "drift table")):
            notes.append((("drift",), gone))
        return [*notes, *table]

    def beside(self, others: Mapping[Place, Description], look: Look) -> list[Note]:
        """Whether it is used twice, and large enough to be cut."""
        notes: list[Note] = []
        for place, other in others.items():
            own = {one.movie for one in self.each}
            again = [one.movie.name for one in getattr(other, "each", ()) if one.movie in own]
            if again:
                said = f"'{again[0]}' is also the training movie, so scores would show memory"
                notes.append((place, f"{said}; leave it out and it is cut from the training movie"))
        shape, _ = self._used(look)
        if isinstance(shape, str):
            return notes
        given = {place[0] for place in others}
        scored = MIN_SCORED_PX + math.ceil(2 * look.border_nm / self.pixel_size_nm)
        for role, one in self.cuts(val="val" in given, test="test" in given).items():
            why = _too_small(one, shape, self.crop_px if role == "train" else scored)
            if why is not None:
                return [*notes, (("train",), why)]
        return notes

    @property
    def each(self) -> list["MovieSource"]:
        """Its acquisitions, each as if it were the only one and whole."""
        alone = self.model_copy(update={"more": (), "part": None})
        own = [{name: getattr(one, name) for name in Acquisition.model_fields} for one in self.more]
        return [alone, *(alone.model_copy(update=fields) for fields in own)]

    def region(self, shape: Shape) -> Region:
        """What is used of its movie of this shape (ValueError: there is no such part)."""
        return region_of(self.roi, self.frames, shape)

    def _used(self, look: Look) -> tuple[Shape | str, Place]:
        """Shape of what is used of its movies together, or why there is none, and the key that says so."""
        if self.more:
            shapes = [one._used(look) for one in self.each]
            for number, (shape, place) in enumerate(shapes):
                here: Place = ("more", number - 1) if number else ()
                if isinstance(shape, str):
                    return shape, (*here, *place)
                if shape[1:] != (first := shapes[0][0])[1:]:
                    said = f"frames of {shape[2]} x {shape[1]} px, those of '{self.movie.name}' {first[2]} x {first[1]}"
                    return f"{said}; give a roi of one size to both, or data entries of their own", here
            return (sum(int(shape[0]) for shape, _ in shapes), *shapes[0][0][1:]), ()
        shape = movie_shape(self.movie, look)
        if isinstance(shape, str):
            return shape, ("movie",)
        try:
            return self.region(shape).shape, ()
        except ValueError as error:
            return str(error), ("frames" if str(error).startswith("frames") else "roi",)

    @property
    def cut_by(self) -> Part:
        """Blocks of frames or of columns."""
        rule = self.split or ("frames" if self.track == "iid" else "columns")
        return Part(role="train", rule=rule, guard_px=self.guard_px)

    def condition_facts(self) -> dict[str, Any]:
        """What its truth is, and whether training saw the same structure."""
        shared = self.part is not None and self.part.rule == "frames" and self.track != "iid"
        kind = self.truth_kind if self.truth is not None else "none"
        known = {"kind": self.kind, "truth_kind": kind, "pixel_size_nm": self.pixel_size_nm}
        return {**known, "shared_structure": shared}

    @property
    def truth_file(self) -> Path | None:
        """Its table."""
        return self.truth

    @property
    def stops(self) -> bool:
        """Unless `misfit: warn`."""
        return self.misfit == "stop"

    def mended(self, reading: Reading, catalog: Catalog) -> str:
        """The settings, and what none of them says."""
        if reading == AS_STATED or self.truth is None:
            return super().mended(reading, catalog)
        stated = self._stated(catalog, columns=bool(self.columns))
        written, by_hand = reading.settings(**stated), reading.by_hand(stated["origin"])
        if reading.swapped and (swapped := _swapped(self.truth, self.columns or {})):
            own = self._stated(catalog, columns=True)  # a format that takes columns may count otherwise
            written = {key: value for key, value in stated.items() if value != own[key]} | written
            written["columns"] = "{" + ", ".join(f"{key}: {_quoted(name)}" for key, name in swapped.items()) + "}"
        elif reading.swapped:
            by_hand.append("swap x and y in the table")
        settings = ", ".join(f"{key}: {value}" for key, value in written.items())
        todo = [*([f"write {settings}"] if settings else []), *by_hand]
        return f"{' and '.join(todo)}, or misfit: warn to go on"

    def _stated(self, catalog: Catalog, *, columns: bool) -> dict[str, Any]:
        """First frame and origin of its table, as written or as the format that reads it has them."""
        assert self.truth is not None  # noqa: S101 (asked only where a table was read)
        named = self.truth_format if not columns or self.columns else None
        name = find(self.truth, "table", catalog=catalog, format=named, takes_columns=columns)
        facts = catalog.card("formats", name).facts
        first = (facts.get("first_frame") or 0) if self.first_frame is None else self.first_frame
        return {"first_frame": first, "origin": self.origin or facts.get("origin", "corner")}

    def leak(self, receptive_field_px: float, model: str) -> str | None:
        """PROTOCOL section 2: the guard should be wider than half of the receptive field and three sigma."""
        if self.part is None or self.part.rule != "columns":
            return None
        sigma_nm = (self.psf or {}).get("sigma_nm", 0.0)
        reach = receptive_field_px / 2 + 3 * (sigma_nm if isinstance(sigma_nm, float) else 0.0) / self.pixel_size_nm
        if reach <= self.guard_px:
            return None
        said = f"guard_px {self.guard_px} is below the {reach:.0f} px that {model} reaches"
        return f"{said}, so training sees into its test columns"


def _too_small(source: MovieSource, shape: Shape, needed: int) -> str | None:
    """Why its part is no part of a movie of this shape, or narrower than needed."""
    part, name = source.part or source.cut_by, source.movie.name
    try:
        block = cut(part, n_frames=shape[0], width_px=shape[2])
    except SizeError as error:
        return f"'{name}': {error}"
    wide = block.x1 - block.x0
    if wide >= needed:
        return None
    if part.rule == "frames":
        todo = "give a smaller crop_px" if part.role == "train" else "give scoring: {border_nm: ...} a smaller border"
        return f"'{name}' is {wide} px wide, {part.role} needs {needed} px; {todo}, or a wider movie"
    said = f"'{name}' is {shape[2]} px wide: its {part.role} block of {wide} px needs {needed} px beside"
    todo = "give val and test of their own, a smaller crop_px or guard_px, or `split: frames`"
    return f"{said} guards of {part.guard_px} px; {todo}"


def movie_shape(path: Path, look: Look) -> Shape | str:
    """Frames, height and width of a movie that opens, else why it does not."""
    if path not in look.seen:
        look.seen[path] = missing(path, "movie") or _opened(path, look)
    found: Shape | str = look.seen[path]
    return found


def _opened(path: Path, look: Look) -> Shape | str:
    try:
        with closing(open_movie(path, catalog=look.catalog)) as movie:
            shape = (movie.n_frames, movie.height, movie.width)
    except (SmlmBenchError, OSError) as error:
        return unreadable(path, error)
    return shape if min(shape) > 0 else f"'{path}' holds no frames; give a movie"


def _columns(path: Path, columns: Mapping[str, str]) -> list[Note]:
    """Named columns that the header of a text table lacks."""
    header = text_header(path)
    if header is None:
        return []
    has = ", ".join(header[:12])
    notes: list[Note] = [
        (("columns", key), f"'{name}' is not a column of '{path.name}'; it has {has}")
        for key, name in columns.items()
        if name not in header
    ]
    if not any(key.startswith("x") for key in columns) and not any(_is_x(cell) for cell in header):
        said = f"'{path.name}' has no column for x; it has {has}"
        notes.append((("truth",), f"{said}; name it with columns: {{x_nm: ..., y_nm: ..., frame: ...}}"))
    return notes


def _swapped(path: Path, columns: Mapping[str, str]) -> dict[str, str]:
    """Columns as stated, or as a text table's header says, with those of x and y exchanged; empty where unknown."""
    named = {key: name for key, name in columns.items() if key.startswith(("x", "y"))}
    if not named:
        header = text_header(path) or []
        x = next((cell for cell in header if _is_x(cell)), None)
        y = next((cell for cell in header if x is not None and _is_x(re.sub("y", "x", cell, flags=re.I))
                  and not _is_x(cell)), None)  # fmt: skip
        if x is None or y is None:
            return {}
        unit = "px" if re.search(r"\bpx\b|pixel", x, flags=re.I) else "nm"
        named = {f"x_{unit}": x, f"y_{unit}": y}
    kept = {key: name for key, name in columns.items() if key not in named}
    return kept | dict(zip(named, reversed(named.values()), strict=True))


def _quoted(text: str) -> str:
    """As YAML's plain words are not, whatever it holds."""
    return "'" + text.replace("'", "''") + "'"


def text_header(path: Path) -> list[str] | None:
    """Names of the columns of a text table, from its head; None where the file is binary or begins with numbers."""
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
