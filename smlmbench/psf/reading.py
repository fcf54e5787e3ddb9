"""A PSF with its settings from a YAML file, as `smlmbench calibrate` writes it: what stands under `psf` in a study."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from smlmbench.errors import ConfigError, one_line
from smlmbench.registry import Catalog

SUFFIXES = (".yaml", ".yml")


def names_a_file(given: Any) -> bool:
    """Whether what stands under `psf` is the name of such a file."""
    return isinstance(given, str) and given.endswith(SUFFIXES)


def psf_of_file(path: Path, catalog: Catalog) -> dict[str, Any]:
    """What a file says of a PSF, on its own or under `psf`; files that it names lie beside it.

    Raises:
        ConfigError: No such file, or it holds no PSF. Its settings are not checked.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        said = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        raise ConfigError(f"'{path}' {said}; give a YAML file with a PSF's name and settings") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"'{path}' is no YAML ({one_line(error)}); write name: gaussian, sigma_nm: 130") from None
    if isinstance(content, Mapping) and set(content) == {"psf"}:
        content = content["psf"]
    if not isinstance(content, Mapping) or not isinstance(name := content.get("name"), str):
        raise ConfigError(f"'{path}' holds no PSF; write its name and settings, such as name: gaussian, sigma_nm: 130")
    known = name in catalog.names("psf")
    files = catalog.card("psf", name).facts.get("files", {}) if known else {}
    beside = path.absolute().parent
    named = {key: str(beside / Path(content[key]).expanduser()) for key in files if content.get(key)}
    return {**content, **named}
