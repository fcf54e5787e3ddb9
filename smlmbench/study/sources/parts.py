"""Where one acquisition is cut into training, validation and test (PROTOCOL section 2, splits)."""

from dataclasses import dataclass
from typing import Literal

from smlmbench.errors import SizeError
from smlmbench.study.schema import DataEntry
from smlmbench.study.sources import ImagesSource, MovieSource, PairsPart, Part

Role = Literal["train", "val", "test"]
FRACTION = 0.15
SMALLEST_PX = 8


@dataclass(frozen=True, slots=True)
class Cut:
    """Frames start .. stop - 1 and camera columns x0 .. x1 - 1 of a movie."""

    start: int
    stop: int
    x0: int
    x1: int


def roles(entry: DataEntry) -> dict[Role, Part]:
    """The parts that are cut from the training movie of an entry; empty where nothing has to be cut."""
    source = entry.train
    if not isinstance(source, MovieSource):
        return {}
    wanted, val, test = _wanted(entry)
    rule: Literal["frames", "columns"] = source.split or ("frames" if source.track == "iid" else "columns")
    return {role: Part(role=role, rule=rule, val=val, test=test, guard_px=source.guard_px) for role in wanted}


def pair_roles(entry: DataEntry) -> dict[Role, PairsPart]:
    """The parts that are cut from the training pairs of an entry; empty where nothing has to be cut."""
    source = entry.train
    if not isinstance(source, ImagesSource):
        return {}
    wanted, val, test = _wanted(entry)
    rule: Literal["files", "pages"] = "pages" if source.track == "iid" else "files"
    return {role: PairsPart(role=role, rule=rule, val=val, test=test) for role in wanted}


def _wanted(entry: DataEntry) -> tuple[list[Role], float, float]:
    """What is cut of a training file, with the fractions of validation and test; nothing where both are given."""
    if entry.val is not None and entry.test:
        return [], 0.0, 0.0
    val = FRACTION if entry.val is None else 0.0
    test = 0.0 if entry.test else FRACTION
    wanted: list[Role] = ["train"]
    if val:
        wanted.append("val")
    if test:
        wanted.append("test")
    return wanted, val, test


def cut(part: Part, *, n_frames: int, width_px: int) -> Cut:
    """Resolve a part on a movie: training first, then validation, then test, along frames or columns.

    Blocks of frames touch (positions are new in every frame); between blocks of columns lies the guard, and fractions
    are of what the guards leave.

    Raises:
        SizeError: A block would be empty, or narrower than 8 columns.
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
