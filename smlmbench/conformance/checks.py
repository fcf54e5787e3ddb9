"""What a check is, and what it may say."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from smlmbench.errors import SmlmBenchError
from smlmbench.registry import Card, Catalog
from smlmbench.registry.cards import spelled

if TYPE_CHECKING:
    import torch


class ContractError(SmlmBenchError):
    """The contract is broken; the message says what was seen and what is expected."""


class NotApplicable(SmlmBenchError):  # noqa: N818
    """The contract does not bind this thing; the message says why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of one check: passed (also where it was skipped), and one line about it."""

    name: str
    passed: bool
    detail: str
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """The thing under test; its card and code are read when they are asked for.

    The variant is a key of the card's `variants` such as `variant=seed`, or empty for the thing by its defaults.
    """

    catalog: Catalog
    room: str
    name: str
    variant: str = ""

    @property
    def card(self) -> Card:
        """The checked card, as it is for the variant."""
        card = self.catalog.card(self.room, self.name)
        return card.under(self._chosen(card))

    def _chosen(self, card: Card) -> dict[str, Any]:
        """The setting that chooses the variant."""
        name, _, text = self.variant.partition("=")
        return {name: next(c for c in card.settings[name].choices or [] if spelled(c) == text)} if name else {}

    def settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All settings for the variant: of those given, the ones that have a meaning there."""
        card = self.card
        ignored = card.variants[self.variant].ignores if self.variant else []
        kept = {name: value for name, value in given.items() if name not in ignored}
        return card.fill(self.name, {**kept, **self._chosen(card)})

    @property
    def module(self) -> ModuleType:
        """The imported file."""
        return self.catalog.module(self.room, self.name)


@dataclass(frozen=True, slots=True)
class Check:
    """One contract; `run` returns a line of detail or raises."""

    name: str
    run: Callable[[], str]

    def outcome(self) -> Outcome:
        """Run it; an unexpected exception of the thing under test is a failure like any other."""
        try:
            return Outcome(self.name, True, self.run())
        except NotApplicable as reason:
            return Outcome(self.name, True, f"skipped: {reason}", skipped=True)
        except ContractError as failure:
            return Outcome(self.name, False, str(failure))
        except Exception as error:
            first_line = (str(error).splitlines() or [""])[0]
            return Outcome(self.name, False, f"{type(error).__name__}: {first_line}")


def require(holds: object, otherwise: str) -> None:
    """Fail the check unless something holds."""
    if not holds:
        raise ContractError(otherwise)


def a_card() -> "torch.device":
    """A CUDA card to check on; the contract does not bind where this machine has none."""
    from smlmbench.inference.devices import present_devices, resolve_device

    if "cuda" not in present_devices():
        raise NotApplicable("this machine has no CUDA card")
    return resolve_device("cuda")


def collect(subject: Subject, functions: Iterable[Callable[[Subject], str]]) -> list[Check]:
    """Checks named after their functions, and the variant in brackets."""
    after = f"[{subject.variant}]" if subject.variant else ""
    return [Check(function.__name__ + after, partial(function, subject)) for function in functions]


def public_functions(module: ModuleType) -> dict[str, FunctionType]:
    """What a file itself defines under a public name, in its order."""
    own = {name: thing for name, thing in vars(module).items() if isinstance(thing, FunctionType)}
    return {name: thing for name, thing in own.items() if thing.__module__ == module.__name__ and name[0] != "_"}
