"""What a row is, as twelve hex digits: canonical JSON of its content (DESIGN section 7)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smlmbench.registry import Catalog
from smlmbench.study.cells import DataPlan, Picked
from smlmbench.study.digests import canonical as canonical
from smlmbench.study.digests import file_digest as file_digest
from smlmbench.study.digests import short_hash as short_hash
from smlmbench.study.schema import Scoring, Training

SCHEMA_VERSION = 1
CLOCK_VERSION = 2  # of how inference is timed: times of another version are taken anew


def known_as(catalog: Catalog, task: str) -> str:
    """The name by which a task enters identities: its own, or the one on its card under which it began."""
    return str(catalog.card("tasks", task).facts.get("known_as", task))


def picked_identity(picked: Picked) -> dict[str, Any]:
    """Name, card version, settings and, from outside the package, the file's hash."""
    return {"name": picked.name, "version": picked.version, "settings": picked.named_by, "plugin": picked.plugin}


def cell_id(
    *,
    task: str,
    root_seed: int,
    repeat: int,
    data: DataPlan,
    model: Picked,
    output: Picked,
    loss: Picked,
    training: Training,
) -> str:
    """Identity of one training; `task` is its name from `known_as`, lambda is the loss's setting `weight`.

    The recipe is the one that the card of the loss names: whoever changes it raises the version of the loss.
    """
    return _hash(
        task=task,
        root_seed=root_seed,
        repeat=repeat,
        data=data.train_identity,
        model=picked_identity(model),
        output=picked_identity(output),
        loss=picked_identity(loss),
        training=training.model_dump(mode="json"),
        method={"name": "supervised", "settings": {}, "teacher": None},
        **data.train.trained_as(model.settings),
    )


def student_id(plain: str, method: Picked, teacher: Mapping[str, str]) -> str:
    """Identity of a training with a teacher: the `cell_id` of the same training without one, which holds all the rest.

    The teacher is one of cell_id, sha256 (of a checkpoint) or run, and `untrained`.
    """
    return _hash(plain=plain, method={**picked_identity(method), "teacher": teacher})


def eval_id(*, root_seed: int, tests: Mapping[str, Any], scoring: Scoring, task_version: int) -> str:
    """Identity of a scoring: the conditions by name, the protocol with its options, the version on the task's card."""
    protocol = scoring.model_dump(mode="json")
    return _hash(root_seed=root_seed, tests=tests, scoring=protocol, task_version=task_version)


def reference_id(
    *,
    task: str,
    data: Mapping[str, Any],
    output: Picked,
    reference: Picked,
    scored: str,
    content: Mapping[str, Any] | None = None,
) -> str:
    """Identity of a row without training: data, settings (a file by its digest), and the `eval_id` it is scored by.

    `content` stands in place of the settings of these names.
    """
    settings = {**reference.named_by, **(content or {})}
    if isinstance(settings.get("path"), str) and settings["path"]:
        settings["path"] = file_digest(Path(settings["path"]))
    described = {**picked_identity(reference), "settings": settings}
    return _hash(task=task, data=data, output=picked_identity(output), reference=described, eval_id=scored)


def timing_id(*, model: Picked, output: Picked, shape: tuple[int, ...], on: Mapping[str, Any]) -> str:
    """Identity of a timing, shared by all cells of one network.

    The output kind gives the upsampling that the network is built for; `shape` is that of the example, (batch,
    channel, height, width); `on` says device, runtime, number_format, threads and host.
    """
    network = {"model": picked_identity(model), "output": picked_identity(output)}
    return _hash(clock=CLOCK_VERSION, **network, shape=list(shape), on=on)


def _hash(**content: Any) -> str:
    return short_hash({"schema": SCHEMA_VERSION, **content})
