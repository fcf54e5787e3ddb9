"""A scene as an input: what light will be drawn of, before any optics is known.

Three channels on the camera's pixels, (3, H, W) float32: a standard normal number for the noise of every pixel, the
expected background there, and a table of the emitters, `FIELDS` numbers each, one after the other along the rows;
a row of zeros is none. Two masks that are given one scene see the same emitters with the same noise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from smlmbench.errors import ConfigError
from smlmbench.optics.imaging import Pixels

CHANNELS = 3
DARK = 1e-3  # photo-electrons below which noise does not fall: the slope of a root has no end at 0
FIELDS = 5  # x_nm, y_nm (from the outer corner of the field), z_nm, photons, number of the colour


@dataclass(frozen=True, slots=True)
class Scenes:
    """Scenes (B, ...) taken apart: noise and background (B, H, W), and all emitters (n,) with the scene each is in."""

    noise: torch.Tensor
    background: torch.Tensor
    sample: torch.Tensor
    x_nm: torch.Tensor
    y_nm: torch.Tensor
    z_nm: torch.Tensor
    photons: torch.Tensor
    colour: torch.Tensor

    def of(self, colour: int) -> "Scenes":
        """With the emitters of one colour alone."""
        rows = self.colour == colour
        columns = ("sample", "x_nm", "y_nm", "z_nm", "photons", "colour")
        return replace(self, **{name: getattr(self, name)[rows] for name in columns})


def room(height: int, width: int) -> int:
    """Emitters that a scene can hold."""
    return height * width // FIELDS


def packed(noise: torch.Tensor, background: torch.Tensor, columns: Sequence[torch.Tensor]) -> torch.Tensor:
    """One scene (3, H, W) float32 from noise (H, W), background (H, W) and columns (n,) in the order of `FIELDS`.

    Raises:
        ConfigError: More emitters than its pixels can hold.
    """
    height, width = noise.shape
    count, most = len(columns[0]), room(height, width)
    if count > most:
        raise ConfigError(
            f"a scene of {height} x {width} px holds {most} emitters, not {count}; give fewer or a larger field"
        )
    table = torch.zeros(height * width)
    table[: count * FIELDS] = torch.stack([column.float() for column in columns], dim=1).reshape(-1)
    return torch.stack([noise.float(), background.float(), table.view(height, width)])


def unpacked(scenes: torch.Tensor) -> Scenes:
    """What `packed` put together, of a batch (B, 3, H, W); places and photons in float64.

    Raises:
        ConfigError: Not scenes.
    """
    if scenes.ndim != 4 or scenes.shape[1] != CHANNELS:
        raise ConfigError(f"inputs of shape {tuple(scenes.shape)} are no scenes; take a source of scenes for this task")
    count, _, height, width = scenes.shape
    most = room(height, width)
    table = scenes[:, 2].reshape(count, -1)[:, : most * FIELDS].reshape(-1, FIELDS)
    lit = table[:, 3] > 0
    sample = torch.arange(count, device=scenes.device).repeat_interleave(most)[lit]
    x, y, z, photons, colour = table[lit].double().unbind(dim=1)
    return Scenes(scenes[:, 0], scenes[:, 1], sample, x, y, z, photons, colour.long())


def rates(scenes: Scenes, light: Callable[[torch.Tensor, Pixels], torch.Tensor], pixels: Pixels) -> torch.Tensor:
    """Expected photo-electrons of every pixel, background included, (B, H, W) float64.

    `light` gives the share of an emitter's photons at depths (n,) in pixels around them; `pixels` are those of the
    field, from its outer corner.
    """
    if not len(scenes.sample):  # no transform is made of nothing
        return scenes.background.double()
    around = replace(pixels, x_nm=pixels.x_nm - scenes.x_nm[:, None], y_nm=pixels.y_nm - scenes.y_nm[:, None])
    seen = light(scenes.z_nm, around) * scenes.photons[:, None, None]
    return scenes.background.double().index_add(0, scenes.sample, seen)


def noisy(rate: torch.Tensor, scenes: Scenes) -> torch.Tensor:
    """Frames (B, 1, H, W) float32 of rates, with the noise of the scenes; the rate's gradient flows through both."""
    drawn: torch.Tensor = rate + rate.clamp_min(DARK).sqrt() * scenes.noise
    return drawn.float()[:, None]


def field(side_px: tuple[int, int], pixel_size_nm: float, like: torch.Tensor, blur_nm: float = 0.0) -> Pixels:
    """The pixels (height, width) of a field from its outer corner, where `like` is."""
    y_nm, x_nm = (
        (torch.arange(side, device=like.device, dtype=torch.float64) + 0.5) * pixel_size_nm for side in side_px
    )
    return Pixels(x_nm, y_nm, pixel_size_nm, blur_nm)
