"""The contract of what a task measures of found things on the frames themselves, block by block."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from smlmbench.predictions import Localizations


class Measuring(Protocol):
    """What is measured on one movie; frames (n, H, W) are in photo-electrons, those of a table count from 0 there."""

    @property
    def names(self) -> str:
        """What is measured, in words."""

    @property
    def absent(self) -> str:
        """Why nothing can be measured, or empty."""

    def look(self, frames: NDArray[np.float32], table: Localizations) -> bool:
        """Learn from a stretch of the movie before anything is measured; True where no more are needed."""

    def measure(self, frames: NDArray[np.float32], table: Localizations) -> Localizations:
        """The table of a block with what is measured."""

    @property
    def told(self) -> str:
        """By what it was measured, in a few words."""

    @property
    def doubts(self) -> Sequence[str]:
        """A line for each reason to doubt what was measured, with its numbers."""
