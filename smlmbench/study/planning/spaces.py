"""What a search varies: the spaces of the cards with those of the study, and the one training that a proposal means.

A value that the study writes is held; what it leaves out is searched over the space on the card of the model, of the
output kind and of the loss, and so are a list of values and lambda, which are tried first. The study's
`search.space` wins over all of this.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from smlmbench.errors import ConfigError
from smlmbench.registry import Card, ModelCard
from smlmbench.registry.cards import Scalar
from smlmbench.study.cells import Cell
from smlmbench.study.identity import short_hash
from smlmbench.study.load import Loaded
from smlmbench.study.planning.expand import loss_choices, refusal
from smlmbench.study.planning.plan import make_plan
from smlmbench.study.reading.choices import LAMBDA, WEIGHT
from smlmbench.study.reading.search import TUNABLE
from smlmbench.study.schema import Choice, Training
from smlmbench.study.schema.search import Dimension, Search

# Of training, only the learning rate is searched unless the study says more.
TRAINING_SPACE: dict[str, dict[str, Any]] = {"lr": {"low": 1e-4, "high": 1e-2, "log": True}}
Values = Mapping[str, Scalar]


@dataclass(frozen=True, slots=True)
class Axis:
    """One setting that a search varies.

    Attributes:
        name: As it is called in the search: `lr`, `lambda`, `fid_storm.blocks`.
        place: Block (model, output, loss, training) and key in it.
        default: What is tried first.
        low, high, log, whole: A range; `whole` for integers.
        choices: Or the values, None for a range.
        when: Other names and the value at which this one counts.
    """

    name: str
    place: tuple[str, str]
    default: Scalar
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    choices: tuple[Scalar, ...] | None = None
    when: tuple[tuple[str, str], ...] = ()

    def counts(self, values: Values) -> bool:
        """Whether it is varied, given the values before it."""
        return all(values.get(name) == value for name, value in self.when)

    def __str__(self) -> str:
        """Its values in words."""
        if self.choices is not None:
            return f"{self.name} one of {', '.join(map(str, self.choices))}"
        return f"{self.name} {self.low:g} to {self.high:g}{' (log)' if self.log else ''}"


@dataclass(frozen=True, slots=True)
class Space:
    """One search: a data entry and one model, or all models.

    Attributes:
        data: Name of the data entry.
        models: Models by label, as the study writes them, single values only.
        losses: Losses of each model by label and name.
        axes: Settings in the order in which they are proposed.
    """

    data: str
    models: dict[str, Choice]
    losses: dict[str, dict[str, Choice]]
    output: dict[str, Any]
    training: dict[str, Any]
    axes: tuple[Axis, ...]

    @property
    def label(self) -> str:
        """The model, or `joint`."""
        return next(iter(self.models)) if len(self.models) == 1 else "joint"

    def defaults(self) -> list[dict[str, Scalar]]:
        """The settings to begin with: of every model the defaults with every loss of it."""
        found: list[dict[str, Scalar]] = [{}]
        for axis in self.axes:
            options = axis.choices or () if axis.name in ("model", "loss") or axis.place == ("loss", "name") else ()
            found = [
                {**values, axis.name: value} if axis.counts(values) else values
                for values in found
                for value in (options if options and axis.counts(values) else (axis.default,))
            ]
        return list({short_hash(dict(values)): values for values in found}.values())


def spaces(loaded: Loaded) -> list[Space]:
    """Every search of a study; none without a block `search`.

    Raises:
        ConfigError: A model without a loss that accepts its output.
    """
    return [space for part in loaded.parts for space in _of_part(part)]


def _of_part(part: Loaded) -> list[Space]:
    study = part.study
    if study.search is None:
        return []
    labelled: dict[str, Choice] = {}
    for choice in study.models:
        label = str(choice["name"])
        while label in labelled:
            label += "'"
        labelled[label] = choice
    groups = [labelled] if study.search.joint else [{label: choice} for label, choice in labelled.items()]
    return [_Builder(part, study.search, entry.name, group).build() for entry in study.data for group in groups]


class _Builder:
    """Collects the axes of one search."""

    def __init__(self, part: Loaded, search: Search, data: str, group: Mapping[str, Choice]) -> None:
        self.catalog, self.study, self.search = part.catalog, part.study, search
        self.data, self.group = data, group
        self.axes: list[Axis] = []

    def build(self) -> Space:
        joint = len(self.group) > 1
        losses = {label: self._losses(choice) for label, choice in self.group.items()}
        if joint:
            names = tuple(self.group)
            self.axes.append(Axis("model", ("choose", "model"), names[0], choices=names))
        models = {}
        for label, choice in self.group.items():
            when = (("model", label),) if joint else ()
            card = self.catalog.card("models", choice["name"])
            own = {key: value for key, value in choice.items() if key not in ("name", "losses")}
            held = self._block(card, "model", own, f"{label}." if joint else "", when, str(choice["name"]))
            models[label] = {"name": choice["name"], **held}
            losses[label] = self._loss_axes(losses[label], f"{label}." if joint else "", when)
        outputs = dict.fromkeys(str(getattr(self._card(choice), "output", "")) for choice in self.group.values())
        output = dict(self.study.output)
        for kind in outputs:
            card = self.catalog.card("outputs", kind)
            own = {key: value for key, value in self.study.output.items() if key in card.settings}
            output |= self._block(card, "output", own, "", (), kind)
        training = self._training()
        seen = {axis.place for axis in self.axes if axis.place[0] == "output"}
        output = {key: value for key, value in output.items() if ("output", key) not in seen}
        return Space(self.data, models, losses, output, training, tuple(dict.fromkeys(self.axes)))

    def _card(self, choice: Choice) -> Card:
        return self.catalog.card("models", choice["name"])

    def _block(
        self, card: Card, block: str, own: Mapping[str, Any], prefix: str, when: tuple[tuple[str, str], ...], thing: str
    ) -> dict[str, Any]:
        """Add the axes of one card; return the settings that are held."""
        held: dict[str, Any] = {}
        space = {key: axis for key, axis in card.search.items() if key not in card.meaningless(own)}
        for key, setting in card.settings.items():
            lists = key in own and isinstance(own[key], list) and not isinstance(setting.default, list)
            first = own[key][0] if lists else own.get(key, setting.default)
            shown = LAMBDA if block == "loss" and key == WEIGHT else key
            wanted = self._wanted(f"{thing}.{shown}", shown)
            if wanted is None and key in space and (key not in own or lists or shown == LAMBDA):
                wanted = Dimension.model_validate(space[key])
            if wanted is None and lists:
                wanted = Dimension(choices=own[key])
            whole = isinstance(setting.default, int) and not isinstance(setting.default, bool)
            if wanted is None or isinstance(first, list):
                held |= {key: own[key]} if key in own else {}
            elif wanted.choices is not None and len(wanted.choices) == 1:
                held[key] = wanted.choices[0]
            else:
                explicit = self._wanted(f"{thing}.{shown}", shown) is not None
                self.axes.append(_axis(f"{prefix}{shown}", (block, key), wanted, first, whole, when, explicit))
        return held

    def _wanted(self, *names: str) -> Dimension | None:
        return next((self.search.space[name] for name in names if name in self.search.space), None)

    def _losses(self, choice: Choice) -> dict[str, Choice]:
        """Losses that accept the model, by name; of several entries of one loss the first."""
        named: dict[str, Choice] = {}
        for loss in loss_choices(self.catalog, self.study, choice):
            named.setdefault(str(loss["name"]), loss)
        wanted = self._wanted("loss")
        if wanted is not None and wanted.choices is not None:
            named = {str(name): named.get(str(name), {"name": str(name)}) for name in wanted.choices}
        fit = {name: loss for name, loss in named.items() if refusal(self.catalog, choice["name"], name) is None}
        if not fit:
            said = f"accepts what '{choice['name']}' gives" if named else f"is named for '{choice['name']}'"
            raise ConfigError(f"search: no loss {said}; name losses: [{{name: ...}}] in the study")
        return fit

    def _loss_axes(
        self, losses: Mapping[str, Choice], prefix: str, when: tuple[tuple[str, str], ...]
    ) -> dict[str, Choice]:
        several = len(losses) > 1
        names = tuple(losses)
        if several:
            self.axes.append(Axis(f"{prefix}loss", ("loss", "name"), names[0], choices=names, when=when))
        held: dict[str, Choice] = {}
        for name, loss in losses.items():
            here = (*when, (f"{prefix}loss", name)) if several else when
            own = {key: value for key, value in loss.items() if key != "name"}
            inner = f"{prefix}{name}." if several else prefix
            card = self.catalog.card("losses", name)
            held[name] = {"name": name, **self._block(card, "loss", own, inner, here, name)}
        return held

    def _training(self) -> dict[str, Any]:
        block = dict(self.study.training)
        defaults = {key: field.default for key, field in Training.model_fields.items()}
        for choice in self.group.values():
            card = self._card(choice)
            defaults |= card.training if isinstance(card, ModelCard) else {}
        for key in TUNABLE:
            listed = isinstance(block.get(key), list)
            first = block[key][0] if listed else block.get(key, defaults[key])
            wanted = explicit = self._wanted(key)
            if wanted is None and key in TRAINING_SPACE and (key not in block or listed):
                wanted = Dimension.model_validate(TRAINING_SPACE[key])
            if wanted is None and listed:
                wanted = Dimension(choices=block[key])
            if wanted is None:
                continue
            block.pop(key, None)
            if wanted.choices is not None and len(wanted.choices) == 1:
                block[key] = wanted.choices[0]
            else:
                whole = isinstance(first, int) and not isinstance(first, bool)
                self.axes.append(_axis(key, ("training", key), wanted, first, whole, (), explicit is not None))
        # Lists of keys that are not searched (samples, validations) keep their first value: budgets are equal.
        return {key: value[0] if isinstance(value, list) else value for key, value in block.items()}


def _axis(
    name: str,
    place: tuple[str, str],
    wanted: Dimension,
    first: Scalar,
    whole: bool,
    when: tuple[tuple[str, str], ...],
    explicit: bool,
) -> Axis:
    """An axis that contains what is tried first: a card's space is widened to it, a study's is not."""
    if wanted.choices is not None:
        choices = tuple(wanted.choices)
        if first not in choices:
            first, choices = (choices[0], choices) if explicit else (first, (first, *choices))
        return Axis(name, place, first, choices=choices, when=when)
    low, high = float(wanted.low or 0.0), float(wanted.high or 0.0)
    if isinstance(first, int | float) and not isinstance(first, bool):
        if not explicit and not (wanted.log and first <= 0):
            low, high = min(low, first), max(high, first)
        first = min(max(first, low), high)
    else:
        first = low
    if whole:
        first = round(first)
    return Axis(name, place, first, low, high, wanted.log, whole, None, when)


def trial_cell(loaded: Loaded, space: Space, values: Values, *, repeat: int = 0) -> Cell:
    """The training that proposed settings mean, as a cell of the study.

    Raises:
        ConfigError: The settings do not go together; the reason is that of the plan.
    """
    return next(cell for cell in trial_cells(loaded, space, values, repeats=repeat + 1) if cell.repeat == repeat)


def trial_cells(loaded: Loaded, space: Space, values: Values, *, repeats: int) -> list[Cell]:
    """The same for several repeats."""
    label = str(values.get("model", next(iter(space.models))))
    prefix = f"{label}." if len(space.models) > 1 else ""
    losses = space.losses[label]
    loss_name = str(values.get(f"{prefix}loss", next(iter(losses))))
    blocks: dict[str, dict[str, Any]] = {
        "model": dict(space.models[label]),
        "output": dict(space.output),
        "loss": dict(losses[loss_name]),
        "training": dict(space.training),
    }
    for axis, value in _active(space, values):
        if axis.place[0] in blocks and axis.place != ("loss", "name"):
            blocks[axis.place[0]][axis.place[1]] = value
    part = loaded.part_of(space.data)
    study = part.study
    update: dict[str, Any] = {
        "models": [blocks["model"]],
        "losses": [blocks["loss"]],
        "output": blocks["output"],
        "training": blocks["training"],
        "data": [entry for entry in study.data if entry.name == space.data],
        "references": [],
        "repeats": repeats,
        "search": None,
        "distill": [],
    }
    plan = make_plan(replace(part, study=study.model_copy(update=update)))
    if not plan.cells:
        raise ConfigError(plan.skipped[0].reason if plan.skipped else "no training is left")
    return plan.cells


def _active(space: Space, values: Values) -> Iterator[tuple[Axis, Scalar]]:
    for axis in space.axes:
        if axis.name in values and axis.counts(values):
            yield axis, values[axis.name]


def search_name(loaded: Loaded, space: Space, *, baseline: bool = False) -> str:
    """Name of the Optuna study: one for everything that makes trials comparable; more trials continue it."""
    part = loaded.part_of(space.data)
    search = part.study.search
    if search is None:
        raise ConfigError("search: the study has no block `search`; add for example `search: {trials: 30}`")
    first = trial_cell(loaded, space, space.defaults()[0])
    content = {
        "cell": first.cell_id,
        "axes": [[axis.name, axis.low, axis.high, axis.log, axis.choices, axis.when] for axis in space.axes],
        "objectives": search.objectives,
        "sampler": [search.sampler, search.seed, search.startup],
        "pruner": [search.pruner, search.warmup, search.keep_percent],
        "scoring": part.study.scoring.model_dump(mode="json"),
    }
    kind = " random" if baseline else ""
    return f"{loaded.study.study} {space.data} {space.label}{kind} {short_hash(content)[:6]}"


def describe_searches(loaded: Loaded, found: Sequence[Space]) -> list[str]:
    """One line per search, and what it varies."""
    lines: list[str] = []
    for part in loaded.parts:
        search, ours = part.study.search, {entry.name for entry in part.study.data}
        here = [space for space in found if space.data in ours]
        if search is None or not here:
            continue
        extra = max(0, search.baseline - min(search.startup, search.trials))
        compared = f", {extra} more of random search" if extra else ""
        lines.append(f"search: {len(here)} x {search.trials} trials{compared} (`smlmbench search` runs them)")
        lines += [f"  {one.data} {one.label}: {'; '.join(map(str, one.axes)) or 'nothing to vary'}" for one in here]
    return lines
