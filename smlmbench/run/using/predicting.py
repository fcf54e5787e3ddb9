"""A trained network on a user's movie: table and summed image, without truth, written while they come."""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from smlmbench.camera import Camera
from smlmbench.camera.reading import camera_in, camera_of_file, settled, unused_pixel
from smlmbench.errors import ConfigError, LossWarning, UnitError
from smlmbench.formats import open_movie
from smlmbench.inference.allocator import keep_buffers
from smlmbench.inference.devices import resolve_device
from smlmbench.inference.engine import Piece, ReadOut, frames_per_block, predict, stream
from smlmbench.inference.loading import Runnable, load
from smlmbench.movies import BadPixels, Frames, Movie, calibrated, mending, window
from smlmbench.predictions import Localizations, Raster
from smlmbench.registry import Catalog
from smlmbench.run.fits import fitting
from smlmbench.run.using.blocks import Crew, Source
from smlmbench.run.using.likeness import Told
from smlmbench.run.using.measuring import Measurer, measurer
from smlmbench.run.using.replacing import Record
from smlmbench.run.using.writing import Written, write
from smlmbench.study.digests import file_digest, short_hash

PIXEL_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class Request:
    """What to predict."""

    checkpoint: Path  # `best.pt`, or an exported file (.onnx, .xml, .pte, bioimage.io .zip)
    movie: Path
    output: Path  # folder for the results
    camera: Camera | None = None  # needed where the network was trained on photons
    pixel_size_nm: float | None = None  # of the movie's camera; None takes the network's
    threshold: float | None = None  # instead of the one chosen on validation
    table_format: str = "thunderstorm_csv"  # a registered one
    device: str = "auto"  # or cpu, cuda, mps
    frames: tuple[int, int] | None = None  # first frame and the one after the last; None takes all
    runtime: str | None = None  # what runs a checkpoint; None takes eager, or an exported file's own
    number_format: str = "fp32"  # or bf16; int8 is a property of an exported file
    overwrite: bool = False  # whether results of another movie, or made otherwise, may be replaced
    bad_pixels: BadPixels = "refuse"  # NaN or infinite
    measure: bool = True  # what the network's task measures of found things, on the frames
    psf_sigma_nm: float | None = None  # for that, instead of what the movie's own spots say
    ready: Runnable | None = None  # the checkpoint, where it is loaded already
    task: str = ""  # of the network; where it writes its own results, see `smlmbench.run.using.asked_of_tasks`
    places: Path | None = None  # table of where crops are to be cut, for a task that asks for it


def read_camera(text: str | os.PathLike[str] | Mapping[str, Any] | Camera | None) -> Camera | None:
    """A camera from its facts, a preset's name, a YAML file or YAML such as `{kind: emccd, e_per_adu: 45}`.

    DECODE's parameter file is such a file; a LossWarning says that its pixel size is not taken over.

    Raises:
        ConfigError: Not a camera; the first problem is named.
        FormatError, SizeError: A map that is no map, or maps that differ in size.
    """
    if text is None or isinstance(text, Camera):
        return text
    content: Any = text
    if not isinstance(text, Mapping):
        path = Path(text)
        content = camera_of_file(path) if path.is_file() else camera_in(str(text))
    try:
        content = settled(content, Path.cwd())
    except ValueError as error:
        raise ConfigError(f"--camera: {error}") from None
    if not isinstance(content, Mapping):
        raise ConfigError(f"--camera {text}: not a camera; give a YAML file or '{{kind: emccd, e_per_adu: 45, ...}}'")
    if (size := unused_pixel(content)) is not None:
        said = (
            f"px_size {size} of DECODE's block Camera is not taken over; --pixel-size-nm states it where it is needed"
        )
        warnings.warn(said, LossWarning, stacklevel=2)
    try:
        camera = Camera.model_validate(dict(content))
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "value_error":
            raise ConfigError(f"--camera: {first['msg'].removeprefix('Value error, ')}") from None
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"--camera: {where}: {first['msg']}; accepted: {', '.join(Camera.model_fields)}") from None
    camera.check()
    return camera


def predict_movie(
    request: Request, catalog: Catalog, on_frames: Callable[[int, int], None], crew: Crew | None = None
) -> Written:
    """Predict a movie and write table and summed image, see `write`; a network that learned images has no table.

    Raises:
        UnitError: Pixel size or camera do not fit what the network was trained on.
        SizeError: A range of frames that the movie does not have.
        FormatError, EngineError: From `write`.
    """
    with opened(request, catalog) as source:
        return write(source, catalog, on_frames, crew)


@contextmanager
def opened(request: Request, catalog: Catalog) -> Iterator[Source]:
    """The network of a request and its movie (errors as of `predict_movie`)."""
    device, model, read_out = _localizing(request, catalog)
    measure = _measurer(request, model, read_out, catalog)
    with mending(open_movie(request.movie, catalog=catalog), request.bad_pixels) as movie:
        shown, first, total = _shown(request, movie, model)

        def pieces(start: int, stop: int) -> Iterator[Piece]:
            for found in stream(shown, model.network, read_out, device=device, first=start, stop=stop):
                piece = found if measure is None else measure(found)
                yield replace(piece, table=_renumbered(piece.table, first, total), frames=None)

        yield Source(
            opener=opened,
            request=replace(request, ready=None),  # which would be sent to the workers
            movie=movie,
            shown=shown,
            total=total,
            record=_record(request, model, read_out, movie, catalog),
            block=frames_per_block(shown, read_out, device),
            pieces=pieces,
            pixel_nm=read_out.pixel_nm,
            measure=measure,
            look=lambda: None if measure is None else measure.look(shown, model, read_out, device),
            raster=read_out.raster if read_out.keep_image and hasattr(read_out.output, "image") else None,
            keeps_table=read_out.keep_table,
            first=first,
            fit=lambda: fitting(model.facts, shown, catalog),
        )


