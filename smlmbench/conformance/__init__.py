"""Does a registered thing keep its contracts? Plain functions, for `smlmbench check` and for the tests.

A room with contracts of its own has a file of its name here, each public function of which is a check; every room has
the checks of `cards`. What a card calls a variant is checked like the thing itself, the variant's name in brackets.
"""

from importlib import import_module
from itertools import chain

from smlmbench.conformance import cards
from smlmbench.conformance.checks import Check, NotApplicable, Outcome, Subject, collect, public_functions
from smlmbench.errors import SmlmBenchError
from smlmbench.registry import Catalog

__all__ = ["Check", "Outcome", "checks", "run_checks"]

EXAMPLES = "emitters"  # truth of the small inputs that most checks work on
ROOMS_WITH_CHECKS = ("models", "losses", "outputs", "psf", "structures", "formats", "metrics", "references", "tasks")


def checks(catalog: Catalog, room: str, name: str) -> list[Check]:
    """All checks of one registered thing, not yet run; nothing of it is imported.

    Raises:
        UnknownNameError: Nothing is registered under the name.
    """
    catalog.path(room, name)
    subject = Subject(catalog, room, name)
    of_cards = public_functions(cards).items()
    found = collect(subject, [check for key, check in of_cards if room in cards.ONLY_IN.get(key, (room,))])
    if room in ROOMS_WITH_CHECKS:
        other = _other_truth(subject)
        if other:
            return [*found, Check("contracts_of_its_room", lambda: _not_here(other))]
        functions = public_functions(import_module(f"smlmbench.conformance.{room}")).values()
        for variant in ("", *_variants(catalog, room, name)):
            found += collect(Subject(catalog, room, name, variant), functions)
    return found


def _other_truth(subject: Subject) -> str:
    """Why the examples of emitters on frames say nothing of a thing, or empty: none of its tasks takes emitters."""
    catalog, room, name = subject.catalog, subject.room, subject.name
    try:
        if room == "models":
            served = catalog.served_by(name)
        else:
            card = subject.card
            holders = [catalog.card("outputs", kind) for kind in getattr(card, "accepts", ())]
            stated = (one.facts.get("tasks", ()) for one in (card, *holders))
            served = [*getattr(card, "tasks", ()), *chain.from_iterable(stated)]
        truths = {kind for task in served for kind in catalog.card("tasks", task).facts.get("truths", [])}
    except SmlmBenchError:  # an unreadable card, or a task that is not given, is for the checks themselves to say
        return ""
    if not truths or EXAMPLES in truths:
        return ""
    return f"it serves {', '.join(served)}, whose truth is {', '.join(sorted(truths))}; check the task"


def _not_here(reason: str) -> str:
    raise NotApplicable(reason)


def _variants(catalog: Catalog, room: str, name: str) -> list[str]:
    """Those on its card; none where it cannot be read, which is what a check says."""
    try:
        return list(catalog.card(room, name).variants)
    except SmlmBenchError:
        return []


def run_checks(catalog: Catalog, room: str, name: str) -> list[Outcome]:
    """Run all checks of one registered thing, in order; a check that fails does not stop the others."""
    return [check.outcome() for check in checks(catalog, room, name)]
