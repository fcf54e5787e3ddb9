"""smlmbench report: the leaderboard of a study, from the store alone."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from smlmbench.addresses import command as command_line
from smlmbench.cli.options import AsJson, Overwrite, Store, stored
from smlmbench.cli.output import emit, emit_json


def command(
    study: Annotated[str, Argument(metavar="STUDY", help="Name of a study in the store, or its file.")],
    store: Store = None,
    output: Annotated[
        Path | None, Option(metavar="FOLDER", help="Folder of the files; default: reports/STUDY in the store.")
    ] = None,
    budget_ms: Annotated[
        float | None, Option(min=0.0, help="Also name the best model that takes at most this for one frame.")
    ] = None,
    device: Annotated[str, Option(help="Device of --budget-ms: cpu, cuda or mps.")] = "cpu",
    size: Annotated[
        int | None, Option(help="Frame side in px of --budget-ms; default: the smallest that was timed.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Rebuild a study's leaderboard (.html .csv .md .tex) from the store alone.

    With --budget-ms it also names the best model that fits, and the command that runs it on a movie.

    Example: smlmbench report microtubules-2d --budget-ms 10 --device cpu
    """
    from smlmbench.run.using.finding import study_name

    name = study_name(study)
    if output is not None and not overwrite:
        from smlmbench.run.using.replacing import INSTEAD, check_free

        check_free(sorted(output.glob("leaderboard.*")), INSTEAD)
    from smlmbench.report.publish import report_study
    from smlmbench.tracking.store import open_store

    opened = open_store(store, create=False)
    files = report_study(opened, name, output)
    fitting = None
    if budget_ms is not None:
        from smlmbench.report.devices import study_within
        from smlmbench.tracking.records import read_study

        fitting = study_within(read_study(opened, name), budget_ms, device, size)
    if as_json:
        paths = {kind: getattr(files, kind) for kind in ("html", "csv", "md", "tex", "json")}
        said = {"study": name, "files": paths, "answers": files.answers}
        if fitting is not None:
            said["fits"] = {data: None if one is None else one.as_dict() for data, one in fitting.items()}
        emit_json(said)
        return
    for sentences in files.answers.values():
        emit(" ".join(sentences))
    for data, one in (fitting or {}).items():
        if one is None:
            frame = "a frame" if size is None else f"a frame of {size} px"
            file = study if study != name else "STUDY.yaml"
            timed_by = command_line("smlmbench", "time", file, "--sizes", size or 64, *stored(store))
            none = f"Nothing timed on {data} takes at most {budget_ms:g} ms for {frame} on {device}"
            emit(f"{none}; other sizes are timed by: {timed_by}")
        else:
            emit(one.sentence)
            emit(f"  {one.command} {command_line(*stored(store))}".rstrip())
    emit(f"leaderboard: {files.html}")
