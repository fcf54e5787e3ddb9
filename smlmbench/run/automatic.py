"""What settings of a reference ask for before it is run: numbers that frames tell (`auto`), the PSF of a file."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smlmbench.camera import Noise
from smlmbench.data.contracts import Condition
from smlmbench.errors import ConfigError
from smlmbench.registry import Card, Catalog
from smlmbench.registry.cards import AUTO

if TYPE_CHECKING:
    from smlmbench.psf.contracts import Psf


def optics_of(card: Card, settings: Mapping[str, Any], catalog: Catalog) -> "Psf | None":
    """The PSF of the file that a setting names (fact `optics`), in place of a condition's; None where it names none.

    Raises:
        ConfigError: No such file, or it holds no PSF.
    """
    from smlmbench import psf
    from smlmbench.psf.reading import psf_of_file

    path = settings.get(card.facts.get("optics", ""))
    return psf.build(psf_of_file(Path(path), catalog), catalog) if path else None


def measured_settings(settings: Mapping[str, Any], condition: Condition) -> dict[str, Any]:
    """The settings with every `auto` replaced by what the frames of a condition tell (`SpotsFound`).

    Raises:
        ConfigError: The camera is unknown, or the frames do not tell the number.
    """
    names = [name for name, value in settings.items() if value == AUTO]
    if not names:
        return dict(settings)
    noise = Noise.of(condition.told)
    if noise is None or not condition.calibrated:
        raise ConfigError(f"{names[0]}=auto is measured in photo-electrons; state the camera, or give the number")
    from smlmbench.calibrate.molecules.spots import measure_spots

    spots, found = measure_spots(condition.frames, condition.pixel_size_nm, noise), dict(settings)
    for name in names:
        number = getattr(spots, name)
        if not number.known:
            raise ConfigError(f"{name}=auto: '{condition.name}' does not tell it: {number.why}; give the number")
        found[name] = number.value
    return found
