"""Networks that see through a mask which is learned with them."""

from typing import Any

import torch
from torch import Tensor, nn

from smlmbench.data.contracts import Given, Settings
from smlmbench.errors import ConfigError
from smlmbench.models.masks import Mask
from smlmbench.models.microscope import Microscope
from smlmbench.optics.scenes import CHANNELS, noisy, unpacked

PSF = "psf"  # key of the output settings under which a source of scenes states its optics


class Designed(nn.Module):
    """Scenes are drawn through the mask before the network sees them; frames of a camera go to the network as they are.

    An exported graph, whose example is a frame, is the network alone.
    """

    def __init__(self, settings: Settings, given: Given, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.pixel_size_nm = given.pixel_size_nm
        self.microscope: Microscope | None = None
        self.mask: Mask | None = None
        description: Any = given.output.get(PSF)
        if description is not None:  # without data, such as where its size is counted, there is no microscope
            self.microscope = Microscope(description, int(settings["pupil_px"]))
            self.mask = Mask(settings, self.microscope, given.pixel_size_nm)

    def forward(self, frames: Tensor) -> Tensor:
        """Raw output of scenes (B, 3, H, W) or of frames (B, 1, H, W) in photo-electrons."""
        raw: Tensor = self.network(self.drawn(frames) if frames.shape[1] == CHANNELS else frames)
        return raw

    def drawn(self, scenes: Tensor) -> Tensor:
        """Frames (B, 1, H, W) float32 of scenes, with their noise.

        Raises:
            ConfigError: It was built without optics, or what is given are no scenes.
        """
        if self.microscope is None or self.mask is None:
            raise ConfigError("this network knows no optics; train it on a source of scenes that states a psf")
        with torch.autocast(scenes.device.type, enabled=False):
            taken = unpacked(scenes)
            return noisy(self.microscope.rates(taken, self.mask(), self.pixel_size_nm), taken)
