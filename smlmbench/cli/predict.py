"""smlmbench predict: a trained network on a movie."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from smlmbench.cli.fields import from_fields
from smlmbench.cli.options import AsJson, Plugins, Store
from smlmbench.cli.output import emit, emit_json


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line."""

    model: Annotated[str, typer.Argument(help="Run id, cell_id, run name or best.pt.", show_default=False)]
    movie: Annotated[Path, typer.Argument(help="Movie (TIFF stack or folder, Picasso raw, DAX).", show_default=False)]
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path()
    camera: Annotated[
        str | None, typer.Option("--camera", help="YAML file or '{kind: emccd, baseline_adu: 100, ...}'.")
    ] = None
    pixel_size_nm: Annotated[
        float | None, typer.Option("--pixel-size-nm", min=1.0, help="Camera pixel of the movie.")
    ] = None
    threshold: Annotated[
        float | None, typer.Option("--threshold", min=0.0, help="Instead of the one chosen on validation.")
    ] = None
    table_format: Annotated[
        str, typer.Option("--table-format", help="thunderstorm_csv, picasso_hdf5, smap_csv or smlmbench_csv.")
    ] = "thunderstorm_csv"
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = "auto"
    store: Store = None
    plugins: Plugins = None
    as_json: AsJson = False


@from_fields(Asked)
def command(asked: Asked) -> None:
    """Localize a movie with a trained network: a ThunderSTORM table and a summed image that Fiji opens in nm.

    Example: smlmbench predict fid_storm-l1l2-200-r0-1a2b3c cells.tif --camera camera.yaml -o results
    """
    from smlmbench.formats import find
    from smlmbench.registry import Catalog

    catalog = Catalog(asked.plugins or ())
    find(asked.movie, "movie", catalog=catalog)
    from smlmbench.run.predicting import Request, find_checkpoint, predict_movie, read_camera
    from smlmbench.run.progress import Reporter
    from smlmbench.tracking.store import open_store

    request = Request(
        checkpoint=find_checkpoint(asked.model, lambda: open_store(asked.store, create=False)),
        movie=asked.movie,
        output=asked.output,
        camera=read_camera(asked.camera),
        pixel_size_nm=asked.pixel_size_nm,
        threshold=asked.threshold,
        table_format=asked.table_format,
        device=asked.device,
    )
    with Reporter(quiet=asked.as_json) as reporter:
        reporter.start(f"predicting {asked.movie.name}", 1)
        written = predict_movie(request, catalog, reporter.advance)
    if asked.as_json:
        emit_json(
            {
                "table": written.table,
                "image": written.image,
                "localizations": written.localizations,
                "frames": written.frames,
            }
        )
        return
    emit(f"{written.localizations} localizations in {written.frames} frames: {written.table}")
    if written.image is not None:
        emit(f"summed image: {written.image}")
