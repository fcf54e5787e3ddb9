"""Rows as a task sees them: a trained network, or a reference, that is ready to answer."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from smlmbench.data.contracts import Condition
from smlmbench.movies import Frames

if TYPE_CHECKING:
    import torch

OnUnits = Callable[[int], None] | None


class Model(Protocol):
    """A trained network that is ready to answer, as `inference` makes it."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Of its output kind, with the camera pixel (`pixel_size_nm`)."""

    @property
    def network(self) -> Callable[..., "torch.Tensor"]:
        """What answers; a module unless a runtime made something else of it."""

    def movie(
        self, frames: Frames, threshold: float, *, keep_image: bool = True, keep_table: bool = True,
        on_frames: OnUnits = None,
    ) -> Any:  # fmt: skip
        """Stream frames: their table and the sum of their fine images, as a `Prediction`."""

    def raw(self, frames: Frames, on_frames: OnUnits = None) -> "Iterable[torch.Tensor]":
        """Raw output of batches of units, in order, on the CPU."""

    def decoded(self, raw: "torch.Tensor", threshold: float = float("nan")) -> Any:
        """What the output kind reads out of raw output."""


class Referee(Protocol):
    """A reference ready to answer: settings, output settings and seed are given already."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Its own."""

    @property
    def output(self) -> Mapping[str, Any]:
        """Of the output kind whose grid it draws on, with the camera pixel."""

    def __call__(self, condition: Condition) -> Any:
        """What it says about a condition."""
