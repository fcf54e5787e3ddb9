"""A trained network as a file for other programs, checked in a process without this package."""

import os
import tempfile
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

from smlmbench.errors import FormatError, UnitError
from smlmbench.export.graph import Graph, read_sidecar, sidecar_path
from smlmbench.export.parity import Parity, check_parity
from smlmbench.inference.checkpoint import load_trained
from smlmbench.inference.facts import graph_of
from smlmbench.registry import Catalog
from smlmbench.run.using.finding import Found, find_trained
from smlmbench.run.using.replacing import check_free, make_folder
from smlmbench.study.digests import file_digest
from smlmbench.tracking.runs import Run
from smlmbench.tracking.store import open_store

# What runs the file in the check, where that is not the format's own name.
CHECKED_AS = {"bioimageio": "onnx"}
SIDES_PX = ((32, 48), (64, 40))


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        files: All of them, the network's first.
        size_bytes: Together, without the JSON beside it.
        parity: How far its answers are from the network's.
    """

    files: list[Path]
    size_bytes: int
    parity: Parity


def export_model(
    model: str,
    form: str,
    folder: Path,
    store: str | os.PathLike[str] | None,
    catalog: Catalog,
    *,
    overwrite: bool = False,
) -> tuple[Found, Exported]:
    """Export what `find_trained` finds for a word, and store the files with the run that it is of.

    Raises:
        UserError: Nothing fits, and as `export`.
    """
    found = find_trained(model, lambda: open_store(store, create=False))
    made = export(found.checkpoint, form, folder, catalog, overwrite=overwrite)
    if found.record is not None:
        of, logged = found.record, {**made.parity.as_dict(), "bytes": made.size_bytes}
        run = Run(open_store(store, create=False), of.run_id, experiment_id=of.experiment_id, heartbeat=False)
        run.log_metrics({f"export/{form}_gap": made.parity.gap, f"export/{form}_bytes": float(made.size_bytes)})
        run.flush()
        run.log_dict(logged, f"export/{form}.json")
        for path in made.files:
            run.log_artifact(path, f"export/{form}")
    return found, made


def export(checkpoint: Path, form: str, folder: Path, catalog: Catalog, *, overwrite: bool = False) -> Exported:
    """Write a `best.pt` in a registered format, named after the model and its cell, and compare it with the network.

    Raises:
        FormatError: Files of another network, or of no known one, are there and `overwrite` is not set.
        MissingExtraError: A package is missing; the line that installs it is given.
        UnknownNameError: No such format.
    """
    facts = catalog.card("exports", form).facts
    suffix = str(facts["suffix"])
    if checkpoint.suffix != ".pt":
        raise UnitError(f"'{checkpoint.name}' is exported already; give a best.pt or a run")
    graph = graph_of(load_trained(checkpoint, catalog), catalog)
    graph = replace(graph, facts={**graph.facts, "checkpoint_sha256": file_digest(checkpoint)})
    make_folder(folder)
    named = (graph.facts["model"]["name"], str(graph.facts.get("cell_id", ""))[:6])
    target = folder / ("-".join(filter(None, named)) + suffix)
    if not overwrite and not _same(graph, target):
        sidecars = [target.with_suffix(ending) for ending in facts.get("sidecars", [])]
        check_free((target, sidecar_path(target), *sidecars), "give another folder with --out")
    files = catalog.module("exports", form).write(graph, target)
    size = sum(path.stat().st_size for path in files if path.suffix != ".json")
    return Exported(files, size, _compare(graph, form, target, int(facts.get("batch", 8))))


def _same(graph: Graph, target: Path) -> bool:
    """Whether the files that are there are of this very checkpoint."""
    try:
        there = read_sidecar(target)
    except FormatError:
        return False
    return there is not None and there.get("checkpoint_sha256") == graph.facts["checkpoint_sha256"]


def _compare(graph: Graph, form: str, path: Path, most: int) -> Parity:
    step, channels = graph.multiple_px, graph.channels
    sides = [graph.sides] if graph.sides else [(high + -high % step, wide + -wide % step) for high, wide in SIDES_PX]
    # of one unit a network may tell a single number, which has no range
    shapes = [(most if graph.sides else 1, channels, *each) for each in sides]
    kind = CHECKED_AS.get(form, form)
    if path.suffix != ".zip":
        return check_parity(graph, kind, path, shapes)
    with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(path) as package:
        return check_parity(graph, kind, Path(package.extract("model.onnx", scratch)), shapes)
