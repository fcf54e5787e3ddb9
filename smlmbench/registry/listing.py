"""What a table of registered networks says of each, from the cards."""

from typing import Any

from smlmbench.errors import SmlmBenchError
from smlmbench.registry.cards import Card, ModelCard
from smlmbench.registry.catalog import Catalog

HEADLINE = "upsampling=8"


def model_rows(catalog: Catalog) -> list[dict[str, Any]]:
    """One row for every network; `parameters` is a number, at the settings `parameters_at`."""
    cards = {name: catalog.card("models", name) for name in catalog.names("models")}
    return [
        {"name": name, "summary": card.summary, **facts_of(catalog, name, card), "paper": card.paper, "doi": card.doi}
        for name, card in cards.items()
        if isinstance(card, ModelCard)
    ]


REVIEWED = ("input", "output", "training_data", "architecture")  # columns of the review's table


def review_rows(catalog: Catalog) -> list[dict[str, Any]]:
    """The systems of the review's table, in its order, from the fact `review` of their cards.

    Each has `row`, the review's columns as the sources have them, task, parameters, fidelity and paper, and
    `review_says`: what the review has instead, by column. Source: Hyun and Kim 2022, Int. J. Mol. Sci. 23, 6896,
    Table 1 (doi 10.3390/ijms23136896).
    """
    found = []
    for name in catalog.names("models"):
        card = catalog.card("models", name)
        if not isinstance(card, ModelCard) or "review" not in card.facts:
            continue
        said = card.facts["review"]
        found.append(
            {
                "row": int(said["row"]),
                "name": name,
                **{column: str(said.get(column, "")) for column in REVIEWED},
                **facts_of(catalog, name, card),
                "answers_in": card.output,
                "output": str(said.get("output", "")),
                "paper": card.paper,
                "doi": card.doi,
                "review_says": dict(card.facts.get("review_says", {})),
            }
        )
    return sorted(found, key=lambda one: (one["row"], one["name"]))


def facts_of(catalog: Catalog, name: str, card: ModelCard) -> dict[str, Any]:
    """Tasks, output kind, fidelity, and parameters at upsampling 8, else at the first settings that the card states."""
    at = HEADLINE if HEADLINE in card.parameters else next(iter(card.parameters), "")
    return {
        "tasks": ", ".join(served(catalog, name)),
        "output": card.output,
        "fidelity": fidelity(card),
        "parameters": card.parameters.get(at),
        "parameters_at": at,
    }


def served(catalog: Catalog, model: str) -> list[str]:
    """Tasks that a network serves; none where its output kind is not registered, which `check` tells."""
    try:
        return catalog.served_by(model)
    except SmlmBenchError:
        return []


def fidelity(card: Card) -> str:
    """Of the defaults, and of each variant where it is another."""
    others = {key: variant.fidelity for key, variant in card.variants.items()}
    named = [f"{key}: {value}" for key, value in others.items() if value not in (None, card.fidelity)]
    return "; ".join([card.fidelity or "-", *named])
