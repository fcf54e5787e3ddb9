"""A network as tasks see it: something that answers frames."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from smlmbench.inference.checkpoint import Trained
from smlmbench.inference.engine import Network, ReadOut, predict, raw_batches
from smlmbench.movies import Frames
from smlmbench.predictions import Prediction


@dataclass(frozen=True, slots=True)
class Answering:
    """A prepared network in eval mode with its read-out (a task gives the threshold), and the device where it is."""

    network: Network
    read_out: ReadOut
    device: torch.device

    @property
    def settings(self) -> Mapping[str, Any]:
        """Of its output kind, with the camera pixel."""
        return self.read_out.settings

    def movie(
        self,
        frames: Frames,
        threshold: float,
        *,
        keep_image: bool = True,
        keep_table: bool = True,
        on_frames: Callable[[int], None] | None = None,
    ) -> Prediction:
        """Table and summed image of a movie."""
        read_out = replace(self.read_out, threshold=threshold, keep_image=keep_image, keep_table=keep_table)
        return predict(frames, self.network, read_out, device=self.device, on_frames=on_frames)

    def decoded(self, raw: torch.Tensor, threshold: float = math.nan) -> Any:
        """What the output kind reads out of raw output."""
        return self.read_out.output.decode(raw, self.read_out.settings, threshold)

    def raw(self, frames: Frames, on_frames: Callable[[int], None] | None = None) -> Iterator[torch.Tensor]:
        """Raw output batch by batch, on the CPU."""
        for done, raw in raw_batches(frames, self.network, self.read_out, device=self.device):
            yield raw
            if on_frames is not None:
                on_frames(done)


def answering(trained: Trained) -> Answering:
    """A trained network where it is."""
    return Answering(trained.network, trained.read_out(), next(trained.network.parameters()).device)
