"""A classical fitter on a user's movie: the rows of a leaderboard that need no training, as a program of their own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from smlmbench.camera import Camera
from smlmbench.data.contracts import Condition
from smlmbench.errors import ConfigError, UnitError
from smlmbench.formats import open_movie, write_table
from smlmbench.formats.options import TableOptions
from smlmbench.movies import BadPixels, Frames, Movie, calibrated, mending
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog
from smlmbench.run.using.predicting import Written, table_files
from smlmbench.run.using.replacing import Record, make_folder


@dataclass(frozen=True, slots=True)
class FitRequest:
    """What to fit."""

    fitter: str  # registered reference that finds positions in any movie
    movie: Path  # file or folder
    output: Path  # folder for the table
    pixel_size_nm: float | None = None  # of the camera
    camera: Camera | None = None  # without it photons, background and precision stay unknown
    settings: dict[str, Any] = field(default_factory=dict)  # of the fitter
    table_format: str = "thunderstorm_csv"  # a registered one
    overwrite: bool = False  # whether results of another movie, or made otherwise, may be replaced
    bad_pixels: BadPixels = "refuse"  # NaN or infinite


def fitters(catalog: Catalog) -> list[str]:
    """References that localize any movie: those that are timed as programs are."""
    return [name for name in catalog.names("references") if catalog.card("references", name).facts.get("timed")]


def fit_settings(sets: Sequence[str]) -> dict[str, Any]:
    """Settings from `--set name=value`.

    Raises:
        ConfigError: Not a name and a value.
    """
    found: dict[str, Any] = {}
    for text in sets:
        name, equals, value = text.partition("=")
        try:
            if not equals or not name.strip():
                raise ValueError
            found[name.strip()] = yaml.safe_load(value)
        except (ValueError, yaml.YAMLError):
            raise ConfigError(f"--set {text}: not SETTING=VALUE; write for example sigma_nm=130") from None
    return found


def fit_movie(request: FitRequest, catalog: Catalog, on_frames: Callable[[int, int], None]) -> Written:
    """Fit a movie block by block and write `<movie>_locs.csv`.

    Raises:
        UnitError: No pixel size.
        ConfigError: A setting that the fitter does not have.
        FormatError: Files that are there are not of this movie, fitter and settings; see `Record`.
    """
    results = table_files(request.movie, request.output, request.table_format, catalog)
    with mending(open_movie(request.movie, catalog=catalog), request.bad_pixels) as movie:
        pixel_size_nm, settings = _known(request, catalog)
        card = catalog.card("references", request.fitter)
        make_folder(request.output)
        camera = None if request.camera is None else request.camera.model_dump(mode="json")
        told = {**settings, "pixel_size_nm": pixel_size_nm, "camera": camera}
        told |= {} if request.bad_pixels == "refuse" else {"bad_pixels": request.bad_pixels}
        file = catalog.plugin_hash("references", request.fitter)
        record = Record(movie, request.output, {"name": request.fitter, "version": card.version, "plugin": file}, told)
        record.begin(results, overwrite=request.overwrite)
        try:
            table = fit_frames(request, catalog, movie, on_frames)
        except BaseException:
            record.withdraw()
            raise
    options = TableOptions(pixel_size_nm=request.pixel_size_nm, camera=request.camera)
    write_table(table, results[0], catalog=catalog, format=request.table_format, options=options)
    record.finish(results)
    return Written(results[0], None, len(table), table.n_frames)


def fit_frames(
    request: FitRequest, catalog: Catalog, movie: Movie, on_frames: Callable[[int, int], None] = lambda *_: None
) -> Localizations:
    """Fit an open movie into memory; its file and the folder of the request are not looked at.

    Raises:
        UserError: As `fit_movie`.
    """
    pixel_size_nm, settings = _known(request, catalog)
    condition = Condition(
        name=request.movie.name,
        frames=_Counted(calibrated(movie, request.camera), on_frames),
        truth=None,
        told={"pixel_size_nm": pixel_size_nm},
        calibrated=request.camera is not None,
    )
    found: Localizations = catalog.module("references", request.fitter).predict(condition, settings, {}, 0).table
    if request.camera is not None:
        return found
    # Counts are no photons, and a precision computed from them is wrong by an unknown factor.
    unknown = np.full(len(found), np.nan)
    return replace(found, photons=unknown, background_photons=unknown, sigma_x_nm=unknown, sigma_y_nm=unknown)


def _known(request: FitRequest, catalog: Catalog) -> tuple[float, dict[str, Any]]:
    """The camera pixel and the settings of the fitter, after seeing that all is there."""
    if request.pixel_size_nm is None:
        raise UnitError(f"'{request.fitter}' needs the camera pixel of the movie; add --pixel-size-nm")
    return request.pixel_size_nm, catalog.card("references", request.fitter).fill(request.fitter, request.settings)


class _Counted:
    """Frames that tell how far they were read."""

    def __init__(self, source: Frames, on_frames: Callable[[int, int], None]) -> None:
        self._source, self._on_frames = source, on_frames
        self.n_frames, self.height, self.width = source.n_frames, source.height, source.width

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        block = self._source.read(start, stop)
        self._on_frames(stop, self.n_frames)
        return block
