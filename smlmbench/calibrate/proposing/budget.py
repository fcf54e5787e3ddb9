"""How much a study for a movie trains, how fine its grid is, and about how long that takes on two cores."""

import math
from dataclasses import dataclass

from smlmbench.errors import ConfigError

FINE_PX_NM = 20.0  # of the grid that spikes stand on: about the precision of a bright spot
UPSAMPLINGS = (2, 4, 8)
FIELD_PX = 32
# Training of the three networks of `studyfile.MODELS` costs TRUNK + FINE * upsampling^2 seconds for each camera pixel
# of a sample, on two cores of 2020; all else of a study (scores, timing, the page) OTHER minutes.
TRUNK, FINE = 8e-6, 0.9e-6
OTHER = 2.5
MINUTES = 10.0
LEAST, STEP = 500, 100  # samples: below, networks have learned nothing worth a look
SCORED, FEWEST, MOST = 1500, 100, 1000  # emitters of a test condition, and its frames
THRESHOLD_EMITTERS, VAL_FRAMES = 5000, 1500  # of validation: the protocol's, and where it ends in sparse movies


@dataclass(frozen=True, slots=True)
class Budget:
    """Sizes of a study: side of its frames, fine grid, samples of each training, and minutes on two cores."""

    field_px: int
    upsampling: int
    samples: int
    minutes: float

    def test_frames(self, density_per_um2: float, pixel_size_nm: float) -> int:
        """Frames of a condition that hold about 1500 emitters, 100 to 400."""
        return _clipped(SCORED / (density_per_um2 * self.area_um2(pixel_size_nm)), FEWEST, MOST)

    def val_frames(self, density_per_um2: float, pixel_size_nm: float) -> int:
        """Frames that hold 5000 emitters, at most 1500."""
        return _clipped(THRESHOLD_EMITTERS / (density_per_um2 * self.area_um2(pixel_size_nm)), FEWEST, VAL_FRAMES)

    def area_um2(self, pixel_size_nm: float) -> float:
        """Area of a frame."""
        return (self.field_px * pixel_size_nm / 1000) ** 2


def budget(
    pixel_size_nm: float, sides_px: tuple[int, int], *, samples: int | None = None, minutes: float | None = None
) -> Budget:
    """Sizes for a movie of frames (height, width); without `samples` as many as fit into the minutes (default 10).

    Raises:
        ConfigError: Both are given, or the minutes are too few to train anything.
    """
    if samples is not None and minutes is not None:
        raise ConfigError("--samples and --minutes are both given; keep one")
    upsampling = min(UPSAMPLINGS, key=lambda factor: abs(math.log(pixel_size_nm / factor / FINE_PX_NM)))
    field_px = min(FIELD_PX, *sides_px)
    each_s = field_px**2 * (TRUNK + FINE * upsampling**2)
    if samples is None:
        left_s = 60 * ((minutes or MINUTES) - OTHER)
        samples = int(left_s / each_s) // STEP * STEP
        if samples < LEAST:
            least = OTHER + LEAST * each_s / 60
            raise ConfigError(f"--minutes {minutes:g}: too few to train; give {math.ceil(least)} or more, or --samples")
    return Budget(field_px, upsampling, samples, OTHER + samples * each_s / 60)


def _clipped(value: float, low: int, high: int) -> int:
    return min(max(math.ceil(value / 50) * 50, low), high)
