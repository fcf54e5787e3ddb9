"""The streaming engine: frames in, localizations and a summed fine image out, at constant memory.

The one way for predict, scoring and timing. The next block is read while this one runs.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.movies import Frames
from smlmbench.predictions import Localizations, Prediction, Raster, concatenate

FINE_PIXELS_PER_BATCH = 2**21

Network = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class ReadOut:
    """How raw output becomes a prediction.

    Attributes:
        output: Module of the output kind.
        settings: Its settings, pixel_size_nm included.
        threshold: Score that a detection must exceed.
        keep_image: Sum the fine image too.
        multiple_px: Frames are padded to a multiple of this many camera pixels before the network, its output is cut.
    """

    output: ModuleType
    settings: Mapping[str, Any]
    threshold: float
    keep_image: bool = True
    multiple_px: int = 1


def frames_per_batch(height: int, width: int, upsampling: int) -> int:
    """Batch size that keeps one fine map at about two million pixels, at most 64 frames."""
    return int(max(1, min(64, FINE_PIXELS_PER_BATCH // (height * width * upsampling**2))))


def read_ahead(frames: Frames, size: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Blocks of frames with their first index; the next one is read in a thread while this one is used."""
    starts = range(0, frames.n_frames, size)
    with ThreadPoolExecutor(max_workers=1) as pool:
        pending = None
        for start in starts:
            block = pending.result() if pending is not None else frames.read(start, min(start + size, frames.n_frames))
            following = start + size
            pending = None
            if following < frames.n_frames:
                pending = pool.submit(frames.read, following, min(following + size, frames.n_frames))
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
    """Predict a movie.

    Args:
        frames: Camera frames in photons.
        network: A prepared network in eval mode (fp32), (B, 1, H, W) -> raw.
        read_out: How raw output is read.
        device: Where the network is.
        batch: Frames per forward pass; by default from the fine image's size.
        on_frames: Called with the number of frames done after every batch.

    Returns:
        Table of all frames and, where the output kind makes one, the summed fine image in unit mass.
    """
    output, settings = read_out.output, read_out.settings
    upsampling = int(settings.get("upsampling", 1))
    answer = padded(network, read_out.multiple_px, upsampling)
    pixel_size_nm = float(settings["pixel_size_nm"])
    size = batch or frames_per_batch(frames.height, frames.width, upsampling)
    field_nm = (frames.width * pixel_size_nm, frames.height * pixel_size_nm)
    tables: list[Localizations] = []
    total: NDArray[np.float64] | None = None
    for start, block in read_ahead(frames, size):
        tensor = torch.from_numpy(np.ascontiguousarray(block, dtype=np.float32))[:, None].to(device)
        with torch.inference_mode():
            raw = answer(tensor).float()
            tables.append(output.decode(raw, settings, read_out.threshold).shifted(start, n_frames=frames.n_frames))
            if read_out.keep_image and hasattr(output, "image"):
                summed = output.image(raw, settings).sum(dim=0).cpu().numpy().astype(np.float64)
                total = summed if total is None else total + summed
        if on_frames is not None:
            on_frames(start + len(block))
    table = concatenate(tables, n_frames=frames.n_frames, field_nm=field_nm)
    image = None
    if total is not None:
        image = Raster(total[None].astype(np.float32), pixel_size_nm / upsampling)
    return Prediction(table=table, image=image)


def padded(network: Network, multiple_px: int, upsampling: int) -> Network:
    """Run a network that needs sizes of a multiple on any frames, in training as in use.

    Edges are repeated outwards at the bottom and on the right, and the output is cut again.
    """
    if multiple_px == 1:
        return network

    def answer(frames: torch.Tensor) -> torch.Tensor:
        height, width = frames.shape[2:]
        down, across = -height % multiple_px, -width % multiple_px
        if down or across:
            frames = torch.nn.functional.pad(frames, (0, across, 0, down), mode="replicate")
        return network(frames)[:, :, : height * upsampling, : width * upsampling]

    return answer


def frame_multiple(facts: Mapping[str, Any], upsampling: int) -> int:
    """Camera pixels that frame sides must be a multiple of, from a model's card facts (`multiple_fine_px`)."""
    return max(1, int(facts.get("multiple_fine_px", 1)) // upsampling)
