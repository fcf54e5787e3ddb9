"""The facts of a registered thing, as `CARD` in its file.

A card is a literal; it is checked here and filled with the settings of a study. Rooms with facts of their own have a
card type of their own; the others use `Card`.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from smlmbench.errors import ConfigError, suggest

AUTO = "auto"
Scalar = bool | int | float | str | None
Fidelity = Literal["verified", "reconstruction", "seed"]
Upsamples = Literal["inside", "before", "none"]
WORDS: dict[type, str] = {bool: "true or false", int: "a whole number", str: "a text", dict: "a mapping {name: number}"}


class Strict(BaseModel):
    """A frozen model that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Setting(Strict):
    """One setting: its default, and either the accepted choices or a range (inclusive).

    `ranged` settings also take {min, max, law}: a value drawn per emitter or per frame. A default that is a mapping
    takes a mapping of numbers. `measured` settings also take `auto`: the number of that name that the frames themselves
    tell (`smlmbench.calibrate.contracts.SpotsFound`), put in its place before the thing is run. `later` settings came
    after trainings were stored: at their default they are left out of what names a training.
    """

    default: Scalar | list[Scalar] | dict[str, float]
    choices: list[Scalar] | None = None
    min: float | None = None
    max: float | None = None
    ranged: bool = False
    measured: bool = False
    later: bool = False
    help: str = ""

    def check(self, where: str, value: Any) -> Any:
        """Return the value in the type of the default; a ConfigError: wrong type, not a choice, or out of range."""
        if self.choices is not None:
            among = [one for one in self.choices if isinstance(one, bool)] if isinstance(value, bool) else self.choices
            if value not in among:
                accepted = ", ".join(str(choice) for choice in self.choices)
                raise ConfigError(f"{where}: {value!r} is not accepted; choose one of {accepted}")
            return value
        if value is None and self.default is None:
            return None
        if self.measured and value == AUTO:
            return value
        if self.ranged and isinstance(value, Mapping):
            return self._range(where, value)
        if isinstance(self.default, bool):
            return self._typed(where, value, bool)
        if isinstance(self.default, int) and not isinstance(value, bool) and isinstance(value, int | float):
            if int(value) != value:
                raise ConfigError(f"{where}: {value!r} is not a whole number; give one such as {self.default}")
            return self._ranged(where, int(value))
        if isinstance(self.default, float) or self.default is None:
            return self._ranged(where, _number(where, value))
        if isinstance(self.default, dict):
            named = self._typed(where, value, dict)
            return {
                str(key): self._ranged(f"{where}.{key}", _number(where, named[key])) for key in sorted(named, key=str)
            }
        return self._typed(where, value, type(self.default))

    def _range(self, where: str, value: Mapping[str, Any]) -> dict[str, Any]:
        law = value.get("law", "uniform")
        if set(value) - {"law"} != {"min", "max"} or law not in ("uniform", "log_uniform"):
            raise ConfigError(f"{where}: {dict(value)!r} is not a range; give {{min: ..., max: ...}}")
        low, high = (self._ranged(where, _number(where, value[key])) for key in ("min", "max"))
        if low > high:
            raise ConfigError(f"{where}: min {low:g} is above max {high:g}")
        return {"min": low, "max": high, "law": law}

    def _typed(self, where: str, value: Any, kind: type) -> Any:
        if not isinstance(value, kind):
            wanted = WORDS.get(kind, f"a {kind.__name__}")
            example = spelled(self.default) if isinstance(self.default, bool) else repr(self.default)
            raise ConfigError(f"{where}: {value!r} is not {wanted}; give for example {example}")
        return value

    def _ranged(self, where: str, value: float) -> float:
        low = -float("inf") if self.min is None else self.min
        high = float("inf") if self.max is None else self.max
        if not low <= value <= high:
            raise ConfigError(f"{where}: {value!r} is out of range; accepted: {low:g} to {high:g}")
        return value


def _number(where: str, value: Any) -> float:
    with suppress(TypeError, ValueError):
        if not isinstance(value, bool):
            return float(value)
    raise ConfigError(f"{where}: {value!r} is not a number")


class Variant(Strict):
    """What is otherwise where some settings have certain values; None and nothing: as on the card."""

    fidelity: Fidelity | None = None
    deviations: list[str] | None = None
    facts: dict[str, Any] = {}  # over those of the card; all others stand instead of them
    ignores: list[str] = []  # settings that have no meaning there; they must stay at their defaults
    upsamples: Upsamples | None = None
    receptive_field_px: float | None = None
    refuses: dict[str, str] | None = None


