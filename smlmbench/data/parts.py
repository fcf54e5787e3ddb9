"""Cut one acquisition into train, validation and test: by blocks of frames or of columns."""

from dataclasses import dataclass, replace

from smlmbench.errors import SizeError
from smlmbench.predictions import Localizations
from smlmbench.study.sources import Part

SMALLEST_PX = 8


@dataclass(frozen=True, slots=True)
class Block:
    """Frames, columns and rows (None: all) that a part keeps, first and one after the last."""

    frames: tuple[int, int]
    columns: tuple[int, int]
    rows: tuple[int, int] | None = None


def block_of(part: Part | None, n_frames: int, width: int, gap_frames: int = 0) -> Block:
    """The block of a part: train first, then validation, then test; deterministic.

    Columns are parted by gaps of `guard_px`, frames by `gap_frames`; fractions are of what the gaps leave.

    Raises:
        SizeError: A part would be empty, or narrower than 8 columns.
    """
    if part is None:
        return Block((0, n_frames), (0, width))
    if part.rule == "frames":
        return Block(_third(part, n_frames, gap=gap_frames, least=1), (0, width))
    return Block((0, n_frames), _third(part, width, gap=part.guard_px, least=SMALLEST_PX))


def _third(part: Part, size: int, *, gap: int, least: int) -> tuple[int, int]:
    gaps = gap * ((part.val > 0) + (part.test > 0))
    usable = size - gaps
    val, test = (max(least, round(share * usable)) if share > 0 else 0 for share in (part.val, part.test))
    train = usable - val - test
    if train < least:
        guard = f" less {gaps} of guard" if gaps else ""
        mend = "a smaller guard_px, `track: iid` if every frame has new positions," if gap else "a longer movie"
        raise SizeError(
            f"{size} {part.rule}{guard} cannot be cut into train, val and test of at least {least}; "
            f"give {mend} or val and test files of their own"
        )
    start, length = {"train": (0, train), "val": (train + gap, val), "test": (size - test, test)}[part.role]
    if length == 0:
        raise SizeError(f"the {part.role} part is 0 % of the movie; give {part.role} a fraction, or a file of its own")
    return start, start + length


def cut(truth: Localizations, block: Block, pixel_size_nm: float) -> Localizations:
    """The emitters inside a block, counted from its first frame, column and row; others are dropped."""
    first, stop = block.frames
    left, right = (column * pixel_size_nm for column in block.columns)
    rows = block.rows
    upper, lower = (0.0, truth.field_nm[1]) if rows is None else (row * pixel_size_nm for row in rows)
    inside = (truth.frame >= first) & (truth.frame < stop)
    inside &= (truth.x_nm >= left) & (truth.x_nm < right) & (truth.y_nm >= upper) & (truth.y_nm < lower)
    kept = truth.select(inside)
    moved = replace(kept, frame=kept.frame - first, x_nm=kept.x_nm - left, y_nm=kept.y_nm - upper)
    return replace(moved, n_frames=stop - first, field_nm=(right - left, lower - upper))
