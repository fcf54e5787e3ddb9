"""What a search varies: the spaces of the cards with those of the study, and the one training that a proposal means.

A value that the study writes is held; what it leaves out is searched over the space on the card of the model, of the
output kind and of the loss, and so are a list of values and lambda, which are tried first. The study's
`search.space` wins over all of this.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from smlmbench.addresses import command
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
When = tuple[tuple[str, str], ...]  # other names and the value at which an axis counts


@dataclass(frozen=True, slots=True)
class Axis:
    """One setting that a search varies: over choices, or from `low` to `high`."""

    name: str  # in the search: `lr`, `lambda`, `fid_storm.blocks`
    place: tuple[str, str]  # block (model, output, loss, training) and key in it
    default: Scalar  # what is tried first
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False  # integers
    choices: tuple[Scalar, ...] | None = None
    when: When = ()

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
    """One search: a data entry (by its name) and one model, or all models; blocks hold single values only."""

    data: str
    models: dict[str, Choice]  # by label
    losses: dict[str, dict[str, Choice]]  # of each model, by name
    output: dict[str, Any]
    training: dict[str, Any]
    axes: tuple[Axis, ...]  # in the order in which they are proposed

    @property
    def label(self) -> str:
        """The model, or `joint`."""
        return next(iter(self.models)) if len(self.models) == 1 else "joint"

    def defaults(self) -> list[dict[str, Scalar]]:
        """The settings to begin with: of every model the defaults with every loss of it."""
        found: list[dict[str, Scalar]] = [{}]
        for axis in self.axes:
            options = axis.choices if axis.place in (("choose", "model"), ("loss", "name")) else None
            found = [
                {**values, axis.name: value} if axis.counts(values) else values
                for values in found
                for value in (options if options and axis.counts(values) else (axis.default,))
            ]
        return list({short_hash(dict(values)): values for values in found}.values())


def spaces(loaded: Loaded) -> list[Space]:
    """Every search of a study, none without a block `search`; a ConfigError where no loss accepts a model's output."""
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
            prefix, when = (f"{label}.", (("model", label),)) if joint else ("", ())
            own = {key: value for key, value in choice.items() if key not in ("name", "losses")}
            held = self._block(self._card(choice), "model", own, prefix, when, str(choice["name"]))
            models[label] = {"name": choice["name"], **held}
            losses[label] = self._loss_axes(losses[label], prefix, when)
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

    def _block(self, card: Card, block: str, own: Mapping[str, Any], prefix: str, when: When, thing: str) -> Choice:
        """Add the axes of one card; return the settings that are held."""
        held: Choice = {}
        space = {key: axis for key, axis in card.search.items() if key not in card.meaningless(own)}
        for key, setting in card.settings.items():
            shown = LAMBDA if block == "loss" and key == WEIGHT else key
            names = (f"{prefix}{shown}", f"{thing}.{shown}", shown)
            held |= self._vary((block, key), own, setting.default, space.get(key), names, when)
        return held

    def _vary(
        self, place: tuple[str, str], own: Mapping[str, Any], default: Any, space: Any, names: Sequence[str], when: When
    ) -> Choice:
        """Add the axis of one setting, or return it as it is held: {} stands for its default.

        `space` is that of a card or None; the first of the names is the axis's, the others stand in the study's space.
        """
        key = place[1]
        lists = isinstance(own.get(key), list) and not isinstance(default, list)
        first = own[key][0] if lists else own.get(key, default)
        wanted = asked = self._wanted(*names[1:])
        if wanted is None and space is not None and (key not in own or lists or names[-1] == LAMBDA):
            wanted = Dimension.model_validate(space)
        elif wanted is None and lists:
            wanted = Dimension(choices=own[key])
        if wanted is None or isinstance(first, list):
            return {key: own[key]} if key in own else {}
        if wanted.choices is not None and len(wanted.choices) == 1:
            return {key: wanted.choices[0]}
        whole = isinstance(default, int) and not isinstance(default, bool)
        self.axes.append(_axis(names[0], place, wanted, first, whole, when, asked is not None))
        return {}

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

    def _loss_axes(self, losses: Mapping[str, Choice], prefix: str, when: When) -> dict[str, Choice]:
        several, names = len(losses) > 1, tuple(losses)
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
        block = self.study.training
        stated = {key: field.default for key, field in Training.model_fields.items()}
        for card in map(self._card, self.group.values()):
            stated |= card.training if isinstance(card, ModelCard) else {}
        # Lists of keys that are not searched (samples, validations) keep their first value: budgets are equal.
        first = {key: value[0] if isinstance(value, list) else value for key, value in block.items()}
        held = {key: value for key, value in first.items() if key not in TUNABLE}
        for key in TUNABLE:
            default = first.get(key, stated[key])
            held |= self._vary(("training", key), block, default, TRAINING_SPACE.get(key), (key, key), ())
        return held


def _axis(
    name: str, place: tuple[str, str], wanted: Dimension, first: Scalar, whole: bool, when: When, explicit: bool
) -> Axis:
    """An axis that contains what is tried first: a card's space is widened to it, a study's is not."""
    if wanted.choices is not None:
        choices = tuple(wanted.choices)
        if first not in choices and explicit:
            first = choices[0]
        elif first not in choices:
            choices = (first, *choices)
        return Axis(name, place, first, choices=choices, when=when)
    low, high = float(wanted.low or 0.0), float(wanted.high or 0.0)
    if isinstance(first, int | float) and not isinstance(first, bool):
        if not explicit and not (wanted.log and first <= 0):
            low, high = min(low, first), max(high, first)
        start = min(max(first, low), high)
    else:
        start = low
    tried = round(start) if whole else start
    return Axis(name, place, tried, low, high, wanted.log, whole, None, when)


def trial_cell(loaded: Loaded, space: Space, values: Values, *, repeat: int = 0) -> Cell:
    """The training that proposed settings mean, as a cell; a ConfigError with the plan's reason where there is none."""
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
    for axis in space.axes:
        block, key = axis.place
        if block in blocks and key != "name" and axis.name in values and axis.counts(values):
            blocks[block][key] = values[axis.name]
    part = loaded.part_of(space.data)
    data = [entry for entry in part.study.data if entry.name == space.data]
    update = {"models": [blocks["model"]], "losses": [blocks["loss"]], "data": data, "repeats": repeats}
    update |= {"output": blocks["output"], "training": blocks["training"]}
    alone: dict[str, Any] = {"references": [], "search": None, "distill": []}
    plan = make_plan(replace(part, study=part.study.model_copy(update={**update, **alone})))
    if not plan.cells:
        raise ConfigError(plan.skipped[0].reason if plan.skipped else "no training is left")
    return plan.cells


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
    } | ({"limits": search.limits} if search.limits else {})
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
        runs = command("smlmbench", "search", loaded.path)
        compared = f", {extra} more of random search" if extra else ""
        within = "".join(f", {name} at most {limit:g}" for name, limit in search.limits.items())
        lines.append(f"search: {len(here)} x {search.trials} trials{compared}{within} (`{runs}` runs them)")
        lines += [f"  {one.data} {one.label}: {'; '.join(map(str, one.axes)) or 'nothing to vary'}" for one in here]
    return lines
