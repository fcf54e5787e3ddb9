"""smlmbench report: the leaderboard of a study, from the store alone; several, a part of one, two compared, figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from smlmbench.addresses import command as command_line
from smlmbench.cli.options import AsJson, Overwrite, Store, from_fields, stored
from smlmbench.cli.output import emit, emit_json, note, table

if TYPE_CHECKING:
    from smlmbench.report.devices import Fitting
    from smlmbench.tracking.records import StudyRecord
    from smlmbench.tracking.store import Store as OpenStore


@dataclass(frozen=True, slots=True)
class _Asked:
    studies: Annotated[
        list[str],
        Argument(metavar="STUDY...", help="Studies in the store, by name or file; several: one page."),
    ]
    store: Store = None
    output: Annotated[
        Path | None, Option(metavar="FOLDER", help="Folder of the files; default: reports/STUDY in the store.")
    ] = None
    compare: Annotated[bool, Option("--compare", help="Pair the numbers of two studies instead.")] = False
    since: Annotated[
        datetime | None,
        Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"], help="Only rows that ended since then."),
    ] = None
    figures: Annotated[
        Path | None, Option(metavar="FOLDER", help="Also draw figures for a paper there, as SVG and PNG of 600 dpi.")
    ] = None
    width_mm: Annotated[float, Option(help="Width of --figures: 85 (a column) or 170 (a page).")] = 85.0
    budget_ms: Annotated[
        float | None, Option(min=0.0, help="Also name the best model that takes at most this for one frame.")
    ] = None
    device: Annotated[str, Option(help="Device of --budget-ms: cpu, cuda or mps.")] = "cpu"
    size: Annotated[
        int | None, Option(help="Frame side in px of --budget-ms; default: the smallest that was timed.")
    ] = None
    overwrite: Overwrite = False
    as_json: AsJson = False


@from_fields(_Asked)
def command(asked: _Asked) -> None:
    """Rebuild a study's leaderboard (.html .csv .json .md .tex, numbers.csv) from the store alone.

    With --budget-ms it also names the best model that fits, and the command that runs it on a movie.

    Example: smlmbench report microtubules-2d --budget-ms 10 --device cpu

    Example: smlmbench report --compare monday tuesday

    Example: smlmbench report microtubules-2d --figures figures --width-mm 85
    """
    from smlmbench.run.using.finding import study_name

    names = [study_name(study) for study in asked.studies]
    _check(asked, names)
    from smlmbench.tracking.records import read_study
    from smlmbench.tracking.store import open_store

    opened = open_store(asked.store, create=False)
    records = [read_study(opened, name) for name in names]
    if asked.since is not None:
        from smlmbench.report.studies.choosing import since

        records = [since(record, asked.since) for record in records]
    if asked.compare:
        _compared(asked, opened, records)
    else:
        _reported(asked, opened, records)


def _check(asked: _Asked, names: list[str]) -> None:
    """Refuse what makes no sense together, and files that are there, before the store is read."""
    from smlmbench.errors import ConfigError

    if asked.compare and len(names) != 2:
        raise ConfigError(f"--compare takes two studies, {len(names)} given; write --compare STUDY STUDY")
    given = [
        option
        for option, value in (("--figures", asked.figures), ("--budget-ms", asked.budget_ms))
        if value is not None
    ]
    if given and (asked.compare or len(names) > 1):
        raise ConfigError(f"{given[0]} belongs to one study alone; give one, without --compare")
    if asked.figures is not None:
        from smlmbench.figures.paper import check_width

        check_width(asked.width_mm)
    if not asked.overwrite:
        from smlmbench.run.using.replacing import INSTEAD, check_free

        if asked.output is not None:
            kinds = ("comparison.*",) if asked.compare else ("leaderboard.*", "numbers.csv")
            check_free(sorted(path for kind in kinds for path in asked.output.glob(kind)), INSTEAD)
        if asked.figures is not None:
            check_free(sorted(asked.figures.glob(f"*-{asked.width_mm:g}mm.*")), "give another folder, or --overwrite")


def _reported(asked: _Asked, store: "OpenStore", records: "list[StudyRecord]") -> None:
    from smlmbench.report.publish import report_part, report_study

    if asked.since is None and len(records) == 1:
        (record,) = records
        files = report_study(store, record.study, asked.output, record=record)
    else:
        from smlmbench.report.studies.choosing import several

        record = records[0] if len(records) == 1 else several(records)
        dated = f" since {asked.since:%Y-%m-%d %H%M}" if asked.since is not None else ""
        folder = store.report_dir(f"{record.study}{dated}") if asked.output is None else asked.output
        files = report_part(store, record, folder)
    fitting = None
    if asked.budget_ms is not None:
        from smlmbench.report.devices import study_within

        fitting = study_within(record, asked.budget_ms, asked.device, asked.size)
    figures = None
    if asked.figures is not None:
        from smlmbench.report.forms.paper import write_figures

        figures = write_figures(record, asked.figures, asked.width_mm)
    if asked.as_json:
        from smlmbench.report.files import KINDS

        paths = {kind: getattr(files, kind) for kind in KINDS}
        said: dict[str, Any] = {"study": record.study, "files": paths, "answers": files.answers}
        if fitting is not None:
            said["fits"] = {data: None if one is None else one.as_dict() for data, one in fitting.items()}
        emit_json(said if figures is None else said | {"figures": figures})
        return
    for sentences in files.answers.values():
        emit(" ".join(sentences))
    _tell_fits(asked, record.study, fitting or {})
    for path in figures or ():
        emit(f"figure: {path}")
    emit(f"leaderboard: {files.html}")


def _tell_fits(asked: _Asked, name: str, fitting: "Mapping[str, Fitting | None]") -> None:
    for data, one in fitting.items():
        if one is None:
            size, file = asked.size, asked.studies[0] if asked.studies[0] != name else "STUDY.yaml"
            frame = "a frame" if size is None else f"a frame of {size} px"
            timed_by = command_line("smlmbench", "time", file, "--sizes", size or 64, *stored(asked.store))
            none = f"Nothing timed on {data} takes at most {asked.budget_ms:g} ms for {frame} on {asked.device}"
            emit(f"{none}; other sizes are timed by: {timed_by}")
        else:
            emit(one.sentence)
            emit(f"  {one.command} {command_line(*stored(asked.store))}".rstrip())


def _compared(asked: _Asked, store: "OpenStore", records: "list[StudyRecord]") -> None:
    from smlmbench.report.studies.comparing import compare, csv_text, table_rows

    found = compare(*records)
    one, other = found.studies
    folder = store.report_dir(f"{one} against {other}") if asked.output is None else asked.output
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "comparison.csv"
    path.write_text(csv_text(found), encoding="utf-8", newline="")
    if asked.as_json:
        said = {"studies": list(found.studies), "file": path, "numbers": found.numbers.to_dict("records")}
        emit_json(said | {"alone": found.alone})
        return
    columns = ("row", "data", "metric", one, other, f"{other} − {one}", "frozen set")
    table("", columns, table_rows(found.shown))
    for name, rows in found.alone.items():
        if rows:
            note(f"only in {name}: {', '.join(rows)}")
    if found.ambiguous:
        note(f"left out: {found.ambiguous} numbers of rows that a study has more than once")
    emit(f"{len(found.numbers)} paired numbers: {path}")
