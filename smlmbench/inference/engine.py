"""The streaming engine: frames in, a table and a summed fine image out, at constant memory.

The one way for predict, scoring and timing. The next block is read while this one runs, and a card runs it while the
one before is read out. Frames whose fine map is large are run in tiles that overlap by what network and read-out look
at, so that tiles change nothing.
"""

import math
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from math import ceil
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.data.ahead import sent
from smlmbench.errors import HalvedWarning
from smlmbench.inference.devices import free_memory, lacks_memory, no_memory
from smlmbench.inference.tiles import Span, Tile, plan_tiles, whole_frame
from smlmbench.models.folding import folded
from smlmbench.movies import Extent, Frames, with_context
from smlmbench.predictions import Localizations, Prediction, Raster, concatenate

FINE_PIXELS_PER_BATCH = 2**19
FINE_PIXELS_PER_BATCH_OF_A_CARD = 2**22
LEAST_PER_BLOCK, FINE_PIXELS_PER_BLOCK, FINE_PIXELS_PER_BLOCK_OF_A_CARD = 16, 2**24, 2**30
SAME_PX = 1e-6

Network = Callable[..., torch.Tensor]
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class ReadOut:
    """How raw output becomes a prediction."""

    output: ModuleType  # of the output kind
    settings: Mapping[str, Any]  # of the output kind, with pixel_size_nm
    threshold: float  # score that a detection must exceed
    keep_image: bool = True  # sum the fine image too
    multiple_px: int = 1  # frames are padded to a multiple of this many camera pixels, the network's output is cut
    keep_table: bool = True  # False for networks that learned images, where peaks are no emitters
    halo_px: int | None = None  # what an answer depends on around its camera pixel; None: no tiles
    largest_px: int | None = None  # longest side of a frame that the network takes whole; None for any
    frame_range: bool = False  # hand the lowest and highest value of the whole frame over together with a tile
    bytes_per_px: float | None = None  # what the largest layer holds for a camera pixel; tiles are chosen to fit
    context: int = 1  # consecutive frames that the network sees at once; the answer is that of the middle one

    @property
    def upsampling(self) -> int:
        """Fine pixels per camera pixel along one axis."""
        return int(self.settings.get("upsampling", 1))

    @property
    def pixel_nm(self) -> float:
        """Camera pixel; NaN where unknown."""
        return float(self.settings.get("pixel_size_nm", math.nan))

    def raster(self, total: NDArray[np.float64]) -> Raster:
        """A summed fine image (U*H, U*W) with its pixel size."""
        return Raster(total[None].astype(np.float32), self.pixel_nm / self.upsampling)


@dataclass(frozen=True, slots=True)
class Piece:
    """What frames start .. stop - 1 gave."""

    start: int
    stop: int
    table: Localizations | None  # with frame numbers of the whole movie; None where none are read out
    image: NDArray[np.float64] | None  # sum over the frames (U*H, U*W)
    frames: NDArray[np.float32] | None = None  # (n, H, W) as the network saw them; None where they have channels


