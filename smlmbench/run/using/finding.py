"""What a user means by the word in place of a trained network (file, id, a run's or a model's name) or of a study."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smlmbench.errors import ConfigError, StoreError
from smlmbench.registry import Catalog
from smlmbench.tracking.records import RunRecord, find_run, list_studies, search
from smlmbench.tracking.store import Store

FILES = (".pt", ".onnx", ".xml", ".pte", ".zip")


@dataclass(frozen=True, slots=True)
class Found:
    """A trained network."""

    checkpoint: Path  # its `best.pt`, or an exported file
    record: RunRecord | None = None  # its run; None where a file was given
    study: str = ""  # of that run

    def __str__(self) -> str:
        if self.record is None:
            return str(self.checkpoint)
        data = self.record.params.get("data", "")
        return f"run {self.record.run_id[:12]} ({describe(self.record)}) of study {self.study}, data {data}"


def find_trained(text: str, store: Callable[[], Store]) -> Found:
    """The network behind a path, or behind what `find_row` takes.

    Raises:
        ConfigError: No such file, or the run has none.
        StoreError: Nothing fits.
    """
    path = Path(text)
    if path.is_file():
        return Found(path)
    if path.suffix in FILES:
        raise ConfigError(f"checkpoint '{text}' does not exist; give a best.pt, an exported file or a run id")
    record, study = find_row(store(), text)
    checkpoint = record.artifact("best.pt")
    if checkpoint is None:
        raise ConfigError(
            f"run {record.run_id[:12]} ({record.name}, {record.status}) has no best.pt; give a trained cell"
        )
    return Found(checkpoint, record, study)


def task_of(found: Found) -> str:
    """The task that a network was trained for, as its run or file says; an empty text where neither does."""
    if found.record is not None:
        return str(found.record.params.get("task", ""))
    if found.checkpoint.suffix == ".pt":
        from smlmbench.inference.checkpoint import load_facts

        return str(load_facts(found.checkpoint).get("task", ""))
    from smlmbench.export.graph import read_sidecar

    return str((read_sidecar(found.checkpoint) or {}).get("task", ""))


def find_row(store: Store, text: str) -> tuple[RunRecord, str]:
    """The row that a user means, and its study: an id or name as in `find_run`, or a model's name.

    Of several trainings of a model the one is taken whose primary metric on validation is best, of the newest study
    that has it.

    Raises:
        StoreError: Nothing fits.
    """
    studies = list_studies(store)
    try:
        record = find_run(store, text)
    except StoreError:
        found = _best_of(store, text, studies)
        if found is None:
            raise
        record = found
    return record, next((name for name, number in studies.items() if number == record.experiment_id), "")


def _best_of(store: Store, model: str, studies: dict[str, str]) -> RunRecord | None:
    if not (model.isidentifier() and studies):
        return None
    rows = search(store, list(studies.values()), f"params.model = '{model}'")
    rows = [row for row in rows if row.status == "done" and not row.superseded and row.role in ("cell", "reference")]
    rows = [row for row in rows if row.experiment_id == rows[0].experiment_id]
    if not rows:
        return None
    rows = [row for row in rows if row.params.get("task") == rows[0].params.get("task")]
    for facts in _task_facts(rows[0].params.get("task", "")):
        key, sign = f"val/{facts['primary']}", -1 if facts.get("direction") == "down" else 1
        scored = [row for row in rows if key in row.metrics]
        if scored:
            return max(scored, key=lambda row: sign * row.metrics[key])
    return rows[0]


def _task_facts(named: str) -> list[Mapping[str, Any]]:
    """Of the task that rows name, then of those that older stores know under its name; empty for a plug-in's."""
    catalog = Catalog()
    facts = {name: catalog.card("tasks", name).facts for name in catalog.names("tasks")}
    own = [facts[named]] if named in facts else []
    return own + [stated for stated in facts.values() if stated.get("known_as") == named]


def study_name(given: str) -> str:
    """The name that a study's file states, or the text itself where it is no file.

    Raises:
        ConfigError: A file that is absent, or states no study.
    """
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


def describe(record: RunRecord) -> str:
    """A row in a few words."""
    params = record.params
    if record.role != "cell":
        return params.get("model", record.name)
    return f"{params['model']}, {params['loss']} λ={params['lambda']}, repeat {params['repeat']}"
