"""What metrics of a phase mask look at."""

from dataclasses import dataclass

from smlmbench.predictions import Floats


@dataclass(frozen=True, slots=True)
class MaskSeen:
    """A mask (side, side) in radians, NaN outside the pupil, and its bounds of x, y, z (n, 3) nm at depths (n,)."""

    phase: Floats
    z_nm: Floats
    bounds_nm: Floats