def predict_frames(request: Request, catalog: Catalog, movie: Movie) -> Localizations | Raster:
    """The table of an open movie, with its frame numbers, in memory; the summed image where there is none.

    Raises:
        UserError: As `predict_movie`.
    """
    device, model, read_out = _localizing(request, catalog)
    shown, first, total = _shown(request, movie, model)
    measure = _measurer(request, model, read_out, catalog)
    if measure is not None:
        measure.look(shown, model, read_out, device)
    told = Told(lambda: fitting(model.facts, shown, catalog), request, read_out.pixel_nm)
    told.begin()
    few = replace(read_out, keep_image=not read_out.keep_table)
    found = predict(shown, model.network, few, device=device, finish=measure)
    if measure is not None:
        measure.finish()
    told.hear(0, shown.n_frames, found.table)
    told.finish()
    answer = found.image if found.table is None else _renumbered(found.table, first, total)
    assert answer is not None  # noqa: S101 (`_localizing` refuses a network that gives neither)
    return answer


def _localizing(request: Request, catalog: Catalog) -> tuple[torch.device, Runnable, ReadOut]:
    """The network on its device, after it was seen to fit what the request says of the movie."""
    device, model, read_out = ready(request, catalog)
    check_units(request, model.facts, model.read_out.pixel_nm)
    if request.places is not None:
        raise ConfigError("--places says where crops are cut, and this network takes whole frames; leave it out")
    if not read_out.keep_table and not hasattr(read_out.output, "image"):
        raise UnitError(f"output kind '{model.facts['output']['name']}' gives no table; choose another model")
    return device, model, read_out


def ready(request: Request, catalog: Catalog) -> tuple[torch.device, Runnable, ReadOut]:
    """The network on its device, and how it is read."""
    keep_buffers()
    device = resolve_device(request.device)
    model = request.ready or load(request.checkpoint, catalog, device, request.runtime, request.number_format)
    read_out = model.read_out
    if request.pixel_size_nm is not None:
        read_out = replace(read_out, settings={**read_out.settings, "pixel_size_nm": request.pixel_size_nm})
    if request.threshold is not None:
        read_out = replace(read_out, threshold=request.threshold)
    return device, model, read_out


def _measurer(request: Request, model: Runnable, read_out: ReadOut, catalog: Catalog) -> Measurer | None:
    stated = {} if request.psf_sigma_nm is None else {"psf_sigma_nm": request.psf_sigma_nm}
    return measurer(model, read_out, request.camera, stated, catalog) if request.measure else None


def _shown(request: Request, movie: Movie, model: Runnable) -> tuple[Frames, int, int]:
    """The frames that are asked for, the number of the first, and that of all."""
    frames: Frames = calibrated(movie, request.camera if model.facts["calibrated"] else None)
    if request.frames is None:
        return frames, 0, frames.n_frames
    return window(frames, frames=request.frames), request.frames[0], frames.n_frames


def network_digest(checkpoint: Path, catalog: Catalog) -> str:
    """What tells one network from another: the content of its files."""
    exports = [catalog.card("exports", name).facts for name in catalog.names("exports")]
    suffix = checkpoint.suffix.lower()
    beside = [end for facts in exports if facts["suffix"] == suffix for end in facts.get("sidecars", [])]
    files = [checkpoint, *filter(Path.is_file, map(checkpoint.with_suffix, beside))]
    return str(short_hash([file_digest(file) for file in files]))


def _record(request: Request, model: Runnable, read_out: ReadOut, movie: Movie, catalog: Catalog) -> Record:
    """What the results are of: the network by its files, and how it is run and read."""
    settings = {
        "threshold": read_out.threshold,
        "frames": request.frames,
        "camera": None if request.camera is None else request.camera.model_dump(mode="json"),
        **read_out.settings,
        "runtime": model.runtime,
        "number_format": model.number_format,
        **({} if request.bad_pixels == "refuse" else {"bad_pixels": request.bad_pixels}),
        "measured": [request.measure, request.psf_sigma_nm],
    }
    named = {"name": model.facts["model"]["name"], "digest": network_digest(request.checkpoint, catalog)}
    return Record(movie, request.output, named, settings)


def _renumbered(table: Localizations | None, first: int, total: int) -> Localizations | None:
    """Frame numbers of the whole movie."""
    return None if table is None else table.shifted(first, n_frames=total)


def check_units(request: Request, facts: Mapping[str, Any], trained_nm: float) -> None:
    """Refuse a movie whose unit or pixel is not the one that the network was trained on.

    Raises:
        UnitError: No camera where photons are expected, or another pixel size.
    """
    if facts["calibrated"] and request.camera is None:
        raise UnitError(
            "the network expects photons and no camera is given; add --camera '{kind: emccd, baseline_adu: 100, "
            "e_per_adu: 45, em_gain: 300}' with your camera's values"
        )
    given = request.pixel_size_nm
    if given is not None and abs(given / trained_nm - 1) > PIXEL_TOLERANCE:  # never where the network's is unknown
        raise UnitError(
            f"the movie's pixel is {given:g} nm, the network was trained on {trained_nm:g} nm; "
            "train on the movie's pixel size"
        )
