"""A classical fitter on a user's movie: the rows of a leaderboard that need no training, as a program of their own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from smlmbench.camera import Camera
from smlmbench.data.contracts import Condition
from smlmbench.errors import ConfigError, UnitError
from smlmbench.formats import open_movie
from smlmbench.inference.engine import Piece
from smlmbench.movies import BadPixels, Frames, Movie, calibrated, mending, window
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog
from smlmbench.run.automatic import measured_settings, optics_of
from smlmbench.run.using.blocks import Crew, Source
from smlmbench.run.using.replacing import Record
from smlmbench.run.using.writing import Written, write
from smlmbench.study.planning.references import optics_content

PIXELS_PER_BLOCK = 2**23  # some seconds of work


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


def fit_movie(
    request: FitRequest, catalog: Catalog, on_frames: Callable[[int, int], None], crew: Crew | None = None
) -> Written:
    """Fit a movie block by block and write `<movie>_locs.csv`, see `write`.

    Raises:
        UnitError: No pixel size.
        ConfigError: A setting that the fitter does not have, or workers for one that needs the whole movie.
        FormatError, EngineError: From `write`.
    """
    if crew is not None and not crew.slots.inline and _alone(request, catalog) is None:
        raise ConfigError(
            f"{request.fitter} looks at a whole movie (its card states no fact block_frames); leave workers out"
        )
    with opened(request, catalog) as source:
        return write(source, catalog, on_frames, crew)


@contextmanager
def opened(request: FitRequest, catalog: Catalog) -> Iterator[Source]:
    """The fitter of a request and its movie (errors as of `fit_movie`)."""
    with mending(open_movie(request.movie, catalog=catalog), request.bad_pixels) as movie:
        whole, settings = _asked(request, catalog, calibrated(movie, request.camera))
        frames, each = whole.frames, _alone(request, catalog) or movie.n_frames

        def pieces(first: int, stop: int) -> Iterator[Piece]:
            for start in range(first, stop, each):
                last = min(start + each, stop)
                part = replace(whole, frames=window(frames, frames=(start, last)))
                found = _fitted(request, catalog, part, settings)
                yield Piece(start, last, found.shifted(start, n_frames=movie.n_frames), None)

        card = catalog.card("references", request.fitter)
        camera = None if request.camera is None else request.camera.model_dump(mode="json")
        told = {**settings, "pixel_size_nm": whole.pixel_size_nm, "camera": camera}
        told |= optics_content(card, settings, catalog)
        told |= {} if request.bad_pixels == "refuse" else {"bad_pixels": request.bad_pixels}
        file = catalog.plugin_hash("references", request.fitter)
        named = {"name": request.fitter, "version": card.version, "plugin": file}
        yield Source(
            opener=opened,
            request=request,
            movie=movie,
            shown=frames,
            total=movie.n_frames,
            record=Record(movie, request.output, named, told),
            block=each * max(1, PIXELS_PER_BLOCK // (movie.height * movie.width * each)),
            pieces=pieces,
            pixel_nm=whole.pixel_size_nm,
        )


def fit_frames(request: FitRequest, catalog: Catalog, movie: Movie) -> Localizations:
    """Fit an open movie into memory; its file and the folder of the request are not looked at.

    Raises:
        UserError: As `fit_movie`.
    """
    return _fitted(request, catalog, *_asked(request, catalog, calibrated(movie, request.camera)))


def _asked(request: FitRequest, catalog: Catalog, frames: Frames) -> tuple[Condition, dict[str, Any]]:
    """The movie as a fitter is given it, and the settings with what they ask of it."""
    pixel_size_nm, settings = _known(request, catalog)
    camera, shape = request.camera, (frames.height, frames.width)
    condition = Condition(
        name=request.movie.name,
        frames=frames,
        truth=None,
        told={"pixel_size_nm": pixel_size_nm, **({} if camera is None else camera.noise.told())},
        calibrated=camera is not None,
        noise_map=None if camera is None or camera.maps is None else camera.noise_map(shape),
        optics=optics_of(catalog.card("references", request.fitter), settings, catalog),
    )
    return condition, measured_settings(settings, condition)


def _fitted(request: FitRequest, catalog: Catalog, condition: Condition, settings: Mapping[str, Any]) -> Localizations:
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


def _alone(request: FitRequest, catalog: Catalog) -> int | None:
    """Frames that the fitter looks at together, from a multiple of them on; None where that is the whole movie."""
    told = catalog.card("references", request.fitter).facts.get("block_frames")
    return None if told is None else int(told)
