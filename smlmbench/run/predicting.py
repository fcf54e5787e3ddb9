"""A trained network on a user's movie: table and summed image, without truth."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import ValidationError

from smlmbench.camera import Camera
from smlmbench.errors import ConfigError, UnitError
from smlmbench.formats import open_movie, write_image, write_table
from smlmbench.formats.options import TableOptions
from smlmbench.inference.allocator import keep_buffers
from smlmbench.inference.checkpoint import load_trained
from smlmbench.inference.devices import resolve_device
from smlmbench.inference.engine import predict
from smlmbench.movies import calibrated
from smlmbench.registry import Catalog
from smlmbench.tracking.records import find_run
from smlmbench.tracking.store import Store

PIXEL_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class Request:
    """What to predict.

    Attributes:
        checkpoint: `best.pt`.
        movie: Movie file.
        output: Folder for the results.
        camera: Facts of the camera; needed where the network was trained on photons.
        pixel_size_nm: Camera pixel of the movie; None takes the network's.
        threshold: Instead of the one chosen on validation.
        table_format: Registered format of the table.
        device: auto, cpu, cuda or mps.
    """

    checkpoint: Path
    movie: Path
    output: Path
    camera: Camera | None = None
    pixel_size_nm: float | None = None
    threshold: float | None = None
    table_format: str = "thunderstorm_csv"
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class Written:
    """What was written, and how much was found."""

    table: Path
    image: Path | None
    localizations: int
    frames: int


def read_camera(text: str | None) -> Camera | None:
    """A camera from a YAML file or from YAML on the command line such as `{kind: emccd, e_per_adu: 45}`.

    Raises:
        ConfigError: Not a camera; the first problem is named.
    """
    if text is None:
        return None
    path = Path(text)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8") if path.is_file() else text)
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


def find_checkpoint(text: str, store: Callable[[], Store]) -> Path:
    """The `best.pt` behind a path, a run id, a cell_id or a run's name.

    Raises:
        ConfigError: The run has none.
    """
    path = Path(text)
    if path.is_file():
        return path
    if path.suffix == ".pt":
        raise ConfigError(f"checkpoint '{text}' does not exist; give a best.pt or a run id")
    record = find_run(store(), text)
    found = record.artifact("best.pt")
    if found is None:
        raise ConfigError(
            f"run {record.run_id[:12]} ({record.name}, {record.status}) has no best.pt; give a trained cell"
        )
    return found


def predict_movie(request: Request, catalog: Catalog, on_frames: Callable[[int, int], None]) -> Written:
    """Predict a movie and write `<movie>_locs.csv` and `<movie>_sum.tif`.

    Raises:
        UnitError: Pixel size or camera do not fit what the network was trained on.
    """
    keep_buffers()
    device = resolve_device(request.device)
    trained = load_trained(request.checkpoint, catalog, device)
    settings: dict[str, Any] = dict(trained.output_settings)
    _check_units(request, trained.facts, float(settings["pixel_size_nm"]))
    if request.pixel_size_nm is not None:
        settings["pixel_size_nm"] = request.pixel_size_nm
    movie = open_movie(request.movie, catalog=catalog)
    try:
        frames = calibrated(movie, request.camera if trained.facts["calibrated"] else None)
        read_out = replace(trained.read_out(request.threshold), settings=settings)
        total = frames.n_frames
        prediction = predict(
            frames, trained.network, read_out, device=device, on_frames=lambda done: on_frames(done, total)
        )
    finally:
        movie.close()
    request.output.mkdir(parents=True, exist_ok=True)
    suffix = catalog.card("formats", request.table_format).facts["suffixes"][0]
    table_path = request.output / f"{request.movie.stem}_locs{suffix}"
    if prediction.table is None:
        raise UnitError(f"output kind '{trained.facts['output']}' gives no table; choose another model")
    options = TableOptions(pixel_size_nm=settings["pixel_size_nm"], camera=request.camera)
    write_table(prediction.table, table_path, catalog=catalog, format=request.table_format, options=options)
    image_path = None
    if prediction.image is not None:
        image_path = request.output / f"{request.movie.stem}_sum.tif"
        image = prediction.image
        write_image(image_path, np.asarray(image.values[0]), image.pixel_nm, catalog=catalog, format="tiff_image")
    return Written(table_path, image_path, len(prediction.table), total)


def _check_units(request: Request, facts: Mapping[str, Any], trained_nm: float) -> None:
    if facts["calibrated"] and request.camera is None:
        raise UnitError(
            "the network expects photons and no camera is given; add --camera '{kind: emccd, baseline_adu: 100, "
            "e_per_adu: 45, em_gain: 300}' with your camera's values"
        )
    given = request.pixel_size_nm
    if given is not None and abs(given / trained_nm - 1) > PIXEL_TOLERANCE:
        raise UnitError(
            f"the movie's pixel is {given:g} nm, the network was trained on {trained_nm:g} nm; "
            "train on the movie's pixel size"
        )
