"""The facts of a registered thing, as `CARD` in its file.

A card is a literal; it is checked here and filled with the settings of a study. Rooms with facts of their own have a
card type of their own; the others use `Card`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from smlmbench.errors import ConfigError, suggest

Scalar = bool | int | float | str | None
WORDS: dict[type, str] = {bool: "true or false", int: "a whole number", str: "a text"}


class Strict(BaseModel):
    """A frozen model that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Setting(Strict):
    """One setting: its default, and either the accepted choices or a range (inclusive).

    `ranged` settings also take {min, max, law}: a value drawn per emitter or per frame.
    """

    default: Scalar | list[Scalar]
    choices: list[Scalar] | None = None
    min: float | None = None
    max: float | None = None
    ranged: bool = False
    help: str = ""

    def check(self, where: str, value: Any) -> Any:
        """Return the value in the type of the default.

        Raises:
            ConfigError: Wrong type, not a choice, or out of range.
        """
        if self.choices is not None:
            if value not in self.choices or (
                isinstance(value, bool) and value not in [c for c in self.choices if isinstance(c, bool)]
            ):
                accepted = ", ".join(str(choice) for choice in self.choices)
                raise ConfigError(f"{where}: {value!r} is not accepted; choose one of {accepted}")
            return value
        if value is None and self.default is None:
            return None
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
            raise ConfigError(f"{where}: {value!r} is not {wanted}; give for example {_written(self.default)}")
        return value

    def _ranged(self, where: str, value: float) -> float:
        low = -float("inf") if self.min is None else self.min
        high = float("inf") if self.max is None else self.max
        if not low <= value <= high:
            raise ConfigError(f"{where}: {value!r} is out of range; accepted: {low:g} to {high:g}")
        return value


def _written(value: Any) -> str:
    """A default as a study file spells it."""
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _number(where: str, value: Any) -> float:
    if isinstance(value, bool):
        raise ConfigError(f"{where}: {value!r} is not a number")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ConfigError(f"{where}: {value!r} is not a number") from None


class Variant(Strict):
    """What is otherwise where some settings have certain values; None and nothing: as on the card.

    Attributes:
        fidelity, deviations, upsamples, receptive_field_px, refuses: Instead of those of the card.
        facts: Over those of the card.
        ignores: Settings that have no meaning there; they must stay at their defaults.
    """

    fidelity: Literal["verified", "reconstruction", "seed"] | None = None
    deviations: list[str] | None = None
    facts: dict[str, Any] = {}
    ignores: list[str] = []
    upsamples: Literal["inside", "before", "none"] | None = None
    receptive_field_px: float | None = None
    refuses: dict[str, str] | None = None


class Card(Strict):
    """Facts that every registered thing states.

    Attributes:
        version: Rises when behaviour changes; part of the identity of a cell.
        summary: One sentence for `smlmbench list`.
        settings: What a study may set.
        search: Search space by setting name: {"low", "high", "log"} or {"choices"}.
        tiny: Settings that make the thing small enough for a test.
        paper, doi: Source, where there is one.
        fidelity: verified, reconstruction or seed (PROTOCOL section 6); None where there is no paper to be true to.
        deviations: Every known difference from the source.
        facts: Further literals of a room, for instance a format's suffixes.
        variants: What is otherwise under one setting, by `setting=value` such as `variant=seed`.
    """

    version: Annotated[int, Field(ge=1)]
    summary: str
    room: str | None = None
    settings: dict[str, Setting] = {}
    search: dict[str, dict[str, Any]] = {}
    tiny: dict[str, Any] = {}
    paper: str | None = None
    doi: str | None = None
    fidelity: Literal["verified", "reconstruction", "seed"] | None = None
    deviations: list[str] = []
    facts: dict[str, Any] = {}
    variants: dict[str, Variant] = {}

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
        for key, variant in self.variants.items():
            if _chosen(key, settings):
                changed = variant.model_dump(exclude_none=True, exclude={"facts", "ignores"})
                known = {name: value for name, value in changed.items() if name in type(self).model_fields}
                card = card.model_copy(update={**known, "facts": {**card.facts, **variant.facts}})
        return card

    def ignored(self, settings: Mapping[str, Any]) -> list[str]:
        """Settings without meaning under the chosen variants that are given another value than their default."""
        names = self.meaningless(settings)
        return [name for name in names if name in settings and settings[name] != self.settings[name].default]

    def meaningless(self, settings: Mapping[str, Any]) -> list[str]:
        """Settings without meaning under the chosen variants."""
        return [name for key, one in self.variants.items() if _chosen(key, settings) for name in one.ignores]

    def fill(self, where: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Check settings and add the defaults, in the card's order.

        Raises:
            ConfigError: An unknown setting (the nearest is named) or a value that is not accepted.
        """
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

    Attributes:
        task: The one task that it serves; by default all that its output kind serves.
        output: Output kind (a file in `outputs/`).
        upsamples: `inside` where the network ends on the fine grid by itself, `before` where its input is interpolated
            first (inside `forward`, so the exported graph takes camera frames in both cases), `none` otherwise.
        training: Defaults of the training block from the paper (optimiser, lr, batch_size, clip, schedule ...).
        parameters: Trainable parameters by settings such as `upsampling=8` or `blocks=10,upsampling=8`.
        receptive_field_px: Receptive field in camera pixels at upsampling 8.
        losses: Losses of its own: used where the study names none for it.
        refuses: Output settings that it cannot work with and why, by `setting=value` such as `upsampling=1`.
    """

    task: str | None = None
    output: str
    upsamples: Literal["inside", "before", "none"]
    training: dict[str, Any] = {}
    parameters: dict[str, int]
    receptive_field_px: float
    losses: list[dict[str, Any]] = []
    refuses: dict[str, str] = {}

    def frames_at_once(self, settings: Mapping[str, Any]) -> int:
        """Consecutive frames that it sees: its setting `context`, else that fact, else 1."""
        return int(settings.get("context", self.under(settings).facts.get("context", 1)))

    def refusal(self, output: Mapping[str, Any]) -> str | None:
        """Why it cannot work with settings of its output kind, or None."""
        for key, why in self.refuses.items():
            if _chosen(key, output):
                return f"at {key.replace('=', ' ')} {why}"
        return None


class LossCard(Card):
    """Facts of a loss.

    Attributes:
        accepts: Output kinds it can score.
        players: 1, or 2 for adversarial losses.
    """

    accepts: list[str]
    players: int = 1


class MetricFacts(Strict):
    """Unit, direction and range of one number.

    Attributes:
        title: Heading of its column; by default its name with the unit.
        spoken: Its name within a sentence; by default its name.
    """

    title: str = ""
    spoken: str = ""
    unit: str = ""
    direction: Literal["up", "down", "none"]
    low: float | None = None
    high: float | None = None
    help: str


class MetricCard(Card):
    """Facts of a metric file.

    Attributes:
        tasks: Tasks that log it.
        gives: The numbers it gives, by name.
    """

    tasks: list[str]
    gives: dict[str, MetricFacts]


CARD_TYPES: dict[str, type[Card]] = {"models": ModelCard, "losses": LossCard, "metrics": MetricCard}
