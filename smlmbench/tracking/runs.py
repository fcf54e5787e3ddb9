"""Writing a run: params, metrics in batches, artifacts, data sets, the model; and an end in every case."""

import json
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from smlmbench.addresses import hidden
from smlmbench.errors import CollapsedError, ConfigError, PrunedError, SizeError, StoreLostError
from smlmbench.patience import at_once
from smlmbench.tracking import tags as names
from smlmbench.tracking.owners import Heartbeat, heartbeat_tag, this_process
from smlmbench.tracking.plain import metric_value, not_logged_text, param_text, plain_json
from smlmbench.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Metric

End = Literal["done", "interrupted", "pruned", "failed", "collapsed"]
ENDS: Mapping[type[BaseException], End] = {CollapsedError: "collapsed", PrunedError: "pruned", Exception: "failed"}
MLFLOW_STATUS: Mapping[End, str] = {"done": "FINISHED", "interrupted": "KILLED", "pruned": "KILLED"}
KEPT = "kept.json"  # in the working folder: metrics that wait for the store
IMAGES = "mlflow.loggedImages"  # MLflow's mark of a run with images; "True" is how it writes it
METRICS_PER_CALL = 1000
TAGS_PER_CALL = 100
REASON_CHARACTERS = 1000
DIGEST_CHARACTERS = 36
SHARED_TRIES = 6
SHARED_PAUSE_S = 0.1


class Array(NamedTuple):
    """Type and shape of an array; -1 stands for a size that is open."""

    dtype: str
    shape: tuple[int, ...]


