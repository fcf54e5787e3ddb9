"""smlmbench list: what is registered, read from the cards."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from typer import Argument, Option

from smlmbench.camera.presets import PRESETS
from smlmbench.cli.options import AsJson, Plugins
from smlmbench.cli.output import emit, emit_json, table
from smlmbench.errors import ConfigError, unknown_name
from smlmbench.registry import ROOMS, Card, Catalog, LossCard, MetricCard, ModelCard
from smlmbench.registry.listing import REVIEWED, facts_of, fidelity, review_rows, served

CAMERAS = "cameras"


def command(
    room: Annotated[str | None, Argument(metavar="[ROOM]", help=f"One of {', '.join((*ROOMS, CAMERAS))}.")] = None,
    name: Annotated[str | None, Argument(metavar="[NAME]", help="Show everything about one.")] = None,
    review_table: Annotated[
        bool, Option("--review-table", help="Models as in Table 1 of Hyun and Kim 2022, and where sources differ.")
    ] = False,
    plugins: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Show models, losses, references, formats, metrics and all else that is registered.

    Example: smlmbench list models fid_storm

    Example: smlmbench list models --review-table
    """
    catalog = Catalog(plugins or ())
    if review_table:
        if room != "models" or name is not None:
            raise ConfigError("--review-table is of models; give the room models, and no name")
        _review(catalog, as_json=as_json)
        return
    if room == CAMERAS:
        _cameras(name, as_json=as_json)
        return
    if room is not None and room not in ROOMS:
        raise unknown_name("room", room, (*ROOMS, CAMERAS))
    if room is None:
        _rooms(catalog, as_json=as_json)
    elif name is None:
        _room(catalog, room, as_json=as_json)
    else:
        _one(catalog, room, name, as_json=as_json)


def _review(catalog: Catalog, *, as_json: bool) -> None:
    """The review's table from the cards, then what it has otherwise than the sources."""
    rows = review_rows(catalog)
    if as_json:
        emit_json(rows)
        return
    columns = ["row", "name", "tasks", *REVIEWED, "parameters", "fidelity"]
    table("", columns, [[str(row[column] or "-") for column in columns] for row in rows])
    for row in rows:
        for column, said in row["review_says"].items():
            told = f"row {row['row']} {row['name']}, {column.replace('_', ' ')}: review_says {said!r}"
            emit(f"{told}; sources_say {row.get(column) or row['paper']!r}")


def _rooms(catalog: Catalog, *, as_json: bool) -> None:
    names = {room: list(catalog.names(room)) for room in ROOMS} | {CAMERAS: sorted(PRESETS)}
    if as_json:
        emit_json(names)
        return
    table("", ["room", "registered"], [[room, ", ".join(found) or "-"] for room, found in names.items()])


def _cameras(name: str | None, *, as_json: bool) -> None:
    """Presets of cameras with their sources, and what has to be given beside the name."""
    if name is not None and name not in PRESETS:
        raise unknown_name("camera", name, PRESETS)
    shown = {key: PRESETS[key] for key in ([name] if name is not None else sorted(PRESETS))}
    if as_json:
        emit_json({key: {slot: getattr(one, slot) for slot in one.__slots__} for key, one in shown.items()})
        return
    rows = [[key, _text(one.facts), ", ".join(one.unknown) or "-", one.source] for key, one in shown.items()]
    table("", ["camera", "states", "must be given", "source"], rows)


def _room(catalog: Catalog, room: str, *, as_json: bool) -> None:
    cards = {name: catalog.card(room, name) for name in catalog.names(room)}
    if as_json:
        emit_json({name: card.model_dump(mode="json") for name, card in cards.items()})
        return
    rows = [{"name": name, **_facts(catalog, name, card), "summary": card.summary} for name, card in cards.items()]
    columns = [*dict.fromkeys(key for row in rows for key in row if key != "summary"), "summary"]
    table("", columns, [[row.get(column, "") for column in columns] for row in rows])


def _facts(catalog: Catalog, name: str, card: Card) -> dict[str, str]:
    """What a room's table shows beside name and summary."""
    if isinstance(card, ModelCard):
        facts = facts_of(catalog, name, card)
        count, at = facts.pop("parameters"), facts.pop("parameters_at")
        return facts | {"parameters": "-" if count is None else f"{count:,} ({at})"}
    if isinstance(card, LossCard):
        return {"accepts": ", ".join(card.accepts)}
    if isinstance(card, MetricCard):
        return {"tasks": ", ".join(card.tasks), "gives": ", ".join(card.gives)}
    shown = ("task", "holds", "suffixes", "writes", "gives", "knows")
    return {key: _text(card.facts[key]) for key in shown if key in card.facts}


def _one(catalog: Catalog, room: str, name: str, *, as_json: bool) -> None:
    card = catalog.card(room, name)
    if as_json:
        emit_json({"name": name, "path": catalog.path(room, name), **card.model_dump(mode="json")})
        return
    emit(f"{name}: {card.summary}")
    emit(f"version {card.version}, {catalog.path(room, name)}")
    for key, value in _paragraphs(catalog, name, card).items():
        emit(f"{key}: {value}")
    _deviations("deviations from the source", card.deviations)
    for key, variant in card.variants.items():
        chosen = key.replace("=", " ")
        _deviations(f"deviations with {chosen}", variant.deviations)
        if variant.ignores:
            emit(f"settings without meaning with {chosen}: {', '.join(variant.ignores)}")
    if card.settings:
        _settings(card)


def _deviations(title: str, texts: Sequence[str] | None) -> None:
    if texts:
        emit(f"{title}:")
    for text in texts or ():
        emit(f"  - {text}")


def _paragraphs(catalog: Catalog, name: str, card: Card) -> dict[str, str]:
    """Facts that are one line each."""
    source = " ".join(part for part in (card.paper, f"doi:{card.doi}" if card.doi else None) if part)
    said: dict[str, str] = {"source": source, "fidelity": fidelity(card).removeprefix("-")}
    if isinstance(card, ModelCard):
        counts = (f"{number:,} at {settings}" for settings, number in card.parameters.items())
        said |= {
            "tasks": ", ".join(served(catalog, name)),
            "output": card.output,
            "upsampling": card.upsamples,
            "parameters": "; ".join(counts),
            "receptive field": f"{card.receptive_field_px:g} camera px",
            "training defaults": _text(card.training),
        }
    if isinstance(card, MetricCard):
        said |= {key: f"{facts.help} ({facts.direction}) {facts.unit}".strip() for key, facts in card.gives.items()}
    if isinstance(card, LossCard):
        said["accepts"] = ", ".join(card.accepts)
    said |= {key: _text(value) for key, value in card.facts.items()}
    return {key: value for key, value in said.items() if value}


def _settings(card: Card) -> None:
    rows = []
    for key, setting in card.settings.items():
        shown = "lambda" if key == "weight" and isinstance(card, LossCard) else key
        accepted = _text(setting.choices) if setting.choices is not None else _range(setting.min, setting.max)
        also = " or {min, max}" if setting.ranged else ""
        rows.append([shown, _text(setting.default), accepted + also, setting.help])
    table("settings", ["setting", "default", "accepted", "what it does"], rows)


def _range(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "any"
    if high is None:
        return f"at least {low:g}"
    return f"at most {high:g}" if low is None else f"{low:g} to {high:g}"


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