def frames_per_batch(height: int, width: int, upsampling: int, *, card: bool = False) -> int:
    """Batch size that keeps one fine map at about half a million pixels (of a card: 4 million), at most 64 frames."""
    most = FINE_PIXELS_PER_BATCH_OF_A_CARD if card else FINE_PIXELS_PER_BATCH
    return int(max(1, min(64, most // (height * width * upsampling**2))))


def frames_per_block(frames: Extent, read_out: ReadOut, device: torch.device) -> int:
    """Frames whose image is summed alone before it joins that of the movie, and that a worker does at once.

    Whole batches, some seconds of work: a worker's image is as large for one frame as for a thousand.
    """
    card = device.type != "cpu"
    size = _planned(frames, read_out, card=card)[1]
    fine = frames.height * frames.width * read_out.upsampling**2
    most = (FINE_PIXELS_PER_BLOCK_OF_A_CARD if card else FINE_PIXELS_PER_BLOCK) // fine
    return size * -(-max(LEAST_PER_BLOCK, most) // size)


def _planned(frames: Extent, read_out: ReadOut, *, card: bool) -> tuple[list[Tile], int]:
    """Tiles of each frame, and frames per forward pass."""
    multiple = read_out.multiple_px
    tall, wide = (side + -side % multiple for side in (frames.height, frames.width))
    tiles = [whole_frame(tall, wide)]
    if read_out.halo_px is not None:
        halo = read_out.halo_px + _reach_px(read_out)
        tiles = plan_tiles(tall, wide, read_out.upsampling, halo, multiple, read_out.largest_px, read_out.bytes_per_px)
    return tiles, frames_per_batch(tiles[0].rows.stop, tiles[0].columns.stop, read_out.upsampling, card=card)


def read_ahead(
    frames: Frames, size: int, which: tuple[int, int] | None = None, context: int = 1
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Blocks as of `with_context` with their first index; the next is read in a thread while this one is used.

    `which` is the first frame and the one after the last.
    """
    first, last = which or (0, frames.n_frames)

    def read(start: int) -> NDArray[np.float32]:
        return with_context(frames, start, min(start + size, last), context)

    with ThreadPoolExecutor(max_workers=1) as pool:
        pending = None
        for start in range(first, last, size):
            block = pending.result() if pending is not None else read(start)
            pending = pool.submit(read, start + size) if start + size < last else None
            yield start, block


def predict(
    frames: Frames,
    network: Network,
    read_out: ReadOut,
    *,
    device: torch.device,
    batch: int | None = None,
    on_frames: Callable[[int], None] | None = None,
    finish: "Callable[[Piece], Piece] | None" = None,
) -> Prediction:
    """Predict a movie into memory, as `stream`; `on_frames` hears the number of frames done after every batch.

    `finish` gets every piece before it is kept.

    Returns:
        Table of all frames (None where it is not read out) and, where the output kind makes one, the summed fine image:
        in unit mass, or in the unit of the target images that the network learned.
    """
    tables: list[Localizations] = []
    total: NDArray[np.float64] | None = None
    for found in stream(frames, network, read_out, device=device, batch=batch):
        piece = found if finish is None else finish(found)
        if piece.table is not None:
            tables.append(piece.table)
        if piece.image is not None:
            total = piece.image if total is None else total + piece.image
        if on_frames is not None:
            on_frames(piece.stop)
    field_nm = (frames.width * read_out.pixel_nm, frames.height * read_out.pixel_nm)
    table = concatenate(tables, n_frames=frames.n_frames, field_nm=field_nm) if read_out.keep_table else None
    image = None if total is None else read_out.raster(total)
    return Prediction(table=table, image=image, context=read_out.context)


def stream(
    frames: Frames,
    network: Network,
    read_out: ReadOut,
    *,
    device: torch.device,
    batch: int | None = None,
    first: int = 0,
    stop: int | None = None,
) -> Iterator[Piece]:
    """Predict a movie in photons batch by batch, frames `first` to `stop` - 1; nothing is kept between batches.

    The network, (B, C, H, W) -> raw, is prepared, in eval mode and on `device`. The frames per forward pass (`batch`)
    follow from the fine image's size by default; where the device has no memory for them, half as many are taken.

    Raises:
        NoMemoryError: Not even half of them fit.
    """
    if isinstance(network, torch.nn.Module):
        network = folded(network)
    tiles, size = _planned(frames, read_out, card=device.type != "cpu")
    whole = padded(network, read_out.multiple_px, read_out.upsampling)

    def begin(block: torch.Tensor) -> Callable[[], tuple[Localizations | None, NDArray[np.float64] | None]]:
        if len(tiles) == 1:
            raw = whole(block).float()
            return lambda: _read(raw, read_out)
        made = _tiled(block, network, read_out, tiles)
        return lambda: made

    which = (first, frames.n_frames if stop is None else stop, read_out.context)
    for start, block, (table, image) in _in_blocks(frames, begin, batch or size, device, which):
        shifted = None if table is None else table.shifted(start, n_frames=frames.n_frames)
        seen = block[:, read_out.context // 2] if block.ndim == 4 and block.shape[1] == read_out.context else None
        yield Piece(start, start + len(block), shifted, image, seen)


def _in_blocks(
    frames: Frames,
    begin: Callable[[torch.Tensor], Callable[[], Made]],
    size: int,
    device: torch.device,
    which: tuple[int, int, int],
) -> Iterator[tuple[int, NDArray[np.float32], Made]]:
    """First frame, block and what is made of it: `begin` runs a network on it, what it returns reads that out.

    `which` is the first frame, the one after the last, and how many a network sees at once. Without memory for a block
    the rest is done in blocks of half the size.
    """
    (first, stop, context), wanted = which, size
    while first < stop:
        try:
            for start, block, made in _read_out(read_ahead(frames, size, (first, stop), context), begin, device):
                yield start, block, made
                first = start + len(block)
        except RuntimeError as error:
            if not lacks_memory(error):
                raise
            if size < wanted or size == 1:
                what = f"{size} frames of {frames.height} x {frames.width} px at once"
                raise no_memory(device, what, "take smaller frames or another device", error) from None
            size = -(-wanted // 2)
        else:
            return
        free_memory(device)
        warnings.warn(
            f"{device} has no memory for {wanted} frames at once; {size} are taken", HalvedWarning, stacklevel=2
        )


def _read_out(
    blocks: Iterator[tuple[int, NDArray[np.float32]]],
    begin: Callable[[torch.Tensor], Callable[[], Made]],
    device: torch.device,
) -> Iterator[tuple[int, NDArray[np.float32], Made]]:
    """Begin each block; a card goes on with the next while a thread reads out what it has made of this one."""

    def finish(read: Callable[[], Made]) -> Made:
        with torch.inference_mode():  # of a thread
            return read()

    with ThreadPoolExecutor(1) as pool:
        waiting: deque[tuple[int, NDArray[np.float32], Future[Made]]] = deque()
        for start, block in blocks:
            with torch.inference_mode():
                read = begin(sent(torch.from_numpy(np.ascontiguousarray(block, dtype=np.float32)), device))
            if device.type == "cpu":
                yield start, block, finish(read)
                continue
            waiting.append((start, block, pool.submit(finish, read)))
            if len(waiting) > 1:
                begun, whole, made = waiting.popleft()
                yield begun, whole, made.result()
        for begun, whole, made in waiting:
            yield begun, whole, made.result()


def raw_batches(
    frames: Frames, network: Network, read_out: ReadOut, *, device: torch.device, batch: int | None = None
) -> Iterator[tuple[int, torch.Tensor]]:
    """Raw output of a network for its inputs, whole, batch by batch.

    Yields:
        Number of units done, and raw output on the CPU in fp32.
    """
    if isinstance(network, torch.nn.Module):
        network = folded(network)
    whole = padded(network, read_out.multiple_px, read_out.upsampling)

    def begin(block: torch.Tensor) -> Callable[[], torch.Tensor]:
        raw = (whole if block.ndim == 4 else network)(block)
        return lambda: raw.float().cpu()

    size = batch or frames_per_batch(frames.height, frames.width, read_out.upsampling, card=device.type != "cpu")
    for start, given, raw in _in_blocks(frames, begin, size, device, (0, frames.n_frames, read_out.context)):
        yield start + len(given), raw


def _read(raw: torch.Tensor, read_out: ReadOut) -> tuple[Localizations | None, NDArray[np.float64] | None]:
    output, settings = read_out.output, read_out.settings
    if not output.CARD.get("facts", {}).get("any_device"):
        raw = raw.cpu()
    table = output.decode(raw, settings, read_out.threshold) if read_out.keep_table else None
    if not (read_out.keep_image and hasattr(output, "image")):
        return table, None
    return table, output.image(raw, settings).sum(dim=0).cpu().numpy().astype(np.float64)


def _tiled(
    frames: torch.Tensor, network: Network, read_out: ReadOut, tiles: list[Tile]
) -> tuple[Localizations | None, NDArray[np.float64] | None]:
    """As `_read` of the whole frames, from tiles: each is read out alone and keeps what lies in its core."""
    height, width = frames.shape[2:]
    upsampling, reach = read_out.upsampling, _reach_px(read_out)
    more = (torch.stack([frames.amin(dim=(1, 2, 3)), frames.amax(dim=(1, 2, 3))], dim=1),)
    frames, pixel_nm = pad(frames, read_out.multiple_px), read_out.pixel_nm
    field_nm = (width * pixel_nm, height * pixel_nm)
    tables: list[Localizations] = []
    image: NDArray[np.float64] | None = None
    for tile in tiles:
        rows, columns = tile.rows, tile.columns
        window = frames[:, :, rows.start : rows.stop, columns.start : columns.stop].contiguous()
        raw = network(window, *more if read_out.frame_range else ()).float()
        top, bottom = _seen(rows, reach, height)
        left, right = _seen(columns, reach, width)
        down, across = _fine(top, bottom, rows.start, upsampling), _fine(left, right, columns.start, upsampling)
        table, part = _read(raw[:, :, down, across], read_out)
        if table is not None:
            tables.append(_inside(table, tile, (left, top), field_nm, pixel_nm))
        if part is not None:
            image = np.zeros((height * upsampling, width * upsampling)) if image is None else image
            kept = [(rows.core_start, min(rows.core_stop, height)), (columns.core_start, min(columns.core_stop, width))]
            to, of = (
                tuple(_fine(*span, origin, upsampling) for span, origin in zip(kept, corner, strict=True))
                for corner in ((0, 0), (top, left))
            )
            image[to] = part[of]
    if not read_out.keep_table:
        return None, image
    table = concatenate(tables, n_frames=len(frames), field_nm=field_nm)
    return table.select(np.argsort(table.frame, kind="stable")), image


def _fine(start: int, stop: int, origin: int, upsampling: int) -> slice:
    """Camera pixels start .. stop - 1 as fine pixels counted from `origin`."""
    return slice((start - origin) * upsampling, (stop - origin) * upsampling)


def _seen(span: Span, reach: int, size: int) -> tuple[int, int]:
    """The core of a span with what the read-out looks at beyond it, inside the frame."""
    return max(span.start, span.core_start - reach), min(span.stop, span.core_stop + reach, size)


def _inside(
    table: Localizations, tile: Tile, corner_px: tuple[int, int], field_nm: tuple[float, float], pixel_nm: float
) -> Localizations:
    """The rows of a tile's table that lie in its core, moved from (left, top) of what was read out to the frame."""
    left, top = corner_px
    x_px, y_px = table.x_nm / pixel_nm + left, table.y_nm / pixel_nm + top
    kept = _core(tile.columns, x_px) & _core(tile.rows, y_px)
    moved = replace(table, x_nm=table.x_nm + left * pixel_nm, y_nm=table.y_nm + top * pixel_nm, field_nm=field_nm)
    return moved.select(kept)


def _core(span: Span, at_px: NDArray[np.float64]) -> NDArray[np.bool_]:
    # A position on the line between two cores is the same in both up to rounding, and must count once.
    at_px = at_px + SAME_PX
    return ((at_px >= span.core_start) | (span.core_start == 0)) & (at_px < span.core_stop)


def _reach_px(read_out: ReadOut) -> int:
    """Camera pixels around a place that reading it out looks at."""
    reach = getattr(read_out.output, "reach_fine_px", None)
    return 0 if reach is None else ceil(reach(read_out.settings) / read_out.upsampling)


def pad(frames: torch.Tensor, multiple_px: int) -> torch.Tensor:
    """Frames (B, C, H, W) with sides of a multiple; edges are repeated outwards at the bottom and on the right."""
    if multiple_px == 1:
        return frames  # spectra among them
    down, across = (-side % multiple_px for side in frames.shape[2:])
    return torch.nn.functional.pad(frames, (0, across, 0, down), mode="replicate") if down or across else frames


def padded(network: Network, multiple_px: int, upsampling: int) -> Network:
    """Run a network that needs sizes of a multiple on any frames, in training as in use: frames by `pad`, output cut.

    What is given beside the frames (`frame_range`) is passed on.
    """
    if multiple_px == 1:
        return network

    def answer(frames: torch.Tensor, *more: torch.Tensor) -> torch.Tensor:
        height, width = frames.shape[2:]
        return network(pad(frames, multiple_px), *more)[:, :, : height * upsampling, : width * upsampling]

    return answer


def frame_multiple(facts: Mapping[str, Any], upsampling: int) -> int:
    """Camera pixels that frame sides must be a multiple of, from a model's card facts (`multiple_fine_px`)."""
    return max(1, int(facts.get("multiple_fine_px", 1)) // upsampling)
