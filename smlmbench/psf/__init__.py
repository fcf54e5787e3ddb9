"""Point spread functions, one file each."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from smlmbench.errors import ConfigError
from smlmbench.registry import Catalog

if TYPE_CHECKING:
    from smlmbench.psf.contracts import Psf


def build(description: Mapping[str, Any], catalog: Catalog) -> "Psf":
    """Build the PSF of a description such as {"name": "gaussian", "sigma_nm": 130}.

    Raises:
        ConfigError: No name, an unknown setting or a value that is not accepted.
        UnknownNameError: No PSF of that name.
    """
    settings = dict(description)
    name = settings.pop("name", None)
    if not isinstance(name, str):
        raise ConfigError(f"psf: {dict(description)!r} has no name; accepted: {', '.join(catalog.names('psf'))}")
    filled = catalog.card("psf", name).fill("psf", settings)
    built: Psf = catalog.module("psf", name).build(filled)
    return built
