"""What a row is, as twelve hex digits: canonical JSON of its content (DESIGN section 7)."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smlmbench.errors import ConfigError
from smlmbench.formats import companions
from smlmbench.study.cells import Picked
from smlmbench.study.schema import Scoring, Training
from smlmbench.study.sources import ImagesSource, SimulateSource, Source

SCHEMA_VERSION = 1
CLOCK_VERSION = 2  # of how inference is timed: times of another version are taken anew
EXACT = 2**53  # beyond, whole numbers are no longer exact as floats
BLOCK_BYTES = 1 << 20

_PLAIN = frozenset({str, int, bool, type(None)})
_digests: dict[tuple[str, int, int], str] = {}


def canonical(payload: Any) -> str:
    """Canonical JSON: sorted keys, no spaces, and one spelling of every number (1 and 1.0 agree).

    Raises:
        ConfigError: NaN, infinity or a value that JSON does not know.
    """
    try:
        return json.dumps(_normal(payload), sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    except ValueError:
        raise ConfigError("a setting is NaN or infinite, which has no identity; give a finite number") from None


def _normal(value: Any) -> Any:
    kind = type(value)  # compared before isinstance: plans hash ten thousand payloads
    if kind in _PLAIN:
        return value
    if kind is float:
        return int(value) if value.is_integer() and abs(value) < EXACT else value
    if kind is dict:
        return {str(key): item if type(item) in _PLAIN else _normal(item) for key, item in value.items()}
    if kind is list or isinstance(value, tuple):
        return [_normal(item) for item in value]
    if isinstance(value, Mapping):
        return _normal(dict(value))
    if isinstance(value, float):
        return _normal(float(value))
    if isinstance(value, str | int):
        return value
    raise ConfigError(f"a {kind.__name__} has no identity; use numbers, text, lists and mappings")


def short_hash(payload: Any) -> str:
    """First 12 hex digits of sha256 over canonical JSON."""
    return hashlib.sha256(canonical(payload).encode()).hexdigest()[:12]


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes, or of the names and bytes of a folder's files; remembered while size and time stay.

    Files that it depends on (a sidecar with the shape of raw frames, further files of one movie) count with it.

    Raises:
        ConfigError: The file cannot be read.
    """
    try:
        if path.is_dir():
            names = sorted(item for item in path.iterdir() if item.is_file() and not item.name.startswith("."))
            return hashlib.sha256(canonical([[item.name, _remembered(item)] for item in names]).encode()).hexdigest()
        digests = [_remembered(item) for item in (path, *companions(path))]
    except OSError as error:
        raise ConfigError(
            f"'{path}' cannot be read: {error.strerror or error}; check the file and its rights"
        ) from None
    return digests[0] if len(digests) == 1 else hashlib.sha256(canonical(digests).encode()).hexdigest()


def _remembered(path: Path) -> str:
    """sha256 of a file's bytes, computed once."""
    facts = path.stat()
    key = (str(path.absolute()), facts.st_size, facts.st_mtime_ns)
    if key not in _digests:
        _digests[key] = _sha256(path)
    return _digests[key]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def source_identity(source: Source) -> dict[str, Any]:
    """What defines the pixels and the truth of a source: its description; for files their digests instead of paths."""
    if isinstance(source, ImagesSource):
        from smlmbench.study.sources.pairs import pairs_identity

        shown: dict[str, Any] = _normal(source.model_dump(mode="json", exclude={"input", "target"}))
        return {**shown, "pairs_sha256": pairs_identity(source)}
    described: dict[str, Any] = _normal(source.model_dump(mode="json", exclude={"movie", "truth", "split"}))
    if isinstance(source, SimulateSource):
        return described
    return {
        **described,
        "movie_sha256": file_digest(source.movie),
        "truth_sha256": file_digest(source.truth) if source.truth is not None else None,
    }


def picked_identity(picked: Picked) -> dict[str, Any]:
    """Name, card version, settings and, from outside the package, the file's hash."""
    return {"name": picked.name, "version": picked.version, "settings": picked.settings, "plugin": picked.plugin}


def cell_id(
    *,
    task: str,
    root_seed: int,
    repeat: int,
    data: Mapping[str, Any],
    model: Picked,
    output: Picked,
    loss: Picked,
    training: Training,
) -> str:
    """Identity of one training.

    Args:
        task: Name of the task.
        root_seed: The study's seed.
        repeat: Number of the repeat.
        data: `DataPlan.train_identity`: descriptions or digests of train and val.
        model: With all settings.
        output: Output kind with its settings.
        loss: With all settings; lambda is the setting `weight`.
        training: The merged block.
    """
    return short_hash(
        {
            "schema": SCHEMA_VERSION,
            "task": task,
            "root_seed": root_seed,
            "repeat": repeat,
            "data": data,
            "model": picked_identity(model),
            "output": picked_identity(output),
            "loss": picked_identity(loss),
            "training": training.model_dump(mode="json"),
            "method": {"name": "supervised", "settings": {}, "teacher": None},
            **_crops(data, model),
        }
    )


def _crops(data: Mapping[str, Any], model: Picked) -> dict[str, str]:
    """What distinguishes trainings on crops of a movie that were normalised by the crop's own extremes before."""
    by_frame = str(model.settings.get("normalisation", "")).startswith("frame_")
    return {"frame_range": "whole"} if by_frame and data["train"].get("kind") == "movie" else {}


def student_id(plain: str, method: Picked, teacher: Mapping[str, str]) -> str:
    """Identity of a training with a teacher.

    Args:
        plain: `cell_id` of the same training without a teacher, which holds all the rest.
        method: Recipe with all settings.
        teacher: One of cell_id, sha256 (of a checkpoint) or run, and `untrained`.
    """
    method_block = {**picked_identity(method), "teacher": teacher}
    return short_hash({"schema": SCHEMA_VERSION, "plain": plain, "method": method_block})


def eval_id(*, root_seed: int, tests: Mapping[str, Any], scoring: Scoring, task_version: int) -> str:
    """Identity of a scoring: the conditions by name, the protocol with its options, the version on the task's card."""
    return short_hash(
        {
            "schema": SCHEMA_VERSION,
            "root_seed": root_seed,
            "tests": tests,
            "scoring": scoring.model_dump(mode="json"),
            "task_version": task_version,
        }
    )


def reference_id(*, task: str, data: Mapping[str, Any], output: Picked, reference: Picked, scored: str) -> str:
    """Identity of a row without training: data, settings (a file by its digest), and the `eval_id` it is scored by."""
    settings = dict(reference.settings)
    if isinstance(settings.get("path"), str) and settings["path"]:
        settings["path"] = file_digest(Path(settings["path"]))
    described = {**picked_identity(reference), "settings": settings}
    return short_hash(
        {
            "schema": SCHEMA_VERSION,
            "task": task,
            "data": data,
            "output": picked_identity(output),
            "reference": described,
            "eval_id": scored,
        }
    )


def timing_id(*, model: Picked, output: Picked, shape: tuple[int, ...], on: Mapping[str, Any]) -> str:
    """Identity of a timing, shared by all cells of one network.

    Args:
        model: With all settings.
        output: Gives the upsampling that the network is built for.
        shape: Shape of the example, (batch, channel, height, width).
        on: device, runtime, number_format, threads and host.
    """
    return short_hash(
        {
            "schema": SCHEMA_VERSION,
            "clock": CLOCK_VERSION,
            "model": picked_identity(model),
            "output": picked_identity(output),
            "shape": list(shape),
            "on": on,
        }
    )
