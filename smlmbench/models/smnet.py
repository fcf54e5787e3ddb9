"""smNet: one crop of one emitter to one group of parameters, by residual blocks without pooling."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from smlmbench.data.contracts import Given, Settings
from smlmbench.errors import ConfigError
from smlmbench.outputs.parameters import columns

CARD = {
    "version": 1,
    "summary": "Parameters of one emitter by residual blocks, a network for each group: xy, z, angles or aberrations.",
    "output": "parameters",
    "upsamples": "none",
    "settings": {
        "mode": {
            "default": "auto",
            "choices": ["auto", "xy", "z", "angles", "aberration"],
            "help": "which group of parameters; auto: the one that the data ask",
        },
        "width": {"default": 1.0, "min": 0.0625, "max": 2.0, "help": "multiplies the channels 64, 128, 256"},
        "reach": {
            "default": 0.0,
            "min": 0.0,
            "max": 100.0,
            "help": "answers of xy (px) and z (tenths of um) end at plus and minus this; 0: 2, and 8 or 20 (paper)",
        },
    },
    "search": {"width": {"choices": [0.125, 0.25, 0.5]}},
    "tiny": {"width": 0.0625},
    "training": {"optimiser": "adam", "lr": 1e-3, "batch_size": 64},
    "losses": [{"name": "crlb_mse"}],
    "parameters": {"mode=z": 2679059},
    "receptive_field_px": 32.0,
    "paper": (
        "Zhang et al. 2018, Analyzing complex single-molecule emission patterns with deep learning. Nature "
        "Methods 15:913"
    ),
    "doi": "10.1038/s41592-018-0153-5",
    "fidelity": "verified",
    "deviations": [
        "HardTanh for xy and z alone; the authors' test of the mode is always true, so theirs also cuts aberrations",
        "angles end without HardTanh (Torch7 cuts the polar angle to 0 ... 90 degrees), and both may be told together",
        "answers of angles and aberrations are standardised by the training's mean and spread, theirs are in degrees",
        "periodic: sine_cosine of the output kind tells angles as sine and cosine; the authors' are regressed directly",
        "last layer begins near 0, as HardTanh has no slope beyond its ends",
        "Adam 1e-3 with one cycle instead of 1e-5 without a schedule; best step by validation instead of a stop rule",
        "width, which the paper does not have",
        "not found: photons and background of the paper's training sets",
    ],
    "facts": {
        "idle": ["*.convolution.bias"],
        "review": {
            "row": 2,
            "input": "images of individual PSFs, one or two planes",
            "output": "position, depth, dipole angles or Zernike amplitudes",
            "training_data": "simulated images",
            "architecture": "residual CNN",
        },
    },
}

CHANNELS = (64, 128, 256)
LAST = (128, 64)
HIDDEN = 10
MANY, MANY_WIDE = 12, 1024  # aberrations beyond which they are told by convolutions alone, and their width
GROUPS = {"xy": ("x_nm", "y_nm"), "z": ("z_nm",), "angles": ("polar_deg", "azimuth_deg"), "aberration": ("zernike_",)}
SHIFT_PX, DEPTHS = 2.0, (8.0, 20.0)  # ends of HardTanh: px, and tenths of um
TENTH_UM_NM = 100.0
SIDE_PX, STRIDE = 32, 4  # of the published crops where none are known; of the sixth block for aberrations
FAINTEST = 1e-3  # photons of the brightest pixel, so that an empty crop has a scale
START = 0.01
EPS = 1e-3


class Layer(nn.Module):
    """Convolution that keeps the size (or strides), batch normalisation, and PReLU where asked for."""

    def __init__(self, inside: int, outside: int, kernel: int, *, stride: int = 1, active: bool = True) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inside, outside, kernel, stride, kernel // 2)
        self.norm = nn.BatchNorm2d(outside, eps=EPS)
        self.active = nn.PReLU() if active else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """(B, inside, H, W) to (B, outside, H, W)."""
        made: Tensor = self.active(self.norm(self.convolution(maps)))
        return made


class Residual(nn.Module):
    """Three convolutions of n/4, n/2 and n channels beside a shortcut; the second one strides."""

    def __init__(self, inside: int, outside: int, stride: int = 1) -> None:
        super().__init__()
        quarter, half = max(1, outside // 4), max(1, outside // 2)
        self.body = nn.Sequential(
            Layer(inside, quarter, 3),
            Layer(quarter, half, 3, stride=stride),
            Layer(half, outside, 3, active=False),
        )
        same = inside == outside and stride == 1
        self.shortcut = nn.Identity() if same else Layer(inside, outside, 1, stride=stride, active=False)
        self.active = nn.PReLU()

    def forward(self, maps: Tensor) -> Tensor:
        """(B, inside, H, W) to (B, outside, H / stride, W / stride)."""
        added: Tensor = self.active(self.body(maps) + self.shortcut(maps))
        return added


class SmNet(nn.Module):
    """The network of one group.

    Source:
        Layers of the authors' model.py; Zhang et al. 2018, doi:10.1038/s41592-018-0153-5.
    """

    scale: Tensor
    offset: Tensor

    def __init__(self, settings: Settings, given: Given) -> None:
        super().__init__()
        told = given.output
        self.mode, count = mode_of(settings, told), len(columns(told))
        sides = given.unit_sides or (SIDE_PX, SIDE_PX)
        first, second, third = (max(4, round(width * settings["width"])) for width in CHANNELS)
        stride = STRIDE if self.mode == "aberration" else 1
        self.trunk = nn.Sequential(
            Layer(given.channels, first, 7),
            Layer(first, second, 5),
            *(Residual(second, second) for _ in range(3)),
            Residual(second, third, stride),
            *(Residual(third, third) for _ in range(3)),
        )
        self.head = self._head(third, count, tuple(-(-side // stride) for side in sides), settings)
        self.reach = reach_of(self.mode, settings, given)
        scale, offset = standardised(self.mode, given)
        self.register_buffer("scale", scale)
        self.register_buffer("offset", offset)

    def _head(self, inside: int, count: int, sides: tuple[int, ...], settings: Settings) -> nn.Module:
        if self.mode == "aberration" and count > MANY:
            if max(sides) > STRIDE:
                most = STRIDE**2
                raise ConfigError(
                    f"smnet tells more than {MANY} aberrations of crops up to {most} x {most} px, these are larger; "
                    f"give field_px: {most}, or fewer aberrations"
                )
            wide = max(4, round(MANY_WIDE * settings["width"]))
            more = (Residual(wide, wide) for _ in range(3))
            return nn.Sequential(Residual(inside, wide, STRIDE), *more, nn.Conv2d(wide, count, 1), nn.Flatten())
        one, two = (max(4, round(width * settings["width"])) for width in LAST)
        narrow = (Layer(inside, one, 1), Layer(one, two, 1), Layer(two, 1, 1), nn.Flatten())
        if self.mode == "aberration":
            return nn.Sequential(*narrow, nn.Linear(math.prod(sides), count))
        last = nn.Linear(HIDDEN, count)
        nn.init.normal_(last.weight, std=START)
        nn.init.zeros_(last.bias)
        return nn.Sequential(*narrow, nn.Linear(math.prod(sides), HIDDEN), nn.PReLU(), last)

    def forward(self, crops: Tensor) -> Tensor:
        """Map photons (B, C, H, W) to standardised parameters (B, columns)."""
        brightest = crops.amax(dim=(1, 2, 3), keepdim=True).clamp_min(FAINTEST)
        told: Tensor = self.head(self.trunk(crops / brightest)).float()
        if self.reach:
            told = functional.hardtanh(told, -self.reach, self.reach)
        return told * self.scale + self.offset


def mode_of(settings: Settings, told: Mapping[str, Any]) -> str:
    """The group that is told.

    Raises:
        ConfigError: The data ask parameters of several groups, or of another one.
    """
    chosen, asked = str(settings["mode"]), list(told.get("parameter_mean", ()))
    if not asked:
        return "z" if chosen == "auto" else chosen
    fits = [mode for mode, group in GROUPS.items() if all(name.startswith(group) for name in asked)]
    if len(fits) != 1 or chosen not in ("auto", fits[0]):
        group = chosen if chosen in GROUPS else f"one group of {', '.join(GROUPS)}"
        raise ConfigError(
            f"smnet tells {group} and these data ask {' '.join(asked)}; give the data parameters of one group, such as "
            "parameters: z_nm"
        )
    return fits[0]


def reach_of(mode: str, settings: Settings, given: Given) -> float:
    """Where answers end, in px or tenths of um; 0 for never.

    Raises:
        ConfigError: The data go beyond.
    """
    told = given.output
    if mode not in ("xy", "z") or "parameter_low" not in told:
        return 0.0 if mode not in ("xy", "z") else settings["reach"] or (SHIFT_PX if mode == "xy" else DEPTHS[0])
    unit_nm, middle_nm = _unit(mode, given)
    ends = [*told["parameter_low"].values(), *told["parameter_high"].values()]
    farthest = max(abs(end - middle_nm) for end in ends) / unit_nm
    reach = float(settings["reach"]) or (SHIFT_PX if mode == "xy" else DEPTHS[int(farthest > DEPTHS[0])])
    if farthest > reach:
        unit = "px off the middle" if mode == "xy" else "tenths of um"
        raise ConfigError(
            f"smnet: answers end at {reach:g} {unit}, these data go to {farthest:.3g}; give reach: "
            f"{math.ceil(farthest)}"
        )
    return reach


def standardised(mode: str, given: Given) -> tuple[Tensor, Tensor]:
    """Factor and summand (columns,) that bring answers in the authors' units to those of the output kind."""
    told, count = given.output, len(columns(given.output))
    if mode not in ("xy", "z") or "parameter_sd" not in told:
        return torch.ones(count), torch.zeros(count)
    unit_nm, middle_nm = _unit(mode, given)
    mean, sd = (torch.tensor(list(told[f"parameter_{what}"].values()), dtype=torch.float32) for what in ("mean", "sd"))
    return unit_nm / sd, (middle_nm - mean) / sd


def _unit(mode: str, given: Given) -> tuple[float, float]:
    """What the authors count in, and from where, in nm."""
    if mode == "z":
        return TENTH_UM_NM, 0.0
    return given.pixel_size_nm, (given.unit_sides or (SIDE_PX,))[0] / 2 * given.pixel_size_nm


def build(settings: Settings, given: Given) -> nn.Module:
    """Make an smNet from all settings of the card.

    Raises:
        ConfigError: The data ask parameters that are not of one group, or beyond where its answers end.
    """
    return SmNet(settings, given)
