"""The streaming engine: frames in, localizations and a summed fine image out, at constant memory.

The one way for predict, scoring and timing. The next block is read while this one runs. Frames whose fine map is
large are run in tiles that overlap by what network and read-out look at, so that tiles change nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from math import ceil
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.inference.folding import folded
from smlmbench.inference.tiles import Span, Tile, plan_tiles
from smlmbench.movies import Frames, with_context
from smlmbench.predictions import Localizations, Prediction, Raster, concatenate

FINE_PIXELS_PER_BATCH = 2**19
SAME_PX = 1e-6

Network = Callable[..., torch.Tensor]


@dataclass(frozen=True, slots=True)
class ReadOut:
    """How raw output becomes a prediction.

    Attributes:
        output: Module of the output kind.
        settings: Its settings, pixel_size_nm included.
        threshold: Score that a detection must exceed.
        keep_image: Sum the fine image too.
        multiple_px: Frames are padded to a multiple of this many camera pixels before the network, its output is cut.
        keep_table: Read detections out; False for networks that learned images, where peaks are no emitters.
        halo_px: Camera pixels to every side that the answer within one camera pixel depends on; None: frames are
            never cut into tiles.
        largest_px: Longest side of a frame that the network takes; larger ones are cut into tiles. None for any.
        frame_range: Hand the lowest and highest value of the whole frame to the network together with a tile.
        bytes_per_px: What the network's largest layer holds for a camera pixel; tiles are chosen so that it fits.
        context: Consecutive frames that the network sees at once; the answer is that of the middle one.
    """

    output: ModuleType
    settings: Mapping[str, Any]
    threshold: float
    keep_image: bool = True
    multiple_px: int = 1
    keep_table: bool = True
    halo_px: int | None = None
    largest_px: int | None = None
    frame_range: bool = False
    bytes_per_px: float | None = None
    context: int = 1

    @property
    def upsampling(self) -> int:
        """Fine pixels per camera pixel along one axis."""
        return int(self.settings.get("upsampling", 1))


@dataclass(frozen=True, slots=True)
class Piece:
    """What a block of frames gave.

    Attributes:
        start, stop: The frames.
        table: Detections with frame numbers of the whole movie; None where none are read out.
        image: Sum over the frames (U*H, U*W) float64, or None.
    """

    start: int
    stop: int
    table: Localizations | None
    image: NDArray[np.float64] | None


def frames_per_batch(height: int, width: int, upsampling: int) -> int:
    """Batch size that keeps one fine map at about half a million pixels, at most 64 frames."""
    return int(max(1, min(64, FINE_PIXELS_PER_BATCH // (height * width * upsampling**2))))


def read_ahead(
    frames: Frames, size: int, first: int = 0, context: int = 1
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Blocks (n, C, ...) with their first index; the next one is read in a thread while this one is used.

    Args:
        frames: A movie.
        size: Frames in a block.
        first: Frame to begin with.
        context: Consecutive frames in each window, whose channels lie side by side.
    """

    def read(start: int) -> NDArray[np.float32]:
        return with_context(frames, start, min(start + size, frames.n_frames), context)

    with ThreadPoolExecutor(max_workers=1) as pool:
        pending = None
        for start in range(first, frames.n_frames, size):
            block = pending.result() if pending is not None else read(start)
            pending = pool.submit(read, start + size) if start + size < frames.n_frames else None
            yield start, block


def predict(
    frames: Frames,
    network: Network,
    read_out: ReadOut,
    *,
    device: torch.device,
    batch: int | None = None,
    on_frames: Callable[[int], None] | None = None,
) -> Prediction:
    """Predict a movie into memory.

    Args:
        frames: Camera frames in photons.
        network: A prepared network in eval mode, (B, C, H, W) -> raw.
        read_out: How raw output is read.
        device: Where the network is.
        batch: Frames per forward pass; by default from the fine image's size.
        on_frames: Called with the number of frames done after every batch.

    Returns:
        Table of all frames (None where it is not read out) and, where the output kind makes one, the summed fine image:
        in unit mass, or in the unit of the target images that the network learned.
    """
    pixel_size_nm = float(read_out.settings["pixel_size_nm"])
    field_nm = (frames.width * pixel_size_nm, frames.height * pixel_size_nm)
    tables: list[Localizations] = []
    total: NDArray[np.float64] | None = None
    for piece in stream(frames, network, read_out, device=device, batch=batch):
        if piece.table is not None:
            tables.append(piece.table)
        if piece.image is not None:
            total = piece.image if total is None else total + piece.image
        if on_frames is not None:
            on_frames(piece.stop)
    table = concatenate(tables, n_frames=frames.n_frames, field_nm=field_nm) if read_out.keep_table else None
    image = None
    if total is not None:
        image = Raster(total[None].astype(np.float32), pixel_size_nm / read_out.upsampling)
    return Prediction(table=table, image=image)


