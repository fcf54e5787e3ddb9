"""A trained network on a user's movie: table and summed image, without truth, written while they come."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from pydantic import ValidationError

from smlmbench.camera import Camera
from smlmbench.errors import ConfigError, UnitError
from smlmbench.formats import open_movie, read_table, write_table
from smlmbench.formats.options import TableOptions
from smlmbench.formats.tiff_image import write_raster
from smlmbench.inference.allocator import keep_buffers
from smlmbench.inference.devices import resolve_device
from smlmbench.inference.engine import ReadOut, predict, stream
from smlmbench.inference.journal import Append, Journal
from smlmbench.inference.loading import Runnable, load
from smlmbench.movies import Frames, Movie, calibrated, window
from smlmbench.predictions import Localizations, Raster
from smlmbench.registry import Catalog
from smlmbench.study.identity import file_digest

PIXEL_TOLERANCE = 0.02
BETWEEN = "smlmbench_csv"


@dataclass(frozen=True, slots=True)
class Request:
    """What to predict.

    Attributes:
        checkpoint: `best.pt`, or an exported file (.onnx, .xml, .pte, bioimage.io .zip).
        movie: Movie file.
        output: Folder for the results.
        camera: Facts of the camera; needed where the network was trained on photons.
        pixel_size_nm: Camera pixel of the movie; None takes the network's.
        threshold: Instead of the one chosen on validation.
        table_format: Registered format of the table.
        device: auto, cpu, cuda or mps.
        frames: First frame and the one after the last; None takes all.
        runtime: What runs a checkpoint; None takes eager, or an exported file's own.
        number_format: fp32 or bf16; int8 is a property of an exported file.
    """

    checkpoint: Path
    movie: Path
    output: Path
    camera: Camera | None = None
    pixel_size_nm: float | None = None
    threshold: float | None = None
    table_format: str = "thunderstorm_csv"
    device: str = "auto"
    frames: tuple[int, int] | None = None
    runtime: str | None = None
    number_format: str = "fp32"


@dataclass(frozen=True, slots=True)
class Written:
    """What was written, and how much was found; networks that learned from image pairs write no table.

    `resumed` frames were done by an earlier command.
    """

    table: Path | None
    image: Path | None
    localizations: int
    frames: int
    resumed: int = 0


def read_camera(text: str | os.PathLike[str] | Mapping[str, Any] | Camera | None) -> Camera | None:
    """A camera from its facts, a YAML file or YAML on the command line such as `{kind: emccd, e_per_adu: 45}`.

    Raises:
        ConfigError: Not a camera; the first problem is named.
    """
    if text is None or isinstance(text, Camera):
        return text
    content: Any = text
    if not isinstance(text, Mapping):
        path = Path(text)
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8") if path.is_file() else str(text))
        except (yaml.YAMLError, OSError, UnicodeDecodeError):
            content = None
    if isinstance(content, Mapping) and set(content) == {"camera"}:
        content = content["camera"]
    if not isinstance(content, Mapping):
        raise ConfigError(f"--camera {text}: not a camera; give a YAML file or '{{kind: emccd, e_per_adu: 45, ...}}'")
    try:
        return Camera.model_validate(dict(content))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"--camera: {where}: {first['msg']}; accepted: {', '.join(Camera.model_fields)}") from None


def predict_movie(request: Request, catalog: Catalog, on_frames: Callable[[int, int], None]) -> Written:
    """Predict a movie and write `<movie>_locs.csv` and `<movie>_sum.tif`; only the image with image pairs' networks.

    Table and sum are on disk while they come; the same command again continues one that was stopped.

    Args:
        request: What to predict.
        catalog: Registered things.
        on_frames: Called with the frames done by this command, and those that it has to do.

    Raises:
        UnitError: Pixel size or camera do not fit what the network was trained on.
        SizeError: A range of frames that the movie does not have.
    """
    device, model, read_out = _ready(request, catalog)
    movie = open_movie(request.movie, catalog=catalog)
    try:
        shown, first, total = _shown(request, movie, model)
        table = _table_path(request, catalog)
        table.parent.mkdir(parents=True, exist_ok=True)
        journal = Journal(table, _identity(request, model, read_out), _append(request, catalog, read_out))
        try:
            for piece in stream(shown, model.network, read_out, device=device, first=journal.done):
                journal.add(replace(piece, table=_renumbered(piece.table, first, total)))
                on_frames(journal.done - journal.resumed, shown.n_frames - journal.resumed)
        finally:
            journal.commit()
    finally:
        movie.close()
    field_nm = (shown.width * _pixel_nm(read_out), shown.height * _pixel_nm(read_out))
    nothing = Localizations.empty(n_frames=total, field_nm=field_nm)
    return _finish(request, catalog, journal, (table, read_out, nothing))


def predict_frames(request: Request, catalog: Catalog, movie: Movie) -> Localizations | Raster:
    """Predict an open movie into memory; its file and the folder of the request are not looked at.

    Returns:
        The table, with frame numbers of the whole movie; the summed image where there is none.

    Raises:
        UserError: As `predict_movie`.
    """
    device, model, read_out = _ready(request, catalog)
    shown, first, total = _shown(request, movie, model)
    found = predict(shown, model.network, replace(read_out, keep_image=not read_out.keep_table), device=device)
    answer = found.image if found.table is None else _renumbered(found.table, first, total)
    assert answer is not None  # noqa: S101 (`_ready` refuses a network that gives neither)
    return answer


def _ready(request: Request, catalog: Catalog) -> tuple[torch.device, Runnable, ReadOut]:
    """The network on its device, after it was seen to fit what the request says of the movie."""
    keep_buffers()
    device = resolve_device(request.device)
    model = load(request.checkpoint, catalog, device, request.runtime, request.number_format)
    _check_units(request, model.facts, float(model.read_out.settings["pixel_size_nm"]))
    read_out = _read_out(request, model)
    if not read_out.keep_table and not hasattr(read_out.output, "image"):
        raise UnitError(f"output kind '{model.facts['output']['name']}' gives no table; choose another model")
    return device, model, read_out


def _shown(request: Request, movie: Movie, model: Runnable) -> tuple[Frames, int, int]:
    """The frames that are asked for, the number of the first, and that of all."""
    frames: Frames = calibrated(movie, request.camera if model.facts["calibrated"] else None)
    if request.frames is None:
        return frames, 0, frames.n_frames
    return window(frames, frames=request.frames), request.frames[0], frames.n_frames


def _read_out(request: Request, model: Runnable) -> ReadOut:
    settings: dict[str, Any] = dict(model.read_out.settings)
    if request.pixel_size_nm is not None:
        settings["pixel_size_nm"] = request.pixel_size_nm
    threshold = model.read_out.threshold if request.threshold is None else request.threshold
    return replace(model.read_out, settings=settings, threshold=threshold)


def _pixel_nm(read_out: ReadOut) -> float:
    return float(read_out.settings["pixel_size_nm"])


def _table_path(request: Request, catalog: Catalog) -> Path:
    suffix = catalog.card("formats", request.table_format).facts["suffixes"][0]
    return request.output / f"{request.movie.stem}_locs{suffix}"


def _identity(request: Request, model: Runnable, read_out: ReadOut) -> dict[str, Any]:
    """All that the results depend on; a journal of other results is not continued."""
    movie = request.movie.stat()
    return {
        "model": file_digest(request.checkpoint),
        "movie": [request.movie.name, movie.st_size, movie.st_mtime_ns],
        "frames": request.frames,
        "threshold": read_out.threshold,
        "settings": dict(read_out.settings),
        "camera": None if request.camera is None else request.camera.model_dump(),
        "table_format": request.table_format,
        "run_by": [model.runtime, model.number_format],
    }


def _renumbered(table: Localizations | None, first: int, total: int) -> Localizations | None:
    """Frame numbers of the whole movie."""
    return None if table is None else table.shifted(first, n_frames=total)


def _options(request: Request, read_out: ReadOut) -> TableOptions:
    return TableOptions(pixel_size_nm=_pixel_nm(read_out), camera=request.camera)


def _append(request: Request, catalog: Catalog, read_out: ReadOut) -> Append:
    """How rows are added to the table on disk: in its format where that can be, else in our own."""
    module = catalog.module("formats", request.table_format)
    if not hasattr(module, "append_table"):
        module = catalog.module("formats", BETWEEN)
    options = _options(request, read_out)

    def append(table: Localizations, path: Path, rows: int) -> None:
        module.append_table(table, path, options, rows)

    return append


def _finish(request: Request, catalog: Catalog, journal: Journal, what: tuple[Path, ReadOut, Localizations]) -> Written:
    """Move or convert the table, write the image, remove the journal."""
    path, read_out, _ = what
    if read_out.keep_table:
        _finish_table(request, catalog, journal, what)
    image_path = None
    if journal.image is not None:
        image_path = request.output / f"{request.movie.stem}_sum.tif"
        values = journal.image[None].astype(np.float32)
        write_raster(image_path, Raster(values, _pixel_nm(read_out) / read_out.upsampling))
    journal.close()
    written = path if read_out.keep_table else None
    return Written(written, image_path, journal.rows, journal.done, journal.resumed)


def _finish_table(
    request: Request, catalog: Catalog, journal: Journal, what: tuple[Path, ReadOut, Localizations]
) -> None:
    path, read_out, table = what
    appended = hasattr(catalog.module("formats", request.table_format), "append_table")
    if journal.rows and appended:
        journal.part.replace(path)
        return
    if journal.rows:
        table = read_table(journal.part, catalog=catalog, format=BETWEEN)
    options = _options(request, read_out)
    write_table(table, path, catalog=catalog, format=request.table_format, options=options)


def _check_units(request: Request, facts: Mapping[str, Any], trained_nm: float) -> None:
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
