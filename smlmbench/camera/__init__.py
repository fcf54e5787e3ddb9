"""The camera: from detected photo-electrons to ADU and back.

EMCCD: ADU = round((Gamma(Poisson(mu + spurious), em_gain) + N(0, read_noise)) / e_per_adu) + baseline; sCMOS the same
without the gain register; ideal: Poisson counts alone. `read_noise_e` is in electrons AFTER the gain register.
Source: the chain of the 2016 challenge simulator (Sage et al. 2019, doi:10.1038/s41592-019-0364-4).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from smlmbench.camera.decode import decode_block, facts_of

if TYPE_CHECKING:
    import torch


EXCESS, ADDED = "noise_excess", "noise_added"


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
    """Facts of a camera; frozen, unknown keys refused. DECODE's block `Camera` is accepted as it is.

    The inverse is exact for the mean of the forward chain as long as nothing is clipped at 0 or `max_adu`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["ideal", "scmos", "emccd"] = "ideal"
    baseline_adu: Annotated[float, Field(ge=0)] = 0.0
    e_per_adu: Annotated[float, Field(gt=0)] = 1.0
    em_gain: Annotated[float, Field(ge=1)] = 1.0
    read_noise_e: Annotated[float, Field(ge=0)] = 0.0
    quantum_efficiency: Annotated[float, Field(gt=0, le=1)] = 1.0
    spurious_e: Annotated[float, Field(ge=0)] = 0.0
    max_adu: Annotated[int, Field(ge=1)] = 65535

    @property
    def adu_per_photon(self) -> float:
        """Mean ADU for one detected photo-electron."""
        return self.gain / self.e_per_adu

    @property
    def gain(self) -> float:
        """Gain of the register; 1 for a camera without one."""
        return self.em_gain if self.kind == "emccd" else 1.0

    @property
    def noise(self) -> Noise:
        """Variance of what `to_photons` gives; the register's excess is 2 - 1 / gain (Robbins and Hadwen 2003)."""
        excess = 2 - 1 / self.gain
        return Noise(excess, (self.read_noise_e / self.gain) ** 2 + excess * self.spurious_e)

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, given: Any) -> Any:
        """A block of DECODE counts under its own names; `em_gain:` without a number says that there is none."""
        if not isinstance(given, Mapping):
            return given
        block = decode_block(given)
        facts = given if block is None else facts_of(block)
        return {key: value for key, value in facts.items() if key != "em_gain" or value is not None}

    @model_validator(mode="after")
    def _uses_what_is_stated(self) -> "Camera":
        for name, kinds in (("em_gain", ("emccd",)), ("read_noise_e", ("scmos", "emccd"))):
            value, default = getattr(self, name), type(self).model_fields[name].default
            if value != default and self.kind not in kinds:
                needed = " or ".join(kinds)
                raise ValueError(
                    f"{name} {value:g} has no part in kind: {self.kind}; give kind: {needed}, or leave it out"
                )
        return self

    def to_photons(self, adu: NDArray[np.generic]) -> NDArray[np.float32]:
        """Turn ADU into detected photo-electrons (float32, may be negative)."""
        values = (np.asarray(adu, dtype=np.float32) - self.baseline_adu) / self.adu_per_photon - self.spurious_e
        return np.asarray(values, dtype=np.float32)

    def expose(self, photons: "torch.Tensor", generator: "torch.Generator") -> "torch.Tensor":
        """Draw ADU images from expected photo-electrons per pixel (any shape, >= 0, CPU)."""
        import torch

        electrons = torch.poisson(photons + self.spurious_e, generator=generator)
        if self.kind == "ideal":
            signal = electrons
        else:
            if self.kind == "emccd":
                gamma = torch._standard_gamma(electrons.clamp_min(1e-6), generator=generator)
                electrons = torch.where(electrons > 0, gamma, torch.zeros_like(gamma)) * self.em_gain
            noise = torch.randn(electrons.shape, generator=generator, dtype=electrons.dtype)
            signal = electrons + self.read_noise_e * noise
        return (torch.round(signal / self.e_per_adu) + self.baseline_adu).clamp_(0, self.max_adu)

    def photons_of(self, adu: "torch.Tensor") -> "torch.Tensor":
        """`to_photons` for tensors."""
        return (adu - self.baseline_adu) / self.adu_per_photon - self.spurious_e
