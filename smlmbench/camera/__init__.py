"""The camera: from detected photo-electrons to ADU and back.

EMCCD: ADU = round((Gamma(Poisson(mu + spurious), em_gain) + N(0, read_noise)) / e_per_adu) + baseline; sCMOS the same
without the gain register, and with `maps` ADU = round(electrons * gain + offset) where each pixel has its own numbers;
ideal: Poisson counts alone; phone: as sCMOS, in 8 bits and compressed. `read_noise_e` is in electrons AFTER the gain
register. With `rounding: floor` steps are cut off, as the challenge and DECODE do, and the inverse adds half a step.
Source: the chain of the 2016 challenge simulator (Sage et al. 2019, doi:10.1038/s41592-019-0364-4).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from smlmbench.camera.decode import decode_block, facts_of
from smlmbench.camera.maps import Chip, Maps
from smlmbench.camera.presets import MAPPED, filled
from smlmbench.errors import SizeError

if TYPE_CHECKING:
    import torch


EXCESS, ADDED = "noise_excess", "noise_added"
LATER = ("rounding", "maps", "jpeg_quality")  # fields that are silent at their defaults: older descriptions lack them
PHONE_MOST = 255
KINDS = {
    "em_gain": ("emccd",),
    "read_noise_e": ("scmos", "emccd", "phone"),
    "rounding": ("scmos", "emccd", "phone"),
    "maps": ("scmos",),
    "jpeg_quality": ("phone",),
}
Each = float | NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Noise:
    """Variance of a pixel in photo-electrons whose mean is mu: excess * mu + added."""

    excess: float = 1.0
    added: float = 0.0

    @classmethod
    def of(cls, told: Mapping[str, float]) -> "Noise | None":
        """What `told` says; None where nothing is known."""
        return cls(told[EXCESS], told[ADDED]) if EXCESS in told and ADDED in told else None

    def told(self) -> dict[str, float]:
        """As facts among others."""
        return {EXCESS: self.excess, ADDED: self.added}


class Camera(BaseModel):
    """Facts of a camera; frozen, unknown keys refused. DECODE's block `Camera` and a preset's name are accepted too.

    The inverse is exact for the mean of the forward chain as long as nothing is clipped at 0 or `max_adu`, but for a
    phone, of which it undoes the linear part alone (`inverse_exact`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["ideal", "scmos", "emccd", "phone"] = "ideal"
    baseline_adu: Annotated[float, Field(ge=0)] = 0.0
    e_per_adu: Annotated[float, Field(gt=0)] = 1.0
    em_gain: Annotated[float, Field(ge=1)] = 1.0
    read_noise_e: Annotated[float, Field(ge=0)] = 0.0
    quantum_efficiency: Annotated[float, Field(gt=0, le=1)] = 1.0
    spurious_e: Annotated[float, Field(ge=0)] = 0.0
    max_adu: Annotated[int, Field(ge=1)] = 65535

    rounding: Literal["nearest", "floor"] = "nearest"
    maps: Maps | None = None
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] | None = None

    @model_serializer(mode="wrap")
    def _without_silent(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        return {
            key: value
            for key, value in write(self).items()
            if key not in LATER or getattr(self, key) != fields[key].default
        }

    @property
    def adu_per_photon(self) -> float:
        """Mean ADU for one detected photo-electron; over all pixels where maps are files."""
        if self.maps is not None and (shape := self.maps.shape()) is not None:
            gain = self._pixels(shape).adu_per_e
            return self.gain / self.e_per_adu if gain is None else float(gain.mean())
        return self.gain / self.e_per_adu

    @property
    def gain(self) -> float:
        """Gain of the register; 1 for a camera without one."""
        return self.em_gain if self.kind == "emccd" else 1.0

    @property
    def inverse_exact(self) -> bool:
        """Whether `to_photons` gives the mean back: not behind a compression."""
        return self.kind != "phone"

    @property
    def noise(self) -> Noise:
        """Variance of what `to_photons` gives; the register's excess is 2 - 1 / gain (Robbins and Hadwen 2003).

        With maps the mean over all pixels, for each of which `noise_map` tells. What compression adds is not known.
        """
        excess = 2 - 1 / self.gain
        variance = self._coarse_e2 + (
            self.read_noise_e**2 if self.maps is None else self.maps.mean_variance_e2(self.read_noise_e, self.e_per_adu)
        )
        return Noise(excess, variance / self.gain**2 + excess * self.spurious_e)

    @property
    def _coarse_e2(self) -> float:
        """Variance of the steps of 8 bits; those of other cameras are below their read noise."""
        return self.e_per_adu**2 / 12 if self.kind == "phone" else 0.0

    def noise_map(self, shape: tuple[int, int]) -> NDArray[np.float64]:
        """`noise.added` of every pixel of frames (height, width)."""
        excess = 2 - 1 / self.gain
        return self.variance_map(shape) + excess * self.spurious_e

    def variance_map(self, shape: tuple[int, int]) -> NDArray[np.float64]:
        """Variance of the read noise of every pixel of frames (height, width), in photo-electrons^2."""
        variance = None if self.maps is None else self._pixels(shape).variance_e2
        if variance is not None:
            return variance
        return np.full(shape, (self.read_noise_e**2 + self._coarse_e2) / self.gain**2)

    def check(self, shape: tuple[int, int] | None = None) -> None:
        """Read the maps, and compare them with frames (height, width) where given.

        Raises:
            FormatError, SizeError: A file is no map, or not of this size.
        """
        if self.maps is not None and (size := shape or self.maps.shape()) is not None:
            self._pixels(size)

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, given: Any) -> Any:
        """A block of DECODE counts under its own names; `em_gain:` without a number says that there is none."""
        given = filled(given)
        if not isinstance(given, Mapping):
            return given
        if given.get("kind") == "phone":
            given = {"max_adu": PHONE_MOST, **given}
        block = decode_block(given)
        facts = given if block is None else facts_of(block)
        return {key: value for key, value in facts.items() if key != "em_gain" or value is not None}

    @model_validator(mode="after")
    def _uses_what_is_stated(self) -> "Camera":
        for name, kinds in KINDS.items():
            value, default = getattr(self, name), type(self).model_fields[name].default
            if value != default and self.kind not in kinds:
                needed, shown = " or ".join(kinds), f"{name} {value:g}" if isinstance(value, float | int) else name
                raise ValueError(f"{shown} has no part in kind: {self.kind}; give kind: {needed}, or leave it out")
        mapped = {} if self.maps is None else self.maps.files
        for name, file in MAPPED.items():
            if file in mapped and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} and maps: {file} say the same; leave {name} out")
        if self.maps is not None and self.maps.read_noise_log_sd and not self.read_noise_e:
            raise ValueError("maps: read_noise_log_sd spreads around read_noise_e, which is 0; give read_noise_e")
        if self.rounding == "floor" and not self._smooth:
            raise ValueError(
                f"rounding: floor takes half a step only where read_noise_e is at least half of e_per_adu; "
                f"{self.read_noise_e:g} is below {self.e_per_adu / 2:g}, so leave rounding out"
            )
        if self.kind == "phone" and (self.jpeg_quality is None or self.max_adu > PHONE_MOST):
            raise ValueError(
                "kind: phone has 8 bits and is compressed; give jpeg_quality (1 to 100), max_adu up to 255"
            )
        return self

    @property
    def _smooth(self) -> bool:
        """Whether noise spreads over steps, so that what is cut off is half a step on average."""
        mapped = self.maps is not None and "variance_adu2" in self.maps.files
        return mapped or self.read_noise_e >= self.e_per_adu / 2

    def _pixels(self, shape: tuple[int, ...]) -> Chip:
        if self.maps is None:
            return Chip(None, None, None)
        return self.maps.chip(
            shape, baseline_adu=self.baseline_adu, e_per_adu=self.e_per_adu, read_noise_e=self.read_noise_e
        )

    def _line(self, shape: tuple[int, ...]) -> tuple[Each, Each]:
        """ADU without light and ADU for one photo-electron of such frames: numbers, or (height, width) float32."""
        chip, cut = self._pixels(shape[-2:]), 0.5 if self.rounding == "floor" else 0.0
        offset = self.baseline_adu - cut if chip.offset_adu is None else (chip.offset_adu - cut).astype(np.float32)
        gain = self.gain / self.e_per_adu if chip.adu_per_e is None else chip.adu_per_e.astype(np.float32)
        return offset, gain

    def to_photons(self, adu: NDArray[np.generic]) -> NDArray[np.float32]:
        """Turn ADU into detected photo-electrons (float32, may be negative); with maps whole frames (..., H, W)."""
        offset, gain = self._line(adu.shape)
        values = (np.asarray(adu, dtype=np.float32) - offset) / gain - self.spurious_e
        return np.asarray(values, dtype=np.float32)

    def to_adu(self, photons: NDArray[np.float32]) -> NDArray[np.uint16]:
        """What `to_photons` was given, where that were whole counts."""
        offset, gain = self._line(photons.shape)
        return np.asarray(np.clip(np.rint((photons + self.spurious_e) * gain + offset), 0, 65535).astype(np.uint16))

    def expose(self, photons: "torch.Tensor", generator: "torch.Generator") -> "torch.Tensor":
        """Draw ADU images from expected photo-electrons per pixel (any shape, >= 0, CPU); maps take (..., H, W)."""
        import torch

        electrons = torch.poisson(photons + self.spurious_e, generator=generator)
        if self.kind == "ideal":
            return self._read_out(electrons, None)
        if self.kind == "emccd":
            gamma = torch._standard_gamma(electrons.clamp_min(1e-6), generator=generator)
            electrons = torch.where(electrons > 0, gamma, torch.zeros_like(gamma)) * self.em_gain
        return self._read_out(electrons, torch.randn(electrons.shape, generator=generator, dtype=electrons.dtype))

    def _read_out(self, electrons: "torch.Tensor", noise: "torch.Tensor | None") -> "torch.Tensor":
        """ADU of electrons behind the gain register, given standard normal numbers for the read noise."""
        import torch

        steps = torch.floor if self.rounding == "floor" else torch.round
        if self.maps is None or noise is None:
            signal = electrons if noise is None else electrons + self.read_noise_e * noise
            adu = steps(signal / self.e_per_adu) + self.baseline_adu
        else:
            chip = self._pixels(tuple(electrons.shape[-2:]))
            own = (
                (chip.variance_e2, self.read_noise_e**2),
                (chip.adu_per_e, 1 / self.e_per_adu),
                (chip.offset_adu, self.baseline_adu),
            )
            variance, gain, offset = (torch.tensor(usual if each is None else each).to(noise) for each, usual in own)
            adu = steps((electrons + variance.sqrt() * noise) * gain + offset)
        adu = adu.clamp_(0, self.max_adu)
        return adu if self.jpeg_quality is None else self._stored(adu)

    def _stored(self, adu: "torch.Tensor") -> "torch.Tensor":
        """As they come back from a file that is compressed."""
        import torch

        from smlmbench.camera.compression import compressed

        if adu.ndim < 2:
            raise SizeError(f"frames of shape {tuple(adu.shape)} cannot be compressed; give (..., height, width)")
        return torch.from_numpy(compressed(adu.numpy().astype(np.uint8), self.jpeg_quality or 1)).to(adu.dtype)

    def photons_of(self, adu: "torch.Tensor") -> "torch.Tensor":
        """`to_photons` for tensors."""
        import torch

        offset, gain = (
            each if isinstance(each, float) else torch.from_numpy(each).to(adu.device)
            for each in self._line(tuple(adu.shape))
        )
        return (adu - offset) / gain - self.spurious_e
