"""What a simulated scene may hold beside its emitters' places: their tracks over frames, structured background."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from smlmbench.errors import suggest
from smlmbench.registry.cards import Strict
from smlmbench.study.sources.description import Positive

Share = Annotated[float, Field(ge=0, le=1)]


class Frozen(Strict):
    """What a named condition is drawn from, whatever the study, and the digest of it that its file states."""

    name: str
    seed: Annotated[int, Field(ge=0)]
    sha256: str | None = None


class Blinking(Strict):
    """Molecules that persist: on for exponential times of mean `on_frames`, dark between, until they bleach.

    `off_law` exponential: dark times of mean `off_frames`; power: p(t) falls as t^-1.5 from `off_frames` on, without a
    mean. `bleach_after` is the mean number of on-times (geometric); after 1 every molecule is on once.
    """

    name: Literal["blinking"] = "blinking"
    on_frames: Positive = 2.0
    off_frames: Positive = 100.0
    off_law: Literal["exponential", "power"] = "exponential"
    bleach_after: Annotated[float, Field(ge=1, le=10_000)] = 1.0


class Slope(Strict):
    """A plane that runs from 1 - `change` to 1 + `change` of the background, in a random direction per frame."""

    name: Literal["slope"] = "slope"
    change: Annotated[float, Field(gt=0, le=1)] = 0.5


class Perlin(Strict):
    """Gradient noise drawn per frame: `change` is the largest share by which it raises or lowers the background.

    The first octave has cells of `cell_um`, each further one half of them and half of the strength.
    """

    name: Literal["perlin"] = "perlin"
    change: Annotated[float, Field(gt=0, le=1)] = 0.5
    cell_um: Positive = 2.0
    octaves: Annotated[int, Field(ge=1, le=6)] = 3


class OutOfFocus(Strict):
    """Emitters far from focus, anywhere in every frame, blurred to Gaussian spots; added to the background."""

    name: Literal["out_of_focus"] = "out_of_focus"
    density_per_um2: Positive = 0.2
    photons: Positive = 1000.0
    sigma_um: Positive = 0.6


def _by_name(given: Any) -> Any:
    return {"name": given} if isinstance(given, str) else given


def _track(given: Any) -> Any:
    named = _by_name(given)
    return "iid" if named == {"name": "iid"} else named if given == "blinking" else given


Track = Annotated[Literal["iid"] | Blinking, BeforeValidator(_track)]
Haze = Slope | Perlin | OutOfFocus
_HAZES = {kind.model_fields["name"].default: kind.__name__ for kind in (Slope, Perlin, OutOfFocus)}


def _named_haze(given: Any) -> Any:
    """A name alone is a mapping with that name; a ValueError: none that is known."""
    named = _by_name(given)
    name = named.get("name") if isinstance(named, Mapping) else getattr(named, "name", None)
    if name not in _HAZES:
        said = f"{given!r} names no background" if name is None else f"{name!r} is not accepted"
        raise ValueError(f"{said}, {suggest(str(name), list(_HAZES))}; write {{name: {next(iter(_HAZES))}}}")
    return named


def _haze(given: Any) -> str:
    return _HAZES[given["name"] if isinstance(given, Mapping) else given.name]


Background = Annotated[
    Annotated[Slope, Tag("Slope")] | Annotated[Perlin, Tag("Perlin")] | Annotated[OutOfFocus, Tag("OutOfFocus")],
    Discriminator(_haze),
    BeforeValidator(_named_haze),
]
