"""smlmbench report: the leaderboard of a study, from the store alone."""

from pathlib import Path
from typing import Annotated

import typer

from smlmbench.cli.options import AsJson
from smlmbench.cli.output import emit, emit_json

StudyName = Annotated[
    str, typer.Argument(metavar="STUDY", help="Name of a study in the store, or its file.", show_default=False)
]
Store = Annotated[
    str | None,
    typer.Option("--store", "--tracking-uri", metavar="FOLDER|URI", help="Where the results are; default ./mlruns."),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", metavar="FOLDER", help="Folder of the files; default: reports/STUDY in the store."),
]


def command(study: StudyName, store: Store = None, output: Output = None, as_json: AsJson = False) -> None:
    """Rebuild a study's leaderboard (.html .csv .md .tex) from the store alone.

    Example: smlmbench report microtubules-2d --output board
    """
    name = study_name(study)
    from smlmbench.report import report_study
    from smlmbench.tracking.store import open_store

    files = report_study(open_store(store, create=False), name, output)
    if as_json:
        paths = {"html": files.html, "csv": files.csv, "md": files.md, "tex": files.tex}
        emit_json({"study": name, "files": paths, "answers": files.answers})
        return
    for sentences in files.answers.values():
        emit(" ".join(sentences))
    emit(f"leaderboard: {files.html}")


def study_name(given: str) -> str:
    """The name that a study's file states, or the text itself where it is no file.

    Raises:
        ConfigError: A file that is absent, or states no study.
    """
    from smlmbench.errors import ConfigError

    path = Path(given)
    if path.suffix not in (".yaml", ".yml"):
        return given
    if not path.is_file():
        raise ConfigError(f"study file '{given}' does not exist; give a file, or the name of a study in the store")
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ConfigError(f"{given} is not a YAML file; give a study file, or the name of a study") from None
    name = content.get("study") if isinstance(content, dict) else None
    if not isinstance(name, str):
        raise ConfigError(f"{given} states no study; it needs a line such as `study: microtubules-2d`")
    return name
