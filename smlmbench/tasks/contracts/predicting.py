"""What a task that writes its own results for a user's file is given (`smlmbench predict`)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from smlmbench.movies import Frames
from smlmbench.predictions import Localizations


class Given(Protocol):
    """A user's file, opened as what the task asks for."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def frames(self) -> Frames:
        """As a movie, in photons where the network was trained on them; a FormatError where it is none."""

    def table(self) -> Localizations:
        """As a table of localizations; a FormatError where it is none."""


@dataclass(frozen=True, slots=True)
class Predicted:
    """What `Task.predict` is asked.

    A task that has it states fact `predicts`, the endings of what it writes, such as ["_parameters.csv"]: the command
    sees that nothing is replaced, and the task writes to `path` of each of them (of some only, where the others do not
    apply). It reads the frames in blocks, never a movie whole.

    Attributes:
        given: The user's file.
        places: Where crops are to be cut (`--places TABLE`), or None.
        tuned: What was chosen on validation, by name.
        pixel_size_nm: Camera pixel as the user states it, else that of the training; NaN where neither is known.
        unit_sides: Height and width of what the network takes, or the length of spectra; empty for frames of any size.
        folder, stem: Where the results go, and what their names begin with.
        on_units: Hears units done, and those that there are.
    """

    given: Given
    places: Localizations | None
    tuned: Mapping[str, float]
    pixel_size_nm: float
    unit_sides: tuple[int, ...]
    folder: Path
    stem: str
    on_units: Callable[[int, int], None]

    @property
    def frames(self) -> Frames:
        """The user's file as a movie."""
        return self.given.frames

    def path(self, ending: str) -> Path:
        """Where the result with this ending is written."""
        return self.folder / f"{self.stem}{ending}"