def stream(
    frames: Frames,
    network: Network,
    read_out: ReadOut,
    *,
    device: torch.device,
    batch: int | None = None,
    first: int = 0,
) -> Iterator[Piece]:
    """Predict a movie block by block; nothing is kept between blocks.

    Args:
        frames: Camera frames in photons.
        network: A prepared network in eval mode.
        read_out: How raw output is read.
        device: Where the network is.
        batch: Frames per forward pass; by default from the fine image's size.
        first: Frame to begin with.
    """
    if isinstance(network, torch.nn.Module):
        network = folded(network)
    multiple = read_out.multiple_px
    tall, wide = (side + -side % multiple for side in (frames.height, frames.width))
    tiles = [Tile(Span(0, tall, 0, tall), Span(0, wide, 0, wide))]
    if read_out.halo_px is not None:
        halo = read_out.halo_px + _reach_px(read_out)
        tiles = plan_tiles(tall, wide, read_out.upsampling, halo, multiple, read_out.largest_px, read_out.bytes_per_px)
    shape = (tiles[0].rows.stop, tiles[0].columns.stop)
    size = batch or frames_per_batch(*shape, read_out.upsampling)
    for start, block in read_ahead(frames, size, first, read_out.context):
        tensor = torch.from_numpy(np.ascontiguousarray(block, dtype=np.float32)).to(device)
        with torch.inference_mode():
            if len(tiles) == 1:
                raw = padded(network, multiple, read_out.upsampling)(tensor).float()
                table, image = _read(raw, read_out)
            else:
                table, image = _tiled(tensor, network, read_out, tiles)
        if table is not None:
            table = table.shifted(start, n_frames=frames.n_frames)
        yield Piece(start, start + len(block), table, image)


def raw_batches(
    frames: Frames, network: Network, read_out: ReadOut, *, device: torch.device, batch: int | None = None
) -> Iterator[tuple[int, torch.Tensor]]:
    """Raw output of a network for its inputs, whole, batch by batch.

    Yields:
        Number of units done, and raw output on the CPU in fp32.
    """
    if isinstance(network, torch.nn.Module):
        network = folded(network)
    size = batch or frames_per_batch(frames.height, frames.width, read_out.upsampling)
    for start, block in read_ahead(frames, size, context=read_out.context):
        tensor = torch.from_numpy(np.ascontiguousarray(block, dtype=np.float32)).to(device)
        call = padded(network, read_out.multiple_px, read_out.upsampling) if tensor.ndim == 4 else network
        with torch.inference_mode():
            yield start + len(block), call(tensor).float().cpu()


def _read(raw: torch.Tensor, read_out: ReadOut) -> tuple[Localizations | None, NDArray[np.float64] | None]:
    output, settings = read_out.output, read_out.settings
    table = output.decode(raw, settings, read_out.threshold) if read_out.keep_table else None
    image = None
    if read_out.keep_image and hasattr(output, "image"):
        image = output.image(raw, settings).sum(dim=0).cpu().numpy().astype(np.float64)
    return table, image


def _tiled(
    frames: torch.Tensor, network: Network, read_out: ReadOut, tiles: list[Tile]
) -> tuple[Localizations | None, NDArray[np.float64] | None]:
    """As `_read` of the whole frames, from tiles: each is read out alone and keeps what lies in its core."""
    height, width = frames.shape[2:]
    upsampling, reach = read_out.upsampling, _reach_px(read_out)
    more = (torch.stack([frames.amin(dim=(1, 2, 3)), frames.amax(dim=(1, 2, 3))], dim=1),)
    down, across = -height % read_out.multiple_px, -width % read_out.multiple_px
    if down or across:
        frames = torch.nn.functional.pad(frames, (0, across, 0, down), mode="replicate")
    pixel_nm = float(read_out.settings["pixel_size_nm"])
    field_nm = (width * pixel_nm, height * pixel_nm)
    tables: list[Localizations] = []
    image: NDArray[np.float64] | None = None
    for tile in tiles:
        rows, columns = tile.rows, tile.columns
        window = frames[:, :, rows.start : rows.stop, columns.start : columns.stop].contiguous()
        raw = network(window, *more if read_out.frame_range else ()).float()
        top, bottom = _seen(rows, reach, height)
        left, right = _seen(columns, reach, width)
        table, part = _read(
            raw[
                :,
                :,
                (top - rows.start) * upsampling : (bottom - rows.start) * upsampling,
                (left - columns.start) * upsampling : (right - columns.start) * upsampling,
            ],
            read_out,
        )
        if table is not None:
            tables.append(_inside(table, tile, (left, top), field_nm, pixel_nm))
        if part is not None:
            image = np.zeros((height * upsampling, width * upsampling)) if image is None else image
            core = [
                slice(span.core_start * upsampling, min(span.core_stop, side) * upsampling)
                for span, side in ((rows, height), (columns, width))
            ]
            down, right_by = core[0].start - top * upsampling, core[1].start - left * upsampling
            height_kept, width_kept = core[0].stop - core[0].start, core[1].stop - core[1].start
            image[core[0], core[1]] = part[down : down + height_kept, right_by : right_by + width_kept]
    if not read_out.keep_table:
        return None, image
    table = concatenate(tables, n_frames=len(frames), field_nm=field_nm)
    return table.select(np.argsort(table.frame, kind="stable")), image


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


def padded(network: Network, multiple_px: int, upsampling: int) -> Network:
    """Run a network that needs sizes of a multiple on any frames, in training as in use.

    Edges are repeated outwards at the bottom and on the right, and the output is cut again. What is given beside the
    frames (`frame_range`) is passed on.
    """
    if multiple_px == 1:
        return network

    def answer(frames: torch.Tensor, *more: torch.Tensor) -> torch.Tensor:
        height, width = frames.shape[2:]
        down, across = -height % multiple_px, -width % multiple_px
        if down or across:
            frames = torch.nn.functional.pad(frames, (0, across, 0, down), mode="replicate")
        return network(frames, *more)[:, :, : height * upsampling, : width * upsampling]

    return answer


def frame_multiple(facts: Mapping[str, Any], upsampling: int) -> int:
    """Camera pixels that frame sides must be a multiple of, from a model's card facts (`multiple_fine_px`)."""
    return max(1, int(facts.get("multiple_fine_px", 1)) // upsampling)
