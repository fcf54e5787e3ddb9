"""What a task measures of found things on a user's movie, beside the network: when, on which pixels, at what cost."""

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench import tasks
from smlmbench.camera import Camera
from smlmbench.errors import ConfigError, DoubtWarning
from smlmbench.inference.engine import Piece, ReadOut, stream
from smlmbench.inference.loading import Runnable
from smlmbench.movies import Frames, stretches, window
from smlmbench.registry import Catalog
from smlmbench.tasks.contracts.measuring import Measuring


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured and by what, in words; the seconds that it took, and their share of the command's."""

    said: str
    seconds: float
    share: float


class Measurer:
    """Measures what a network found, piece by piece, and counts the time.

    Before the first piece the network is run on short stretches of the whole movie, so that a prediction that was
    stopped goes on as it began; what is `learned` so serves other processes too.
    """

    def __init__(self, measuring: Measuring, camera: Camera | None, *, calibrated: bool) -> None:
        self.learned, self._camera = measuring, None if calibrated else camera
        self._began = time.perf_counter()
        self._seconds = self._elsewhere_s = 0.0
        self._lacking = self._several = False

    def look(self, frames: Frames, model: Runnable, read_out: ReadOut, device: torch.device) -> None:
        """Learn what is needed from some stretches of the movie."""
        began = time.perf_counter()
        few = replace(read_out, keep_image=False)
        parts = iter(stretches(frames))
        enough = False
        while not enough and (part := next(parts, None)) is not None:
            for piece in stream(window(frames, frames=part), model.network, few, device=device):
                enough = enough or self._looked(piece)
        self._seconds += time.perf_counter() - began

    def _looked(self, piece: Piece) -> bool:
        if piece.table is None or piece.frames is None:
            return True
        return self.learned.look(self._photons(piece.frames), piece.table.shifted(-piece.start))

    def __call__(self, piece: Piece) -> Piece:
        """The piece with what is measured in its table."""
        if piece.table is None or not len(piece.table) or np.isfinite(piece.table.photons).any():
            return piece
        self._lacking, self._several = True, piece.frames is None
        if self.learned.absent or piece.frames is None:
            return piece
        began = time.perf_counter()
        table = self.learned.measure(self._photons(piece.frames), piece.table.shifted(-piece.start))
        self._seconds += time.perf_counter() - began
        return replace(piece, table=table.shifted(piece.start))

    def spent(self) -> tuple[float, bool, bool]:
        """The seconds so far, whether anything lacked, whether frames had several channels; counted anew from here."""
        spent = (self._seconds, self._lacking, self._several)
        self._seconds, self._lacking, self._several = 0.0, False, False
        return spent

    def count(self, seconds: float, lacking: bool, several: bool, *, elsewhere_s: float) -> None:
        """Count what another process has `spent`, of `elsewhere_s` that its work took."""
        self._seconds += seconds
        self._elsewhere_s += elsewhere_s
        self._lacking, self._several = self._lacking or lacking, self._several or several

    def finish(self) -> Measured | None:
        """The cost, None where nothing was to be measured or could be; a DoubtWarning for whatever is doubtful."""
        if not self._lacking:
            return None
        names = self.learned.names
        absent = "frames have several channels" if self._several else self.learned.absent
        for line in [f"no {names}: {absent}"] if absent else self.learned.doubts:
            warnings.warn(line, DoubtWarning, stacklevel=3)
        whole = max(time.perf_counter() - self._began, self._elsewhere_s)
        return None if absent else Measured(f"{names}: {self.learned.told}", self._seconds, self._seconds / whole)

    def _photons(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        return frames if self._camera is None else self._camera.to_photons(frames)


def measurer(
    model: Runnable, read_out: ReadOut, camera: Camera | None, stated: Mapping[str, float], catalog: Catalog
) -> Measurer | None:
    """What the network's task measures; None where it measures nothing, or there is no table.

    Raises:
        ConfigError: Something is stated that cannot be, or that nothing is measured by.
    """
    known = {"pixel_size_nm": read_out.pixel_nm, **({} if camera is None else camera.noise.told())}
    if (sigma_nm := model.facts.get("psf_sigma_nm")) is not None:
        known["psf_sigma_nm"] = float(sigma_nm)
    if light := model.facts.get("gaussian_light"):
        known["gaussian_light_low"], known["gaussian_light_high"] = map(float, light)
    positions = read_out.keep_table and "task" in model.facts
    found = tasks.load(model.facts["task"], catalog).measuring(known, stated) if positions else None
    if found is None and stated:
        raise ConfigError("this network finds no positions at which a PSF is fitted; leave --psf-sigma-nm out")
    return None if found is None else Measurer(found, camera, calibrated=bool(model.facts["calibrated"]))
