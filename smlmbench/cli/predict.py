"""smlmbench predict: a trained network on a movie."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from smlmbench.cli.options import (
    AnyDevice,
    AsJson,
    BadPixels,
    Cluster,
    Dry,
    Overwrite,
    Plugins,
    Scheduler,
    Store,
    Threshold,
    Workers,
    end_like_ctrl_c,
    from_fields,
)
from smlmbench.cli.output import emit, emit_json, note
from smlmbench.cli.run import job_script

if TYPE_CHECKING:
    from collections.abc import Callable

    from smlmbench.registry import Catalog
    from smlmbench.run.progress import Reporter
    from smlmbench.run.using.asking import Wanted
    from smlmbench.run.using.writing import Written


TABLES = (".csv", ".txt", ".tsv", ".hdf5", ".h5", ".npy", ".npz")


@dataclass(frozen=True, slots=True)
class _Asked:
    model: Annotated[
        str,
        Argument(
            help="Run id, cell_id, run's name, a model's name (its best run of the newest study that has it), best.pt, "
            "exported file, or a classical fitter (peaks_gaussian)."
        ),
    ]
    movie: Annotated[Path, Argument(help="Movie (TIFF stack or folder, Picasso raw, DAX, nd2, sif).")]
    output: Annotated[Path, Option("--output", "-o", help="Folder for the results.")] = Path()
    camera: Annotated[
        str | None, Option(help="YAML file, '{kind: emccd, baseline_adu: 100, ...}', or a name (list cameras).")
    ] = None
    pixel_size_nm: Annotated[float | None, Option(min=1.0, help="Camera pixel of the movie.")] = None
    threshold: Threshold = None
    table_format: Annotated[str, Option(help="thunderstorm_csv, picasso_hdf5, smap_csv or smlmbench_csv.")] = (
        "thunderstorm_csv"
    )
    device: AnyDevice = "auto"
    frames: Annotated[str | None, Option(metavar="A:B", help="Frames A to B only, counted from 1 as in Fiji.")] = None
    runtime: Annotated[
        str,
        Option(
            help="auto, eager, compiled, onnxruntime, openvino ...; auto is what the run's stored timings on this "
            "computer name the soonest of those that passed the quality gate, else of a long movie what is "
            "measured to be the soonest in fp32, else eager; a movie that was begun keeps what it has."
        ),
    ] = "auto"
    number_format: Annotated[str | None, Option(help="fp32 or bf16; default: fp32, or as auto finds.")] = None
    sets: Annotated[
        list[str] | None, Option("--set", metavar="SETTING=VALUE", help="Of a fitter, such as sigma_nm=130.")
    ] = None
    overwrite: Overwrite = False
    bad_pixels: BadPixels = "refuse"
    photons: Annotated[
        bool,
        Option(help="Photons, background and uncertainty of every localization, from one fit at its place."),
    ] = True
    places: Annotated[
        Path | None,
        Option(help="Table of where crops are cut, for a network on crops (ThunderSTORM, Picasso, csv ...)."),
    ] = None
    psf_sigma_nm: Annotated[
        float | None, Option(help="Width of the PSF for that; default: that of the movie's own spots.")
    ] = None
    store: Store = None
    plugins: Plugins = None
    workers: Workers = None
    scheduler: Scheduler = None
    cluster: Cluster = None
    dry: Dry = False
    as_json: AsJson = False


@from_fields(_Asked)
def command(asked: _Asked) -> None:
    """Localize a movie with a trained network: a ThunderSTORM table and a summed image that Fiji opens in nm.

    Results are written while they come; the same command again continues one that was stopped. A record beside them
    says which movie, by its content, which model and which settings they are of: other results are not replaced.

    A classical fitter needs no training: its name stands in place of the run. Networks on crops, spectra or images of
    tables write what their task says: parameters, classes, a movie less its background, a denser image.

    Workers open the movie by its path and do blocks of it; the results are the same as without them.

    Example: smlmbench predict fid_storm-l1l2-200-r0-1a2b3c cells.tif --camera camera.yaml -o results

    Example: smlmbench predict peaks_gaussian cells.tif --pixel-size-nm 100 --camera camera.yaml

    Example: smlmbench predict deep_storm /shared/cells.tif --camera camera.yaml --cluster cluster.yaml
    """
    if asked.dry:
        jobs = job_script(asked.cluster, "give both")
        note(f"blocks of the movie in {asked.workers or jobs.jobs} such jobs; nothing was sent")
        return
    from smlmbench.formats import find
    from smlmbench.registry import Catalog

    catalog = Catalog(asked.plugins or ())
    if asked.movie.suffix.lower() not in TABLES or not asked.movie.is_file():  # such are seen by the network's task
        find(asked.movie, "movie", catalog=catalog)
    from smlmbench.run.progress import Reporter
    from smlmbench.run.slots import Slots, check_slots
    from smlmbench.run.using.asked_of_tasks import predict_by_task, writes_its_own
    from smlmbench.run.using.asking import Wanted, request_of
    from smlmbench.run.using.blocks import Crew
    from smlmbench.run.using.fitting import FitRequest, fit_movie, fit_settings
    from smlmbench.run.using.predicting import predict_movie, read_camera

    slots = Slots(asked.workers, asked.scheduler, asked.cluster)
    check_slots(slots)
    end_like_ctrl_c()
    own = ("bad_pixels", "psf_sigma_nm", "overwrite", "places")
    names = ("model", "pixel_size_nm", "threshold", "store", "device", "runtime", "number_format", *own)
    same: dict[str, Any] = {name: getattr(asked, name) for name in names}
    camera, frames = read_camera(asked.camera), frame_range(asked.frames)
    wanted = Wanted(
        **same, camera=camera, frames=frames, settings=fit_settings(asked.sets or ()), measure=asked.photons
    )
    request, left = request_of(wanted, asked.movie, lambda: _shape(asked.movie, wanted, catalog), catalog, asked.output)
    writing: dict[str, Any] = {"table_format": asked.table_format, "overwrite": asked.overwrite}
    with Reporter(quiet=asked.as_json) as reporter:
        crew = Crew(slots, reporter)
        reporter.start(f"predicting {asked.movie.name}", 1)
        advance = _advance(left, reporter)
        if isinstance(request, FitRequest):
            written = fit_movie(replace(request, **writing), catalog, advance, crew)
        else:
            make = predict_by_task if writes_its_own(request.task, catalog) else predict_movie
            written = make(replace(request, **writing), catalog, advance, crew)
    if isinstance(request, FitRequest) and request.camera is None:
        note("smlmbench: note: no --camera, so photons, background and precision are left out")
    _say(asked, written)


def _advance(left: list[str], reporter: "Reporter") -> "Callable[[int, int], None]":
    """Tells what is `left` to say once nothing was refused, then how long the movie takes, and draws the progress."""
    from smlmbench.run.pace import Pace

    pace = Pace()

    def advance(done: int, total: int) -> None:
        while left:
            note(left.pop(0))
        if said := pace.said(done, total):
            note(said)
        reporter.advance(done, total)

    return advance


def _shape(path: Path, wanted: "Wanted", catalog: "Catalog") -> tuple[int, int, int]:
    """Frames to be predicted, height and width of a movie."""
    from smlmbench.formats import open_movie

    movie = open_movie(path, catalog=catalog)
    first, stop = wanted.frames or (0, movie.n_frames)
    shape = (stop - first, movie.height, movie.width)
    movie.close()
    return shape


def _say(asked: _Asked, written: "Written") -> None:
    if written.files:
        if asked.as_json:
            emit_json({"files": list(written.files)})
        else:
            for path in written.files:
                emit(str(path))
        return
    if asked.as_json:
        names = ("table", "image", "localizations", "frames", *(("resumed",) if written.resumed else ()))
        measured = {} if written.measured is None else {"measured": asdict(written.measured)}
        fit = {} if written.fit is None else {"fit": written.fit}
        emit_json({name: getattr(written, name) for name in names} | measured | fit)
        return
    if written.resumed:
        note(f"continued after {written.resumed} frames of an earlier command")
    if written.table is None:
        emit(f"{written.frames} frames; the network learned images, so there is no table of localizations")
    else:
        emit(f"{written.localizations} localizations in {written.frames} frames: {written.table}")
    if (cost := written.measured) is not None:
        emit(f"{cost.said}; {cost.seconds:.1f} s, {100 * cost.share:.0f} % of the time")
    if written.image is not None:
        emit(f"summed image: {written.image}")


def frame_range(text: str | None) -> tuple[int, int] | None:
    """First frame of A:B and the one after its last, counted from 0.

    Raises:
        ConfigError: Not A:B with 1 <= A <= B.
    """
    if text is None:
        return None
    from smlmbench.errors import ConfigError

    start, colon, stop = text.partition(":")
    if not (colon and start.isdigit() and stop.isdigit() and 1 <= int(start) <= int(stop)):
        raise ConfigError(f"--frames {text}: not a range; write A:B with 1 <= A <= B, such as 1:1000")
    return int(start) - 1, int(stop)
