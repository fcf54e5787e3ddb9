"""Networks that see through a mask which is learned with them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from smlmbench.data.contracts import Given, Settings
from smlmbench.errors import ConfigError
from smlmbench.models.masks import Mask
from smlmbench.models.microscope import Microscope
from smlmbench.optics.scenes import CHANNELS, noisy, unpacked

# keys of the output settings under which a source of scenes states its optics, and wavelengths by the name of a colour
PSF, WAVELENGTHS = "psf", "wavelengths_nm"

Made = Callable[[Settings, Microscope, float], nn.Module]


class Designed(nn.Module):
    """Scenes are drawn through the mask before the network sees them; frames of a camera go to the network as they are.

    An exported graph, whose example is a frame, is the network alone. There is a microscope for every colour of the
    data, in the order of their names; the mask gives the phase at a wavelength in nm.
    """

    def __init__(self, settings: Settings, given: Given, network: nn.Module, mask: Made = Mask) -> None:
        super().__init__()
        self.network = network
        self.pixel_size_nm = given.pixel_size_nm
        self.microscopes = nn.ModuleList()
        self.mask: nn.Module | None = None
        self.colours: tuple[str, ...] = ()
        description: Any = given.output.get(PSF)
        if description is None:  # without data, such as where its size is counted, there is no microscope
            return
        wavelengths: Any = given.output.get(WAVELENGTHS) or {"": description["wavelength_nm"]}
        self.colours = tuple(sorted(wavelengths))
        for name in self.colours:
            own = {**description, "wavelength_nm": float(wavelengths[name])}
            self.microscopes.append(Microscope(own, int(settings["pupil_px"])))
        self.mask = mask(settings, self.arms[0], self.pixel_size_nm)

    @property
    def arms(self) -> list[Microscope]:
        """The microscope of every colour."""
        return [one for one in self.microscopes if isinstance(one, Microscope)]

    def phases(self) -> list[Tensor]:
        """Phase of the mask at every colour, (side, side) radians; none without optics."""
        mask = self.mask
        return [] if mask is None else [mask(one.pupil.wavelength_nm) for one in self.arms]

    def forward(self, frames: Tensor) -> Tensor:
        """Raw output of scenes (B, 3, H, W) or of frames (B, 1, H, W) in photo-electrons."""
        raw: Tensor = self.network(self.drawn(frames) if frames.shape[1] == CHANNELS else frames)
        return raw

    def drawn(self, scenes: Tensor) -> Tensor:
        """Frames (B, 1, H, W) float32 of scenes, with their noise.

        Raises:
            ConfigError: It was built without optics, or what is given are no scenes.
        """
        if self.mask is None:
            raise ConfigError("this network knows no optics; train it on a source of scenes that states a psf")
        with torch.autocast(scenes.device.type, enabled=False):
            taken = unpacked(scenes)
            rate = taken.background.double()
            for colour, (microscope, phase) in enumerate(zip(self.arms, self.phases(), strict=True)):
                own = taken if len(self.microscopes) == 1 else taken.of(colour)
                rate = microscope.rates(replace(own, background=rate), phase, self.pixel_size_nm)
            return noisy(rate, taken)
