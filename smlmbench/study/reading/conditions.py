"""Frozen conditions: files that studies name, `test: {a: {condition: 2d-iid-1}}`.

A file `conditions/NAME.yaml` beside the study (or a path to one) states `seed`, `sha256` of what is drawn, and
`simulate`. What is drawn depends on nothing else: not on the study, nor on the processor or versions of libraries.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from smlmbench.errors import ConfigError, suggest
from smlmbench.study.sources.scenes import Frozen

FOLDER = "conditions"
KEY = "condition"
KEYS = {"seed", "sha256", "simulate"}


def is_named(raw: Any) -> bool:
    """Whether a source is written as the name of a condition."""
    return isinstance(raw, Mapping) and set(raw) == {KEY}


def condition_of(name: Any, root: Path) -> tuple[dict[str, Any], Frozen]:
    """The source of a condition, as if it were written in the study, and what it is drawn from.

    Raises:
        ConfigError: No such file, or not one of a condition.
    """
    if not isinstance(name, str) or not name:
        raise ConfigError(f"{name!r} is no name of a condition; write {{condition: 2d-iid-1}}")
    folder = root / FOLDER
    path = root / name if name.endswith((".yaml", ".yml")) else folder / f"{name}.yaml"
    if not path.is_file():
        there = sorted(file.stem for file in folder.glob("*.yaml")) if folder.is_dir() else []
        near = suggest(name, there) if there else f"there is no folder '{folder}'"
        raise ConfigError(f"no condition '{name}' ('{path}'); {near}")
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"condition '{path}' cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(said, Mapping) or not set(said) <= KEYS or not isinstance(said.get("simulate"), Mapping):
        raise ConfigError(f"'{path}' is no condition; it states {', '.join(sorted(KEYS))}")
    seed, digest = said.get("seed"), said.get("sha256")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigError(f"'{path}': seed {seed!r} is no whole number from 0 on")
    frozen = Frozen(name=path.stem, seed=seed, sha256=None if digest is None else str(digest))
    return {"simulate": {**said["simulate"], "draws": "frozen"}}, frozen
