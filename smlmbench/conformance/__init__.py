"""Does a registered thing keep its contracts? Plain functions, for `smlmbench check` and for the tests.

A room with contracts of its own has a file of its name here; every room has the checks of `cards`. What a card calls a
variant is checked like the thing itself, the variant's name in brackets.
"""

import importlib

from smlmbench.conformance import cards
from smlmbench.conformance.checks import Check, Outcome, Subject
from smlmbench.errors import SmlmBenchError
from smlmbench.registry import Catalog

__all__ = ["Check", "Outcome", "checks", "run_checks"]

ROOMS_WITH_CHECKS = ("models", "losses", "outputs", "psf", "formats", "metrics", "references")


def checks(catalog: Catalog, room: str, name: str) -> list[Check]:
    """All checks of one registered thing, not yet run; nothing of it is imported.

    Args:
        catalog: With the plug-in among its files, where it is one.
        room: Key of `registry.ROOMS`.
        name: Registered name.

    Raises:
        UnknownNameError: Nothing is registered under the name.
    """
    catalog.path(room, name)
    subject = Subject(catalog, room, name)
    found = cards.checks(subject)
    if room in ROOMS_WITH_CHECKS:
        module = importlib.import_module(f"smlmbench.conformance.{room}")
        for variant in ("", *_variants(catalog, room, name)):
            found += module.checks(Subject(catalog, room, name, variant))
    return found


def _variants(catalog: Catalog, room: str, name: str) -> list[str]:
    """Those on its card; none where it cannot be read, which is what a check says."""
    try:
        return list(catalog.card(room, name).variants)
    except SmlmBenchError:
        return []


def run_checks(catalog: Catalog, room: str, name: str) -> list[Outcome]:
    """Run all checks of one registered thing, in order; a check that fails does not stop the others."""
    return [check.outcome() for check in checks(catalog, room, name)]
