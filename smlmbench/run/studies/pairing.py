"""Whether the truths of a study belong to their frames, looked at before anything is trained."""

from collections.abc import Iterator

from smlmbench import tasks
from smlmbench.data import whole
from smlmbench.errors import PairingError
from smlmbench.study.load import Loaded
from smlmbench.study.schema import DataEntry
from smlmbench.study.sources import Source


def doubts(loaded: Loaded) -> list[str]:
    """Hold every truth that comes from a file against its frames; what may be wrong, in sentences.

    Raises:
        PairingError: A truth fits clearly better otherwise than as stated; what was found, and what mends it.
    """
    found: list[str] = []
    clear: list[str] = []
    for part in loaded.parts:
        if not part.catalog.card("tasks", part.task).facts.get("doubts"):
            continue
        task = tasks.load(part.task, part.catalog)
        for entry in part.study.data:
            for name, source in _from_files(entry):
                misfit = task.doubts(whole(name, source, loaded.study.seed, part.catalog))
                if misfit is None:
                    continue
                said = f"data {entry.name}, {name}: {misfit.said}; {source.mended(misfit.reading, part.catalog)}"
                (clear if misfit.clear and source.stops else found).append(said)
    if clear:
        raise PairingError("\n".join(clear))
    return found


def _from_files(entry: DataEntry) -> Iterator[tuple[str, Source]]:
    """Each of the entry's sources with a table as truth, once, with its place."""
    seen: list[Source] = []
    for name, source in {"train": entry.train, "val": entry.val, **entry.test}.items():
        if source is not None and source.truth_file is not None and source not in seen:
            seen.append(source)
            yield name, source
