"""YAML files beside a file: same stem, `.yaml`, one or more documents of which later ones describe later steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from smlmbench.errors import FormatError, unreadable

Documents = Sequence[Mapping[str, Any]]


def read_documents(path: Path) -> list[dict[str, Any]]:
    """The documents of the sidecar of `path`, none where it is absent (FormatError: not YAML, or not mappings)."""
    beside = path.with_suffix(".yaml")
    try:
        documents = list(yaml.safe_load_all(beside.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise unreadable(beside, "sidecar", error) from None
    documents = [document for document in documents if document is not None]
    if not all(isinstance(document, dict) for document in documents):
        raise FormatError(f"sidecar '{beside.name}' is no list of 'name: value'; copy or save it again")
    return documents


def last_of(documents: Documents, key: str) -> Any:
    """The value in the last document that has a key, as Picasso looks it up, or None."""
    return next((document[key] for document in reversed(documents) if key in document), None)


def whole(path: Path, documents: Documents, key: str) -> int | None:
    """A whole number above 0 as `last_of` (FormatError: something else stands there)."""
    value = last_of(documents, key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or value < 1:
        raise FormatError(f"sidecar of '{path.name}': {key} is {value!r}; write a whole number above 0")
    return int(value)
