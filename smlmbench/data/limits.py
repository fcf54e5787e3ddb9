"""What a source states of its optics, so that its emitters can be bounded."""

from typing import Any

import numpy as np

from smlmbench.camera import Camera
from smlmbench.limit.bounds import Limit, drawn_from
from smlmbench.predictions import Localizations
from smlmbench.psf.contracts import Psf
from smlmbench.study.sources import MovieSource, SimulateSource

# that train and test share
SIMULATOR = ("psf", "cameras", "read_as", "pixel_size_nm", "photons", "background_photons", "background", "z_nm")


def simulated(source: SimulateSource, optics: Psf, table: Localizations, taught: Any = None) -> Limit | str:
    """Of a frozen set of one camera; its prior is known to rows that are trained (`taught`) on the same simulator."""
    if source.more_cameras:
        return "the frames are of several cameras"
    same = taught is None or all(getattr(taught, name, None) == getattr(source, name) for name in SIMULATOR)
    deep = optics.depth_nm is not None and len(table) > 1 and bool(np.ptp(table.z_nm) > 0)
    return Limit(optics, source.camera, source.pixel_size_nm, deep, drawn_from(table) if same else None)


def stated(source: MovieSource, optics: Psf | None) -> Limit | str:
    """Of a movie from files, whose photons nobody has drawn; or what is not stated."""
    if optics is None:
        return "the PSF is not stated"
    if not isinstance(source.camera, Camera):
        return "the camera is not stated"
    return Limit(optics, source.camera, source.pixel_size_nm, optics.depth_nm is not None)
