"""Large frames in tiles: windows with the context that a network asks for, and the core of each that is kept."""

from dataclasses import dataclass
from itertools import product
from math import isqrt

FINE_PIXELS_PER_TILE = 2**21
# With Python and its packages, and the summed image of a large frame, this stays below 1 GB resident.
BYTES_PER_TILE = 200e6


@dataclass(frozen=True, slots=True)
class Span:
    """Part of one axis in camera px: the window looked at, and the core kept of it; cores leave no gap."""

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
    """Cut an axis (a multiple of `multiple` camera px) into as few windows of one length as possible.

    Args:
        size: Length in camera pixels.
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
    kept = stop = 0
    while stop < size:
        start = min(len(made) * (length - 2 * halo), size - length)
        stop = start + length
        core_stop = size if stop == size else stop - halo
        made.append(Span(start, stop, kept, core_stop))
        kept = core_stop
    return made


def whole_frame(height: int, width: int) -> Tile:
    """The tile that is the frame."""
    return Tile(Span(0, height, 0, height), Span(0, width, 0, width))


def plan_tiles(
    height: int,
    width: int,
    upsampling: int,
    halo_px: int,
    multiple_px: int,
    largest_px: int | None = None,
    bytes_per_px: float | None = None,
) -> list[Tile]:
    """Tiles of a frame (sides a multiple of `multiple_px`); one where its fine map, and the network's maps, are small.

    For `halo_px` (of network and read-out together) and the rest see `ReadOut`.
    """
    most_px = FINE_PIXELS_PER_TILE / upsampling**2
    if bytes_per_px is not None:
        most_px = min(most_px, BYTES_PER_TILE / bytes_per_px)
    longest = max(height, width) if largest_px is None else largest_px
    if height * width <= most_px and max(height, width) <= longest:
        return [whole_frame(height, width)]
    side = min(longest, max(multiple_px, isqrt(int(most_px))))
    return [Tile(*pair) for pair in product(*(spans(size, halo_px, multiple_px, side) for size in (height, width)))]
