"""smlmbench cite: the works that a study uses, and how it was made."""

from dataclasses import asdict
from typing import Annotated

from typer import Argument

from smlmbench.cli.options import AsJson, Store
from smlmbench.cli.output import emit, emit_json


def command(
    study: Annotated[str, Argument(metavar="STUDY", help="Name of a study in the store, or its file.")],
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Print BibTeX of every model, loss, data set and method of a study, and a paragraph for a methods section.

    What has no doi is a @misc with what its card states. The paragraph, behind it as comments, holds the settings of
    data, training, protocol and versions.

    Example: smlmbench cite microtubules-2d --store mlruns
    """
    from smlmbench.run.using.finding import study_name

    name = study_name(study)
    from smlmbench.report.studies.citing import cite
    from smlmbench.tracking.records import read_study
    from smlmbench.tracking.store import open_store

    found = cite(read_study(open_store(store, create=False), name))
    if as_json:
        emit_json(asdict(found))
        return
    for work in found.works:
        emit(f"{work.bibtex}\n")
    # BibTeX skips what is outside an entry, whatever it is, but for the letter that begins one.
    emit(f"% Methods: {found.methods.replace('@', '(at)')}")
