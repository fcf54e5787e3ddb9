"""A catalog on its way to another process: plug-ins travel with their text."""

import hashlib
import tempfile
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from smlmbench.registry.catalog import Catalog


def packed_catalog(catalog: Catalog) -> list[list[str]]:
    """The plug-ins of a catalog as plain values: path and text of each."""
    return [[str(plugin.path), plugin.path.read_bytes().decode()] for plugin in catalog.plugins]


def unpacked_catalog(packed: Iterable[Sequence[str]]) -> Catalog:
    """The same catalog in this process."""
    return Catalog([_plugin(Path(path), content) for path, content in packed])


def _plugin(path: Path, content: str) -> Path:
    """The file of a plug-in on this machine: the same one where it is there, else a copy of what was sent."""
    sent = content.encode()
    if path.is_file() and path.read_bytes() == sent:
        return path
    # Its folder's name is the room that it joins.
    digest = hashlib.sha256(sent).hexdigest()[:16]
    copy = _scratch() / digest / path.parent.name / path.name
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(sent)
    return copy


@lru_cache(maxsize=1)
def _scratch() -> Path:
    return Path(tempfile.mkdtemp(prefix="smlmbench-plugins-"))
