"""Canonical JSON of values and sha256 of files: what every identity is made of."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smlmbench.errors import ConfigError
from smlmbench.formats import companions

EXACT = 2**53  # beyond, whole numbers are no longer exact as floats

_PLAIN = frozenset({str, int, bool, type(None)})
_digests: dict[tuple[str, int, int], str] = {}


def canonical(payload: Any) -> str:
    """Canonical JSON: sorted keys, no spaces, and one spelling of every number (1 and 1.0 agree).

    A ConfigError for NaN, infinity or a value that JSON does not know.
    """
    try:
        return json.dumps(plain(payload), sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    except ValueError:
        raise ConfigError("a setting is NaN or infinite, which has no identity; give a finite number") from None


def plain(value: Any) -> Any:
    """A value in plain types, numbers in their one spelling; a ConfigError for what JSON does not know."""
    kind = type(value)  # compared before isinstance: plans hash ten thousand payloads
    if kind in _PLAIN:
        return value
    if kind is float:
        return int(value) if value.is_integer() and abs(value) < EXACT else value
    if kind is dict:
        return {str(key): item if type(item) in _PLAIN else plain(item) for key, item in value.items()}
    if kind is list or isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return plain(dict(value))
    if isinstance(value, float):
        return plain(float(value))
    if isinstance(value, str | int):
        return value
    raise ConfigError(f"a {kind.__name__} has no identity; use numbers, text, lists and mappings")


def short_hash(payload: Any) -> str:
    """First 12 hex digits of sha256 over canonical JSON."""
    return hashlib.sha256(canonical(payload).encode()).hexdigest()[:12]


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes, or of the names and bytes of a folder's files; remembered while size and time stay.

    Files that it depends on (a sidecar with the shape of raw frames, further files of one movie) count with it. A
    ConfigError where one cannot be read.
    """
    parts: list[Any]
    try:
        if path.is_dir():
            names = sorted(item for item in path.iterdir() if item.is_file() and not item.name.startswith("."))
            parts = [[item.name, _remembered(item)] for item in names]
        else:
            parts = [_remembered(item) for item in (path, *companions(path))]
            if len(parts) == 1:
                return str(parts[0])
    except OSError as error:
        said = f"'{path}' cannot be read: {error.strerror or error}; check the file and its rights"
        raise ConfigError(said) from None
    return hashlib.sha256(canonical(parts).encode()).hexdigest()


def _remembered(path: Path) -> str:
    facts = path.stat()
    key = (str(path.absolute()), facts.st_size, facts.st_mtime_ns)
    if key not in _digests:
        _digests[key] = _sha256(path)
    return _digests[key]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