class Run:
    """A run that this process holds; use it in a `with`, which ends it whatever happens.

    Leaving normally is done; KeyboardInterrupt and SystemExit are interrupted, so the same command continues it;
    CollapsedError is collapsed, PrunedError pruned, any other exception failed, each with its reason.
    `not_logged` has the metrics without a number, with the reason; for `metrics.json`.
    """

    def __init__(self, store: Store, run_id: str, *, experiment_id: str, heartbeat: bool = True) -> None:
        self.store, self.run_id, self.experiment_id = store, run_id, experiment_id
        self.not_logged: dict[str, str] = {}
        self.closed = False
        self._buffer: list[Metric] = []
        self._images: list[tuple[NDArray[np.uint8], str, int]] = []
        self._has_images = False
        self._params: dict[str, str] | None = None
        self._heartbeat = Heartbeat(self._beat) if heartbeat else None

    def _beat(self) -> None:
        for key, value in heartbeat_tag().items():
            self.store.client.set_tag(self.run_id, key, value)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.closed:
            return
        if error is None:
            self.terminate("done")
            return
        if isinstance(error, StoreLostError):
            self.abandon()
            return
        end: End = next((end for kind, end in ENDS.items() if isinstance(error, kind)), "interrupted")
        try:
            self.terminate(end, reason_of(error))
        except Exception as second:
            error.add_note(f"and the run {self.run_id} could not be closed: {second}")

    @property
    def work_dir(self) -> Path:
        """Folder of what is needed to continue it."""
        return self.store.work_dir(self.run_id)

    def log_params(self, params: Mapping[str, object]) -> None:
        """Log settings as plain text ("0.1", "true", "none"), one flat key each.

        MLflow never changes a param; a value that a later scoring changes goes to a tag, which records read first.
        """
        from mlflow.entities import Param, RunTag

        if self._params is None:
            self._params = dict(self.store.client.get_run(self.run_id).data.params)
        wanted = {key: param_text(value) for key, value in params.items()}
        for key in wanted:
            _check_name("param", key)
        known = self._params
        new = [Param(key, value) for key, value in wanted.items() if key not in known]
        changed = [RunTag(names.PARAM + key, value) for key, value in wanted.items() if known.get(key, value) != value]
        for first in range(0, max(len(new), len(changed)), TAGS_PER_CALL):
            part = slice(first, first + TAGS_PER_CALL)
            self.store.client.log_batch(self.run_id, params=new[part], tags=changed[part])
        self._params.update({param.key: param.value for param in new})

    def log_metrics(self, values: Mapping[str, float | str], step: int = 0) -> None:
        """Keep values for the next `flush` or `offer`; a try comes by itself at 1000 of them.

        Text says why there is no number; it, NaN and infinity are kept in `not_logged`. `step` is samples seen, or 0
        for a value that the run has once.
        """
        from mlflow.entities import Metric

        now_ms = time.time_ns() // 1_000_000
        for key, value in values.items():
            _check_name("metric", key)
            number = metric_value(value)
            if isinstance(number, str):
                self.not_logged[key] = number
            else:
                self.not_logged.pop(key, None)
                self._buffer.append(Metric(key, number, now_ms, int(step)))
        if len(self._buffer) >= METRICS_PER_CALL:
            self._flushed_at_once()

    def offer(self) -> None:
        """Write what is kept, unless the store is busy or away: a training goes on, and it is written later.

        Metrics then are also kept in the working folder, for a process that continues the run.
        """
        if not self._flushed_at_once():
            kept = [[each.key, each.value, each.timestamp, each.step] for each in self._buffer]
            self._kept_file.parent.mkdir(parents=True, exist_ok=True)
            self._kept_file.write_text(json.dumps(kept), encoding="utf-8")

    def _flushed_at_once(self) -> bool:
        try:
            with at_once():
                self.flush()
        except StoreLostError:
            return False
        return True

    def recall(self) -> None:
        """Take up the metrics that an earlier process could not write."""
        from mlflow.entities import Metric

        if self._kept_file.exists():
            self._buffer += [Metric(*each) for each in json.loads(self._kept_file.read_text(encoding="utf-8"))]
            self._flushed_at_once()

    @property
    def _kept_file(self) -> Path:
        return self.store.home / "work" / self.run_id / KEPT

    def flush(self) -> None:
        """Write the kept metrics, at most 1000 a call, and images."""
        while self._buffer:
            part = self._buffer[:METRICS_PER_CALL]
            self.store.client.log_batch(self.run_id, metrics=part)
            del self._buffer[: len(part)]
        if self._images and not self._has_images:
            # MLflow writes the files first and then this tag: where it is set, no file of a vain try stays behind.
            self.set_tags({IMAGES: "True"})
            self._has_images = True
        while self._images:
            image, key, step = self._images[0]
            self.store.client.log_image(self.run_id, image, key=key, step=step, synchronous=True)
            del self._images[0]
        self._kept_file.unlink(missing_ok=True)

    def set_tags(self, values: Mapping[str, object]) -> None:
        """Set tags, which unlike params may change."""
        from mlflow.entities import RunTag

        wanted = [RunTag(key, param_text(value)) for key, value in values.items()]
        for first in range(0, len(wanted), TAGS_PER_CALL):
            self.store.client.log_batch(self.run_id, tags=wanted[first : first + TAGS_PER_CALL])

    def mark_trained(self) -> None:
        """Say that `best.pt` is logged; from here on the cell is only scored again, never trained."""
        self.set_tags({names.TRAINED: "true"})

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file to the run's artifacts."""
        self.store.client.log_artifact(self.run_id, str(path), folder)

    def log_artifacts(self, path: Path, folder: str | None = None) -> None:
        """Copy the content of a folder to the run's artifacts."""
        self.store.client.log_artifacts(self.run_id, str(path), folder)

    def log_bytes(self, content: bytes, relative: str) -> None:
        """Write an artifact, such as a drawn figure, at a POSIX path."""
        target = PurePosixPath(relative)
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / target.name
            path.write_bytes(content)
            self.log_artifact(path, str(target.parent) if target.parent.name else None)

    def log_text(self, text: str, relative: str) -> None:
        """Write a text artifact in UTF-8."""
        self.log_bytes(text.encode(), relative)

    def log_dict(self, value: object, relative: str) -> None:
        """Write a JSON artifact; numbers that are not finite become null."""
        self.log_text(json.dumps(plain_json(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n", relative)

    def log_image(self, image: NDArray[np.uint8], key: str, step: int = 0) -> None:
        """Log an image for the UI's image grid, which compares one key over runs and steps; kept where it cannot be.

        Raises:
            SizeError: Not uint8 of shape (H, W) or (H, W, 3).
        """
        if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
            raise SizeError(f"image '{key}' is {image.dtype} {image.shape}; give uint8 of shape (H, W) or (H, W, 3)")
        self._images.append((image, key, step))
        self._flushed_at_once()

    def log_input(
        self,
        name: str,
        digest: str,
        context: str,
        facts: Mapping[str, object] | None = None,
        inputs: Mapping[str, Array] | None = None,
        truth: Mapping[str, Array] | None = None,
    ) -> None:
        """Say what data or condition the run used as train, val or the name of a test condition.

        MLflow keeps 36 characters of the digest of its description or files, and shows `facts` (density, frames, ...)
        and the arrays that there are, as the schema.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag

        told = {key: param_text(value) for key, value in (facts or {}).items()}
        source, schema = json.dumps({"tags": told}), _schema(inputs, truth) if inputs else None
        data = Dataset(name, digest[:DIGEST_CHARACTERS], "code", source, schema, json.dumps(told))
        self._log_shared(DatasetInput(data, [InputTag("mlflow.data.context", context)]))

    def _log_shared(self, given: "DatasetInput") -> None:
        """Log a data set that other processes may be entering into the store right now."""
        from mlflow.exceptions import MlflowException

        for attempt in range(SHARED_TRIES):
            try:
                self.store.client.log_inputs(self.run_id, [given])
            except MlflowException as error:
                # MLflow looks for the data set and inserts it in two steps: of two processes one comes too late, and
                # finds it at the next look.
                if "UNIQUE" not in str(error).upper() or attempt == SHARED_TRIES - 1:
                    raise
                time.sleep(SHARED_PAUSE_S * (attempt + 1))
            else:
                return

    def last_metrics(self, keys: Sequence[str]) -> "list[Metric]":
        """The newest value of each named metric that has one, also of an earlier process."""
        self.flush()
        histories = (self.store.client.get_metric_history(self.run_id, key) for key in keys)
        return [max(history, key=lambda each: (each.step, each.timestamp)) for history in histories if history]

    def abandon(self) -> None:
        """Leave the run as the store has it, which cannot be reached; the next command takes it up."""
        if self._heartbeat is not None:
            self._heartbeat.stop(wait=False)
        self.closed = True

    def terminate(self, end: End, reason: str = "") -> None:
        """Write what is kept and close the run; a second call does nothing."""
        if self.closed:
            return
        if self._heartbeat is not None:
            self._heartbeat.stop()
        self.flush()
        said = {names.REASON: reason[:REASON_CHARACTERS]} if reason else {}
        if end in ("pruned", "collapsed"):
            said[names.OUTCOME] = end
        if self.not_logged:
            said[names.NOT_LOGGED] = not_logged_text(self.not_logged)
        if said:
            self.set_tags(said)
        self.store.client.set_terminated(self.run_id, MLFLOW_STATUS.get(end, "FAILED"))
        self.closed = True


def open_run(store: Store, experiment_id: str, *, role: str, name: str, tags: Mapping[str, str] | None = None) -> Run:
    """Start a run that needs no claim: role `study` or `search`."""
    held = {names.ROLE: role, **names.SOURCE, **this_process().tags(), **heartbeat_tag(), **(tags or {})}
    created = store.client.create_run(experiment_id, tags=held, run_name=name)
    return Run(store, str(created.info.run_id), experiment_id=experiment_id)


def reason_of(error: BaseException) -> str:
    """One line that says why."""
    if isinstance(error, KeyboardInterrupt):
        return "stopped by the user"
    text = hidden(" ".join(str(error).split()))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _schema(inputs: Mapping[str, Array], truth: Mapping[str, Array] | None) -> str:
    from mlflow.data.schema import TensorDatasetSchema
    from mlflow.types import Schema, TensorSpec

    def of(arrays: Mapping[str, Array]) -> Schema:
        return Schema([TensorSpec(np.dtype(one.dtype), one.shape, name) for name, one in arrays.items()])

    return json.dumps(TensorDatasetSchema(of(inputs), *([of(truth)] if truth else [])).to_dict())


def _check_name(what: str, key: str) -> None:
    if not re.fullmatch(r"[/\w.\- :]{1,250}", key):
        raise ConfigError(f"{what} name '{key}' is not accepted by MLflow; use letters, digits and _ - . : / or space")
