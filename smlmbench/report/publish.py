"""The report of a study in a store: read, build, log to the study's own run."""

from collections.abc import Sequence
from pathlib import Path

from smlmbench.report.access import Access
from smlmbench.report.files import KINDS, ReportFiles, as_before, fingerprint, remember
from smlmbench.report.model import History
from smlmbench.report.opening import open_on_headlines
from smlmbench.report.studies.repeats import parents_of
from smlmbench.tracking.parents import write_parents
from smlmbench.tracking.records import RunRecord, StudyRecord, metric_history, read_study
from smlmbench.tracking.store import Store

# MLflow shows this tag of an experiment as Markdown above its runs.
NOTE = "mlflow.note.content"


def report_study(
    store: Store, study: str, output_dir: Path | None = None, *, record: StudyRecord | None = None
) -> ReportFiles:
    """Build the report of a study from the store alone, where it is not there, and log it to the study's newest run.

    Args:
        store: An open store.
        study: Name of the study.
        output_dir: Where the files go; by default the study's folder of reports in the store.
        record: The study as it was just read; None reads it.

    Raises:
        StoreError: No such study, or it has no plan.
    """
    record = record or read_study(store, study)
    folder = store.report_dir(study) if output_dir is None else output_dir
    made_of = fingerprint(record, Access.of(store))
    files = as_before(folder, made_of)
    if files is None:
        from smlmbench.report.page import build_report  # takes a second with all that draws

        files = build_report(record, folder, history=_history(store), access=Access.of(store))
        write_parents(store, record, parents_of(record))
        open_on_headlines(store, record)
        remember(files, made_of)
    planned = next((run for run in record.runs if run.role == "study" and run.artifact("plan.json")), None)
    if planned is not None:
        for kind in KINDS:
            store.client.log_artifact(planned.run_id, str(getattr(files, kind)))
    said = [f"**{sentences[0]}** {' '.join(sentences[1:])}" for sentences in files.answers.values()]
    store.client.set_experiment_tag(record.experiment_id, NOTE, "\n\n".join(said))
    return files


def report_part(store: Store, record: StudyRecord, output_dir: Path) -> ReportFiles:
    """Build the report of a part of the store (`studies.choosing`), which is logged to no run: no study is like it.

    Raises:
        StoreError: The record has no plan.
    """
    from smlmbench.report.page import build_report

    return build_report(record, output_dir, history=_history(store), access=Access.of(store))


def _history(store: Store) -> History:
    def history(run: RunRecord, metric: str) -> Sequence[tuple[int, float]]:
        # Of several values at one step (scored again) the last.
        return list({point.step: point.value for point in metric_history(store, run.run_id, metric)}.items())

    return history
