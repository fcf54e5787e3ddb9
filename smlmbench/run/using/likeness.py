"""What a user is told of a movie that is unlike what a network was trained on, and the file of it."""

import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from smlmbench.addresses import command
from smlmbench.errors import UnlikeWarning, unwritable
from smlmbench.predictions import Localizations
from smlmbench.tasks.contracts.fits import Fitting


class Told:
    """Compares a movie before its first piece, hears what was found in the pieces, and tells both as warnings.

    Args:
        fit: Makes the comparison; None where there is none.
        request: What is predicted: its `movie`, `output` and `camera` are looked at.
        pixel_nm: Camera pixel of the movie.
        first: Number of the first frame that is asked for.
    """

    def __init__(self, fit: Callable[[], Fitting | None], request: Any, pixel_nm: float, first: int = 0) -> None:
        self._make, self._first = fit, first
        self._fit: Fitting | None = None
        self._begun = False
        self._name, self.path = request.movie.name, request.output / f"{request.movie.stem}_fit.json"
        self._retrain = retraining(request.movie, pixel_nm, with_camera=request.camera is not None)

    def begin(self) -> None:
        """Compare, and tell what lies outside."""
        self._fit, self._begun = self._make(), True
        if self._fit is not None:
            self._tell(self._fit.lines)

    def hear(self, start: int, stop: int, table: Localizations | None) -> None:
        """Take in what was found in frames start .. stop - 1 of those asked for; rows have the movie's numbers."""
        if self._fit is not None and table is not None:
            self._fit.found(start, stop, table.shifted(-self._first) if self._first else table)

    def finish(self) -> Mapping[str, Any] | None:
        """Tell what was not found although it is there; all facts, None where nothing was compared."""
        if self._fit is None:
            return None
        self._tell([self._fit.missed] if self._fit.missed else [])
        return self._fit.facts

    def write(self) -> Mapping[str, Any] | None:
        """The same with its file; where an earlier command did all the work, what that one has told.

        Raises:
            FormatError: The file cannot be written.
        """
        if not self._begun:
            return self._earlier()
        facts = self.finish()
        try:
            if facts is None:
                self.path.unlink(missing_ok=True)  # of another network
            else:
                self.path.write_text(json.dumps(facts, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise unwritable("comparison", self.path, error) from None
        return facts

    def _earlier(self) -> Mapping[str, Any] | None:
        try:
            facts: Mapping[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
            self._tell(list(facts["lines"]))
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return facts

    def _tell(self, lines: Sequence[str]) -> None:
        for number, line in enumerate(lines, 1):
            advice = f": retrain with `{self._retrain}`" if self._retrain and number == len(lines) else ""
            warnings.warn(f"'{self._name}': {line}{advice}", UnlikeWarning, stacklevel=4)


def retraining(movie: Path, pixel_nm: float, *, with_camera: bool) -> str:
    """The command that writes a study for a movie; empty for one that is no file."""
    if not movie.exists():
        return ""
    pixel = ["--pixel-size-nm", f"{pixel_nm:g}"] if math.isfinite(pixel_nm) else []
    return command("smlmbench", "study", movie, *pixel, *(["--camera", "camera.yaml"] if with_camera else []))
