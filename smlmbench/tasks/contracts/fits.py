"""The contract of what a task says of a movie beside the frames that a network was trained on."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from smlmbench.predictions import Localizations


class Fitting(Protocol):
    """How one movie compares with a training; some frames of it were looked at before this was made."""

    @property
    def lines(self) -> Sequence[str]:
        """A line with numbers for each quantity that lies outside; none where the movie is alike."""

    def found(self, start: int, stop: int, table: Localizations) -> None:
        """Hear what a network found in frames start .. stop - 1, whose numbers the rows have."""

    @property
    def missed(self) -> str:
        """What was not found although it is there, in the frames that were heard of; or empty."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """All of it as plain values."""
