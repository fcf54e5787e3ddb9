"""`calibrate` of the Python interface, which loads what it needs on use."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from smlmbench.registry import Catalog
from smlmbench.run.using.options import Calibrating

if TYPE_CHECKING:
    from smlmbench.camera import Camera
    from smlmbench.run.movies.calibrating import Calibrated, CalibratedBeads

PathLike = str | os.PathLike[str]


def calibrate(
    movie: PathLike,
    pixel_size_nm: float,
    *,
    camera: "Camera | Mapping[str, Any] | PathLike | None" = None,
    dark: PathLike | None = None,
    bead_step_nm: float | None = None,
    output: PathLike | None = None,
    plugins: Sequence[Path] = (),
    **options: Unpack[Calibrating],
) -> "Calibrated | CalibratedBeads":
    """Measure what a movie says of its camera, optics and sample; or a z-scan of beads.

    Args:
        movie: File or folder of a movie in camera counts, or of a scan of beads.
        pixel_size_nm: Camera pixel.
        camera: Facts of the camera, their YAML file or a preset's name; by default it is found in the counts.
        dark: Movie of the same camera and settings without light.
        bead_step_nm: The movie is a scan of beads with this step; below 0 where it goes down.
        output: Folder for camera.yaml, optics.yaml, drift.csv, calibration.json and .png; None writes nothing.
        plugins: Files of further formats.
        **options: See `smlmbench.run.using.options.Calibrating`.

    Returns:
        Of a movie `measured` (numbers with their intervals), `check` (real and simulated frames beside each other) and
        `files`; of beads `found` and `files`.

    Raises:
        UserError: Files that cannot be read or are not to be replaced, a camera that the counts do not tell, no bead.

    Example:
        Width of the PSF and its interval::

            found = smlmbench.calibrate("cells.tif", 160, dark="dark.tif").measured
            print(found.spots.sigma_nm)
    """
    from smlmbench.run.movies.calibrating import Wanted, calibrate_beads, calibrate_movie
    from smlmbench.run.using.predicting import read_camera

    folder, black = (None if path is None else Path(path) for path in (output, dark))
    wanted = Wanted(Path(movie), pixel_size_nm, read_camera(camera), black, output=folder, **options)
    if bead_step_nm is None:
        return calibrate_movie(wanted, Catalog(plugins))
    return calibrate_beads(wanted, bead_step_nm, Catalog(plugins))
