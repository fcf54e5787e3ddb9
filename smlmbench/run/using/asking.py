"""What a person wants of a movie: a request to a classical fitter, or to a trained network and to what runs it."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.addresses import command
from smlmbench.camera import Camera
from smlmbench.errors import ConfigError
from smlmbench.formats import open_movie
from smlmbench.inference.devices import resolve_device
from smlmbench.movies import ArrayMovie, BadPixels, Movie, mending
from smlmbench.predictions import Localizations, Raster
from smlmbench.registry import Catalog
from smlmbench.run.timing.gated import Choice, fastest, usable
from smlmbench.run.timing.probing import probed
from smlmbench.run.using.asked_of_tasks import writes_its_own
from smlmbench.run.using.finding import Found, find_trained, task_of
from smlmbench.run.using.fitting import FitRequest, fit_frames, fitters
from smlmbench.run.using.predicting import Request, network_digest, predict_frames
from smlmbench.run.using.replacing import recorded
from smlmbench.tracking.store import open_store

AUTO = "auto"
Shape = Callable[[], tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Options of `smlmbench predict` and of the function `predict`."""

    model: str  # run id, cell_id, a run's or model's name, file of a network, or a classical fitter
    camera: Camera | None = None
    pixel_size_nm: float | None = None  # of the camera
    threshold: float | None = None  # instead of the network's, or the fitter's default
    frames: tuple[int, int] | None = None  # first frame and the one after the last; None takes all
    store: str | os.PathLike[str] | None = None  # where runs are looked for
    device: str = "auto"  # or cpu, cuda, mps
    runtime: str = AUTO  # what runs a network; auto asks the stored timings of its run, or measures
    number_format: str | None = None  # fp32 or bf16; None takes fp32, or what auto finds
    settings: Mapping[str, Any] = field(default_factory=dict)  # of a fitter
    bad_pixels: BadPixels = "refuse"  # NaN or infinite; median replaces them by their neighbours'
    measure: bool = True  # photons and whatever else the network's task measures on the frames
    psf_sigma_nm: float | None = None  # for that, instead of what the movie's own spots say
    overwrite: bool = False  # whether what runs the network is found anew where results of it stand
    places: Path | None = None  # table of where crops are to be cut, for a task that asks for it


def request_of(
    wanted: Wanted, movie: Path, shape: Shape, catalog: Catalog, output: Path | None = None
) -> tuple[Request | FitRequest, list[str]]:
    """Find the fitter, or the network and what runs it: a request for results in `output`, and lines on what was found.

    What stands there of the same network is continued by what runs it there, unless something else is asked for.

    Raises:
        ConfigError: Options that a fitter does not have, or settings of a network.
        StoreError: Nothing fits.
    """
    if wanted.model in fitters(catalog):
        if wanted.frames is not None or wanted.runtime != AUTO:
            raise ConfigError(
                f"{wanted.model} is a fitter: it takes whole movies and no runtime; leave these options out"
            )
        if wanted.places is not None:
            raise ConfigError(f"{wanted.model} finds its own places; leave --places out")
        if not wanted.measure or wanted.psf_sigma_nm is not None:
            raise ConfigError(f"{wanted.model} fits its own photons; state a width with --set sigma_nm=130")
        threshold = {} if wanted.threshold is None else {"threshold": wanted.threshold}
        settings = {**threshold, **wanted.settings}
        known = (wanted.pixel_size_nm, wanted.camera, settings)
        return FitRequest(wanted.model, movie, output or Path(), *known, bad_pixels=wanted.bad_pixels), []
    if not wanted.measure and wanted.psf_sigma_nm is not None:
        raise ConfigError("a width of the PSF serves photons alone, which are not asked for; leave one of both out")
    if wanted.settings:
        raise ConfigError(f"{wanted.model} is no fitter: a network has the settings of its training; leave --set out")
    found = find_trained(wanted.model, lambda: open_store(wanted.store, create=False))
    begun = None if output is None else recorded(movie, output)
    chosen = _choose(wanted, found, shape, catalog, begun)
    request = Request(
        checkpoint=chosen.file or found.checkpoint,
        movie=movie,
        output=output or Path(),
        camera=wanted.camera,
        pixel_size_nm=wanted.pixel_size_nm,
        threshold=wanted.threshold,
        device=wanted.device,
        frames=wanted.frames,
        runtime=None if chosen.file is not None else chosen.runtime,
        number_format=chosen.number_format,
        bad_pixels=wanted.bad_pixels,
        measure=wanted.measure,
        task=task_of(found),
        places=wanted.places,
        psf_sigma_nm=wanted.psf_sigma_nm,
        ready=chosen.ready,
    )
    told = [str(found)] if found.record is not None else []
    told += [f"run by {chosen.runtime} in {chosen.number_format}: {chosen.why}"] if chosen.why else []
    return request, told


def in_memory(
    wanted: Wanted, movie: str | os.PathLike[str] | NDArray[np.generic], catalog: Catalog
) -> Localizations | Raster:
    """Localize a movie, of a file or an array, and keep what was found in memory.

    Raises:
        SizeError: An array that is no movie.
        UserError: As `request_of`, and where units do not fit.
    """
    given: Movie = ArrayMovie(movie) if isinstance(movie, np.ndarray) else open_movie(Path(movie), catalog=catalog)
    with mending(given, wanted.bad_pixels) as opened:
        first, stop = wanted.frames or (0, opened.n_frames)
        shape = (stop - first, opened.height, opened.width)
        request, _ = request_of(wanted, opened.path, lambda: shape, catalog)
        if isinstance(request, FitRequest):
            return fit_frames(request, catalog, opened)
        if writes_its_own(request.task, catalog):
            raise ConfigError(f"a network of task {request.task} writes files of its own; use the command predict")
        return predict_frames(request, catalog, opened)


def _choose(wanted: Wanted, found: Found, shape: Shape, catalog: Catalog, begun: Mapping[str, Any] | None) -> Choice:
    """What runs the movie: as asked (then without a reason), as it was begun, by the run's timings, or measured now."""
    if wanted.runtime != AUTO:
        return Choice(wanted.runtime, wanted.number_format or "fp32", None, "")
    own = writes_its_own(task_of(found), catalog)
    if wanted.number_format is not None or found.checkpoint.suffix != ".pt" or own:
        return Choice(None, wanted.number_format or "fp32", None, "")
    device, movie, record = resolve_device(wanted.device), shape(), found.record
    before = None if wanted.overwrite or not begun else _as_before(begun, found, device, catalog)
    chosen = before or (None if record is None else fastest(record, device, movie, catalog))
    chosen = chosen or probed(found.checkpoint, device, movie, catalog)
    if chosen.why:
        return chosen
    if record is None:
        return replace(chosen, why="a checkpoint holds no timings; give its run to use them")
    adds = command("smlmbench", "time", "STUDY.yaml", "--store", record.store.place)
    return replace(chosen, why=f"no timings of this run on this computer; `{adds}` adds them")


def _as_before(begun: Mapping[str, Any], found: Found, device: torch.device, catalog: Catalog) -> Choice | None:
    """What ran this network for the results that stand there; None for another network, or where it cannot run here."""
    runtime, number_format = (str(begun["settings"].get(name, "")) for name in ("runtime", "number_format"))
    choice = usable(found.record, runtime, number_format, device, catalog)
    if choice is None or begun["model"].get("digest") != network_digest(choice.file or found.checkpoint, catalog):
        return None
    return replace(choice, why="as the results that stand there")
