"""smlmbench simulate: frames and truth from a study's description."""

from pathlib import Path
from typing import Annotated

import typer

from smlmbench.cli.options import AsJson, Sets, StudyFile
from smlmbench.cli.output import emit, emit_json


def command(
    study: StudyFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for frames.tif and truth.csv.")] = Path(
        "simulated"
    ),
    frames: Annotated[int, typer.Option("--frames", min=1, max=100_000)] = 100,
    data: Annotated[str | None, typer.Option("--data", help="Data entry; default the first.")] = None,
    condition: Annotated[str | None, typer.Option("--condition", help="A test condition instead of training.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Draw a movie (16-bit ADU) and its true positions (ThunderSTORM csv) for any program.

    Example: smlmbench simulate experiments/quickstart.yaml --frames 20 -o movie
    """
    from smlmbench.run.drawing import draw_movie, find_source
    from smlmbench.study.load import load_study

    loaded = load_study(study, sets=sets or ())
    drawn = draw_movie(find_source(loaded, data, condition), frames, seed, output, loaded.catalog)
    if as_json:
        emit_json({"movie": drawn.movie, "truth": drawn.truth, "emitters": drawn.emitters})
    else:
        emit(f"{frames} frames: {drawn.movie}; {drawn.emitters} emitters: {drawn.truth}")
