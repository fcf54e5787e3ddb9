"""What optuna-dashboard shows of a study or trial beside its numbers: a note, and files."""

import tempfile
from collections.abc import Mapping
from itertools import count
from pathlib import Path

import optuna

PART = 2045  # characters of one attribute; the dashboard joins them


def write_note(storage: optuna.storages.BaseStorage, study_id: int, text: str, trial_id: int | None = None) -> None:
    """Set the Markdown note of a study, or of one of its trials, in the form that optuna-dashboard reads.

    It is written without that package, which need not be there where trials run.
    """
    known: Mapping[str, object] = storage.get_study_system_attrs(study_id)
    whose = "dashboard:" if trial_id is None else f"dashboard:{trial_id}:"
    parts = [text[first : first + PART] for first in range(0, len(text), PART)]
    for place in count():
        key = f"{whose}note_str:{place}"
        if place >= len(parts) and not known.get(key):
            break
        wanted = parts[place] if place < len(parts) else ""
        if known.get(key) != wanted:
            storage.set_study_system_attr(study_id, key, wanted)
            storage.set_study_system_attr(study_id, f"{whose}note_ver", int(str(known.get(f"{whose}note_ver", 0))) + 1)


def attach(storage: optuna.storages.BaseStorage, trial_id: int, name: str, content: bytes, folder: Path) -> None:
    """Show a file on a trial that has not ended yet; it is kept in `folder`, that of the database's files."""
    from optuna.artifacts import FileSystemArtifactStore, upload_artifact

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / name
        path.write_bytes(content)
        trial = storage.get_trial(trial_id)
        files = FileSystemArtifactStore(str(folder))
        upload_artifact(artifact_store=files, file_path=str(path), study_or_trial=trial, storage=storage)
