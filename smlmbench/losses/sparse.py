"""What the losses with an L1 term share."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn


class SparseLoss(nn.Module, ABC):
    """lambda / 2 / A * error + mean |p|, the error and the map p as `_compared` gives them.

    Args:
        weight: Lambda, >= 0, for targets of unit mass.
        amplitude: Mass A of one emitter in the targets, where the error grows with its square.
    """

    def __init__(self, weight: float, amplitude: float = 1.0) -> None:
        super().__init__()
        self.weight = weight
        self.amplitude = amplitude

    def forward(self, raw: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Score raw maps (B, 1, UH, UW) against targets["spikes"] of the same shape.

        Returns:
            `loss`, and its detached parts `fidelity` (the error with its weight) and `sparsity`; always float32.
        """
        with torch.autocast(raw.device.type, enabled=False):
            error, seen = self._compared(raw.float(), targets["spikes"].float())
            fidelity = 0.5 * self.weight / self.amplitude * error
            sparsity = seen.abs().mean()
            return {"loss": fidelity + sparsity, "fidelity": fidelity.detach(), "sparsity": sparsity.detach()}

    @abstractmethod
    def _compared(self, given: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """The mean error of float32 maps, and the map whose L1 counts."""
