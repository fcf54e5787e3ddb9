"""Does a registered thing keep its contracts? Plain functions, for `smlmbench check` and for the tests.

A room with contracts of its own has a file of its name here; every room has the checks of `cards`.
"""

import importlib

from smlmbench.conformance import cards
from smlmbench.conformance.checks import Check, Outcome, Subject
from smlmbench.registry import Catalog

__all__ = ["Check", "Outcome", "checks", "run_checks"]

ROOMS_WITH_CHECKS = ("models", "losses", "outputs")


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
        found += importlib.import_module(f"smlmbench.conformance.{room}").checks(subject)
    return found


def run_checks(catalog: Catalog, room: str, name: str) -> list[Outcome]:
    """Run all checks of one registered thing, in order; a check that fails does not stop the others."""
    return [check.outcome() for check in checks(catalog, room, name)]
