"""How far a teacher is followed on a sample: Phi, from its own error there (Saputra et al. 2019, arXiv:1908.00858)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from smlmbench.errors import ConfigError
from smlmbench.losses.l1l2 import blurred


def sample_errors(raw: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared difference of each sample (B,) of two maps (B, C, H, W), both blurred by one fine pixel.

    Without the blur, an answer one fine pixel away would count as wrong as none at all. Numbers (B, C) are compared as
    they are. A ConfigError where the two differ in shape.
    """
    if raw.shape != wanted.shape:
        ours, theirs = ("x".join(str(side) for side in maps.shape[1:]) for maps in (raw, wanted))
        raise ConfigError(f"maps of {ours} and {theirs} cannot be compared; teacher and student need one upsampling")
    with torch.autocast(raw.device.type, enabled=False):
        apart = raw.float() - wanted.float()
        errors: Tensor = (blurred(apart) if apart.ndim == 4 else apart).square().flatten(1).mean(dim=1)
    return errors


class Measures(nn.Module):
    """What is measured once, before the first step, and saved with the training."""

    ready: Tensor
    low: Tensor  # smallest error of the teacher over the training samples
    high: Tensor  # largest one
    unit: Tensor  # loss of a blank answer over its squared error: brings imitation to the scale of the study's loss
    mean: Tensor  # of each channel of the teacher's hint
    std: Tensor

    def __init__(self, channels: int = 0) -> None:
        super().__init__()
        self.register_buffer("ready", torch.tensor(False))
        self.register_buffer("low", torch.tensor(float("inf")))
        self.register_buffer("high", torch.tensor(float("-inf")))
        self.register_buffer("unit", torch.tensor(1.0))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))

    @property
    def eta(self) -> Tensor:
        """Spread of the teacher's errors over the training samples."""
        return self.high - self.low

    def see(self, errors: Tensor) -> None:
        """Take the teacher's errors (B,) on some training samples in."""
        self.low = torch.minimum(self.low, errors.min())
        self.high = torch.maximum(self.high, errors.max())

    def scaled(self, hint: Tensor) -> Tensor:
        """A teacher's hint (B, C, H, W) or (B, C) with zero mean and unit deviation in every channel."""
        shape = (1, -1, *(1 for _ in hint.shape[2:]))
        centred: Tensor = (hint.float() - self.mean.view(shape)) / self.std.view(shape)
        return centred

    def set_scale(self, hint: Tensor) -> None:
        """Freeze mean and deviation of every channel; channels that never change keep their unit."""
        channels = hint.float().transpose(0, 1).flatten(1)
        std = channels.std(dim=1, unbiased=False)
        self.mean, self.std = channels.mean(dim=1), torch.where(std > 1e-6, std, torch.ones_like(std))


def phi_of(errors: Tensor, low: Tensor | float, eta: Tensor | float, form: str, *, clamp: bool) -> Tensor:
    """Attention to the teacher, one value per error (B,); 1 where it errs alike on all samples (eta 0).

    Args:
        errors: Of the teacher, (B,).
        low: Its smallest error over the training samples.
        eta: Largest minus smallest error.
        form: per_sample and seed are 1 - e / eta; shifted is 1 - (e - low) / eta, which spans 0 to 1.
        clamp: Keep to 0 .. 1; the papers' form goes below 0, which pushes the student away from its teacher.
    """
    spread = torch.zeros((), device=errors.device) + eta  # a number that is added, not copied, lets no card wait
    above = errors - low if form == "shifted" else errors
    phi = torch.where(spread > 0, 1 - above / spread.clamp(min=1e-30), torch.ones_like(errors))
    return phi.clamp(0, 1) if clamp else phi


def seed_eta(history: Sequence[float]) -> float:
    """Spread of the teacher's mean training losses, as the DL4SMLM package takes it; a ConfigError where unknown."""
    if len(history) < 2:
        said = "phi: seed needs the loss history of the teacher's training"
        raise ConfigError(f"{said}; use per_sample with this teacher")
    return max(history) - min(history)
