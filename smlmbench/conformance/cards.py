"""Checks of every room: the card, its settings, and the functions beside it."""

import inspect
from typing import cast

from smlmbench.conformance.checks import Subject, public_functions, require
from smlmbench.registry import LossCard, ModelCard
from smlmbench.study.schema import Training

FUNCTIONS = {
    "models": ("build",),
    "losses": ("build",),
    "outputs": ("targets", "decode"),
    "psf": ("build",),
    "structures": ("place",),
    "metrics": ("measure",),
    "references": ("predict",),
    "data": ("training_set", "condition"),
    "recipes": ("build",),
    "tasks": ("build",),
    "runtimes": ("prepare",),
    "exports": ("write",),
}
READING = {"table": ("read_table", "unread"), "movie": ("open_movie",), "image": ("read_image",)}
ONLY_IN = {"names_are_registered": ("models", "losses"), "training_defaults_are_known": ("models",)}


def card_is_valid(subject: Subject) -> str:
    """The card is a literal of the room's type, with a summary of one line and a well-formed DOI."""
    card = subject.card
    require(0 < len(card.summary) <= 120 and "\n" not in card.summary, "summary: write at most 120 characters")
    require(card.doi is None or card.doi.startswith("10."), f"doi: {card.doi!r} is no bare DOI; it begins with 10.")
    if isinstance(card, ModelCard) and card.paper:
        require(card.fidelity is not None, "fidelity: a card with a paper states verified, reconstruction or seed")
    return f"version {card.version}"


def settings_accept_their_defaults(subject: Subject) -> str:
    """Every default passes the setting's own check."""
    settings = subject.card.settings
    for name, setting in settings.items():
        kept = setting.check(f"{subject.name}.{name}", setting.default)
        require(kept == setting.default, f"settings.{name}: default {setting.default!r} becomes {kept!r} when checked")
    return f"{len(settings)} settings"


def tiny_settings_are_accepted(subject: Subject) -> str:
    """`tiny` is a valid choice of settings."""
    subject.card.fill(f"{subject.name}.tiny", subject.card.tiny)
    return ", ".join(f"{name}={value}" for name, value in subject.card.tiny.items()) or "defaults"


def search_space_fits_the_settings(subject: Subject) -> str:
    """Every searched name is a setting, and its ends or choices are accepted values."""
    card = subject.card
    for name, space in card.search.items():
        require(name in card.settings, f"search.{name}: not among the settings {sorted(card.settings)}")
        keys = set(space)
        fits = keys in ({"choices"}, {"low", "high"}, {"low", "high", "log"})
        require(fits, f"search.{name}: {sorted(keys)} is not a space; give choices, or low, high and log")
        for value in space["choices"] if "choices" in space else (space["low"], space["high"]):
            card.settings[name].check(f"{subject.name}.search.{name}", value)
        if "low" in space:
            require(space["low"] < space["high"], f"search.{name}: low must be below high")
    return ", ".join(card.search) or "nothing to search"


def functions_are_there_and_documented(subject: Subject) -> str:
    """The room's functions exist; every public function of the file has a docstring."""
    module = subject.module
    needed: tuple[str, ...] = FUNCTIONS.get(subject.room, ())
    if subject.room == "formats":
        holds, writes = subject.card.facts["holds"], subject.card.facts.get("writes")
        needed = ("recognises", *READING[holds], *([f"write_{holds}"] if writes else []))
    for name in needed:
        there = callable(getattr(module, name, None))
        require(there, f"{name}: missing; a file in {subject.room} has {', '.join(needed)}")
    public = public_functions(module)
    for name, function in public.items():
        require(inspect.getdoc(function), f"{name}: has no docstring; say what it takes and returns")
    return ", ".join(public) or "no functions"


def names_are_registered(subject: Subject) -> str:
    """Output kinds and losses that a card speaks of exist."""
    card, catalog = subject.card, subject.catalog
    kinds = card.accepts if isinstance(card, LossCard) else [card.output] if isinstance(card, ModelCard) else []
    for kind in kinds:
        catalog.path("outputs", kind)
    losses = [choice["name"] for choice in card.losses] if isinstance(card, ModelCard) else []
    for loss in losses:
        catalog.path("losses", loss)
    return ", ".join([*kinds, *losses]) or "speaks of none"


def training_defaults_are_known(subject: Subject) -> str:
    """The training block of a model is one that a study could write."""
    training = cast("ModelCard", subject.card).training
    Training.model_validate(training)
    return ", ".join(f"{name}={value}" for name, value in training.items()) or "house defaults"
