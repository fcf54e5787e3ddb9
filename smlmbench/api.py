"""The Python interface: what the commands do, as functions; `import smlmbench` offers them and loads this file on use.

A study is given as its file or as what `load_study` returns, a store as in `--store` (None: MLFLOW_TRACKING_URI, else
./mlruns). What a user can mend is raised as `smlmbench.errors.UserError`, its message is what a command prints.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from smlmbench.registry import Catalog
from smlmbench.run.movies.calibration import calibrate as calibrate
from smlmbench.run.movies.studying import write_study as write_study
from smlmbench.run.using.options import Predicting, Reading, Running
from smlmbench.study.load import Loaded
from smlmbench.study.load import load_study as load_study

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from smlmbench.camera import Camera
    from smlmbench.predictions import Localizations, Raster
    from smlmbench.run.studies.asked import Finished
    from smlmbench.run.using.exporting import Exported
    from smlmbench.study.cells import Plan
    from smlmbench.study.sources import SimulateSource
    from smlmbench.tasks.contracts import Scores
    from smlmbench.tracking.records import StudyRecord

PathLike = str | os.PathLike[str]
StudyLike = PathLike | Loaded


def plan(study: StudyLike, *, only: Sequence[str] = (), repeats: int | None = None) -> "Plan":
    """Expand a study into every training, reference and skipped row; tables are held against their movies.

    Args:
        study: Study file, or from `load_study`.
        only: Filters such as `model=fid*`.
        repeats: Repeats of every training, instead of the study's.

    Returns:
        The plan; `.to_pandas()` is the table that `smlmbench plan` prints.

    Raises:
        ConfigError: A wrong study, or a filter that keeps nothing.
        PairingError: A table that clearly does not fit its movie as stated.

    Example:
        Which cells there are::

            smlmbench.plan("experiments/quickstart.yaml", only=["model=fid*"]).to_pandas()
    """
    from smlmbench.study.planning.plan import make_plan

    loaded = _loaded(study)
    made = make_plan(loaded, only=only, repeats=repeats)
    if not any(source.truth_file for entry in loaded.study.data for source in (entry.train, *entry.test.values())):
        return made
    from smlmbench.run.studies.pairing import doubts

    return made.model_copy(update={"warnings": [*made.warnings, *doubts(loaded)]})


def run(
    study: StudyLike,
    *,
    store: PathLike | None = None,
    only: Sequence[str] = (),
    repeats: int | None = None,
    quiet: bool = False,
    **options: Unpack[Running],
) -> "Finished":
    """Train, score, time and report a study; the same call again does only what is left.

    Args:
        study: Study file, or from `load_study`.
        store: Where results go; made if absent.
        only: Filters such as `model=fid*`.
        repeats: Repeats of every training, instead of the study's.
        quiet: Print nothing.
        **options: See `smlmbench.run.using.options.Running`.

    Returns:
        `statuses` (number of cells by status), `report` (path of leaderboard.html), `unfinished`, `failed_references`.

    Raises:
        UserError: A wrong study, store or device; nothing was begun.

    Example:
        Train what is left and open the report::

            finished = smlmbench.run("experiments/quickstart.yaml", device="cpu", workers=2)
            print(finished.statuses, finished.report)
    """
    loaded = _loaded(study)
    from smlmbench.study.planning.plan import make_plan

    planned = make_plan(loaded, only=only, repeats=repeats)
    whole = make_plan(loaded, repeats=repeats) if only else None
    from smlmbench.run.progress import Reporter
    from smlmbench.tracking.store import open_store

    opened = open_store(store)
    with Reporter(quiet=quiet) as reporter:
        reporter.line(opened.describe())
        for warning in planned.warnings:
            reporter.line(f"warning: {warning}")
        counts = f"{len(planned.cells)} cells, {len(planned.references)} references, {len(planned.skipped)} skipped"
        reporter.line(f"study {planned.study}: {counts}")
        from smlmbench.run.studies.asked import Asked, done_before, options_of

        wanted = options_of(**options)
        if (before := done_before(Asked(loaded.text, planned, whole, wanted), opened)) is not None:
            for said in [
                *(f"warning: {text}" for text in before[1] if text not in planned.warnings),
                "all done before",
            ]:
                reporter.line(said)
            return before[0]
        from smlmbench.run.studies.study import run_study

        return run_study(loaded, planned, opened, reporter, wanted, whole=whole)


def leaderboard(
    study: StudyLike, store: PathLike | None = None, level: Literal["lines", "runs"] = "lines"
) -> "pd.DataFrame":
    """The numbers of a study's report as one tidy frame, from the store alone.

    Args:
        study: Name of a study in the store, its file, or from `load_study`.
        store: Where results are.
        level: `lines` of the boards, means over repeats with their intervals; or single `runs`.

    Returns:
        A line for each row x condition x number: what the row is and how it stands, `condition` (empty: the mean over
        conditions), `metric`, `value`, `low`, `high`, `reason`, `unit`, `direction`.

    Raises:
        StoreError: No store, or no such study in it.

    Example:
        Efficiency of every row that is done::

            frame = smlmbench.leaderboard("quickstart")
            frame[(frame.metric == "efficiency") & (frame.condition == "")][["label", "kind", "value"]]
    """
    from smlmbench.report.leaderboard import leaderboard_frame

    return leaderboard_frame(_record(study, store), level)


def runs(study: StudyLike, store: PathLike | None = None) -> "pd.DataFrame":
    """Every run of a study in the store, newest first, one row each.

    Args:
        study: Name of a study in the store, its file, or from `load_study`.
        store: Where results are.

    Returns:
        `run_id`, `name`, `role` (study, cell, reference, search, or summary of the means over repeats), `cell_id`,
        `status`, `reason`, `attempt`, `superseded`; then params and metrics under the names of the store (`model`,
        `lambda`, `test/efficiency`).

    Raises:
        StoreError: No store, or no such study in it.

    Example:
        What failed, and why::

            frame = smlmbench.runs("quickstart")
            frame[frame.status == "failed"][["name", "reason"]]
    """
    from smlmbench.tracking.records import runs_frame

    return runs_frame(_record(study, store))


def models(plugins: Sequence[Path] = ()) -> "pd.DataFrame":
    """The registered networks, from their cards.

    Args:
        plugins: Further files with a CARD.

    Returns:
        One row each: `name`, `summary`, `tasks`, `output`, `parameters` (a number, with the settings `parameters_at`),
        `fidelity`, `paper`, `doi`.

    Raises:
        UserError: A plug-in that cannot be read.

    Example:
        The smallest first::

            smlmbench.models().sort_values("parameters")[["name", "parameters", "paper"]]
    """
    import pandas as pd

    from smlmbench.registry.listing import model_rows

    return pd.DataFrame(model_rows(Catalog(plugins)))


def predict(
    model: PathLike,
    movie: "PathLike | NDArray[np.generic]",
    *,
    camera: "Camera | Mapping[str, Any] | PathLike | None" = None,
    pixel_size_nm: float | None = None,
    threshold: float | None = None,
    frames: tuple[int, int] | None = None,
    store: PathLike | None = None,
    plugins: Sequence[Path] = (),
    **options: Unpack[Predicting],
) -> "Localizations | Raster":
    """Localize a movie in memory; `smlmbench predict` writes files instead, and can be stopped and continued.

    Args:
        model: Run id, cell_id, a run's or model's name, `best.pt`, an exported file, or a classical fitter.
        movie: File or folder of a movie, or camera counts (frames, height, width).
        camera: Facts of the camera, their YAML file or a preset's name (`smlmbench list cameras`);
            `{"kind": "ideal"}` where the movie is in photons already.
        pixel_size_nm: Camera pixel; a network knows its own, a fitter needs it.
        threshold: Instead of the one chosen on validation.
        frames: First frame and the one after the last, from 0; None takes all.
        store: Where runs are looked for.
        plugins: Files of further networks or formats.
        **options: See `smlmbench.run.using.options.Predicting`.

    Returns:
        Localizations (`.to_pandas()`); the summed image of a network that learned images and gives no table.

    Raises:
        UserError: No such model or movie, or units that do not fit.

    Example:
        A classical fitter on a movie of a tenth of a micrometre per pixel::

            found = smlmbench.predict("peaks_gaussian", "movie/frames.tif", pixel_size_nm=100)
            found.to_pandas().head()
    """
    from smlmbench.run.using.asking import Wanted, in_memory
    from smlmbench.run.using.predicting import read_camera

    wanted = Wanted(str(model), read_camera(camera), pixel_size_nm, threshold, frames, store, **options)
    return in_memory(wanted, movie, Catalog(plugins))


def evaluate(
    found: "PathLike | Localizations | Raster",
    truth: "PathLike | Localizations | None" = None,
    *,
    field_nm: tuple[float, float] | None = None,
    border_nm: float | None = None,
    pixel_size_nm: float | None = None,
    fine_pixel_nm: float = 12.5,
    matcher: Literal["greedy", "hungarian"] = "greedy",
    **more: Unpack[Reading],
) -> "Scores":
    """Score positions, or a reconstructed image, of any program against true positions.

    Args:
        found: Table or image, as a file or as from `predict`.
        truth: True table, as a file or as from `simulate`; None with a widefield image (`widefield`).
        field_nm: Width and height of the field; by default that of a truth in memory.
        border_nm: By default 450 with a field, 0 without.
        pixel_size_nm: Camera pixel of files in pixels.
        fine_pixel_nm: Pixel of an image's file, or of the grid that tables are drawn on.
        matcher: How pairs are formed.
        **more: See `smlmbench.run.using.options.Reading`.

    Returns:
        `values` by name; `reasons` of those that cannot be computed.

    Raises:
        UserError: Files that cannot be read or compared.

    Example:
        How many emitters of a simulated movie a fitter finds::

            movie, truth = smlmbench.simulate("experiments/quickstart.yaml", 50)
            camera = {"kind": "scmos", "baseline_adu": 100, "e_per_adu": 0.5, "read_noise_e": 1.6}
            found = smlmbench.predict("peaks_gaussian", movie, pixel_size_nm=100, camera=camera)
            smlmbench.evaluate(found, truth).values["recall"]
    """
    from smlmbench.run.tables.comparing import compare

    sizes = {"field_nm": field_nm, "pixel_size_nm": pixel_size_nm, "fine_pixel_nm": fine_pixel_nm}
    scores, _ = compare(found, truth, {**sizes, **more}, Catalog(), matcher=matcher, border_nm=border_nm)
    return scores


def simulate(
    study: "StudyLike | SimulateSource | Mapping[str, Any]",
    frames: int = 100,
    *,
    data: str | None = None,
    condition: str | None = None,
    seed: int = 0,
) -> "tuple[NDArray[np.uint16], Localizations]":
    """Draw frames and their truth.

    Args:
        study: Study, or a description as under `simulate` in a study file.
        frames: How many.
        data: Data entry of the study; by default the first.
        condition: A test condition of it instead of training.
        seed: Same seed, same movie.

    Returns:
        Camera counts (frames, height, width), and the true positions.

    Raises:
        UserError: A wrong description, or data that are not simulated.

    Example:
        Ten frames of two emitters per square micrometre::

            movie, truth = smlmbench.simulate({"density_per_um2": 2.0, "field_px": 32}, 10)
    """
    from smlmbench.run.using.drawing import described, draw_frames, find_source

    if isinstance(study, str | os.PathLike | Loaded):
        loaded = _loaded(study)
        return draw_frames(find_source(loaded, data, condition), frames, seed, loaded.catalog)
    return draw_frames(described(study), frames, seed, Catalog())


def export(
    model: PathLike,
    format: str = "onnx",
    folder: PathLike = ".",
    *,
    store: PathLike | None = None,
    plugins: Sequence[Path] = (),
    overwrite: bool = False,
) -> "Exported":
    """Write a trained network as a file for other programs, and check it without this package.

    Args:
        model: Run id, cell_id, a run's or model's name, or `best.pt`.
        format: onnx, openvino, executorch or bioimageio.
        folder: Where to write; made if absent.
        store: Where runs are looked for; files and check of a run are stored with it.
        plugins: Files of further networks.
        overwrite: Replace files of another network.

    Returns:
        `files`, the network's first; `size_bytes`; `parity`, whose `passed` says whether the file answers as the
        network does.

    Raises:
        UserError: No such model or format, or a package that is missing.

    Example:
        A file for onnxruntime::

            smlmbench.export("fid_storm", "onnx", "models").files
    """
    from smlmbench.run.using.exporting import export_model

    return export_model(str(model), format, Path(folder), store, Catalog(plugins), overwrite=overwrite)[1]


def _loaded(study: StudyLike) -> Loaded:
    return study if isinstance(study, Loaded) else load_study(Path(study))


def _record(study: StudyLike, store: PathLike | None) -> "StudyRecord":
    from smlmbench.run.using.finding import study_name
    from smlmbench.tracking.records import read_study
    from smlmbench.tracking.store import open_store

    name = study.study.study if isinstance(study, Loaded) else study_name(os.fspath(study))
    return read_study(open_store(store, create=False), name)
