"""smlmbench simulate: frames and truth from a study's description."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option

from smlmbench.cli.options import AsJson, Overwrite, Sets, StudyFile, from_fields
from smlmbench.cli.output import emit, emit_json


@dataclass(frozen=True, slots=True)
class _Asked:
    study: StudyFile
    output: Annotated[Path, Option("--output", "-o", help="Folder for what is written.")] = Path("simulated")
    frames: Annotated[int, Option(min=1, max=100_000)] = 100
    data: Annotated[str | None, Option(help="Data entry; default the first.")] = None
    condition: Annotated[str | None, Option(help="A test condition instead of training.")] = None
    seed: Annotated[int, Option(min=0)] = 0
    pairs: Annotated[int | None, Option(help="Write image pairs: target pixels per camera pixel, 1, 2, 4 or 8.")] = None
    beads: Annotated[
        int | None, Option(min=0, help="Most beads of the z-scan beside it, where the PSF knows depth; 0: none.")
    ] = None
    bead_step_nm: Annotated[float, Option(min=1)] = 50.0
    bead_range_nm: Annotated[float | None, Option(min=1, help="Scanned on both sides; default all of the PSF.")] = None
    overwrite: Overwrite = False
    sets: Sets = None
    as_json: AsJson = False


@from_fields(_Asked)
def command(asked: _Asked) -> None:
    """Draw a movie (16-bit ADU) and its true positions (csv) for any program; or folders of image pairs.

    Where the PSF knows depth, a z-scan of beads (beads.tif, beads.csv) is drawn beside it.

    Example: smlmbench simulate experiments/quickstart.yaml --frames 20 -o movie
    """
    from smlmbench.run.using.drawing import draw_movie, find_source, knows_depth
    from smlmbench.run.using.pairing import draw_pairs
    from smlmbench.simulate.beads import MOST, Beads
    from smlmbench.study.load import load_study

    loaded = load_study(asked.study, sets=asked.sets or ())
    source = find_source(loaded, asked.data, asked.condition)
    if asked.pairs is not None:
        made = draw_pairs(
            source, asked.frames, asked.seed, asked.pairs, asked.output, loaded.catalog, overwrite=asked.overwrite
        )
        facts = {"input": made.inputs, "target": made.targets, "emitters": made.emitters}
        said = f"{asked.frames} pairs: {made.inputs} and {made.targets}; {made.emitters} emitters"
    else:
        beads = None
        if asked.beads or (asked.beads is None and knows_depth(source, loaded.catalog)):
            beads = Beads(asked.beads or MOST, asked.bead_step_nm, asked.bead_range_nm)
        drawn = draw_movie(
            source, asked.frames, asked.seed, asked.output, loaded.catalog, beads=beads, overwrite=asked.overwrite
        )
        facts = {"movie": drawn.movie, "truth": drawn.truth, "emitters": drawn.emitters}
        facts |= {} if drawn.beads is None else {"beads": drawn.beads}
        said = f"{asked.frames} frames: {drawn.movie}; {drawn.emitters} emitters: {drawn.truth}"
        said += "" if drawn.beads is None else f"; a scan of beads: {drawn.beads}"
    if asked.as_json:
        emit_json(facts)
    else:
        emit(said)
