"""Large frames in tiles: windows with the context that a network asks for, and the core of each that is kept."""

from dataclasses import dataclass
from itertools import product
from math import isqrt

FINE_PIXELS_PER_TILE = 2**21
# With Python and its packages, and the summed image of a large frame, this stays below 1 GB resident.
BYTES_PER_TILE = 200e6


@dataclass(frozen=True, slots=True)
class Span:
    """Part of one axis in camera pixels: what is looked at (window), and what is kept of it (core).

    Attributes:
        start, stop: The window.
        core_start, core_stop: The core; cores of an axis follow each other without gap.
    """

    start: int
    stop: int
    core_start: int
    core_stop: int


@dataclass(frozen=True, slots=True)
class Tile:
    """A window of a frame, all of one size, and its core."""

    rows: Span
    columns: Span


def spans(size: int, halo: int, multiple: int, largest: int) -> list[Span]:
    """Cut an axis into as few windows of one length as possible, each at most about `largest`.

    Args:
        size: Length in camera pixels, a multiple of `multiple`.
        halo: Context that the core needs on either side; less only at the ends of the axis.
        multiple: Windows begin at, and are as long as, multiples of this.
        largest: Wanted upper bound of a window; at least four halos are taken.
    """
    halo = multiple * -(-halo // multiple)
    largest = max(largest, 4 * halo, multiple)
    count = 1
    while True:
        length = min(size, multiple * -(-(size + 2 * halo * (count - 1)) // (count * multiple)))
        if length <= largest or length <= 2 * halo + multiple:
            break
        count += 1
    if count == 1 or length >= size:
        return [Span(0, size, 0, size)]
    made: list[Span] = []
    kept = 0
    for number in range(count):
        start = min(number * (length - 2 * halo), size - length)
        stop = start + length
        kept_to = size if stop == size else stop - halo
        made.append(Span(start, stop, kept, kept_to))
        kept = kept_to
        if stop == size:
            break
    return made


def plan_tiles(
    height: int,
    width: int,
    upsampling: int,
    halo_px: int,
    multiple_px: int,
    largest_px: int | None = None,
    bytes_per_px: float | None = None,
) -> list[Tile]:
    """Tiles of a frame; a single one where its fine map, and the network's maps, are small enough.

    Args:
        height: Frame in camera pixels, a multiple of `multiple_px`.
        width: The same along x.
        upsampling: Fine pixels per camera pixel.
        halo_px: Context that network and read-out need, in camera pixels.
        multiple_px: What windows must be a multiple of.
        largest_px: Longest side that the network takes; None for any.
        bytes_per_px: What the network's largest layer holds for a camera pixel; None where that is unknown.
    """
    most_px = FINE_PIXELS_PER_TILE / upsampling**2
    if bytes_per_px is not None:
        most_px = min(most_px, BYTES_PER_TILE / bytes_per_px)
    longest = max(height, width) if largest_px is None else largest_px
    if height * width <= most_px and max(height, width) <= longest:
        return [Tile(Span(0, height, 0, height), Span(0, width, 0, width))]
    side = min(longest, max(multiple_px, isqrt(int(most_px))))
    rows, columns = (spans(size, halo_px, multiple_px, side) for size in (height, width))
    return [Tile(row, column) for row, column in product(rows, columns)]
