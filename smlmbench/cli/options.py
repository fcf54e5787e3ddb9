"""Options that several commands share, so that they are named and explained alike."""

from pathlib import Path
from typing import Annotated

import typer

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="Study file.", show_default=False)]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override one value, such as training.samples=500 or models.0.blocks=4."
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="LABEL=PATTERN", help="Keep the rows whose label matches, such as 'model=fid*'."),
]
Repeats = Annotated[
    int | None, typer.Option("--repeats", min=1, help="Repeats of every training, instead of the study's.")
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data-root", envvar="SMLMBENCH_DATA", help="Folder of relative data paths; default: that of the study file."
    ),
]
Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE.py", help="A file with a CARD that adds one model, loss or other thing."),
]
Store = Annotated[
    str | None,
    typer.Option("--store", "--tracking-uri", metavar="FOLDER|URI", help="Where results are; default ./mlruns."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]
