"""Settings that say `auto`: numbers that frames tell of themselves, measured before a reference is run on them."""

from collections.abc import Mapping
from typing import Any

from smlmbench.camera import Noise
from smlmbench.data.contracts import Condition
from smlmbench.errors import ConfigError
from smlmbench.registry.cards import AUTO


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