class Card(Strict):
    """Facts that every registered thing states."""

    version: Annotated[int, Field(ge=1)]  # rises when behaviour changes; part of the identity of a cell
    summary: str  # one sentence for `smlmbench list`
    room: str | None = None
    settings: dict[str, Setting] = {}  # what a study may set
    search: dict[str, dict[str, Any]] = {}  # search space by setting name: {"low", "high", "log"} or {"choices"}
    tiny: dict[str, Any] = {}  # settings that make the thing small enough for a test
    paper: str | None = None  # its source, where there is one; `doi` beside it
    doi: str | None = None
    fidelity: Fidelity | None = None  # PROTOCOL section 6; None where there is no paper to be true to
    deviations: list[str] = []  # every known difference from the source
    facts: dict[str, Any] = {}  # further literals of a room, for instance a format's suffixes
    variants: dict[str, Variant] = {}  # what is otherwise under a setting, by `setting=value` such as `variant=seed`

    @field_validator("variants")
    @classmethod
    def _of_settings(cls, variants: dict[str, Variant], info: ValidationInfo) -> dict[str, Variant]:
        settings: dict[str, Setting] = info.data.get("settings", {})
        for key, variant in variants.items():
            name, _, value = key.partition("=")
            for used in (name, *variant.ignores):
                if used not in settings:
                    raise ValueError(f"{key}: '{used}' is no setting, {suggest(used, settings)}")
            if value not in [spelled(choice) for choice in settings[name].choices or []]:
                raise ValueError(f"{key}: '{value}' is not among the choices of {name}")
        return variants

    def variant(self, settings: Mapping[str, Any]) -> str:
        """Key in `variants` of the first one that the settings choose, or an empty text."""
        return next((key for key in self.variants if _chosen(key, settings)), "")

    def under(self, settings: Mapping[str, Any]) -> Self:
        """The card as it is under settings, the facts of the variants that they choose put in place."""
        card = self
        for variant in self._chosen_by(settings):
            changed = variant.model_dump(exclude_none=True, exclude={"facts", "ignores"})
            known = {name: value for name, value in changed.items() if name in type(self).model_fields}
            card = card.model_copy(update={**known, "facts": {**card.facts, **variant.facts}})
        return card

    def ignored(self, settings: Mapping[str, Any]) -> list[str]:
        """Settings without meaning under the chosen variants that are given another value than their default."""
        names = [name for name in self.meaningless(settings) if name in settings]
        return [name for name in names if settings[name] != self.settings[name].default]

    def meaningless(self, settings: Mapping[str, Any]) -> list[str]:
        """Settings without meaning under the chosen variants."""
        return [name for variant in self._chosen_by(settings) for name in variant.ignores]

    def _chosen_by(self, settings: Mapping[str, Any]) -> list[Variant]:
        return [variant for key, variant in self.variants.items() if _chosen(key, settings)]

    def silent(self, settings: Mapping[str, Any]) -> list[str]:
        """Settings that came later and are at their defaults, as they were before there was a choice."""
        later = (name for name, setting in self.settings.items() if setting.later)
        return [name for name in later if settings.get(name) == self.settings[name].default]

    def fill(self, where: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Check settings and add the defaults, in the card's order; a ConfigError for what is unknown or wrong."""
        for key in given:
            if key not in self.settings:
                raise ConfigError(f"{where}.{key}: unknown setting, {suggest(key, self.settings)}")
        return {
            name: setting.check(f"{where}.{name}", given[name]) if name in given else setting.default
            for name, setting in self.settings.items()
        }


def spelled(value: Any) -> str:
    """A value as it is written in keys such as `variant=seed`."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _chosen(key: str, settings: Mapping[str, Any]) -> bool:
    name, _, value = key.partition("=")
    return name in settings and spelled(settings[name]) == value


class ModelCard(Card):
    """Facts of a network.

    It upsamples `inside` where it ends on the fine grid by itself, `before` where its input is interpolated first
    (inside `forward`, so the exported graph takes camera frames in both cases), `none` otherwise.
    """

    task: str | None = None  # the one that it serves; by default all that its output kind serves
    output: str  # output kind (a file in `outputs/`)
    upsamples: Upsamples
    training: dict[str, Any] = {}  # defaults of the training block from the paper (optimiser, lr, batch_size, clip ...)
    parameters: dict[str, int]  # trainable ones, by settings such as `upsampling=8` or `blocks=10,upsampling=8`
    receptive_field_px: float  # in camera pixels at upsampling 8
    losses: list[dict[str, Any]] = []  # its own: used where the study names none for it
    refuses: dict[str, str] = {}  # output settings that it cannot work with and why, by such as `upsampling=1`

    def frames_at_once(self, settings: Mapping[str, Any]) -> int:
        """Consecutive frames that it sees: its setting `context`, else that fact, else 1."""
        return int(settings.get("context", self.under(settings).facts.get("context", 1)))

    def refusal(self, output: Mapping[str, Any]) -> str | None:
        """Why it cannot work with settings of its output kind, or None."""
        said = (f"at {key.replace('=', ' ')} {why}" for key, why in self.refuses.items() if _chosen(key, output))
        return next(said, None)


class LossCard(Card):
    """Facts of a loss."""

    accepts: list[str]  # output kinds it can score
    players: int = 1  # more where networks of its own learn beside the one that is wanted
    recipe: str = "supervised"  # that trains with it


class MetricFacts(Strict):
    """Unit, direction and range of one number."""

    title: str = ""  # heading of its column; by default its name with the unit
    spoken: str = ""  # its name within a sentence; by default its name
    unit: str = ""
    direction: Literal["up", "down", "none"]
    low: float | None = None
    high: float | None = None
    help: str


class MetricCard(Card):
    """Facts of a metric file."""

    tasks: list[str]  # that log it
    gives: dict[str, MetricFacts]  # the numbers it gives, by name


CARD_TYPES: dict[str, type[Card]] = {"models": ModelCard, "losses": LossCard, "metrics": MetricCard}
